//! Who wants what: the registrations, and the promises about their ends. A callback and its drop
//! (which frees what the program gave along) run without the lock, always.

#![forbid(unsafe_code)]

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use super::{
    inside,
    lock::{Condvar, Mutex},
    mailbox::stopped,
    monitor::Monitor,
    report::Report,
};
use crate::model::{Code, Error, Event, Kinds, MonitorId, Word};

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
}

/// How a removal went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// Nothing runs any more, everything is freed.
    Now,
    /// The callback runs on another thread, and is freed there when it returns.
    Later,
}

#[derive(Default)]
pub struct Roster {
    inner: Mutex<Inner>,
    /// A registration has gone for good.
    gone: Condvar,
    /// The time by which registrations and events are compared. Odd while a socket is being read.
    ticks: AtomicU64,
}

#[derive(Default)]
struct Inner {
    last_id: i64,
    entries: BTreeMap<i64, Entry>,
    running: Option<Running>,
    stopped: bool,
}

struct Entry {
    filter: Filter,
    /// Events of this tick and later ones.
    since: u64,
    callback: Callback,
    /// Removed, but its callback or free still runs; nobody calls it again.
    leaving: bool,
}

/// The one callback that runs.
#[derive(Clone, Copy)]
struct Running {
    id: i64,
    thread: usize,
}

impl Roster {
    /// Does something that may bring events, a read of a socket. They bear the tick returned:
    /// whoever registered before the end of it sees them.
    pub fn tick<R>(&self, read: impl FnOnce() -> R) -> (u64, R) {
        let tick = self.ticks.fetch_add(1, SeqCst) + 1;
        let result = read();
        self.ticks.fetch_add(1, SeqCst);
        (tick, result)
    }

    /// Registers. What is read after this has returned will be seen.
    pub fn add(
        &self,
        filter: Filter,
        monitor: Option<&Monitor>,
        callback: Callback,
    ) -> Result<i64, Error> {
        let mut inner = self.inner.lock();
        let open = monitor.map_or(Ok(()), Monitor::check_open);
        if let Err(error) = if inner.stopped { Err(stopped()) } else { open } {
            drop(inner);
            drop(callback);
            return Err(error);
        }
        inner.last_id += 1;
        let id = inner.last_id;
        // A read that is under way may bring bytes that arrive after this call: it counts too.
        let since = self.ticks.load(SeqCst) | 1;
        inner.entries.insert(id, Entry { filter, since, callback, leaving: false });
        Ok(id)
    }

    /// Would anybody be called for this event?
    pub fn wants(&self, event: &Event, from: MonitorId) -> bool {
        let inner = self.inner.lock();
        inner.entries.values().any(|entry| !entry.leaving && entry.filter.passes(event, from))
    }

    /// Calls everybody who asked for this event, in the order of registration.
    pub fn deliver(&self, report: &Arc<Report>) {
        let mut after = 0;
        while let Some((id, callback)) = self.begin(after, report) {
            callback(id, report);
            drop(callback);
            self.finish(id);
            after = id;
        }
    }

    /// Removes a registration. Without `wait`, or inside a callback or free function, it does not
    /// wait for one that runs elsewhere.
    pub fn remove(&self, id: i64, wait: bool) -> Result<Removed, Error> {
        let wait = wait && !inside::is_inside();
        let unknown = || Error::new(Code::NotFound, format!("there is no callback with id {id}"));
        let mut inner = self.inner.lock();
        let running = inner.running.filter(|running| running.id == id);
        let entry = inner.entries.get_mut(&id).ok_or_else(unknown)?;
        if std::mem::replace(&mut entry.leaving, true) {
            // Somebody removes it already. Its end is waited for all the same, so that after this
            // call, too, nothing runs any more.
            if wait {
                drop(self.gone.wait_while(inner, |inner| inner.entries.contains_key(&id)));
            }
            return Err(unknown());
        }
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

    /// Removes the registrations of a monitor that is closed and so takes no new ones.
    pub fn retire(&self, monitor: &Monitor) {
        let mut inner = self.inner.lock();
        let own = |entry: &Entry| entry.filter.monitor == Some(monitor.id()) && !entry.leaving;
        let leaving: Vec<i64> = inner
            .entries
            .iter_mut()
            .filter(|(_, entry)| own(entry))
            .map(|(id, entry)| {
                entry.leaving = true;
                *id
            })
            .collect();
        drop(inner);
        for id in leaving {
            self.free(id);
        }
    }

    /// Nobody is called any more.
    pub fn stop(&self) {
        self.inner.lock().stopped = true;
    }

    /// Frees all that is left. Only when nobody is being called any more.
    pub fn clear(&self) {
        loop {
            let mut inner = self.inner.lock();
            let Some((&id, entry)) = inner.entries.iter_mut().find(|(_, entry)| !entry.leaving)
            else {
                break;
            };
            entry.leaving = true;
            drop(inner);
            self.free(id);
        }
    }

    fn begin(&self, after: i64, report: &Report) -> Option<(i64, Callback)> {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return None;
        }
        let later = (Bound::Excluded(after), Bound::Unbounded);
        let (&id, entry) = inner.entries.range(later).find(|(_, entry)| entry.wants(report))?;
        let callback = Arc::clone(&entry.callback);
        inner.running = Some(Running { id, thread: inside::thread_mark() });
        Some((id, callback))
    }

    fn finish(&self, id: i64) {
        let mut inner = self.inner.lock();
        inner.running = None;
        let leaving = inner.entries.get(&id).is_some_and(|entry| entry.leaving);
        drop(inner);
        if leaving {
            self.free(id);
        }
    }

    /// Drops the callback of a registration that is leaving and does not run. The entry stays until
    /// the program's free function has returned, for those who wait for that.
    fn free(&self, id: i64) {
        let mut inner = self.inner.lock();
        let nothing: Callback = Arc::new(|_, _| {});
        let callback = match inner.entries.get_mut(&id) {
            Some(entry) => std::mem::replace(&mut entry.callback, nothing),
            None => return,
        };
        drop(inner);
        drop(callback);
        self.inner.lock().entries.remove(&id);
        self.gone.notify_all();
    }
}

impl Entry {
    fn wants(&self, report: &Report) -> bool {
        !self.leaving
            && self.since <= report.tick
            && self.filter.passes(&report.event, report.monitor.id())
    }
}

impl Filter {
    fn passes(&self, event: &Event, from: MonitorId) -> bool {
        self.kinds.contains(event.kind)
            && self.monitor.is_none_or(|monitor| monitor == from)
            && match (&self.job, event.get(Word::JobId)) {
                (Some(wanted), Some(job)) => wanted.as_bytes() == job.to_bytes(),
                _ => true,
            }
    }
}
