//! How often each thing happened that breaks naive clients: the hazards of SEMANTICS 0.

use std::{collections::BTreeMap, ops::Range};

use super::{Qemu, truth::Truth, wire::ConnectionId};

#[derive(Clone, Debug, Default)]
pub struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    pub fn add(&mut self, hazard: &'static str) {
        *self.0.entry(hazard).or_default() += 1;
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(hazard, number)| (*hazard, *number))
    }
}

impl Qemu {
    /// How often each hazard occurred.
    pub fn hazards(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().chain(self.wire.counts.iter())
    }

    /// A reply is about to be written: did a job that its command started end before it?
    pub(super) fn count_reply(&mut self, connection: ConnectionId, began: Range<usize>) {
        let told = |truth: &Truth| {
            truth.ended.as_ref().is_some_and(|ended| ended.sent_to.contains(&connection))
        };
        if self.truths[began].iter().any(told) {
            self.counts.add(END_BEFORE_REPLY);
        }
    }
}

pub const END_BEFORE_REPLY: &str = "an end before the reply to its start";
pub const EARLY_EVENT: &str = "an event before the greeting";
pub const STRAGGLER: &str = "an event behind the greeting, and no other before the agreement";
pub const OTHERS_REPLY: &str = "a reply to another client's command";
pub const MID_MESSAGE: &str = "a stream that begins in mid-message";
pub const STALE_LISTING: &str = "a listing older than an event before it";
pub const ENDED_NO_PIVOT: &str = "COMPLETED of a mirror without a pivot";
pub const ENDED_PIVOT: &str = "COMPLETED of a mirror with a pivot";
pub const QUIT_COMPLETES: &str = "quit with a ready mirror, before 6.2: COMPLETED";
pub const QUIT_CANCELS: &str = "quit with a ready mirror, since 6.2: CANCELLED";
pub const FORCE_COMPLETES: &str = "a forced cancel of a ready mirror, before 2.12";
pub const FULL_ERROR: &str = "an error with offset == len";
pub const ROLLED_BACK: &str = "a job that was rolled back";
pub const HUNG: &str = "a transaction that hangs QEMU";
pub const NO_EVENTS: &str = "the end of a job without BLOCK_JOB events";
pub const BLIP: &str = "paused and running by itself";
pub const CANCEL_COMPLETES: &str = "a cancel accepted, and no CANCELLED";
pub const TRUNCATED: &str = "a tail cut off at exit";
pub const INF: &str = "inf in JSON";
pub const UNHEARD: &str = "an end while nobody is connected";
pub const WORDLESS: &str = "a storage daemon that quits without a word of its jobs";
pub const ID_AGAIN: &str = "an id used again";
pub const DEAF: &str = "greeted, and never answered";

/// All of them, so that one that never occurs is missed.
pub const ALL: &[&str] = &[
    END_BEFORE_REPLY,
    EARLY_EVENT,
    STRAGGLER,
    OTHERS_REPLY,
    MID_MESSAGE,
    STALE_LISTING,
    ENDED_NO_PIVOT,
    ENDED_PIVOT,
    QUIT_COMPLETES,
    QUIT_CANCELS,
    FORCE_COMPLETES,
    FULL_ERROR,
    ROLLED_BACK,
    HUNG,
    NO_EVENTS,
    BLIP,
    CANCEL_COMPLETES,
    TRUNCATED,
    INF,
    UNHEARD,
    WORDLESS,
    ID_AGAIN,
    DEAF,
];
