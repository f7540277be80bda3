//! One job's whole conversation, from the greeting to the dismissal, cut at any byte of either
//! direction: its end is told once, and as it was.
//!
//! `make check` cuts at the border of each message and at a hundred bytes drawn by chance. With
//! `BLOCKJOB_CUTS=all`, which `make cuts` sets, each byte is one.

use std::env;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::client::{Event, Job, Listener, Monitor, number};
use crate::machine::{Errors, Host, Machine};
use crate::proxy::{Cut, DIRECTIONS, Direction, Passed, Proxy};
use crate::story::{MONITOR, Told};
use crate::tally::{Tally, until_forgotten};
use crate::{eventually, one_at_a_time, with_both_hosts};

with_both_hosts! {
    a_conversation_may_be_cut_at_any_byte,
    a_conversation_may_be_cut_again_and_again,
}

/// How many bytes the quick form draws.
const DRAWN: usize = 100;

/// The disks whose streams end without touching them, so that they serve for ever: one has nothing
/// to do, and the other cannot be read.
const DISKS: [&str; 2] = ["empty", "failing"];

fn a_conversation_may_be_cut_at_any_byte(host: Host) {
    let _turn = one_at_a_time();
    let mut table = Table::begin(host);
    let everywhere = env::var("BLOCKJOB_CUTS").is_ok_and(|which| which == "all");
    let mut chance = Chance::of(1);
    Tally::heading();
    for (disk, direction) in DISKS.iter().flat_map(|disk| DIRECTIONS.map(|way| (*disk, way))) {
        let whole = table.converse(disk, &[], &mut Tally::default());
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
            table.converse(disk, &[Cut { direction, after }], &mut tally);
        }
        tally.print(&format!("{host:?} {disk} {direction:?}"));
        tally.assert_faultless();
        assert_eq!(tally.jobs(), offsets.len());
        // Those near the end may find the monitor closed already.
        let (cut, all) = (tally.cuts, offsets.len());
        assert!(cut * 10 >= all * 8, "only {cut} of {all} offsets cut a connection");
    }
}

fn a_conversation_may_be_cut_again_and_again(host: Host) {
    let _turn = one_at_a_time();
    let mut table = Table::begin(host);
    let mut chance = Chance::of(2);
    let mut tally = Tally::default();
    let length = table.converse("empty", &[], &mut Tally::default()).to_library.len() as u64;
    for round in 0..40 {
        let cuts: Vec<Cut> = (0..5)
            .map(|_| {
                let way = DIRECTIONS[usize::from(chance.below(4) == 0)];
                let limit = if way == Direction::ToLibrary { length } else { length / 4 };
                let after = usize::try_from(chance.below(limit)).expect("it is below a length");
                Cut { direction: way, after }
            })
            .collect();
        table.converse(DISKS[round % 2], &cuts, &mut tally);
    }
    Tally::heading();
    tally.print(&format!("{host:?} cut up to five times"));
    tally.assert_faultless();
    assert_eq!(tally.jobs(), 40);
    assert!(tally.recovered() > 0, "some ends should have been recovered");
}

/// One QEMU for all conversations.
struct Table {
    machine: Machine,
    proxy: Proxy,
    listener: Listener,
}

impl Table {
    fn begin(host: Host) -> Self {
        let mut machine = Machine::start(host);
        machine.add_target(DISKS[0]);
        machine.add_failing_disk(DISKS[1], Errors::Always);
        let proxy = Proxy::before(&machine.library_socket());
        Self { machine, proxy, listener: Listener::new() }
    }

    /// Holds one conversation, each connection of which ends as planned, and judges it.
    /// Returns its first connection.
    fn converse(&mut self, disk: &str, cuts: &[Cut], tally: &mut Tally) -> Passed {
        let what = format!("a stream of {disk} with {cuts:?}");
        let seen = self.machine.qmp().events().len();
        self.proxy.plan(cuts);
        let monitor = self.listener.monitor(MONITOR, self.proxy.path());
        monitor.set_reconnect(1, 10);
        monitor.set_lost_after(-1);
        let mut told = Told::from(self.listener.observe(Some(&monitor)));
        // It may be cut, and is made again.
        monitor.try_connect();
        let job = monitor.job(None, 0);
        let id = job.id();
        start(&job, &monitor, "block-stream", &json!({"device": disk}));
        let end = job.wait();
        until_forgotten(self.machine.qmp(), &what);
        drop(job);
        monitor.close();
        told.until("CLOSED", |event| event.kind == number::CLOSED);

        let ends: Vec<Event> = told.finals().cloned().collect();
        assert_eq!(ends.iter().find(|told| **told != end), None, "waited for {end:#?}: {what}");
        tally.judge(&id, &ends, &self.machine.qmp().events()[seen..], &what);
        let passed = self.proxy.passed();
        tally.cuts += passed.iter().filter(|connection| connection.was_cut).count();
        passed.into_iter().next().expect("there was a connection")
    }
}

/// Starts a job over connections that end at any moment, as a program would: again while there is
/// none, until QEMU or the library says that it knows the job.
pub fn start(job: &Job, monitor: &Monitor, command: &str, arguments: &Value) {
    eventually("a job is started", || match job.try_start(command, arguments) {
        Ok(()) => Some(()),
        Err((error, _)) if error == -libc::EALREADY => Some(()),
        Err((error, _)) if error == -libc::ENOTCONN => None,
        Err(other) => panic!("{command}: {other:?} in state {}", monitor.state()),
    });
}
