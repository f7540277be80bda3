//! How one job ended, by what is known of it. Part of [`Job`].

use super::job::{Inquiry, Job};
use crate::model::{Event, JobType, Kind, Origin, Outcome, Pivot, Timestamp, Word};

impl Job {
    /// Its end must wait: for the journal, for the marker, or for the reply that says whether it
    /// pivoted. That of a cancel says nothing where it may have been told to complete.
    pub fn holds(&self, end: &Event) -> bool {
        let unsure = self.complete.is_open() || self.complete.never() && self.cancel.is_open();
        let matters = end.outcome == Outcome::Succeeded && self.may_pivot(end);
        self.inquiry != Inquiry::None || self.unmet || (unsure && matters)
    }

    /// Mirrors do, and active commits: only those are ever ready.
    fn may_pivot(&self, end: &Event) -> bool {
        match end.job_type {
            JobType::Mirror => true,
            JobType::Commit => self.was_ready || !self.whole,
            JobType::Unknown => end.kind == Kind::Lost,
            _ => false,
        }
    }

    /// An event that no message of QEMU's tells, with what is known of the job.
    pub fn told(&self, kind: Kind, name: &str) -> Event {
        let mut event = Event::new(kind, name, None, self.id.len() + 128);
        event.set(Word::JobId, &self.id);
        if let Some(word) = self.type_name() {
            event.set(Word::TypeName, word);
        }
        event.job_type = self.job_type;
        (event.len, event.offset, event.speed) = (self.len, self.offset, self.speed);
        event
    }

    /// An end that no message of QEMU's tells as a whole.
    pub fn told_end(&self, kind: Kind, outcome: Outcome) -> Event {
        let name = match kind {
            Kind::Completed => "BLOCK_JOB_COMPLETED",
            Kind::Cancelled => "BLOCK_JOB_CANCELLED",
            _ => "LOST",
        };
        let mut event = self.told(kind, name);
        event.outcome = outcome;
        event
    }

    /// The end of a job that has no event for it, by the statuses that it went through: none comes
    /// to `concluded` by way of `aborting` unless it failed or was cancelled.
    pub fn path_end(&self) -> Event {
        match (self.aborted, self.cancel.accepted) {
            (false, _) => self.told_end(Kind::Completed, Outcome::Succeeded),
            (true, true) => self.told_end(Kind::Cancelled, Outcome::Cancelled),
            (true, false) => {
                // Another client may have cancelled it.
                let mut event = self.told_end(Kind::Completed, Outcome::Failed);
                event.origin = Origin::Inferred;
                event
            }
        }
    }

    /// The end of a job that has concluded, with the error that QEMU lists of it. One that is ready
    /// is not cancelled by a cancel without force: it fails by itself then, or by another client's.
    pub fn listed_end(&self, error: Option<&str>) -> Event {
        let canceled = error == Some(CANCELED);
        let mut event = match error {
            None => self.told_end(Kind::Completed, Outcome::Succeeded),
            Some(_) if self.abandoned || canceled && !self.cancel.never() => {
                self.told_end(Kind::Cancelled, Outcome::Cancelled)
            }
            Some(error) => {
                let mut event = self.told_end(Kind::Completed, Outcome::Failed);
                event.set(Word::Error, error);
                event
            }
        };
        if canceled && !self.cancel.accepted {
            // Another client may have cancelled it, or it has failed just so.
            event.origin = Origin::Inferred;
        }
        event
    }

    /// Did the disk move? Only when it was told to complete and did so without an error. A refusal
    /// leaves it open, and so does a beginning that was not heard: somebody else may have been
    /// sooner.
    pub fn pivot(&self, event: &Event, soft_shutdown: Option<Timestamp>) -> Pivot {
        let heard = self.born || self.by_us;
        let by_shutdown = soft_shutdown.is_some() && event.timestamp >= soft_shutdown;
        match event.outcome {
            Outcome::Failed | Outcome::Cancelled => Pivot::No,
            _ if !self.may_pivot(event) => Pivot::No,
            Outcome::Succeeded if self.complete.accepted => Pivot::Yes,
            Outcome::Succeeded if !self.complete.never() => Pivot::Unknown,
            Outcome::Succeeded if heard && (self.cancel.accepted || by_shutdown) => Pivot::No,
            Outcome::Succeeded | Outcome::Unknown => Pivot::Unknown,
        }
    }
}

/// QEMU's error of a job that was cancelled, and had no other.
const CANCELED: &str = "Operation canceled";
