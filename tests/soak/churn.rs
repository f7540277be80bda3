//! Registrations, monitors and handles that come and go, and children that are forked, while the
//! rooms' events flow.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::run::Run;

/// So many registrations at a time are made and removed.
const MANY: u64 = 64;

const BETWEEN_CHILDREN: Duration = Duration::from_secs(2);

pub fn churn(run: &Run, mut chance: Chance) {
    let mut last_child = Instant::now();
    while !run.is_over() {
        // Never started, it is a monitor all the same.
        let monitor = run.listener.monitor("idle", Path::new("/nonexistent/idle.qmp"));
        let handles: Vec<_> = (0..chance.below(8)).map(|_| monitor.job(None, 0)).collect();
        let count = 1 + chance.below(MANY);
        let registered: Vec<_> = (0..count)
            .map(|_| run.listener.register((chance.below(2) == 0).then_some(&monitor)))
            .collect();
        thread::sleep(Duration::from_micros(chance.below(5_000)));
        for (id, receiver) in registered {
            run.listener.unregister(id);
            // What was told before is still there, and behind it the end.
            assert!(receiver.iter().count() < 1 << 20);
        }
        let forks = last_child.elapsed() > BETWEEN_CHILDREN;
        if forks {
            last_child = Instant::now();
            assert!(run.listener.fork(&monitor), "a child was not told that it is one");
        }
        drop(handles);
        monitor.close();
        drop(monitor);
        let mut figures = run.figures();
        figures.registrations += usize::try_from(count).expect("they are few");
        figures.monitors += 1;
        figures.children += usize::from(forks);
    }
}
