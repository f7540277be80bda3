//! A job while it is listed, and what it is going to meet.

use serde_json::{Value, json};

use super::version::Version;

/// What lies ahead of the jobs of a node: how much there is to copy, and what goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes to copy. With 0 a job ends, or is ready, within the command that starts it.
    pub len: i64,
    pub fault: Option<Fault>,
    /// How long a round without a limit of speed takes.
    pub round_us: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { len: 1 << 20, fault: None, round_us: ROUND_US }
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An I/O error once so many bytes are copied: `BLOCK_JOB_ERROR`, and then by its policy.
    Io { at: i64, write: bool, no_space: bool, once: bool },
    /// The job fails in its first round with this text and no `BLOCK_JOB_ERROR`.
    Silent(String),
    /// QEMU aborts on an assertion.
    Abort,
    /// It fails on being created: created and null again, and an error for a reply.
    Early(String),
    /// A mirror fails to write what comes once it is ready.
    OnceReady,
    /// It fails when all is copied, on being finalized.
    Finalize(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Stream,
    Commit,
    ActiveCommit,
    Mirror,
    Backup,
    /// blockdev-create, snapshot-save and their like: no `BLOCK_JOB_*` events.
    Other(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Created,
    Running,
    Paused,
    Ready,
    Standby,
    Waiting,
    Pending,
    Aborting,
    Concluded,
    Null,
}

/// What to do on an I/O error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Report,
    Ignore,
    Stop,
    /// Stop if there is no space, else report.
    NoSpace,
}

#[allow(clippy::struct_excessive_bools, reason = "QEMU's job has them")]
#[derive(Clone, Debug)]
pub struct Job {
    /// The place of its truth.
    pub number: usize,
    pub id: String,
    pub work: Work,
    pub status: Status,
    pub len: i64,
    pub offset: i64,
    pub speed: i64,
    pub auto_finalize: bool,
    pub auto_dismiss: bool,
    /// The nodes that are busy because of it.
    pub nodes: Vec<String>,
    /// Those who are finalized and cancelled together.
    pub group: u64,
    pub read_policy: Policy,
    pub write_policy: Policy,
    pub fault: Option<Fault>,
    pub round_us: u64,
    pub io_status: &'static str,
    /// Somebody asked for a pause, or an error did.
    pub user_paused: bool,
    pub ready: bool,
    /// `block-job-complete` was accepted.
    pub should_complete: bool,
    /// A soft cancel of a ready job: it ends as if completed, and pivots not.
    pub soft_cancelled: bool,
    pub cancelled: bool,
    /// Why it fails, once that is decided.
    pub error: Option<String>,
    /// An error that was ignored, and is told at the end.
    pub remembered: Option<String>,
    /// A mirror that has copied all sleeps once for its limit of speed before it is ready.
    pub slept: bool,
    /// Its work is done; the main loop is to take note.
    pub finished: bool,
    /// When its next round is; `NEVER` while it waits for something else.
    pub due_us: u64,
    pub actively_synced: bool,
    /// sync=none: it copies what is about to be overwritten, until it is cancelled.
    pub endless: bool,
}

pub const NEVER: u64 = u64::MAX;

impl Job {
    pub fn is_block(&self) -> bool {
        !matches!(self.work, Work::Other(_))
    }

    /// It becomes ready and waits to be told.
    pub fn is_mirror(&self) -> bool {
        matches!(self.work, Work::Mirror | Work::ActiveCommit)
    }

    pub fn is_paused(&self) -> bool {
        matches!(self.status, Status::Paused | Status::Standby)
    }

    /// All its work is done, and its peers' may be not.
    pub fn is_settled(&self) -> bool {
        self.finished || matches!(self.status, Status::Waiting | Status::Pending)
    }

    /// Concluded or on its way there.
    pub fn is_over(&self) -> bool {
        matches!(self.status, Status::Aborting | Status::Concluded | Status::Null)
    }

    /// What a listing says went wrong, which is known before it is told.
    pub fn told_error(&self) -> Option<&str> {
        self.error.as_deref().filter(|_| self.is_over())
    }

    /// How long until a job that is woken does something.
    pub fn kick_us(&self) -> u64 {
        if self.ready { 0 } else { ROUND_US }
    }

    /// What its events tell.
    pub fn data(&self) -> Value {
        json!({
            "device": self.id,
            "len": self.len,
            "offset": self.offset,
            "speed": self.speed,
            "type": self.work.name(),
        })
    }

    /// How much it copies in a round.
    pub fn chunk(&self, version: Version) -> i64 {
        match self.work {
            Work::Backup if !version.from(6, 0) => 64 << 10,
            Work::Backup => 1 << 20,
            Work::Mirror | Work::ActiveCommit => 16 << 20,
            _ => 512 << 10,
        }
    }

    /// How long a round lasts, by its speed.
    pub fn round_us(&self, version: Version) -> u64 {
        let speed = u64::try_from(self.speed).unwrap_or(0);
        let chunk = u64::try_from(self.chunk(version).min(self.len)).unwrap_or(0);
        let limited = (chunk * 1_000_000).checked_div(speed).unwrap_or(0);
        // Old QEMUs begin a new slice of time with each chunk, however slow they are told to be.
        let limited = if version.from(2, 0) { limited } else { limited.min(SLICE_US) };
        limited.max(self.round_us)
    }
}

impl Work {
    pub fn name(self) -> &'static str {
        match self {
            Work::Stream => "stream",
            Work::Commit | Work::ActiveCommit => "commit",
            Work::Mirror => "mirror",
            Work::Backup => "backup",
            Work::Other(name) => name,
        }
    }
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Ready => "ready",
            Status::Standby => "standby",
            Status::Waiting => "waiting",
            Status::Pending => "pending",
            Status::Aborting => "aborting",
            Status::Concluded => "concluded",
            Status::Null => "null",
        }
    }
}

/// QEMU's slice of time for limits of speed.
pub const SLICE_US: u64 = 100_000;
/// A round without a limit of speed.
pub const ROUND_US: u64 = 200;
