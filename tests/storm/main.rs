//! The storm: worlds of fake QEMUs around the real core, each from one seed.

mod chance;
mod fake;
#[allow(dead_code, reason = "the transcripts do not need all of it; the storm does")]
mod qemu;
mod transcripts;
