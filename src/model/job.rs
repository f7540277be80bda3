//! What QEMU says of a job, as numbers for `switch`. A word that is not here is `Unknown`, never an
//! error: a newer QEMU has newer words, and the word itself is kept beside the number.

use std::ffi::CStr;

/// The longest id of a job that is known. QEMU sets no limit, and as many jobs are kept as may be
/// known.
pub(crate) const JOB_ID_MAX: usize = 1024;

/// Makes an enum of QEMU's words. Numbers have been seen by C and are never used again.
macro_rules! words {
    (
        $(#[$doc:meta])*
        $name:ident { $($variant:ident = $number:literal $word:literal),+ $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
        pub enum $name {
            #[default]
            Unknown = 0,
            $($variant = $number),+
        }

        impl $name {
            pub fn from_word(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    _ => Self::Unknown,
                }
            }

            /// QEMU's word for it.
            pub fn word(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some($word),)+
                    Self::Unknown => None,
                }
            }
        }
    };
}

words! {
    /// `JobType` of QEMU.
    JobType {
        Stream = 1 "stream",
        Commit = 2 "commit",
        Mirror = 3 "mirror",
        Backup = 4 "backup",
        Create = 5 "create",
        Amend = 6 "amend",
        SnapshotSave = 7 "snapshot-save",
        SnapshotLoad = 8 "snapshot-load",
        SnapshotDelete = 9 "snapshot-delete",
    }
}

words! {
    /// `JobStatus` of QEMU.
    Status {
        Undefined = 1 "undefined",
        Created = 2 "created",
        Running = 3 "running",
        Paused = 4 "paused",
        Ready = 5 "ready",
        Standby = 6 "standby",
        Waiting = 7 "waiting",
        Pending = 8 "pending",
        Aborting = 9 "aborting",
        Concluded = 10 "concluded",
        Null = 11 "null",
    }
}

impl Status {
    /// How far on a job is: it never goes back from one of these to another.
    pub fn stage(self) -> Option<u8> {
        Some(match self {
            Self::Unknown | Self::Undefined | Self::Null => return None,
            Self::Created | Self::Running | Self::Paused => 0,
            Self::Ready | Self::Standby => 1,
            Self::Waiting => 2,
            Self::Pending => 3,
            Self::Aborting => 4,
            Self::Concluded => 5,
        })
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// It has not ended, or nobody can know how.
    #[default]
    Unknown = 0,
    Succeeded = 1,
    Failed = 2,
    Cancelled = 3,
}

impl Outcome {
    pub fn word(self) -> Option<&'static CStr> {
        match self {
            Self::Unknown => None,
            Self::Succeeded => Some(c"succeeded"),
            Self::Failed => Some(c"failed"),
            Self::Cancelled => Some(c"cancelled"),
        }
    }
}

/// How the library knows what an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// Read from the wire as it happened.
    #[default]
    Live = 1,
    /// Learned afterwards: QEMU was asked, or its journal read.
    Recovered = 2,
    /// The best that anybody can say, and not certain.
    Inferred = 3,
}

/// Did the guest's disk move to the target of a mirror or an active commit?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pivot {
    #[default]
    Unknown = 0,
    Yes = 1,
    No = 2,
}

/// Why nobody can know how a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// It ended while nobody listened, and QEMU has forgotten it, or how.
    Gone = 1,
    /// QEMU would have kept it until it was dismissed, and does not have it: another client
    /// dismissed it.
    Dismissed = 2,
    /// The connection ended while it was being started, and QEMU does not have it; or QEMU refused
    /// when nobody waited for that any more.
    NotStarted = 3,
    /// A handle waited for it when the connection ended, nothing was heard of it by then, and QEMU
    /// does not have it.
    Unheard = 4,
    /// The process of QEMU is gone.
    QemuGone = 5,
    /// Another process of QEMU answers now.
    QemuRestarted = 6,
    /// There was no connection for too long.
    NoConnection = 7,
    /// The program closed the monitor.
    Closed = 8,
}

impl Loss {
    /// The sentence for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Gone => "it ended while nobody listened, and QEMU does not know how any more",
            Self::Dismissed => "QEMU does not have it any more: another client dismissed it",
            Self::NotStarted => {
                "the connection ended while it was being started, and QEMU does not have it: it \
                 was not started, or another client dismissed it"
            }
            Self::Unheard => {
                "nothing was heard of it before the connection ended, and QEMU does not have it: \
                 it came and went meanwhile, or is yet to be started"
            }
            Self::QemuGone => "the process of QEMU is gone",
            Self::QemuRestarted => "another process of QEMU answers now",
            Self::NoConnection => "there was no connection for too long",
            Self::Closed => "the program closed the monitor",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_qemus_word_is_unknown_and_no_error() {
        assert_eq!(JobType::from_word("snapshot-save"), JobType::SnapshotSave);
        assert_eq!(JobType::from_word("teleport"), JobType::Unknown);
        assert_eq!(JobType::from_word(""), JobType::Unknown);
        assert_eq!(Status::from_word("null"), Status::Null);
        assert_eq!(Status::from_word("Running"), Status::Unknown);
    }
}
