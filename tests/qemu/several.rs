//! More than one of something: two disks of one QEMU, two QEMUs of one listener.

use serde_json::json;

use crate::client::{Listener, number};
use crate::expected::assert_told;
use crate::machine::{Host, Machine};
use crate::story::{JOB, MONITOR, STANDSTILL, Story, Told};
use crate::with_both_hosts;

with_both_hosts! {
    two_jobs_at_once_are_told_apart,
}

fn two_jobs_at_once_are_told_apart(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk1");
    story.machine.add_disk("disk2");
    let stream = json!({"job-id": "slow", "device": "disk1", "speed": STANDSTILL});
    story.machine.execute("block-stream", &stream);
    story.told.until_status(MONITOR, "slow", "running");
    // Both live now; the second ends first, in success, and the first after it, cancelled.
    let commit = json!({"job-id": "fast", "device": "disk2", "top-node": "disk2-middle"});
    story.machine.execute("block-commit", &commit);
    let fast = story.end_of("fast");
    assert_eq!(fast.outcome, number::OUTCOME_SUCCEEDED);
    assert_eq!(fast.type_name.as_deref(), Some("commit"));
    assert_eq!(story.told.ends().count(), 1, "the slow one still runs: {:#?}", story.told.so_far);

    story.machine.execute("block-job-cancel", &json!({"device": "slow"}));
    let slow = story.end_of("slow");
    assert_eq!(slow.outcome, number::OUTCOME_CANCELLED);
    assert_eq!(slow.type_name.as_deref(), Some("stream"));
    assert_eq!(story.told.ends().count(), 2);
    story.close();
}

/// One callback for all monitors, and a job of the same id in each.
#[test]
fn two_qemus_of_one_listener_are_told_apart() {
    let mut machines = [Machine::start(Host::QemuSystem), Machine::start(Host::StorageDaemon)];
    let names = ["vm1", "vm2"];
    let listener = Listener::new();
    let mut told = Told::from(listener.events(None));
    let monitors = [0, 1].map(|i| listener.monitor(names[i], &machines[i].library_socket()));
    for (monitor, machine) in monitors.iter().zip(&mut machines) {
        monitor.connect();
        machine.add_disk("disk");
        let stream = json!({"job-id": JOB, "device": "disk", "speed": STANDSTILL});
        machine.execute("block-stream", &stream);
    }
    for name in names {
        told.until_status(name, JOB, "running");
    }

    // The second job is cancelled, and then the first is let go on to its success.
    machines[1].execute("block-job-cancel", &json!({"device": JOB}));
    told.until_status("vm2", JOB, "null");
    machines[0].execute("block-job-set-speed", &json!({"device": JOB, "speed": 0}));
    told.until_status("vm1", JOB, "null");

    let ends: Vec<_> = told.ends().map(|end| (end.monitor.as_str(), end.outcome)).collect();
    assert_eq!(ends, [("vm2", number::OUTCOME_CANCELLED), ("vm1", number::OUTCOME_SUCCEEDED)]);
    for (name, machine) in names.iter().zip(&mut machines) {
        assert_eq!(machine.execute("query-jobs", &json!({})), json!([]));
        assert_told(&told.so_far, name, machine.qmp().events());
    }
}
