//! A job that the program starts: from the command until QEMU's reply, or until nobody waits for
//! that any more. Part of [`Jobs`].

use super::{job::Stage, jobs::Jobs};
use crate::model::{Code, Error, Now, Status};

impl Jobs {
    /// The command that starts it is being sent. `stays`: with auto-dismiss off.
    pub fn starting(&mut self, number: u64, stays: bool, now: Now) -> Result<(), Error> {
        let job = self.all.get_mut(&number).expect("a handle watches it");
        match job.stage {
            Stage::Expected { .. } => {
                job.stage = Stage::Starting;
                (job.by_us, job.unanswered) = (true, true);
                (job.left, job.refused) = (false, None);
                job.stays = stays.then_some(true);
                job.last_heard = Some(now.wall);
                Ok(())
            }
            Stage::Starting => Err(Error::new(Code::Already, "it is being started")),
            Stage::Living | Stage::Missing(_) | Stage::Ended { .. } => {
                Err(Error::new(Code::Already, "QEMU has a job of this id already"))
            }
        }
    }

    /// The command that starts it was not sent.
    pub fn not_sent(&mut self, handle: u64, error: &Error) {
        let Some((number, _)) = self.watched(handle) else { return };
        let job = self.all.get_mut(&number).expect("its number was just found");
        if matches!(job.stage, Stage::Expected { .. }) {
            job.refused = Some(Box::new(error.clone()));
        }
    }

    /// The time of who waited for the start's reply is over.
    pub fn leave_start(&mut self, handle: u64) {
        let Some((number, _)) = self.watched(handle) else { return };
        let job = self.all.get_mut(&number).expect("its number was just found");
        match (job.stage, job.refused.take()) {
            (Stage::Starting, _) => job.left = true,
            // It was faster than he could say so.
            (Stage::Expected { .. }, Some(refusal)) => self.end_refused(number, &refusal),
            _ => {}
        }
    }

    /// The start's reply has come. Refused, the job was never there, and may be started again.
    pub fn started(&mut self, number: u64, reply: &Result<(), Error>) {
        let Some(job) = self.all.get_mut(&number) else { return };
        if reply.is_err() {
            (job.by_us, job.stays) = (false, None);
        }
        job.unanswered = false;
        if matches!(job.stage, Stage::Ended { acknowledged: true, .. }) {
            self.acknowledge(number);
            return;
        }
        if job.stage != Stage::Starting {
            return;
        }
        // Refused, it may be there all the same by an id that others know: one of them was sooner.
        let is_there = !job.once && !matches!(job.status, Status::Unknown | Status::Null)
            || job.held.is_some();
        match reply {
            Ok(()) if job.is_undone() => self.end_undone(number),
            Err(refusal) if !is_there && job.left => self.end_refused(number, refusal),
            Err(refusal) if !is_there => {
                job.withdraw(refusal);
                if job.handles.is_empty() {
                    self.remove_number(number);
                }
            }
            _ => {
                job.stage = Stage::Living;
                self.release_if_due(number);
            }
        }
    }
}
