//! Whatever comes and whenever it is taken: the line of a monitor has bounds, what may not be
//! dropped is not, and what was is counted where it stood. Tests of `queue`.

#![forbid(unsafe_code)]

use std::{collections::BTreeSet, sync::OnceLock};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngSeed},
};

use super::*;
use crate::{
    engine::{report::Content, shared::Shared},
    model::Word,
};

/// What happens to the line.
#[derive(Debug, Clone)]
enum Step {
    /// So many reports alike come, of jobs that take turns.
    Push {
        kind: Kind,
        times: usize,
        jobs: u64,
        size: usize,
    },
    /// An OVERFLOW of what was dropped before it came here.
    Told {
        dropped: i64,
    },
    Pop {
        times: usize,
    },
}

/// Of kinds that are droppable and of others, of which the latest counts and of which each does.
fn step() -> impl Strategy<Value = Step> {
    let droppable = prop::sample::select(vec![Kind::Status, Kind::Error, Kind::Raw]);
    let kept = prop::sample::select(vec![Kind::Completed, Kind::Cancelled, Kind::Lost]);
    let latest = prop::sample::select(vec![Kind::Progress, Kind::Ready, Kind::Connected]);
    let push = |(kind, times, jobs, size)| Step::Push { kind, times, jobs, size };
    // Of 200 kB a few hundred are over the bound of either sort.
    let size = || prop_oneof![3 => 0..100_usize, 1 => 0..200_000_usize];
    prop_oneof![
        4 => (droppable, 1..1500_usize, 1..3_u64, size()).prop_map(push),
        2 => (kept, 1..5000_usize, 1..3_u64, size()).prop_map(push),
        2 => (latest, 1..40_usize, 1..20_u64, size()).prop_map(push),
        1 => (Just(Kind::Reply), 1..20_usize, 1..2_u64, size()).prop_map(push),
        1 => (1..1000_i64).prop_map(|dropped| Step::Told { dropped }),
        4 => (1..3000_usize).prop_map(|times| Step::Pop { times }),
    ]
}

/// One report of the line.
#[derive(Debug, Clone)]
struct Entry {
    kind: Kind,
    job: u64,
    weight: usize,
}

/// So many, and so many bytes of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Room(usize, usize);

/// What the line should be: one list by the order in which it came, and what was dropped of it.
#[derive(Debug, Default)]
struct Model {
    entries: BTreeMap<u64, Entry>,
    droppable: Room,
    kept: Room,
    /// Where the first stood that was dropped, and how many were, since that was told.
    gap: Option<(u64, i64)>,
    next: u64,
    /// All that was dropped here.
    dropped: i64,
}

/// What is taken: a report by its number, or what the gap is of.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Entry(u64),
    Overflow(i64),
    Nothing,
}

impl Model {
    /// False when what is never dropped is beyond its bound.
    fn push(&mut self, kind: Kind, job: u64, weight: usize) -> bool {
        if kind.latest_counts() {
            let alike = |(_, entry): &(&u64, &Entry)| (entry.kind, entry.job) == (kind, job);
            let before = self.entries.iter().find(alike).map(|(number, _)| *number);
            if let Some(number) = before {
                self.remove(number);
            }
        }
        self.entries.insert(self.next, Entry { kind, job, weight });
        self.next += 1;
        if let Some(room) = self.room(kind) {
            *room = Room(room.0 + 1, room.1 + weight);
        }
        while !self.droppable.fits(DROPPABLE_MAX, DROPPABLE_BYTES_MAX) {
            let of_these = |(_, entry): &(&u64, &Entry)| entry.kind.may_be_dropped();
            let oldest = self.entries.iter().find(of_these).map(|(number, _)| *number);
            let oldest = oldest.expect("there are too many");
            self.remove(oldest);
            self.open_gap(oldest, 1);
            self.dropped += 1;
        }
        kind.may_be_dropped() || kind == Kind::Reply || self.kept.fits(KEPT_MAX, KEPT_BYTES_MAX)
    }

    fn open_gap(&mut self, place: u64, more: i64) {
        let (first, dropped) = self.gap.unwrap_or((place, 0));
        self.gap = Some((first.min(place), dropped + more));
    }

    fn remove(&mut self, number: u64) {
        let entry = self.entries.remove(&number).expect("it was found there");
        if let Some(room) = self.room(entry.kind) {
            *room = Room(room.0 - 1, room.1 - entry.weight);
        }
    }

    fn room(&mut self, kind: Kind) -> Option<&mut Room> {
        match kind {
            Kind::Reply => None,
            kind if kind.may_be_dropped() => Some(&mut self.droppable),
            _ => Some(&mut self.kept),
        }
    }

    fn pop(&mut self) -> Taken {
        let first = self.entries.keys().next().copied();
        if let Some((place, dropped)) = self.gap {
            if first.is_none_or(|first| place < first) {
                self.gap = None;
                return Taken::Overflow(dropped);
            }
        }
        let Some(first) = first else { return Taken::Nothing };
        self.remove(first);
        Taken::Entry(first)
    }
}

impl Room {
    /// One alone may be as large as it likes.
    fn fits(self, count: usize, bytes: usize) -> bool {
        self.0 <= count && (self.1 <= bytes || self.0 <= 1)
    }
}

/// A line of the one monitor there is, beside what it should be.
struct World {
    monitor: Arc<Monitor>,
    line: Line,
    model: Model,
    /// The ends that came and have not been taken.
    ends: BTreeSet<u64>,
}

impl World {
    fn new(monitor: &Arc<Monitor>) -> Self {
        let (line, model) = (Line::default(), Model::default());
        Self { monitor: Arc::clone(monitor), line, model, ends: BTreeSet::new() }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Push { kind, times, jobs, size } => {
                let events: Vec<_> =
                    (0..jobs).map(|job| Arc::new(event(kind, job, size))).collect();
                for (job, event) in (0..jobs).cycle().zip(events.iter().cycle()).take(times) {
                    self.push(job, event);
                }
            }
            Step::Told { dropped } => {
                let mut event = event(Kind::Overflow, 0, 0);
                event.own_mut().dropped = Some(dropped);
                self.model.open_gap(self.model.next, dropped);
                self.model.next += 1;
                assert!(self.line.push(self.report(0, &Arc::new(event))));
            }
            Step::Pop { times } => (0..times).for_each(|_| _ = self.pop()),
        }
        self.check_bounds();
    }

    fn push(&mut self, job: u64, event: &Arc<Event>) {
        let number = self.model.next;
        if event.kind.is_final() {
            self.ends.insert(number);
        }
        let in_bounds = self.line.push(self.report(number, event));
        assert_eq!(in_bounds, self.model.push(event.kind, job, event.weight()));
    }

    /// Its number is where it has its tick.
    fn report(&self, number: u64, event: &Arc<Event>) -> Arc<Report> {
        let event = Content::Shared(Arc::clone(event));
        let (monitor, line) = (Arc::clone(&self.monitor), OnceLock::new());
        Arc::new(Report { monitor, event, tick: number, key: None, reply: None, line })
    }

    fn pop(&mut self) -> bool {
        let taken = match self.line.pop() {
            None => Taken::Nothing,
            Some(report) => match report.event.kind {
                Kind::Overflow => {
                    Taken::Overflow(report.event.own().dropped.expect("it says how many"))
                }
                _ => Taken::Entry(report.tick),
            },
        };
        if let Taken::Entry(number) = taken {
            self.ends.remove(&number);
        }
        assert_eq!(taken, self.model.pop());
        taken != Taken::Nothing
    }

    fn check_bounds(&self) {
        let room = |shelf: &Shelf| Room(shelf.reports.len(), shelf.bytes);
        let (droppable, kept) = (room(&self.line.droppable), room(&self.line.kept));
        assert_eq!((droppable, kept), (self.model.droppable, self.model.kept));
        assert!(droppable.fits(DROPPABLE_MAX, DROPPABLE_BYTES_MAX), "{droppable:?}");
        let weights = |shelf: &Shelf| -> usize {
            shelf.reports.iter().map(|(_, report)| report.event.weight()).sum()
        };
        assert_eq!(weights(&self.line.droppable), droppable.1);
        assert_eq!(weights(&self.line.kept), kept.1);
    }
}

fn event(kind: Kind, job: u64, size: usize) -> Event {
    let mut event = Event::new(kind, "EVENT", None, 0);
    event.set(Word::JobId, &job.to_string());
    event.set(Word::Json, &"x".repeat(size));
    event
}

proptest! {
    #![proptest_config(Config {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        cases: 128,
        max_shrink_time: 60_000,
        ..Config::default()
    })]

    #[test]
    fn a_line_has_bounds_drops_no_end_and_counts_what_it_drops_where_it_stood(
        steps in vec(step(), 1..40),
    ) {
        let shared = Shared::new().unwrap();
        let monitor = Arc::new(shared.monitor("unix:/nowhere").unwrap());
        let mut world = World::new(&monitor);
        for step in &steps {
            world.take(step);
        }
        while world.pop() {}
        prop_assert_eq!(world.ends, BTreeSet::new(), "ends that were never given out");
        prop_assert!(world.line.is_empty());
        prop_assert_eq!(monitor.statistics().get(Stat::Dropped), world.model.dropped);
        shared.stop();
    }
}
