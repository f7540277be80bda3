//! Plays worlds, many or one, and says what was seen.

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

/// `SEEDS=N` plays so many worlds, `SEED=S` that one alone, with its story.
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
    let first = number("FIRST").unwrap_or(0);
    let next = AtomicU64::new(first);
    let failed = AtomicBool::new(false);
    let (tally, failures) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                let mut own = Tally::default();
                while !failed.load(Relaxed) {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let (verdict, told, _) = play(seed, false);
                    own.add(&told);
                    if let Err(why) = verdict {
                        failed.store(env::var_os("GOON").is_none(), Relaxed);
                        failures.lock().unwrap().push((seed, why));
                    }
                }
                tally.lock().unwrap().add(&own);
            });
        }
    });
    tally.lock().unwrap().print();
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    if env::var_os("GOON").is_some() {
        println!("{} of {seeds} worlds fail", failures.len());
        for (seed, why) in failures.iter().take(30) {
            println!("{seed}: {}", why.chars().take(600).collect::<String>());
        }
    }
    let Some((seed, why)) = failures.first() else { return };
    println!("The story of seed {seed} (SEED={seed} plays it again):");
    let story = play(*seed, true).2;
    for line in &story[story.len().saturating_sub(STORY_MAX)..] {
        println!("{line}");
    }
    panic!("seed {seed}: {why}");
}

fn play(seed: u64, tells: bool) -> (Verdict, Tally, Vec<String>) {
    let mut world = World::new(seed, tells);
    let verdict = catch_unwind(AssertUnwindSafe(|| world.play())).unwrap_or_else(|fault| {
        let text = fault.downcast_ref::<String>().cloned();
        let text = text.or(fault.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("it panicked: {}", text.unwrap_or_default()))
    });
    (verdict, world.tally.clone(), world.story())
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// In `make check`.
const SEEDS: u64 = 10_000;
/// The end of a story says most.
const STORY_MAX: usize = 400;
