//! Jobs that are told to stop: what becomes of them depends on how far they are, and on the word.

use serde_json::json;

use crate::client::{Event, number};
use crate::machine::{DISK_SIZE, Host};
use crate::story::{JOB, STANDSTILL, Story};
use crate::with_both_hosts;

with_both_hosts! {
    a_running_job_is_cancelled_before_its_length,
    a_mirror_is_cancelled_before_it_is_ready,
    a_ready_mirror_that_is_cancelled_has_completed,
    a_ready_mirror_that_is_cancelled_by_force_is_cancelled,
    a_pending_job_is_cancelled_at_its_full_length,
}

fn a_running_job_is_cancelled_before_its_length(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.start("block-stream", json!({"device": "disk", "speed": STANDSTILL}));
    story.until_progress();
    story.steer("block-job-cancel");
    let end = story.end_of(JOB);
    assert_cancelled(&end, "stream");
    assert!(0 < end.offset && end.offset < end.len, "it was on its way: {end:#?}");
    assert_eq!(end.speed, STANDSTILL);
    story.close();
}

fn a_mirror_is_cancelled_before_it_is_ready(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.machine.add_target("target");
    // A mirror sets out with as many requests at once as its buffer holds.
    story.start(
        "blockdev-mirror",
        json!({
            "device": "disk", "target": "target", "sync": "full",
            "speed": STANDSTILL, "buf-size": DISK_SIZE / 4,
        }),
    );
    story.until_progress();
    story.steer("block-job-cancel");
    let end = story.end_of(JOB);
    assert_cancelled(&end, "mirror");
    assert!(0 < end.offset && end.offset < end.len, "it was on its way: {end:#?}");
    assert!(!story.told.has_kind(number::READY));
    story.close();
}

fn a_ready_mirror_that_is_cancelled_has_completed(host: Host) {
    let mut story = Story::begin(host);
    start_mirror_until_ready(&mut story);
    story.steer("block-job-cancel");
    let end = story.end_of(JOB);
    assert_eq!(end.kind, number::COMPLETED, "the copy is whole, as of the moment of the command");
    assert_eq!(end.outcome, number::OUTCOME_SUCCEEDED);
    assert_eq!(end.error, None);
    assert_eq!(end.offset, end.len);
    story.close();
}

fn a_ready_mirror_that_is_cancelled_by_force_is_cancelled(host: Host) {
    let mut story = Story::begin(host);
    start_mirror_until_ready(&mut story);
    story.machine.execute("block-job-cancel", &json!({"device": JOB, "force": true}));
    let end = story.end_of(JOB);
    assert_cancelled(&end, "mirror");
    assert_eq!(end.offset, end.len, "it had copied all, which proves nothing");
    story.close();
}

fn a_pending_job_is_cancelled_at_its_full_length(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.start("block-stream", json!({"device": "disk", "auto-finalize": false}));
    story.until_kind(number::PENDING);
    story.machine.execute("job-cancel", &json!({"id": JOB}));
    let end = story.end_of(JOB);
    assert_cancelled(&end, "stream");
    assert_eq!(end.offset, end.len, "it had copied all, which proves nothing");
    story.close();
}

fn start_mirror_until_ready(story: &mut Story) {
    story.machine.add_disk("disk");
    story.machine.add_target("target");
    story.start("blockdev-mirror", json!({"device": "disk", "target": "target", "sync": "full"}));
    story.until_kind(number::READY);
}

fn assert_cancelled(end: &Event, type_name: &str) {
    assert_eq!(end.kind, number::CANCELLED);
    assert_eq!(end.name, "BLOCK_JOB_CANCELLED");
    assert_eq!(end.outcome, number::OUTCOME_CANCELLED);
    assert_eq!(end.error, None);
    assert_eq!(end.type_name.as_deref(), Some(type_name));
}
