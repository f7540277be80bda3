//! Listeners that come and go beside the one of long life, each with a monitor, a job and the
//! delivery whose turn it is; what was made is freed in any order.

use std::time::Duration;

use crate::chance::Chance;
use crate::client::{Event, Listener, lifetimes::Delivery, number};
use crate::judge::Case;
use crate::machine::{Host, Machine};
use crate::room;
use crate::run::Run;
use crate::script::STREAM;

/// A QEMU serves so many of them, and then the next one does.
const GUESTS: usize = 20;

const NAME: &str = "guest";

pub fn come_and_go(run: &Run, mut chance: Chance) {
    while !run.is_over() {
        let mut machine = Machine::start(Host::StorageDaemon);
        machine.add_target("empty");
        for guest in 0..GUESTS {
            if run.is_over() {
                break;
            }
            let delivery = [Delivery::Thread, Delivery::Loop, Delivery::Pull][guest % 3];
            visit(run, &mut machine, delivery, &mut chance);
        }
    }
}

fn visit(run: &Run, machine: &mut Machine, delivery: Delivery, chance: &mut Chance) {
    let listener = Listener::new();
    listener.deliver_by(delivery);
    let monitor = listener.monitor(NAME, &machine.library_socket());
    let told = if delivery == Delivery::Pull {
        listener.subscribe();
        None
    } else {
        Some(listener.events(None))
    };
    monitor.connect();
    let job = monitor.job(None, 0);
    let started = room::start(machine, &job, STREAM.command, &STREAM.arguments());
    started.unwrap_or_else(|status| panic!("the guests' QEMU has ended by itself: {status}"));
    let id = job.id();
    let is_end = |event: &Event| event.kind & number::FINAL != 0;
    let mut end = || match (delivery, &told) {
        (_, Some(told)) => told.try_iter().find(is_end),
        (_, None) => Some(listener.pull(crate::DEADLINE)).filter(is_end),
    };
    let end = match delivery {
        Delivery::Loop => listener.dispatch_until("the end of a guest's job", end),
        _ => crate::eventually("the end of a guest's job", &mut end),
    };
    // Claimed by the handle as well.
    assert_eq!(job.wait_for(Duration::ZERO).as_ref(), Ok(&end));
    crate::eventually("QEMU forgets a guest's job", || {
        let jobs = machine.execute("query-jobs", &serde_json::json!({}));
        (jobs == serde_json::json!([])).then_some(())
    });
    let case = Case {
        id,
        outcome: Some(STREAM.outcome),
        not_pivoted: None,
        killed: false,
        what: format!("a guest's job, told by {delivery:?}"),
    };
    let mut figures = run.figures();
    *figures.jobs.entry(STREAM.name).or_default() += 1;
    *figures.listeners.entry(format!("{delivery:?}")).or_default() += 1;
    figures.judged.judge(&case, &[end], machine.qmp().events(), &[]);
    drop(figures);
    match chance.below(3) {
        0 => drop((listener, job, monitor)),
        1 => drop((monitor, listener, job)),
        _ => drop((job, monitor, listener)),
    }
}
