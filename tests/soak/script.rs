//! The kinds of jobs. Each leaves the disks of its QEMU so that the next can have them.

use std::ffi::c_int;

use serde_json::Value;

use crate::client::number;

#[derive(Debug)]
pub struct Script {
    pub name: &'static str,
    pub command: &'static str,
    arguments: &'static str,
    pub deed: Deed,
    pub outcome: c_int,
    /// What must not be said of whether the disk has moved.
    pub not_pivoted: Option<c_int>,
    /// A QEMU's disks give it but one.
    pub once: bool,
    /// It is no block job: whoever made it dismisses it.
    pub stays: bool,
}

/// What brings the job to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    Nothing,
    CompleteWhenReady,
    CancelWhenReady,
    CancelByForce,
    /// It would never end, and is let go on.
    SpeedUp,
}

impl Script {
    pub fn arguments(&self) -> Value {
        serde_json::from_str(self.arguments).expect("it is written below")
    }

    /// It runs until something is done.
    pub fn stands_still(&self) -> bool {
        self.deed != Deed::Nothing
    }
}

const PLAIN: Script = Script {
    name: "",
    command: "",
    arguments: "",
    deed: Deed::Nothing,
    outcome: number::OUTCOME_SUCCEEDED,
    not_pivoted: None,
    once: false,
    stays: false,
};

pub const SCRIPTS: [Script; 13] = [
    STREAM,
    Script {
        name: "stream that cannot read",
        command: "block-stream",
        arguments: r#"{"device": "failing"}"#,
        outcome: number::OUTCOME_FAILED,
        ..PLAIN
    },
    Script {
        name: "mirror, completed",
        command: "blockdev-mirror",
        arguments: r#"{"device": "empty", "target": "target", "sync": "full"}"#,
        deed: Deed::CompleteWhenReady,
        not_pivoted: Some(number::PIVOTED_NO),
        ..PLAIN
    },
    Script {
        name: "mirror, cancelled softly",
        command: "blockdev-mirror",
        arguments: r#"{"device": "disk", "target": "target", "sync": "full"}"#,
        deed: Deed::CancelWhenReady,
        not_pivoted: Some(number::PIVOTED_YES),
        ..PLAIN
    },
    Script {
        name: "mirror, cancelled by force",
        command: "blockdev-mirror",
        arguments: SLOW_MIRROR,
        deed: Deed::CancelByForce,
        outcome: number::OUTCOME_CANCELLED,
        not_pivoted: Some(number::PIVOTED_YES),
        ..PLAIN
    },
    Script {
        name: "mirror that cannot write",
        command: "blockdev-mirror",
        arguments: r#"{"device": "disk", "target": "broken", "sync": "full"}"#,
        outcome: number::OUTCOME_FAILED,
        not_pivoted: Some(number::PIVOTED_YES),
        ..PLAIN
    },
    Script {
        name: "backup",
        command: "blockdev-backup",
        arguments: r#"{"device": "disk", "target": "target", "sync": "full"}"#,
        ..PLAIN
    },
    Script {
        name: "backup, held and let go on",
        command: "blockdev-backup",
        arguments: r#"{"device": "disk", "target": "target", "sync": "full", "speed": 1}"#,
        deed: Deed::SpeedUp,
        ..PLAIN
    },
    Script {
        name: "backup, cancelled by force",
        command: "blockdev-backup",
        arguments: r#"{"device": "disk", "target": "target", "sync": "full", "speed": 1}"#,
        deed: Deed::CancelByForce,
        outcome: number::OUTCOME_CANCELLED,
        ..PLAIN
    },
    Script {
        name: "commit below the top",
        command: "block-commit",
        arguments: r#"{"device": "disk", "top-node": "disk-middle", "base-node": "disk-base"}"#,
        once: true,
        ..PLAIN
    },
    Script {
        name: "active commit, cancelled softly",
        command: "block-commit",
        arguments: r#"{"device": "disk"}"#,
        deed: Deed::CancelWhenReady,
        not_pivoted: Some(number::PIVOTED_YES),
        ..PLAIN
    },
    Script {
        name: "create",
        command: "blockdev-create",
        arguments: r#"{"options": {"driver": "file", "filename": "made.raw", "size": 1048576}}"#,
        stays: true,
        ..PLAIN
    },
    Script {
        name: "create in no directory",
        command: "blockdev-create",
        arguments: r#"{"options": {"driver": "file", "filename": "no/made.raw", "size": 512}}"#,
        outcome: number::OUTCOME_FAILED,
        stays: true,
        ..PLAIN
    },
];

/// One that needs but one disk, which is empty.
pub const STREAM: Script = Script {
    name: "stream",
    command: "block-stream",
    arguments: r#"{"device": "empty"}"#,
    ..PLAIN
};

/// It stands still after its first piece.
const SLOW_MIRROR: &str =
    r#"{"device": "disk", "target": "target", "sync": "full", "speed": 1, "buf-size": 1048576}"#;
