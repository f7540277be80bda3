//! Who claims the ends of jobs: registrations that want them, and the handles of jobs, where calls
//! wait for them. Part of [`Roster`].

#![forbid(unsafe_code)]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    ledger::{Claimant, Key, Ledger},
    lock::Condvar,
    mailbox::stopped,
    monitor::Monitor,
    report::Report,
    roster::{Entry, Filter, Inner, Roster},
};
use crate::{
    model::{Code, Error, Event, MonitorId, Word},
    qmp::jobs::End,
};

/// What the ledger keeps of an end. No report: that would be a reference of its own.
#[derive(Debug, Clone)]
pub(super) struct Told {
    monitor: Arc<Monitor>,
    event: Arc<Event>,
    tick: u64,
}

/// The open handle of a job.
#[derive(Default)]
pub(super) struct Watcher {
    /// The end of its job, once that is told.
    key: Option<Key>,
    decided: Arc<Condvar>,
}

impl Roster {
    /// Takes how a job ended, and wakes who waits for that. The report is delivery's, whether
    /// anybody wants it or not: so each end has its turn, and who comes later knows what it missed.
    pub fn take_end(&self, monitor: &Arc<Monitor>, end: End, tick: u64) -> Arc<Report> {
        let key = Key { monitor: monitor.id(), job: end.job };
        let told = Told { monitor: Arc::clone(monitor), event: Arc::new(end.event), tick };
        let report = Report::of_end(Arc::clone(monitor), Arc::clone(&told.event), tick, key);
        let limit = monitor.job_limit().max(UNCLAIMED_MAX);
        let mut inner = self.inner.lock();
        let wants = |entry: &Entry| {
            !entry.leaving && !entry.filter.observes && told.passes(&entry.filter, key)
        };
        let wanting = inner.entries.iter().filter(|(_, entry)| wants(entry));
        let mut claims: BTreeSet<_> = wanting.map(|(id, _)| Claimant::Registration(*id)).collect();
        let open = |handle: &u64| inner.watchers.contains_key(handle);
        claims.extend(end.handles.iter().copied().filter(open).map(Claimant::Handle));
        inner.ledger.add(key, told, claims, limit);
        for handle in end.handles {
            inner.decide(handle, key);
        }
        report
    }

    /// The end that a new handle for this id is for, unless a job of that id lives.
    pub fn latest_end(&self, monitor: MonitorId, id: &str) -> Option<u64> {
        let inner = self.inner.lock();
        let is_it = |told: &Told| told.event.text(Word::JobId) == Some(id);
        inner.ledger.latest(monitor, is_it).map(|key| key.job)
    }

    /// A handle is for an end that was told before. False when that is no longer to be had.
    pub fn attach(&self, handle: u64, key: Key) -> bool {
        let mut inner = self.inner.lock();
        let has = inner.ledger.has(key);
        if has && inner.watchers.contains_key(&handle) {
            inner.ledger.claim(key, Claimant::Handle(handle));
            inner.decide(handle, key);
        }
        has
    }

    pub fn open_handle(&self, handle: u64) -> Result<(), Error> {
        let mut inner = self.inner.lock();
        if inner.stopped || inner.deaf {
            return Err(stopped());
        }
        inner.watchers.insert(handle, Watcher::default());
        Ok(())
    }

    pub fn close_handle(&self, handle: u64) {
        let mut inner = self.inner.lock();
        let Some(key) = inner.watchers.remove(&handle).and_then(|watcher| watcher.key) else {
            return;
        };
        if inner.ledger.withdraw_handle(key, handle) {
            self.acknowledge_all(&inner, vec![key]);
        }
    }

    /// Waits for the end of a handle's job, and gives it out. `None`: the time is over.
    pub fn wait(
        &self,
        handle: u64,
        timeout: Option<Duration>,
    ) -> Result<Option<Arc<Report>>, Error> {
        let inner = self.inner.lock();
        let Some(watcher) = inner.watchers.get(&handle) else { return Err(stopped()) };
        let decided = Arc::clone(&watcher.decided);
        let key = |inner: &Inner| inner.watchers.get(&handle).and_then(|watcher| watcher.key);
        let undecided = |inner: &mut Inner| inner.can_hear() && key(inner).is_none();
        let mut inner = decided.wait_while_for(inner, undecided, timeout);
        let Some(key) = key(&inner).filter(|_| !inner.stopped) else {
            return if inner.can_hear() { Ok(None) } else { Err(stopped()) };
        };
        let gone = || Error::new(Code::Internal, "a job's end is gone while its handle is open");
        let told = inner.ledger.get(key).cloned().ok_or_else(gone)?;
        let report = told.report(key, &mut inner.ledger);
        // The report is a reference, so it is not acknowledged by this.
        let _ = inner.ledger.serve(key, Claimant::Handle(handle));
        Ok(Some(report))
    }

    /// The program acknowledges an end now, whoever else still claims it.
    pub fn acknowledge(&self, key: Key) {
        self.inner.lock().ledger.acknowledge(key);
    }

    /// The last reference to a report of an end is gone.
    pub fn release(&self, key: Key) {
        let mut inner = self.inner.lock();
        // What a stopped listener gives up was not taken.
        if !inner.stopped && inner.ledger.release(key) {
            self.acknowledge_all(&inner, vec![key]);
        }
    }

    /// The reader has failed: what is not decided never will be.
    pub fn go_deaf(&self) {
        let mut inner = self.inner.lock();
        inner.deaf = true;
        inner.wake_watchers();
    }
}

impl Inner {
    /// The ends that a registration wants and that were told before it came.
    pub(super) fn kept(&self, filter: &Filter) -> impl Iterator<Item = Key> {
        self.ledger.iter().filter(|(key, told)| told.passes(filter, *key)).map(|(key, _)| key)
    }

    pub(super) fn wake_watchers(&self) {
        for watcher in self.watchers.values() {
            watcher.decided.notify_all();
        }
    }

    fn can_hear(&self) -> bool {
        !self.stopped && !self.deaf
    }

    fn decide(&mut self, handle: u64, key: Key) {
        if let Some(watcher) = self.watchers.get_mut(&handle) {
            watcher.key.get_or_insert(key);
            watcher.decided.notify_all();
        }
    }
}

impl Told {
    pub(super) fn passes(&self, filter: &Filter, key: Key) -> bool {
        filter.passes(&self.event, key.monitor)
    }

    /// One more reference for the program.
    pub(super) fn report(self, key: Key, ledger: &mut Ledger<Self>) -> Arc<Report> {
        ledger.refer(key);
        Report::of_end(self.monitor, self.event, self.tick, key)
    }
}

/// Ends of a monitor that nobody claims, such as those of other clients' jobs: as many as jobs are
/// tracked. Whoever wants them asks sooner.
const UNCLAIMED_MAX: usize = 4096;
