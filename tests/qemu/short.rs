//! Two hundred short jobs in a row, over connections that are cut by chance: two hundred ends, each
//! as QEMU told it.

use serde_json::json;

use crate::chance::Chance;
use crate::client::{Event, Listener, number};
use crate::cuts;
use crate::machine::{Errors, Host, Machine};
use crate::proxy::{Cut, DIRECTIONS, Proxy};
use crate::story::{MONITOR, Told};
use crate::tally::{Tally, until_forgotten};
use crate::{one_at_a_time, with_both_hosts};

with_both_hosts! {
    two_hundred_short_jobs_have_two_hundred_ends,
}

const JOBS: usize = 200;

fn two_hundred_short_jobs_have_two_hundred_ends(host: Host) {
    let _turn = one_at_a_time();
    let mut machine = Machine::start(host);
    machine.add_target("empty");
    machine.add_failing_disk("failing", Errors::Always);
    let proxy = Proxy::before(&machine.library_socket());
    let mut chance = Chance::of(3);
    // A connection that lives no longer than its negotiation is one of ten.
    let cuts: Vec<Cut> = (0..4 * JOBS)
        .map(|_| {
            let towards = usize::from(chance.below(4) == 0);
            let after = chance.below([8000, 2000][towards]);
            let after = usize::try_from(after).expect("it is a few thousand");
            Cut { direction: DIRECTIONS[towards], after }
        })
        .collect();
    proxy.plan(&cuts);

    let listener = Listener::new();
    let monitor = listener.monitor(MONITOR, proxy.path());
    monitor.set_reconnect(1, 10);
    monitor.set_lost_after(-1);
    let mut told = Told::from(listener.observe(None));
    monitor.try_connect();
    let (mut ids, mut started) = (Vec::new(), 0);
    while started < JOBS {
        let job = monitor.job(None, 0);
        let disk = ["empty", "failing"][started % 2];
        cuts::start(&job, &monitor, "block-stream", &json!({"device": disk}));
        // What the connection has cut off is started again, under another id.
        started += usize::from(job.wait().loss != number::LOSS_NOT_STARTED);
        until_forgotten(machine.qmp(), &job.id());
        ids.push(job.id());
    }
    monitor.close();
    told.until("CLOSED", |event| event.kind == number::CLOSED);

    let mut tally = Tally::default();
    tally.cuts = proxy.passed().iter().filter(|connection| connection.was_cut).count();
    for id in &ids {
        let of_it = |end: &&Event| end.job_id.as_deref() == Some(id);
        let ends: Vec<Event> = told.finals().filter(of_it).cloned().collect();
        tally.judge(id, &ends, machine.qmp().events(), id);
    }
    Tally::heading();
    tally.print(&format!("{host:?} {JOBS} short jobs"));
    tally.assert_faultless();
    assert_eq!(tally.started(), JOBS);
    assert_eq!(told.finals().count(), ids.len(), "of other jobs nothing is told");
    assert!(tally.cuts > JOBS / 10, "only {} connections were cut", tally.cuts);
}
