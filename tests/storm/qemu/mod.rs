//! One fake QEMU process: its monitor, its jobs, its journal, and the truth about them. It knows
//! nothing of the library; what it does stands in SEMANTICS. No I/O, clock, thread, and no chance
//! but the one it is given.
//!
//! `step` does one small thing of the main loop; between two steps anything may happen to it.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use serde_json::{Value, json};

pub mod command;
pub mod counts;
mod end;
mod guest;
mod input;
pub mod job;
mod life;
mod listing;
pub mod odds;
mod start;
mod text;
pub mod truth;
pub mod version;
pub mod wire;

use counts::Counts;
use guest::Guest;
use job::{Job, NEVER, Plan};
pub use odds::Odds;
use text::encode;
use truth::{Origin, Truth};
use version::{Kind, Version};
use wire::{ConnectionId, Request, Wire};

use crate::chance::Chance;

#[derive(Clone, Debug)]
pub struct Qemu {
    kind: Kind,
    version: Version,
    odds: Odds,
    chance: Chance,
    state: State,
    /// By SIGSTOP.
    stopped: bool,
    now_us: u64,
    /// Of the last event: no two have the same time.
    last_us: u64,
    wire: Wire,
    journal: Vec<u8>,
    /// Names, and whether a device stands before the node: then its name is a job's default id.
    nodes: BTreeMap<String, bool>,
    backing: BTreeMap<String, String>,
    plans: BTreeMap<String, Plan>,
    objects: BTreeMap<String, String>,
    /// The listed ones, by the place of their truth.
    jobs: BTreeMap<usize, Job>,
    truths: Vec<Truth>,
    groups: u64,
    /// Jobs whose work is done, for the main loop to take note: before anything else.
    exits: VecDeque<usize>,
    held: Option<Held>,
    /// How long the command that is being executed takes.
    slow_us: u64,
    guest: Guest,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs,
    /// For ever; its monitor still accepts bytes.
    Hangs,
    Exited,
}

/// A reply that was made up and is not written yet.
#[derive(Clone, Debug)]
struct Held {
    connection: ConnectionId,
    line: String,
    steps: u64,
    until_us: u64,
    /// The jobs that its command started.
    began: Range<usize>,
    /// It lists jobs, and the client was told of a job since.
    lists: bool,
    stale: bool,
}

impl Qemu {
    pub fn new(kind: Kind, version: Version, odds: Odds, chance: Chance) -> Self {
        Self {
            kind,
            version,
            odds,
            chance,
            state: State::Runs,
            stopped: false,
            now_us: 0,
            last_us: 0,
            wire: Wire::default(),
            journal: Vec::new(),
            nodes: BTreeMap::new(),
            backing: BTreeMap::new(),
            plans: BTreeMap::new(),
            objects: BTreeMap::new(),
            jobs: BTreeMap::new(),
            truths: Vec::new(),
            groups: 0,
            exits: VecDeque::new(),
            held: None,
            slow_us: 0,
            guest: Guest::default(),
            counts: Counts::default(),
        }
    }

    /// The journal goes on where a former process left it, which may be within a line.
    pub fn with_journal(mut self, former: &[u8]) -> Self {
        self.journal = former.to_vec();
        self
    }

    /// A node with a device before it, as `-drive` makes.
    pub fn add_device(&mut self, name: &str) {
        self.nodes.insert(name.into(), true);
    }

    /// A node without a device, as `blockdev-add` makes.
    pub fn add_node(&mut self, name: &str) {
        self.nodes.insert(name.into(), false);
    }

    /// What the jobs of this id will meet, or those of this node where their id has no plan.
    pub fn plan(&mut self, name: &str, plan: Plan) {
        self.plans.insert(name.into(), plan);
    }

    /// Its messages are on several lines each.
    pub fn speak_pretty(&mut self) {
        self.wire.pretty = true;
    }

    /// A client's socket holds so much that it has not read.
    pub fn limit_sockets(&mut self, bytes: usize) {
        self.wire.socket_bytes = Some(bytes);
    }

    /// From here on chance is another.
    pub fn draw_anew(&mut self, odds: Odds, chance: Chance) {
        (self.odds, self.chance) = (odds, chance);
    }

    pub fn version(&self) -> Version {
        self.version
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn is_alive(&self) -> bool {
        self.state != State::Exited
    }

    pub fn is_hung(&self) -> bool {
        self.state == State::Hangs
    }

    /// `None`: refused, for the process is gone or the backlog is full.
    pub fn connect(&mut self) -> Option<ConnectionId> {
        if self.state == State::Exited { None } else { self.wire.connect() }
    }

    pub fn receive(&mut self, connection: ConnectionId, bytes: &[u8]) {
        self.wire.receive(connection, bytes);
    }

    pub fn take_output(&mut self, connection: ConnectionId) -> Vec<u8> {
        self.wire.take_output(connection)
    }

    /// After what can be taken now, the end comes.
    pub fn is_ended(&self, connection: ConnectionId) -> bool {
        self.wire.is_ended(connection)
    }

    pub fn disconnect(&mut self, connection: ConnectionId) {
        let executing =
            self.version.has_monitor_thread() && self.chance.one_in(self.odds.executing);
        self.wire.disconnect(connection, executing);
    }

    /// The client has ended its half of the connection, and reads on.
    pub fn half_close(&mut self, connection: ConnectionId) {
        self.wire.half_close(connection);
    }

    /// One thing of the main loop. False: there was nothing to do at this time.
    pub fn step(&mut self, now_us: u64) -> bool {
        self.now_us = self.now_us.max(now_us);
        if self.state == State::Hangs && !self.stopped && self.version.has_monitor_thread() {
            // The monitor's own thread still accepts and greets.
            return self.wire.turn(self.version, &self.odds, &mut self.chance);
        }
        if self.state != State::Runs || self.stopped {
            return false;
        }
        if let Some(request) = self.wire.next_out_of_band() {
            self.execute(&request);
            return true;
        }
        if let Some(number) = self.exits.pop_front() {
            self.job_exit(number);
            return true;
        }
        if self.tell_due() {
            return true;
        }
        let mut waits = self.wire.is_early();
        match &mut self.held {
            Some(held) if held.until_us > self.now_us => {}
            Some(held) if held.steps > 0 => {
                held.steps -= 1;
                waits = true;
            }
            Some(_) => {
                let held = self.held.take().expect("it was seen");
                self.count_reply(held.connection, held.began);
                if held.stale {
                    self.counts.add(counts::STALE_LISTING);
                }
                self.wire.reply(held.connection, &held.line, self.version);
                return true;
            }
            None => {}
        }
        if self.wire.turn(self.version, &self.odds, &mut self.chance) {
            self.note_stale();
            return true;
        }
        if self.chance.one_in(self.odds.blip) {
            self.blip(1);
        }
        self.step_ready() || waits
    }

    /// When a job will have something to do, or a slow command ends.
    pub fn next_due_us(&self) -> Option<u64> {
        let now = self.now_us;
        let held = self.held.iter().map(|held| held.until_us).filter(|until| *until > now);
        let others = held.chain(self.next_told_us());
        self.jobs.values().map(|job| job.due_us).filter(|due| *due != NEVER).chain(others).min()
    }

    /// A command on another monitor of the process.
    pub fn foreign(&mut self, now_us: u64, command: &Value) -> Value {
        self.now_us = self.now_us.max(now_us);
        if self.state != State::Runs || self.stopped {
            return Value::Null;
        }
        let name = command["execute"].as_str().unwrap_or_default();
        let arguments = command["arguments"].as_object().cloned().unwrap_or_default();
        self.end_exits();
        let result = self.dispatch(name, &arguments, &Origin::Foreign);
        self.slow_us = 0;
        if result.is_ok() && name == "quit" {
            self.shut_down("host-qmp-quit", None);
        }
        match result {
            Ok(value) => json!({"return": value}),
            Err(error) => json!({"error": {"class": error.class, "desc": error.desc}}),
        }
    }

    /// SIGTERM: like `quit`, and nobody gets a reply.
    pub fn terminate(&mut self) {
        if self.state == State::Runs && !self.stopped {
            self.shut_down("host-signal", None);
        }
    }

    /// SIGKILL: no word more, and what was written may be cut at any byte.
    pub fn crash(&mut self) {
        self.exit(true);
    }

    /// SIGSTOP.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// SIGCONT.
    pub fn cont(&mut self) {
        self.stopped = false;
    }

    pub fn hang(&mut self) {
        if self.state == State::Runs {
            self.counts.add(counts::HUNG);
            self.state = State::Hangs;
        }
    }

    /// Every event since the start, and what the former process had written.
    pub fn journal(&self) -> &[u8] {
        &self.journal
    }

    /// Each job there ever was, in the order of their creation.
    pub fn jobs(&self) -> &[Truth] {
        &self.truths
    }

    /// Those that are listed, the oldest first.
    pub fn living(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    fn step_ready(&mut self) -> bool {
        let now = self.now_us;
        let mut due: Vec<(u64, usize)> = (self.jobs.iter())
            .filter(|(_, job)| job.due_us <= now)
            .map(|(number, job)| (job.due_us, *number))
            .collect();
        due.sort_unstable();
        let asked = self.held.is_none() && self.wire.has_request();
        let shuffled = self.chance.one_in(self.odds.shuffle);
        // QEMU 1.1 reads all commands that have come before it lets a job go on.
        let commands_first = self.version.from(2, 0) == shuffled;
        if asked && (due.is_empty() || commands_first) {
            let request = self.wire.next_request().expect("there is one");
            self.execute(&request);
            return true;
        }
        if due.is_empty() {
            return false;
        }
        let at = if shuffled { self.chance.index(due.len()) } else { 0 };
        self.work(due[at].1);
        true
    }

    fn execute(&mut self, request: &Request) {
        let connection = request.connection;
        let origin = Origin::Client(connection);
        let first = self.truths.len();
        let result = self.answer(request, &origin);
        if self.state != State::Runs {
            return;
        }
        let (command, at_once) = match &request.command {
            Ok(command) => (command.name.as_str(), command.out_of_band),
            Err(_) => ("", false),
        };
        let quits = result.is_ok() && command == "quit";
        let line = command::reply(result, request.id.as_deref(), self.version);
        if quits {
            self.shut_down("host-qmp-quit", Some((connection, &line)));
        } else if !at_once && (self.version.replies_late() || self.slow_us > 0) {
            let late = self.version.replies_late() && self.chance.one_in(self.odds.late_reply);
            let steps = if late { 1 + self.chance.below(LATE_STEPS_MAX) } else { 0 };
            let until_us = self.now_us + std::mem::take(&mut self.slow_us);
            self.held = Some(Held {
                connection,
                line,
                steps,
                until_us,
                began: first..self.truths.len(),
                lists: matches!(command, "query-jobs" | "query-block-jobs"),
                stale: false,
            });
        } else {
            self.count_reply(connection, first..self.truths.len());
            self.wire.reply(connection, &line, self.version);
        }
    }

    /// The time that its last event bears.
    pub fn last_us(&self) -> u64 {
        self.last_us
    }

    /// Everyone hears it: the journal always, the client if it has negotiated.
    fn emit(&mut self, name: &str, data: &Value) -> (String, Option<ConnectionId>) {
        let at = self.now_us.max(self.last_us + 1);
        self.last_us = at;
        let data =
            if data.is_null() { String::new() } else { format!(", \"data\": {}", encode(data)) };
        let line = format!(
            "{{\"timestamp\": {{\"seconds\": {}, \"microseconds\": {}}}, \"event\": \
             \"{name}\"{data}}}",
            at / 1_000_000,
            at % 1_000_000
        );
        self.journal.extend_from_slice(line.as_bytes());
        self.journal.extend_from_slice(b"\r\n");
        let sent_to = self.wire.say(&line);
        if let Some(held) = self.held.as_mut().filter(|held| sent_to == Some(held.connection)) {
            held.stale |= held.lists && name.contains("JOB_");
        }
        (line, sent_to)
    }

    /// A terminal event that the former client did not read stands in this one's stream.
    fn note_stale(&mut self) {
        for ending in self.truths.iter_mut().filter_map(|truth| truth.ended.as_mut()) {
            let reads = ending.event.as_ref().and_then(|event| self.wire.served_reads(event));
            if let Some(connection) = reads.filter(|id| !ending.sent_to.contains(id)) {
                ending.sent_to.push(connection);
            }
        }
    }

    /// What the main loop does before it takes the next command.
    fn end_exits(&mut self) {
        while let Some(number) = self.exits.pop_front() {
            self.job_exit(number);
        }
    }
}

const LATE_STEPS_MAX: u64 = 12;
