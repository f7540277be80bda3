//! Jobs that are controlled and looked at by their handles, and told how far they are.

use std::ffi::c_int;

use serde_json::{Value, json};

use crate::client::{Event, Info, number};
use crate::machine::{DISK_SIZE, Host};
use crate::story::{JOB, MONITOR, STANDSTILL, Story};
use crate::tally::until_forgotten;
use crate::{eventually, with_both_hosts};

with_both_hosts! {
    a_job_is_paused_and_resumed_and_its_speed_is_set,
    a_paused_job_is_cancelled_only_by_force,
    a_pending_job_is_finalized,
    a_mirror_is_looked_at_from_ready_until_it_is_forgotten,
    several_jobs_are_listed_as_query_jobs_lists_them,
    a_job_that_is_no_block_job_has_no_speed_and_is_cancelled,
    a_job_of_another_is_dismissed,
    a_stream_tells_its_progress,
}

fn a_job_is_paused_and_resumed_and_its_speed_is_set(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    let job = story.monitor.job(Some(JOB), 0);
    assert_eq!(errno(job.try_info()), -libc::ENOENT, "it has not begun");
    job.start("block-stream", &json!({"device": "disk", "speed": STANDSTILL}));
    let running = eventually("it makes progress", || Some(job.info()).filter(|it| it.offset > 0));
    assert_eq!(
        running,
        Info {
            job_id: JOB.to_owned(),
            job_type: number::TYPE_STREAM,
            type_name: Some("stream".to_owned()),
            status: number::STATUS_RUNNING,
            status_name: Some("running".to_owned()),
            len: DISK_SIZE,
            offset: running.offset,
            speed: STANDSTILL,
            paused: 0,
            ready: 0,
            error: None,
            auto_finalize: 1,
            auto_dismiss: 0,
        }
    );
    assert!(running.offset < DISK_SIZE);

    assert_eq!(job.pause(), Ok(()));
    assert_eq!(job.info().paused, 1);
    assert_eq!(errno(job.pause()), -libc::EREMOTEIO, "it is paused by this already");
    // QEMU 5.2 lets a job that is held up by its speed sleep on, and says so when it has woken.
    if story.machine.qmp().version() >= (6, 0) {
        story.told.until_status(MONITOR, JOB, "paused");
        let paused = job.info();
        assert_eq!((paused.status, paused.status_name.as_deref()), (4, Some("paused")));
    }
    assert_eq!(job.resume(), Ok(()));
    assert_eq!(errno(job.resume()), -libc::EREMOTEIO);
    assert_eq!(job.info().paused, 0);

    assert_eq!(errno(job.set_speed(-1)), -libc::EINVAL);
    assert_eq!(job.set_speed(STANDSTILL + 1), Ok(()));
    assert_eq!(job.info().speed, STANDSTILL + 1);
    assert_eq!(errno(job.finalize()), -libc::EREMOTEIO, "it is not pending");
    assert_eq!(errno(job.complete()), -libc::EREMOTEIO, "it is no mirror");
    assert_eq!(errno(job.dismiss()), -libc::EBUSY, "it runs");
    assert_eq!(job.set_speed(0), Ok(()));
    assert_eq!(job.wait().outcome, number::OUTCOME_SUCCEEDED);
    assert_eq!(errno(job.pause()), -libc::ENOENT);
    until_forgotten(story.machine.qmp(), "its end was acknowledged");
    assert_eq!(errno(job.try_info()), -libc::ENOENT);
    story.close();
}

fn a_paused_job_is_cancelled_only_by_force(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    let job = story.monitor.job(None, 0);
    job.start("block-stream", &json!({"device": "disk", "speed": STANDSTILL}));
    assert_eq!(job.pause(), Ok(()));
    assert_eq!(errno(job.cancel(false)), -libc::EREMOTEIO);
    assert_eq!(job.cancel(true), Ok(()));
    assert_eq!(job.wait().kind, number::CANCELLED);
    until_forgotten(story.machine.qmp(), "its end was acknowledged");
    story.close();
}

fn a_pending_job_is_finalized(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    let job = story.monitor.job(Some(JOB), 0);
    job.start("block-stream", &json!({"device": "disk", "auto-finalize": false}));
    story.until_kind(number::PENDING);
    let pending = job.info();
    assert_eq!((pending.status, pending.status_name.as_deref()), (8, Some("pending")));
    assert_eq!((pending.auto_finalize, pending.auto_dismiss), (0, 0));
    assert_eq!(pending.offset, pending.len);
    assert_eq!(job.finalize(), Ok(()));
    assert_eq!(job.wait().outcome, number::OUTCOME_SUCCEEDED);
    until_forgotten(story.machine.qmp(), "its end was acknowledged");
    story.close();
}

fn a_mirror_is_looked_at_from_ready_until_it_is_forgotten(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.machine.add_target("target");
    let job = story.monitor.job(Some(JOB), 0);
    job.start("blockdev-mirror", &json!({"device": "disk", "target": "target", "sync": "full"}));
    story.until_kind(number::READY);
    let ready = job.info();
    assert_eq!((ready.ready, ready.status_name.as_deref()), (1, Some("ready")));
    assert_eq!((ready.offset, ready.type_name.as_deref()), (ready.len, Some("mirror")));
    assert_eq!(job.pause(), Ok(()));
    story.told.until_status(MONITOR, JOB, "standby");
    let standby = job.info();
    assert_eq!((standby.ready, standby.paused, standby.status), (1, 1, 6));
    assert_eq!(job.resume(), Ok(()));
    story.told.until_many(2, |event| event.status_name.as_deref() == Some("ready"));
    assert_eq!(job.complete(), Ok(()));

    // It stays, for the handle's end was not taken.
    story.told.until_status(MONITOR, JOB, "concluded");
    let concluded = job.info();
    assert_eq!((concluded.status, concluded.error.as_deref()), (10, None));
    assert_eq!(concluded.ready, 0);
    assert_eq!(job.wait().pivoted, number::PIVOTED_YES);
    assert_eq!(job.dismiss(), Ok(()), "QEMU may have forgotten it already");
    assert_eq!(errno(job.try_info()), -libc::ENOENT);
    until_forgotten(story.machine.qmp(), "it was dismissed");
    story.close();
}

fn several_jobs_are_listed_as_query_jobs_lists_them(host: Host) {
    let mut story = Story::begin(host);
    assert_eq!(story.monitor.jobs(), []);
    for disk in ["disk1", "disk2"] {
        story.machine.add_disk(disk);
        let stream = json!({"job-id": disk, "device": disk, "speed": STANDSTILL});
        story.machine.execute("block-stream", &stream);
    }
    let created = story.monitor.job(Some("created"), 0);
    story.machine.execute("blockdev-create", &creation("created", "nowhere/made.raw"));
    story.told.until_status(MONITOR, "created", "concluded");
    let listed = story.monitor.jobs();
    let theirs = story.machine.execute("query-jobs", &json!({}));
    let theirs = theirs.as_array().expect("it is a list");
    assert_eq!(listed.len(), 3);
    for (listed, theirs) in listed.iter().zip(theirs) {
        assert_eq!(json!(listed.job_id), theirs["id"]);
        assert_eq!(json!(listed.type_name), theirs["type"]);
        assert_eq!(json!(listed.status_name), theirs["status"]);
        assert_eq!(json!(listed.len), theirs["total-progress"]);
        assert_eq!(json!(listed.error), theirs["error"]);
        let block = listed.job_id != "created";
        assert_eq!(listed.speed, if block { STANDSTILL } else { -1 });
        assert_eq!(listed.auto_dismiss, if block { 1 } else { -1 });
        assert_eq!(listed.error.is_some(), !block);
    }
    for disk in ["disk1", "disk2"] {
        story.machine.execute("block-job-cancel", &json!({"device": disk}));
        story.end_of(disk);
    }
    assert_eq!(created.info().type_name.as_deref(), Some("create"));
    assert_eq!(created.wait().outcome, number::OUTCOME_FAILED);
    assert_eq!(created.dismiss(), Ok(()), "another has started it");
    story.close();
}

/// QEMU writes a new image very slowly.
fn a_job_that_is_no_block_job_has_no_speed_and_is_cancelled(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_target("slow");
    let limits = json!({"bps-total": 1, "iops-total": 1});
    let mut group = json!({"qom-type": "throttle-group", "id": "group"});
    if story.machine.qmp().version() < (6, 0) {
        group["props"] = json!({"limits": limits});
    } else {
        group["limits"] = limits;
    }
    // The storage daemon learned the command with 6.0.
    if story.machine.qmp().refusal("object-add", &group).is_some() {
        assert!(story.machine.qmp().version() < (6, 0));
        story.close();
        return;
    }
    let node = json!({"driver": "throttle", "throttle-group": "group", "file": "slow",
                      "node-name": "throttled"});
    story.machine.execute("blockdev-add", &node);
    let job = story.monitor.job(None, 0);
    let options = json!({"driver": "qcow2", "file": "throttled", "size": DISK_SIZE / 2});
    job.start("blockdev-create", &json!({"options": options}));
    let info = job.info();
    assert_eq!((info.type_name.as_deref(), info.status), (Some("create"), number::STATUS_RUNNING));
    assert_eq!((info.speed, info.auto_dismiss, info.paused, info.ready), (-1, -1, 0, 0));
    let (error, sentence) = job.set_speed(1 << 20).expect_err("it has none");
    assert_eq!(error, -libc::EOPNOTSUPP);
    assert!(sentence.contains("no block job"), "{sentence}");
    assert_eq!(job.pause(), Ok(()));
    assert_eq!(job.resume(), Ok(()));
    assert_eq!(job.cancel(false), Ok(()));
    // Its end may be far off.
}

fn a_job_of_another_is_dismissed(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    let job = story.monitor.job(Some(JOB), 0);
    story.start("block-stream", json!({"device": "disk", "auto-dismiss": false}));
    story.told.until_status(MONITOR, JOB, "concluded");
    job.wait();
    let jobs = story.machine.execute("query-jobs", &json!({}));
    assert_eq!(jobs[0]["status"], "concluded", "it is another's, and stays: {jobs}");
    assert_eq!(job.dismiss(), Ok(()));
    assert_eq!(story.machine.execute("query-jobs", &json!({})), json!([]));
    assert_eq!(job.dismiss(), Ok(()));
    story.close();
}

fn a_stream_tells_its_progress(host: Host) {
    let mut story = Story::begin_set(host, |monitor| monitor.set_progress(5));
    story.machine.add_disk("disk");
    let job = story.monitor.job(Some(JOB), 0);
    job.start("block-stream", &json!({"device": "disk", "speed": STANDSTILL}));
    let is_progress = |event: &&Event| event.kind == number::PROGRESS;
    let moved = story.told.until("progress", |event| is_progress(&event) && event.offset > 0);
    assert_eq!((moved.job_id.as_deref(), moved.job_type), (Some(JOB), number::TYPE_STREAM));
    assert_eq!(moved.status_name.as_deref(), Some("running"));
    assert_eq!((moved.len, moved.speed), (DISK_SIZE, STANDSTILL));
    assert_eq!(job.set_speed(STANDSTILL + 7), Ok(()));
    story
        .told
        .until("the new speed", |event| is_progress(&event) && event.speed == moved.speed + 7);
    assert_eq!(job.set_speed(0), Ok(()));
    assert_eq!(job.wait().outcome, number::OUTCOME_SUCCEEDED);
    until_forgotten(story.machine.qmp(), "its end was acknowledged");
    let told = story.close().so_far;
    let steps: Vec<_> = told.iter().filter(is_progress).collect();
    assert!(steps.len() >= 2, "{told:#?}");
    for pair in steps.windows(2) {
        assert!(pair[0].offset <= pair[1].offset);
        let numbers = |at: usize| {
            let Event { len, offset, speed, status, .. } = pair[at];
            (len, offset, speed, status)
        };
        assert_ne!(numbers(0), numbers(1), "what is told is new");
    }
    let end = told.iter().position(|event| event.kind == number::COMPLETED);
    let last = told.iter().rposition(|event| event.kind == number::PROGRESS);
    assert!(last < end, "there is none after the end: {told:#?}");
}

fn creation(id: &str, name: &str) -> Value {
    let options = json!({"driver": "file", "filename": name, "size": 1 << 20});
    json!({"job-id": id, "options": options})
}

fn errno<T>(answer: Result<T, (c_int, String)>) -> c_int {
    answer.err().map_or(0, |(errno, _)| errno)
}
