//! A day of a management program in seconds: ten QEMUs, each of which is given a job every ten
//! seconds by the program or by others, through one and the same life of the library. Three
//! times an hour there is a calm, in which every end must have been told, once and truly. Each hour
//! what is held then is counted to the byte: it does not grow.

use std::{env, time::Duration};

use crate::{memory, tally::Tally, world::World};

#[test]
fn a_day_of_jobs_is_told_truly_and_leaves_nothing_behind() {
    let seed = env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let empty = memory::live();
    let mut world = World::of_a_day(seed, MACHINES);
    let mut held = Vec::new();
    let mut jobs = 0;
    for hour in 1..=HOURS {
        for _ in 0..PARTS {
            let played = world.play_part(JOBS, PART);
            let played = played.and_then(|jobs| world.renew().map(|()| jobs));
            jobs += played.unwrap_or_else(|why| panic!("seed {seed}, hour {hour}: {why}"));
        }
        held.push(memory::live() - empty);
        println!("hour {hour:>2}: {jobs:>6} jobs so far, {:>8} bytes held", held[hour - 1]);
    }
    assert!(jobs >= 86_400, "one in ten seconds at each of ten machines");
    print(&world.tally());

    // The first hour meets what the others do for the first time.
    let (least, most) = (held[1..].iter().min(), held[1..].iter().max());
    let spread = most.zip(least).map_or(0, |(most, least)| most - least);
    let grown = median(&held[HOURS - 6..]) - median(&held[1..7]);
    println!("{grown} bytes more in the last hours than in the first, {spread} between any two");
    assert!(grown <= GROWTH, "{grown} bytes more are held in the evening than in the morning");
    assert!(spread <= SPREAD, "{spread} bytes are between the least and the most that was held");
    world.end_day().unwrap_or_else(|why| panic!("seed {seed}, in the end: {why}"));
    drop((world, held));
    let left = memory::live() - empty;
    assert!(left <= LEFT_MAX, "{left} bytes are left when all is dropped");
}

fn median(held: &[isize]) -> isize {
    let mut held = held.to_vec();
    held.sort_unstable();
    held[held.len() / 2]
}

fn print(tally: &Tally) {
    for what in ["outcome", "origin", "lost", "connected", "process", "weather", "acknowledged"] {
        for (name, count) in tally.starting_with(what) {
            println!("{count:>12}  {name}");
        }
    }
}

const MACHINES: usize = 10;
const HOURS: usize = 24;
/// Of an hour; each ends in calm.
const PARTS: usize = 3;
const PART: Duration = Duration::from_secs(1200);
/// In each part of an hour: one in ten seconds at each machine.
const JOBS: u64 = 1200;
/// A byte for each third job would be more, and a table that grows once is less.
const GROWTH: isize = 24 << 10;
/// What a table needed most it keeps for a while, at each of ten monitors.
const SPREAD: isize = 256 << 10;
/// What the test harness keeps for this thread: what was printed.
const LEFT_MAX: isize = 8 << 10;
