//! One world: machines, a program that lives, dies and comes back, and the storm between them. All
//! chance comes from one seed, so a world can be played again to the letter.

mod calm;
mod day;
mod others;
mod program;

use std::collections::{BTreeMap, BTreeSet};

use blockjob::{
    model::{Event, Kind as EventKind, Link, Loss, Settings, Word},
    qmp::{
        control::Control,
        jobs::End,
        journal::{Findings, Request, Search, Want},
    },
};
use serde_json::Value;

use crate::{
    chance::Chance,
    delivery::Delivery,
    library::{Library, Out},
    machine::{DISKS, Key, Machine, Read},
    oracle::{Oracle, Verdict},
    qemu::{
        odds::Odds,
        version::{Kind, Version},
    },
    tally::Tally,
};

pub struct World {
    chance: Chance,
    now_us: u64,
    weather: Weather,
    machines: Vec<Machine>,
    library: Library,
    delivery: Delivery,
    /// The program takes its events one by one.
    pulls: bool,
    /// Of the program's present life.
    program: Program,
    /// What the program has stored, over all lives: how far it had come with each machine's ends.
    positions: BTreeMap<usize, Position>,
    lives: u64,
    ids: u64,
    told: u64,
    oracle: Oracle,
    tally: Tally,
    /// What happened, in readable lines; `None` where nobody reads.
    story: Option<Vec<String>>,
}

/// How hard it blows: each is "once in so many steps", 0 never.
struct Weather {
    cut: u64,
    crash: u64,
    quit: u64,
    stop: u64,
    boot: u64,
    die: u64,
    die_in_callback: u64,
    foreign: u64,
    leap: u64,
    close: u64,
    /// Others use one id again and again.
    same_id: bool,
    /// Others dismiss what is ours while nobody is connected.
    robs: bool,
    /// Journals are made empty.
    truncates: u64,
    /// Programs differ in how they connect and for how long they wait.
    varied: bool,
}

/// Where a journal was when an end was told, and as the how manieth that was.
#[derive(Clone)]
struct Position {
    text: String,
    told: u64,
}

#[derive(Default)]
struct Program {
    handles: Vec<Handle>,
    /// Whose end each number was, as far as that can be said, and of which id.
    ended: BTreeMap<(usize, u64), (Option<Key>, String)>,
    /// What came with each end, to be stored.
    positions: BTreeMap<(usize, u64), Position>,
    reading: Vec<(usize, Request)>,
    closed: Vec<usize>,
    connected: Vec<bool>,
    starts: Vec<Start>,
    asks: Vec<Ask>,
    /// How each machine is connected.
    links: Vec<Link>,
    /// Those that are waited for, to connect when they like.
    awaited: BTreeSet<usize>,
    /// Those that were connected, whose process is known therefore.
    met: BTreeSet<usize>,
    /// Whose one connection is over.
    over: BTreeSet<usize>,
    /// Whose start was refused as its caller's time ended.
    leaving: Vec<(usize, u64)>,
    /// Handles whose job was not started, as only its end can tell the program.
    owed: Vec<u64>,
    /// Without a connection jobs are waited for as long as it takes.
    is_patient: bool,
}

/// A job that was asked for.
struct Start {
    ticket: u64,
    machine: usize,
    handle: u64,
    id: String,
    /// Its caller's time was over before the answer.
    left: bool,
}

/// What a job was asked for.
struct Ask {
    ticket: u64,
    machine: usize,
    id: String,
    control: Control,
}

#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone)]
struct Handle {
    machine: usize,
    number: u64,
    id: String,
    /// It was asked for, and not refused.
    started: bool,
    /// The same, or refused.
    tried: bool,
    made: bool,
    /// Its job was said to exist.
    exists: bool,
    ended: bool,
}

const VERSIONS: [Version; 7] = [
    Version(2, 9, 0),
    Version(2, 12, 0),
    Version(2, 12, 1),
    Version(5, 2, 0),
    Version(7, 2, 0),
    Version(7, 2, 0),
    Version(10, 0, 2),
];

impl World {
    pub fn new(seed: u64, tells: bool) -> Self {
        let mut chance = Chance::new(seed);
        let mut weather = Weather {
            cut: [40, 60, 120, 800][chance.index(4)],
            crash: [0, 0, 600, 2000][chance.index(4)],
            quit: [0, 300, 1500][chance.index(3)],
            stop: [0, 400, 800][chance.index(3)],
            boot: 40,
            die: [0, 0, 700, 2500][chance.index(4)],
            die_in_callback: [0, 0, 6, 20][chance.index(4)],
            foreign: [20, 40, 120][chance.index(3)],
            leap: [30, 100, 300][chance.index(3)],
            close: [0, 0, 0, 3000][chance.index(4)],
            same_id: chance.one_in(4),
            robs: !chance.one_in(8),
            truncates: [0, 0, 400][chance.index(3)],
            varied: true,
        };
        if chance.one_in(10) {
            weather.foreign = 0;
        }
        let odds = Odds {
            early_event: 4,
            straggler: 2,
            stale_bytes: 6,
            inf: 8,
            deaf: 12,
            late_reply: 6,
            executing: 2,
            busy: 4,
            blip: 200,
            shuffle: [0, 10, 4][chance.index(3)],
            truncated_tail: 2,
            fault: 4,
            instant: 5,
        };
        let count = 1 + chance.index(3);
        let machines: Vec<Machine> = (0..count)
            .map(|_| {
                let version = VERSIONS[chance.index(VERSIONS.len())];
                // The daemon of 5.2 is one of its own.
                let often = if version.from(6, 0) { 3 } else { 2 };
                let daemon = version.from(5, 0) && chance.one_in(often);
                let kind = if daemon { Kind::StorageDaemon } else { Kind::System };
                Machine::new(kind, version, odds.clone(), &mut chance)
            })
            .collect();
        let library = Library::new("0", 0, |_| Settings::default());
        let mut world = Self {
            chance,
            now_us: 1_000_000_000,
            weather,
            machines,
            library,
            delivery: Delivery::new(0, false),
            pulls: seed % 3 == 2,
            program: Program::default(),
            lives: 0,
            ids: 0,
            told: 0,
            positions: BTreeMap::new(),
            oracle: Oracle::default(),
            tally: Tally::default(),
            story: tells.then(Vec::new),
        };
        world.be_born();
        world
    }

    /// Plays the world to its end.
    pub fn play(&mut self) -> Verdict {
        let steps = 300 + self.chance.index(800);
        for _ in 0..steps {
            self.step()?;
        }
        self.calm()
    }

    /// What was counted, with the hazards that each QEMU counted.
    pub fn tally(&self) -> Tally {
        let mut tally = self.tally.clone();
        for qemu in self.machines.iter().flat_map(|machine| &machine.processes) {
            qemu.hazards().for_each(|(hazard, number)| tally.count_many(hazard, number));
        }
        tally
    }

    pub fn story(&mut self) -> Vec<String> {
        self.story.take().unwrap_or_default()
    }

    fn step(&mut self) -> Verdict {
        self.now_us += 1 + self.chance.below(400);
        let machine = self.chance.index(self.machines.len());
        match self.chance.below(12) {
            0..=3 => self.run_qemu(machine)?,
            4..=5 => drop(self.machines[machine].forward(&mut self.chance, false)),
            6..=8 => drop(self.read(machine, false)?),
            9 => self.use_library(machine)?,
            10 => self.use_delivery()?,
            _ => self.read_journal()?,
        }
        self.blow(machine);
        self.settle()
    }

    /// The storm itself.
    fn blow(&mut self, index: usize) {
        let Weather { cut, crash, quit, stop, boot, die, foreign, leap, close, .. } = self.weather;
        if self.chance.one_in(cut) && self.machines[index].cut(&mut self.chance) {
            self.happens("cut", || format!("the wire of machine {index} is cut"));
        }
        if self.machines[index].now().is_alive() {
            if self.chance.one_in(crash) {
                self.machines[index].qemu().crash();
                self.happens("crash", || format!("machine {index} crashes"));
            } else if self.chance.one_in(quit) {
                self.machines[index].qemu().terminate();
                self.happens("quit", || format!("machine {index} is quit"));
            }
        } else if self.chance.one_in(boot) {
            self.boot(index);
            self.happens("boot", || format!("machine {index} is started again"));
        }
        if self.chance.one_in(stop) {
            self.machines[index].qemu().stop();
            self.happens("stop", || format!("machine {index} is stopped"));
        } else if self.chance.one_in(60) {
            self.machines[index].qemu().cont();
        }
        if self.chance.one_in(foreign) {
            self.act_as_another(index);
        }
        if self.weather.robs && !self.program.connected[index] {
            self.rob(index);
        }
        if self.chance.one_in(leap) {
            self.leap();
        }
        if self.chance.one_in(8) {
            self.let_connect(index);
        }
        if self.machines[index].has_journal && self.chance.one_in(self.weather.truncates) {
            self.machines[index].truncate();
            self.happens("truncated", || format!("the journal of machine {index} is made empty"));
        }
        let gone = !self.machines[index].now().is_alive() && self.machines[index].has_identity;
        if gone && !self.machines[index].end_told && self.chance.one_in(4) {
            self.tell_process_end(index);
        }
        self.library.timeouts(self.now_us);
        if self.chance.one_in(die) {
            self.happens("death", || "the program dies".into());
            self.die();
        }
        if self.chance.one_in(close) && !self.program.closed.contains(&index) {
            self.happens("close", || format!("the program closes machine {index}"));
            self.program.closed.push(index);
            self.library.close(index, self.now_us);
        }
    }

    /// A new process, which looks at the clock first.
    fn boot(&mut self, index: usize) {
        self.machines[index].boot(&mut self.chance);
        self.machines[index].qemu().step(self.now_us);
    }

    /// Time passes in which nothing happens.
    fn leap(&mut self) {
        let due = self.library.deadline_us().unwrap_or(0);
        self.now_us = match self.chance.below(12) {
            0 => due.max(self.now_us),
            1..=3 => self.now_us + 2_000_000,
            _ => self.now_us + 100_000,
        };
    }

    fn run_qemu(&mut self, index: usize) -> Verdict {
        for _ in 0..=self.chance.index(4) {
            self.machines[index].qemu().step(self.now_us);
            self.oracle.scan(index, &self.machines[index]);
            self.oracle.check_dismissals(index, &self.machines[index])?;
        }
        Ok(())
    }

    /// The library reads. False when there was nothing.
    fn read(&mut self, index: usize, all: bool) -> Result<bool, String> {
        self.oracle.scan(index, &self.machines[index]);
        match self.machines[index].read(&mut self.chance, all) {
            Read::Nothing => return Ok(false),
            Read::Bytes(bytes) => {
                self.tells(|| format!("{index} < {}", String::from_utf8_lossy(&bytes).trim_end()));
                self.oracle.arrived(index, &bytes);
                self.library.bytes(index, &bytes, self.now_us);
            }
            Read::End => {
                self.tells(|| format!("{index} < end"));
                self.machines[index].disconnect(&mut self.chance);
                self.note_end_of_once(index);
                self.library.ended(index, false, self.now_us);
            }
        }
        self.settle()?;
        Ok(true)
    }

    /// Does what the library wants done, until it wants nothing more.
    fn settle(&mut self) -> Verdict {
        loop {
            let outs = self.library.outs();
            let taken = self.check_acknowledged()?;
            if outs.is_empty() && !taken && !self.leave_starts() {
                break;
            }
            for (index, out) in outs {
                self.carry_out(index, out)?;
            }
        }
        if self.library.answered_twice.is_empty() {
            Ok(())
        } else {
            Err(format!("answered twice: {:?}", self.library.answered_twice))
        }
    }

    /// The ledger must have acknowledged just those ends that are due by what DESIGN says.
    fn check_acknowledged(&mut self) -> Result<bool, String> {
        let (mut real, due) = (self.delivery.acknowledged(), self.delivery.due());
        real.sort_unstable();
        if real != due {
            return Err(format!("acknowledged are {real:?}, and should be {due:?}"));
        }
        for id in &due {
            self.acknowledge(*id, false);
        }
        Ok(!due.is_empty())
    }

    fn acknowledge(&mut self, (machine, job): (usize, u64), early: bool) {
        self.tells(|| format!("{machine} acknowledged {job} early={early}"));
        self.tally.count(if early { "acknowledged early" } else { "acknowledged" });
        if let Some((key, id)) = self.program.ended.get(&(machine, job)) {
            self.oracle.take(machine, *key, id);
        }
        // It goes forward alone.
        let stored = self.positions.get(&machine).map_or(0, |it| it.told);
        if let Some(position) = self.program.positions.get(&(machine, job)) {
            if position.told > stored {
                self.positions.insert(machine, position.clone());
            }
        }
        self.library.acknowledge(machine, job, early, self.now_us);
    }

    fn carry_out(&mut self, index: usize, out: Out) -> Verdict {
        match out {
            Out::Connect => {
                if self.program.links[index] == Link::Listen {
                    self.program.awaited.insert(index);
                } else if self.machines[index].connect() {
                    self.connected(index);
                } else {
                    self.note_end_of_once(index);
                    self.tells(|| format!("{index} refused"));
                    self.library.ended(index, true, self.now_us);
                }
            }
            Out::Send(bytes) => {
                self.tells(|| format!("{index} > {}", String::from_utf8_lossy(&bytes).trim_end()));
                self.machines[index].send(&bytes);
            }
            Out::Disconnect => {
                self.machines[index].disconnect(&mut self.chance);
                self.program.awaited.remove(&index);
                self.note_end_of_once(index);
                self.oracle.gap(index);
            }
            Out::Read(request) => {
                self.tally.count("journal asked");
                self.tells(|| format!("{index} asks the journal: {request:?}"));
                self.program.reading.push((index, request));
            }
            Out::Stands(state) => self.tells(|| format!("{index} stands {state:?}")),
            Out::Tell(event) => {
                self.tells(|| format!("{index} told {event}"));
                self.handle_told(index, &event)?;
                self.delivery.tell(index, event);
            }
            Out::End(end) => {
                let End { job, handles, event, .. } = &end;
                self.tells(|| format!("{index} END {job} {event} for {handles:?}"));
                self.handle_end(index, *job, handles, event)?;
                self.delivery.take_end(index, end);
            }
            Out::Attach { handle, job } => self.attach(index, handle, job)?,
        }
        Ok(())
    }

    fn connected(&mut self, index: usize) {
        let identity = self.machines[index].identity();
        self.program.met.insert(index);
        self.tells(|| format!("{index} connected"));
        self.library.connected(index, identity, self.now_us);
    }

    /// A QEMU that is listened for connects.
    pub(super) fn let_connect(&mut self, index: usize) -> bool {
        let awaited = self.program.awaited.contains(&index);
        let connects = awaited && self.machines[index].connect();
        if connects {
            self.program.awaited.remove(&index);
            self.connected(index);
        }
        connects
    }

    /// A connection that was handed over has no other after it.
    fn note_end_of_once(&mut self, index: usize) {
        if self.program.links[index] == Link::Once {
            self.program.over.insert(index);
        }
    }

    fn handle_told(&mut self, index: usize, event: &Event) -> Verdict {
        match event.kind {
            EventKind::Connected => {
                if std::mem::replace(&mut self.program.connected[index], true) {
                    return Err(format!("machine {index}: CONNECTED twice"));
                }
                self.tally.count("connected");
                self.tally.count(format!("process {:?}", event.own().process));
            }
            EventKind::Disconnected => self.program.connected[index] = false,
            EventKind::Unresponsive => self.tally.count("unresponsive"),
            EventKind::Progress => self.tally.count("progress"),
            _ => {}
        }
        self.oracle.handle_told(index, &self.machines[index], event)
    }

    fn handle_end(&mut self, index: usize, job: u64, handles: &[u64], event: &Event) -> Verdict {
        self.take_answers();
        if event.loss == Some(Loss::NoConnection) {
            let waits = self.program.is_patient && !self.program.over.contains(&index);
            if waits || self.program.connected[index] {
                return Err(format!("machine {index} was not away for too long: {event}"));
            }
        }
        let key = self.oracle.handle_end(index, &self.machines[index], event, &mut self.tally)?;
        for handle in handles {
            let found = self.program.handles.iter_mut().find(|it| it.number == *handle);
            let Some(found) = found else { continue };
            if std::mem::replace(&mut found.ended, true) {
                return Err(format!("handle {handle} was given two ends: {event}"));
            }
        }
        let id = event.text(Word::JobId).unwrap_or_default().to_owned();
        self.program.ended.insert((index, job), (key, id));
        let is_adopted = handles.iter().any(|it| self.oracle.life.adopting.contains(it));
        if let Some(key) = key.filter(|_| is_adopted) {
            self.tally.count("adopted");
            self.oracle.life.adopted.insert((index, key));
        }
        if let Some(text) = event.text(Word::Position) {
            self.told += 1;
            let position = Position { text: text.to_owned(), told: self.told };
            self.program.positions.insert((index, job), position);
        }
        Ok(())
    }

    fn attach(&mut self, index: usize, handle: u64, job: u64) -> Verdict {
        self.tally.count("handle bound to an end");
        if self.delivery.attach(index, handle, job) {
            if !self.program.ended.contains_key(&(index, job)) {
                return Err(format!("handle {handle} was bound to an end never told: {job}"));
            }
            if let Some(found) = self.program.handles.iter_mut().find(|it| it.number == handle) {
                found.ended = true;
            }
        } else {
            self.tally.count("handle too late for an end");
            self.program.handles.retain(|it| it.number != handle);
            self.delivery.close_handle(handle);
        }
        Ok(())
    }

    /// The program takes what there is for it, or dies in its callback.
    fn use_delivery(&mut self) -> Verdict {
        match self.chance.below(12) {
            0..=5 => {
                let dies = self.chance.one_in(self.weather.die_in_callback);
                if self.delivery.deliver(dies)? == Some(true) {
                    self.happens("death in a callback", || "the program dies in a callback".into());
                    self.die();
                }
            }
            6..=7 => {
                let ended: Vec<u64> = (self.program.handles.iter())
                    .filter(|it| it.ended)
                    .map(|it| it.number)
                    .collect();
                if !ended.is_empty() {
                    let handle = ended[self.chance.index(ended.len())];
                    let found = self.delivery.wait(handle)?;
                    if found.is_none() {
                        return Err(format!("a wait on handle {handle} gave nothing"));
                    }
                    self.tells(|| format!("a wait on {handle} gave {found:?}"));
                }
            }
            8..=9 => {
                self.delivery.release(&mut self.chance);
            }
            10 => {
                if let Some(id) = self.delivery.acknowledge_early(&mut self.chance) {
                    self.acknowledge(id, true);
                }
            }
            _ if self.delivery.registrations() > 4 || self.chance.one_in(2) => {
                self.delivery.remove(&mut self.chance);
            }
            _ => {
                let machine = self.chance.index(self.machines.len());
                let machine = self.chance.one_in(2).then_some(machine);
                let observes = self.chance.one_in(3);
                self.tells(|| format!("registers for {machine:?}, observes={observes}"));
                self.delivery.add(machine, observes);
            }
        }
        Ok(())
    }

    fn read_journal(&mut self) -> Verdict {
        if self.program.reading.is_empty() {
            return Ok(());
        }
        let at = self.chance.index(self.program.reading.len());
        let (index, request) = self.program.reading.remove(at);
        let findings = search(request, self.machines[index].file());
        self.tells(|| format!("{index} finds in the journal: {}", found(&findings)));
        self.library.findings(index, findings, self.now_us);
        self.settle()
    }

    fn tell_process_end(&mut self, index: usize) {
        if self.machines[index].link.is_some() {
            return;
        }
        self.machines[index].end_told = true;
        self.tells(|| format!("{index}: its process has ended"));
        // Nothing that it has stamped is later, though it stamps no two events alike.
        let at_us = self.now_us.max(self.machines[index].now().last_us());
        self.library.process_ended(index, at_us);
    }

    // --- The program ---------------------------------------------------------------------

    /// It starts, with the same owner name as ever.
    fn be_born(&mut self) {
        self.lives += 1;
        let journals: Vec<bool> = self.machines.iter().map(|it| it.has_journal).collect();
        let positions = &self.positions;
        self.tally.count_many("journal position stored", positions.len() as u64);
        let varied = self.weather.varied;
        let lost_after = match self.chance.below(8) {
            0 if varied => None,
            1 => Some(5),
            _ => Some(60),
        };
        let links: Vec<Link> = (0..self.machines.len())
            .map(|_| match self.chance.below(12) {
                0 if varied => Link::Once,
                1 if varied => Link::Listen,
                _ => Link::Dial,
            })
            .collect();
        for link in &links {
            self.tally.count(format!("link {link:?}"));
        }
        let keepalive = self.chance.one_in(2);
        let marker = self.chance.one_in(3);
        let settings = |index: usize| {
            let second = std::time::Duration::from_secs(1);
            Settings {
                owner: Some("own".into()),
                journal: journals[index],
                journal_position: positions.get(&index).map(|it| it.text.clone()),
                lost_after: lost_after.map(|seconds: u32| seconds * second),
                link: links[index],
                keepalive: keepalive.then_some((10 * second, 2 * second)),
                // What is asked for progress bars must change nothing of any end.
                progress: keepalive.then_some(second * 2),
                marker,
                ..Settings::default()
            }
        };
        self.library = Library::new(&format!("n{}", self.lives), self.machines.len(), settings);
        self.program = Program {
            connected: vec![false; self.machines.len()],
            links,
            is_patient: lost_after.is_none(),
            ..Program::default()
        };
        self.delivery = Delivery::new(self.machines.len(), self.pulls);
        if self.pulls {
            self.tally.count("pulls");
        }
        if !self.chance.one_in(5) {
            self.delivery.add(None, false);
        }
        self.oracle.reborn();
        self.oracle.life.marked = marker;
        for index in 0..self.machines.len() {
            self.library.start(index, self.now_us);
            // Jobs that the program knows from before, whose end it has not taken.
            let known: Vec<String> = self
                .oracle
                .ours
                .iter()
                .filter(|id| self.machines[index].incarnations(id).len() == 1)
                .cloned()
                .collect();
            for id in known {
                if self.chance.one_in(3) {
                    self.watch(index, &id, false, true);
                }
            }
        }
    }

    fn die(&mut self) {
        for machine in &mut self.machines {
            machine.disconnect(&mut self.chance);
        }
        self.be_born();
    }

    fn happens(&mut self, what: &str, line: impl Fn() -> String) {
        self.tally.count(format!("weather: {what}"));
        self.tells(line);
    }

    fn tells(&mut self, line: impl Fn() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{:>10} {}", self.now_us % 10_000_000_000, line()));
        }
    }
}

fn short(reply: &Value) -> String {
    reply.to_string().chars().take(100).collect()
}

fn found(findings: &Findings) -> String {
    let events = |(job, events): &(u64, Vec<Event>)| {
        let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
        format!("{job}: {}", lines.join(", "))
    };
    findings.jobs.iter().map(events).collect::<Vec<_>>().join("; ")
}

/// Reads the journal as the engine does.
fn search(request: Request, journal: &[u8]) -> Findings {
    let mut search = Search::with_slice(request, journal.len() as u64, 4096);
    while let Want::Read { offset, len } = search.next() {
        let start = usize::try_from(offset).expect("a journal of a storm is short");
        search.handle_slice(offset, &journal[start..start + len]);
    }
    search.finish()
}

/// Longer than jobs are waited for without a connection.
const REST_US: u64 = 90_000_000;
/// Rounds after which a world must have come to rest.
const CALM_MAX: usize = 3000;
