//! What really happened to each job, for the oracle: nothing here is told to a client.

use super::wire::ConnectionId;

/// One incarnation of a job id in one process.
#[allow(clippy::struct_excessive_bools, reason = "they are answers to questions")]
#[derive(Clone, Debug)]
pub struct Truth {
    /// Counts the jobs of the process from 0; the place in `Qemu::jobs`.
    pub number: usize,
    pub id: String,
    pub type_name: &'static str,
    /// It has `BLOCK_JOB_*` events.
    pub block: bool,
    pub auto_dismiss: bool,
    pub starter: Origin,
    /// It was seen to run; a job that was rolled back never is.
    pub ran: bool,
    pub ended: Option<Ending>,
    /// The device now stands on the target: only a mirror or active commit that was told to
    /// complete and did.
    pub pivoted: bool,
    pub created_us: u64,
    /// The event of its creation, where this QEMU has it.
    pub created: Option<String>,
    /// When it left the list, by dismissal or with the process.
    pub gone_us: Option<u64>,
    /// How it left the list, or `None`: it is listed still.
    pub dismissed: Option<Dismissed>,
}

/// Whose command it was.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// A client of the monitor.
    Client(ConnectionId),
    /// Another monitor of the same process, or the process itself.
    Foreign,
}

#[derive(Clone, Debug)]
pub struct Ending {
    pub outcome: Outcome,
    pub timestamp_us: u64,
    /// The terminal event to the letter, without its CRLF; `None` where such a job has none.
    pub event: Option<String>,
    /// To which connections that event was written. Whether its bytes arrived is the wire's to say.
    pub sent_to: Vec<ConnectionId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Completed,
    Failed(String),
    Cancelled,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Dismissed {
    /// By itself, at its end.
    Auto,
    ByClient(ConnectionId),
    ByForeign,
    /// With the process, which ended.
    WithProcess,
}
