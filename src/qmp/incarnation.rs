//! Does an id still mean the job that is known by it, or another one? QEMU has at most one of an id
//! at a time, and says of none which it is. Part of [`Job`].

use std::sync::Arc;

use super::{
    job::{Inquiry, Job, Stage},
    listing::Listed,
};
use crate::model::{Event, Outcome, Status, Version, Word};

impl Job {
    /// There was a gap: from here on its id may mean another job.
    pub fn part(&mut self, has_journal: bool) {
        // An id that is made once means no other job, nor does one of ours that QEMU keeps.
        let kept = self.is_ours() && !self.unanswered && self.stays == Some(true);
        self.doubt = !self.once && (self.doubt || !kept);
        self.whole = false;
        self.gap = self.since();
        let may_live = matches!(self.stage, Stage::Living | Stage::Starting);
        if may_live && self.doubt && has_journal {
            self.inquiry = match self.inquiry {
                Inquiry::Made => Inquiry::Outdated,
                Inquiry::None => Inquiry::Wanted,
                other => other,
            };
        }
    }

    /// It was heard of in this connection, and not to have gone.
    pub fn lives_here(&self) -> bool {
        self.stage == Stage::Living && self.status != Status::Null && !self.awaited && !self.doubt
    }

    /// Is it this one that QEMU has just created? `sure`: in a session that hears everything. Then
    /// QEMU has finished with what was sent in another.
    pub fn may_begin(&self, sure: bool) -> bool {
        match self.stage {
            Stage::Expected { .. } => true,
            Stage::Starting => {
                let fits = self.once || self.unanswered || !sure;
                fits && (self.is_unheard() || self.is_undone())
            }
            Stage::Missing(_) => self.is_unheard(),
            Stage::Living | Stage::Ended { .. } => false,
        }
    }

    /// Is what is heard now another job's? One that ended does nothing more, nor one that QEMU has
    /// forgotten while its end is held; but an end (`ends`) may be heard again, unless there was a
    /// gap. Nor does a job go back in its life.
    pub fn is_over_before(&self, status: Status, ends: bool, version: Version) -> bool {
        if let Stage::Ended { lost, .. } = self.stage {
            return !lost && if ends { self.doubt } else { !self.once };
        }
        // An old QEMU does not say when it has forgotten a job.
        let forgotten = self.status == Status::Null || !version.has_status();
        self.held.is_some() && forgotten || !self.once && self.is_beyond(status)
    }

    /// Is it a job of another type that ends?
    pub fn is_of_another(&self, end: &Event) -> bool {
        !self.once && self.has_type_but(end.text(Word::TypeName))
    }

    /// It has another type than this, for certain.
    fn has_type_but(&self, word: Option<&str>) -> bool {
        self.type_name().zip(word).is_some_and(|(known, said)| known != said)
    }

    /// It is further on in its life than this, for certain.
    fn is_beyond(&self, status: Status) -> bool {
        status.stage().zip(self.status.stage()).is_some_and(|(said, known)| said < known)
    }

    /// Can what is listed not be this job? No job goes back from one stage of its life to another;
    /// but what was heard since the listing was asked for may be newer than that.
    pub fn is_not(&self, listed: &Listed, version: Version) -> bool {
        let failed = listed.error.is_some();
        let ended_otherwise = listed.status == Status::Concluded
            && match self.outcome {
                Outcome::Unknown => false,
                Outcome::Succeeded => failed,
                Outcome::Failed | Outcome::Cancelled => !failed && version.lists_errors(),
            };
        // What a block job's end has said of its length holds as long as QEMU keeps the job.
        let lens = self.len.filter(|_| self.is_block()).zip(listed.len);
        let has_other_len = listed.status == Status::Concluded
            && self.outcome != Outcome::Unknown
            && lens.is_some_and(|(known, listed)| known != listed);
        let kept = self.stays.zip(listed.auto_dismiss.map(|auto| !auto));
        let differs = self.has_type_but(listed.type_name.as_deref())
            || kept.is_some_and(|(known, listed)| known != listed);
        let is_younger = self.awaited && self.is_beyond(listed.status);
        !self.once && (differs || ended_otherwise || has_other_len || is_younger)
    }

    /// The incarnation that followed this one under the same id, unnoticed.
    #[must_use]
    pub fn later(&self) -> Self {
        Self {
            job_type: self.job_type,
            newer_type: self.newer_type.clone(),
            status: self.status,
            stays: self.stays,
            awaited: self.awaited,
            ran: true,
            was_ready: self.was_ready,
            held: self.held.clone(),
            last_heard: self.last_heard,
            len: self.len,
            offset: self.offset,
            speed: self.speed,
            ..Self::new(Arc::clone(&self.id), Stage::Living, false)
        }
    }
}
