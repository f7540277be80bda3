//! What QEMU says of a job, as numbers for `switch`. A word that is not here is `Unknown`, never an
//! error: a newer QEMU has newer words, and the word itself is kept beside the number.

use std::ffi::CStr;

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
