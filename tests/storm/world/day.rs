//! A world of long life: each part of it ends in calm, after which it is only the library that
//! remembers.

use std::time::Duration;

use super::{Program, Weather, World};
use crate::{
    machine::Machine,
    oracle::Verdict,
    qemu::{odds::Odds, version::Kind},
};

impl World {
    /// One in which the program never dies, and so many machines do now and then.
    pub fn of_a_day(seed: u64, machines: usize) -> Self {
        let mut world = Self::new(seed, false);
        world.weather = Weather {
            cut: 300,
            crash: 4000,
            quit: 8000,
            stop: 2000,
            boot: 40,
            die: 0,
            die_in_callback: 0,
            foreign: 20,
            leap: 30,
            close: 0,
            same_id: false,
            robs: true,
            truncates: 0,
            varied: false,
        };
        let odds = Odds { shuffle: 10, ..world.machines[0].odds().clone() };
        world.machines = (0..machines)
            .map(|index| {
                let version = super::VERSIONS[index % super::VERSIONS.len()];
                let daemon = version.from(5, 0) && index % 3 == 2;
                let kind = if daemon { Kind::StorageDaemon } else { Kind::System };
                Machine::new(kind, version, odds.clone(), &mut world.chance)
            })
            .collect();
        world.be_born();
        world.delivery.add(None, false);
        world
    }

    /// Until so many jobs have begun, and all of them and all others have ended. Returns how many.
    pub fn play_part(&mut self, jobs: u64, time: Duration) -> Result<u64, String> {
        let time_us = u64::try_from(time.as_micros()).expect("a part of a day");
        let ends_us = self.now_us + time_us;
        while self.begun() < jobs {
            for _ in 0..STEPS {
                self.step()?;
            }
            self.now_us += CALM_US;
            self.let_all_happen()?;
        }
        self.come_to_rest()?;
        self.check_machines()?;
        self.delivery.check_owed(&[])?;
        self.check_answered()?;
        self.now_us = self.now_us.max(ends_us);
        Ok(self.begun())
    }

    fn begun(&self) -> u64 {
        let processes = self.machines.iter().flat_map(|machine| &machine.processes);
        processes.map(|qemu| qemu.jobs().len() as u64).sum()
    }

    /// Every QEMU ends and another one comes, with a journal of its own. What was known until
    /// now is forgotten by all but the library.
    pub fn renew(&mut self) -> Verdict {
        for handle in std::mem::take(&mut self.program.handles) {
            self.delivery.close_handle(handle.number);
            self.library.unwatch(handle.machine, handle.number);
        }
        for index in 0..self.machines.len() {
            self.machines[index].qemu().crash();
            while self.read(index, true)? {}
            if self.machines[index].has_identity && !self.machines[index].end_told {
                self.tell_process_end(index);
            }
        }
        self.settle()?;
        while !self.program.reading.is_empty() {
            self.read_journal()?;
        }
        while self.delivery.deliver(false)?.is_some() {
            self.settle()?;
        }
        if self.program.connected.contains(&true) {
            return Err("a machine is gone and still connected".into());
        }
        self.delivery.forget()?;
        self.library.forget();
        let connected = vec![false; self.machines.len()];
        let Program { links, is_patient, .. } = std::mem::take(&mut self.program);
        self.program = Program { connected, links, is_patient, ..Program::default() };
        self.oracle.forget();
        for index in 0..self.machines.len() {
            for qemu in &self.machines[index].processes {
                qemu.hazards().for_each(|(hazard, number)| self.tally.count_many(hazard, number));
            }
            self.machines[index].forget(&mut self.chance);
            self.machines[index].qemu().step(self.now_us);
        }
        Ok(())
    }

    /// The program ends in good order.
    pub fn end_day(&mut self) -> Verdict {
        self.delivery.check_rest(&[])
    }
}

/// After so many of a storm's steps there is a moment in which QEMUs and program do what they have
/// to.
const STEPS: usize = 25;
const CALM_US: u64 = 1000;
