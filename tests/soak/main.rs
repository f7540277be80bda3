//! A long life: one process and one listener, that for half an hour follows real QEMUs whose
//! connections are cut and which hang, die and come back, while hostile peers say what they like,
//! registrations, handles and whole listeners come and go, and children are forked. Each end that is
//! told is compared with what QEMU has said, and what the process holds afterwards with what it held
//! before.
//!
//! `make soak MINUTES=30` is the long form; without a number of minutes it is the quick one of
//! `make check`. Real QEMUs and their measure are those of tests/qemu, hostile peers those of
//! tests/hostile.

#[path = "../hostile/catalogue/mod.rs"]
mod catalogue;
#[allow(dead_code, reason = "the stories need all of it")]
#[path = "../qemu/chance.rs"]
mod chance;
#[allow(dead_code, unused_imports, reason = "the stories need all of it")]
#[path = "../qemu/client/mod.rs"]
mod client;
#[allow(dead_code, reason = "the stories need all of it")]
#[path = "../qemu/expected.rs"]
mod expected;
#[path = "../qemu/library.rs"]
mod library;
#[allow(dead_code, reason = "the stories need all of it")]
#[path = "../qemu/machine.rs"]
mod machine;
#[allow(dead_code, reason = "the stories need all of it")]
#[path = "../qemu/patience.rs"]
mod patience;
#[allow(dead_code, reason = "the stories need all of it")]
#[path = "../qemu/proxy.rs"]
mod proxy;
#[allow(dead_code, reason = "the stories need all of it")]
#[path = "../qemu/qmp.rs"]
mod qmp;
#[allow(dead_code, reason = "the hostile peers ask for more of it")]
#[path = "../hostile/usage.rs"]
mod usage;

mod churn;
mod figures;
mod guests;
mod judge;
mod room;
mod run;
mod script;
mod siege;

use std::time::Duration;

use client::Listener;
use patience::eventually;
use run::Run;
use usage::{Bounds, Usage};

/// The longest wait for anything. A machine with many QEMUs and one core may need long.
const DEADLINE: Duration = Duration::from_secs(60);

/// What this process may hold at the end, beyond what it held after the warm-up.
const BOUNDS: Bounds = Bounds { resident_kib: 16 << 10, in_use_kib: 512 };

#[test]
fn outcomes_stay_true_and_nothing_grows() {
    let length = run::length();
    println!("A soak of {length:?}.");
    usage::keep_little();
    let alone = Usage::now();
    let listener = Listener::new();
    listener.set_owner(catalogue::OWNER);
    let mut run = Run::new(&listener);

    run.go_on_for(warm_up(length));
    let before = Usage::at_rest();
    println!("Warm after {:?}: {before}", warm_up(length));
    run.go_on_for(length.saturating_sub(warm_up(length)));
    let after = Usage::at_rest();

    let figures = run.finish();
    drop(listener);
    let last = Usage::at_rest();
    println!();
    figures.print();
    println!();
    Usage::print(&[("before", alone), ("warm", before), ("end", after), ("freed", last)]);
    figures.assert_true();
    after.assert_within(&before, &BOUNDS);
    // The listener has taken its threads and descriptors with it.
    assert_eq!(last.threads, alone.threads, "threads are left");
    assert_eq!(last.descriptors, alone.descriptors, "descriptors are left: {:#?}", usage::open());
}

/// Long enough for each size of buffer to have been needed once.
fn warm_up(length: Duration) -> Duration {
    (length / 4).min(Duration::from_secs(120))
}
