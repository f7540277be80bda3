//! One monitor's life: connecting, greeting, negotiating, reconciling, ready, gone, and again. It
//! says what is to be done as a list of [`Act`]s and does none of it; time comes in as `now`.
//!
//! A session outlives its connections: when one ends the next is made, until the monitor is closed.
//! What the program asks of jobs is in `requests`, what becomes of the jobs in `jobs`.

use std::{fmt::Debug, sync::Arc, time::Duration};

use super::{
    act::Act,
    backoff::Backoff,
    decode::Names,
    diary::Diary,
    exchange::{Exchange, Purpose},
    handshake,
    info::Looks,
    jobs::{Jobs, Told, Wish},
    journal::Findings,
    line::Framer,
    listing::Listed,
    progress::Progress,
};
use crate::model::{
    Code, Error, Event, Identity, Kind, Level, Loss, Now, Process, Settings, Stat, State,
    Timestamp, Version, Word,
};

/// The ticket of somebody who waits; a dropped one answers by itself.
pub trait Ticket {
    /// The ticket of somebody who waits for a list of jobs.
    type Listing: Debug;

    /// What goes along with a command; whoever holds the sockets knows what it is.
    type Luggage: Debug;

    /// Nobody waits for its answer any more.
    fn is_void(&self) -> bool;
}

/// One monitor, and the tickets of those who wait for it.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub struct Session<T: Ticket> {
    pub(super) settings: Arc<Settings>,
    pub(super) stage: Stage,
    pub(super) framer: Framer,
    /// Those who wait until the monitor is usable or the attempt has failed.
    /// Bounded by the threads that wait: void ones leave when one comes.
    pub(super) waiting: Vec<T>,
    pub(super) exchange: Exchange<T>,
    pub(super) looks: Looks<T::Listing>,
    pub(super) progress: Progress,
    pub(super) jobs: Jobs,
    /// Those who wait until a job is dismissed that has not concluded yet.
    pub(super) dismissing: Vec<(u64, T)>,
    pub(super) backoff: Backoff,
    pub(super) timers: Timers,
    /// Of the QEMU that is, or was, connected.
    pub(super) version: Option<Version>,
    pub(super) identity: Option<Identity>,
    /// It was usable before.
    pub(super) met: bool,
    /// Its process has ended since.
    pub(super) process_ended: bool,
    /// What is known of the process since the monitor was last usable.
    pub(super) process: Process,
    pub(super) unresponsive: bool,
    /// Why there is no connection, as it was last told. `None` when there is one.
    pub(super) told_reason: Option<Box<str>>,
    /// The object that tells a restarted QEMU, if that was asked for.
    pub(super) marker: Option<Box<str>>,
    /// QEMU has it, or had.
    pub(super) marker_left: bool,
    pub(super) diary: Diary,
    /// QEMU takes commands out of band.
    pub(super) oob: bool,
    /// The events that somebody wants as they are.
    pub(super) raw: Arc<Names>,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// No connection: not begun, or ended.
    Down,
    Connecting {
        /// What there is no connection without, in words.
        awaited: Option<Box<str>>,
    },
    /// Connected; what came so far was no greeting.
    Greeting {
        stray: Option<Box<str>>,
        /// It was asked who holds the monitor.
        holder_sought: bool,
    },
    /// `qmp_capabilities` was sent.
    Negotiating {
        greeting: Box<str>,
        /// An event has come, which QEMU may have been about to write before the greeting. Those
        /// behind it are all that happens.
        heard: bool,
    },
    /// QEMU was asked which jobs it has.
    Reconciling {
        greeting: Box<str>,
        lists: Box<Lists>,
    },
    /// The journal is asked for what QEMU does not know.
    Recovering {
        greeting: Box<str>,
    },
    Ready,
    Closed,
}

/// What is asked of QEMU.
#[derive(Debug)]
pub(super) struct Lists {
    /// What `query-jobs` said, which an old QEMU does not have.
    pub jobs: List,
    pub block_jobs: List,
}

/// One of the two lists of jobs.
#[derive(Debug, Default)]
pub(super) enum List {
    #[default]
    Awaited,
    Came(Vec<Listed>),
    /// It is not to be had.
    Absent,
}

/// When something is due; `None`: it is not.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// The attempt to connect fails.
    pub attempt: Option<Duration>,
    /// The next attempt begins.
    pub retry: Option<Duration>,
    /// Jobs are given up.
    pub lost: Option<Duration>,
    /// QEMU is asked whether it answers, or has not answered.
    pub keepalive: Option<Duration>,
}

impl<T: Ticket> Session<T> {
    /// `nonce` tells us from other clients of the same QEMU, `prefix` this session from others too.
    pub fn new(settings: Arc<Settings>, nonce: &str, prefix: String) -> Self {
        Self {
            stage: Stage::Down,
            framer: Framer::new(settings.line_limit),
            waiting: Vec::new(),
            backoff: Backoff::new(&prefix),
            exchange: Exchange::new(prefix),
            looks: Looks::default(),
            progress: Progress::default(),
            jobs: Jobs::new(Arc::clone(&settings)),
            dismissing: Vec::new(),
            timers: Timers::default(),
            version: None,
            identity: None,
            met: false,
            process_ended: false,
            process: Process::Same,
            unresponsive: false,
            told_reason: None,
            marker: settings.marker.then(|| format!("blockjob-{nonce}").into()),
            marker_left: false,
            diary: Diary::default(),
            oob: false,
            raw: Arc::default(),
            settings,
        }
    }

    /// When `handle_timeout` is to be called.
    pub fn deadline(&self) -> Option<Duration> {
        let Timers { attempt, retry, mut lost, keepalive } = self.timers;
        lost.take_if(|_| self.is_becoming_usable());
        let (command, progress) = (self.exchange.deadline(), self.progress_due());
        [attempt, retry, lost, keepalive, command, progress].into_iter().flatten().min()
    }

    /// From now on these events are told as they are, beside what they are told as else.
    pub fn want_raw(&mut self, names: Arc<Names>) {
        self.raw = names;
    }

    /// Somebody wishes the monitor to be connected; a ticket is answered when it is usable.
    pub fn start(&mut self, ticket: Option<T>, now: Now, acts: &mut Vec<Act<T>>) {
        match self.stage {
            Stage::Closed => {
                let closed = Error::new(Code::Shutdown, "it was closed; make a new one");
                acts.extend(ticket.map(|ticket| Act::Answer(ticket, Err(closed))));
            }
            Stage::Ready => acts.extend(ticket.map(|ticket| Act::Answer(ticket, Ok(())))),
            Stage::Down => {
                self.waiting.extend(ticket);
                // Who asks for an attempt is told how it ends.
                self.told_reason = None;
                self.expect_connection(now);
                self.connect(now, acts);
            }
            _ => {
                self.waiting.retain(|ticket| !ticket.is_void());
                self.waiting.extend(ticket);
            }
        }
    }

    /// The connection ended, or could not be made.
    pub fn handle_end(&mut self, error: &Error, now: Now, acts: &mut Vec<Act<T>>) {
        self.take_unfinished_stray();
        let lost = self.framer.finish();
        let error = match &self.stage {
            Stage::Down | Stage::Closed => return,
            Stage::Greeting { stray: Some(stray), .. } => handshake::not_qmp(stray),
            Stage::Greeting { stray: None, .. } => more(error, ", before it greeted"),
            Stage::Negotiating { .. } => more(error, ", before it answered qmp_capabilities"),
            Stage::Reconciling { .. } => more(error, ", before it said which jobs it has"),
            Stage::Ready | Stage::Recovering { .. } if lost > 0 => {
                more(error, &format!("; {lost} bytes of an unfinished message are lost with it"))
            }
            Stage::Connecting { .. } | Stage::Ready | Stage::Recovering { .. } => error.clone(),
        };
        self.end(&error, now, acts);
    }

    /// Some deadline has passed.
    pub fn handle_timeout(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        let due = |timer: &mut Option<Duration>| timer.take_if(|at| *at <= now.running).is_some();
        if !self.is_becoming_usable() && due(&mut self.timers.lost) {
            self.jobs.give_up(Loss::NoConnection);
            self.inquire_of_the_missing(acts);
            self.tell(now, acts);
        }
        if due(&mut self.timers.attempt) {
            self.give_up_attempt(now, acts);
        }
        if due(&mut self.timers.retry) && matches!(self.stage, Stage::Down) {
            self.connect(now, acts);
        }
        if due(&mut self.timers.keepalive) {
            self.keep_alive(now, acts);
        }
        if self.progress_due().is_some_and(|at| at <= now.running) {
            self.ask_for_progress(acts);
        }
        if self.exchange.deadline().is_some_and(|at| at <= now.running) {
            self.give_up_commands(now, acts);
        }
    }

    /// The journal was read.
    pub fn handle_findings(&mut self, findings: Findings, now: Now, acts: &mut Vec<Act<T>>) {
        // Nothing is told behind CLOSED; without it what has no end has been told as lost.
        if matches!(self.stage, Stage::Closed) {
            return;
        }
        self.diary.read(findings.problem.as_ref(), acts);
        self.jobs.handle_findings(findings);
        self.pump(now, acts);
    }

    /// Ends this monitor for good; CLOSED is the last that is heard of it.
    pub fn close(&mut self, reason: &str, now: Now, acts: &mut Vec<Act<T>>) {
        match self.stage {
            Stage::Closed => return,
            Stage::Down => {}
            _ => self.disconnect(&Error::new(Code::Shutdown, reason), now, acts),
        }
        self.stage = Stage::Closed;
        self.timers = Timers::default();
        self.framer = Framer::new(0);
        self.jobs.give_up(Loss::Closed);
        self.tell(now, acts);
        acts.push(Act::Stands(State::Closed, None));
        acts.push(Act::Tell(own(Kind::Closed, "CLOSED", Word::Reason, reason, now)));
    }

    /// Tells what became of jobs, and lets them have what they want of QEMU.
    pub(super) fn pump(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        self.tell(now, acts);
        self.answer_dismissed(acts);
        match self.stage {
            Stage::Ready => {
                self.grant_wishes(acts);
                self.inquire(acts);
            }
            Stage::Recovering { .. } if self.jobs.is_inquiring() => self.inquire(acts),
            Stage::Recovering { .. } => self.ready(now, acts),
            _ => self.inquire_of_the_missing(acts),
        }
    }

    /// What became of jobs becomes acts.
    pub(super) fn tell(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        for told in self.jobs.told.drain(..) {
            acts.push(match told {
                Told::Event(event) => Act::Tell(event),
                Told::End(end) => Act::End(end),
                Told::Dropped(more) => Act::Tell(dropped(more, now.wall)),
                Told::Late(text) => Act::Log(Level::Warning, text),
            });
        }
        // What a listing took is not kept for the next event.
        self.jobs.told.shrink_to(TOLD_KEPT);
    }

    pub(super) fn grant_wishes(&mut self, acts: &mut Vec<Act<T>>) {
        for wish in self.jobs.wishes() {
            match wish {
                Wish::Dismiss(job) => self.dismiss(job, acts),
                Wish::List if self.exchange.awaits(Purpose::Conclusions) => {
                    // What concluded since that was asked may not be in the answer.
                    self.jobs.wish_again();
                }
                Wish::List => {
                    self.jobs.handle_conclusions_asked();
                    let new = self.jobs.version.has_status();
                    let name = if new { "query-jobs" } else { "query-block-jobs" };
                    self.send(name, None, Purpose::Conclusions, None, acts);
                }
            }
        }
    }

    /// Without a connection: what else is asked waits for what QEMU has.
    pub(super) fn inquire_of_the_missing(&mut self, acts: &mut Vec<Act<T>>) {
        if self.jobs.misses_some() {
            self.inquire(acts);
        }
    }

    pub(super) fn inquire(&mut self, acts: &mut Vec<Act<T>>) {
        acts.extend(self.jobs.inquire().map(Act::Read));
    }

    /// For the statistics.
    pub(super) fn count_jobs(&mut self) {
        let jobs = i64::try_from(self.jobs.all.len()).unwrap_or(i64::MAX);
        self.diary.counts.set(Stat::Jobs, jobs);
    }
}

impl List {
    pub fn came(self) -> Option<Vec<Listed>> {
        if let Self::Came(list) = self { Some(list) } else { None }
    }
}

pub(super) fn more(error: &Error, what: &str) -> Error {
    Error::new(error.code, format!("{}{what}", error.text))
}

/// An event of the library's own, with one string.
pub(super) fn own(kind: Kind, name: &str, word: Word, text: &str, now: Now) -> Event {
    let mut event = Event::new(kind, name, Some(now.wall), text.len() + 1);
    event.set(word, text);
    event
}

/// Events of jobs that are not known, for there are too many.
fn dropped(more: i64, at: Timestamp) -> Event {
    let mut event = Event::new(Kind::Overflow, "OVERFLOW", Some(at), 0);
    event.own_mut().dropped = Some(more);
    event
}

/// As many as an event leads to, as a rule.
const TOLD_KEPT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Link, Timestamp},
        qmp::{connection::PROCESS_END_WAIT, jobs::Watch},
    };

    /// Void when it is odd and over 100.
    impl Ticket for u8 {
        type Listing = u8;
        type Luggage = u8;

        fn is_void(&self) -> bool {
            *self > 100 && self % 2 == 1
        }
    }

    const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \
                            \"major\": 7}, \"package\": \"\"}, \"capabilities\": []}}\r\n";

    /// A session, what it wanted done in readable lines, and a clock that tests move.
    struct World {
        session: Session<u8>,
        acts: Vec<Act<u8>>,
        now: Now,
    }

    impl World {
        fn new() -> Self {
            let settings = Settings { line_limit: 1 << 10, reconnect: None, ..Settings::default() };
            Self::with(settings)
        }

        fn with(settings: Settings) -> Self {
            let wall = Timestamp { seconds: 5, microseconds: 6 };
            let now = Now { running: Duration::from_secs(1), wall };
            Self { session: Session::new(settings.into(), "n", "x-".into()), acts: Vec::new(), now }
        }

        fn greeting() -> Self {
            let mut world = Self::new();
            world.session.start(Some(1), world.now, &mut world.acts);
            world.session.handle_connected(None, world.now, &mut world.acts);
            assert_eq!(world.story(), ["stands Connecting", "connect"]);
            world
        }

        fn ready() -> Self {
            let mut world = Self::greeting();
            world.hears(GREETING);
            world.hears("{\"return\": {}, \"id\": \"x-1\"}\r\n");
            world.lists(2, "", "");
            world.story();
            world
        }

        /// Answers `query-jobs` of this number, and `query-block-jobs` after it.
        fn lists(&mut self, number: u32, jobs: &str, block_jobs: &str) {
            self.hears(&format!("{{\"return\": [{jobs}], \"id\": \"x-{number}\"}}\r\n"));
            let next = number + 1;
            self.hears(&format!("{{\"return\": [{block_jobs}], \"id\": \"x-{next}\"}}\r\n"));
        }

        fn hears(&mut self, text: &str) {
            self.session.handle_bytes(text.as_bytes(), self.now, &mut self.acts);
        }

        fn ends(&mut self) {
            let error = Error::new(Code::Reset, "QEMU closed the connection");
            self.session.handle_end(&error, self.now, &mut self.acts);
        }

        fn later(&mut self, seconds: u64) {
            self.now.running += Duration::from_secs(seconds);
            self.session.handle_timeout(self.now, &mut self.acts);
        }

        fn story(&mut self) -> Vec<String> {
            let line = |act| match act {
                Act::Connect => "connect".into(),
                Act::FindHolder => "find holder".into(),
                Act::Send(bytes) => format!("send {}", String::from_utf8(bytes).unwrap().trim()),
                Act::Disconnect => "disconnect".into(),
                Act::Stands(state, version) => {
                    let version = version.map(|v| format!(" {}.{}", v.major, v.minor));
                    format!("stands {state:?}{}", version.unwrap_or_default())
                }
                Act::Tell(event) => {
                    let word = event.text(Word::JobId).or(event.text(Word::Reason));
                    format!("tell {} {}", event.text(Word::Name).unwrap(), word.unwrap_or("-"))
                }
                Act::End(end) => {
                    let event = &end.event;
                    let name = event.text(Word::Name).unwrap();
                    format!("end {} {name} {}", end.job, event.text(Word::JobId).unwrap())
                }
                Act::Attach { handle, job } => format!("attach {handle} {job}"),
                Act::Read(request) => format!("read for {}", request.wanted.len()),
                Act::Answer(ticket, Ok(())) => format!("answer {ticket} ok"),
                Act::Answer(ticket, Err(error)) => format!("answer {ticket} {:?}", error.code),
                Act::List(ticket, list) => {
                    format!("list {ticket} {:?}", list.map(|list| list.len()))
                }
                Act::Log(..) | Act::Count(_) => unreachable!("they are left out below"),
                Act::SendWith(bytes, luggage) => {
                    format!("send {} with {luggage}", String::from_utf8(bytes).unwrap().trim())
                }
                Act::Reply(ticket, Ok(response)) => {
                    let json = response.json().map(|json| json.to_str().unwrap());
                    format!("reply {ticket} {:?} {}", response.failure, json.unwrap_or("-"))
                }
                Act::Reply(ticket, Err(error)) => format!("reply {ticket} {:?}", error.code),
            };
            let told = |act: &Act<u8>| !matches!(act, Act::Log(..));
            self.acts.drain(..).filter(told).map(line).collect()
        }
    }

    fn status(job: &str) -> String {
        format!(
            "{{\"timestamp\": {{\"seconds\": 1, \"microseconds\": 2}}, \"event\": \
             \"JOB_STATUS_CHANGE\", \"data\": {{\"status\": \"running\", \"id\": \"{job}\"}}}}\r\n"
        )
    }

    #[test]
    fn greeting_and_capabilities_make_it_usable() {
        let mut world = World::greeting();
        world.hears(GREETING);
        assert_eq!(world.story(), ["send {\"execute\":\"qmp_capabilities\",\"id\":\"x-1\"}"]);
        world.hears("{\"return\": {}, \"id\": \"x-1\"}\r\n");
        let queries = ["query-jobs\",\"id\":\"x-2", "query-block-jobs\",\"id\":\"x-3"];
        assert_eq!(world.story(), queries.map(|query| format!("send {{\"execute\":\"{query}\"}}")));
        world.lists(2, "", "");
        let story = world.story();
        assert_eq!(story, ["stands Connected 7.2", "tell CONNECTED -", "answer 1 ok"]);
        assert_eq!(world.session.deadline(), None);
    }

    #[test]
    fn the_connected_event_carries_the_greeting_and_the_hosts_time() {
        let mut world = World::greeting();
        world.hears(GREETING);
        world.hears("{\"return\": {}, \"id\": \"x-1\"}");
        world.lists(2, "", "");
        let Some(Act::Tell(event)) = world.acts.iter().find(|act| matches!(act, Act::Tell(_)))
        else {
            panic!()
        };
        assert_eq!(event.text(Word::Json), Some(GREETING.trim_end()));
        assert_eq!(event.timestamp, Some(world.now.wall));
    }

    #[test]
    fn events_before_the_greeting_and_before_the_reply_are_told() {
        let mut world = World::greeting();
        world.hears(&(status("a") + GREETING + &status("b")));
        let story = world.story();
        assert_eq!(story[0], "tell JOB_STATUS_CHANGE a");
        assert!(story[1].starts_with("send"));
        assert_eq!(story[2], "tell JOB_STATUS_CHANGE b");
    }

    #[test]
    fn a_former_clients_replies_and_stray_lines_do_no_harm() {
        let mut world = World::greeting();
        world.hears("le\": 1}]}\r\n{\"return\": {}, \"id\": \"x-1\"}\r\n");
        world.hears(GREETING);
        assert_eq!(world.story().len(), 1);
        world.hears("{\"return\": {}, \"id\": \"A-7\"}\r\n{\"return\": {}}\r\n{\"a\": inf}\r\n");
        world.hears("{\"error\": {\"class\": \"GenericError\", \"desc\": \"\"}}\r\n");
        assert_eq!(world.story(), [""; 0]);
        world.hears("{\"return\": {}, \"id\": \"x-1\"}\r\n");
        world.lists(2, "", "");
        assert_eq!(world.story().len(), 5);
    }

    #[test]
    fn an_invalid_line_costs_only_itself() {
        let mut world = World::ready();
        let long = format!("{{\"event\": \"{}\"}}\r\n", "x".repeat(2 << 10));
        world.hears(&("{\"return\": {}, \"id\": inf}\r\n".to_owned() + &status("a") + &long));
        world.hears("{\"event\": \"NEWER_EVENT\", \"data\": {\"x\": [1]}}\r\n");
        world.hears(&status("b"));
        assert_eq!(world.story(), ["tell JOB_STATUS_CHANGE a", "tell JOB_STATUS_CHANGE b"]);
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced_and_the_event_told() {
        let mut world = World::ready();
        let text = status("a?b").replace('?', "\u{1}");
        let bytes: Vec<u8> = text.bytes().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
        world.session.handle_bytes(&bytes, world.now, &mut world.acts);
        assert_eq!(world.story(), ["tell JOB_STATUS_CHANGE a\u{FFFD}b"]);
    }

    #[test]
    fn the_end_is_told_once_and_answers_who_waits() {
        let mut world = World::greeting();
        world.ends();
        world.ends();
        assert_eq!(
            world.story(),
            [
                "disconnect",
                "stands Disconnected",
                "tell DISCONNECTED QEMU closed the connection, before it greeted",
                "answer 1 Reset"
            ]
        );
    }

    #[test]
    fn the_end_says_how_far_it_came() {
        let mut world = World::greeting();
        world.hears(GREETING);
        world.ends();
        assert!(world.story()[3].ends_with("before it answered qmp_capabilities"));
        let mut world = World::ready();
        world.ends();
        assert_eq!(world.story()[2], "tell DISCONNECTED QEMU closed the connection");
    }

    #[test]
    fn who_gave_up_waiting_leaves_when_the_next_one_comes() {
        let mut world = World::greeting();
        for ticket in [101, 102, 103] {
            world.session.start(Some(ticket), world.now, &mut world.acts);
        }
        world.ends();
        // 101 had left when 102 came; 103 was still thought to wait.
        let answered: Vec<_> = world.story().split_off(3);
        assert_eq!(answered, ["answer 1 Reset", "answer 102 Reset", "answer 103 Reset"]);
    }

    #[test]
    fn who_gave_up_waiting_for_a_dismissal_leaves_when_the_next_one_comes() {
        let mut world = World::ready();
        let (handle, id) = (1, "j".to_owned());
        let watch = Watch { handle, id, exists: false, made: false, adopt: true, ended: None };
        world.session.watch(&watch, 2, world.now, &mut world.acts);
        world.hears(&status("j"));
        world.hears("{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"j\"}}");
        world.hears(&status("j").replace("running", "concluded"));
        world.story();
        for ticket in [101, 103, 4, 105, 6] {
            world.session.acknowledge(1, Some(ticket), world.now, &mut world.acts);
        }
        let waiting: Vec<_> = world.session.dismissing.iter().map(|(_, ticket)| *ticket).collect();
        assert_eq!(waiting, [4, 6]);
        world.hears(&status("j").replace("running", "null"));
        let answered = world.story();
        assert_eq!(answered[answered.len() - 2..], ["answer 4 ok", "answer 6 ok"]);
    }

    #[test]
    fn a_truncated_tail_is_dropped_and_counted() {
        let mut world = World::ready();
        world.hears(&status("a")[..20]);
        world.ends();
        assert!(world.story()[2].contains("20 bytes of an unfinished message"));
    }

    #[test]
    fn after_the_end_it_can_be_started_again_with_new_ids() {
        let mut world = World::ready();
        world.hears("{\"timest");
        world.ends();
        world.story();
        world.session.start(Some(2), world.now, &mut world.acts);
        world.session.handle_connected(None, world.now, &mut world.acts);
        world.hears(GREETING);
        assert_eq!(world.story()[2], "send {\"execute\":\"qmp_capabilities\",\"id\":\"x-4\"}");
        world.hears("{\"return\": {}, \"id\": \"x-4\"}");
        world.lists(5, "", "");
        assert_eq!(world.story()[4], "answer 2 ok");
    }

    #[test]
    fn silence_is_a_timeout_that_names_what_it_may_be() {
        let mut world = World::greeting();
        world.later(9);
        assert_eq!(world.story(), [""; 0]);
        world.later(1);
        assert_eq!(world.story(), ["find holder"]);
        // Nobody says who it is, and it is not waited for.
        world.later(3);
        let story = world.story();
        assert!(story[2].contains("not usable within 10000 ms"), "{story:?}");
        assert!(story[2].contains("another client"), "{story:?}");
        assert_eq!(story[3], "answer 1 TimedOut");
        world.session.handle_holder(Some("too late"), world.now, &mut world.acts);
        assert_eq!(world.story(), [""; 0]);
    }

    #[test]
    fn a_monitor_is_busy_only_where_somebody_is_known_to_hold_it() {
        for (holder, expected) in [(Some("process 7"), "Busy"), (None, "TimedOut")] {
            let mut world = World::greeting();
            // Nobody has asked, so this is of an earlier attempt.
            world.session.handle_holder(holder, world.now, &mut world.acts);
            world.later(10);
            assert_eq!(world.story(), ["find holder"]);
            world.session.handle_holder(holder, world.now, &mut world.acts);
            let story = world.story();
            assert!(holder.is_none_or(|holder| story[2].contains(holder)), "{story:?}");
            assert_eq!(story[3], format!("answer 1 {expected}"));
        }
        let mut world = World::greeting();
        world.later(10);
        world.hears(GREETING);
        world.session.handle_holder(Some("process 7"), world.now, &mut world.acts);
        let story = world.story();
        assert!(story[1].contains("qmp_capabilities"), "it came all the same: {story:?}");
        assert_eq!(story.len(), 2);
    }

    #[test]
    fn a_full_queue_is_busy_or_a_timeout_without_a_connection() {
        for (holder, expected) in [(Some("process 7"), "Busy"), (None, "TimedOut")] {
            let mut world = World::new();
            world.session.start(Some(1), world.now, &mut world.acts);
            world.session.handle_holder(holder, world.now, &mut world.acts);
            assert_eq!(world.story()[5], format!("answer 1 {expected}"));
        }
    }

    #[test]
    fn what_a_connection_waits_for_is_named_when_it_does_not_come() {
        let mut world = World::new();
        world.session.start(Some(1), world.now, &mut world.acts);
        world.session.handle_awaited("no name server has answered".into());
        world.later(10);
        let story = world.story();
        assert!(story[4].contains("ms: no name server has answered"), "{story:?}");
    }

    fn linked(link: Link) -> World {
        let settings =
            Settings { link, lost_after: Some(Duration::from_secs(300)), ..Settings::default() };
        let mut world = World::with(settings);
        world.session.start(Some(1), world.now, &mut world.acts);
        assert_eq!(world.story(), ["stands Connecting", "connect"]);
        world
    }

    #[test]
    fn who_listens_waits_as_long_as_it_takes_and_again_at_once() {
        let mut world = linked(Link::Listen);
        world.later(100);
        assert_eq!(world.story(), [""; 0]);
        world.session.handle_connected(None, world.now, &mut world.acts);
        world.later(10);
        let story = world.story();
        assert!(story[2].contains("no greeting came"), "{story:?}");
        assert!(!story[2].contains("another client"), "{story:?}");
        assert_eq!(story[4..], ["stands Connecting", "connect"]);
        // So it is after a stranger.
        let stranger = Error::new(Code::Denied, "a stranger");
        world.session.handle_end(&stranger, world.now, &mut world.acts);
        world.story();
        world.later(0);
        assert_eq!(world.story(), ["stands Connecting", "connect"]);
        // What cannot listen is another matter.
        world.ends();
        world.story();
        world.later(0);
        assert_eq!(world.story(), [""; 0]);
        world.later(5);
        assert_eq!(world.story(), ["stands Connecting", "connect"]);
    }

    #[test]
    fn jobs_of_the_only_connection_are_lost_with_it() {
        let mut world = linked(Link::Once);
        world.session.handle_connected(None, world.now, &mut world.acts);
        world.hears(GREETING);
        world.hears("{\"return\": {}, \"id\": \"x-1\"}\r\n");
        world.lists(2, "", "");
        world.hears(&status("a"));
        world.story();
        world.ends();
        assert_eq!(world.story()[2], "tell DISCONNECTED QEMU closed the connection");
        world.later(0);
        let story = world.story();
        assert!(story.iter().any(|line| line.contains("LOST a")), "{story:?}");
        assert_eq!(world.session.deadline(), None);
        // Where its process is known, that may be found to have ended.
        let mut world = linked(Link::Once);
        let process = Identity { pid: 7, started: 8 };
        world.session.handle_connected(Some(process), world.now, &mut world.acts);
        world.ends();
        world.story();
        assert_eq!(world.session.deadline(), Some(world.now.running + PROCESS_END_WAIT));
    }

    #[test]
    fn what_does_not_speak_qmp_is_named_when_it_ends_and_when_it_stays() {
        let mut world = World::greeting();
        world.hears("SSH-2.0-OpenSSH_9.2\r\n");
        world.ends();
        let story = world.story();
        assert!(story[2].contains("got \"SSH-2.0-OpenSSH_9.2\""), "{story:?}");
        assert_eq!(story[3], "answer 1 Protocol");

        let mut world = World::greeting();
        world.hears("220 without a newline");
        world.ends();
        assert_eq!(world.story()[3], "answer 1 Protocol");

        let mut world = World::greeting();
        world.hears("{\"hello\": 1}\r\n");
        world.later(10);
        assert_eq!(world.story()[3], "answer 1 Protocol");
    }

    #[test]
    fn refused_capabilities_are_told_with_qemus_words() {
        let mut world = World::greeting();
        world.hears(GREETING);
        world
            .hears("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": \"x-1\"}");
        let story = world.story();
        assert!(story[3].contains("refused qmp_capabilities: GenericError: no"), "{story:?}");
        assert_eq!(story[4], "answer 1 Remote");
    }

    #[test]
    fn closing_is_told_last_and_nothing_is_heard_after_it() {
        let mut world = World::ready();
        world.session.close("as asked", world.now, &mut world.acts);
        let story = world.story();
        assert_eq!(story[2], "tell DISCONNECTED as asked");
        assert_eq!(story[3..], ["stands Closed", "tell CLOSED as asked"]);
        world.hears(&status("a"));
        world.ends();
        world.session.close("twice", world.now, &mut world.acts);
        world.session.start(Some(3), world.now, &mut world.acts);
        assert_eq!(world.story(), ["answer 3 Shutdown"]);
    }

    #[test]
    fn a_listing_is_believed_however_many_jobs_have_ended_before_it() {
        let mut world = World::ready();
        let says = |world: &mut World, status: &str, id: &str| {
            world.hears(&format!(
                "{{\"event\": \"JOB_STATUS_CHANGE\", \"data\": {{\"status\": \"{status}\", \
                 \"id\": \"{id}\"}}}}\r\n"
            ));
        };
        for number in 0..=1 << 16 {
            let id = format!("j{number}");
            says(&mut world, "created", &id);
            says(&mut world, "null", &id);
            world.acts.clear();
        }
        for status in ["created", "running", "concluded"] {
            says(&mut world, status, "last");
        }
        let story = world.story();
        assert!(story.last().is_some_and(|last| last.contains("query-jobs")), "{story:?}");
        let listed = "{\"id\": \"last\", \"type\": \"create\", \"status\": \"concluded\"}";
        world.hears(&format!("{{\"return\": [{listed}], \"id\": \"x-4\"}}\r\n"));
        let story = world.story();
        assert!(story[0].ends_with("BLOCK_JOB_COMPLETED last"), "{story:?}");
    }
}
