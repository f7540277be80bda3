//! One job's whole conversation, from the greeting to the dismissal, cut at any byte of either
//! direction: its end is told once, and as it was.
//!
//! `make check` cuts at the border of each message and at a hundred bytes drawn by chance. With
//! `BLOCKJOB_CUTS=all`, which `make cuts` sets, each byte is one.

use std::panic::{self, AssertUnwindSafe};
use std::{env, time::Duration};

use serde_json::Value;

use crate::chance::Chance;
use crate::client::{CUT, Event, Job, Listener, Monitor, number};
use crate::machine::{Errors, Host, Machine};
use crate::proxy::{Cut, DIRECTIONS, Direction, Passed, Proxy};
use crate::qmp;
use crate::story::{MONITOR, Told};
use crate::tally::{Tally, until_forgotten};
use crate::{eventually, one_at_a_time, with_both_hosts};

with_both_hosts! {
    a_conversation_may_be_cut_at_any_byte,
    a_completion_may_be_cut_at_any_byte,
    a_conversation_may_be_cut_again_and_again,
}

/// How many bytes the quick form draws.
const DRAWN: usize = 100;
/// How many may fail of themselves in one conversation.
const QEMUS_MAX: usize = 3;

/// What is said in a conversation. It leaves the disks as they were, so that they serve for ever.
#[derive(Debug)]
struct Script {
    name: &'static str,
    command: &'static str,
    arguments: &'static str,
    /// The job is told to complete.
    completes: bool,
}

/// One has nothing to do, and the other cannot be read.
const STREAMS: [Script; 2] = [
    Script {
        name: "stream",
        command: "block-stream",
        arguments: r#"{"device": "empty"}"#,
        completes: false,
    },
    Script {
        name: "failing stream",
        command: "block-stream",
        arguments: r#"{"device": "failing"}"#,
        completes: false,
    },
];

const MIRROR: Script = Script {
    name: "mirror",
    command: "blockdev-mirror",
    arguments: r#"{"device": "empty", "target": "target", "sync": "full"}"#,
    completes: true,
};

fn a_conversation_may_be_cut_at_any_byte(host: Host) {
    cut_everywhere(host, &STREAMS, &mut Chance::of(1));
}

/// That a mirror was told to complete is known for certain, or is said not to be.
fn a_completion_may_be_cut_at_any_byte(host: Host) {
    cut_everywhere(host, &[MIRROR], &mut Chance::of(5));
}

fn cut_everywhere(host: Host, scripts: &[Script], chance: &mut Chance) {
    let _turn = one_at_a_time();
    let mut table = Table::begin(host);
    let everywhere = env::var("BLOCKJOB_CUTS").is_ok_and(|which| which == "all");
    Tally::heading();
    for (script, direction) in scripts.iter().flat_map(|it| DIRECTIONS.map(|way| (it, way))) {
        let whole = table.converse(script, &[], &mut Tally::default());
        let length = whole.towards(direction).len();
        let offsets: Vec<usize> = if everywhere {
            // Times and ids have more digits at times.
            (0..length + 8).collect()
        } else {
            let drawn = (0..DRAWN / 4).map(|_| usize::try_from(chance.below(length as u64)));
            let borders = whole.borders(direction).into_iter();
            borders.chain(drawn.map(|drawn| drawn.expect("it is below a length"))).collect()
        };
        let mut tally = Tally::default();
        for &after in &offsets {
            table.converse(script, &[Cut { direction, after }], &mut tally);
        }
        tally.print(&format!("{host:?} {} {direction:?}", script.name));
        tally.assert_faultless();
        assert_eq!(tally.jobs(), offsets.len());
        // Each was cut, but for those that the conversation did not reach.
        assert_eq!(tally.cuts + tally.unreached, offsets.len());
        assert!(tally.cuts > 0, "no conversation came so far as its cut");
    }
}

fn a_conversation_may_be_cut_again_and_again(host: Host) {
    let _turn = one_at_a_time();
    let mut table = Table::begin(host);
    let mut chance = Chance::of(2);
    let mut tally = Tally::default();
    let length = table.converse(&STREAMS[0], &[], &mut Tally::default()).to_library.len() as u64;
    for round in 0..40 {
        let cuts: Vec<Cut> = (0..5)
            .map(|_| {
                let way = DIRECTIONS[usize::from(chance.below(4) == 0)];
                let limit = if way == Direction::ToLibrary { length } else { length / 4 };
                let after = usize::try_from(chance.below(limit)).expect("it is below a length");
                Cut { direction: way, after }
            })
            .collect();
        table.converse(&STREAMS[round % 2], &cuts, &mut tally);
    }
    Tally::heading();
    tally.print(&format!("{host:?} cut up to five times"));
    tally.assert_faultless();
    assert_eq!(tally.jobs(), 40);
    assert!(tally.recovered() > 0, "some ends should have been recovered");
}

/// One QEMU for all conversations.
struct Table {
    host: Host,
    machine: Machine,
    proxy: Proxy,
    listener: Listener,
}

impl Table {
    fn begin(host: Host) -> Self {
        let mut machine = Machine::start(host);
        machine.add_target("empty");
        machine.add_target("target");
        machine.add_failing_disk("failing", Errors::Always);
        let proxy = Proxy::before(&machine.library_socket());
        Self { host, machine, proxy, listener: Listener::new() }
    }

    /// Holds one conversation as `try_converse` does, and with a new QEMU once more when this one
    /// has failed.
    fn converse(&mut self, script: &Script, cuts: &[Cut], tally: &mut Tally) -> Passed {
        for _ in 0..QEMUS_MAX {
            let held = AssertUnwindSafe(|| self.try_converse(script, cuts, tally));
            match panic::catch_unwind(held) {
                Ok(passed) => return passed,
                Err(_) if self.is_dead() || self.is_deaf() => *self = Self::begin(self.host),
                Err(failure) => panic::resume_unwind(failure),
            }
        }
        panic!("{QEMUS_MAX} QEMUs have failed in a {} with {cuts:?}", script.name);
    }

    /// QEMU has ended by itself: the storage daemon of 7.2.22 crashed, within glib, in one of some
    /// 60,000 connections that were cut.
    fn is_dead(&mut self) -> bool {
        let ended = self.machine.ended();
        ended.inspect(|status| println!("{:?} has ended by itself: {status}", self.host)).is_some()
    }

    /// QEMU 5.2 may close a connection before it has greeted, and then never greets anybody again:
    /// seen once in some 50,000 connections that are cut.
    fn is_deaf(&mut self) -> bool {
        self.proxy.cut();
        let is_old = self.machine.qmp().version() < (6, 0);
        is_old && !qmp::greets(&self.machine.library_socket(), Duration::from_secs(5))
    }

    /// Holds one conversation, each connection of which ends as planned, and judges it. Returns the
    /// longest connection: an old QEMU may close one before it greets, unasked.
    fn try_converse(&mut self, script: &Script, cuts: &[Cut], tally: &mut Tally) -> Passed {
        let what = format!("a {} with {cuts:?}", script.name);
        let seen = self.machine.qmp().events().len();
        self.proxy.settle();
        self.proxy.plan(cuts);
        let monitor = self.listener.monitor(MONITOR, self.proxy.path());
        monitor.set_reconnect(1, 10);
        monitor.set_lost_after(-1);
        let mut told = Told::from(self.listener.observe(Some(&monitor)));
        // It may be cut, and is made again.
        monitor.try_connect();
        let job = monitor.job(None, 0);
        let id = job.id();
        let arguments = serde_json::from_str(script.arguments).expect("it is written above");
        start(&job, &monitor, script.command, &arguments);
        if script.completes {
            // So that a refusal does not make a conversation longer, and the next one has as many
            // bytes.
            self.machine.until_ready(&id);
            complete(&job);
        }
        let end = job.wait();
        until_forgotten(self.machine.qmp(), &what);
        drop(job);
        monitor.close();
        told.until("CLOSED", |event| event.kind == number::CLOSED);

        let ends: Vec<Event> = told.finals().cloned().collect();
        assert_eq!(ends.iter().find(|told| **told != end), None, "waited for {end:#?}: {what}");
        if script.completes && end.kind == number::COMPLETED {
            // Nobody else has told it to complete.
            assert_ne!(end.pivoted, number::PIVOTED_NO, "{what}: {end:#?}");
            assert!(!cuts.is_empty() || end.pivoted == number::PIVOTED_YES, "{what}: {end:#?}");
        }
        tally.judge(&id, &ends, &self.machine.qmp().events()[seen..], &what);
        let passed = self.proxy.passed();
        if let [cut] = cuts {
            tally.unreached += usize::from(!self.was_cut(*cut, &passed, &what));
        }
        tally.cuts += passed.iter().filter(|connection| connection.was_cut).count();
        let longest = passed.into_iter().max_by_key(|connection| connection.to_library.len());
        longest.expect("there was a connection")
    }
}

impl Table {
    /// Was the first connection cut where it was to be? If not, that is because the conversation
    /// was held to its end and is shorter: its last bytes may differ by the digits of a time, or
    /// may be on their way when the monitor is closed.
    fn was_cut(&mut self, cut: Cut, passed: &[Passed], what: &str) -> bool {
        let first = &passed[0];
        let said = first.text();
        let length = first.towards(cut.direction).len();
        if first.was_cut {
            assert_eq!(length, cut.after, "{what}");
        } else if first.to_library.is_empty() && self.machine.qmp().version() < (6, 0) {
            // It was closed unasked.
        } else if said.contains("negotiation is already complete") {
            // QEMU was executing the former client's `qmp_capabilities` as that left, and took it
            // for this one's. The library began anew.
        } else {
            assert!(length < cut.after, "{what}: {length} bytes have passed uncut");
            assert_eq!(passed.len(), 1, "{what}: it ended at {length} bytes, unasked:\n{said}");
            let holds = |bytes: &[u8], word: &str| String::from_utf8_lossy(bytes).contains(word);
            assert!(holds(&first.to_qemu, "job-dismiss"), "{what}: it was not held to its end");
            assert!(holds(&first.to_library, "concluded"), "{what}: it was not held to its end");
        }
        first.was_cut
    }
}

/// Starts a job over connections that end at any moment, as a program would: again while there is
/// none, until QEMU or the library says that it knows the job.
pub fn start(job: &Job, monitor: &Monitor, command: &str, arguments: &Value) {
    let mut refused = Refused(String::new());
    eventually("a job is started", || match job.try_start(command, arguments) {
        Ok(()) => Some(()),
        Err((error, _)) if error == -libc::EALREADY => Some(()),
        Err((error, text)) if CUT.contains(&error) => {
            refused.0 = format!("{command} in state {}: {text}", monitor.state());
            None
        }
        Err(other) => panic!("{command}: {other:?} in state {}", monitor.state()),
    });
}

/// Why it was refused last, which is shown when it is asked for in vain.
struct Refused(String);

impl Drop for Refused {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0);
        }
    }
}

/// Completes a job in the same way, until QEMU takes it or the job has ended.
fn complete(job: &Job) {
    eventually("a job is completed", || match job.complete() {
        Ok(()) => Some(()),
        Err((error, _)) if error == -libc::ENOENT => Some(()),
        // It may not be ready yet.
        Err((error, _)) if error == -libc::EREMOTEIO || CUT.contains(&error) => None,
        Err(other) => panic!("{other:?}"),
    });
}
