//! What a QEMU may make us keep, whatever it says.

use blockjob::qmp::journal::Findings;

use crate::world::{ONE, World, settings};

/// How many ends were told, and whether each of them is another job's.
fn count_ends(world: &mut World) -> usize {
    let mut ends: Vec<String> =
        world.ends().iter().map(|end| end.split(' ').nth(2).unwrap().to_owned()).collect();
    let all = ends.len();
    ends.sort();
    ends.dedup();
    assert_eq!(ends.len(), all, "one was told twice");
    all
}

#[test]
fn ends_that_wait_for_the_journal_wait_in_bounded_memory() {
    let mut with = settings();
    with.journal = true;
    let mut world = World::connected_with("7.2", with);
    let jobs = 300;
    for job in 0..jobs {
        world.status(&format!("j{job}"), "created running");
    }
    world.drops_and_meets(ONE);
    let list: Vec<String> = (0..jobs)
        .map(|job| format!(r#"{{"id": "j{job}", "type": "stream", "status": "running"}}"#))
        .collect();
    world.reconciles(&list.join(", "), "");
    let error = "e".repeat(50_000);
    for job in 0..100 {
        world.completed(&format!("j{job}"), "stream", Some(&error));
    }
    // Each costs its text twice, and 8 MiB of them wait.
    let told = count_ends(&mut world);
    assert!((1..50).contains(&told), "{told}");
    for job in 100..jobs {
        world.completed(&format!("j{job}"), "stream", Some(&error));
    }
    assert_eq!(count_ends(&mut world), 200, "no more wait");
    world.finds(Findings::default());
    assert_eq!(count_ends(&mut world), 100 - told);
}

#[test]
fn of_a_list_those_are_kept_that_are_known_and_as_many_others_as_may_be() {
    let mut with = settings();
    with.job_limit = 3;
    let mut world = World::connected_with("7.2", with);
    world.status("known", "created running");
    world.drops_and_meets(ONE);
    world.story();
    let job = |id: &str| format!(r#"{{"id": "{id}", "type": "stream", "status": "running"}}"#);
    let list: Vec<String> = (0..10).map(|at| job(&format!("other{at}"))).collect();
    // It stands last, and is found.
    world.reconciles(&(list.join(", ") + ", " + &job("known")), "");
    let story = world.story();
    // Of ten others three are kept, and two of them have room.
    let overflows = story.iter().filter(|line| line.starts_with("tell OVERFLOW")).count();
    assert_eq!(overflows, 2, "{story:?}");
    assert!(story.iter().all(|line| !line.starts_with("end ")), "{story:?}");
    world.completed("known", "stream", None);
    world.completed("other1", "stream", None);
    assert_eq!(world.ends(), ["end 1 known succeeded inferred", "end 3 other1 succeeded"]);
}

#[test]
fn an_id_that_is_too_long_is_no_jobs() {
    let mut world = World::connected("7.2");
    let longest = "j".repeat(1024);
    for id in [&longest, &format!("{longest}j")] {
        world.status(id, "created running");
        world.completed(id, "stream", None);
    }
    assert_eq!(world.ends(), [format!("end 1 {longest} succeeded")]);
    assert!(world.log.iter().any(|line| line.contains("does not say of which")), "{:?}", world.log);
}
