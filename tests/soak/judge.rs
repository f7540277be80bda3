//! How each job was told to have ended, against what QEMU said of it: to the tests' own client, and
//! in its journal.

use std::ffi::c_int;

use serde_json::{Value, json};

use crate::client::{Event, number};
use crate::expected;
use crate::qmp::Message;

/// One job that is over.
pub struct Case {
    pub id: String,
    /// How it must end; `None`: not at all, unless with its QEMU.
    pub outcome: Option<c_int>,
    /// Of a mirror or an active commit, what must not be said.
    pub not_pivoted: Option<c_int>,
    /// Its QEMU was killed meanwhile.
    pub killed: bool,
    /// For whoever reads of a fault.
    pub what: String,
}

#[derive(Default)]
pub struct Judged {
    pub equal: usize,
    pub recovered: usize,
    pub lost_with_qemu: usize,
    pub not_started: usize,
    /// Handles, whose jobs had other ends then.
    pub unheard: usize,
    pub wrong: usize,
    pub duplicates: usize,
    pub unknown: usize,
}

impl Judged {
    pub fn jobs(&self) -> usize {
        self.equal + self.lost_with_qemu + self.not_started + self.faults()
    }

    pub fn faults(&self) -> usize {
        self.wrong + self.duplicates + self.unknown
    }

    pub fn assert_faultless(&self) {
        assert_eq!(self.faults(), 0, "jobs were told wrongly; the first of them are shown above");
    }

    /// Takes in one job, with all ends of it that were told, and what QEMU said: to the tests' own
    /// client, and in its journal if it has one.
    pub fn judge(&mut self, case: &Case, ends: &[Event], seen: &[Message], journal: &[Message]) {
        let of_it = |seen: &&Message| {
            [&seen.value["data"]["id"], &seen.value["data"]["device"]].contains(&&json!(case.id))
        };
        let seen: Vec<&Message> = seen.iter().filter(of_it).collect();
        let written: Vec<&Message> = journal.iter().filter(of_it).collect();
        if let Some(fault) = self.fault(case, ends, &seen, &written) {
            let what = &case.what;
            // Some are enough to look for, and a soak may be long.
            if self.faults() <= SHOWN {
                println!("{what}: {fault}: told {ends:#?}, seen {seen:#?}");
            } else {
                println!("{what}: {fault}");
            }
        }
    }

    /// An end was told of a job that nobody has started.
    pub fn add_stray(&mut self, end: &Event) {
        self.wrong += 1;
        println!("an end of no job: {end:#?}");
    }

    fn fault(
        &mut self,
        case: &Case,
        ends: &[Event],
        seen: &[&Message],
        written: &[&Message],
    ) -> Option<&'static str> {
        // A handle of which nothing was heard is not known to have had a job, and its program has
        // made another one.
        let heard = ends.iter().filter(|end| end.loss != number::LOSS_UNHEARD);
        let mut heard: Vec<&Event> = heard.collect();
        if heard.is_empty() {
            heard = ends.iter().collect();
        } else {
            self.unheard += ends.len() - heard.len();
        }
        let [end] = heard[..] else {
            self.duplicates += usize::from(heard.len() > 1);
            self.wrong += usize::from(heard.is_empty());
            return Some("one end should be told");
        };
        if end.kind == number::LOST {
            return self.lost(case, end, seen, written);
        }
        let truth = final_of(seen, end).or_else(|| final_of(written, end));
        let right = truth.map_or_else(
            // Of a job without an event, or one that only the library has heard before QEMU died.
            || case.killed || end.json.is_none(),
            |truth| is_as_said(end, &truth),
        );
        let pivot = case.not_pivoted.is_some_and(|not| end.pivoted == not);
        let outcome = if case.outcome == Some(number::OUTCOME_CANCELLED) && is_called_cancelled(end)
        {
            number::OUTCOME_CANCELLED
        } else {
            end.outcome
        };
        if !right || case.outcome != Some(outcome) || pivot {
            self.wrong += 1;
            return Some("it ended otherwise");
        }
        self.equal += 1;
        self.recovered += usize::from(end.origin != number::ORIGIN_LIVE);
        None
    }

    fn lost(
        &mut self,
        case: &Case,
        end: &Event,
        seen: &[&Message],
        written: &[&Message],
    ) -> Option<&'static str> {
        if final_of(written, end).is_some() {
            self.wrong += 1;
            return Some("its end stands in the journal");
        }
        if case.killed {
            self.lost_with_qemu += 1;
            return None;
        }
        if seen.is_empty() && end.loss == number::LOSS_NOT_STARTED {
            self.not_started += 1;
            return None;
        }
        self.unknown += 1;
        Some("QEMU has started this job")
    }
}

/// What QEMU's message of its end should be told as, if there is one.
fn final_of(said: &[&Message], end: &Event) -> Option<Event> {
    said.iter().find_map(|said| {
        expected::event(&end.monitor, said).filter(|event| event.kind & number::FINAL != 0)
    })
}

fn is_as_said(end: &Event, truth: &Event) -> bool {
    let mut told = Event { pivoted: truth.pivoted, position: None, ..end.clone() };
    // Of another's it is only inferred that what comes after a cut is the same job's.
    if end.origin != number::ORIGIN_LIVE {
        told.origin = truth.origin;
        // What was asked for afterwards has neither the message nor its time; the journal has both.
        if end.json.is_none() {
            (told.json, told.timestamp) = (truth.json.clone(), truth.timestamp);
            told.members.clone_from(&truth.members);
            if truth.kind == number::CANCELLED && is_called_cancelled(end) {
                let Event { kind, name, outcome, error, .. } = truth.clone();
                told = Event { kind, name, outcome, error, ..told };
            }
        }
    }
    told == *truth
}

/// Faults of which all is said.
const SHOWN: usize = 3;

/// QEMU's listing has one word for a job that was cancelled and one that failed, and no class.
fn is_called_cancelled(end: &Event) -> bool {
    end.json.is_none() && end.error.as_deref() == Some("Operation canceled")
}

/// All that a journal says; the last line may not be whole.
pub fn read(journal: &[u8]) -> Vec<Message> {
    let lines = journal.split(|byte| *byte == b'\n');
    let message = |line: &[u8]| {
        let text = std::str::from_utf8(line).ok()?.trim_end();
        let value: Value = serde_json::from_str(text).ok()?;
        value["event"].is_string().then(|| Message { text: text.to_owned(), value })
    };
    lines.filter_map(message).collect()
}
