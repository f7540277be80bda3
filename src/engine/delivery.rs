//! The thread that runs the program's callbacks, one at a time.

#![forbid(unsafe_code)]

use super::shared::Shared;
use crate::model::Kind;

/// Runs until the listener is stopped.
pub fn run(shared: &Shared) {
    while let Some(report) = shared.queue.pop() {
        shared.roster.deliver(&report);
        if report.event.kind == Kind::Closed {
            shared.roster.retire(&report.monitor);
        }
    }
}
