//! How often what goes wrong.

/// How often a hazard occurs: once in so many times, never with 0.
#[derive(Clone, Debug, Default)]
pub struct Odds {
    /// Of clients after the first: events before the greeting.
    pub early_event: u64,
    /// Of clients after the first: one event behind the greeting, and then none until they agree.
    pub straggler: u64,
    /// Of clients after the first: the stream begins in the middle of an old message.
    pub stale_bytes: u64,
    /// Of clients after the first: a stale reply with `"id": inf`.
    pub inf: u64,
    /// Of the first clients of QEMU 4.0 to 5.2: greeted, and never answered.
    pub deaf: u64,
    /// Of commands: the reply is written some steps after it was made up; a listing is stale then.
    pub late_reply: u64,
    /// Of disconnections with a command waiting: it is being executed, and its reply goes to the
    /// next client.
    pub executing: u64,
    /// Of cancellations: the job is in the middle of I/O and ends a round later.
    pub busy: u64,
    /// Of steps: a drain, seen as paused and running again.
    pub blip: u64,
    /// Of steps: another than the usual of what is ready.
    pub shuffle: u64,
    /// Of exits: the unread output is cut at any byte.
    pub truncated_tail: u64,
    /// Of jobs without a plan: something goes wrong.
    pub fault: u64,
    /// Of jobs without a plan: nothing to copy.
    pub instant: u64,
}
