//! The process of QEMU is gone, or another one answers, or may: what becomes of its jobs. Part of
//! [`Jobs`].

use std::sync::Arc;

use super::{
    job::{Job, Stage},
    jobs::Jobs,
};
use crate::model::{Loss, Now};

impl Jobs {
    /// The process is gone, or another one answers: nothing of the former's lives.
    pub fn handle_process_end(&mut self, loss: Loss, now: Now) {
        self.give_up(loss);
        let missing = |job: &&mut Box<Job>| matches!(job.stage, Stage::Missing(_));
        for job in self.all.values_mut().filter(missing) {
            job.over_by.get_or_insert(now.wall);
        }
        if let Some(reading) = &mut self.reading {
            reading.until.clear();
        }
        let numbers: Vec<(u64, Arc<str>)> =
            self.all.iter().map(|(number, job)| (*number, job.id.clone())).collect();
        for (number, id) in numbers {
            match self.all[&number].stage {
                // Only the journal has told of it, and that may be the next process's.
                Stage::Ended { lost: false, .. } if self.all[&number].is_hope() => {}
                Stage::Ended { .. } => self.remove_number(number),
                Stage::Missing(_) if self.current.get(&id) == Some(&number) => {
                    self.current.remove(&id);
                }
                _ => {}
            }
        }
    }

    /// A connection stands, and to which process nobody says: another one keeps other jobs. A
    /// marker will tell.
    pub fn handle_unknown_process(&mut self, has_marker: bool) {
        for job in self.all.values_mut() {
            let may_live = matches!(job.stage, Stage::Starting | Stage::Living);
            let may_be_another = may_live && !job.once && !job.doubt;
            job.unmet = may_be_another && has_marker;
            job.doubt |= may_be_another && !has_marker;
        }
    }

    /// The marker is there, so it is the process of before; or it is not, and QEMU was restarted.
    pub fn handle_marker(&mut self, found: bool) {
        if !found {
            self.leave_former();
        }
        let unmet = |(number, job): (&u64, &mut Box<Job>)| {
            std::mem::take(&mut job.unmet).then_some(*number)
        };
        let met: Vec<u64> = self.all.iter_mut().filter_map(unmet).collect();
        for number in met {
            self.release_if_due(number);
        }
    }

    /// QEMU was restarted since the monitor was usable. What was first heard of later may be of the
    /// present process.
    fn leave_former(&mut self) {
        let usable = self.usable;
        let before = |(number, job): (&u64, &Box<Job>)| {
            let expected = matches!(job.stage, Stage::Expected { .. });
            (job.connection <= usable && !expected).then_some(*number)
        };
        let former: Vec<u64> = self.all.iter().filter_map(before).collect();
        for number in former {
            match self.all[&number].stage {
                Stage::Ended { lost: false, .. } if self.all[&number].is_hope() => {}
                Stage::Ended { .. } => self.remove_number(number),
                _ => self.leave(number),
            }
        }
        for job in self.all.values_mut() {
            job.doubt |= job.unmet;
        }
    }

    /// Its process is gone, and its id means another job. What it holds was heard since, so that is
    /// the other's end.
    fn leave(&mut self, number: u64) {
        let job = self.all.get_mut(&number).expect("its number was just found");
        let id = job.id.clone();
        let later = job.held.is_some().then(|| job.later());
        job.unmet = false;
        if later.is_some() {
            (job.held, job.len, job.offset, job.speed) = (None, None, None, None);
        }
        self.miss(number, Loss::QemuRestarted);
        if self.current.get(&id) == Some(&number) {
            self.current.remove(&id);
        }
        if matches!(self.all.get(&number).map(|job| job.stage), Some(Stage::Ended { .. })) {
            self.all.remove(&number);
        }
        if let Some(later) = later {
            self.put(&id, later);
        }
    }
}
