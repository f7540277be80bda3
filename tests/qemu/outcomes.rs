//! Ends that are not in one message of QEMU's, or mean more than it says: of jobs without an event
//! of their own, of others' jobs, of jobs that ended before, and whether the disk has moved.

use serde_json::{Value, json};

use crate::client::{Event, Listener, number};
use crate::machine::{Errors, Host, Machine};
use crate::story::{JOB, MONITOR, STANDSTILL, Story, Told};
use crate::tally::until_forgotten;
use crate::{eventually, with_both_hosts};

with_both_hosts! {
    a_job_without_an_event_succeeds_as_query_jobs_says,
    a_job_without_an_event_fails_with_the_words_of_query_jobs,
    a_job_without_an_event_that_another_dismisses_at_once_has_failed,
    an_id_that_is_used_again_is_another_job,
    a_handle_watches_the_job_of_another,
    a_job_of_ours_is_finalized_by_hand,
    the_members_of_a_transaction_are_adopted,
    the_members_of_a_transaction_fall_with_one,
    jobs_that_have_ended_before_are_recovered_before_connected,
    a_hung_qemu_loses_its_jobs_when_it_is_closed,
}

fn a_job_without_an_event_succeeds_as_query_jobs_says(host: Host) {
    let mut story = Story::begin(host);
    let job = story.monitor.job(None, 0);
    job.start("blockdev-create", &creation("made.raw"));
    let end = job.wait();
    assert_eq!((end.kind, end.outcome), (number::COMPLETED, number::OUTCOME_SUCCEEDED));
    assert_eq!((end.type_name.as_deref(), &end.json), (Some("create"), &None));
    assert_eq!(end.origin, number::ORIGIN_LIVE);
    assert_eq!((end.error, end.pivoted), (None, number::PIVOTED_NO));
    until_forgotten(story.machine.qmp(), "its end was acknowledged");
    assert!(story.machine.path("made.raw").is_file());
    assert_eq!(story.close().ends().count(), 1);
}

fn a_job_without_an_event_fails_with_the_words_of_query_jobs(host: Host) {
    let mut story = Story::begin(host);
    let mut creation = creation("nowhere/made.raw");
    creation["job-id"] = json!("foreign");
    story.machine.execute("blockdev-create", &creation);
    let end = story.told.until("its end", |event| event.kind & number::FINAL != 0);
    let jobs = story.machine.execute("query-jobs", &json!({}));
    assert_eq!(jobs[0]["status"], "concluded", "it is another's, and stays: {jobs}");
    assert_eq!((end.kind, end.outcome), (number::COMPLETED, number::OUTCOME_FAILED));
    assert_eq!(json!(end.error), jobs[0]["error"]);

    // Of ours, the same.
    let job = story.monitor.job(None, 0);
    creation.as_object_mut().expect("it is one").remove("job-id");
    job.start("blockdev-create", &creation);
    let ours = job.wait();
    assert_eq!((ours.kind, ours.outcome), (number::COMPLETED, number::OUTCOME_FAILED));
    assert_eq!(ours.error, end.error);
    story.told.until_status(MONITOR, &job.id(), "null");
    story.machine.execute("job-dismiss", &json!({"id": "foreign"}));
    story.told.until_status(MONITOR, "foreign", "null");
    assert_eq!(story.close().ends().count(), 2);
}

/// QEMU may have forgotten it before it could be asked.
fn a_job_without_an_event_that_another_dismisses_at_once_has_failed(host: Host) {
    let mut story = Story::begin(host);
    for round in 0..20 {
        let id = format!("foreign{round}");
        let mut creation = creation("nowhere/made.raw");
        creation["job-id"] = json!(id);
        story.machine.execute("blockdev-create", &creation);
        let dismissed = json!({"id": id});
        eventually("it can be dismissed", || {
            story.machine.qmp().refusal("job-dismiss", &dismissed).is_none().then_some(())
        });
        story.told.until(&format!("the end of {id}"), |event| {
            event.kind & number::FINAL != 0 && event.job_id.as_deref() == Some(&id)
        });
        let end = story.end_of(&id);
        assert_eq!((end.kind, end.outcome), (number::COMPLETED, number::OUTCOME_FAILED));
    }
    assert_eq!(story.close().finals().count(), 20);
}

fn creation(name: &str) -> Value {
    json!({"options": {"driver": "file", "filename": name, "size": 1 << 20}})
}

/// The job of another one's disk, which a machine without any machine has as well.
#[test]
fn a_snapshot_is_saved_and_the_second_of_its_name_fails() {
    let mut story = Story::begin(Host::QemuSystem);
    // The command came with 6.0.
    if story.machine.qmp().version() < (6, 0) {
        story.close();
        return;
    }
    story.machine.add_target("disk");
    let snapshot = json!({"tag": "here", "vmstate": "disk", "devices": ["disk"]});
    let mut ends = [(); 2].map(|()| {
        let job = story.monitor.job(None, 0);
        job.start("snapshot-save", &snapshot);
        let end = job.wait();
        until_forgotten(story.machine.qmp(), "its end was acknowledged");
        assert_eq!(
            (end.kind, end.type_name.as_deref()),
            (number::COMPLETED, Some("snapshot-save"))
        );
        end
    });
    assert_eq!(ends[0].outcome, number::OUTCOME_SUCCEEDED);
    assert_eq!(ends[1].outcome, number::OUTCOME_FAILED);
    let error = ends[1].error.take().expect("QEMU says why");
    assert!(error.contains("already exists"), "{error}");
    story.close();
}

fn an_id_that_is_used_again_is_another_job(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_target("disk");
    story.machine.add_failing_disk("failing", Errors::Always);
    // Of another client's, and of ours.
    let forgotten = |event: &Event| event.status_name.as_deref() == Some("null");
    for (round, disk) in ["disk", "failing", "disk"].into_iter().enumerate() {
        story.start("block-stream", json!({"device": disk}));
        story.told.until_many(round + 1, forgotten);
    }
    for (round, disk) in ["disk", "failing"].into_iter().enumerate() {
        let job = story.monitor.job(Some(JOB), 0);
        job.start("block-stream", &json!({"device": disk}));
        job.wait();
        story.told.until_many(4 + round, forgotten);
    }
    let told = story.close();
    let outcomes: Vec<_> = told.finals().map(|end| end.outcome).collect();
    let [succeeded, failed] = [number::OUTCOME_SUCCEEDED, number::OUTCOME_FAILED];
    assert_eq!(outcomes, [succeeded, failed, succeeded, succeeded, failed]);
}

fn a_handle_watches_the_job_of_another(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_target("disk");
    let job = story.monitor.job(Some(JOB), 0);
    story.start("block-stream", json!({"device": "disk", "auto-dismiss": false}));
    let end = job.wait();
    assert_eq!((end.kind, end.outcome), (number::COMPLETED, number::OUTCOME_SUCCEEDED));
    drop(job);
    // Acknowledged it is, but it is not ours. A command of ours after it has not dismissed it.
    let ours = story.monitor.job(None, 0);
    ours.start("blockdev-create", &creation("made.raw"));
    ours.wait();
    story.told.until_status(MONITOR, &ours.id(), "null");
    let jobs = story.machine.execute("query-jobs", &json!({}));
    assert_eq!((&jobs[0]["id"], &jobs[0]["status"]), (&json!(JOB), &json!("concluded")));
    story.machine.execute("job-dismiss", &json!({"id": JOB}));
    story.told.until_status(MONITOR, JOB, "null");
    assert_eq!(story.close().finals().count(), 2);
}

fn a_job_of_ours_is_finalized_by_hand(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    let job = story.monitor.job(Some(JOB), 0);
    job.start("block-stream", &json!({"device": "disk", "auto-finalize": false}));
    story.until_kind(number::PENDING);
    assert_eq!(story.told.finals().count(), 0, "a pending job has not ended");
    story.machine.execute("job-finalize", &json!({"id": JOB}));
    let end = job.wait();
    assert_eq!((end.kind, end.outcome), (number::COMPLETED, number::OUTCOME_SUCCEEDED));
    until_forgotten(story.machine.qmp(), "its end was acknowledged");
    assert_eq!(story.close().finals().count(), 1);
}

fn the_members_of_a_transaction_are_adopted(host: Host) {
    let [first, second] = transaction_ends(host, Story::add_target);
    for end in [first, second] {
        assert_eq!((end.kind, end.outcome), (number::COMPLETED, number::OUTCOME_SUCCEEDED));
        assert_eq!(end.pivoted, number::PIVOTED_NO);
    }
}

fn the_members_of_a_transaction_fall_with_one(host: Host) {
    let [first, second] = transaction_ends(host, |story, name| {
        if name == "target1" {
            story.add_target(name);
        } else {
            story.machine.add_failing_target(name, Errors::Always);
        }
    });
    assert_eq!((second.kind, second.outcome), (number::COMPLETED, number::OUTCOME_FAILED));
    assert_eq!((first.kind, first.outcome), (number::CANCELLED, number::OUTCOME_CANCELLED));
}

/// Two backups in one transaction, started by the second client and adopted here.
fn transaction_ends(host: Host, add_target: impl Fn(&mut Story, &str)) -> [Event; 2] {
    let mut story = Story::begin(host);
    for disk in ["disk1", "disk2"] {
        story.machine.add_disk(disk);
    }
    for target in ["target1", "target2"] {
        add_target(&mut story, target);
    }
    let handles = ["member1", "member2"].map(|id| story.monitor.job(Some(id), number::JOB_ADOPT));
    story.machine.execute("transaction", &backups(["target1", "target2"]));
    let ends = handles.each_ref().map(crate::client::Job::wait);
    until_forgotten(story.machine.qmp(), "adopted jobs are dismissed");
    assert_eq!(story.close().finals().count(), 2);
    ends
}

impl Story {
    fn add_target(&mut self, name: &str) {
        self.machine.add_target(name);
    }
}

fn backups(targets: [&str; 2]) -> Value {
    let actions = [1, 2].map(|member| {
        json!({"type": "blockdev-backup", "data": {
            "job-id": format!("member{member}"), "device": format!("disk{member}"),
            "target": targets[member - 1], "sync": "full", "auto-dismiss": false,
        }})
    });
    json!({"actions": actions, "properties": {"completion-mode": "grouped"}})
}

fn jobs_that_have_ended_before_are_recovered_before_connected(host: Host) {
    let mut machine = Machine::start(host);
    machine.add_target("empty");
    machine.add_failing_disk("failing", Errors::Always);
    machine.add_disk("slow");
    for (id, disk) in [("succeeded", "empty"), ("failed", "failing")] {
        let stream = json!({"job-id": id, "device": disk, "auto-dismiss": false});
        machine.execute("block-stream", &stream);
        until_concluded(&mut machine, id);
    }
    let stream = json!({"job-id": "slow", "device": "slow", "speed": STANDSTILL});
    machine.execute("block-stream", &stream);

    let listener = Listener::new();
    let monitor = listener.monitor(MONITOR, &machine.library_socket());
    let mut told = Told::from(listener.events(Some(&monitor)));
    monitor.connect();
    let connected = told.until("CONNECTED", |event| event.kind == number::CONNECTED);
    assert_eq!((connected.recovered, connected.process), (2, number::PROCESS_FIRST));
    let mut before: Vec<Event> =
        told.so_far.iter().take_while(|event| event.kind != number::CONNECTED).cloned().collect();
    before.sort_by(|one, other| one.job_id.cmp(&other.job_id));
    let [failed, succeeded] = &before[..] else { panic!("two have ended: {before:#?}") };
    assert_eq!(failed.outcome, number::OUTCOME_FAILED);
    assert_eq!(failed.error.as_deref(), Some("Input/output error"));
    assert_eq!(succeeded.outcome, number::OUTCOME_SUCCEEDED);
    for (end, id) in before.iter().zip(["failed", "succeeded"]) {
        assert_eq!((end.kind, end.job_id.as_deref()), (number::COMPLETED, Some(id)));
        assert_eq!((end.origin, &end.json), (number::ORIGIN_RECOVERED, &None));
        assert_eq!((end.timestamp, end.type_name.as_deref()), (None, Some("stream")));
    }

    machine.execute("block-job-cancel", &json!({"device": "slow"}));
    let slow = told.until("the end of the one that ran", |event| {
        event.kind & number::FINAL != 0 && event.job_id.as_deref() == Some("slow")
    });
    assert_eq!((slow.kind, slow.origin), (number::CANCELLED, number::ORIGIN_LIVE));
    told.until_status(MONITOR, "slow", "null");
    monitor.close();
    told.until("CLOSED", |event| event.kind == number::CLOSED);
    assert_eq!(told.finals().count(), 3);
    let jobs = machine.execute("query-jobs", &json!({}));
    assert_eq!(jobs.as_array().map(Vec::len), Some(2), "they are another's, and stay: {jobs}");
}

fn until_concluded(machine: &mut Machine, id: &str) {
    eventually("a job concludes", || {
        let jobs = machine.execute("query-jobs", &json!({}));
        let mut jobs = jobs.as_array()?.iter();
        jobs.find(|job| job["id"] == id && job["status"] == "concluded").map(|_| ())
    });
}

/// A fault of all QEMUs up to 11.1: a grouped transaction whose third action fails never returns.
fn a_hung_qemu_loses_its_jobs_when_it_is_closed(host: Host) {
    let mut story = Story::begin_set(host, |monitor| monitor.set_keepalive(50, 1000));
    for name in ["disk1", "disk2", "slow"] {
        story.machine.add_disk(name);
    }
    for name in ["target1", "target2"] {
        story.machine.add_target(name);
    }
    let job = story.monitor.job(Some(JOB), 0);
    job.start("block-stream", &json!({"device": "slow", "speed": STANDSTILL}));
    let mut transaction = backups(["target1", "target2"]);
    let failing = json!({"type": "blockdev-backup", "data": {
        "job-id": "member3", "device": "nowhere", "target": "target1", "sync": "full",
    }});
    transaction["actions"].as_array_mut().expect("it is a list").push(failing);
    story.machine.qmp().send("transaction", &transaction);

    // QEMU has begun with it; what was unresponsive before was only slow.
    story.told.until("member1", |event| event.job_id.as_deref() == Some("member1"));
    story.told.until("UNRESPONSIVE", |event| event.kind == number::UNRESPONSIVE);
    eventually("it hangs", || (story.monitor.state() == number::STATE_UNRESPONSIVE).then_some(()));
    // The one member that QEMU could undo before it hung has ended; to hang is no end.
    for end in story.told.finals() {
        assert_eq!(end.job_id.as_deref(), Some("member2"), "{end:#?}");
        assert_eq!((end.kind, end.origin), (number::CANCELLED, number::ORIGIN_INFERRED));
    }
    story.monitor.close();
    let lost = job.wait();
    assert_eq!((lost.kind, lost.loss), (number::LOST, number::LOSS_CLOSED));
    story.told.until("CLOSED", |event| event.kind == number::CLOSED);
    let ends = |id| {
        let of_it = |end: &&Event| end.job_id.as_deref() == Some(id);
        story.told.finals().filter(of_it).map(|end| (end.kind, end.loss)).collect::<Vec<_>>()
    };
    assert_eq!(ends(JOB), [(number::LOST, number::LOSS_CLOSED)]);
    assert_eq!(ends("member1"), [(number::LOST, number::LOSS_CLOSED)]);
    assert!(ends("member2").len() <= 1);
}
