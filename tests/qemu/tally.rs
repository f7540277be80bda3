//! Many jobs, counted: how each was told to have ended, against what QEMU said to the tests' own
//! client. A row of a table when all is well, and a sentence for each that is not.

use serde_json::json;

use crate::client::{Event, number};
use crate::expected;
use crate::qmp::{Message, Qmp};

#[derive(Default)]
pub struct Tally {
    /// Connections that were cut.
    pub cuts: usize,
    /// Those that were to be cut behind all that was said.
    pub unreached: usize,
    /// Jobs that QEMU has started, by what the tests' own client saw.
    started: usize,
    /// Of these, told once and truly.
    equal: usize,
    recovered: usize,
    duplicates: usize,
    wrong: usize,
    /// Started, and LOST.
    unknown: usize,
    /// Not started, and told to be so.
    not_started: usize,
    faults: Vec<String>,
}

impl Tally {
    pub fn heading() {
        println!(
            "{:42} {:>6} {:>8} {:>6} {:>10} {:>10} {:>6} {:>8} {:>12}",
            "",
            "cuts",
            "started",
            "equal",
            "recovered",
            "duplicates",
            "wrong",
            "unknown",
            "not started"
        );
    }

    pub fn print(&self, name: &str) {
        println!(
            "{name:42} {:>6} {:>8} {:>6} {:>10} {:>10} {:>6} {:>8} {:>12}",
            self.cuts,
            self.started,
            self.equal,
            self.recovered,
            self.duplicates,
            self.wrong,
            self.unknown,
            self.not_started
        );
    }

    /// Takes in one job, with every end of it that was told and all that QEMU said meanwhile.
    /// `what` was done to it is for the sentence.
    pub fn judge(&mut self, id: &str, ends: &[Event], seen: &[Message], what: &str) {
        let of_it = |seen: &&Message| {
            [&seen.value["data"]["id"], &seen.value["data"]["device"]].contains(&&json!(id))
        };
        let seen: Vec<&Message> = seen.iter().filter(of_it).collect();
        let fault = if seen.is_empty() {
            self.judge_unstarted(ends)
        } else {
            self.judge_started(ends, &seen)
        };
        if let Some(fault) = fault {
            self.faults.push(format!("{what}: {fault}: told {ends:#?}, seen {seen:#?}"));
        }
    }

    fn judge_unstarted(&mut self, ends: &[Event]) -> Option<&'static str> {
        match ends {
            [lost] if (lost.kind, lost.loss) == (number::LOST, number::LOSS_NOT_STARTED) => {
                self.not_started += 1;
                None
            }
            _ => {
                self.wrong += 1;
                Some("QEMU never had this job")
            }
        }
    }

    fn judge_started(&mut self, ends: &[Event], seen: &[&Message]) -> Option<&'static str> {
        self.started += 1;
        let [end] = ends else {
            self.duplicates += ends.len().saturating_sub(1);
            self.wrong += usize::from(ends.is_empty());
            return Some("one end should be told");
        };
        let truth = seen.iter().find_map(|seen| {
            expected::event(&end.monitor, seen).filter(|event| event.kind & number::FINAL != 0)
        });
        let Some(truth) = truth else {
            self.wrong += 1;
            return Some("QEMU told no end");
        };
        if end.kind == number::LOST {
            self.unknown += 1;
            return Some("QEMU has started this job");
        }
        // What was asked for afterwards has neither the message nor its time.
        let mut told = Event { pivoted: truth.pivoted, ..end.clone() };
        if end.origin == number::ORIGIN_RECOVERED {
            self.recovered += 1;
            told.origin = truth.origin;
            assert_eq!((&told.json, told.timestamp), (&None, None), "{end:#?}");
            (told.json, told.timestamp) = (truth.json.clone(), truth.timestamp);
            told.members.clone_from(&truth.members);
        }
        if told != truth {
            self.wrong += 1;
            return Some("it ended otherwise");
        }
        self.equal += 1;
        None
    }

    /// How many were taken in.
    pub fn jobs(&self) -> usize {
        self.started + self.not_started
    }

    pub fn started(&self) -> usize {
        self.started
    }

    pub fn recovered(&self) -> usize {
        self.recovered
    }

    pub fn assert_faultless(&self) {
        assert!(
            self.faults.is_empty(),
            "{} jobs were told wrongly, the first of them {}",
            self.faults.len(),
            self.faults[0]
        );
        assert_eq!(self.started, self.equal);
        assert_eq!((self.duplicates, self.wrong, self.unknown), (0, 0, 0));
    }
}

/// Waits until QEMU has forgotten all jobs, after which every event of theirs was read.
pub fn until_forgotten(qmp: &mut Qmp, what: &str) {
    crate::eventually(&format!("{what}: QEMU forgets its jobs"), || {
        (qmp.execute("query-jobs", &json!({})) == json!([])).then_some(())
    });
}
