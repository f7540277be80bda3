//! How far running jobs are: asked now and then, told, and never believed.

use std::time::Duration;

use blockjob::qmp::control::Control;

use crate::world::{ONE, World, settings};

fn world(version: &'static str) -> World {
    let mut with = settings();
    with.progress = Some(Duration::from_secs(10));
    World::connected_with(version, with)
}

/// What QEMU says of a stream that has come so far.
fn at(id: &str, offset: i64) -> String {
    format!(
        r#"{{"device": "{id}", "type": "stream", "status": "running", "len": 9,
             "offset": {offset}, "speed": 5}}"#
    )
}

fn starts(world: &mut World, handle: u64, id: &str) {
    world.starts(handle, id);
    world.replies("{}");
    world.status(id, "created running");
    world.story();
}

#[test]
fn it_is_asked_for_only_while_a_job_runs_and_once_for_all() {
    let mut world = world("7.2");
    assert_eq!(world.session.deadline(), None);
    starts(&mut world, 1, "own-1");
    world.later(0);
    assert_eq!(world.story(), ["send query-block-jobs"]);
    assert_eq!(world.session.deadline(), None, "nobody is asked twice at a time");
    starts(&mut world, 2, "own-2");
    world.later(30);
    assert_eq!(world.story(), [""; 0]);
    world.replies_to(5, &format!("\"return\": [{}]", at("own-1", 3)));
    assert_eq!(world.story(), ["tell PROGRESS own-1 running 3/9 at 5"]);
    world.later(9);
    assert_eq!(world.story(), [""; 0]);
    world.later(1);
    assert_eq!(world.story(), ["send query-block-jobs"]);
    world.replies(&format!("[{}, {}]", at("own-1", 3), at("own-2", 0)));
    assert_eq!(world.story(), ["tell PROGRESS own-2 running 0/9 at 5"], "news alone is told");

    // Paused, nothing moves by itself.
    world.status("own-1", "paused");
    world.status("own-2", "paused");
    assert_eq!(world.session.deadline(), None);
    world.status("own-2", "running");
    assert!(world.session.deadline().is_some());
    for id in ["own-1", "own-2"] {
        world.completed(id, "stream", None);
    }
    assert_eq!(world.session.deadline(), None);
}

#[test]
fn none_comes_after_the_end_and_none_of_an_earlier_job_of_that_id() {
    let mut world = world("7.2");
    world.status("d", "created running");
    world.later(0);
    world.completed("d", "stream", None);
    world.status("d", "concluded null");
    world.status("d", "created running");
    world.story();
    world.replies(&format!("[{}]", at("d", 9)));
    assert_eq!(world.story(), [""; 0]);
    world.later(10);
    world.replies(&format!("[{}]", at("d", 1)));
    assert_eq!(world.story(), ["send query-block-jobs", "tell PROGRESS d running 1/9 at 5"]);
}

/// A job held back: its end has come, and waits for the reply that says whether it pivoted.
#[test]
fn none_comes_while_the_end_is_held() {
    let mut world = world("7.2");
    starts(&mut world, 1, "own-1");
    world.ready("own-1", "mirror");
    world.later(0);
    let asked = world.last_command();
    world.asks(1, Control::Complete);
    world.completed("own-1", "mirror", None);
    world.story();
    world.replies_to(asked, &format!("\"return\": [{}]", at("own-1", 9)));
    assert_eq!(world.story(), [""; 0]);
    assert_eq!(world.session.deadline(), None);
}

#[test]
fn what_it_shows_is_no_jobs_beginning_and_no_jobs_end() {
    let mut world = world("7.2");
    starts(&mut world, 1, "own-1");
    world.later(0);
    world.replies(&format!("[{}]", at("stranger", 3)));
    world.later(10);
    world.replies("[]");
    assert_eq!(world.story(), ["send query-block-jobs", "send query-block-jobs"]);
    // Both are as they were: the one is not known, the other lives.
    world.drops();
    world.later(100);
    assert_eq!(world.ends(), ["end 1 own-1 lost NoConnection inferred for [1]"]);
}

#[test]
fn a_refusal_and_a_lost_connection_are_passed_over() {
    let mut world = world("7.2");
    starts(&mut world, 1, "own-1");
    world.later(0);
    world.refuses("GenericError", "no");
    world.later(10);
    assert_eq!(world.story(), ["send query-block-jobs", "send query-block-jobs"]);
    world.drops_and_meets(ONE);
    world.reconciles(r#"{"id": "own-1", "type": "stream", "status": "running"}"#, "");
    world.story();
    world.later(10);
    assert_eq!(world.story(), ["send query-block-jobs"]);
    world.replies(&format!("[{}]", at("own-1", 4)));
    assert_eq!(world.story(), ["tell PROGRESS own-1 running 4/9 at 5"]);
}

#[test]
fn a_job_of_another_type_is_not_asked_for_once_that_is_known() {
    let mut world = world("7.2");
    world.drops_and_meets(ONE);
    world.reconciles(r#"{"id": "c", "type": "create", "status": "running"}"#, "");
    assert_eq!(world.session.deadline(), None);
}

#[test]
fn an_old_qemu_says_all_but_the_status() {
    let mut world = world("2.9");
    starts(&mut world, 1, "d");
    world.later(0);
    let said = r#"[{"device": "d", "type": "stream", "len": 9, "offset": 1, "speed": 5}]"#;
    world.replies(said);
    assert_eq!(world.story(), ["send query-block-jobs", "tell PROGRESS d 1/9 at 5"]);
}
