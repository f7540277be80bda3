//! A QEMU that keeps a journal, and ends that nobody else could tell: of others' jobs, which QEMU
//! forgets at once, while there was no connection.

use serde_json::{Value, json};

use crate::client::{Event, Listener, Monitor, number};
use crate::expected;
use crate::machine::{Errors, Host, Machine};
use crate::proxy::Proxy;
use crate::story::{JOB, MONITOR, STANDSTILL, Told};
use crate::tally::until_forgotten;
use crate::with_both_hosts;

with_both_hosts! {
    ends_that_nobody_heard_are_in_the_journal,
    the_journal_outlives_its_qemu,
    the_journal_of_a_restarted_qemu_goes_on,
    an_id_that_was_used_again_meanwhile_means_the_first_job,
    without_a_journal_such_an_end_is_lost,
    a_killed_job_has_no_end_in_any_journal,
    a_program_that_was_away_finds_its_jobs_behind_its_position,
}

struct Scene {
    machine: Machine,
    proxy: Proxy,
    monitor: Monitor,
    told: Told,
    _listener: Listener,
}

impl Scene {
    fn begin(host: Host, set: impl Fn(&Monitor, &Machine)) -> Self {
        let machine = Machine::start_with_journal(host);
        let proxy = Proxy::before(&machine.library_socket());
        let listener = Listener::new();
        let monitor = listener.monitor(MONITOR, proxy.path());
        monitor.set_reconnect(1, 20);
        monitor.set_lost_after(-1);
        set(&monitor, &machine);
        let mut told = Told::from(listener.events(Some(&monitor)));
        monitor.connect();
        told.until("CONNECTED", |event| event.kind == number::CONNECTED);
        Self { machine, proxy, monitor, told, _listener: listener }
    }

    fn with_journal(host: Host) -> Self {
        Self::begin(host, |monitor, machine| monitor.set_journal(&machine.journal(), None))
    }

    /// A stream of the second client's that stands still, as the library knows.
    fn start_slow(&mut self, id: &str, disk: &str) {
        let stream = json!({"job-id": id, "device": disk, "speed": STANDSTILL});
        self.machine.execute("block-stream", &stream);
        self.told.until_status(MONITOR, id, "running");
    }

    /// Lets it go on to its end, of which nobody else hears.
    fn finish_unheard(&mut self, id: &str) {
        self.machine.execute("block-job-set-speed", &json!({"device": id, "speed": 0}));
        until_forgotten(self.machine.qmp(), "it dismisses itself");
    }

    fn until_final(&mut self, id: &str) -> Event {
        self.told.until(&format!("the end of {id}"), |event| {
            event.kind & number::FINAL != 0 && event.job_id.as_deref() == Some(id)
        })
    }

    /// Asserts that this is told of how a job ended, as QEMU told it to the second client, the
    /// first time where there are several.
    fn assert_recovered(&mut self, id: &str) -> Event {
        let end = self.until_final(id);
        let seen = self.machine.qmp().events();
        let truth = seen.iter().filter(|seen| seen.value["data"]["device"] == json!(id));
        let mut truth = truth.filter_map(|seen| expected::event(MONITOR, seen));
        let truth = truth.find(|event| event.kind & number::FINAL != 0).expect("it was seen");
        assert_eq!(end.origin, number::ORIGIN_RECOVERED);
        assert_eq!(end.pivoted, number::PIVOTED_NO, "streams do not");
        let told =
            Event { origin: truth.origin, pivoted: truth.pivoted, position: None, ..end.clone() };
        assert_eq!(told, truth);
        end
    }

    fn close(mut self) -> Told {
        self.monitor.close();
        self.told.until("CLOSED", |event| event.kind == number::CLOSED);
        self.told
    }
}

fn ends_that_nobody_heard_are_in_the_journal(host: Host) {
    let mut scene = Scene::with_journal(host);
    scene.machine.add_disk("disk");
    scene.machine.add_failing_disk("failing", Errors::Always);
    scene.machine.add_disk("stays");
    // The first half of the failing one is copied in one piece: it stands still before its error.
    for (id, disk) in [("succeeds", "disk"), ("fails", "failing"), ("stays", "stays")] {
        scene.start_slow(id, disk);
    }
    scene.proxy.refuse();
    for id in ["succeeds", "fails"] {
        scene.machine.execute("block-job-set-speed", &json!({"device": id, "speed": 0}));
    }
    crate::eventually("two jobs end", || {
        let jobs = scene.machine.execute("query-jobs", &json!({}));
        (jobs.as_array().map(Vec::len) == Some(1)).then_some(())
    });
    scene.proxy.admit();
    scene.told.until_many(2, |event| event.kind == number::CONNECTED);
    let after = scene.told.so_far.iter().rev().find(|event| event.kind == number::CONNECTED);
    assert_eq!(after.map(|event| event.recovered), Some(2));
    let ends: Vec<_> = scene.told.finals().map(|end| end.outcome).collect();
    assert_eq!(ends.len(), 2, "recovered ends stand before CONNECTED: {:#?}", scene.told.so_far);
    assert_eq!(scene.assert_recovered("succeeds").outcome, number::OUTCOME_SUCCEEDED);
    assert_eq!(scene.assert_recovered("fails").outcome, number::OUTCOME_FAILED);

    // The third one lives, and ends before the eyes of all.
    scene.machine.execute("block-job-cancel", &json!({"device": "stays"}));
    let stays = scene.until_final("stays");
    assert_eq!((stays.kind, stays.origin), (number::CANCELLED, number::ORIGIN_LIVE));
    assert_eq!(scene.close().finals().count(), 3);
}

/// Killed right after the end, with nobody connected. What is on disk tells all the same.
fn the_journal_outlives_its_qemu(host: Host) {
    let mut scene = Scene::begin(host, |monitor, machine| {
        monitor.set_journal(&machine.journal(), None);
        monitor.set_lost_after(200);
    });
    scene.machine.add_disk("disk");
    scene.start_slow(JOB, "disk");
    scene.proxy.refuse();
    scene.finish_unheard(JOB);
    scene.machine.kill();
    let end = scene.assert_recovered(JOB);
    assert_eq!(end.outcome, number::OUTCOME_SUCCEEDED);
    assert_eq!(scene.close().finals().count(), 1);
}

fn the_journal_of_a_restarted_qemu_goes_on(host: Host) {
    let mut scene = Scene::with_journal(host);
    scene.machine.add_disk("disk");
    scene.start_slow(JOB, "disk");
    scene.proxy.refuse();
    scene.finish_unheard(JOB);
    scene.machine.kill();
    let end = {
        let seen: Vec<Value> =
            scene.machine.qmp().events().iter().map(|seen| seen.value.clone()).collect();
        scene.machine.start_again();
        scene.proxy.admit();
        let end = scene.until_final(JOB);
        let truth = seen.iter().find(|seen| seen["event"] == "BLOCK_JOB_COMPLETED");
        assert_eq!(json!(end.len), truth.expect("it was seen")["data"]["len"]);
        end
    };
    assert_eq!((end.kind, end.outcome), (number::COMPLETED, number::OUTCOME_SUCCEEDED));
    assert_eq!(end.origin, number::ORIGIN_RECOVERED);
    scene.told.until_many(2, |event| event.kind == number::CONNECTED);

    // The new process writes to the same journal.
    scene.machine.add_disk("disk");
    scene.start_slow("again", "disk");
    scene.proxy.refuse();
    scene.finish_unheard("again");
    scene.proxy.admit();
    assert_eq!(scene.assert_recovered("again").outcome, number::OUTCOME_SUCCEEDED);
    assert_eq!(scene.close().finals().count(), 2);
}

fn an_id_that_was_used_again_meanwhile_means_the_first_job(host: Host) {
    let mut scene = Scene::with_journal(host);
    scene.machine.add_disk("disk");
    scene.machine.add_failing_disk("failing", Errors::Always);
    scene.start_slow(JOB, "disk");
    scene.proxy.refuse();
    scene.finish_unheard(JOB);
    scene.machine.execute("block-stream", &json!({"job-id": JOB, "device": "failing"}));
    until_forgotten(scene.machine.qmp(), "it dismisses itself");
    scene.proxy.admit();
    assert_eq!(scene.assert_recovered(JOB).outcome, number::OUTCOME_SUCCEEDED);
    scene.told.until_many(2, |event| event.kind == number::CONNECTED);
    assert_eq!(scene.close().finals().count(), 1, "of the second nobody had heard");
}

fn without_a_journal_such_an_end_is_lost(host: Host) {
    let mut scene = Scene::begin(host, |_, _| {});
    scene.machine.add_disk("disk");
    scene.start_slow(JOB, "disk");
    scene.proxy.refuse();
    scene.finish_unheard(JOB);
    scene.proxy.admit();
    let lost = scene.until_final(JOB);
    assert_eq!((lost.kind, lost.loss), (number::LOST, number::LOSS_GONE));
    assert_eq!((lost.outcome, lost.origin), (number::OUTCOME_UNKNOWN, number::ORIGIN_INFERRED));
    scene.told.until_many(2, |event| event.kind == number::CONNECTED);
    assert_eq!(scene.close().finals().count(), 1);
}

fn a_killed_job_has_no_end_in_any_journal(host: Host) {
    let mut scene = Scene::begin(host, |monitor, machine| {
        monitor.set_journal(&machine.journal(), None);
        monitor.set_lost_after(200);
    });
    scene.machine.add_disk("disk");
    scene.start_slow(JOB, "disk");
    scene.machine.kill();
    let lost = scene.until_final(JOB);
    assert_eq!((lost.kind, lost.loss), (number::LOST, number::LOSS_NO_CONNECTION));
    assert_eq!(scene.close().finals().count(), 1);
}

/// They are jobs with the owner's name that QEMU did not keep.
fn a_program_that_was_away_finds_its_jobs_behind_its_position(host: Host) {
    let mut machine = Machine::start_with_journal(host);
    machine.add_target("disk");
    run_unheard(&mut machine, "keeper-old");
    run_unheard(&mut machine, "keeper-older");
    // What it remembers is found without a position, and nothing else is.
    let (ends, position) = connect(&machine, None, Some("keeper-old"));
    assert_eq!(ends, ["keeper-old"]);
    let position = position.expect("the journal was read up to its end");

    run_unheard(&mut machine, "keeper-new");
    run_unheard(&mut machine, "foreign");
    let (ends, later) = connect(&machine, Some(&position), None);
    assert_eq!(ends, ["keeper-new"]);
    let later = later.expect("the journal was read up to its end");
    let (ends, _) = connect(&machine, Some(&later), None);
    assert_eq!(ends, [""; 0], "nothing is new");

    // The same when QEMU is gone with it: there is the file.
    run_unheard(&mut machine, "keeper-last");
    machine.kill();
    machine.start_again();
    let (ends, _) = connect(&machine, Some(&later), None);
    assert_eq!(ends, ["keeper-last"]);
}

fn run_unheard(machine: &mut Machine, id: &str) {
    machine.execute("block-stream", &json!({"job-id": id, "device": "disk"}));
    until_forgotten(machine.qmp(), "it dismisses itself");
}

/// One run of a program: the ends that are recovered until it is CONNECTED, all of them of jobs
/// that succeeded, and how far it knows the journal then.
fn connect(
    machine: &Machine,
    position: Option<&str>,
    remembers: Option<&str>,
) -> (Vec<String>, Option<String>) {
    let listener = Listener::new();
    listener.set_owner("keeper");
    let monitor = listener.monitor(MONITOR, &machine.library_socket());
    monitor.set_journal(&machine.journal(), position);
    let mut told = Told::from(listener.events(Some(&monitor)));
    let _job = remembers.map(|id| monitor.job(Some(id), number::JOB_EXISTS));
    monitor.connect();
    let connected = told.until("CONNECTED", |event| event.kind == number::CONNECTED);
    monitor.close();
    told.until("CLOSED", |event| event.kind == number::CLOSED);
    for end in told.finals() {
        assert_eq!((end.kind, end.outcome), (number::COMPLETED, number::OUTCOME_SUCCEEDED));
        assert_eq!(end.origin, number::ORIGIN_RECOVERED);
    }
    let ids = told.finals().map(|end| end.job_id.clone().expect("an end has an id")).collect();
    (ids, connected.position)
}
