//! The library against real QEMUs. Each story is run with `qemu-system-x86_64` and with
//! `qemu-storage-daemon`, and goes through the shared object as a C program would.
//!
//! The tests read a second monitor of the same QEMU with a client of their own (`qmp`). What it
//! saw is the measure: when a story closes, every event that the library told is compared with it,
//! byte for byte, member for member and in its order (`expected`).

mod chance;
#[allow(dead_code, unused_imports, reason = "hostile peers and the soak need the rest")]
mod client;
mod expected;
mod library;
#[allow(dead_code, reason = "the soak needs the rest")]
mod machine;
mod patience;
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

use std::time::Duration;

use patience::{eventually, one_at_a_time};

/// The longest wait for anything. A busy machine needs a second or two.
const DEADLINE: Duration = Duration::from_secs(30);

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
