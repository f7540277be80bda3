//! A peer that writes what it likes, as a QEMU that its guest has taken over may: each attack by
//! its name, to a monitor of a listener that serves a well-behaved QEMU at the same time. The jobs
//! of that one run all along, and each of their ends must come and be true.
//!
//! docs/robustness.md has a row for each attack ("From the peer"); `table` holds it against what is
//! here. All of it goes through the shared object as a C program would.

// The client, the machine and what they lean on are those of the tests with real QEMUs.
#[path = "../qemu"]
mod qemu {
    #![allow(dead_code, unused_imports, reason = "the other tests use the rest")]
    pub mod client;
    pub mod library;
    pub mod machine;
    pub mod patience;
    pub mod qmp;
}

use qemu::{client, library, machine, qmp};

mod catalogue;
mod journal;
mod memory;
mod promises;
mod scene;
mod table;
#[allow(dead_code, reason = "the soak prints more of it")]
mod usage;

use std::time::Duration;

use qemu::patience::{eventually, one_at_a_time};

/// The longest wait for anything. A busy machine needs a second or two.
const DEADLINE: Duration = Duration::from_secs(60);
