//! Plays worlds, many or one, and says what was seen. What it is told stands in the environment:
//!
//! - `SEEDS=N` plays so many worlds, the first of which is `FIRST` (0).
//! - `SEED=S` plays that world alone and tells its whole story.
//! - `KEEP_GOING=1` plays on when a world has failed, and lists all that did.

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use crate::{oracle::Verdict, tally::Tally, world::World};

#[test]
fn every_job_has_exactly_one_outcome_and_it_is_the_true_one() {
    if let Some(seed) = number("SEED") {
        let (verdict, _, story) = play(seed, true);
        for line in story {
            println!("{line}");
        }
        verdict.unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        return;
    }
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let (tally, failures) = play_many(number("FIRST").unwrap_or(0), seeds);
    tally.print(seeds);
    if env::var_os("KEEP_GOING").is_some() {
        println!("{} of {seeds} worlds fail", failures.len());
        for (seed, why) in failures.iter().take(LISTED_MAX) {
            println!("{seed}: {}", why.chars().take(600).collect::<String>());
        }
    }
    if let Some((seed, why)) = failures.first() {
        tell(*seed);
        panic!("seed {seed}: {why}");
    }
    let rare = tally.rare(seeds);
    assert!(seeds < SEEDS || rare.is_empty(), "too rare to prove anything: {rare:#?}");
}

/// Those that failed with it, the first seed first.
fn play_many(first: u64, seeds: u64) -> (Tally, Vec<(u64, String)>) {
    let next = AtomicU64::new(first);
    let stops = AtomicBool::new(false);
    let (tally, failures) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                let mut own = Tally::default();
                while !stops.load(Relaxed) {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let (verdict, counts, _) = play(seed, false);
                    own.add(&counts);
                    if let Err(why) = verdict {
                        stops.store(env::var_os("KEEP_GOING").is_none(), Relaxed);
                        failures.lock().unwrap().push((seed, why));
                    }
                }
                tally.lock().unwrap().add(&own);
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    (tally.into_inner().unwrap(), failures)
}

/// Plays a world that failed again, to print its story.
fn tell(seed: u64) {
    let story = play(seed, true).2;
    println!("The story of seed {seed}, its last {STORY_MAX} lines:");
    for line in &story[story.len().saturating_sub(STORY_MAX)..] {
        println!("{line}");
    }
    println!("Play it again, with its whole story: make storm SEED={seed}");
}

fn play(seed: u64, tells: bool) -> (Verdict, Tally, Vec<String>) {
    let mut world = World::new(seed, tells);
    let verdict = catch_unwind(AssertUnwindSafe(|| world.play())).unwrap_or_else(|fault| {
        let text = fault.downcast_ref::<String>().cloned();
        let text = text.or(fault.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("it panicked: {}", text.unwrap_or_default()))
    });
    (verdict, world.tally(), world.story())
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// In `make check`; with so many or more, everything must have occurred.
const SEEDS: u64 = 10_000;
/// The end of a story says most.
const STORY_MAX: usize = 400;
const LISTED_MAX: usize = 30;
