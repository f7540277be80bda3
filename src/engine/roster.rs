//! Who wants what: the registrations, and the promises about their ends. A callback and its drop
//! (which frees what the program gave along) run without the lock, always; so does the drop of a
//! report, which asks for it. How the ends of jobs are claimed is in `ledger`, by whom in `claims`.

#![forbid(unsafe_code)]

use std::{collections::HashMap, sync::Arc};

use super::{
    claims::{Told, Watcher},
    entries::Entries,
    inside,
    ledger::{Claimant, Key, Ledger},
    lock::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    mailbox::{Mailbox, stopped},
    monitor::{Monitor, Post},
    raw::Raw,
    reply::Replies,
    report::Report,
};
use crate::model::{Code, Error, Kinds, MonitorId};

/// What is called for an event, with the id of its registration. Dropping it frees what the program
/// gave along.
pub type Callback = Arc<dyn Fn(i64, &Arc<Report>) + Send + Sync>;

/// Which events a registration is for.
#[derive(Debug)]
pub struct Filter {
    /// `None`: of all monitors, later ones too.
    pub monitor: Option<MonitorId>,
    /// `None`: of all jobs. An event of no job, a connection's, passes any job.
    pub job: Option<String>,
    pub kinds: Kinds,
    /// QEMU's name of the raw events that are wanted; `None`: of all.
    pub name: Option<String>,
    /// It looks on, and claims nothing.
    pub observes: bool,
}

/// How a removal went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// Nothing runs any more, everything is freed.
    Now,
    /// The callback runs on another thread, and is freed there when it returns.
    Later,
}

pub struct Roster {
    pub(super) inner: Mutex<Inner>,
    /// A registration has gone for good.
    gone: Condvar,
    /// The time by which registrations and events are compared. Odd while a socket is being read.
    ticks: AtomicU64,
    pub raw: Raw,
    /// Of commands that nobody waits for.
    pub replies: Replies,
    /// Where the reader is told what was acknowledged.
    mailbox: Arc<Mailbox<Post>>,
}

#[derive(Default)]
pub(super) struct Inner {
    last_id: i64,
    pub(super) entries: Entries,
    /// Somebody may have missed an end.
    pub(super) late: bool,
    running: Option<Running>,
    pub(super) ledger: Ledger<Told>,
    /// The open handles of jobs.
    pub(super) watchers: HashMap<u64, Watcher>,
    pub(super) stopped: bool,
    /// The reader has failed: nothing new will come.
    pub(super) deaf: bool,
}

pub struct Entry {
    pub(super) filter: Filter,
    /// Events of this tick and later ones.
    pub(super) since: u64,
    callback: Callback,
    /// Removed, but its callback or free still runs; nobody calls it again.
    pub(super) leaving: bool,
    /// The ends that it has missed are among these, by the numbers that they have passed with.
    pub(super) late: Option<(u64, u64)>,
    /// The end that was in hand when it was made, inside the callback: its program knows of it.
    pub(super) known: Option<Key>,
}

/// The one callback that runs.
#[derive(Clone, Copy)]
struct Running {
    id: i64,
    thread: usize,
    /// The end that it is told of.
    key: Option<Key>,
}

/// A callback's turn.
struct Turn {
    id: i64,
    callback: Callback,
    /// What it has missed, which comes first.
    late: Option<Arc<Report>>,
}

impl Roster {
    pub fn new(mailbox: Arc<Mailbox<Post>>) -> Self {
        Self {
            inner: Mutex::default(),
            gone: Condvar::default(),
            ticks: AtomicU64::new(0),
            raw: Raw::default(),
            replies: Replies::default(),
            mailbox,
        }
    }

    /// Does something that may bring events, a read of a socket. They bear the tick returned:
    /// whoever registered before the end of it sees them.
    pub fn tick<R>(&self, read: impl FnOnce() -> R) -> (u64, R) {
        let tick = self.ticks.fetch_add(1, SeqCst) + 1;
        let result = read();
        self.ticks.fetch_add(1, SeqCst);
        (tick, result)
    }

    /// Registers. What is read after this has returned will be seen, and so will be the ends of
    /// before that are kept. True beside the id: delivery must be nudged to tell those.
    pub fn add(
        &self,
        filter: Filter,
        monitor: Option<&Monitor>,
        callback: Callback,
    ) -> Result<(i64, bool), Error> {
        let mut inner = self.inner.lock();
        let open = monitor.map_or(Ok(()), Monitor::check_open);
        if let Err(error) = if inner.can_hear() { open } else { Err(stopped()) } {
            drop(inner);
            drop(callback);
            return Err(error);
        }
        inner.last_id += 1;
        let id = inner.last_id;
        // A read that is under way may bring bytes that arrive after this call: it counts too.
        let since = self.ticks.load(SeqCst) | 1;
        // Else a callback that registers another could go round and round with one end.
        let here = |running: &Running| running.thread == inside::thread_mark();
        let known = inner.running.filter(here).and_then(|running| running.key);
        let kept: Vec<Key> = inner.kept(&filter).filter(|key| Some(*key) != known).collect();
        let late = (!kept.is_empty()).then(|| (1, inner.ledger.last_passed()));
        if !filter.observes {
            for key in kept {
                inner.ledger.claim(key, Claimant::Registration(id));
            }
        }
        self.raw.note(&filter);
        let entry = Entry { filter, since, callback, leaving: false, late, known };
        inner.late |= late.is_some();
        inner.entries.insert(id, entry);
        Ok((id, late.is_some()))
    }

    /// Calls everybody who asked for this event, in the order of registration. Returns of how many
    /// events somebody was told: who has missed one is told of that first.
    pub fn deliver(&self, report: &mut Arc<Report>) -> usize {
        let (mut after, mut missed) = (0, 0);
        let mut inner = self.inner.lock();
        while let Some(turn) = inner.begin(after, report) {
            if turn.late.is_none() {
                after = turn.id;
            } else {
                missed += 1;
            }
            drop(inner);
            // One lock for the end of one and the begin of the next: the reader wants it as well.
            inner = self.call(turn, report);
        }
        self.pass(inner, report);
        missed + usize::from(after > 0)
    }

    /// Calls one who has missed an end of a job that is still to be had. False: nobody has.
    pub fn deliver_late(&self) -> bool {
        let Some((turn, report)) = self.begin_late() else { return false };
        drop(self.call(turn, &report));
        true
    }

    /// Removes a registration. Without `wait`, or inside a callback or free function, it does not
    /// wait for one that runs elsewhere.
    pub fn remove(&self, id: i64, wait: bool) -> Result<Removed, Error> {
        let wait = wait && !inside::is_inside();
        let unknown = || Error::new(Code::NotFound, format!("there is no callback with id {id}"));
        let mut inner = self.inner.lock();
        let running = inner.running.filter(|running| running.id == id);
        let entry = inner.entries.get_mut(id).ok_or_else(unknown)?;
        if std::mem::replace(&mut entry.leaving, true) {
            // Somebody removes it already. Its end is waited for all the same, so that after this
            // call, too, nothing runs any more.
            if wait {
                drop(self.gone.wait_while(inner, |inner| inner.entries.contains_key(&id)));
            }
            return Err(unknown());
        }
        // What it is being told of now it has taken.
        let but = running.and_then(|running| running.key);
        let done = inner.ledger.withdraw_registration(id, but);
        self.acknowledge_all(&inner, done);
        match running {
            None => {
                drop(inner);
                self.free(id);
                Ok(Removed::Now)
            }
            Some(running) if running.thread == inside::thread_mark() => Ok(Removed::Now),
            Some(_) if wait => {
                drop(self.gone.wait_while(inner, |inner| inner.entries.contains_key(&id)));
                Ok(Removed::Now)
            }
            Some(_) => Ok(Removed::Later),
        }
    }

    /// Removes the registrations of a monitor that is closed and so takes no new ones, and forgets
    /// the ends that nobody can acknowledge any more.
    pub fn retire(&self, monitor: &Monitor) {
        let mut inner = self.inner.lock();
        inner.ledger.forget(monitor.id());
        let own = |entry: &Entry| entry.filter.monitor == Some(monitor.id()) && !entry.leaving;
        let leaving: Vec<i64> = inner
            .entries
            .iter_mut()
            .filter(|(_, entry)| own(entry))
            .map(|(id, entry)| {
                entry.leaving = true;
                id
            })
            .collect();
        drop(inner);
        for id in leaving {
            self.free(id);
        }
    }

    /// Nobody is called any more, and nobody waits.
    pub fn stop(&self) {
        let mut inner = self.inner.lock();
        inner.stopped = true;
        inner.wake_watchers();
    }

    pub fn is_stopped(&self) -> bool {
        self.inner.lock().stopped
    }

    /// The turn of the callback that ran was broken off by a fault of ours, after which this was
    /// stopped: whoever waits for its end does so no more.
    pub fn break_off(&self) {
        let running = self.inner.lock().running;
        if let Some(running) = running {
            drop(self.finish(running.id));
        }
    }

    /// Frees all that is left. Only when nobody is being called any more.
    pub fn clear(&self) {
        loop {
            let mut inner = self.inner.lock();
            let Some((id, entry)) = inner.entries.iter_mut().find(|(_, entry)| !entry.leaving)
            else {
                break;
            };
            entry.leaving = true;
            drop(inner);
            self.free(id);
        }
        let ends = std::mem::take(&mut self.inner.lock().ledger);
        drop(ends);
        self.replies.clear();
    }

    /// Tells the reader. Those of a stopped listener stay as they are.
    pub(super) fn acknowledge_all(
        &self,
        inner: &MutexGuard<'_, Inner>,
        keys: impl IntoIterator<Item = Key>,
    ) {
        for key in keys.into_iter().filter(|_| !inner.stopped) {
            let _ = self.mailbox.post(Post::Acknowledge(key.monitor, key.job, None));
        }
    }

    /// The turn of an end is over. Where nobody else holds its report that goes here, under the one
    /// lock, and not when it is dropped.
    fn pass(&self, mut inner: MutexGuard<'_, Inner>, report: &mut Arc<Report>) {
        let Some(key) = report.key.filter(|_| !inner.stopped) else { return };
        let alone = Arc::get_mut(report).map(|report| report.key = None).is_some();
        if alone && inner.ledger.release(key) {
            self.acknowledge_all(&inner, [key]);
        }
        inner.ledger.pass(key);
    }

    fn begin_late(&self) -> Option<(Turn, Arc<Report>)> {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return None;
        }
        let late =
            |(id, entry): (&i64, &Entry)| (!entry.leaving && entry.late.is_some()).then_some(*id);
        while let Some(id) = inner.entries.iter().find_map(late) {
            if let Some(report) = inner.next_late(id) {
                let key = report.key;
                return Some((inner.turn(id, None, key), report));
            }
        }
        None
    }

    fn call(&self, turn: Turn, report: &Arc<Report>) -> MutexGuard<'_, Inner> {
        let Turn { id, callback, late } = turn;
        callback(id, late.as_ref().unwrap_or(report));
        drop((callback, late));
        self.finish(id)
    }

    fn finish(&self, id: i64) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock();
        let key = inner.running.take().and_then(|running| running.key);
        if let Some(key) = key {
            if inner.ledger.serve(key, Claimant::Registration(id)) {
                self.acknowledge_all(&inner, [key]);
            }
        }
        if inner.entries.get(&id).is_none_or(|entry| !entry.leaving) {
            return inner;
        }
        drop(inner);
        self.free(id);
        self.inner.lock()
    }

    /// Drops the callback of a registration that is leaving and does not run. The entry stays until
    /// the program's free function has returned, for those who wait for that.
    fn free(&self, id: i64) {
        let mut inner = self.inner.lock();
        let nothing: Callback = Arc::new(|_, _| {});
        let callback = match inner.entries.get_mut(id) {
            Some(entry) => std::mem::replace(&mut entry.callback, nothing),
            None => return,
        };
        drop(inner);
        drop(callback);
        let gone = self.inner.lock().entries.remove(id);
        if let Some(entry) = gone {
            self.raw.note(&entry.filter);
        }
        self.gone.notify_all();
    }
}

impl Inner {
    /// This thread is in a callback that takes this end.
    pub(super) fn is_in_hand(&self, key: Key) -> bool {
        self.running.is_some_and(|running| {
            let observes = self.entries.get(&running.id).is_some_and(|it| it.filter.observes);
            running.key == Some(key) && running.thread == inside::thread_mark() && !observes
        })
    }

    /// The next one behind `after` that wants this, and what it has missed before.
    fn begin(&mut self, after: i64, report: &Report) -> Option<Turn> {
        if self.stopped {
            return None;
        }
        // An end that is still to be had goes to those as well who came after it was read.
        let is_kept = report.key.is_some_and(|key| self.ledger.has(key));
        let wants = |entry: &Entry| entry.wants(report, is_kept);
        let next = self.entries.next(after, &report.event, report.monitor.id(), wants);
        let (id, _) = next?;
        let late = self.next_late(id);
        let key = late.as_ref().map_or(report.key, |late| late.key);
        Some(self.turn(id, late, key))
    }

    fn turn(&mut self, id: i64, late: Option<Arc<Report>>, key: Option<Key>) -> Turn {
        let callback = Arc::clone(&self.entries[&id].callback);
        self.running = Some(Running { id, thread: inside::thread_mark(), key });
        Turn { id, callback, late }
    }

    /// The next end that a registration has missed, as a report of its own.
    fn next_late(&mut self, id: i64) -> Option<Arc<Report>> {
        let Self { entries, ledger, .. } = self;
        let entry = entries.get_mut(id)?;
        let (first, last) = entry.late?;
        let missed =
            |key: Key, told: &Told| entry.known != Some(key) && told.passes(&entry.filter, key);
        let next = ledger.passed(first, last).find(|(_, key, told)| missed(*key, told));
        let Some((number, key, told)) = next else {
            entry.late = None;
            return None;
        };
        entry.late = Some((number + 1, last));
        let told = told.clone();
        Some(told.report(key, ledger))
    }
}
