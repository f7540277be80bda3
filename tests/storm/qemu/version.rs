//! Which QEMU it is, and what that QEMU knows and does differently.

/// The program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    System,
    StorageDaemon,
}

/// Major, minor, micro.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// This one or a later one.
    pub fn from(self, major: u32, minor: u32) -> bool {
        self >= Version(major, minor, 0)
    }

    /// Commands run in a coroutine of their own, and the reply is written when the main loop comes
    /// round to it: what the command made ready to happen, happens before its reply. The border
    /// lies between 5.2 and 7.2, both of which were run.
    pub fn replies_late(self) -> bool {
        self.from(6, 0)
    }

    /// The monitor has a thread of its own: events before the greeting, replies of the former
    /// client's commands, streams that begin in mid-message.
    pub fn has_monitor_thread(self) -> bool {
        self.from(4, 0)
    }

    pub fn has_statuses(self) -> bool {
        self.from(3, 0)
    }

    /// How long its description of itself is, about.
    pub fn schema_bytes(self, kind: Kind) -> usize {
        match (kind, self.from(8, 0)) {
            (Kind::System, false) => 207_000,
            (Kind::System, true) => 236_000,
            (Kind::StorageDaemon, false) => 110_000,
            (Kind::StorageDaemon, true) => 117_000,
        }
    }

    /// And how long it takes to say it.
    pub fn schema_us(self, kind: Kind) -> u64 {
        if kind == Kind::System && self.replies_late() { 42_000 } else { 1_000 }
    }

    /// A ready mirror that the process cancels on its way out is cancelled, not completed.
    pub fn quit_forces(self) -> bool {
        self.from(6, 2)
    }
}

/// The arguments of a command that this QEMU knows; `None`: it does not know the command.
/// `any` stands for arguments that are of no account here.
pub fn arguments(command: &str, kind: Kind, version: Version) -> Option<&'static [Argument]> {
    let (_, since, who, arguments) = COMMANDS.iter().find(|(name, ..)| *name == command)?;
    let known = version >= *since && (kind == Kind::System || *who == Both);
    known.then_some(*arguments)
}

/// An argument and since when it is known.
pub type Argument = (&'static str, Version);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Both,
    SystemOnly,
}
use Who::{Both, SystemOnly};

const V0: Version = Version(0, 0, 0);
const V1_3: Version = Version(1, 3, 0);
const V2_7: Version = Version(2, 7, 0);
const V2_9: Version = Version(2, 9, 0);
const V2_12: Version = Version(2, 12, 0);
const V3_0: Version = Version(3, 0, 0);
const V3_1: Version = Version(3, 1, 0);
const V6_0: Version = Version(6, 0, 0);
const V8_2: Version = Version(8, 2, 0);

const ANY: &[Argument] = &[("any", V0)];
const NONE: &[Argument] = &[];
const DEVICE: &[Argument] = &[("device", V0)];
const ID: &[Argument] = &[("id", V0)];

const COMMANDS: &[(&str, Version, Who, &[Argument])] = &[
    ("qmp_capabilities", V0, Both, &[("enable", V2_12)]),
    ("quit", V0, Both, NONE),
    ("query-version", V0, Both, NONE),
    ("query-status", V0, SystemOnly, NONE),
    ("query-block", V0, SystemOnly, NONE),
    ("query-commands", V0, Both, NONE),
    ("query-block-jobs", V0, Both, NONE),
    ("query-jobs", V3_0, Both, NONE),
    ("query-qmp-schema", Version(2, 5, 0), Both, NONE),
    ("migrate-pause", V3_0, SystemOnly, NONE),
    ("query-named-block-nodes", Version(2, 0, 0), Both, ANY),
    ("stop", V0, SystemOnly, NONE),
    ("cont", V0, SystemOnly, NONE),
    ("system_reset", V0, SystemOnly, NONE),
    ("system_powerdown", V0, SystemOnly, NONE),
    ("human-monitor-command", V0, SystemOnly, ANY),
    ("device_add", V0, SystemOnly, ANY),
    ("device_del", V0, SystemOnly, ID),
    ("chardev-add", Version(1, 4, 0), Both, ANY),
    ("blockdev-add", V2_9, Both, ANY),
    ("x-blockdev-set-iothread", V2_12, Both, ANY),
    ("blockdev-del", V2_9, Both, &[("node-name", V0)]),
    ("object-add", Version(2, 0, 0), Both, ANY),
    ("object-del", Version(2, 0, 0), Both, ID),
    ("qom-list", Version(1, 2, 0), Both, &[("path", V0)]),
    ("transaction", V1_3, Both, ANY),
    ("block-stream", V0, Both, STREAM),
    ("block-commit", V1_3, Both, COMMIT),
    ("drive-mirror", V1_3, SystemOnly, MIRROR),
    ("blockdev-mirror", Version(2, 6, 0), Both, MIRROR),
    ("drive-backup", Version(1, 6, 0), SystemOnly, BACKUP),
    ("blockdev-backup", Version(2, 3, 0), Both, BACKUP),
    ("blockdev-create", V3_0, Both, &[("job-id", V0), ("options", V0)]),
    ("snapshot-save", V6_0, SystemOnly, SNAPSHOT),
    ("snapshot-load", V6_0, SystemOnly, SNAPSHOT),
    ("snapshot-delete", V6_0, SystemOnly, SNAPSHOT),
    ("block-job-cancel", V0, Both, &[("device", V0), ("force", V1_3)]),
    ("block-job-set-speed", V0, Both, &[("device", V0), ("speed", V0)]),
    ("block-job-pause", V1_3, Both, DEVICE),
    ("block-job-resume", V1_3, Both, DEVICE),
    ("block-job-complete", V1_3, Both, DEVICE),
    ("block-job-finalize", V2_12, Both, ID),
    ("block-job-dismiss", V2_12, Both, ID),
    ("block-job-change", V8_2, Both, &[("id", V0), ("type", V0), ("copy-mode", V0)]),
    ("job-cancel", V3_0, Both, ID),
    ("job-pause", V3_0, Both, ID),
    ("job-resume", V3_0, Both, ID),
    ("job-complete", V3_0, Both, ID),
    ("job-finalize", V3_0, Both, ID),
    ("job-dismiss", V3_0, Both, ID),
];

const STREAM: &[Argument] = &[
    ("device", V0),
    ("base", V0),
    ("speed", V0),
    ("on-error", V1_3),
    ("backing-file", Version(2, 1, 0)),
    ("job-id", V2_7),
    ("base-node", Version(2, 8, 0)),
    ("auto-finalize", V3_1),
    ("auto-dismiss", V3_1),
    ("bottom", V6_0),
    ("filter-node-name", V6_0),
];
const COMMIT: &[Argument] = &[
    ("device", V0),
    ("base", V0),
    ("top", V0),
    ("speed", V0),
    ("backing-file", Version(2, 1, 0)),
    ("job-id", V2_7),
    ("filter-node-name", V2_9),
    ("top-node", V3_1),
    ("base-node", V3_1),
    ("auto-finalize", V3_1),
    ("auto-dismiss", V3_1),
    ("on-error", Version(5, 0, 0)),
];
const MIRROR: &[Argument] = &[
    ("device", V0),
    ("target", V0),
    ("sync", V0),
    ("format", V0),
    ("mode", V0),
    ("speed", V0),
    ("granularity", V0),
    ("buf-size", V0),
    ("on-source-error", V0),
    ("on-target-error", V0),
    ("node-name", Version(2, 1, 0)),
    ("replaces", Version(2, 1, 0)),
    ("job-id", V2_7),
    ("filter-node-name", V2_9),
    ("copy-mode", V3_0),
    ("auto-finalize", V3_1),
    ("auto-dismiss", V3_1),
];
const BACKUP: &[Argument] = &[
    ("device", V0),
    ("target", V0),
    ("sync", V0),
    ("format", V0),
    ("mode", V0),
    ("speed", V0),
    ("on-source-error", V0),
    ("on-target-error", V0),
    ("bitmap", Version(2, 4, 0)),
    ("job-id", V2_7),
    ("compress", Version(2, 8, 0)),
    ("auto-finalize", V2_12),
    ("auto-dismiss", V2_12),
    ("filter-node-name", Version(4, 2, 0)),
];
const SNAPSHOT: &[Argument] = &[("job-id", V0), ("tag", V0), ("vmstate", V0), ("devices", V0)];
