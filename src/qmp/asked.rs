//! What was asked of a job by commands, as far as its end depends on that.

/// What became of the commands of one kind for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// So many have not been answered.
    pub pending: u32,
    /// One was accepted.
    pub accepted: bool,
    /// The connection ended before one was answered.
    pub unknown: bool,
}

impl Asked {
    pub fn handle_reply(&mut self, accepted: bool) {
        self.pending = self.pending.saturating_sub(1);
        self.accepted |= accepted;
    }

    /// What is asked from now on is of another job; replies of before will come.
    #[must_use]
    pub fn renewed(self) -> Self {
        Self { pending: self.pending, ..Self::default() }
    }

    /// No reply will come.
    pub fn handle_gap(&mut self) {
        self.unknown |= std::mem::take(&mut self.pending) > 0;
    }

    /// A reply may come that says more.
    pub fn is_open(self) -> bool {
        self.pending > 0 && !self.accepted
    }

    /// None was sent that was accepted, or may have been.
    pub fn never(self) -> bool {
        self == Self::default()
    }
}

/// What a program may ask of a job, as far as its end depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Complete,
    /// `force`: also one that is ready, which otherwise ends as if it were completed.
    Cancel {
        force: bool,
    },
}
