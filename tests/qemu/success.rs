//! Jobs of each type that do what they were asked to.

use std::ffi::c_int;

use serde_json::json;

use crate::client::{Event, number};
use crate::machine::{DISK_SIZE, Host};
use crate::story::{JOB, MONITOR, SPEED, Story};
use crate::{eventually, with_both_hosts};

with_both_hosts! {
    a_stream_succeeds,
    a_commit_of_an_intermediate_image_succeeds,
    a_backup_succeeds,
    an_active_commit_is_ready_and_then_succeeds,
    a_mirror_is_ready_and_then_succeeds,
    a_mirror_is_completed_while_it_is_paused,
    a_job_with_nothing_to_do_succeeds_at_once,
    a_job_that_is_finalized_by_hand_is_pending_first,
}

fn a_stream_succeeds(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.start("block-stream", json!({"device": "disk", "speed": SPEED}));
    let end = story.end_of(JOB);
    assert_succeeded(&end, number::TYPE_STREAM, "stream");
    assert_eq!(end.len, DISK_SIZE);
    assert!(!story.told.has_kind(number::READY));
    story.close();
}

fn a_commit_of_an_intermediate_image_succeeds(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.start(
        "block-commit",
        json!({
            "device": "disk", "top-node": "disk-middle", "base-node": "disk-base", "speed": SPEED,
        }),
    );
    assert_succeeded(&story.end_of(JOB), number::TYPE_COMMIT, "commit");
    assert!(!story.told.has_kind(number::READY));
    story.close();
}

fn a_backup_succeeds(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.machine.add_target("target");
    story.start(
        "blockdev-backup",
        json!({"device": "disk", "target": "target", "sync": "full", "speed": SPEED}),
    );
    let end = story.end_of(JOB);
    assert_succeeded(&end, number::TYPE_BACKUP, "backup");
    assert_eq!(end.len, DISK_SIZE);
    story.close();
}

fn an_active_commit_is_ready_and_then_succeeds(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.start("block-commit", json!({"device": "disk", "speed": SPEED}));
    complete_when_ready(story, number::TYPE_COMMIT, "commit");
}

fn a_mirror_is_ready_and_then_succeeds(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.machine.add_target("target");
    story.start(
        "blockdev-mirror",
        json!({"device": "disk", "target": "target", "sync": "full", "speed": SPEED}),
    );
    complete_when_ready(story, number::TYPE_MIRROR, "mirror");
}

/// QEMU takes the command since 6.0; until then it wants the job resumed first.
fn a_mirror_is_completed_while_it_is_paused(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.machine.add_target("target");
    story.start(
        "blockdev-mirror",
        json!({"device": "disk", "target": "target", "sync": "full", "speed": SPEED}),
    );
    story.until_kind(number::READY);
    story.steer("block-job-pause");
    story.told.until_status(MONITOR, JOB, "standby");

    let job = json!({"device": JOB});
    let refusal = story.machine.qmp().refusal("block-job-complete", &job);
    story.steer("block-job-resume");
    if story.machine.qmp().version() < (6, 0) {
        assert_eq!(refusal.as_deref(), Some("GenericError"));
        eventually("the resumed job can be completed", || {
            story.machine.qmp().refusal("block-job-complete", &job).is_none().then_some(())
        });
    } else {
        assert_eq!(refusal, None);
    }
    assert_succeeded(&story.end_of(JOB), number::TYPE_MIRROR, "mirror");
    story.close();
}

fn complete_when_ready(mut story: Story, job_type: c_int, type_name: &str) {
    let ready = story.until_kind(number::READY);
    assert_eq!(ready.job_type, job_type);
    assert_eq!(ready.type_name.as_deref(), Some(type_name));
    assert_eq!(ready.offset, ready.len);
    assert_eq!(ready.speed, SPEED);
    assert_eq!(ready.outcome, number::OUTCOME_UNKNOWN, "a ready job has not ended");
    assert_eq!(story.told.ends().count(), 0);

    story.steer("block-job-complete");
    assert_succeeded(&story.end_of(JOB), job_type, type_name);
    story.close();
}

fn a_job_with_nothing_to_do_succeeds_at_once(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_target("disk");
    story.start("block-stream", json!({"device": "disk"}));
    // This has read up to the reply. In QEMU 5.2 the end follows, in 7.2 it came before.
    let qmp = story.machine.qmp();
    let ended = qmp.events().iter().any(|seen| seen.value["event"] == "BLOCK_JOB_COMPLETED");
    assert_eq!(ended, qmp.version() >= (6, 0), "before the reply: {:#?}", qmp.events());
    let end = story.end_of(JOB);
    assert_eq!(end.outcome, number::OUTCOME_SUCCEEDED);
    assert_eq!((end.len, end.offset), (0, 0));
    story.close();
}

fn a_job_that_is_finalized_by_hand_is_pending_first(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.start("block-stream", json!({"device": "disk", "auto-finalize": false, "speed": SPEED}));
    let pending = story.until_kind(number::PENDING);
    assert_eq!(pending.job_type, number::TYPE_STREAM);
    assert_eq!(pending.type_name.as_deref(), Some("stream"));
    assert_eq!(pending.outcome, number::OUTCOME_UNKNOWN, "a pending job has not ended");
    assert_eq!((pending.len, pending.offset, pending.speed), (-1, -1, -1), "QEMU sends none");
    assert_eq!(story.told.ends().count(), 0);

    story.machine.execute("job-finalize", &json!({"id": JOB}));
    assert_succeeded(&story.end_of(JOB), number::TYPE_STREAM, "stream");
    story.close();
}

fn assert_succeeded(end: &Event, job_type: c_int, type_name: &str) {
    assert_eq!(end.kind, number::COMPLETED);
    assert_eq!(end.name, "BLOCK_JOB_COMPLETED");
    assert_eq!(end.outcome, number::OUTCOME_SUCCEEDED);
    assert_eq!(end.error, None);
    assert_eq!(end.job_type, job_type);
    assert_eq!(end.type_name.as_deref(), Some(type_name));
    assert!(end.len > 0, "these jobs have something to do");
    assert_eq!(end.offset, end.len);
    assert_eq!(end.speed, SPEED);
}
