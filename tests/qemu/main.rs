//! The library against real QEMUs. Each story is run with `qemu-system-x86_64` and with
//! `qemu-storage-daemon`, and goes through the shared object as a C program would.
//!
//! The tests read a second monitor of the same QEMU with a client of their own (`qmp`). What it
//! saw is the measure: when a story closes, every event that the library told is compared with it,
//! byte for byte, member for member and in its order (`expected`).

mod chance;
#[allow(dead_code, unused_imports, reason = "tests/hostile uses the rest")]
mod client;
mod expected;
mod library;
mod machine;
mod proxy;
mod qmp;
mod story;
mod tally;

mod addresses;
mod cancel;
mod commands;
mod connection;
mod control;
mod cuts;
mod deaths;
mod failure;
mod journal;
mod outcomes;
mod pivot;
mod restarts;
mod several;
mod short;
mod success;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The longest wait for anything. A busy machine needs a second or two.
const DEADLINE: Duration = Duration::from_secs(30);

/// Asks until there is an answer; for what cannot be waited for in any other way.
fn eventually<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(started.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for its turn: of the stories that take this machine's time from others, one runs.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // One that failed is over as well.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a test of each story for either program.
macro_rules! with_both_hosts {
    ($($story:ident),* $(,)?) => {
        mod qemu_system {
            $(#[test] fn $story() { super::$story(crate::machine::Host::QemuSystem); })*
        }

        mod storage_daemon {
            $(#[test] fn $story() { super::$story(crate::machine::Host::StorageDaemon); })*
        }
    };
}
use with_both_hosts;
