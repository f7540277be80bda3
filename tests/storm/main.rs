//! The storm: worlds of fake QEMUs around the real core, each from one seed.

mod chance;
mod day;
mod delivery;
mod fake;
mod library;
mod machine;
mod memory;
mod oracle;
#[allow(dead_code, reason = "the transcripts do not need all of it; the storm does")]
mod qemu;
mod storm;
mod tally;
mod transcripts;
mod world;
