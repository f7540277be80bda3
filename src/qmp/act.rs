//! What a session wants done. Whoever holds the sockets does it, and tells the session how it went.

use super::{jobs::End, journal::Request, session::Ticket};
use crate::model::{Counts, Error, Event, JobInfo, Level, Response, State, Version};

/// What a session wants done, in this order.
#[allow(clippy::large_enum_variant, reason = "acts are few at a time, and gone in the same turn")]
#[derive(Debug)]
pub enum Act<T: Ticket> {
    Connect,
    /// Nothing has come: does another client hold the monitor? `handle_holder` is the answer.
    FindHolder,
    Send(Vec<u8>),
    /// The same, and with its first byte what the command passes along.
    SendWith(Vec<u8>, T::Luggage),
    Disconnect,
    /// The monitor stands differently now.
    Stands(State, Option<Version>),
    Tell(Event),
    /// How a job ended: told once, and kept until it is acknowledged.
    End(End),
    /// A handle watches a job that has ended before.
    Attach {
        handle: u64,
        job: u64,
    },
    /// The journal is to be read; `handle_findings` is the answer.
    Read(Request),
    Answer(T, Result<(), Error>),
    /// What QEMU has of the jobs that were looked for.
    List(T::Listing, Result<Vec<JobInfo>, Error>),
    /// Something for the log.
    Log(Level, String),
    /// What was counted since the last time.
    Count(Counts),
    /// What became of a command of the program's.
    Reply(T, Result<Response, Error>),
}
