//! Everything that goes on at once, for some time; and then nothing, so that it can be measured.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::client::{Event, Listener, number};
use crate::figures::Figures;
use crate::siege::Deck;
use crate::usage::Usage;
use crate::{churn, guests, room, siege};

/// How long the quick form takes, which is that of `make check`.
const QUICK: Duration = Duration::from_secs(36);

const MINUTE: Duration = Duration::from_secs(60);

/// As `make soak MINUTES=30` says it.
pub fn length() -> Duration {
    let minutes = env::var("BLOCKJOB_SOAK_MINUTES").ok().filter(|text| !text.is_empty());
    minutes.map_or(QUICK, |minutes| {
        let minutes: f64 = minutes.parse().expect("a number of minutes");
        Duration::from_secs_f64(minutes * 60.0)
    })
}

pub struct Run<'a> {
    pub listener: &'a Listener,
    figures: Mutex<Figures>,
    /// It looks on all the time, at all monitors.
    heard: Mutex<Receiver<Event>>,
    begun: Instant,
    ends: Instant,
    failed: AtomicBool,
    attacks: Deck,
    chance: Chance,
}

impl<'a> Run<'a> {
    pub fn new(listener: &'a Listener) -> Self {
        let now = Instant::now();
        let mut chance = Chance::of(50);
        Self {
            listener,
            figures: Mutex::default(),
            heard: Mutex::new(listener.observe(None)),
            begun: now,
            ends: now,
            failed: AtomicBool::new(false),
            attacks: Deck::shuffled(&mut chance),
            chance,
        }
    }

    /// The storm blows, and then there is nothing but the listener.
    pub fn go_on_for(&mut self, time: Duration) {
        self.ends = Instant::now() + time;
        let mut chances: Vec<Chance> =
            (0..room::PLACES.len() + 2).map(|_| self.chance.another()).collect();
        let mut chance = || chances.pop().expect("there is one for each");
        let run = &*self;
        thread::scope(|scope| {
            let mut workers = Vec::new();
            for place in &room::PLACES {
                let chance = chance();
                workers.push(scope.spawn(move || run.guard(|| room::live(run, place, chance))));
            }
            for _ in 0..siege::PEERS {
                workers.push(scope.spawn(move || run.guard(|| siege::besiege(run, &run.attacks))));
            }
            let (some, other) = (chance(), chance());
            workers.push(scope.spawn(move || run.guard(|| guests::come_and_go(run, some))));
            workers.push(scope.spawn(move || run.guard(|| churn::churn(run, other))));
            let mut told = run.begun.elapsed().as_secs() / 60;
            while workers.iter().any(|worker| !worker.is_finished()) {
                run.listen();
                let minutes = run.begun.elapsed().as_secs() / 60;
                if minutes > told {
                    told = minutes;
                    run.tell();
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        run.listen();
    }

    pub fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time is up, or somebody has failed.
    pub fn is_over(&self) -> bool {
        self.failed.load(Relaxed) || Instant::now() >= self.ends
    }

    pub fn finish(self) -> Figures {
        self.figures.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever fails ends it for all.
    fn guard(&self, work: impl FnOnce()) {
        struct Guard<'a>(&'a AtomicBool);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                self.0.fetch_or(thread::panicking(), Relaxed);
            }
        }
        let _guard = Guard(&self.failed);
        work();
    }

    /// Takes what the registration for everything was told.
    fn listen(&self) {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut figures = None;
        loop {
            match heard.try_recv() {
                Ok(event) => {
                    let figures = figures.get_or_insert_with(|| self.figures());
                    figures.events += 1;
                    let of_room = event.monitor.starts_with(room::PREFIX);
                    figures.ends_heard += usize::from(of_room && event.kind & number::FINAL != 0);
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => panic!("the listener freed a registration"),
            }
        }
    }

    fn tell(&self) {
        let minutes = self.begun.elapsed().as_secs() / MINUTE.as_secs();
        println!("{minutes:>4} min: {}; {}", self.figures().line(), Usage::now());
    }
}
