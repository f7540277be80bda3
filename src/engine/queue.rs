//! What the reader has for delivery: a line of reports for each monitor, served in turn. The reader
//! never waits, so each line has a bound. When it is full, intermediate events are dropped, oldest
//! first, and counted in one OVERFLOW; outcomes never are: the monitor is closed instead. Who waits
//! here is delivery's thread or a program that pulls; a program with a loop hears a bell.

#![forbid(unsafe_code)]

use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::RawFd,
    sync::Arc,
    time::Duration,
};

use super::{
    bell::Bell,
    lock::{Condvar, Mutex, MutexGuard},
    log,
    mailbox::stopped,
    monitor::Monitor,
    report::Report,
    shelf::{NOWHERE, Shelf},
};
use crate::model::{Error, Event, Kind, MonitorId, Stat};

#[derive(Debug, Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    filled: Condvar,
}

#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Default)]
struct Inner {
    /// Invariant: each line holds something, and its monitor stands once in `turns`.
    lines: BTreeMap<MonitorId, Line>,
    turns: VecDeque<MonitorId>,
    /// Somebody waits for what comes.
    awaited: bool,
    /// Somebody registered who has missed an end.
    late: bool,
    /// What was put back comes next.
    put_back: Option<Next>,
    /// Lines of the log, which take turns with reports.
    log: log::Lines,
    logged: bool,
    stopped: bool,
    /// Nothing more comes: when what is there was taken, it is as if stopped.
    ended: bool,
    bell: Bell,
}

/// The one who delivers, as long as it does. The bell is silent meanwhile, and rings again when
/// something is left.
#[derive(Debug)]
pub struct Attendance<'a>(&'a Queue);

/// What delivery is to do next.
#[derive(Debug)]
pub enum Next {
    Report(Arc<Report>),
    /// Some registration is to be told what it has missed.
    Late,
    Log(log::Line),
}

/// The reports of one monitor. Each bears its place, and the lowest place is served first.
#[derive(Debug, Default)]
struct Line {
    kept: Shelf,
    droppable: Shelf,
    /// Replies that nobody waited for; bounded where commands are sent, see `reply`.
    replies: Shelf,
    overflow: Option<Overflow>,
    next_place: u64,
}

/// Stands where the first dropped report stood.
#[derive(Debug)]
struct Overflow {
    place: u64,
    first: Arc<Report>,
    dropped: i64,
}

impl Queue {
    /// Takes a turn's reports. Returns the monitors whose program is too slow even for outcomes.
    pub fn push(&self, batch: impl IntoIterator<Item = Arc<Report>>) -> Vec<Arc<Monitor>> {
        let mut full = Vec::new();
        let mut batch = batch.into_iter().peekable();
        let mut inner = self.inner.lock();
        if inner.stopped || batch.peek().is_none() {
            // What is given up asks for the roster's lock, so not under this one.
            drop(inner);
            return full;
        }
        while let Some(report) = batch.next() {
            let monitor = Arc::clone(&report.monitor);
            let id = monitor.id();
            let Inner { lines, turns, .. } = &mut *inner;
            let line = lines.entry(id).or_insert_with(|| {
                turns.push_back(id);
                Line::default()
            });
            let before = line.len();
            let mut in_bounds = line.push(report);
            // As a rule the whole batch is of one monitor.
            while let Some(report) = batch.next_if(|next| Arc::ptr_eq(&next.monitor, &monitor)) {
                in_bounds &= line.push(report);
            }
            monitor.statistics().change(Stat::Queued, line.len() - before);
            if !in_bounds && !full.iter().any(|known| Arc::ptr_eq(known, &monitor)) {
                full.push(monitor);
            }
        }
        self.announce(inner);
        full
    }

    /// Takes a line of the log.
    pub fn say(&self, line: log::Line) {
        let mut inner = self.inner.lock();
        if !inner.stopped {
            inner.log.push(line);
            self.announce(inner);
        }
    }

    /// A registration has missed an end: `pop` says so first of all.
    pub fn nudge(&self) {
        let mut inner = self.inner.lock();
        inner.late = true;
        self.announce(inner);
    }

    /// Something must come before this: `pop` says first that somebody is late.
    pub fn put_back(&self, next: Next) {
        let mut inner = self.inner.lock();
        if inner.stopped {
            drop(inner);
            return drop(next);
        }
        inner.late = true;
        inner.put_back = Some(next);
        self.announce(inner);
    }

    /// What is next; waits for it for at most this long, `None` for ever. Fails when the listener
    /// was stopped.
    pub fn pop(&self, limit: Option<Duration>) -> Result<Option<Next>, Error> {
        let mut inner = self.wait(limit);
        if inner.is_over() { Err(stopped()) } else { Ok(inner.take_next()) }
    }

    /// What is next, if there is something.
    pub fn try_pop(&self) -> Option<Next> {
        self.inner.lock().take_next()
    }

    /// What is next, and what follows on it as far as it is there, under one lock. Waits until
    /// there is something. Fails when the listener was stopped.
    pub fn pop_some(&self, into: &mut Vec<Next>) -> Result<(), Error> {
        let mut inner = self.wait(None);
        if inner.is_over() {
            return Err(stopped());
        }
        inner.take_some(into, SOME);
        Ok(())
    }

    /// The same, at most so many, if there is something.
    pub fn try_pop_some(&self, into: &mut Vec<Next>, most: usize) {
        self.inner.lock().take_some(into, most.min(SOME));
    }

    /// Somebody begins to deliver. There is one at a time.
    pub fn attend(&self) -> Result<Attendance<'_>, Error> {
        let mut inner = self.inner.lock();
        if inner.is_over() {
            inner.bell.toll();
            return Err(stopped());
        }
        inner.bell.begin()?;
        Ok(Attendance(self))
    }

    /// From now on there is a bell. Returns its descriptor, the same each time.
    pub fn hang_bell(&self) -> Result<RawFd, Error> {
        let mut inner = self.inner.lock();
        let fd = inner.bell.hang()?;
        if inner.is_over() {
            inner.bell.toll();
        } else if inner.has_something() {
            inner.bell.ring();
        }
        Ok(fd)
    }

    /// Gives up what is queued, and ends every wait.
    pub fn stop(&self) {
        let mut inner = self.inner.lock();
        inner.stopped = true;
        inner.turns.clear();
        let lines = std::mem::take(&mut inner.lines);
        let put_back = inner.put_back.take();
        let log = std::mem::take(&mut inner.log);
        inner.bell.toll();
        drop(inner);
        self.filled.notify_all();
        drop((lines, put_back, log));
    }

    /// The reader has failed: what is there can be taken, and then nobody waits for more.
    pub fn end(&self) {
        let mut inner = self.inner.lock();
        inner.ended = true;
        self.announce(inner);
    }

    /// Until something is there or nothing can come. One waits at a time.
    fn wait(&self, limit: Option<Duration>) -> MutexGuard<'_, Inner> {
        let idle = |inner: &mut Inner| {
            inner.awaited = !inner.is_over() && !inner.has_something();
            inner.awaited
        };
        let mut inner = self.filled.wait_while_for(self.inner.lock(), idle, limit);
        inner.awaited = false;
        inner
    }

    /// Something has come: wakes who waits for it, which is a call of the kernel's.
    fn announce(&self, mut inner: MutexGuard<'_, Inner>) {
        inner.bell.ring();
        let awaited = std::mem::take(&mut inner.awaited);
        drop(inner);
        if awaited {
            self.filled.notify_one();
        }
    }
}

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock();
        let is_left = inner.has_something() || inner.is_over();
        inner.bell.end(is_left);
    }
}

impl Inner {
    fn has_something(&self) -> bool {
        self.late || self.put_back.is_some() || !self.turns.is_empty() || !self.log.is_empty()
    }

    fn is_over(&self) -> bool {
        self.stopped || self.ended && !self.has_something()
    }

    /// Who is late comes alone: what follows is to be told behind all that was missed.
    fn take_some(&mut self, into: &mut Vec<Next>, most: usize) {
        while into.len() < most {
            let Some(next) = self.take_next() else { break };
            let is_late = matches!(next, Next::Late);
            into.push(next);
            if is_late {
                break;
            }
        }
    }

    fn take_next(&mut self) -> Option<Next> {
        if self.stopped {
            return None;
        }
        if std::mem::take(&mut self.late) {
            return Some(Next::Late);
        }
        if let Some(next) = self.put_back.take() {
            return Some(next);
        }
        self.logged = !self.logged || self.turns.is_empty();
        if let Some(line) = self.logged.then(|| self.log.pop()).flatten() {
            return Some(Next::Log(line));
        }
        let id = self.turns.pop_front()?;
        let line = self.lines.get_mut(&id).expect("a monitor in turns has a line");
        let report = line.pop().expect("a line holds something");
        if line.is_empty() {
            self.lines.remove(&id);
        } else {
            self.turns.push_back(id);
        }
        Some(Next::Report(report))
    }
}

impl Line {
    /// Returns false when it took the report beyond its bound for what is never dropped.
    fn push(&mut self, report: Arc<Report>) -> bool {
        let place = self.next_place;
        self.next_place += 1;
        if report.event.kind.may_be_dropped() {
            if report.event.kind.latest_counts() {
                self.droppable.remove_like(&report);
            }
            self.droppable.push(place, report);
            while self.droppable.is_over(DROPPABLE_MAX, DROPPABLE_BYTES_MAX) {
                self.drop_oldest();
            }
            return true;
        }
        if report.event.kind == Kind::Reply {
            self.replies.push(place, report);
            return true;
        }
        if report.event.kind == Kind::Overflow {
            self.add_dropped(place, report);
            return true;
        }
        if report.event.kind.latest_counts() {
            self.kept.remove_like(&report);
        }
        self.kept.push(place, report);
        !self.kept.is_over(KEPT_MAX, KEPT_BYTES_MAX)
    }

    fn drop_oldest(&mut self) {
        let Some((place, first)) = self.droppable.pop() else { return };
        first.monitor.statistics().add(Stat::Dropped, 1);
        self.add_dropped(place, first);
    }

    /// Counts what is dropped here, or was before it came here, where the first of it stood.
    fn add_dropped(&mut self, place: u64, report: Arc<Report>) {
        let more = report.event.own().dropped.unwrap_or(1);
        let overflow = match self.overflow.take() {
            Some(before) if before.place < place => before,
            before => {
                let dropped = before.map_or(0, |before| before.dropped);
                Overflow { place, first: report, dropped }
            }
        };
        let dropped = overflow.dropped.saturating_add(more);
        self.overflow = Some(Overflow { dropped, ..overflow });
    }

    fn pop(&mut self) -> Option<Arc<Report>> {
        let places = [self.kept.place(), self.droppable.place(), self.replies.place()];
        let [kept, droppable, replies] = places;
        let overflow = self.overflow.as_ref().map_or(NOWHERE, |overflow| overflow.place);
        if overflow < kept.min(droppable).min(replies) {
            return self.overflow.take().map(Overflow::report);
        }
        let shelves = [&mut self.kept, &mut self.droppable, &mut self.replies];
        let first = shelves.into_iter().min_by_key(|shelf| shelf.place())?;
        first.pop().map(|(_, report)| report)
    }

    /// Events that wait, as the statistics have it.
    fn len(&self) -> i64 {
        let reports = self.kept.reports.len() + self.droppable.reports.len();
        // Far below the bounds of either.
        i64::try_from(reports + usize::from(self.overflow.is_some())).unwrap_or(i64::MAX)
    }

    fn is_empty(&self) -> bool {
        let shelves = [&self.kept, &self.droppable, &self.replies];
        shelves.iter().all(|shelf| shelf.reports.is_empty()) && self.overflow.is_none()
    }
}

impl Overflow {
    fn report(self) -> Arc<Report> {
        let mut event = Event::new(Kind::Overflow, "OVERFLOW", self.first.event.timestamp, 0);
        event.own_mut().dropped = Some(self.dropped);
        let monitor = Arc::clone(&self.first.monitor);
        Report::new(monitor, event, self.first.tick)
    }
}

/// What is taken at once, and so is before whatever comes meanwhile, of whichever monitor.
const SOME: usize = 8;
/// Status changes and errors of jobs that may wait for a program; about a quarter megabyte.
const DROPPABLE_MAX: usize = 1024;
const DROPPABLE_BYTES_MAX: usize = 16 << 20;
/// What may never be dropped: outcomes of 4,096 jobs, and READY or PENDING for as many.
const KEPT_MAX: usize = 8192;
const KEPT_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
#[path = "queue_bounds.rs"]
mod bounds;
