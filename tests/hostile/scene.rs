//! A listener with two monitors: that of a well-behaved QEMU, whose jobs run all along, and that of
//! the peer that attacks.

use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use serde_json::json;
use tempfile::TempDir;

use crate::attack::Attack;
use crate::client::{Counted, Event, Job, Listener, Monitor, number};
use crate::machine::{Errors, Host, Machine};
use crate::peer::Server;
use crate::{DEADLINE, eventually, one_at_a_time, usage};

/// The limit of a line, unless an attack has set another.
pub const LINE_LIMIT: usize = 1 << 20;

/// What the process may grow by in an attack, at any moment. Three times the limit of a line; the
/// jobs that are known (4096, each a kilobyte and its id, and both once more while a list of them is
/// read); what may wait for a program that is slower than a flood: 16 MiB that can be dropped, and
/// 8192 outcomes and the like of a kilobyte each, in the library and once more in this test.
pub const BOUND: usize = 3 * LINE_LIMIT + (12 << 20) + (16 << 20) + (16 << 20);

/// A rate that holds a job after the first piece it copies.
const STANDSTILL: i64 = 1;

pub struct Scene {
    // Handles go before their monitor, and that before the listener.
    standing: Job,
    honest: Monitor,
    proofs: Receiver<Event>,
    /// Of events of the name FLOOD.
    pub floods: Arc<Counted>,
    pub listener: Listener,
    _machine: Machine,
    pub directory: TempDir,
    attacks: usize,
}

/// The monitor that is attacked.
pub struct Victim<'a> {
    pub scene: &'a Scene,
    pub monitor: Monitor,
    /// What was told of it so far.
    pub told: Vec<Event>,
    events: Receiver<Event>,
    /// How many ends were told.
    pub counted: Arc<Counted>,
    pub name: String,
}

/// Runs the attacks of a kind, one after another.
pub fn run(attacks: &'static [Attack]) {
    let _turn = one_at_a_time();
    let mut scene = Scene::new();
    scene.run_jobs();
    for attack in attacks {
        scene.attack(attack);
    }
    scene.end();
}

impl Scene {
    pub fn new() -> Self {
        let mut machine = Machine::start(Host::StorageDaemon);
        machine.add_disk("disk");
        machine.add_disk("source");
        machine.add_disk("standing");
        machine.add_failing_disk("bad", Errors::Always);
        machine.add_target("target");
        machine.add_target("standing-target");
        let listener = Listener::new();
        listener.set_owner("ours");
        let honest = listener.monitor("honest", &machine.library_socket());
        honest.connect();
        let proofs = listener.raw(Some("PROOF"));
        let floods = listener.count_raw("FLOOD");
        let standing = honest.job(None, 0);
        let arguments = json!({"device": "standing", "target": "standing-target", "sync": "full",
            "speed": STANDSTILL});
        standing.start("blockdev-backup", &arguments);
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        Self {
            standing,
            honest,
            proofs,
            floods,
            listener,
            _machine: machine,
            directory,
            attacks: 0,
        }
    }

    /// Three jobs of the well-behaved QEMU: how each ends is certain, and must be told so. Each has
    /// disks of its own, which the one before may not have been dismissed from yet.
    pub fn run_jobs(&self) {
        let job = self.honest.job(None, 0);
        job.start("block-stream", &json!({"device": "disk"}));
        let end = job.wait();
        assert_eq!((end.outcome, &end.error), (number::OUTCOME_SUCCEEDED, &None), "{end:?}");
        assert_eq!((end.kind, end.monitor.as_str()), (number::COMPLETED, "honest"));
        assert_eq!(end.job_id, Some(job.id()));

        let job = self.honest.job(None, 0);
        job.start("block-stream", &json!({"device": "bad"}));
        let end = job.wait();
        assert_eq!(end.outcome, number::OUTCOME_FAILED, "{end:?}");
        assert_eq!(end.error.as_deref(), Some("Input/output error"));

        let job = self.honest.job(None, 0);
        let arguments =
            json!({"device": "source", "target": "target", "sync": "full", "speed": STANDSTILL});
        job.start("blockdev-backup", &arguments);
        assert_eq!(job.cancel(true), Ok(()));
        let end = job.wait();
        assert_eq!(end.outcome, number::OUTCOME_CANCELLED, "{end:?}");
    }

    /// The id of the job that runs all along.
    pub fn standing_id(&self) -> String {
        self.standing.id()
    }

    pub fn attack(&mut self, attack: &'static Attack) {
        eprintln!("-- {}", attack.name);
        let descriptors = usage::descriptors();
        usage::forget_peak();
        let before = usage::resident();
        self.attacks += 1;
        let path = self.directory.path().join(format!("attack{}.qmp", self.attacks));
        let server = Server::start(&path, attack);

        let mut victim = Victim::new(self, attack, &path);
        victim.monitor.start();
        // Meanwhile the other monitor is served.
        self.run_jobs();
        (attack.promise)(&mut victim);
        victim.close();
        server.stop();

        let grown = usage::peak().saturating_sub(before);
        eprintln!("   {} KiB", grown >> 10);
        assert!(grown <= BOUND, "{}: {grown} bytes at its peak, over {BOUND}", attack.name);
        let what = format!("{}: descriptors are back at {descriptors}", attack.name);
        eventually(&what, || (usage::descriptors() == descriptors).then_some(()));
    }

    /// What ran all along ends as it was told to, and nothing wrong was read of its QEMU.
    pub fn end(self) {
        assert_eq!(self.standing.cancel(true), Ok(()));
        let end = self.standing.wait();
        assert_eq!(end.outcome, number::OUTCOME_CANCELLED, "{end:?}");
        for stat in [number::STAT_MALFORMED, number::STAT_LINES_TOO_LONG, number::STAT_DROPPED] {
            assert_eq!(self.honest.stat(stat), 0, "of the well-behaved QEMU, figure {stat}");
        }
        assert_eq!(self.honest.state(), number::STATE_CONNECTED);
    }
}

impl<'a> Victim<'a> {
    fn new(scene: &'a Scene, attack: &Attack, path: &Path) -> Self {
        let name = attack.name.to_owned();
        let monitor = scene.listener.monitor(&name, path);
        monitor.set_line_limit(i64::try_from(LINE_LIMIT).expect("a limit is no large number"));
        monitor.set_reconnect(5, 50);
        (attack.set)(&monitor);
        let events = scene.listener.events_of(&monitor, attack.kinds);
        let finals = u32::try_from(number::FINAL).expect("it is a mask");
        let counted = scene.listener.count(&monitor, finals);
        Self { scene, monitor, told: Vec::new(), events, counted, name }
    }

    /// The session goes on: what follows the attack is told, and so much was passed over.
    pub fn lives(&mut self, malformed: i64, too_long: i64) {
        self.proves();
        self.passed_over(malformed, too_long);
    }

    /// A good message that followed the attack was told.
    pub fn proves(&mut self) {
        loop {
            let proof = self.scene.proofs.recv_timeout(DEADLINE);
            let proof = proof.unwrap_or_else(|error| {
                let told: Vec<_> = self.events.try_iter().chain(self.told.drain(..)).collect();
                panic!("{}: the session should live: {error}, {told:#?}", self.name)
            });
            if proof.monitor == self.name {
                return;
            }
        }
    }

    pub fn passed_over(&mut self, malformed: i64, too_long: i64) {
        assert_eq!(self.stat(number::STAT_MALFORMED), malformed, "{}: malformed", self.name);
        assert_eq!(self.stat(number::STAT_LINES_TOO_LONG), too_long, "{}: too long", self.name);
    }

    /// The connection ends, or is ended, for a reason that says what came.
    pub fn ends(&mut self, reason: &str) {
        self.until(&format!("the end of the connection by {reason:?}"), |event| {
            let said = event.reason.as_deref().unwrap_or_default();
            event.kind == number::DISCONNECTED && said.contains(reason)
        });
    }

    /// The next connection, which is a good one, is used.
    pub fn recovers(&mut self) {
        self.until_kind(number::CONNECTED);
        self.proves();
    }

    pub fn until_kind(&mut self, kind: c_int) -> Event {
        self.until(&format!("an event of kind {kind:#06x}"), |event| event.kind == kind)
    }

    /// How a job ended.
    pub fn end_of(&mut self, id: &str) -> Event {
        self.until(&format!("the end of {id}"), |event| {
            event.kind & number::FINAL != 0 && event.job_id.as_deref() == Some(id)
        })
    }

    pub fn until(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut known = 0;
        loop {
            if let Some(event) = self.told[known..].iter().find(|event| wanted(event)) {
                return event.clone();
            }
            known = self.told.len();
            let event = self.events.recv_timeout(DEADLINE);
            self.told.push(event.unwrap_or_else(|error| {
                panic!("{}: {what} was not told, {error}: {:#?}", self.name, self.told)
            }));
        }
    }

    /// What was told by now.
    pub fn drain(&mut self) -> &[Event] {
        self.told.extend(self.events.try_iter());
        &self.told
    }

    /// The ends that were told by now, of whatever job.
    pub fn ends_told(&mut self) -> usize {
        self.drain().iter().filter(|event| event.kind & number::FINAL != 0).count()
    }

    pub fn stat(&self, which: c_int) -> i64 {
        self.monitor.stat(which)
    }

    /// CLOSED comes last, and with it the registration is freed.
    fn close(mut self) {
        self.monitor.close();
        self.until_kind(number::CLOSED);
        assert!(self.events.recv_timeout(DEADLINE).is_err(), "{}: after CLOSED", self.name);
    }
}
