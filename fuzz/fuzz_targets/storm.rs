//! The storm of tests/storm, with its chance from the fuzzer instead of a seed: whole worlds of fake
//! QEMUs, and the oracle that says what could be known.
//!
//! The input: how the program takes its events, then a number for each decision, a byte each;
//! behind its end all is drawn from a seed.

#![no_main]

#[path = "../../tests/storm"]
#[allow(dead_code, reason = "the storm uses what this does not")]
mod storm {
    pub mod delivery;
    pub mod library;
    pub mod machine;
    pub mod oracle;
    pub mod qemu;
    pub mod tally;
    pub mod world;
}

// Its own chance is drawn from seeds.
use blockjob_fuzz::chance;
use libfuzzer_sys::fuzz_target;
use storm::{delivery, library, machine, oracle, qemu, tally, world};

fuzz_target!(|input: &[u8]| {
    let (pulls, tape) = input.split_first().unwrap_or((&0, &[]));
    chance::set(tape);
    let shows = std::env::var_os("STORY").is_some();
    let mut world = world::World::new(u64::from(*pulls), shows);
    if let Err(why) = world.play() {
        for line in world.story() {
            println!("{line}");
        }
        panic!("{why}");
    }
});
