//! What QEMU says of its jobs when the program asks. A look at QEMU's lists, which changes nothing
//! of what is known of jobs here. Part of [`Session`].

use serde_json::value::RawValue;

use super::{
    act::Act,
    exchange::Purpose,
    listing::{self, Listed},
    session::{List, Session, Ticket},
};
use crate::model::{Code, Error, JobInfo, Status};

/// The looks that wait for QEMU. Each has a command that is unanswered, so the bound on those is
/// theirs.
#[derive(Debug)]
pub(super) struct Looks<L> {
    last: u64,
    waiting: Vec<Look<L>>,
}

/// One look at both lists, in one round.
#[derive(Debug)]
struct Look<L> {
    number: u64,
    /// The incarnation that is looked for; `None`: all jobs.
    job: Option<u64>,
    jobs: List,
    block_jobs: List,
    /// How QEMU refused one of them.
    refusal: Option<Error>,
    ticket: L,
}

impl<T: Ticket> Session<T> {
    /// Looks at the job of a handle, or at all jobs; the ticket is answered with what QEMU has.
    pub fn look(&mut self, handle: Option<u64>, ticket: T::Listing, acts: &mut Vec<Act<T>>) {
        let found = self.check_ready().and_then(|()| {
            let job = |handle| self.jobs.current_of(handle).ok_or_else(no_such_job);
            handle.map(job).transpose()
        });
        let job = match found {
            Ok(job) => job,
            Err(error) => return acts.push(Act::List(ticket, Err(error))),
        };
        self.looks.last += 1;
        let number = self.looks.last;
        let has_jobs = self.jobs.version.has_status();
        if has_jobs {
            let purpose = Purpose::Look { number, blocks: false };
            self.send("query-jobs", None, purpose, None, acts);
        }
        let purpose = Purpose::Look { number, blocks: true };
        self.send("query-block-jobs", None, purpose, None, acts);
        self.looks.waiting.push(Look {
            number,
            job,
            jobs: if has_jobs { List::Awaited } else { List::Absent },
            block_jobs: List::Awaited,
            refusal: None,
            ticket,
        });
    }

    /// One of the two lists has come, or is not to be had.
    pub(super) fn handle_look(
        &mut self,
        number: u64,
        blocks: bool,
        reply: Result<&RawValue, Error>,
        acts: &mut Vec<Act<T>>,
    ) {
        let waiting = &mut self.looks.waiting;
        let Some(at) = waiting.iter().position(|look| look.number == number) else { return };
        let look = &mut waiting[at];
        let job = look.job.and_then(|job| self.jobs.id(job));
        let mut room = self.settings.job_limit;
        let wanted = |listed: &Listed| {
            let wanted = job.map_or(room > 0, |id| id == listed.id);
            room -= usize::from(wanted && job.is_none());
            wanted
        };
        let list = reply.and_then(|value| {
            let list = if blocks {
                listing::block_jobs(value, wanted)
            } else {
                listing::jobs(value, wanted)
            };
            let list = list.map_err(|error| {
                Error::new(Code::Protocol, format!("QEMU listed no jobs: {error}"))
            })?;
            let whole = job.is_some() || list.left_out == 0;
            whole.then_some(list.jobs).ok_or_else(|| too_many(self.settings.job_limit))
        });
        let list = list.map_or_else(
            |error| {
                look.refusal = Some(error);
                List::Absent
            },
            List::Came,
        );
        *(if blocks { &mut look.block_jobs } else { &mut look.jobs }) = list;
        if matches!(look.jobs, List::Awaited) || matches!(look.block_jobs, List::Awaited) {
            return;
        }
        let look = waiting.remove(at);
        let (jobs, block_jobs) = (look.jobs.came(), look.block_jobs.came());
        let answer = match look.refusal {
            // A part of them would look like all.
            Some(error) if error.code == Code::NoBuffers => Err(error),
            Some(error) if jobs.is_none() && block_jobs.is_none() => Err(error),
            _ => {
                let all = listing::merge(jobs, block_jobs.unwrap_or_default());
                self.found(&all, look.job)
            }
        };
        acts.push(Act::List(look.ticket, answer));
    }

    /// The connection has ended: no list will come.
    pub(super) fn handle_no_lists(&mut self, error: &Error, acts: &mut Vec<Act<T>>) {
        for look in std::mem::take(&mut self.looks.waiting) {
            acts.push(Act::List(look.ticket, Err(error.clone())));
        }
    }

    fn found(&self, all: &[Listed], job: Option<u64>) -> Result<Vec<JobInfo>, Error> {
        let Some(job) = job else { return Ok(all.iter().map(info).collect()) };
        // Meanwhile its id may have come to mean another job.
        let id = self.jobs.id(job).filter(|id| self.jobs.current.get(*id) == Some(&job));
        let listed = id.and_then(|id| all.iter().find(|listed| listed.id == id));
        listed.map(|listed| vec![info(listed)]).ok_or_else(no_such_job)
    }
}

impl<L> Default for Looks<L> {
    fn default() -> Self {
        Self { last: 0, waiting: Vec::new() }
    }
}

fn info(listed: &Listed) -> JobInfo {
    let Listed { id, type_name, status_name, error, .. } = listed;
    let [type_name, status_name, error] =
        [type_name, status_name, error].map(|text| text.as_deref());
    let mut info = JobInfo::new(id, type_name, status_name, error);
    (info.len, info.offset, info.speed) = (listed.len, listed.offset, listed.speed);
    // Of a job that is no block job QEMU says these in its status alone.
    let told = listed.status != Status::Unknown;
    let is = |statuses: [Status; 2]| told.then_some(statuses.contains(&listed.status));
    info.paused = listed.paused.or(is([Status::Paused, Status::Standby]));
    info.ready = listed.ready.or(is([Status::Ready, Status::Standby]));
    (info.auto_finalize, info.auto_dismiss) = (listed.auto_finalize, listed.auto_dismiss);
    info
}

fn too_many(limit: usize) -> Error {
    let text = format!("QEMU lists more jobs than {limit}, which is the limit of the monitor");
    Error::new(Code::NoBuffers, text)
}

fn no_such_job() -> Error {
    Error::new(Code::NotFound, "QEMU has no such job: it has not begun, or is gone")
}
