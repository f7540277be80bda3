//! One machine of a world: its QEMU processes one after another, and the wire between the present
//! one and the library, which splits, delays and cuts.

use blockjob::model::Identity;

use crate::{
    chance::Chance,
    qemu::{
        Qemu,
        odds::Odds,
        truth::Truth,
        version::{Kind, Version},
        wire::ConnectionId,
    },
};

#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Machine {
    pub kind: Kind,
    pub version: Version,
    odds: Odds,
    pub has_journal: bool,
    /// A new process goes on behind what is there.
    appends: bool,
    /// So much of all that was ever written to the journal is no longer in its file.
    truncated: usize,
    /// The kernel tells which process answers.
    pub has_identity: bool,
    /// All processes; the last one is, or was, the present.
    pub processes: Vec<Qemu>,
    /// How many there were before these.
    forgotten: usize,
    pub link: Option<Link>,
    /// The library was told that the process is gone.
    pub end_told: bool,
}

/// A connection, as the wire has it.
pub struct Link {
    process: usize,
    connection: ConnectionId,
    to_qemu: Vec<u8>,
    to_library: Vec<u8>,
    /// Nothing more comes than is in `to_library`.
    ended: bool,
}

/// What the library finds when it reads.
pub enum Read {
    Nothing,
    Bytes(Vec<u8>),
    End,
}

impl Machine {
    pub fn new(kind: Kind, version: Version, odds: Odds, chance: &mut Chance) -> Self {
        let mut machine = Self {
            kind,
            version,
            odds,
            has_journal: chance.one_in(3),
            appends: !chance.one_in(4),
            truncated: 0,
            has_identity: !chance.one_in(5),
            processes: Vec::new(),
            forgotten: 0,
            link: None,
            end_told: false,
        };
        machine.boot(chance);
        machine
    }

    /// A new process on the same path.
    pub fn boot(&mut self, chance: &mut Chance) {
        let mut qemu = Qemu::new(self.kind, self.version, self.odds.clone(), chance.fork());
        if let Some(former) = self.processes.last() {
            qemu = qemu.with_journal(former.journal());
            if !self.appends {
                self.truncated = former.journal().len();
            }
        }
        for disk in 0..DISKS {
            qemu.add_device(&format!("drive{disk}"));
            qemu.add_node(&format!("target{disk}"));
        }
        self.processes.push(qemu);
        self.end_told = false;
    }

    /// Somebody makes the journal's file empty.
    pub fn truncate(&mut self) {
        self.truncated = self.now().journal().len();
    }

    /// What the journal's file holds.
    pub fn file(&self) -> &[u8] {
        &self.now().journal()[self.truncated..]
    }

    pub fn odds(&self) -> &Odds {
        &self.odds
    }

    /// The processes are all gone, and nobody is connected: they are forgotten, and another comes.
    pub fn forget(&mut self, chance: &mut Chance) {
        assert!(self.link.is_none(), "somebody is connected");
        self.forgotten += self.processes.len();
        (self.processes, self.truncated) = (Vec::new(), 0);
        self.boot(chance);
    }

    pub fn qemu(&mut self) -> &mut Qemu {
        self.processes.last_mut().expect("it was booted")
    }

    pub fn now(&self) -> &Qemu {
        self.processes.last().expect("it was booted")
    }

    pub fn identity(&self) -> Option<Identity> {
        let started = (self.forgotten + self.processes.len()) as u64;
        self.has_identity.then_some(Identity { pid: 1, started })
    }

    /// False: nobody listens there.
    pub fn connect(&mut self) -> bool {
        let process = self.processes.len() - 1;
        let Some(connection) = self.qemu().connect() else { return false };
        self.link = Some(Link {
            process,
            connection,
            to_qemu: Vec::new(),
            to_library: Vec::new(),
            ended: false,
        });
        true
    }

    pub fn send(&mut self, bytes: &[u8]) {
        if let Some(link) = &mut self.link {
            link.to_qemu.extend_from_slice(bytes);
        }
    }

    /// The library closes its end; what it had sent may be cut anywhere.
    pub fn disconnect(&mut self, chance: &mut Chance) {
        if let Some(link) = self.link.take() {
            let qemu = &mut self.processes[link.process];
            let arrives = chance.index(link.to_qemu.len() + 1);
            qemu.receive(link.connection, &link.to_qemu[..arrives]);
            qemu.disconnect(link.connection);
        }
    }

    /// The wire is cut, at any byte in either direction.
    pub fn cut(&mut self, chance: &mut Chance) -> bool {
        let Some(link) = self.link.as_mut().filter(|link| !link.ended) else { return false };
        let qemu = &mut self.processes[link.process];
        let arrives = chance.index(link.to_qemu.len() + 1);
        qemu.receive(link.connection, &link.to_qemu[..arrives]);
        link.to_library.extend(qemu.take_output(link.connection));
        qemu.disconnect(link.connection);
        let arrives = chance.index(link.to_library.len() + 1);
        link.to_library.truncate(arrives);
        link.to_qemu.clear();
        link.ended = true;
        true
    }

    /// Some of what the library sent arrives.
    pub fn forward(&mut self, chance: &mut Chance, all: bool) -> bool {
        let Some(link) = &mut self.link else { return false };
        if link.to_qemu.is_empty() || link.ended {
            return false;
        }
        let count = if all { link.to_qemu.len() } else { 1 + chance.index(link.to_qemu.len()) };
        let bytes: Vec<u8> = link.to_qemu.drain(..count).collect();
        self.processes[link.process].receive(link.connection, &bytes);
        true
    }

    /// The library reads some of what has come.
    pub fn read(&mut self, chance: &mut Chance, all: bool) -> Read {
        let Some(link) = &mut self.link else { return Read::Nothing };
        if !link.ended {
            let qemu = &mut self.processes[link.process];
            link.to_library.extend(qemu.take_output(link.connection));
            link.ended = qemu.is_ended(link.connection);
        }
        match (link.to_library.len(), link.ended) {
            (0, false) => Read::Nothing,
            (0, true) => Read::End,
            (length, _) => {
                let count = if all { length } else { 1 + chance.index(length.min(4096)) };
                Read::Bytes(link.to_library.drain(..count).collect())
            }
        }
    }

    /// All incarnations of a job id, oldest first.
    pub fn incarnations(&self, id: &str) -> Vec<(Key, &Truth)> {
        let mut found = Vec::new();
        for (process, qemu) in self.processes.iter().enumerate() {
            for truth in qemu.jobs().iter().filter(|truth| truth.id == id) {
                found.push((Key { process, number: truth.number }, truth));
            }
        }
        found
    }

    /// Is this incarnation listed by a process that runs?
    pub fn is_listed(&self, key: Key) -> bool {
        let process = &self.processes[key.process];
        process.is_alive() && process.jobs()[key.number].dismissed.is_none()
    }
}

/// One incarnation of a job at a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub process: usize,
    pub number: usize,
}

/// Disks of a machine: their names are the ids of jobs that were given none.
pub const DISKS: u64 = 4;
