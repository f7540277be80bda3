//! A QEMU that keeps a journal, and ends that nobody else could tell: of others' jobs, which QEMU
//! forgets at once, while there was no connection.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::client::{Event, Listener, Monitor, number};
use crate::expected;
use crate::machine::{Errors, Host, Machine};
use crate::proxy::{Cut, Direction, Proxy};
use crate::story::{JOB, MONITOR, STANDSTILL, Told};
use crate::tally::until_forgotten;
use crate::{eventually, one_at_a_time, with_both_hosts};

with_both_hosts! {
    ends_that_nobody_heard_are_in_the_journal,
    the_journal_outlives_its_qemu,
    the_journal_of_a_restarted_qemu_goes_on,
    an_id_that_was_used_again_meanwhile_means_the_first_job,
    without_a_journal_such_an_end_is_lost,
    a_killed_job_has_no_end_in_any_journal,
    jobs_of_others_are_told_over_connections_that_are_cut,
    jobs_of_others_that_use_one_id_are_told_over_connections_that_are_cut,
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
    eventually("two jobs end", || {
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

fn jobs_of_others_are_told_over_connections_that_are_cut(host: Host) {
    let ends = ends_over_cuts(host, 6, |round| format!("job{round}"));
    for id in &ends.heard_of {
        let told = ends.told.iter().filter(|end| end.job_id.as_ref() == Some(id)).count();
        assert_eq!(told, 1, "{id} was heard of, and must have one end");
    }
}

/// Whether a job under this id is the one of before the gap follows from the journal alone.
fn jobs_of_others_that_use_one_id_are_told_over_connections_that_are_cut(host: Host) {
    ends_over_cuts(host, 7, |_| JOB.to_owned());
}

struct Ends {
    told: Vec<Event>,
    /// The ids of which a status was told. Of a job that is heard of by its `null` alone nothing
    /// was known, and it has no end.
    heard_of: BTreeSet<String>,
}

/// Many short jobs of the second client's. What is told of their ends is what QEMU said of some of
/// them, each once, and never that one is LOST. What the journal told may come after what was heard
/// since.
fn ends_over_cuts(host: Host, story: u64, id: impl Fn(usize) -> String) -> Ends {
    const JOBS: usize = 100;
    let _turn = one_at_a_time();
    let mut scene = Scene::with_journal(host);
    scene.machine.add_target("empty");
    scene.machine.add_failing_disk("failing", Errors::Always);
    let mut chance = Chance::of(story);
    let cuts: Vec<Cut> = (0..4 * JOBS)
        .map(|_| {
            let after = usize::try_from(600 + chance.below(3000)).expect("it is a few thousand");
            Cut { direction: Direction::ToLibrary, after }
        })
        .collect();
    scene.proxy.plan(&cuts);
    scene.proxy.cut();
    for round in 0..JOBS {
        if round % 4 == 0 {
            eventually("the library is connected", || {
                (scene.monitor.state() == number::STATE_CONNECTED).then_some(())
            });
        }
        let disk = ["empty", "failing"][round % 2];
        let stream = json!({"job-id": id(round), "device": disk});
        scene.machine.execute("block-stream", &stream);
        until_forgotten(scene.machine.qmp(), "it dismisses itself");
    }
    // With one more connection, which is not cut, all before it has been told.
    scene.proxy.plan(&[]);
    let connections = |event: &&Event| event.kind == number::CONNECTED;
    let before = scene.told.drain().iter().filter(connections).count();
    scene.proxy.cut();
    scene.told.until_many(before + 1, |event| event.kind == number::CONNECTED);
    let were_cut = scene.told.so_far.iter().filter(connections).count();
    let seen = scene.machine.qmp().events().iter().filter_map(|seen| {
        expected::event(MONITOR, seen).filter(|event| event.kind & number::FINAL != 0)
    });
    let seen: Vec<Event> = seen.collect();
    let told = scene.close();

    let ends: Vec<Event> = told.finals().cloned().collect();
    // By their places in what QEMU told; its words name the moment, so no two are the same.
    let places: Vec<Option<usize>> =
        ends.iter().map(|end| seen.iter().position(|truth| truth.json == end.json)).collect();
    let origins: Vec<_> = ends.iter().map(|end| (end.kind, end.origin, end.loss)).collect();
    let once: BTreeSet<_> = places.iter().flatten().collect();
    assert_eq!(once.len(), ends.len(), "each of QEMU's, and once: {places:?} {origins:?}");
    let recovered = ends.iter().filter(|end| end.origin == number::ORIGIN_RECOVERED).count();
    println!("{host:?}: {were_cut} connections, {} ends told, {recovered} recovered", ends.len());
    assert!(were_cut > 5, "only {were_cut} connections");
    let status = |event: &&Event| {
        event.kind == number::STATUS && event.status_name.as_deref() != Some("null")
    };
    let heard_of = told.so_far.iter().filter(status).filter_map(|event| event.job_id.clone());
    Ends { heard_of: heard_of.collect(), told: ends }
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
