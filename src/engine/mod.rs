//! The threads and what they own.
//!
//! Two threads a listener. **The reader** (`reactor`) owns all sockets and sessions and runs no
//! foreign code, ever. **Delivery** calls whoever asked, unless the program does that itself. What
//! they share is small, each with one lock that is never held while foreign code runs: the
//! `mailbox` (callers to reader), the `queue` (reader to delivery) and the `roster` (who wants
//! what, and who has taken how a job ended).
//!
//! What would keep the reader waiting has threads of its own, which exist only while they are
//! needed: reading a `journal`, and what the `helpers` find out.
//!
//! A turn of the reader is this list, in this order:
//! 1. sleep until a socket is ready, a deadline has passed or a post has come;
//! 2. take some posts;
//! 3. read each ready socket once, a bounded amount, so that a flood starves nobody;
//! 4. let some sessions act whose deadline has passed;
//! 5. carry out what the hub wants done, and hand what is to be told to delivery in one batch.
//!
//! `unsafe` is allowed in `descriptor`, `fork`, `process`, `socket`, `thread`, `trace` and `wake`,
//! which stand on the kernel, and nowhere else.

mod acts;
mod approach;
mod bell;
mod claims;
mod clock;
mod command;
mod control;
pub mod delivery;
mod descriptor;
mod dial;
mod door;
mod entries;
mod few;
mod fork;
mod helpers;
mod holder;
mod inet;
mod info;
pub mod inside;
#[cfg(all(test, shuttle))]
mod interleavings;
mod job;
pub mod journal;
mod ledger;
mod life;
mod listener;
mod lock;
mod log;
mod mailbox;
mod monitor;
mod process;
mod pull;
mod queue;
mod raw;
mod reactor;
mod reply;
mod report;
mod roster;
mod setting;
mod shared;
mod shelf;
mod slot;
mod socket;
mod statistics;
mod stream;
mod thread;
mod ticket;
mod trace;
mod wake;

pub use approach::Peer;
pub use command::Order;
pub use delivery::Mode;
pub use info::{Info, JobList};
pub use job::{Job, Purpose};
pub use ledger::{Claimant, Key, Ledger};
pub use listener::Listener;
pub use log::{Line, Sink};
pub use mailbox::Mailbox;
pub use monitor::{Monitor, Post};
pub use queue::{Next, Queue};
pub use reply::{Reply, ReplyCallback};
pub use report::Report;
pub use roster::{Callback, Filter, Removed, Roster};
pub use shared::Shared;
pub use ticket::{Answer, Stub, Ticket, ticket};
