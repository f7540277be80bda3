//! Jobs that meet an I/O error, and what QEMU then says of them.

use serde_json::json;

use crate::client::number;
use crate::machine::{DISK_SIZE, Errors, Host};
use crate::story::{JOB, MONITOR, Story};
use crate::with_both_hosts;

with_both_hosts! {
    a_job_that_cannot_read_fails_with_the_words_of_qemu,
    a_job_that_cannot_write_fails_with_the_words_of_qemu,
    a_job_that_cannot_begin_fails_with_the_words_of_qemu,
    a_job_that_ignores_errors_reaches_its_length_and_has_failed,
    a_job_that_stops_at_an_error_succeeds_after_it_is_resumed,
}

fn a_job_that_cannot_read_fails_with_the_words_of_qemu(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_failing_disk("disk", Errors::Always);
    story.start("block-stream", json!({"device": "disk"}));
    assert_failed_with_report(story, "read");
}

fn a_job_that_cannot_write_fails_with_the_words_of_qemu(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.machine.add_failing_target("target", Errors::Always);
    story.start("blockdev-backup", json!({"device": "disk", "target": "target", "sync": "full"}));
    assert_failed_with_report(story, "write");
}

fn assert_failed_with_report(mut story: Story, operation: &str) {
    let end = story.end_of(JOB);
    assert_eq!(end.kind, number::COMPLETED);
    assert_eq!(end.outcome, number::OUTCOME_FAILED);
    assert_eq!(end.error.as_deref(), Some("Input/output error"));
    assert!(end.offset < end.len, "the second half of the disk was not copied: {end:#?}");

    let error = story.until_kind(number::ERROR);
    assert_eq!(error.name, "BLOCK_JOB_ERROR");
    assert_eq!(error.action.as_deref(), Some("report"));
    assert_eq!(error.operation.as_deref(), Some(operation));
    assert_eq!(error.outcome, number::OUTCOME_UNKNOWN, "an I/O error is not the end of a job");
    assert_eq!(error.error, None, "its text comes with the end");
    story.close();
}

/// In QEMU 5.2 the words are the C library's for an errno; in 7.2 they are QEMU's own.
fn a_job_that_cannot_begin_fails_with_the_words_of_qemu(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.machine.add_target("target");
    let half = json!({"node-name": "target", "size": DISK_SIZE / 2});
    story.machine.execute("block_resize", &half);
    story.start("blockdev-mirror", json!({"device": "disk", "target": "target", "sync": "full"}));
    let end = story.end_of(JOB);
    assert_eq!(end.outcome, number::OUTCOME_FAILED);
    assert_eq!((end.offset, end.len), (0, 0), "they are equal, which proves nothing");
    let words = if story.machine.qmp().version() < (6, 0) {
        "Invalid argument"
    } else {
        "Source and target image have different sizes"
    };
    assert_eq!(end.error.as_deref(), Some(words));
    story.close();
}

fn a_job_that_ignores_errors_reaches_its_length_and_has_failed(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_failing_disk("disk", Errors::Always);
    story.start("block-stream", json!({"device": "disk", "on-error": "ignore"}));
    let end = story.end_of(JOB);
    assert_eq!((end.offset, end.len), (DISK_SIZE, DISK_SIZE));
    assert_eq!(end.outcome, number::OUTCOME_FAILED);
    assert_eq!(end.error.as_deref(), Some("Input/output error"));
    let error = story.until_kind(number::ERROR);
    assert_eq!(error.action.as_deref(), Some("ignore"));
    story.close();
}

fn a_job_that_stops_at_an_error_succeeds_after_it_is_resumed(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_failing_disk("disk", Errors::Once);
    story.start("block-stream", json!({"device": "disk", "on-error": "stop"}));
    let error = story.until_kind(number::ERROR);
    assert_eq!(error.action.as_deref(), Some("stop"));
    assert_eq!(error.operation.as_deref(), Some("read"));
    story.told.until_status(MONITOR, JOB, "paused");
    assert_eq!(story.told.ends().count(), 0);

    story.steer("block-job-resume");
    let end = story.end_of(JOB);
    assert_eq!(end.outcome, number::OUTCOME_SUCCEEDED);
    assert_eq!(end.error, None, "an error that was overcome is not the outcome");
    assert_eq!((end.offset, end.len), (DISK_SIZE, DISK_SIZE));
    story.close();
}
