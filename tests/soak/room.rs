//! One real QEMU after another, with a monitor of the one listener's. Jobs are started by us and by
//! others while the connection is cut at bytes drawn by chance, and QEMU hangs, is killed and comes
//! back.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::client::{CUT, Event, Job, Monitor, number};
use crate::judge::{Case, read};
use crate::machine::{Errors, Host, Machine};
use crate::proxy::{Cut, DIRECTIONS, Direction, Proxy};
use crate::qmp::Message;
use crate::run::Run;
use crate::script::{Deed, SCRIPTS, Script};
use crate::{DEADLINE, eventually};

pub struct Place {
    name: &'static str,
    host: Host,
    /// QEMU keeps one, and the library knows it.
    journal: bool,
    /// Else the library reads QEMU's own socket, and its process.
    proxy: bool,
}

/// What the names of their monitors begin with.
pub const PREFIX: &str = "room";

pub const PLACES: [Place; 4] = [
    Place { name: "room 1", host: Host::QemuSystem, journal: false, proxy: true },
    Place { name: "room 2", host: Host::StorageDaemon, journal: true, proxy: true },
    Place { name: "room 3", host: Host::QemuSystem, journal: true, proxy: false },
    Place { name: "room 4", host: Host::StorageDaemon, journal: false, proxy: true },
];

/// What may come over a job.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    None,
    /// This connection, and some that follow.
    Cuts,
    CutLater,
    Hang,
    Kill,
}

pub fn live(run: &Run, place: &Place, mut chance: Chance) {
    while !run.is_over() {
        Room::furnish(place).live(run, &mut chance);
    }
}

struct Room<'a> {
    place: &'a Place,
    /// Before QEMU, which it connects to.
    proxy: Option<Proxy>,
    machine: Machine,
    /// What its QEMUs said that are gone.
    seen: Vec<Message>,
    cases: Vec<Case>,
    /// The present QEMU's disks have given what they give once.
    used: bool,
}

impl<'a> Room<'a> {
    fn furnish(place: &'a Place) -> Self {
        let machine = if place.journal {
            Machine::start_with_journal(place.host)
        } else {
            Machine::start(place.host)
        };
        let proxy = place.proxy.then(|| Proxy::before(&machine.library_socket()));
        let mut room =
            Self { place, proxy, machine, seen: Vec::new(), cases: Vec::new(), used: false };
        room.add_disks();
        room
    }

    fn add_disks(&mut self) {
        self.machine.add_target("empty");
        self.machine.add_target("target");
        self.machine.add_disk("disk");
        self.machine.add_failing_disk("failing", Errors::Always);
        self.machine.add_failing_target("broken", Errors::Always);
        self.used = false;
    }

    fn socket(&self) -> PathBuf {
        let proxy = self.proxy.as_ref().map(|proxy| proxy.path().to_owned());
        proxy.unwrap_or_else(|| self.machine.library_socket())
    }

    /// From the making of its monitor to the end of that.
    fn live(mut self, run: &Run, chance: &mut Chance) {
        let monitor = run.listener.monitor(self.place.name, &self.socket());
        monitor.set_reconnect(1, 20);
        monitor.set_lost_after(-1);
        monitor.set_marker();
        if self.place.journal {
            monitor.set_journal(&self.machine.journal(), None);
        }
        let claims = chance.below(2) == 0;
        let told = if claims {
            run.listener.events(Some(&monitor))
        } else {
            run.listener.observe(Some(&monitor))
        };
        monitor.try_connect();
        for number in 0..5 + chance.below(25) {
            if run.is_over() {
                break;
            }
            self.play(run, &monitor, number, chance);
        }
        monitor.close();
        drop(monitor);
        self.judge(run, &told);
    }

    fn play(&mut self, run: &Run, monitor: &Monitor, number: u64, chance: &mut Chance) {
        let script = self.draw_script(chance);
        let mut trouble = self.draw_trouble(chance);
        let theirs = chance.below(4) == 0;
        run.figures().jobs.entry(script.name).and_modify(|count| *count += 1).or_insert(1);
        let what = format!("{}, {} {}", self.place.name, script.name, number);
        let what = format!("{what}, {trouble:?}, {}", if theirs { "another's" } else { "ours" });

        if trouble == Trouble::Cuts {
            self.cut_and_plan(chance);
        }
        let id = theirs.then(|| format!("other-{number}"));
        let mut job = monitor.job(id.as_deref(), 0);
        let id = job.id();
        let mut arguments = script.arguments();
        let mut dismiss = false;
        if theirs {
            arguments["job-id"] = json!(id);
            // One that QEMU forgets at once is known from the journal, or not at all.
            dismiss = !self.place.journal || chance.below(2) == 0;
            if dismiss && !script.stays {
                arguments["auto-dismiss"] = json!(false);
            }
            self.machine.execute(script.command, &arguments);
        } else {
            let started = start(&mut self.machine, &job, script.command, &arguments);
            if let Err(status) = started {
                // Releases have faults by which they do.
                println!("{what}: QEMU has ended by itself: {status}");
                run.figures().crashes += 1;
                trouble = Trouble::Kill;
            }
        }
        let killed = trouble == Trouble::Kill;
        match trouble {
            Trouble::None | Trouble::Cuts => {}
            Trouble::CutLater => {
                thread::sleep(Duration::from_micros(chance.below(20_000)));
                self.proxy.as_ref().inspect(|proxy| proxy.cut());
                run.figures().cuts += 1;
            }
            Trouble::Hang => {
                self.machine.hang();
                thread::sleep(Duration::from_millis(chance.below(100)));
                self.machine.go_on();
                run.figures().hangs += 1;
            }
            Trouble::Kill => {
                thread::sleep(Duration::from_micros(chance.below(20_000)));
                self.restart();
                run.figures().restarts += 1;
            }
        }
        if !killed {
            self.bring_to_its_end(script.deed, &job, &id, theirs);
        }
        // A cut before the library has heard of a job of another's may resolve its handle.
        while wait(&job, &what).loss == number::LOSS_UNHEARD && !killed {
            job = monitor.job(Some(&id), 0);
        }
        if theirs && !killed && (dismiss || script.stays) {
            self.machine.execute("job-dismiss", &json!({"id": id}));
        }
        eventually(&format!("{what}: QEMU forgets its jobs"), || {
            (self.machine.execute("query-jobs", &json!({})) == json!([])).then_some(())
        });
        self.count_cuts(run);
        let outcome = (!killed || !script.stands_still()).then_some(script.outcome);
        let not_pivoted = script.not_pivoted.filter(|_| !theirs || script.deed == Deed::Nothing);
        self.cases.push(Case { id, outcome, not_pivoted, killed, what });
    }

    fn draw_script(&mut self, chance: &mut Chance) -> &'static Script {
        loop {
            let drawn = usize::try_from(chance.below(SCRIPTS.len() as u64));
            let script = &SCRIPTS[drawn.expect("it is below their number")];
            if !(script.once && self.used) {
                self.used |= script.once;
                return script;
            }
        }
    }

    fn draw_trouble(&self, chance: &mut Chance) -> Trouble {
        match chance.below(12) {
            0 => Trouble::Kill,
            1 => Trouble::Hang,
            2..=6 if self.proxy.is_some() => Trouble::Cuts,
            7..=8 if self.proxy.is_some() => Trouble::CutLater,
            _ => Trouble::None,
        }
    }

    fn cut_and_plan(&self, chance: &mut Chance) {
        let Some(proxy) = &self.proxy else { return };
        let cuts: Vec<Cut> = (0..=chance.below(4))
            .map(|_| {
                let direction = DIRECTIONS[usize::from(chance.below(4) == 0)];
                let limit = if direction == Direction::ToLibrary { 3000 } else { 800 };
                let after =
                    usize::try_from(chance.below(limit)).expect("it is below some thousand");
                Cut { direction, after }
            })
            .collect();
        proxy.plan(&cuts);
        proxy.cut();
    }

    /// Those that were planned and came about; the plan is over with its job.
    fn count_cuts(&self, run: &Run) {
        let Some(proxy) = &self.proxy else { return };
        run.figures().cuts += proxy.passed().iter().filter(|passed| passed.was_cut).count();
        proxy.plan(&[]);
    }

    /// QEMU is killed, and another one comes in its place.
    fn restart(&mut self) {
        self.machine.kill();
        self.machine.qmp().read_to_end();
        self.seen.extend_from_slice(self.machine.qmp().events());
        self.machine.start_again();
        self.add_disks();
    }

    fn bring_to_its_end(&mut self, deed: Deed, job: &Job, id: &str, theirs: bool) {
        if matches!(deed, Deed::CompleteWhenReady | Deed::CancelWhenReady) {
            self.machine.until_ready(id);
        }
        let block = json!({"device": id});
        let (command, arguments) = match deed {
            Deed::Nothing => return,
            Deed::CompleteWhenReady => ("block-job-complete", block),
            Deed::CancelWhenReady => ("block-job-cancel", block),
            Deed::CancelByForce => ("block-job-cancel", json!({"device": id, "force": true})),
            Deed::SpeedUp => ("block-job-set-speed", json!({"device": id, "speed": 0})),
        };
        if theirs {
            self.machine.execute(command, &arguments);
            return;
        }
        eventually("QEMU takes a command for a job", || {
            let answer = match deed {
                Deed::Nothing => return Some(()),
                Deed::CompleteWhenReady => job.complete(),
                Deed::CancelWhenReady => job.cancel(false),
                Deed::CancelByForce => job.cancel(true),
                Deed::SpeedUp => job.set_speed(0),
            };
            match answer {
                Ok(()) => Some(()),
                // What was cut was taken all the same.
                Err((error, _)) if error == -libc::ENOENT => Some(()),
                Err((error, _)) if error == -libc::EREMOTEIO || CUT.contains(&error) => None,
                Err(other) => panic!("{deed:?}: {other:?}"),
            }
        });
    }

    /// The monitor is closed; the registration hangs up behind its last event.
    fn judge(mut self, run: &Run, told: &Receiver<Event>) {
        let mut ends = Vec::new();
        let mut closed = false;
        while let Ok(event) = told.recv_timeout(DEADLINE) {
            assert_eq!(event.monitor, self.place.name, "an event of another monitor: {event:#?}");
            closed |= event.kind == number::CLOSED;
            if event.kind & number::FINAL != 0 {
                ends.push(event);
            }
        }
        assert!(closed, "{} was closed and did not say so", self.place.name);
        self.seen.extend_from_slice(self.machine.qmp().events());
        let journal = std::fs::read(self.machine.journal()).unwrap_or_default();
        let journal = read(&journal);

        let mut figures = run.figures();
        figures.monitors += 1;
        figures.registrations += 1;
        figures.ends_told += ends.len();
        for case in &self.cases {
            let of_it: Vec<Event> =
                ends.iter().filter(|end| end.job_id.as_ref() == Some(&case.id)).cloned().collect();
            figures.judged.judge(case, &of_it, &self.seen, &journal);
        }
        for end in ends {
            if !self.cases.iter().any(|case| Some(&case.id) == end.job_id.as_ref()) {
                figures.judged.add_stray(&end);
            }
        }
    }
}

fn wait(job: &Job, what: &str) -> Event {
    job.wait_for(DEADLINE).unwrap_or_else(|error| panic!("{what} did not end: {error:?}"))
}

/// Starts a job over connections that end at any moment, until QEMU or the library says that it
/// knows the job. How QEMU has ended, if it has.
pub fn start(
    machine: &mut Machine,
    job: &Job,
    command: &str,
    arguments: &Value,
) -> Result<(), ExitStatus> {
    eventually("a job is started", || match job.try_start(command, arguments) {
        Ok(()) => Some(Ok(())),
        Err((error, _)) if error == -libc::EALREADY => Some(Ok(())),
        Err((error, _)) if CUT.contains(&error) => machine.ended().map(Err),
        Err(other) => panic!("{command}: {other:?}"),
    })
}
