//! A world around a listener's sessions: a peer that says whatever a script says, a program that
//! asks for whatever it says, and what must be true all the same.
//!
//! - Each incarnation of a job has one end, and each handle that watches has one when its monitor
//!   is closed: never two, never none.
//! - Nobody is told a success that no message of the peer's tells.
//! - A job is dismissed only when its end was acknowledged, or the program asked for that.
//! - What is sent is a line of JSON, with an id of its own, while there is a connection.
//! - Whoever waits is answered when the monitor is closed, and CLOSED is the last of it.
//! - What is held is bounded by what was said.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    hash::{DefaultHasher, Hasher as _},
    rc::Rc,
    time::Duration,
};

use blockjob::{
    model::{
        Code, Error, Event, Identity, Kind, MonitorId, Now, Outcome, Pivot, Settings, Stat, State,
        Timestamp, Word, readable::Plain,
    },
    qmp::{
        act::Act,
        command::Command,
        control::Control,
        decode::Names,
        hub::Hub,
        jobs::{End, Watch},
        journal::{Findings, Request, Search, Want},
        session,
    },
};
use serde_json::Value;

/// Somebody who waits; the world counts them.
#[derive(Debug)]
pub struct Ticket {
    void: bool,
    /// The handle that it was made for, which watches unless this says otherwise.
    handle: Option<u64>,
    waiting: Rc<Cell<usize>>,
}

impl session::Ticket for Ticket {
    type Listing = Self;
    type Luggage = ();

    fn is_void(&self) -> bool {
        self.void
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiting.set(self.waiting.get() - 1);
    }
}

pub struct World {
    hub: Hub<Ticket>,
    monitors: Vec<Monitor>,
    waiting: Rc<Cell<usize>>,
    us: u64,
    numbers: u64,
    /// The peer's words come byte by byte.
    crumbles: bool,
    tells: bool,
    /// Somebody wants to read the story: STORY=1 is set.
    shows: bool,
    /// All that was told and done, in one number, but for figures.
    story: Story,
}

/// What the world knows of a monitor.
#[derive(Default)]
struct Monitor {
    connecting: bool,
    connected: bool,
    closed: bool,
    /// The commands that were not answered: their ids as they stand there, and their names.
    asked: Vec<(String, String)>,
    sent: u64,
    requests: Vec<Request>,
    journal: Vec<u8>,
    /// By incarnation: its job's id, and whether the program has taken the end.
    ended: BTreeMap<u64, (String, bool)>,
    /// By handle: its job's id, and how many ends it was told.
    watching: BTreeMap<u64, (String, usize)>,
    /// The ids of jobs whose dismissal the program has asked for.
    dismissing: BTreeSet<String>,
    /// Ids whose jobs may be ours, as C sees them.
    ours: BTreeSet<String>,
    owner: Option<String>,
    job_limit: i64,
}

#[derive(Default)]
struct Story {
    hash: DefaultHasher,
    lines: usize,
}

impl std::fmt::Write for Story {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.hash.write(text.as_bytes());
        Ok(())
    }
}

impl World {
    pub fn new(settings: Vec<Settings>, traces: bool) -> Self {
        let mut hub = Hub::new("n".into());
        let mut monitors = Vec::new();
        for (number, settings) in settings.into_iter().enumerate() {
            monitors.push(Monitor {
                owner: settings.owner.clone(),
                job_limit: i64::try_from(settings.job_limit).expect("a small limit"),
                ..Monitor::default()
            });
            hub.add(id(number), || settings.into());
        }
        hub.trace(traces);
        Self {
            hub,
            monitors,
            waiting: Rc::default(),
            us: 1_000_000_000,
            numbers: 0,
            crumbles: false,
            tells: false,
            shows: std::env::var_os("STORY").is_some(),
            story: Story::default(),
        }
    }

    /// Writes down what happens; the peer's words come whole, or byte by byte.
    pub fn telling(self, crumbles: bool) -> Self {
        Self { crumbles, tells: true, ..self }
    }

    /// For who reads the story of a failure.
    pub fn say(&self, text: impl FnOnce() -> String) {
        if self.shows {
            eprintln!("{}", text());
        }
    }

    /// What has happened, as two numbers.
    pub fn story(&self) -> (u64, usize) {
        (self.story.hash.finish(), self.story.lines)
    }

    // --- The peer, and the kernel ---

    pub fn connect(&mut self, m: usize, pid: Option<i32>) {
        if std::mem::take(&mut self.monitors[m].connecting) {
            self.monitors[m].connected = true;
            let identity = pid.map(|pid| Identity { pid, started: 7 });
            self.hub.handle_connected(id(m), identity, self.now());
            self.act();
        }
    }

    pub fn refuse(&mut self, m: usize) {
        if std::mem::take(&mut self.monitors[m].connecting) {
            let error = Error::new(Code::Os(111), "nobody listens");
            self.hub.handle_end(id(m), &error, self.now());
            self.act();
        }
    }

    pub fn hang_up(&mut self, m: usize) {
        if self.monitors[m].connected {
            let error = Error::new(Code::Reset, "QEMU closed the connection");
            self.hub.handle_end(id(m), &error, self.now());
            self.act();
        }
    }

    pub fn end_process(&mut self, m: usize) {
        self.hub.handle_process_end(id(m), self.now());
        self.act();
    }

    pub fn holder(&mut self, m: usize, holder: Option<&str>) {
        self.hub.handle_holder(id(m), holder, self.now());
        self.act();
    }

    /// The peer says this; what it has no connection for is lost.
    pub fn hear(&mut self, m: usize, bytes: &[u8]) {
        let size = if self.crumbles { 1 } else { bytes.len().max(1) };
        for piece in bytes.chunks(size) {
            if self.monitors[m].connected {
                self.hub.handle_bytes(id(m), piece, self.now());
                self.act();
            }
        }
    }

    /// Writes into the journal of that monitor's QEMU.
    pub fn write_journal(&mut self, m: usize, bytes: &[u8]) {
        self.monitors[m].journal.extend_from_slice(bytes);
    }

    pub fn truncate_journal(&mut self, m: usize, len: usize) {
        self.monitors[m].journal.truncate(len);
    }

    /// The oldest reading of the journal comes to its end, or fails.
    pub fn read_journal(&mut self, m: usize, fails: bool) {
        if self.monitors[m].requests.is_empty() {
            return;
        }
        let request = self.monitors[m].requests.remove(0);
        let findings = if fails {
            Findings::failed(&request, "the journal is gone".into())
        } else {
            search(request, &self.monitors[m].journal)
        };
        self.hub.handle_findings(id(m), findings, self.now());
        self.act();
    }

    /// The peer answers one of the commands that it has not answered, if there is one.
    pub fn reply(&mut self, m: usize, which: usize, reply: &str) {
        let asked = &mut self.monitors[m].asked;
        if asked.is_empty() {
            return;
        }
        let (command, _) = asked.remove(which % asked.len());
        self.hear(m, format!("{{{reply}, \"id\": {command}}}\r\n").as_bytes());
    }

    /// A peer that means well answers all that it was asked, so that a monitor becomes usable.
    pub fn answer(&mut self, m: usize, jobs: &str, block_jobs: &str) {
        for _ in 0..32 {
            let Some((_, name)) = self.monitors[m].asked.first() else { break };
            let value = match name.as_str() {
                "query-jobs" => jobs,
                "query-block-jobs" => block_jobs,
                "qom-list" => "[]",
                _ => "{}",
            };
            self.reply(m, 0, &format!("\"return\": {value}"));
        }
    }

    pub fn is_connected(&self, m: usize) -> bool {
        self.monitors[m].connected
    }

    /// Time passes; what is due happens.
    pub fn wait(&mut self, us: u64) {
        self.us += us;
        self.hub.handle_timeouts(self.now());
        self.act();
        let now = self.now().running;
        assert!(self.hub.deadline().is_none_or(|at| at > now), "the reader would spin");
    }

    /// Time passes until something is due.
    pub fn wait_until_due(&mut self) {
        if let Some(at) = self.hub.deadline() {
            let now = self.now().running;
            let us = at.saturating_sub(now).as_nanos().div_ceil(1000);
            self.wait(u64::try_from(us).expect("nobody waits so long"));
        }
    }

    // --- The program ---

    pub fn start(&mut self, m: usize) {
        let ticket = self.ticket(false);
        self.hub.start(id(m), Some(ticket), self.now());
        self.act();
    }

    pub fn watch(&mut self, m: usize, handle: u64, job: &str, flags: u8) {
        if self.monitors[m].watching.contains_key(&handle) {
            return;
        }
        let [exists, made, adopt] = [1, 2, 4].map(|flag| flags & flag != 0);
        if adopt {
            self.monitors[m].ours.insert(as_c(job));
        }
        self.monitors[m].watching.insert(handle, (job.to_owned(), 0));
        let ended = None;
        let watch = Watch { handle, id: job.to_owned(), exists, made, adopt, ended };
        let mut ticket = self.ticket(false);
        ticket.handle = Some(handle);
        self.hub.watch(id(m), &watch, ticket, self.now());
        self.act();
    }

    pub fn unwatch(&mut self, m: usize, handle: u64) {
        self.monitors[m].watching.remove(&handle);
        self.hub.unwatch(id(m), handle);
        self.act();
    }

    pub fn start_job(&mut self, m: usize, handle: u64, command: &str, arguments: &str) {
        let ours = self.monitors[m].watching.get(&handle).map(|(job, _)| as_c(job));
        self.monitors[m].ours.extend(ours);
        let ticket = self.ticket(false);
        self.hub.start_job(id(m), handle, command, arguments, ticket, self.now());
        self.act();
    }

    pub fn ask_job(&mut self, m: usize, handle: u64, control: Control) {
        let ticket = self.ticket(false);
        self.hub.ask_job(id(m), handle, control, ticket);
        self.act();
    }

    /// Takes the end of some job that was told, if there is one.
    pub fn acknowledge(&mut self, m: usize, which: usize, waits: bool, dismisses: bool) {
        let monitor = &mut self.monitors[m];
        let count = monitor.ended.len();
        if count == 0 {
            return;
        }
        let (job, (name, taken)) =
            monitor.ended.iter_mut().nth(which % count).expect("there are so many");
        let job = *job;
        *taken = true;
        if dismisses {
            monitor.dismissing.insert(name.clone());
            let ticket = self.ticket(false);
            self.hub.dismiss_job(id(m), job, ticket, self.now());
        } else {
            let ticket = waits.then(|| self.ticket(false));
            self.hub.acknowledge(id(m), job, ticket, self.now());
        }
        self.act();
    }

    pub fn look(&mut self, m: usize, handle: Option<u64>) {
        let ticket = self.ticket(false);
        self.hub.look(id(m), handle, ticket);
        self.act();
    }

    /// A command of the program's own.
    pub fn execute(&mut self, m: usize, name: &str, arguments: Option<&str>, flags: u8) {
        self.numbers += 1;
        let number = i64::try_from(self.numbers).expect("few commands");
        let Ok(mut command) = Command::new(number, name, arguments) else { return };
        command.oob = flags & 1 != 0;
        command.luggage = (flags & 2 != 0).then_some(());
        command.timeout = (flags & 4 != 0).then_some(Duration::from_millis(700));
        if name.contains("dismiss") {
            let text = |json: &str| serde_json::from_str::<Value>(json).ok();
            let id = arguments.and_then(text).and_then(|it| it["id"].as_str().map(as_c));
            self.monitors[m].dismissing.extend(id);
        }
        let ticket = self.ticket(flags & 8 != 0);
        self.hub.execute(id(m), command, ticket, self.now());
        self.act();
    }

    pub fn want_raw(&mut self, all: bool, name: &str) {
        let names = Names { all, names: BTreeSet::from([name.to_owned()]) };
        self.hub.want_raw(&names);
        self.act();
    }

    pub fn close(&mut self, m: usize) {
        self.hub.close(id(m), "the program closed the monitor", self.now());
        self.act();
    }

    /// All monitors are closed: what was promised has been kept by now.
    pub fn finish(&mut self) {
        for m in 0..self.monitors.len() {
            self.close(m);
            let monitor = &self.monitors[m];
            for (handle, (job, ends)) in &monitor.watching {
                assert_eq!(*ends, 1, "ends that handle {handle} of job {job:?} was told");
            }
        }
        assert_eq!(self.waiting.get(), 0, "somebody waits for a monitor that is closed");
        assert_eq!(self.hub.deadline(), None, "a closed monitor has nothing to do");
    }

    // --- What is to be done, and what must be true of it ---

    fn act(&mut self) {
        for (monitor, act) in self.hub.acts() {
            let m = usize::try_from(monitor.0 - 1).expect("few monitors");
            if self.shows {
                show(m, &act);
            }
            if self.tells && !matches!(act, Act::Count(_)) {
                write!(self.story, "{m} {act:?}").expect("a hash takes all");
                self.story.lines += 1;
            }
            self.monitors[m].act(act);
        }
    }

    fn ticket(&mut self, void: bool) -> Ticket {
        self.waiting.set(self.waiting.get() + 1);
        Ticket { void, handle: None, waiting: Rc::clone(&self.waiting) }
    }

    fn now(&self) -> Now {
        let number = |it| i64::try_from(it).expect("a script is short");
        let (seconds, microseconds) = (number(self.us / 1_000_000), number(self.us % 1_000_000));
        Now { running: Duration::from_micros(self.us), wall: Timestamp { seconds, microseconds } }
    }
}

impl Monitor {
    fn act(&mut self, act: Act<Ticket>) {
        let of_the_program = matches!(
            act,
            Act::Answer(..) | Act::Reply(..) | Act::List(..) | Act::Log(..) | Act::Count(_)
        );
        assert!(!self.closed || of_the_program, "after CLOSED: {act:?}");
        match act {
            Act::Connect => {
                assert!(!self.connected && !self.connecting, "there is a connection");
                self.connecting = true;
            }
            Act::Send(bytes) | Act::SendWith(bytes, ()) => self.send(&bytes),
            Act::Disconnect => {
                (self.connected, self.connecting) = (false, false);
                self.asked.clear();
            }
            Act::Stands(State::Connected, _) => assert!(self.connected, "connected to nobody"),
            Act::Stands(..) | Act::FindHolder => {}
            Act::Answer(ticket, answer) => {
                if let (Some(handle), Err(_)) = (ticket.handle, answer) {
                    self.watching.remove(&handle);
                }
            }
            Act::Tell(event) => {
                assert!(!event.kind.is_final(), "an end is told as one");
                self.closed |= event.kind == Kind::Closed;
            }
            Act::End(end) => self.end(&end),
            Act::Attach { handle, job } => {
                assert!(self.ended.contains_key(&job), "attached to what was not told");
                if let Some((_, ends)) = self.watching.get_mut(&handle) {
                    *ends += 1;
                }
            }
            Act::Read(request) => {
                assert!(self.requests.is_empty(), "one reading at a time");
                self.requests.push(request);
            }
            Act::List(_, Ok(_) | Err(_)) | Act::Reply(_, Ok(_) | Err(_)) => {}
            Act::Log(_, text) => {
                assert!(text.len() < 8192, "a line of {} bytes", text.len());
                let line = Plain(&text).to_string();
                assert!(!line.contains(char::is_control), "{line:?}");
            }
            Act::Count(counts) => {
                let jobs = counts.get(Stat::Jobs);
                assert!(jobs <= self.job_limit, "{jobs} jobs are known");
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        assert!(self.connected, "to nobody: {}", String::from_utf8_lossy(bytes));
        assert_eq!(bytes.iter().position(|byte| *byte == b'\n'), Some(bytes.len() - 1));
        let said: Value = serde_json::from_slice(bytes).expect("JSON");
        let name = said.get("execute").or(said.get("exec-oob")).and_then(Value::as_str);
        let name = name.expect("a command");
        let command = said["id"].to_string();
        self.sent += 1;
        assert!(self.asked.iter().all(|(other, _)| *other != command), "an id is used again");
        // A program's own may name none.
        let job = said["arguments"]["id"].as_str().filter(|_| name.ends_with("job-dismiss"));
        if let Some(job) = job {
            self.check_dismissal(&as_c(job));
        }
        self.asked.push((command, name.to_owned()));
    }

    fn check_dismissal(&self, job: &str) {
        if self.dismissing.contains(job) {
            return;
        }
        let is_owners = self.owner.as_ref().is_some_and(|it| job.starts_with(&format!("{it}-")));
        assert!(is_owners || self.ours.contains(job), "{job:?} is not ours to dismiss");
        let taken = self.ended.values().any(|(id, taken)| id == job && *taken);
        assert!(taken, "{job:?} was dismissed before its end was acknowledged");
    }

    fn end(&mut self, End { job, handles, event, .. }: &End) {
        let id = event.text(Word::JobId).expect("a job's end").to_owned();
        let before = self.ended.insert(*job, (id.clone(), false));
        assert!(before.is_none(), "incarnation {job} of {id:?} ended twice");
        for handle in handles {
            let (own, ends) = self.watching.get_mut(handle).expect("a handle that is there");
            *ends += 1;
            assert_eq!(*ends, 1, "handle {handle} was told two ends");
            assert_eq!(as_c(own), id, "another job's end");
        }
        check_end(event);
    }
}

fn as_c(id: &str) -> String {
    id.replace('\0', "\u{FFFD}")
}

/// What an end may say.
fn check_end(event: &Event) {
    let error = event.text(Word::Error).is_some();
    match (event.kind, event.outcome) {
        (Kind::Completed, Outcome::Succeeded) => {
            assert!(!error, "a success with an error");
            if let Some(json) = event.text(Word::Json) {
                assert!(json.contains("COMPLETED") || json.contains("\\u"), "{json}");
            }
        }
        (Kind::Completed, Outcome::Failed) | (Kind::Cancelled, Outcome::Cancelled) => {}
        (Kind::Lost, Outcome::Unknown) => {
            assert!(event.loss.is_some() && event.text(Word::Reason).is_some());
            assert!(event.text(Word::Json).is_none(), "a message of QEMU's says more");
        }
        other => panic!("{other:?} is no end"),
    }
    let moved = event.pivoted == Pivot::Yes;
    assert!(!moved || event.outcome == Outcome::Succeeded, "a job that failed moved the disk");
}

/// An act in short.
fn show(m: usize, act: &Act<Ticket>) {
    match act {
        Act::Send(bytes) | Act::SendWith(bytes, ()) => {
            eprintln!("    {m} send {}", String::from_utf8_lossy(bytes).trim_end());
        }
        Act::Tell(event) => eprintln!("    {m} tell {event}"),
        Act::End(End { job, handles, event, .. }) => {
            eprintln!("    {m} end of {job}, handles {handles:?}: {event}");
        }
        Act::Log(level, text) => eprintln!("    {m} {level:?} {}", Plain(text)),
        Act::Count(_) => {}
        act => eprintln!("    {m} {act:?}"),
    }
}

fn search(request: Request, file: &[u8]) -> Findings {
    let mut search = Search::new(request, file.len() as u64);
    while let Want::Read { offset, len } = search.next() {
        let begin = usize::try_from(offset).expect("within the file");
        search.handle_slice(offset, &file[begin..begin + len]);
    }
    search.finish()
}

fn id(m: usize) -> MonitorId {
    MonitorId(m as u64 + 1)
}

/// A dismissal is asked for by its end's number, when that was taken.
pub fn control(number: usize, speed: i64) -> Control {
    match number % 7 {
        0 => Control::Pause,
        1 => Control::Resume,
        2 => Control::Complete,
        3 => Control::Cancel { force: false },
        4 => Control::Cancel { force: true },
        5 => Control::Finalize,
        _ => Control::SetSpeed(speed),
    }
}
