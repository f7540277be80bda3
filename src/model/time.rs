//! Moments. Below the engine nobody reads a clock: `now` comes in as an argument.

use std::time::Duration;

/// The host's clock, as QEMU writes it beside an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    pub seconds: i64,
    pub microseconds: i64,
}

impl Timestamp {
    /// For comparing.
    pub fn micros(self) -> i128 {
        i128::from(self.seconds) * 1_000_000 + i128::from(self.microseconds)
    }
}

/// One look at both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Since the listener began; never goes back. Deadlines are measured by it.
    pub running: Duration,
    /// What the host's clock shows; may jump. Only ever shown to people.
    pub wall: Timestamp,
}
