//! How far running jobs are, for progress bars: QEMU is asked now and then, once for all jobs,
//! while one is known to run. What it says is told and not believed: no job is known by it, and
//! none ends. Part of [`Session`] and [`Jobs`].
//!
//! The query is `query-block-jobs`, which every QEMU has and which says most of a job, its speed
//! among it. It leaves out jobs of other types (create, amend, snapshots), which make no progress
//! to speak of.

use std::time::Duration;

use super::{
    act::Act,
    exchange::Purpose,
    job::{Job, Stage},
    jobs::{Jobs, Told},
    listing::Listed,
    session::{Session, Ticket},
};
use crate::model::{Event, JobType, Kind, Now, Status, Word};

/// When QEMU is asked, and for whom.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Not sooner than this.
    next: Duration,
    /// The last incarnation that was known when QEMU was asked. What it says of an id may be older
    /// than a later one.
    known: u64,
}

/// What was told of a job: status, len, offset and speed.
pub type Shown = (Status, Option<i64>, Option<i64>, Option<i64>);

impl<T: Ticket> Session<T> {
    /// When QEMU is to be asked, if at all.
    pub(super) fn progress_due(&self) -> Option<Duration> {
        self.settings.progress?;
        let wanted = self.is_ready() && self.jobs.any_advances();
        (wanted && !self.exchange.awaits(Purpose::Progress)).then_some(self.progress.next)
    }

    pub(super) fn ask_for_progress(&mut self, acts: &mut Vec<Act<T>>) {
        self.progress.known = self.jobs.last;
        let purpose = Purpose::Progress;
        self.send("query-block-jobs", None, purpose, None, acts);
    }

    /// QEMU has answered, or refused.
    pub(super) fn handle_progress(&mut self, list: &[Listed], now: Now) {
        self.jobs.handle_progress(list, self.progress.known, now);
        self.progress.next = now.running + self.settings.progress.unwrap_or_default();
    }
}

impl Jobs {
    fn any_advances(&self) -> bool {
        self.all.values().any(|job| advances(job))
    }

    /// Tells what is new of the jobs that live, up to that incarnation.
    fn handle_progress(&mut self, list: &[Listed], known: u64, now: Now) {
        for listed in list {
            let number = self.current.get(listed.id.as_str()).filter(|number| **number <= known);
            let Some(job) = number.and_then(|number| self.all.get_mut(number)) else { continue };
            let shown = (listed.status, listed.len, listed.offset, listed.speed);
            if !lives(job) || job.shown.replace(shown) == Some(shown) {
                continue;
            }
            self.told.push(Told::Event(event(listed, now)));
        }
    }
}

/// It lives, and its end is not on its way to be told.
fn lives(job: &Job) -> bool {
    job.stage == Stage::Living && job.held.is_none()
}

/// Its numbers may change by themselves, and QEMU may say so.
fn advances(job: &Job) -> bool {
    use Status::{Created, Ready, Running, Unknown};
    lives(job) && !job.is_no_block() && matches!(job.status, Unknown | Created | Running | Ready)
}

fn event(listed: &Listed, now: Now) -> Event {
    let mut event = Event::new(Kind::Progress, "PROGRESS", Some(now.wall), listed.id.len() + 32);
    event.set(Word::JobId, &listed.id);
    if let Some(word) = &listed.type_name {
        event.job_type = JobType::from_word(word);
        event.set(Word::TypeName, word);
    }
    if let Some(word) = &listed.status_name {
        event.status = listed.status;
        event.set(Word::StatusName, word);
    }
    (event.len, event.offset, event.speed) = (listed.len, listed.offset, listed.speed);
    event
}
