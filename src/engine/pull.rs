//! Events for a program that pulls them: its registrations are subscriptions, and all of them
//! together are told of an event once. Part of [`Roster`].

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::{
    ledger::Key,
    report::Report,
    roster::{Entry, Inner, Roster},
};

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The program gets it.
    Wanted,
    Unwanted,
    /// Somebody has subscribed meanwhile who has missed an end, which comes first.
    TooEarly,
}

impl Roster {
    /// Is this event for the program? An end is served to all who have subscribed to it by that.
    pub fn take(&self, report: &Report) -> Taken {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return Taken::Unwanted;
        }
        if inner.missing().is_some() {
            return Taken::TooEarly;
        }
        let is_kept = report.key.is_some_and(|key| inner.ledger.has(key));
        let wants = |entry: &Entry| entry.wants(report, is_kept);
        let from = report.monitor.id();
        let wanted = inner.entries.next(0, &report.event, from, wants).is_some();
        if let Some(key) = report.key {
            if wanted {
                inner.give_out(key);
            }
            // Only who looks on may have got it; who comes later gets it then.
            inner.ledger.pass(key);
        }
        if wanted { Taken::Wanted } else { Taken::Unwanted }
    }

    /// The next end that some subscription has missed.
    pub fn take_late(&self) -> Option<Arc<Report>> {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return None;
        }
        let (number, key) = inner.missing()?;
        for (_, entry) in inner.entries.iter_mut() {
            // Nobody wants what stands before it, and nobody gets it a second time.
            entry.late = entry.late.map(|(first, last)| (first.max(number + 1), last));
        }
        inner.give_out(key);
        let told = inner.ledger.get(key).cloned()?;
        Some(told.report(key, &mut inner.ledger))
    }
}

impl Inner {
    /// The first of the ends that subscriptions have missed, by the number that it has passed with.
    fn missing(&mut self) -> Option<(u64, Key)> {
        if !self.late {
            return None;
        }
        let Self { entries, ledger, .. } = self;
        let late = || entries.values().filter(|entry| !entry.leaving && entry.late.is_some());
        let first = late().filter_map(|entry| entry.late).map(|(first, _)| first).min();
        let last = late().filter_map(|entry| entry.late).map(|(_, last)| last).max();
        let Some((first, last)) = first.zip(last) else {
            self.late = false;
            return None;
        };
        let found = ledger.passed(first, last).find_map(|(number, key, told)| {
            let misses = |(first, last)| (first..=last).contains(&number);
            let mut missing = late().filter(|entry| entry.late.is_some_and(misses));
            missing.any(|entry| told.passes(&entry.filter, key)).then_some((number, key))
        });
        if found.is_none() {
            self.late = false;
            for (_, entry) in entries.iter_mut() {
                entry.late = None;
            }
        }
        found
    }

    /// The program is given an end, which serves every subscription that claims it. If one does,
    /// it is not given out again.
    fn give_out(&mut self, key: Key) {
        let served = self.ledger.serve_registrations(key);
        if let Some(told) = self.ledger.get_mut(key) {
            told.given_out |= served;
        }
    }
}
