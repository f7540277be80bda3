//! The thread that runs the program's callbacks, one at a time.

#![forbid(unsafe_code)]

use super::{queue::Next, shared::Shared};
use crate::model::Kind;

/// Runs until the listener is stopped.
pub fn run(shared: &Shared) {
    while let Some(next) = shared.queue.pop() {
        deliver(shared, next);
    }
}

/// One turn of it, for whoever has no such thread.
pub fn deliver(shared: &Shared, next: Next) {
    match next {
        Next::Late => shared.roster.deliver_late(),
        Next::Report(report) if report.reply.is_some() => shared.roster.replies.deliver(&report),
        Next::Report(report) => {
            shared.roster.deliver(&report);
            if report.event.kind == Kind::Closed {
                shared.roster.retire(&report.monitor);
            }
        }
    }
}
