//! As many jobs as fit into some seconds, through a real listener: its reader, its delivery thread
//! and its sockets, with the storm's fake QEMUs at the other ends, whose time passes as fast as they
//! can think. Connections are cut and QEMUs come anew meanwhile. Each end is compared with the
//! fake's truth, and what the process holds afterwards with what it held when it was warm.

#[allow(dead_code, reason = "the storm needs all of it")]
#[path = "../storm/chance.rs"]
mod chance;
#[allow(dead_code, reason = "the storm needs all of it")]
#[path = "../storm/qemu/mod.rs"]
mod qemu;
#[allow(dead_code, reason = "the hostile peers ask for more of it")]
#[path = "../hostile/usage.rs"]
mod usage;

mod fake;
mod memory;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use blockjob::{
    engine::{Callback, Filter, Job, Listener, Monitor, Purpose},
    model::{Code, Error, Event, Kind, Kinds, Loss, Outcome, State},
};
use tempfile::TempDir;

use chance::Chance;
use fake::Fake;
use qemu::truth;
use usage::{Bounds, Usage};

#[test]
fn ten_seconds_of_jobs_are_told_truly_and_hold_no_more_memory() {
    let alone = Usage::now();
    let rush = Rush::begin();
    let mut jobs = rush.run(Duration::from_secs(2));
    let (warm, live) = (Usage::now(), memory::live());
    jobs += rush.run(Duration::from_secs(8));
    let (end, live_at_end) = (Usage::now(), memory::live());
    let (heard, cuts) = (rush.heard.load(Relaxed), rush.cuts.load(Relaxed));
    rush.finish();
    let freed = Usage::now();

    println!("{jobs} jobs, {cuts} cuts; {live} bytes live when warm, {live_at_end} at the end");
    Usage::print(&[("before", alone), ("warm", warm), ("end", end), ("freed", freed)]);
    assert_eq!(heard, jobs, "each end is told once to whoever listens to all");
    assert!(jobs > 200 && cuts > 10, "too little has happened");
    assert!(live_at_end <= live + GROWTH, "{live} bytes were live, and {live_at_end} at the end");
    end.assert_within(&warm, &BOUNDS);
    assert_eq!((freed.threads, freed.descriptors), (alone.threads, alone.descriptors));
}

const MONITORS: u64 = 3;
const DEADLINE: Duration = Duration::from_secs(60);
/// Ids have more digits at times; a byte for each job would be more.
const GROWTH: usize = 8 << 10;
/// What the allocator keeps for threads, it counts as in use.
const BOUNDS: Bounds = Bounds { resident_kib: 4 << 10, in_use_kib: 1 << 10 };
/// A QEMU comes anew after so many jobs.
const LIFE: u64 = 100;

struct Rush {
    listener: Listener,
    monitors: Vec<(Arc<Monitor>, Fake)>,
    heard: Arc<AtomicU64>,
    cuts: AtomicU64,
    _directory: TempDir,
}

impl Rush {
    fn begin() -> Self {
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        let listener = Listener::new().expect("there are threads and descriptors");
        let shared = listener.shared();
        let heard = Arc::new(AtomicU64::new(0));
        let callback: Callback = Arc::new({
            let heard = Arc::clone(&heard);
            move |_, _| _ = heard.fetch_add(1, Relaxed)
        });
        let kinds = Kinds::from_mask(7).expect("these are the ends");
        let filter = Filter { monitor: None, job: None, kinds, name: None, observes: false };
        shared.add_callback(filter, None, callback).expect("it was not stopped");
        let monitors = (0..MONITORS)
            .map(|number| {
                let path = directory.path().join(format!("{number}.qmp"));
                let fake = Fake::listen(&path, Chance::new(number));
                let address = format!("unix:{}", path.display());
                let monitor = shared.new_monitor(&address).expect("it is an address");
                let pause = Duration::from_millis(1);
                monitor.set_reconnect(Some((pause, 5 * pause))).expect("it was not started");
                monitor.set_lost_after(None).expect("it was not started");
                monitor.connect(Some(DEADLINE)).expect("the fake listens");
                (monitor, fake)
            })
            .collect();
        let cuts = AtomicU64::new(0);
        Self { listener, monitors, heard, cuts, _directory: directory }
    }

    /// One job after the other at each monitor; how many there were in all. Then all is at rest,
    /// with QEMUs that have no past.
    fn run(&self, time: Duration) -> u64 {
        let ends = Instant::now() + time;
        let jobs = AtomicU64::new(0);
        thread::scope(|scope| {
            for (monitor, fake) in &self.monitors {
                let jobs = &jobs;
                scope.spawn(move || {
                    let mut own = 0;
                    while Instant::now() < ends {
                        self.play(monitor, fake, own);
                        own += 1;
                        if own % LIFE == 0 {
                            fake.renew();
                        }
                    }
                    fake.renew();
                    jobs.fetch_add(own, Relaxed);
                });
            }
        });
        for (monitor, fake) in &self.monitors {
            until("it is connected again", || fake.has_client() && is_connected(monitor));
        }
        jobs.into_inner()
    }

    fn play(&self, monitor: &Arc<Monitor>, fake: &Fake, number: u64) {
        let job = Job::new(monitor, None, Purpose::default()).expect("there is room for jobs");
        let id = job.id().to_str().expect("it was made here").to_owned();
        let command = ["block-stream", "blockdev-mirror", "blockdev-create"];
        let command = command[usize::try_from(number % 3).expect("it is below three")];
        let arguments = match command {
            "block-stream" => r#"{"device": "drive"}"#,
            "blockdev-mirror" => r#"{"device": "drive", "target": "target", "sync": "full"}"#,
            _ => r#"{"options": {"driver": "file", "filename": "x", "size": 1}}"#,
        };
        if number % 10 == 9 {
            fake.cut();
            self.cuts.fetch_add(1, Relaxed);
        }
        until("the job is started", || {
            goes_on(job.start(command, arguments, Some(DEADLINE)), &[Code::Already])
        });
        if command == "blockdev-mirror" {
            // It may not be ready yet, or over.
            until("the mirror is completed", || {
                goes_on(job.complete(Some(DEADLINE)), &[Code::NotFound, Code::Already])
            });
        }
        let report = job.wait(Some(DEADLINE)).unwrap_or_else(|error| panic!("{id}: {error:?}"));
        check(&report.event, fake.truth(&id).as_ref(), &id);
        drop(report);
        drop(job);
        until("QEMU has forgotten the job", || fake.is_idle());
    }

    fn finish(self) {
        for (monitor, fake) in self.monitors {
            monitor.close().expect("it was not closed");
            drop(fake);
        }
        self.listener.free().expect("this is no callback");
    }
}

fn is_connected(monitor: &Monitor) -> bool {
    monitor.state() == State::Connected
}

/// The answer settles it, or is one of these; else the connection was cut, or it is too early.
fn goes_on(answer: Result<(), Error>, settled: &[Code]) -> bool {
    match answer {
        Ok(()) => true,
        Err(error) if settled.contains(&error.code) => true,
        Err(error) if [Code::NotConnected, Code::Reset, Code::Remote].contains(&error.code) => {
            false
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn check(event: &Event, truth: Option<&truth::Outcome>, id: &str) {
    let right = match (truth, event.outcome) {
        (Some(truth::Outcome::Completed), Outcome::Succeeded)
        | (Some(truth::Outcome::Failed(_)), Outcome::Failed)
        | (Some(truth::Outcome::Cancelled), Outcome::Cancelled) => true,
        // The command was cut off before QEMU had read it.
        (None, _) => event.kind == Kind::Lost && event.loss == Some(Loss::NotStarted),
        _ => false,
    };
    assert!(right, "{id} was told as {event}, and the truth is {truth:?}");
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
        thread::sleep(Duration::from_micros(50));
    }
}
