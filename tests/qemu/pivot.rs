//! Whether a disk has moved to where its mirror or its active commit has copied it. QEMU's message
//! is the same either way; what was asked, and accepted, tells.

use std::ffi::c_int;

use serde_json::{Value, json};

use crate::client::{Event, Job, number};
use crate::machine::Host;
use crate::story::{JOB, MONITOR, Story};
use crate::with_both_hosts;

with_both_hosts! {
    a_mirror_that_we_complete_has_pivoted,
    a_mirror_that_we_cancel_has_not_pivoted,
    a_mirror_that_we_cancel_by_force_has_not_pivoted,
    a_mirror_that_another_completes_may_have_pivoted,
    a_mirror_that_is_not_ready_is_not_completed,
    an_active_commit_that_we_complete_has_pivoted,
    an_active_commit_that_another_completes_may_have_pivoted,
    a_commit_below_the_top_does_not_pivot,
    a_machine_that_quits_does_not_pivot,
}

const MIRROR: &str = "blockdev-mirror";
const COMMIT: &str = "block-commit";

fn a_mirror_that_we_complete_has_pivoted(host: Host) {
    let end = end_after(host, MIRROR, |job, _| assert_eq!(job.complete(), Ok(())));
    assert_succeeded(&end, number::PIVOTED_YES);
}

fn a_mirror_that_we_cancel_has_not_pivoted(host: Host) {
    let end = end_after(host, MIRROR, |job, _| assert_eq!(job.cancel(false), Ok(())));
    assert_succeeded(&end, number::PIVOTED_NO);
}

fn a_mirror_that_we_cancel_by_force_has_not_pivoted(host: Host) {
    let end = end_after(host, MIRROR, |job, _| assert_eq!(job.cancel(true), Ok(())));
    assert_eq!((end.kind, end.outcome), (number::CANCELLED, number::OUTCOME_CANCELLED));
    assert_eq!(end.pivoted, number::PIVOTED_NO);
}

fn a_mirror_that_another_completes_may_have_pivoted(host: Host) {
    let end = end_after(host, MIRROR, |_, story| story.steer("block-job-complete"));
    assert_succeeded(&end, number::PIVOTED_UNKNOWN);
}

fn an_active_commit_that_we_complete_has_pivoted(host: Host) {
    let end = end_after(host, COMMIT, |job, _| assert_eq!(job.complete(), Ok(())));
    assert_succeeded(&end, number::PIVOTED_YES);
}

fn an_active_commit_that_another_completes_may_have_pivoted(host: Host) {
    let end = end_after(host, COMMIT, |_, story| story.steer("block-job-complete"));
    assert_succeeded(&end, number::PIVOTED_UNKNOWN);
}

fn a_mirror_that_is_not_ready_is_not_completed(host: Host) {
    let mut story = Story::begin(host);
    let mut arguments = arguments(&mut story, MIRROR);
    arguments["speed"] = json!(crate::story::STANDSTILL);
    arguments["buf-size"] = json!(crate::machine::DISK_SIZE / 4);
    let job = story.monitor.job(Some(JOB), 0);
    job.start(MIRROR, &arguments);
    story.until_progress();
    let (error, text) = job.complete().expect_err("QEMU refuses");
    assert_eq!(error, -libc::EREMOTEIO, "{text}");
    assert_eq!(job.cancel(false), Ok(()));
    let end = job.wait();
    assert_eq!((end.kind, end.pivoted), (number::CANCELLED, number::PIVOTED_NO));
    story.told.until_status(MONITOR, JOB, "null");
    story.close();
}

fn a_commit_below_the_top_does_not_pivot(host: Host) {
    let mut story = Story::begin(host);
    let mut arguments = arguments(&mut story, COMMIT);
    arguments["top-node"] = json!("disk-middle");
    let job = story.monitor.job(Some(JOB), 0);
    job.start(COMMIT, &arguments);
    assert_succeeded(&job.wait(), number::PIVOTED_NO);
    story.told.until_status(MONITOR, JOB, "null");
    story.close();
}

/// Before 6.2 it ends its mirrors as a soft cancellation does, and after that by force. The storage
/// daemon of 5.2 leaves them to their fate.
fn a_machine_that_quits_does_not_pivot(host: Host) {
    let mut story = Story::begin(host);
    let arguments = arguments(&mut story, MIRROR);
    let job = story.monitor.job(Some(JOB), 0);
    job.start(MIRROR, &arguments);
    story.until_kind(number::READY);
    story.machine.execute("quit", &json!({}));
    let end = job.wait();
    let (kind, pivoted) = match (host, story.machine.qmp().version() < (6, 2)) {
        (Host::StorageDaemon, true) => (number::LOST, number::PIVOTED_UNKNOWN),
        (Host::QemuSystem, true) => (number::COMPLETED, number::PIVOTED_NO),
        (_, false) => (number::CANCELLED, number::PIVOTED_NO),
    };
    assert_eq!((end.kind, end.pivoted), (kind, pivoted), "{end:#?}");
    let told = story.close_after_qemu();
    assert_eq!(told.finals().count(), 1);
}

/// How a job ends that is ready, and with which something is done then.
fn end_after(host: Host, command: &str, deed: impl Fn(&Job, &mut Story)) -> Event {
    let mut story = Story::begin(host);
    let arguments = arguments(&mut story, command);
    let job = story.monitor.job(Some(JOB), 0);
    job.start(command, &arguments);
    story.until_kind(number::READY);
    deed(&job, &mut story);
    let end = job.wait();
    assert_eq!(end.origin, number::ORIGIN_LIVE);
    // Told to whoever waits and to whoever listens alike.
    assert_eq!(story.end_of(JOB), end);
    story.close();
    end
}

fn arguments(story: &mut Story, command: &str) -> Value {
    story.machine.add_disk("disk");
    if command == MIRROR {
        story.machine.add_target("target");
        return json!({"device": "disk", "target": "target", "sync": "full"});
    }
    json!({"device": "disk"})
}

fn assert_succeeded(end: &Event, pivoted: c_int) {
    assert_eq!((end.kind, end.outcome), (number::COMPLETED, number::OUTCOME_SUCCEEDED));
    assert_eq!(end.pivoted, pivoted, "{end:#?}");
}
