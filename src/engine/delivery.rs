//! The thread that runs the program's callbacks, one at a time.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::{listener::Shared, monitor::Monitor};
use crate::model::{Event, Kind};

/// What happened at a monitor.
#[derive(Debug)]
pub struct Report {
    pub monitor: Arc<Monitor>,
    pub event: Event,
    /// When it was read, to be compared with registrations.
    pub tick: u64,
}

/// Runs until the listener is stopped.
pub fn run(shared: &Shared) {
    while let Some(report) = shared.queue.pop() {
        shared.roster.deliver(&report);
        if report.event.kind == Kind::Closed {
            shared.roster.retire(&report.monitor);
        }
    }
}
