//! The threads and what they own.
//!
//! Two threads a listener. **The reader** (`reactor`) owns all sockets and sessions and runs no
//! foreign code, ever. **Delivery** calls whoever asked. What they share is small, each with one
//! lock that is never held while foreign code runs: the `mailbox` (callers to reader), the `queue`
//! (reader to delivery) and the `roster` (who wants what).
//!
//! A turn of the reader is this list, in this order:
//! 1. sleep until a socket is ready, a deadline has passed or a post has come;
//! 2. take the posts;
//! 3. read each ready socket once, a bounded amount, so that a flood starves nobody;
//! 4. let sessions whose deadline has passed act;
//! 5. carry out what the hub wants done, and hand what is to be told to delivery in one batch.
//!
//! `unsafe` is allowed in `fork`, `stream`, `thread` and `wake`, which stand on the kernel, and
//! nowhere else.

mod clock;
mod delivery;
mod fork;
pub mod inside;
pub mod journal;
mod life;
mod listener;
mod lock;
mod mailbox;
mod monitor;
mod queue;
mod reactor;
mod report;
mod roster;
mod shared;
mod stream;
mod thread;
mod ticket;
mod wake;

pub use listener::Listener;
pub use monitor::Monitor;
pub use report::Report;
pub use roster::{Callback, Filter, Removed};
