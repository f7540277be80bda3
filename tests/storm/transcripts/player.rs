//! The fake QEMU, fed what was sent to a real one at the same times.

use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem::find;

use super::{
    listener::Listener,
    recording::{Line, Recording, START_US, Said, objects},
    scene,
};
use crate::{
    chance::Chance,
    qemu::{Odds, Qemu, wire::ConnectionId},
};

#[derive(Clone)]
pub struct Player<'a> {
    recording: &'a Recording,
    monitor: &'a [i64],
    qemu: Qemu,
    now_us: u64,
    listeners: BTreeMap<i64, Listener>,
    connections: BTreeMap<i64, ConnectionId>,
    /// Those who do not read.
    silent: BTreeSet<i64>,
    chance: Chance,
    races: bool,
    lag: Lag,
    /// A step takes up to so long.
    step_us: u64,
}

/// How far QEMU comes between two things that clients do at about the same time.
#[derive(Clone, Copy)]
enum Lag {
    /// As far as it can.
    None,
    /// Some steps, or as far as it can.
    Some,
    /// Nowhere.
    Much,
}

impl<'a> Player<'a> {
    pub fn new(recording: &'a Recording, monitor: &'a [i64]) -> Self {
        let (odds, chance) = (Odds::default(), Chance::new(0));
        let mut qemu = Qemu::new(recording.kind, recording.version, odds, chance.clone());
        scene::lay_out(recording, &mut qemu);
        Self {
            recording,
            monitor,
            qemu,
            now_us: START_US,
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            silent: BTreeSet::new(),
            chance,
            races: false,
            lag: Lag::None,
            step_us: 0,
        }
    }

    /// After these lines, and after all that is still to happen if they are the last.
    pub fn drawn(&self, seed: u64, lines: &[Line], last: bool) -> Self {
        let mut player = self.clone();
        player.draw(seed);
        player.play(lines);
        if last {
            player.run(NEVER_US);
            player.listen();
            player.forget_end();
        }
        player
    }

    /// With seed 0 what usually happens does; another settles races as it will.
    fn draw(&mut self, seed: u64) {
        let hazards = Odds {
            busy: 2,
            shuffle: 3,
            late_reply: 8,
            deaf: 2,
            executing: 2,
            early_event: 2,
            ..Odds::default()
        };
        let odds = if seed == 0 { Odds::default() } else { hazards };
        self.chance = Chance::new(seed);
        self.races = seed > 0;
        self.lag = LAGS[self.chance.index(LAGS.len())];
        self.step_us = if self.races { STEPS_US[self.chance.index(STEPS_US.len())] } else { 0 };
        self.qemu.draw_anew(odds, self.chance.fork());
    }

    fn play(&mut self, lines: &[Line]) {
        for line in lines {
            // Where things come close together, QEMU may not have got far in between.
            let heard = line.what == "recv";
            let close = self.races && !heard && line.at_us < self.now_us + CLOSE_US;
            match self.lag {
                Lag::Some if close && self.chance.one_in(2) => {
                    let steps = self.chance.below(FEW_STEPS);
                    (0..steps).all(|_| self.step());
                }
                Lag::Much if close => {}
                _ => self.run(line.at_us),
            }
            // Nor has the client read.
            if !(close && self.chance.one_in(2)) {
                self.listen();
            }
            if self.monitor.contains(&line.connection) {
                self.act(line);
            } else if line.what == "send" {
                for command in objects(&line.bytes) {
                    self.qemu.foreign(self.now_us, &command);
                }
            } else if line.what == "signal" {
                self.signal(&String::from_utf8_lossy(&line.bytes));
            }
        }
    }

    pub fn said(&self) -> Said {
        let said = |(id, listener): (&i64, &Listener)| (*id, listener.normalised());
        self.listeners.iter().map(said).collect()
    }

    /// A client that stopped to read before the end has not heard of it.
    fn forget_end(&mut self) {
        let several = self.recording.monitors().len() > 1;
        for (id, listener) in &mut self.listeners {
            if !several || !self.recording.ends_early(*id) {
                continue;
            }
            if listener.said.last().is_some_and(|said| said == "SHUTDOWN") {
                listener.said.pop();
            }
        }
    }

    /// What the client of a monitor does.
    fn act(&mut self, line: &Line) {
        let client = line.connection;
        match line.what.as_str() {
            "connect" => {
                self.listeners.entry(client).or_default();
                if let Some(connection) = self.qemu.connect() {
                    self.connections.insert(client, connection);
                }
            }
            "send" => {
                self.listeners.entry(client).or_default().sent();
                if let Some(connection) = self.connections.get(&client) {
                    self.qemu.receive(*connection, &line.bytes);
                }
            }
            "silent" => _ = self.silent.insert(client),
            "recv" => _ = self.silent.remove(&client),
            "note" if find(&line.bytes, b"SHUT_WR").is_some() => {
                if let Some(connection) = self.connections.remove(&client) {
                    self.qemu.half_close(connection);
                }
            }
            "close" => {
                if let Some(connection) = self.connections.remove(&client) {
                    self.qemu.disconnect(connection);
                }
            }
            _ => {}
        }
    }

    fn signal(&mut self, name: &str) {
        match name {
            _ if name.contains("TERM") => self.qemu.terminate(),
            _ if name.contains("KILL") => self.qemu.crash(),
            _ if name.contains("STOP") => self.qemu.stop(),
            _ if name.contains("CONT") => self.qemu.cont(),
            _ => {}
        }
    }

    fn listen(&mut self) {
        for (client, connection) in &self.connections {
            if !self.silent.contains(client) {
                let bytes = self.qemu.take_output(*connection);
                self.listeners.entry(*client).or_default().hear(&bytes, &self.recording.commands);
            }
        }
    }

    /// All that happens until then.
    fn run(&mut self, until_us: u64) {
        for _ in 0..STEPS_MAX {
            if self.step() {
                continue;
            }
            match self.qemu.next_due_us() {
                Some(due) if due <= until_us && self.qemu.is_alive() && !self.qemu.is_hung() => {
                    self.now_us = due.max(self.now_us);
                }
                _ => break,
            }
        }
        if until_us < NEVER_US {
            self.now_us = until_us.max(self.now_us);
            while self.qemu.step(self.now_us) {}
        }
    }

    fn step(&mut self) -> bool {
        let done = self.qemu.step(self.now_us);
        if done && self.step_us > 0 {
            self.now_us += self.chance.below(self.step_us);
        }
        done
    }
}

const STEPS_MAX: usize = 100_000;
const FEW_STEPS: u64 = 16;
const LAGS: &[Lag] = &[Lag::None, Lag::Some, Lag::Some, Lag::Much];
/// How long steps take, by turns.
const STEPS_US: &[u64] = &[0, 20, 100, 300, 1_000];
const CLOSE_US: u64 = 1_000;
const NEVER_US: u64 = u64::MAX >> 1;
