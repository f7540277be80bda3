//! QEMUs that are killed, that hang, that are started again, and that nobody reaches any more.

use serde_json::json;

use crate::chance::Chance;
use crate::client::{Event, Job, Listener, Monitor, number};
use crate::expected;
use crate::machine::{Host, Machine};
use crate::proxy::Proxy;
use crate::story::{JOB, MONITOR, SPEED, STANDSTILL, Told};
use crate::with_both_hosts;

with_both_hosts! {
    a_killed_qemu_ends_its_job_at_once,
    a_qemu_that_hangs_loses_no_job,
    a_restarted_qemu_may_have_a_job_of_the_same_id,
    a_job_is_lost_when_nobody_listens_for_too_long,
    a_marker_tells_a_restarted_qemu_where_the_process_cannot,
}

/// One QEMU, and a monitor that is connected to it as it should be for a story.
struct Scene {
    machine: Machine,
    monitor: Monitor,
    told: Told,
    _listener: Listener,
}

impl Scene {
    fn begin(machine: Machine, socket: &std::path::Path, set: impl Fn(&Monitor)) -> Self {
        let listener = Listener::new();
        let monitor = listener.monitor(MONITOR, socket);
        // Whatever is lost should be for another reason, unless the story says so.
        monitor.set_lost_after(-1);
        monitor.set_reconnect(1, 20);
        set(&monitor);
        let mut told = Told::from(listener.observe(Some(&monitor)));
        monitor.connect();
        told.until("CONNECTED", |event| event.kind == number::CONNECTED);
        Self { machine, monitor, told, _listener: listener }
    }

    fn direct(host: Host, set: impl Fn(&Monitor)) -> Self {
        let machine = Machine::start(host);
        let socket = machine.library_socket();
        Self::begin(machine, &socket, set)
    }

    fn connections(&self) -> Vec<&Event> {
        self.told.so_far.iter().filter(|event| event.kind == number::CONNECTED).collect()
    }

    /// A stream that stands still after its first piece.
    fn start_slow(&mut self, id: Option<&str>) -> Job {
        self.machine.add_disk("disk");
        let job = self.monitor.job(id, 0);
        job.start("block-stream", &json!({"device": "disk", "speed": STANDSTILL}));
        self.told.until_status(MONITOR, &job.id(), "running");
        job
    }

    /// Closes the monitor, and gives what was told of how the job ended.
    fn finals(mut self, id: &str) -> Vec<Event> {
        self.monitor.close();
        self.told.until("CLOSED", |event| event.kind == number::CLOSED);
        self.told.finals().filter(|end| end.job_id.as_deref() == Some(id)).cloned().collect()
    }
}

/// The moment is that of an event of the job, drawn by chance: the end may be on the wire by then.
fn a_killed_qemu_ends_its_job_at_once(host: Host) {
    let mut chance = Chance::of(4);
    let mut lost = 0;
    for round in 0..12 {
        let mut scene = Scene::direct(host, |_| {});
        scene.machine.add_disk("disk");
        let job = scene.monitor.job(None, 0);
        let id = job.id();
        // Created, running, waiting, pending, completed, concluded; a slow one is killed running.
        let events = 1 + usize::try_from(chance.below(6)).expect("it is below six");
        let speed = if events < 3 { STANDSTILL } else { SPEED };
        job.start("block-stream", &json!({"device": "disk", "speed": speed}));
        scene.told.until_many(events, |event| event.job_id.as_deref() == Some(&id));
        scene.machine.kill();
        let end = job.wait();
        scene.machine.qmp().read_to_end();
        let seen = scene.machine.qmp().events().iter().filter_map(|seen| {
            expected::event(MONITOR, seen).filter(|event| event.kind & number::FINAL != 0)
        });
        let seen: Vec<Event> = seen.collect();
        if end.kind == number::LOST {
            lost += 1;
            assert_eq!(end.loss, number::LOSS_QEMU_GONE, "{round}: {end:#?}");
            assert_eq!(end.outcome, number::OUTCOME_UNKNOWN);
            assert_eq!(end.origin, number::ORIGIN_INFERRED);
            assert_eq!(end.json, None);
            assert!(events < 6, "{round}: its end was told before it was killed: {end:#?}");
        } else {
            assert_eq!(end.outcome, number::OUTCOME_SUCCEEDED, "{round}");
            // Killed between the two, QEMU had told the library alone.
            for seen in &seen {
                assert_eq!(&Event { pivoted: seen.pivoted, ..end.clone() }, seen, "{round}");
            }
        }
        drop(job);
        assert_eq!(scene.finals(&id), [end], "{round}");
    }
    assert!(lost > 0, "some job should have been killed on its way");
}

fn a_qemu_that_hangs_loses_no_job(host: Host) {
    let mut scene = Scene::direct(host, |monitor| {
        monitor.set_keepalive(50, 200);
        // A hanging QEMU is connected all the same.
        monitor.set_lost_after(100);
    });
    let job = scene.start_slow(None);
    let id = job.id();
    let slow = |event: &Event| event.kind == number::UNRESPONSIVE;
    let again = |event: &Event| event.kind == number::RESPONSIVE;
    // An answer may have been slow before.
    let before = scene.told.drain().iter().filter(|event| slow(event)).count();
    scene.machine.hang();
    scene.told.until_many(before + 1, slow);
    let hangs = scene.told.until("UNRESPONSIVE", |event| event.kind == number::UNRESPONSIVE);
    assert_eq!(hangs.name, "UNRESPONSIVE");
    assert_eq!(hangs.outcome, number::OUTCOME_UNKNOWN);
    assert_eq!(
        job.wait_for(std::time::Duration::from_millis(300)).map_err(|error| error.0),
        Err(-libc::ETIMEDOUT),
        "to hang is no end"
    );
    scene.machine.go_on();
    scene.told.until_many(before + 1, again);
    scene.machine.execute("block-job-set-speed", &json!({"device": id, "speed": 0}));
    let end = job.wait();
    assert_eq!((end.kind, end.outcome), (number::COMPLETED, number::OUTCOME_SUCCEEDED));
    assert_eq!(end.origin, number::ORIGIN_LIVE);
    crate::tally::until_forgotten(scene.machine.qmp(), "its end was acknowledged");
    drop(job);
    assert_eq!(scene.connections().len(), 1, "the connection stood all the time");
    assert_eq!(scene.finals(&id), [end]);
}

fn a_restarted_qemu_may_have_a_job_of_the_same_id(host: Host) {
    let mut scene = Scene::direct(host, |_| {});
    assert_eq!(scene.connections()[0].process, number::PROCESS_FIRST);
    let before = scene.start_slow(Some(JOB));
    scene.machine.kill();
    let lost = before.wait();
    assert_eq!((lost.kind, lost.loss), (number::LOST, number::LOSS_QEMU_GONE), "{lost:#?}");
    drop(before);
    scene.machine.start_again();
    scene.told.until("another process", |event| {
        event.kind == number::CONNECTED && event.process == number::PROCESS_RESTARTED
    });

    scene.machine.add_disk("disk");
    let after = scene.monitor.job(Some(JOB), 0);
    after.start("block-stream", &json!({"device": "disk"}));
    let end = after.wait();
    assert_eq!((end.kind, end.outcome), (number::COMPLETED, number::OUTCOME_SUCCEEDED));
    crate::tally::until_forgotten(scene.machine.qmp(), "its end was acknowledged");
    drop(after);
    assert_eq!(scene.connections().len(), 2);
    assert_eq!(scene.finals(JOB), [lost, end]);
}

/// Behind the proxy nobody can see that QEMU's process lives.
fn a_job_is_lost_when_nobody_listens_for_too_long(host: Host) {
    let machine = Machine::start(host);
    let proxy = Proxy::before(&machine.library_socket());
    let mut scene = Scene::begin(machine, proxy.path(), |monitor| monitor.set_lost_after(200));
    let job = scene.start_slow(None);
    let id = job.id();
    proxy.refuse();
    let lost = job.wait();
    assert_eq!((lost.kind, lost.loss), (number::LOST, number::LOSS_NO_CONNECTION), "{lost:#?}");
    assert_eq!(lost.origin, number::ORIGIN_INFERRED);

    // It lives and is found again, but its end was told, and there is no other.
    proxy.admit();
    scene.told.until_many(2, |event| event.kind == number::CONNECTED);
    scene.machine.execute("block-job-cancel", &json!({"device": id}));
    scene.told.until_status(MONITOR, &id, "concluded");
    let jobs = scene.machine.execute("query-jobs", &json!({}));
    assert_eq!(jobs[0]["status"], "concluded", "nobody has acknowledged this end: {jobs}");
    drop(job);
    assert_eq!(scene.finals(&id), [lost]);
}

fn a_marker_tells_a_restarted_qemu_where_the_process_cannot(host: Host) {
    let machine = Machine::start(host);
    let proxy = Proxy::before(&machine.library_socket());
    let mut scene = Scene::begin(machine, proxy.path(), Monitor::set_marker);
    // QEMU has answered this after it took the marker.
    let job = scene.start_slow(None);
    let id = job.id();
    proxy.cut();
    scene.told.until_many(2, |event| event.kind == number::CONNECTED);
    scene.machine.kill();
    scene.machine.start_again();
    scene.told.until_many(3, |event| event.kind == number::CONNECTED);
    let processes: Vec<_> = scene.connections().iter().map(|event| event.process).collect();
    let lost = job.wait();
    assert_eq!(lost.kind, number::LOST);
    // The storage daemon has had no command for the marker before 6.0.
    if host == Host::StorageDaemon && scene.machine.qmp().version() < (6, 0) {
        let unknown = number::PROCESS_UNKNOWN;
        assert_eq!(processes, [number::PROCESS_FIRST, unknown, unknown]);
    } else {
        let restarted = number::PROCESS_RESTARTED;
        assert_eq!(processes, [number::PROCESS_FIRST, number::PROCESS_SAME, restarted]);
        assert_eq!(lost.loss, number::LOSS_QEMU_RESTARTED);
    }
    drop(job);
    assert_eq!(scene.finals(&id), [lost]);
}
