//! All sessions of a listener, the nearest of their deadlines, and one list of what they want done.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    act::Act,
    command::Command,
    control::Control,
    decode::Names,
    jobs::Watch,
    journal::Findings,
    session::{Session, Ticket},
};
use crate::model::{ByMonitor, Error, Identity, MonitorId, Now, Settings};

/// Every call that lets something happen adds to the list that `acts` takes.
#[derive(Debug)]
pub struct Hub<T: Ticket> {
    sessions: ByMonitor<Box<Session<T>>>,
    /// Invariant: exactly the deadline of each session that has one.
    deadlines: BTreeSet<(Duration, MonitorId)>,
    acts: Vec<(MonitorId, Act<T>)>,
    /// Room for those of one call.
    room: Vec<Act<T>>,
    /// Told apart from other clients of the same QEMU by this.
    nonce: String,
    /// Somebody wants to see the wire.
    traces: bool,
    /// The events that somebody wants as they are.
    raw: Arc<Names>,
}

impl<T: Ticket> Hub<T> {
    pub fn new(nonce: String) -> Self {
        Self {
            sessions: ByMonitor::default(),
            deadlines: BTreeSet::new(),
            acts: Vec::new(),
            room: Vec::new(),
            nonce,
            traces: false,
            raw: Arc::default(),
        }
    }

    /// What is to be done, oldest first.
    pub fn acts(&mut self) -> Vec<(MonitorId, Act<T>)> {
        std::mem::take(&mut self.acts)
    }

    /// The same in the room that is given, which is empty, so that none is made each time.
    pub fn acts_in(&mut self, room: Vec<(MonitorId, Act<T>)>) -> Vec<(MonitorId, Act<T>)> {
        std::mem::replace(&mut self.acts, room)
    }

    /// When `handle_timeouts` is to be called.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Whether somebody wants to see each message: as lines of the log, of the level DEBUG.
    pub fn trace(&mut self, on: bool) {
        self.traces = on;
    }

    /// Takes a monitor in; `settings` is what it begins with. Does nothing if it is here.
    pub fn add(&mut self, id: MonitorId, settings: impl FnOnce() -> Arc<Settings>) {
        let nonce = &self.nonce;
        let prefix = || format!("blockjob-{nonce}-{}-", id.0);
        self.sessions.entry(id).or_insert_with(|| {
            let mut session = Session::new(settings(), nonce, prefix());
            session.want_raw(Arc::clone(&self.raw));
            // The table has more places than sessions.
            Box::new(session)
        });
    }

    /// From now on these events are told as they are.
    pub fn want_raw(&mut self, names: &Names) {
        self.raw = Arc::new(names.clone());
        let raw = &self.raw;
        self.sessions.values_mut().for_each(|session| session.want_raw(Arc::clone(raw)));
    }

    /// A command of the program's is to be sent.
    pub fn execute(&mut self, id: MonitorId, command: Command<T::Luggage>, ticket: T, now: Now) {
        self.with(id, |session, acts| session.execute(command, ticket, now, acts));
    }

    pub fn start(&mut self, id: MonitorId, ticket: Option<T>, now: Now) {
        self.with(id, |session, acts| session.start(ticket, now, acts));
    }

    pub fn close(&mut self, id: MonitorId, reason: &str, now: Now) {
        self.with(id, |session, acts| session.close(reason, now, acts));
    }

    /// Forgets a monitor; whoever waits for it is answered by the dropped ticket.
    pub fn remove(&mut self, id: MonitorId) {
        if let Some(at) = self.sessions.remove(&id).and_then(|session| session.deadline()) {
            self.deadlines.remove(&(at, id));
        }
    }

    /// A handle was made for a job.
    pub fn watch(&mut self, id: MonitorId, watch: &Watch, ticket: T, now: Now) {
        self.with(id, |session, acts| session.watch(watch, ticket, now, acts));
    }

    pub fn unwatch(&mut self, id: MonitorId, handle: u64) {
        self.with(id, |session, _| session.unwatch(handle));
    }

    /// The job of a handle is to be started by this command.
    pub fn start_job(
        &mut self,
        id: MonitorId,
        handle: u64,
        command: &str,
        arguments: &str,
        ticket: T,
        now: Now,
    ) {
        self.with(id, |session, acts| {
            session.start_job(handle, command, arguments, ticket, now, acts);
        });
    }

    /// Nobody waits any more for the answer to the start of a handle's job.
    pub fn leave_start(&mut self, id: MonitorId, handle: u64, now: Now) {
        self.with(id, |session, acts| session.leave_start(handle, now, acts));
    }

    pub fn ask_job(&mut self, id: MonitorId, handle: u64, control: Control, ticket: T) {
        self.with(id, |session, acts| session.ask_job(handle, control, ticket, acts));
    }

    /// An end was taken, and its job is to be dismissed.
    pub fn dismiss_job(&mut self, id: MonitorId, job: u64, ticket: T, now: Now) {
        self.with(id, |session, acts| session.dismiss_job(job, ticket, now, acts));
    }

    /// The job of a handle is to be looked at, or all jobs.
    pub fn look(&mut self, id: MonitorId, handle: Option<u64>, ticket: T::Listing) {
        self.with(id, |session, acts| session.look(handle, ticket, acts));
    }

    /// An end was taken by all who claimed it.
    pub fn acknowledge(&mut self, id: MonitorId, job: u64, ticket: Option<T>, now: Now) {
        // Of a job that is gone nothing follows.
        if ticket.is_some() || self.sessions.get(&id).is_some_and(|session| session.has_job(job)) {
            self.with(id, |session, acts| session.acknowledge(job, ticket, now, acts));
        }
    }

    pub fn handle_connected(&mut self, id: MonitorId, identity: Option<Identity>, now: Now) {
        self.with(id, |session, acts| session.handle_connected(identity, now, acts));
    }

    /// So long there is no connection, and this is what it waits for.
    pub fn handle_awaited(&mut self, id: MonitorId, what: String) {
        self.with(id, |session, _| session.handle_awaited(what));
    }

    /// Who holds the monitor, if that is known, when nothing has come from it.
    pub fn handle_holder(&mut self, id: MonitorId, holder: Option<&str>, now: Now) {
        self.with(id, |session, acts| session.handle_holder(holder, now, acts));
    }

    pub fn handle_process_end(&mut self, id: MonitorId, now: Now) {
        self.with(id, |session, acts| session.handle_process_end(now, acts));
    }

    pub fn handle_findings(&mut self, id: MonitorId, findings: Findings, now: Now) {
        self.with(id, |session, acts| session.handle_findings(findings, now, acts));
    }

    pub fn handle_bytes(&mut self, id: MonitorId, bytes: &[u8], now: Now) {
        self.with(id, |session, acts| session.handle_bytes(bytes, now, acts));
    }

    pub fn handle_end(&mut self, id: MonitorId, error: &Error, now: Now) {
        self.with(id, |session, acts| session.handle_end(error, now, acts));
    }

    /// Lets sessions act whose deadline has passed, the earliest first, and at most so many that
    /// nobody else waits for long: the others are due still.
    pub fn handle_timeouts(&mut self, now: Now) {
        for _ in 0..TIMEOUTS_MAX {
            let due = self.deadlines.first().filter(|(at, _)| *at <= now.running);
            let Some(&(_, id)) = due else { break };
            self.with(id, |session, acts| session.handle_timeout(now, acts));
        }
    }

    /// The only way to a session: keeps its deadline in the index and marks its acts as its own.
    fn with(&mut self, id: MonitorId, deed: impl FnOnce(&mut Session<T>, &mut Vec<Act<T>>)) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (before, counted) = (session.deadline(), session.diary.counts);
        session.diary.traces = self.traces;
        let mut acts = std::mem::take(&mut self.room);
        deed(session, &mut acts);
        let after = session.deadline();
        if before != after {
            before.map(|at| self.deadlines.remove(&(at, id)));
            after.map(|at| self.deadlines.insert((at, id)));
        }
        for act in acts.drain(..) {
            self.acts.extend(session.diary.note(&act).map(|line| (id, line)));
            self.acts.push((id, act));
        }
        session.count_jobs();
        if session.diary.counts != counted {
            // Before the last act, which may be CLOSED, after which nothing is heard of it.
            let last = self.acts.len().saturating_sub(1);
            self.acts.insert(last, (id, Act::Count(session.diary.counts.since(&counted))));
        }
        // What a listing took is not kept.
        acts.shrink_to(ROOM_KEPT);
        self.room = acts;
    }
}

/// Deadlines met in a turn, each of which may have a connection made.
const TIMEOUTS_MAX: usize = 64;
/// As many as what a monitor says at once leads to, as a rule.
const ROOM_KEPT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{State, Timestamp};

    const ONE: MonitorId = MonitorId(1);
    const TWO: MonitorId = MonitorId(2);

    fn at(seconds: u64) -> Now {
        let wall = Timestamp { seconds: 0, microseconds: 0 };
        Now { running: Duration::from_secs(seconds), wall }
    }

    fn settings(seconds: u64) -> Arc<Settings> {
        let connect_timeout = Some(Duration::from_secs(seconds));
        let settings =
            Settings { connect_timeout, reconnect: None, lost_after: None, ..Settings::default() };
        settings.into()
    }

    fn disconnected(hub: &mut Hub<u8>) -> Vec<MonitorId> {
        let down = |(id, act)| matches!(act, Act::Stands(State::Disconnected, _)).then_some(id);
        hub.acts().into_iter().filter_map(down).collect()
    }

    #[test]
    fn the_nearest_deadline_is_the_hubs_and_only_those_passed_act() {
        let mut hub = Hub::<u8>::new("n".into());
        hub.add(ONE, || settings(30));
        hub.add(TWO, || settings(10));
        hub.start(ONE, None, at(0));
        hub.start(TWO, None, at(0));
        assert_eq!(hub.deadline(), Some(Duration::from_secs(10)));
        hub.handle_timeouts(at(9));
        assert_eq!(disconnected(&mut hub), []);
        hub.handle_timeouts(at(10));
        assert_eq!(disconnected(&mut hub), [TWO]);
        assert_eq!(hub.deadline(), Some(Duration::from_secs(30)));
        hub.handle_timeouts(at(99));
        assert_eq!(disconnected(&mut hub), [ONE]);
        assert_eq!(hub.deadline(), None);
    }

    #[test]
    fn of_thousands_that_are_due_a_turn_takes_some_and_the_earliest_first() {
        let mut hub = Hub::<u8>::new("n".into());
        let all = 1..=3 * TIMEOUTS_MAX as u64 / 2;
        for id in all.clone().map(MonitorId) {
            // The last one is the earliest.
            hub.add(id, || settings(1000 - id.0));
            hub.start(id, None, at(0));
        }
        hub.handle_timeouts(at(1000));
        let (mut first, mut ids) = (disconnected(&mut hub), all.rev().map(MonitorId));
        assert_eq!(first.len(), TIMEOUTS_MAX);
        assert!(hub.deadline() < Some(Duration::from_secs(1000)), "others are due");
        hub.handle_timeouts(at(1000));
        first.extend(disconnected(&mut hub));
        assert!(first.into_iter().eq(ids.by_ref()));
        assert_eq!((ids.next(), hub.deadline()), (None, None));
    }

    #[test]
    fn a_monitor_that_is_removed_leaves_nothing() {
        let mut hub = Hub::new("n".into());
        hub.add(ONE, || settings(10));
        hub.start(ONE, Some(1), at(0));
        hub.remove(ONE);
        assert_eq!(hub.deadline(), None);
        hub.acts();
        hub.handle_bytes(ONE, b"{}", at(1));
        hub.start(ONE, None, at(1));
        assert!(hub.acts().is_empty());
    }
}
