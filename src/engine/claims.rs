//! Who claims the ends of jobs: registrations that want them, and the handles of jobs, where calls
//! wait for them. Part of [`Roster`].

#![forbid(unsafe_code)]

use std::{sync::Arc, time::Duration};

use super::{
    few::Few,
    ledger::{Claimant, Key, Ledger, Unclaimed},
    lock::{Condvar, MutexGuard},
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
    /// Nobody knows that there was such a job.
    was_hope: bool,
    /// A program that pulls has it: it gets no other end of this job.
    pub(super) given_out: bool,
}

/// The open handle of a job.
#[derive(Default)]
pub(super) struct Watcher {
    /// The end of its job, once that is told.
    key: Option<Key>,
    decided: Arc<Condvar>,
}

/// What the reader has read meets who wants it: under one lock for all that it tells at once.
pub struct Intake<'a> {
    inner: MutexGuard<'a, Inner>,
    /// Woken behind the lock, which they would wait for otherwise.
    decided: Decided,
}

/// Who waits for ends that were taken in; woken when this is dropped.
#[derive(Default)]
struct Decided(Vec<Arc<Condvar>>);

impl Drop for Decided {
    fn drop(&mut self) {
        self.0.iter().for_each(|decided| decided.notify_all());
    }
}

impl Intake<'_> {
    /// Would anybody be called for this event?
    pub fn wants(&self, event: &Event, from: MonitorId) -> bool {
        let wants = |entry: &Entry| !entry.leaving && entry.filter.passes(event, from);
        self.inner.entries.next(0, event, from, wants).is_some()
    }

    /// Takes how a job ended, and wakes who waits for that. The report is delivery's. Without one
    /// nobody is to be called, and its turn is over: who comes later has missed it.
    pub fn take_end(&mut self, monitor: &Arc<Monitor>, end: End, tick: u64) -> Option<Arc<Report>> {
        let key = Key { monitor: monitor.id(), job: end.job };
        let told = Told {
            monitor: Arc::clone(monitor),
            event: Arc::new(end.event),
            tick,
            was_hope: end.was_hope,
            given_out: false,
        };
        let ends = monitor.job_limit().max(UNCLAIMED_MAX);
        let limit = Unclaimed { ends, bytes: UNCLAIMED_BYTES_MAX };
        let weight = told.event.weight();
        let inner = &mut *self.inner;
        let wants = |entry: &Entry| !entry.leaving && told.passes(&entry.filter, key);
        let mut claims: Few<Claimant> = Few::default();
        let mut after = 0;
        let next = |after| inner.entries.next(after, &told.event, key.monitor, wants);
        while let Some((id, entry)) = next(after) {
            if !entry.filter.observes {
                claims.insert(Claimant::Registration(id));
            }
            after = id;
        }
        let open = |handle: &u64| inner.watchers.contains_key(handle);
        claims.extend(end.handles.iter().copied().filter(open).map(Claimant::Handle));
        let report = (after > 0)
            .then(|| Report::of_end(Arc::clone(monitor), Arc::clone(&told.event), tick, key));
        inner.ledger.add(key, (told, weight), claims, report.is_some(), limit);
        let decided = end.handles.iter().filter_map(|handle| inner.decide(*handle, key));
        self.decided.0.extend(decided);
        report
    }
}

impl Roster {
    /// The reader has something to tell. Nobody else's code runs before this is dropped.
    pub fn intake(&self) -> Intake<'_> {
        Intake { inner: self.inner.lock(), decided: Decided::default() }
    }

    /// How many of a monitor's ends wait to be taken.
    pub fn unacknowledged(&self, monitor: MonitorId) -> usize {
        self.inner.lock().ledger.unacknowledged(monitor)
    }

    /// The end that a new handle for this id is for, unless a job of that id lives.
    pub fn latest_end(&self, monitor: MonitorId, id: &str) -> Option<u64> {
        let inner = self.inner.lock();
        // One of which nothing was heard is not known to have been a job.
        let is_it = |told: &Told| told.event.text(Word::JobId) == Some(id) && !told.was_hope;
        inner.ledger.latest(monitor, is_it).map(|key| key.job)
    }

    /// A handle is for an end that was told before. False when that is no longer to be had.
    pub fn attach(&self, handle: u64, key: Key) -> bool {
        let mut inner = self.inner.lock();
        let has = inner.ledger.has(key);
        if has && inner.watchers.contains_key(&handle) {
            inner.ledger.claim(key, Claimant::Handle(handle));
            let decided = inner.decide(handle, key);
            drop(inner);
            if let Some(decided) = decided {
                decided.notify_all();
            }
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
            self.acknowledge_all(&inner, [key]);
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

    /// The end of a handle's job, if it was taken: by somebody who was given it, or by the callback
    /// that this is called in. What nobody was given may not be forgotten.
    pub fn taken(&self, handle: u64) -> Result<Key, Error> {
        let inner = self.inner.lock();
        if !inner.can_hear() {
            return Err(stopped());
        }
        let busy = |text: &str| Error::new(Code::Busy, text);
        let key = inner.watchers.get(&handle).and_then(|watcher| watcher.key);
        let key = key.ok_or_else(|| busy("it has not ended, as far as the program was told"))?;
        if inner.is_in_hand(key) || inner.ledger.is_taken(key) {
            return Ok(key);
        }
        Err(busy("nobody was given how it ended: take that first, by a wait or a callback"))
    }

    /// The program acknowledges an end now, whoever else still claims it. False when that was done
    /// before.
    pub fn acknowledge(&self, key: Key) -> bool {
        self.inner.lock().ledger.acknowledge(key)
    }

    /// The last reference to a report of an end is gone.
    pub fn release(&self, key: Key) {
        let mut inner = self.inner.lock();
        // What a stopped listener gives up was not taken.
        if !inner.stopped && inner.ledger.release(key) {
            self.acknowledge_all(&inner, [key]);
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

    pub(super) fn can_hear(&self) -> bool {
        !self.stopped && !self.deaf
    }

    /// Returns who waits for it.
    fn decide(&mut self, handle: u64, key: Key) -> Option<Arc<Condvar>> {
        let watcher = self.watchers.get_mut(&handle)?;
        watcher.key.get_or_insert(key);
        Some(Arc::clone(&watcher.decided))
    }
}

impl Told {
    pub(super) fn passes(&self, filter: &Filter, key: Key) -> bool {
        !self.given_out && filter.passes(&self.event, key.monitor)
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
/// As much as may wait of what can be dropped.
const UNCLAIMED_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        engine::{Next, Post, Shared, delivery},
        model::{Kind, Kinds, Outcome},
    };

    /// A listener without threads: the test reads and delivers.
    struct World {
        shared: Shared,
        monitor: Arc<Monitor>,
        heard: Arc<Mutex<Vec<String>>>,
        jobs: u64,
    }

    impl World {
        fn new() -> Self {
            let shared = Shared::new().unwrap();
            let monitor = Arc::new(shared.monitor("unix:/nowhere").unwrap());
            Self { shared, monitor, heard: Arc::default(), jobs: 0 }
        }

        fn register(&self, name: &str, job: Option<&str>, observes: bool) -> i64 {
            let (name, heard) = (name.to_owned(), Arc::clone(&self.heard));
            let filter = Filter {
                monitor: None,
                job: job.map(str::to_owned),
                kinds: Kinds::all(),
                name: None,
                observes,
            };
            let hear = move |_, report: &Arc<Report>| {
                let job = report.event.text(Word::JobId).unwrap_or("-");
                heard.lock().unwrap().push(format!("{name} {job}"));
            };
            self.shared.add_callback(filter, None, Arc::new(hear)).unwrap()
        }

        /// The end of a job comes to the queue.
        fn ends(&mut self, id: &str, handles: &[u64]) {
            self.jobs += 1;
            let (tick, ()) = self.shared.roster.tick(|| {});
            let mut event = Event::new(Kind::Completed, "BLOCK_JOB_COMPLETED", None, 0);
            event.set(Word::JobId, id);
            event.outcome = Outcome::Succeeded;
            let end = End { job: self.jobs, handles: handles.to_vec(), was_hope: false, event };
            let report = self.shared.roster.intake().take_end(&self.monitor, end, tick);
            assert!(self.shared.queue.push(report).is_empty());
        }

        fn deliver(&self) -> Vec<String> {
            while let Some(next) = self.shared.queue.try_pop() {
                delivery::deliver(&self.shared, next);
            }
            std::mem::take(&mut self.heard.lock().unwrap())
        }

        /// The jobs whose ends were acknowledged.
        fn acknowledged(&self) -> Vec<u64> {
            let posts = self.shared.mailbox.take().unwrap();
            let acknowledged = |post| match post {
                Post::Acknowledge(_, job, None) => Some(job),
                _ => None,
            };
            posts.into_iter().filter_map(acknowledged).collect()
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            self.shared.stop();
            self.shared.roster.clear();
        }
    }

    #[test]
    fn an_end_is_acknowledged_when_all_have_heard_it() {
        let mut world = World::new();
        world.register("a", None, false);
        world.register("b", Some("other"), false);
        world.register("log", None, true);
        world.ends("j", &[]);
        assert!(world.acknowledged().is_empty());
        assert_eq!(world.deliver(), ["a j", "log j"]);
        assert_eq!(world.acknowledged(), [1]);
        assert!(world.acknowledged().is_empty());
    }

    #[test]
    fn who_comes_later_hears_what_nobody_has_taken_before_anything_newer() {
        let mut world = World::new();
        world.ends("1", &[]);
        world.ends("2", &[]);
        assert!(world.shared.queue.try_pop().is_none(), "delivery is not woken for nobody");
        world.register("a", None, false);
        world.ends("3", &[]);
        assert!(matches!(world.shared.queue.try_pop(), Some(Next::Late)));
        // Delivery has not got to it: the newer one brings the older ones along.
        assert_eq!(world.deliver(), ["a 1", "a 2", "a 3"]);
        assert_eq!(world.acknowledged(), [1, 2, 3]);
        world.register("b", None, false);
        assert_eq!(world.deliver(), [""; 0]);
    }

    #[test]
    fn an_open_handle_is_served_by_a_wait_and_holds_the_end_for_others() {
        let mut world = World::new();
        let roster = Arc::clone(&world.shared.roster);
        roster.open_handle(7).unwrap();
        assert!(roster.wait(7, Some(Duration::ZERO)).unwrap().is_none());
        world.ends("j", &[7, 8]);
        world.deliver();
        let report = roster.wait(7, None).unwrap().unwrap();
        assert!(world.acknowledged().is_empty());
        drop(report);
        assert_eq!(world.acknowledged(), [1]);
        world.register("a", None, false);
        assert_eq!(world.deliver(), ["a j"]);
        roster.close_handle(7);
        world.register("b", None, false);
        assert_eq!(world.deliver(), [""; 0]);
        assert!(world.acknowledged().is_empty());
    }

    #[test]
    fn what_a_stopped_listener_gives_up_is_not_acknowledged() {
        let mut world = World::new();
        world.register("a", None, false);
        world.ends("j", &[]);
        world.shared.stop();
        assert!(world.deliver().is_empty());
        assert!(world.shared.mailbox.take().is_none());
    }

    #[test]
    fn a_handle_of_a_former_end_is_attached_while_that_is_kept() {
        let mut world = World::new();
        let roster = Arc::clone(&world.shared.roster);
        world.ends("j", &[]);
        world.deliver();
        let job = roster.latest_end(world.monitor.id(), "j").unwrap();
        assert_eq!(roster.latest_end(world.monitor.id(), "k"), None);
        let key = Key { monitor: world.monitor.id(), job };
        roster.open_handle(1).unwrap();
        assert!(roster.attach(1, key));
        assert!(roster.wait(1, None).unwrap().is_some());
        roster.close_handle(1);
        assert_eq!(world.acknowledged(), [job]);
        assert!(!roster.attach(2, key));
    }
}
