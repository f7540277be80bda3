//! A listener with two monitors: that of a well-behaved QEMU, whose jobs run all along, and that of
//! the peer that attacks.

use serde_json::json;
use tempfile::TempDir;

use crate::catalogue::{Attack, LINE_LIMIT, OWNER};
use crate::client::{Job, Listener, Monitor, number};
use crate::machine::{Errors, Host, Machine};
use crate::{eventually, usage};

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
    pub listener: Listener,
    _machine: Machine,
    pub directory: TempDir,
    attacks: usize,
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
        listener.set_owner(OWNER);
        let honest = listener.monitor("honest", &machine.library_socket());
        honest.connect();
        let standing = honest.job(None, 0);
        let arguments = json!({"device": "standing", "target": "standing-target", "sync": "full",
            "speed": STANDSTILL});
        standing.start("blockdev-backup", &arguments);
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        Self { standing, honest, listener, _machine: machine, directory, attacks: 0 }
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

    pub fn attack(&mut self, attack: &'static Attack) {
        eprintln!("-- {}", attack.name);
        let descriptors = usage::descriptors();
        usage::forget_peak();
        let before = usage::resident();
        self.attacks += 1;
        let path = self.directory.path().join(format!("attack{}.qmp", self.attacks));
        attack.play(&self.listener, &path, || self.run_jobs());

        let grown = usage::peak().saturating_sub(before);
        eprintln!("   {} KiB", grown >> 10);
        let bound = BOUND + attack.costs;
        assert!(grown <= bound, "{}: {grown} bytes at its peak, over {bound}", attack.name);
        let raised = usage::threads_with_sigpipe();
        assert_eq!(raised, [""; 0], "{}: SIGPIPE is pending", attack.name);
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
