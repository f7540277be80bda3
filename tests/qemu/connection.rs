//! The connection itself: whom it reached, how it ends, and that nothing is lost or reordered.

use std::ffi::c_int;

use serde_json::json;

use crate::client::number;
use crate::machine::{Host, Layout};
use crate::story::{JOB, SPEED, STANDSTILL, Story};
use crate::with_both_hosts;

with_both_hosts! {
    the_version_is_that_of_query_version,
    status_changes_are_told_in_their_order,
    a_pretty_monitor_tells_the_same,
    a_qemu_that_is_killed_leaves_its_job_without_an_end,
    a_qemu_that_quits_cancels_its_job_before_the_connection_ends,
    a_qemu_that_quits_ends_its_ready_mirror_before_the_connection_ends,
}

fn the_version_is_that_of_query_version(host: Host) {
    let mut story = Story::begin(host);
    let version = story.machine.execute("query-version", &json!({}));
    let [major, minor, micro] = story.monitor.qemu_version();
    assert_eq!(version["qemu"], json!({"major": major, "minor": minor, "micro": micro}));
    assert_eq!(story.monitor.state(), number::STATE_CONNECTED);
    story.close();
}

fn status_changes_are_told_in_their_order(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.start("block-stream", json!({"device": "disk", "speed": SPEED}));
    story.end_of(JOB);
    let told = story.close();
    let statuses: Vec<_> = told
        .so_far
        .iter()
        .filter(|event| event.kind == number::STATUS)
        .map(|event| (event.status, event.status_name.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(
        statuses,
        [
            (2, "created"),
            (3, "running"),
            (7, "waiting"),
            (8, "pending"),
            (10, "concluded"),
            (11, "null"),
        ]
    );
}

fn a_pretty_monitor_tells_the_same(host: Host) {
    let mut story = Story::begin_with(host, Layout::Pretty);
    story.machine.add_disk("disk");
    story.start("block-stream", json!({"device": "disk", "speed": SPEED}));
    let end = story.end_of(JOB);
    assert_eq!(end.outcome, number::OUTCOME_SUCCEEDED);
    let json = end.json.expect("an event of QEMU has its text");
    assert!(json.starts_with("{\r\n    \""), "this should be over several lines: {json}");
    story.close();
}

fn a_qemu_that_is_killed_leaves_its_job_without_an_end(host: Host) {
    let mut story = Story::begin_set(host, |monitor| monitor.set_reconnect(-1, -1));
    story.machine.add_disk("disk");
    story.start("block-stream", json!({"device": "disk", "speed": STANDSTILL}));
    story.until_progress();
    story.machine.kill();
    let gone = story.told.until("DISCONNECTED", |event| event.kind == number::DISCONNECTED);
    assert_eq!(gone.name, "DISCONNECTED");
    assert!(!gone.reason.expect("it is told why").is_empty());
    assert_eq!((gone.job_id, gone.json), (None, None), "QEMU said nothing of it");
    assert_eq!(gone.outcome, number::OUTCOME_UNKNOWN);
    assert_eq!(story.monitor.state(), number::STATE_DISCONNECTED);
    let lost = story.until_kind(number::LOST);
    assert_eq!((lost.name.as_str(), lost.loss), ("LOST", number::LOSS_QEMU_GONE));
    assert_eq!((lost.outcome, &lost.json), (number::OUTCOME_UNKNOWN, &None));

    let told = story.close_after_qemu();
    assert_eq!(told.ends().count(), 0, "nobody knows how the job ended: {:#?}", told.so_far);
    assert_eq!(told.finals().count(), 1);
    let status = told.so_far.iter().rev().find(|event| event.kind == number::STATUS);
    assert_eq!(status.and_then(|event| event.status_name.as_deref()), Some("running"));
}

fn a_qemu_that_quits_cancels_its_job_before_the_connection_ends(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.start("block-stream", json!({"device": "disk", "speed": STANDSTILL}));
    story.until_progress();
    assert_quits_with(story, host, number::CANCELLED);
}

/// Before QEMU 6.2, quitting did to a ready mirror what `block-job-cancel` does without force.
fn a_qemu_that_quits_ends_its_ready_mirror_before_the_connection_ends(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.machine.add_target("target");
    story.start("blockdev-mirror", json!({"device": "disk", "target": "target", "sync": "full"}));
    story.until_kind(number::READY);
    let completes = story.machine.qmp().version() < (6, 2);
    let end = if completes { number::COMPLETED } else { number::CANCELLED };
    assert_quits_with(story, host, end);
}

fn assert_quits_with(mut story: Story, host: Host, end: c_int) {
    story.machine.execute("quit", &json!({}));
    // The storage daemon of QEMU 5.2 quits without a word on its jobs.
    if host == Host::StorageDaemon && story.machine.qmp().version() < (6, 0) {
        let told = story.close_after_qemu();
        assert_eq!(told.ends().count(), 0, "nobody knows how it ended: {:#?}", told.so_far);
        return;
    }
    assert_eq!(story.end_of(JOB).kind, end);
    let told = story.close_after_qemu();
    let kinds: Vec<_> = told.so_far.iter().map(|event| event.kind).collect();
    let at = |kind| kinds.iter().position(|&told| told == kind);
    assert!(at(end) < at(number::DISCONNECTED), "{:#?}", told.so_far);
}
