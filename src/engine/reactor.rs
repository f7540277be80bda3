//! The reader's thread: one loop over all monitors. Its turn is described in the module above.

#![forbid(unsafe_code)]

use std::{
    collections::VecDeque,
    io,
    os::fd::AsRawFd as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
    vec,
};

use mio::{Events, Interest, Poll, unix::SourceFd};

use super::{
    approach::Reached,
    clock::Clock,
    fork::Held,
    helpers::{FindHolder, Helpers, LookUp},
    journal::Journals,
    monitor::{Monitor, Post, closed},
    report::Report,
    shared::Shared,
    slot::{Slot, Source},
    socket::Received,
    stream::Found,
    ticket::Ticket,
};
use crate::{
    model::{ByMonitor, Error, Event, Kind, Level, MonitorId, Now, Stat, State, Word},
    qmp::{act::Act, hub::Hub},
};

pub struct Reactor {
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Clock,
    pub(super) poll: Held<Poll>,
    pub(super) ready: Events,
    pub(super) hub: Hub<Ticket>,
    pub(super) journals: Journals,
    pub(super) names: Helpers<LookUp>,
    pub(super) holders: Helpers<FindHolder>,
    pub(super) slots: ByMonitor<Box<Slot>>,
    /// Taken from the mailbox, and not done yet.
    posts: vec::IntoIter<Post>,
    /// Monitors that may have more to read. Each at most once.
    pub(super) readable: VecDeque<MonitorId>,
    /// How many they were in the last turn.
    busy: usize,
    pub(super) buffer: Box<[u8]>,
    /// Those whose process was found to have ended with the connection, which must be told first.
    pub(super) gone: Vec<MonitorId>,
    /// The handle that waits for its answer, and whose job's end is no longer to be had.
    pub(super) too_late: Option<u64>,
    /// What this turn has to tell.
    pub(super) batch: Vec<Arc<Report>>,
    /// Room for what the hub wants done.
    pub(super) room: Vec<(MonitorId, Act<Ticket>)>,
    /// When what is told now was read.
    pub(super) tick: u64,
    /// Which raw events the hub tells, by the roster's count of changes.
    pub(super) raw: u64,
}

impl Reactor {
    pub fn new(shared: Arc<Shared>) -> Result<Self, Error> {
        let poll = Held::open(Poll::new);
        let poll = poll.map_err(|error| Error::os("cannot make an epoll", &error))?;
        let bell = shared.mailbox.wake().as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&bell), Source::Bell.token(), Interest::READABLE)
            .map_err(|error| Error::os("cannot watch an eventfd", &error))?;
        let nonce = shared.life.nonce().to_owned();
        let mailbox = Arc::clone(&shared.mailbox);
        let journals = Journals::new(Box::new(move |id, findings| {
            // A listener that was stopped wants to know nothing more.
            let _ = mailbox.post(Post::Journal(id, findings));
        }));
        let mailbox = Arc::clone(&shared.mailbox);
        let names = Helpers::new(
            "blockjob-name",
            LOOK_UPS_MAX,
            Box::new(move |id, found| {
                let _ = mailbox.post(Post::Addresses(id, found));
            }),
        );
        let mailbox = Arc::clone(&shared.mailbox);
        let holders = Helpers::new(
            "blockjob-busy",
            1,
            Box::new(move |id, (attempt, holder)| {
                let _ = mailbox.post(Post::Holder(id, attempt, holder));
            }),
        );
        Ok(Self {
            shared,
            clock: Clock::start(),
            poll,
            ready: Events::with_capacity(READY_MAX),
            hub: Hub::new(nonce),
            journals,
            names,
            holders,
            slots: ByMonitor::default(),
            posts: Vec::new().into_iter(),
            readable: VecDeque::new(),
            busy: 0,
            buffer: vec![0; READ_MAX].into(),
            gone: Vec::new(),
            too_late: None,
            batch: Vec::new(),
            room: Vec::new(),
            tick: 0,
            raw: 0,
        })
    }

    /// Runs until the listener is stopped.
    pub fn run(mut self) {
        let turns = catch_unwind(AssertUnwindSafe(|| while self.turn() {}));
        if turns.is_err() {
            self.give_up();
        }
        // Who waits for one of these is answered by that.
        self.posts = Vec::new().into_iter();
        self.journals.stop();
        // Not joined: a name server that does not answer keeps nobody waiting.
        self.names.stop();
        self.holders.stop();
        self.journals.join();
        self.holders.join();
    }

    fn turn(&mut self) -> bool {
        self.sleep();
        self.hub.trace(self.shared.log.traces());
        if !self.take_posts() {
            return false;
        }
        self.read_ready();
        (self.tick, ()) = self.shared.roster.tick(|| {});
        self.hub.handle_timeouts(self.clock.now());
        self.carry_out();
        true
    }

    fn sleep(&mut self) {
        let is_idle = self.readable.is_empty() && self.posts.as_slice().is_empty();
        let timeout = if is_idle && self.shared.mailbox.doze() {
            let now = self.clock.now().running;
            // A millisecond more, for the kernel rounds down and would wake us for nothing.
            let wait = |left| left + Duration::from_millis(1);
            self.hub.deadline().map(|at| at.checked_sub(now).map_or(Duration::ZERO, wait))
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(&mut self.ready, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(error) => panic!("epoll_wait failed on our own descriptor: {error}"),
        }
        for event in &self.ready {
            let id = match Source::of(event.token()) {
                Source::Bell => continue,
                Source::Process(id) => {
                    if self.slots.get_mut(&id).is_some_and(|slot| slot.handle_process_end()) {
                        self.hub.handle_process_end(id, self.clock.now());
                    }
                    continue;
                }
                Source::Connection(id) | Source::Door(id) => id,
            };
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            if let Some(reached) = slot.handle_ready(self.poll.registry()) {
                reach(&mut self.hub, id, reached, self.clock.now());
                // What has come with the connection does not come as news again.
            }
            let Some(stream) = &mut slot.stream else { continue };
            if event.is_writable() {
                if let Err(error) = stream.flush(self.poll.registry()) {
                    self.hub.handle_end(id, &error, self.clock.now());
                }
            }
            stream.ends |= event.is_read_closed() || event.is_error();
            if (event.is_readable() || stream.ends) && !std::mem::replace(&mut slot.queued, true) {
                self.readable.push_back(id);
            }
        }
    }

    /// A turn's share: when thousands of monitors begin at once, the others are heard meanwhile.
    fn take_posts(&mut self) -> bool {
        if self.posts.as_slice().is_empty() {
            let Some(posts) = self.shared.mailbox.take() else { return false };
            self.posts = posts.into_iter();
        } else if self.shared.mailbox.check().is_err() {
            return false;
        }
        // Who has registered before this is told what they lead to.
        (self.tick, ()) = self.shared.roster.tick(|| {});
        let now = self.clock.now();
        for _ in 0..POSTS_MAX {
            let Some(post) = self.posts.next() else { break };
            self.take_post(post, now);
        }
        true
    }

    fn take_post(&mut self, post: Post, now: Now) {
        match post {
            Post::Start(monitor, ticket) => match (self.admit(monitor), ticket) {
                (Ok(id), ticket) => self.hub.start(id, ticket, now),
                (Err(error), Some(ticket)) => ticket.answer(Err(error)),
                (Err(_), None) => {}
            },
            Post::Close(monitor) => {
                if let Ok(id) = self.admit(monitor) {
                    self.hub.close(id, "the program closed the monitor", now);
                    // The next post must find that nothing follows CLOSED.
                    self.carry_out();
                }
            }
            Post::Watch(monitor, mut watch, ticket) => match self.admit(monitor) {
                Ok(id) => {
                    // An end on its way to the roster must be found there.
                    self.carry_out();
                    watch.ended = self.shared.roster.latest_end(id, &watch.id);
                    self.hub.watch(id, &watch, ticket, now);
                    self.carry_out();
                }
                Err(error) => ticket.answer(Err(error)),
            },
            Post::Unwatch(id, handle) => self.hub.unwatch(id, handle),
            Post::StartJob { monitor: id, handle, command, arguments, ticket } => {
                if let Some(ticket) = self.unless_ended(id, ticket) {
                    self.hub.start_job(id, handle, &command, &arguments, ticket, now);
                }
            }
            Post::LeaveStart(id, handle) => self.hub.leave_start(id, handle, now),
            Post::AskJob { monitor: id, handle, control, ticket } => {
                if let Some(ticket) = self.unless_ended(id, ticket) {
                    self.hub.ask_job(id, handle, control, ticket);
                }
            }
            Post::DismissJob(id, job, ticket) => {
                if let Some(ticket) = self.unless_ended(id, ticket) {
                    self.hub.dismiss_job(id, job, ticket, now);
                }
            }
            Post::Look(monitor, handle, ticket) => match self.admit(monitor) {
                Ok(id) => self.hub.look(id, handle, ticket),
                Err(error) => ticket.answer(Err(error)),
            },
            Post::Acknowledge(id, job, ticket) => {
                let ticket = ticket.map(|ticket| self.unless_ended(id, ticket));
                if let None | Some(Some(_)) = ticket {
                    self.hub.acknowledge(id, job, ticket.flatten(), now);
                }
            }
            Post::Journal(id, findings) => self.hub.handle_findings(id, findings, now),
            Post::Addresses(id, found) => {
                let Some(slot) = self.slots.get_mut(&id) else { return };
                if let Some(reached) = slot.handle_addresses(found, self.poll.registry()) {
                    reach(&mut self.hub, id, reached, now);
                }
            }
            Post::Holder(id, attempt, holder) => {
                if self.slots.get(&id).is_some_and(|slot| slot.attempt == attempt) {
                    self.hub.handle_holder(id, holder.as_deref(), now);
                }
            }
            Post::Execute(monitor, command, ticket) => match self.admit(Arc::clone(&monitor)) {
                Ok(id) => self.hub.execute(id, command, ticket, now),
                // Its last event was told: nothing follows that.
                Err(error) => self.reply(monitor, ticket, Err(error), now),
            },
        }
    }

    /// Reads once from each monitor that has something; who has more comes again next turn.
    fn read_ready(&mut self) {
        let busy = self.readable.len();
        let before = std::mem::replace(&mut self.busy, busy);
        let room = if busy.max(before) > 1 { READ_SHARED } else { READ_MAX };
        for _ in 0..busy {
            let Some(id) = self.readable.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            slot.queued = false;
            let Some(stream) = &mut slot.stream else { continue };
            let found;
            (self.tick, found) = self.shared.roster.tick(|| stream.read(&mut self.buffer[..room]));
            match found {
                Found::Nothing => continue,
                Found::Bytes(Received { count, more }) => {
                    slot.monitor.statistics().add(Stat::BytesRead, count);
                    slot.queued = more || stream.ends;
                    self.readable.extend(slot.queued.then_some(id));
                    self.want_raw();
                    self.hub.handle_bytes(id, &self.buffer[..count], self.clock.now());
                }
                Found::End(error) => self.hub.handle_end(id, &error, self.clock.now()),
            }
            // Now, so that what is told bears this tick.
            self.carry_out();
        }
    }

    /// Takes a monitor in, unless its last event was told while the post was under way.
    fn admit(&mut self, monitor: Arc<Monitor>) -> Result<MonitorId, Error> {
        monitor.check_not_ended()?;
        let id = monitor.id();
        self.hub.add(id, || monitor.settings());
        self.slots.entry(id).or_insert_with(|| Box::new(Slot::new(monitor)));
        Ok(id)
    }

    /// Gives back the ticket, unless the monitor's last event was told: then it is answered.
    fn unless_ended(&self, id: MonitorId, ticket: Ticket) -> Option<Ticket> {
        if self.slots.contains_key(&id) {
            return Some(ticket);
        }
        ticket.answer(Err(closed()));
        None
    }

    /// After a fault of our own: every monitor is closed, and nobody waits for ever.
    fn give_up(&mut self) {
        let reason = "a fault inside libblockjob stopped its reader; please report it with what is \
                      on standard error";
        let now = self.clock.now();
        for id in self.slots.keys().copied().collect::<Vec<_>>() {
            // As a rule only one of them is faulty. What that had to tell is not told then.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                if let Some(slot) = self.slots.get(&id) {
                    self.shared.say(&slot.monitor, Level::Error, reason, now.wall);
                }
                self.hub.close(id, reason, now);
                self.carry_out();
            }));
        }
        let slots = std::mem::take(&mut self.slots);
        let closed = slots.into_values().map(|slot| {
            slot.monitor.stands(State::Closed, None);
            slot.monitor.end();
            let mut event = Event::new(Kind::Closed, "CLOSED", Some(now.wall), 0);
            event.set(Word::Reason, reason);
            Report::new(slot.monitor, event, self.tick)
        });
        self.shared.queue.push(closed);
        self.shared.mailbox.stop();
        self.shared.roster.go_deaf();
        self.shared.queue.end();
    }
}

/// Tells the session how far its attempt to connect has come.
pub(super) fn reach(
    hub: &mut Hub<Ticket>,
    id: MonitorId,
    reached: Result<Reached, Error>,
    now: Now,
) {
    match reached {
        Ok(Reached::Connected(process)) => hub.handle_connected(id, process, now),
        Ok(Reached::NotYet(what)) => hub.handle_awaited(id, what),
        Err(error) => hub.handle_end(id, &error, now),
    }
}

/// Hosts that are looked up at a time: each may take a minute, and the others wait.
const LOOK_UPS_MAX: usize = 8;
/// Posts done in a turn, each of which may have a connection made.
const POSTS_MAX: usize = 64;
/// Readiness taken from the kernel at once; what is over comes with the next turn.
const READY_MAX: usize = 1024;
/// Read from one monitor in a turn: as long as that takes, an event of another one waits. Each call
/// costs about a microsecond, as much as an event.
const READ_MAX: usize = 8 << 10;
/// The same when several have something, or had in the turn before.
const READ_SHARED: usize = 4 << 10;
