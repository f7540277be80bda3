//! The ends of jobs that were told and are not done with: who claims each, who has taken it, who
//! still holds it. Plain values without a lock; the roster owns it and has one.
//!
//! An end is acknowledged, once, when somebody who claimed it was served, nobody who did is still
//! to be, and the program holds no reference to it. An end that nobody claims, or that all who did
//! have left, waits here for somebody.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use super::few::Few;
use crate::model::MonitorId;

/// An end: the job that it is of, by its monitor and the incarnation's number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub monitor: MonitorId,
    pub job: u64,
}

/// Who wants an end and must get it before it is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claimant {
    Registration(i64),
    Handle(u64),
}

/// `P` is what is kept of an end, to be given to those who come later.
#[derive(Debug)]
pub struct Ledger<P> {
    ends: BTreeMap<Key, End<P>>,
    /// Those whose turn at delivery is over, by the number that they got then. Who registers now
    /// has missed them.
    passed: BTreeMap<u64, Key>,
    last_passed: u64,
    /// Invariant: how many of a monitor's ends nobody claims; no zeros.
    unclaimed: BTreeMap<MonitorId, Unclaimed>,
}

/// What is kept of a monitor's ends that nobody claims.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unclaimed {
    pub ends: usize,
    pub bytes: usize,
}

#[derive(Debug)]
struct End<P> {
    kept: P,
    /// Bytes of that, about.
    weight: usize,
    /// Neither served nor withdrawn.
    claims: Few<Claimant>,
    /// Somebody who claimed it was.
    served: bool,
    /// The open handles that it is for.
    holders: BTreeSet<u64>,
    /// Reports of it that live, the queue's among them.
    references: usize,
    acknowledged: bool,
    passed: Option<u64>,
}

impl<P> Ledger<P> {
    /// Takes an end of so many bytes in, and its report, if there is one: without one its turn at
    /// delivery is over. Of a monitor's ends that nobody claims no more are kept than `limit` says,
    /// but for one: those of the oldest jobs are forgotten.
    pub fn add(
        &mut self,
        key: Key,
        (kept, weight): (P, usize),
        claims: Few<Claimant>,
        is_reported: bool,
        limit: Unclaimed,
    ) {
        let holders = claims.iter().filter_map(Claimant::handle).collect();
        let end = End {
            kept,
            weight,
            claims,
            served: false,
            holders,
            references: usize::from(is_reported),
            acknowledged: false,
            passed: None,
        };
        self.count(key.monitor, weight, false, end.is_unclaimed());
        self.ends.insert(key, end);
        let is_over =
            |kept: &Unclaimed| kept.ends > limit.ends || kept.bytes > limit.bytes && kept.ends > 1;
        while self.unclaimed.get(&key.monitor).is_some_and(is_over) {
            let oldest = self.of(key.monitor).find(|(_, end)| end.is_unclaimed());
            let Some(oldest) = oldest.map(|(key, _)| *key) else { break };
            self.remove(oldest);
        }
        if !is_reported {
            self.pass(key);
        }
    }

    pub fn get(&self, key: Key) -> Option<&P> {
        self.ends.get(&key).map(|end| &end.kept)
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut P> {
        self.ends.get_mut(&key).map(|end| &mut end.kept)
    }

    pub fn has(&self, key: Key) -> bool {
        self.ends.contains_key(&key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key, &P)> {
        self.ends.iter().map(|(key, end)| (*key, &end.kept))
    }

    /// Somebody was given it who claimed it, or the program has said so.
    pub fn is_taken(&self, key: Key) -> bool {
        self.ends.get(&key).is_none_or(|end| end.served || end.acknowledged)
    }

    /// Of a monitor's ends the one of the latest job, as far as they are asked for.
    pub fn latest(&self, monitor: MonitorId, wanted: impl Fn(&P) -> bool) -> Option<Key> {
        self.of(monitor).rev().find(|(_, end)| wanted(&end.kept)).map(|(key, _)| *key)
    }

    /// How many of a monitor's ends were not acknowledged yet.
    pub fn unacknowledged(&self, monitor: MonitorId) -> usize {
        self.of(monitor).filter(|(_, end)| !end.acknowledged).count()
    }

    /// Somebody comes later and claims it. One that is acknowledged can be held, no more.
    pub fn claim(&mut self, key: Key, claimant: Claimant) {
        self.change(key, |end| {
            end.holders.extend(claimant.handle());
            if !end.acknowledged {
                end.claims.insert(claimant);
            }
        });
    }

    /// A report of it was made.
    pub fn refer(&mut self, key: Key) {
        self.change(key, |end| end.references += 1);
    }

    /// A report of it is gone. Like all that follows: true when with this it is acknowledged.
    #[must_use]
    pub fn release(&mut self, key: Key) -> bool {
        self.settle_after(key, |end| end.references = end.references.saturating_sub(1))
    }

    /// A callback has returned, or a wait has given it out.
    #[must_use]
    pub fn serve(&mut self, key: Key, claimant: Claimant) -> bool {
        self.settle_after(key, |end| end.served |= end.claims.remove(claimant))
    }

    /// All registrations that claim it are served at once, with a report that lives. True when
    /// there was one.
    pub fn serve_registrations(&mut self, key: Key) -> bool {
        let mut served = false;
        self.change(key, |end| {
            served = end.claims.iter().any(|claimant| claimant.handle().is_none());
            end.claims = end.claims.iter().filter(|claimant| claimant.handle().is_some()).collect();
            end.served |= served;
        });
        served
    }

    /// A handle was freed.
    #[must_use]
    pub fn withdraw_handle(&mut self, key: Key, handle: u64) -> bool {
        self.settle_after(key, |end| {
            end.holders.remove(&handle);
            end.claims.remove(Claimant::Handle(handle));
        })
    }

    /// A registration was removed, which is being served by `but`. Returns all that are
    /// acknowledged with this.
    #[must_use]
    pub fn withdraw_registration(&mut self, id: i64, but: Option<Key>) -> Vec<Key> {
        let claimant = Claimant::Registration(id);
        let claimed = |(key, end): (&Key, &End<P>)| {
            (end.claims.contains(claimant) && but != Some(*key)).then_some(*key)
        };
        let mut keys: Vec<Key> = self.ends.iter().filter_map(claimed).collect();
        keys.retain(|key| {
            self.settle_after(*key, |end| {
                end.claims.remove(claimant);
            })
        });
        keys
    }

    /// The program does so, whoever still claims it.
    pub fn acknowledge(&mut self, key: Key) -> bool {
        let is_new = self.ends.get(&key).is_some_and(|end| !end.acknowledged);
        let _ = self.settle_after(key, |end| end.acknowledged = true);
        is_new
    }

    /// Its turn at delivery is over.
    pub fn pass(&mut self, key: Key) {
        if let Some(end) = self.ends.get_mut(&key) {
            self.last_passed += 1;
            end.passed = Some(self.last_passed);
            self.passed.insert(self.last_passed, key);
        }
    }

    pub fn last_passed(&self) -> u64 {
        self.last_passed
    }

    /// Those that have passed with these numbers.
    pub fn passed(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, Key, &P)> {
        let numbers = if first <= last { first..last + 1 } else { 0..0 };
        self.passed.range(numbers).map(|(number, key)| (*number, *key, &self.ends[key].kept))
    }

    /// A monitor is closed: nothing of it can be acknowledged any more. Open handles keep theirs.
    pub fn forget(&mut self, monitor: MonitorId) {
        let nobodys = |(key, end): (&Key, &End<P>)| end.holders.is_empty().then_some(*key);
        let keys: Vec<Key> = self.of(monitor).filter_map(nobodys).collect();
        for key in keys {
            self.remove(key);
        }
        for (_, end) in self.ends.range_mut(range(monitor)) {
            end.acknowledged = true;
        }
        self.unclaimed.remove(&monitor);
    }

    /// True when with this change it is acknowledged.
    fn settle_after(&mut self, key: Key, change: impl FnOnce(&mut End<P>)) -> bool {
        let Entry::Occupied(mut entry) = self.ends.entry(key) else { return false };
        let end = entry.get_mut();
        let (before, weight) = (end.is_unclaimed(), end.weight);
        change(end);
        let done = !end.acknowledged && end.served && end.claims.is_empty() && end.references == 0;
        end.acknowledged |= done;
        let mut after = end.is_unclaimed();
        if end.acknowledged && end.holders.is_empty() {
            if let Some(number) = entry.remove().passed {
                self.passed.remove(&number);
            }
            after = false;
        }
        self.count(key.monitor, weight, before, after);
        done
    }

    fn of(&self, monitor: MonitorId) -> impl DoubleEndedIterator<Item = (&Key, &End<P>)> {
        self.ends.range(range(monitor))
    }

    fn change(&mut self, key: Key, change: impl FnOnce(&mut End<P>)) {
        let Some(end) = self.ends.get_mut(&key) else { return };
        let before = end.is_unclaimed();
        change(end);
        let (after, weight) = (end.is_unclaimed(), end.weight);
        self.count(key.monitor, weight, before, after);
    }

    fn remove(&mut self, key: Key) {
        let Some(end) = self.ends.remove(&key) else { return };
        self.count(key.monitor, end.weight, end.is_unclaimed(), false);
        if let Some(number) = end.passed {
            self.passed.remove(&number);
        }
    }

    fn count(&mut self, monitor: MonitorId, weight: usize, before: bool, after: bool) {
        if before == after {
            return;
        }
        let Unclaimed { ends, bytes } = self.unclaimed.entry(monitor).or_default();
        (*ends, *bytes) = if after {
            (*ends + 1, *bytes + weight)
        } else {
            (ends.saturating_sub(1), bytes.saturating_sub(weight))
        };
        if *ends == 0 {
            self.unclaimed.remove(&monitor);
        }
    }
}

impl<P> End<P> {
    fn is_unclaimed(&self) -> bool {
        self.claims.is_empty() && !self.served && !self.acknowledged
    }
}

impl Claimant {
    fn handle(self) -> Option<u64> {
        match self {
            Self::Handle(handle) => Some(handle),
            Self::Registration(_) => None,
        }
    }
}

impl<P> Default for Ledger<P> {
    fn default() -> Self {
        Self {
            ends: BTreeMap::new(),
            passed: BTreeMap::new(),
            last_passed: 0,
            unclaimed: BTreeMap::new(),
        }
    }
}

fn range(monitor: MonitorId) -> std::ops::RangeInclusive<Key> {
    Key { monitor, job: 0 }..=Key { monitor, job: u64::MAX }
}

#[cfg(test)]
mod tests {
    use super::{
        Claimant::{Handle, Registration},
        *,
    };

    const ONE: Key = key(1);
    const TWO: Key = key(2);

    impl<P> Ledger<P> {
        /// Takes in an end of which delivery has a report.
        fn tell(&mut self, key: Key, kept: (P, usize), claims: Few<Claimant>, limit: Unclaimed) {
            self.add(key, kept, claims, true, limit);
        }
    }

    const fn most(ends: usize) -> Unclaimed {
        Unclaimed { ends, bytes: usize::MAX }
    }

    const fn key(job: u64) -> Key {
        Key { monitor: MonitorId(1), job }
    }

    /// One end, that these claim, and that the program holds no reference to.
    fn told<const N: usize>(claims: [Claimant; N]) -> Ledger<&'static str> {
        let mut ledger = Ledger::default();
        ledger.tell(ONE, ("one", 1), Few::from_iter(claims), most(9));
        assert!(!ledger.release(ONE));
        ledger
    }

    #[test]
    fn an_end_is_acknowledged_once_when_each_claim_was_served() {
        let mut ledger = told([Registration(1), Registration(2), Handle(1)]);
        assert!(!ledger.serve(ONE, Registration(1)));
        assert!(!ledger.serve(ONE, Handle(1)));
        assert!(ledger.serve(ONE, Registration(2)));
        assert!(!ledger.serve(ONE, Registration(2)));
        // The handle is open, so it is still to be had.
        assert_eq!(ledger.get(ONE), Some(&"one"));
        assert!(!ledger.withdraw_handle(ONE, 1));
        assert_eq!(ledger.get(ONE), None);
    }

    #[test]
    fn a_reference_of_the_programs_delays_it() {
        let mut ledger = told([Registration(1)]);
        ledger.refer(ONE);
        ledger.refer(ONE);
        assert!(!ledger.serve(ONE, Registration(1)));
        assert!(!ledger.release(ONE));
        assert!(ledger.release(ONE));
        assert!(!ledger.release(ONE));
    }

    #[test]
    fn what_nobody_claims_or_all_have_left_is_never_acknowledged() {
        let mut ledger = told([]);
        ledger.refer(ONE);
        assert!(!ledger.serve(ONE, Registration(7)));
        assert!(!ledger.release(ONE));
        assert!(ledger.has(ONE));

        let mut ledger = told([Registration(1), Handle(2)]);
        assert!(ledger.withdraw_registration(1, None).is_empty());
        assert!(!ledger.withdraw_handle(ONE, 2));
        assert!(ledger.has(ONE));
    }

    #[test]
    fn the_last_claim_may_be_withdrawn_when_another_was_served() {
        let mut ledger = told([Registration(1), Registration(2)]);
        assert!(!ledger.serve(ONE, Registration(1)));
        assert_eq!(ledger.withdraw_registration(2, None), [ONE]);
        let mut ledger = told([Registration(1), Handle(2)]);
        assert!(!ledger.serve(ONE, Registration(1)));
        assert!(ledger.withdraw_handle(ONE, 2));
    }

    #[test]
    fn a_registration_that_leaves_while_it_is_served_keeps_that_claim() {
        let mut ledger = told([Registration(1)]);
        ledger.tell(TWO, ("two", 1), Few::from_iter([Registration(1)]), most(9));
        assert!(ledger.withdraw_registration(1, Some(ONE)).is_empty());
        assert!(ledger.serve(ONE, Registration(1)));
        assert!(!ledger.release(TWO));
        assert!(ledger.has(TWO));
    }

    #[test]
    fn who_comes_later_must_be_served_too() {
        let mut ledger = told([Registration(1)]);
        ledger.refer(ONE);
        assert!(!ledger.serve(ONE, Registration(1)));
        ledger.claim(ONE, Registration(2));
        assert!(!ledger.release(ONE));
        assert!(ledger.serve(ONE, Registration(2)));
    }

    #[test]
    fn acknowledged_early_it_is_kept_for_its_handles_alone() {
        let mut ledger = told([Registration(1), Handle(2)]);
        ledger.acknowledge(ONE);
        assert!(ledger.has(ONE));
        ledger.claim(ONE, Handle(3));
        assert!(!ledger.withdraw_handle(ONE, 2));
        assert!(ledger.has(ONE));
        assert!(!ledger.withdraw_handle(ONE, 3));
        assert!(!ledger.has(ONE));
    }

    #[test]
    fn those_that_have_passed_are_found_in_that_order() {
        let mut ledger = told([]);
        ledger.tell(TWO, ("two", 1), Few::default(), most(9));
        ledger.pass(TWO);
        ledger.pass(ONE);
        let found = |first, last| -> Vec<_> {
            ledger.passed(first, last).map(|(number, _, kept)| (number, *kept)).collect()
        };
        assert_eq!(ledger.last_passed(), 2);
        assert_eq!(found(1, 2), [(1, "two"), (2, "one")]);
        assert_eq!(found(2, 2), [(2, "one")]);
        assert_eq!(found(3, 2), []);
    }

    #[test]
    fn of_those_that_nobody_claims_the_oldest_is_forgotten_over_the_limit() {
        let mut ledger = told([]);
        ledger.pass(ONE);
        ledger.tell(TWO, ("two", 1), Few::from_iter([Registration(1)]), most(2));
        ledger.tell(key(3), ("three", 1), Few::default(), most(2));
        assert!(ledger.has(ONE));
        ledger.tell(key(4), ("four", 1), Few::default(), most(2));
        assert!(!ledger.has(ONE));
        assert!(ledger.has(TWO) && ledger.has(key(3)));
        assert_eq!(ledger.passed(1, 9).count(), 0);
        // Another monitor has its own.
        let other = Key { monitor: MonitorId(2), job: 1 };
        ledger.tell(other, ("other", 1), Few::default(), most(2));
        assert!(ledger.has(key(3)));
        // Claimed, one of them leaves room.
        ledger.claim(key(3), Registration(5));
        ledger.tell(key(5), ("five", 1), Few::default(), most(2));
        assert!(ledger.has(key(3)) && ledger.has(key(4)));
    }

    #[test]
    fn over_the_limit_of_bytes_it_is_so_too_but_the_latest_is_kept() {
        let limit = Unclaimed { ends: 9, bytes: 10 };
        let mut ledger = Ledger::default();
        for (job, weight) in [(1, 5), (2, 5), (3, 1)] {
            ledger.tell(key(job), ("", weight), Few::default(), limit);
        }
        assert!(!ledger.has(ONE) && ledger.has(TWO) && ledger.has(key(3)));
        // What is claimed is no part of it.
        ledger.claim(TWO, Registration(1));
        ledger.tell(key(4), ("", 9), Few::default(), limit);
        assert!(ledger.has(key(3)));
        ledger.tell(key(5), ("", 99), Few::default(), limit);
        let left: Vec<u64> = ledger.iter().map(|(key, _)| key.job).collect();
        assert_eq!(left, [2, 5]);
    }

    #[test]
    fn of_a_closed_monitor_only_what_handles_hold_is_left() {
        let mut ledger = told([Registration(1)]);
        ledger.tell(TWO, ("two", 1), Few::from_iter([Handle(2)]), most(9));
        ledger.forget(MonitorId(1));
        assert!(!ledger.has(ONE) && ledger.has(TWO));
        assert!(!ledger.withdraw_handle(TWO, 2));
        assert!(!ledger.has(TWO));
        assert!(ledger.unclaimed.is_empty());
    }

    #[test]
    fn the_latest_end_of_an_id_is_found() {
        let mut ledger = told([]);
        ledger.tell(TWO, ("one", 1), Few::default(), most(9));
        ledger.tell(key(3), ("three", 1), Few::default(), most(9));
        assert_eq!(ledger.latest(MonitorId(1), |kept| *kept == "one"), Some(TWO));
        assert_eq!(ledger.latest(MonitorId(2), |_| true), None);
    }
}
