//! What becomes of jobs while there is no connection.

use std::time::Duration;

use blockjob::{
    model::{Link, Settings},
    qmp::journal::Findings,
};

use crate::world::{ONE, OTHER, World, settings};

fn running(id: &str) -> String {
    format!(r#"{{"id": "{id}", "type": "stream", "status": "running"}}"#)
}

#[test]
fn recovered_ends_stand_between_disconnected_and_connected() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.replies("{}");
    world.status("own-1", "created running");
    world.story();
    world.drops_and_meets(ONE);
    world.reconciles(
        r#"{"id": "own-1", "type": "stream", "status": "concluded", "error": "EIO"}"#,
        "",
    );
    let told: Vec<_> = world
        .story()
        .into_iter()
        .filter(|line| line.starts_with("tell ") || line.starts_with("end "))
        .collect();
    assert_eq!(
        told,
        [
            "tell DISCONNECTED -",
            "end 1 own-1 failed \"EIO\" recovered for [1]",
            "tell CONNECTED - recovered=1 process=same"
        ]
    );
}

#[test]
fn a_job_that_vanished_is_lost_and_never_a_success() {
    let mut world = World::connected("7.2");
    world.status("theirs", "created running");
    world.starts(1, "own-1");
    world.replies("{}");
    world.status("own-1", "created running");
    world.drops_and_meets(ONE);
    world.reconciles("", "");
    assert_eq!(
        world.ends(),
        ["end 1 theirs lost Gone inferred", "end 2 own-1 lost Dismissed inferred for [1]"]
    );
}

#[test]
fn who_dismissed_a_job_is_said_only_of_the_same_qemu() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.replies("{}");
    world.status("own-1", "created running");
    world.drops_and_meets(None);
    world.reconciles("", "");
    assert_eq!(world.ends(), ["end 1 own-1 lost Gone inferred for [1]"]);
}

#[test]
fn a_job_that_waits_for_the_program_since_nobody_listened_is_told_again() {
    let mut world = World::connected("7.2");
    world.status("own-1", "created running");
    world.status("own-2", "created running");
    world.drops_and_meets(ONE);
    world.story();
    world.reconciles(
        r#"{"id": "own-1", "type": "mirror", "status": "ready"},
           {"id": "own-2", "type": "backup", "status": "pending"}"#,
        "",
    );
    let story = world.story();
    assert_eq!(story[..2], ["tell BLOCK_JOB_READY own-1", "tell BLOCK_JOB_PENDING own-2"]);
    world.drops_and_meets(ONE);
    world.reconciles(r#"{"id": "own-1", "type": "mirror", "status": "ready"}"#, "");
    assert!(!world.story().contains(&"tell BLOCK_JOB_READY own-1".into()), "it was told");
}

#[test]
fn a_job_that_lives_on_ends_live() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.replies("{}");
    world.status("own-1", "created running");
    world.drops_and_meets(ONE);
    world.reconciles(&running("own-1"), "");
    world.completed("own-1", "stream", None);
    assert_eq!(world.ends(), ["end 1 own-1 succeeded for [1]"]);
}

#[test]
fn a_name_that_others_may_use_again_makes_an_end_after_a_gap_an_inference() {
    let mut world = World::connected("7.2");
    world.status("drive0", "created running");
    world.drops_and_meets(ONE);
    world.reconciles(&running("drive0"), "");
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded inferred"]);
}

#[test]
fn an_id_that_visibly_means_another_job_after_the_gap_is_told_apart() {
    let mut world = World::connected("7.2");
    world.status("drive0", "created running");
    world.ready("drive0", "mirror");
    world.drops_and_meets(ONE);
    world.reconciles(&running("drive0"), "");
    assert_eq!(world.ends(), ["end 1 drive0 lost Gone inferred"]);
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 2 drive0 succeeded"]);

    let mut world = World::connected("7.2");
    world.status("drive0", "created running");
    world.drops_and_meets(ONE);
    world.status("drive0", "created");
    assert_eq!(world.ends(), ["end 1 drive0 lost Gone inferred"], "it began anew");
}

#[test]
fn a_restarted_qemu_has_none_of_the_jobs_of_before() {
    let mut world = World::connected("7.2");
    world.status("drive0", "created running");
    world.watches(1, "own-later", &["made"]);
    world.drops_and_meets(OTHER);
    world.reconciles(&running("drive0"), "");
    let story = world.story();
    assert!(story.contains(&"end 1 drive0 lost QemuRestarted inferred".into()), "{story:?}");
    assert_eq!(story.last().unwrap(), "tell CONNECTED - recovered=0 process=restarted");
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 3 drive0 succeeded"]);
    world.starts_watched(1, "block-stream");
    assert!(world.story()[0].starts_with("send block-stream"), "the handle may still start");
}

#[test]
fn without_an_identity_nobody_says_the_same() {
    let mut world = World::connected("7.2");
    world.drops_and_meets(None);
    world.reconciles("", "");
    assert_eq!(world.story().last().unwrap(), "tell CONNECTED - recovered=0 process=unknown");
}

#[test]
fn the_end_of_the_process_ends_its_jobs() {
    let mut world = World::connected("7.2");
    world.status("j", "created running");
    world.process_ends();
    assert_eq!(world.ends(), [""; 0], "while there is a connection it was another's process");
    world.drops();
    world.process_ends();
    assert_eq!(world.ends(), ["end 1 j lost QemuGone inferred"]);
    world.later(1_000_000);
    assert_eq!(world.ends(), [""; 0]);
    world.meets(ONE);
    world.reconciles("", "");
    assert_eq!(world.story().last().unwrap(), "tell CONNECTED - recovered=0 process=restarted");
}

#[test]
fn without_a_connection_for_too_long_jobs_are_given_up() {
    let mut world = World::connected("7.2");
    world.status("j", "created running");
    world.watches(1, "own-1", &["made"]);
    world.drops();
    world.later(59);
    assert_eq!(world.ends(), [""; 0]);
    world.later(1);
    assert_eq!(
        world.ends(),
        ["end 1 j lost NoConnection inferred", "end 2 own-1 lost NoConnection inferred for [1]"]
    );
}

/// There was a gap while its handle waited, but not since it began.
#[test]
fn a_job_that_is_heard_from_its_beginning_to_its_end_behind_a_gap_is_not_in_doubt() {
    let begun = || {
        let mut world = World::connected("7.2");
        world.watches(1, "theirs", &[]);
        world.drops_and_meets(ONE);
        world.status("theirs", "created running");
        world.reconciles(r#"{"id": "theirs", "type": "create", "status": "running"}"#, "");
        world
    };
    let mut world = begun();
    world.status("theirs", "waiting pending concluded null");
    assert_eq!(world.ends(), ["end 1 theirs succeeded for [1]"]);
    let mut world = begun();
    world.completed("theirs", "stream", None);
    assert_eq!(world.ends(), ["end 1 theirs succeeded for [1]"], "and not as inferred");
}

/// An error of its input or output is no status, and says that there is a job.
#[test]
fn one_of_which_an_error_alone_was_heard_is_given_up_and_has_no_second_end() {
    let mut world = World::connected("7.2");
    let error = r#"{"device": "theirs", "operation": "read", "action": "report"}"#;
    world.event("BLOCK_JOB_ERROR", error);
    world.drops();
    world.later(60);
    assert_eq!(world.ends(), ["end 1 theirs lost NoConnection inferred"]);
    world.meets(ONE);
    world.reconciles(r#"{"id": "theirs", "type": "create", "status": "concluded"}"#, "");
    assert_eq!(world.ends(), [""; 0]);
}

#[test]
fn a_monitor_that_was_never_there_gives_up_as_well() {
    let mut world = World::new("7.2", settings());
    world.watches(1, "own-1", &["exists"]);
    world.session.start(None, world.now, &mut Vec::new());
    world.drops();
    world.later(60);
    assert_eq!(world.ends(), ["end 1 own-1 lost NoConnection inferred for [1]"]);
}

#[test]
fn what_was_given_up_and_is_found_again_gets_no_second_end_and_is_not_dismissed() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.replies("{}");
    world.status("own-1", "created running");
    world.drops();
    world.later(60);
    assert_eq!(world.ends(), ["end 1 own-1 lost NoConnection inferred for [1]"]);
    world.acknowledges(1);
    world.meets(ONE);
    world.reconciles(r#"{"id": "own-1", "type": "stream", "status": "concluded"}"#, "");
    let story = world.story();
    assert!(story.iter().all(|line| !line.contains("own-1")), "{story:?}");
    world.status("own-1", "null");
    assert_eq!(world.story(), ["tell JOB_STATUS_CHANGE own-1 null"]);
}

#[test]
fn closing_tells_every_job_lost_and_then_closed() {
    let mut world = World::connected("7.2");
    world.status("j", "created running");
    world.watches(1, "own-1", &["made"]);
    world.story();
    world.closes();
    assert_eq!(
        world.story(),
        [
            "disconnect",
            "stands Disconnected",
            "tell DISCONNECTED -",
            "end 1 j lost Closed inferred",
            "end 2 own-1 lost Closed inferred for [1]",
            "stands Closed",
            "tell CLOSED -"
        ]
    );
}

#[test]
fn what_happens_while_it_is_asked_for_is_not_missed_and_not_told_twice() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.replies("{}");
    world.status("own-1", "created running");
    world.drops_and_meets(ONE);
    world.completed("own-1", "stream", None);
    world.status("own-1", "concluded");
    world.reconciles(r#"{"id": "own-1", "type": "stream", "status": "concluded"}"#, "");
    assert_eq!(world.ends(), ["end 1 own-1 succeeded for [1]"]);
}

#[test]
fn attempts_go_on_for_ever_and_each_reason_is_told_once() {
    let mut world = World::connected("7.2");
    world.drops();
    world.story();
    for _ in 0..50 {
        world.later(5);
        assert!(world.story().contains(&"connect".into()));
        world.drops();
        let story = world.story();
        assert!(story.iter().all(|line| !line.starts_with("tell ")), "{story:?}");
    }
}

#[test]
fn a_qemu_that_does_not_say_which_jobs_it_has_is_left_and_tried_again() {
    let mut world = World::connected("7.2");
    world.status("j", "created running");
    world.drops_and_meets(ONE);
    world.story();
    world.later(10);
    let story = world.story();
    assert_eq!(story[..2], ["disconnect", "stands Disconnected"]);
    assert!(story.iter().all(|line| !line.starts_with("end ")), "{story:?}");
}

/// What QEMU has sent before it agrees is left over from the connection before; between that and
/// the agreement it tells nobody anything.
#[test]
fn what_was_left_over_and_what_comes_then_may_be_two_jobs() {
    let mut world = World::connected("7.2");
    world.drops();
    world.later(6);
    world.connects(ONE);
    world.status("drive0", "created running pending");
    world.completed("drive0", "stream", None);
    world.greets();
    world.agrees();
    world.reconciles("", "");
    world.status("drive0", "aborting");
    world.cancelled("drive0", "backup");
    assert_eq!(world.ends(), ["end 1 drive0 succeeded", "end 2 drive0 cancelled"]);
}

/// QEMU speaks from the moment on at which it agrees, and may say so behind that.
#[test]
fn an_event_that_overtakes_the_agreement_is_of_the_job_behind_the_gap() {
    let mut world = World::connected("7.2");
    world.status("drive0", "created running");
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded"]);
    world.status("drive0", "concluded");
    world.drops();
    world.later(6);
    world.connects(ONE);
    world.greets();
    world.event("RESUME", "{}");
    world.status("drive0", "pending");
    world.completed("drive0", "stream", Some("EIO"));
    world.agrees();
    world.reconciles("", "");
    assert_eq!(world.ends(), ["end 2 drive0 failed \"EIO\""]);
}

/// What was held of a former connection is told with the greeting, before anything else happens.
#[test]
fn an_end_from_before_the_greeting_is_told_with_it() {
    let mut with = settings();
    with.journal = true;
    let mut world = World::connected_with("7.2", with);
    world.status("drive0", "created running");
    world.drops();
    world.later(6);
    world.connects(ONE);
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), [""; 0], "the journal may know better");
    world.greets();
    assert_eq!(world.ends(), ["end 1 drive0 succeeded inferred"]);
}

/// What was given up is over, whatever was on its way.
#[test]
fn a_job_of_an_id_of_ours_that_was_given_up_begins_no_more() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.drops();
    world.later(60);
    assert_eq!(world.ends(), ["end 1 own-1 lost NoConnection inferred for [1]"]);
    world.connects(ONE);
    world.status("own-1", "created running");
    world.completed("own-1", "stream", None);
    world.status("own-1", "concluded null");
    assert_eq!(world.ends(), [""; 0]);
}

#[test]
fn without_a_limit_jobs_are_never_given_up() {
    let mut world = World::connected_with("7.2", Settings { lost_after: None, ..settings() });
    world.status("drive0", "created running");
    world.drops();
    for _ in 0..100 {
        world.later(100_000);
        world.drops();
    }
    assert_eq!(world.ends(), [""; 0]);
    world.later(6);
    world.meets(ONE);
    world.reconciles(&running("drive0"), "");
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded inferred"]);
}

/// Time runs for whoever comes while there is no connection, and when no other will come.
#[test]
fn a_handle_that_is_made_after_jobs_were_given_up_has_an_end_too() {
    let second = (Duration::from_secs(1), Duration::from_secs(1));
    for (link, reconnect) in [
        (Link::Listen, Some(second)),
        (Link::Dial, None),
        (Link::Dial, Some(second)),
        (Link::Once, None),
    ] {
        let mut world = World::connected_with("7.2", Settings { link, reconnect, ..settings() });
        world.drops();
        world.later(60);
        world.story();
        world.watches(1, "theirs", &[]);
        world.later(60);
        assert_eq!(world.ends(), ["end 1 theirs lost NoConnection inferred for [1]"], "{link:?}");
    }
    // Of one that was not started yet nobody has waited.
    let mut world = World::new("7.2", settings());
    world.watches(1, "theirs", &[]);
    world.later(600);
    assert_eq!(world.story(), [""; 0]);
}

/// Nobody has said that there was such a job; whatever begins by that id later has an end.
#[test]
fn a_handle_that_is_given_up_before_anything_was_heard_is_no_jobs_end() {
    let mut world = World::connected("7.2");
    world.drops();
    world.watches(1, "theirs", &[]);
    world.later(60);
    assert_eq!(world.ends(), ["end 1 theirs lost NoConnection inferred for [1]"]);
    world.meets(ONE);
    world.reconciles(&running("theirs"), "");
    world.completed("theirs", "stream", None);
    assert_eq!(world.ends(), ["end 2 theirs succeeded"]);

    // The program knows that this one was started: it is lost, and has no second end.
    let mut world = World::connected("7.2");
    world.drops();
    world.watches(1, "theirs", &["exists"]);
    world.later(60);
    assert_eq!(world.ends(), ["end 1 theirs lost NoConnection inferred for [1]"]);
    world.meets(ONE);
    world.reconciles(&running("theirs"), "");
    world.completed("theirs", "stream", None);
    assert_eq!(world.ends(), [""; 0]);
}

/// Connected to a QEMU whose process the kernel does not tell, with a marker left in it, and with a
/// job of ours by a name that others use.
fn marked() -> World {
    marked_with(settings())
}

fn marked_with(mut with: Settings) -> World {
    with.marker = true;
    let mut world = World::new("7.2", with);
    world.begins();
    world.meets(None);
    finds_marker(&mut world, "", "");
    if world.requests.pop().is_some() {
        world.finds(Findings::default());
    }
    world.replies("{}");
    runs_drive0(&mut world);
    world
}

/// A job of ours by a name that others use runs, and QEMU keeps it.
fn runs_drive0(world: &mut World) {
    world.watches(1, "drive0", &[]);
    world.starts_watched(1, "block-stream");
    world.status("drive0", "created running");
    world.replies("{}");
    world.story();
}

/// QEMU says which objects it has, and which jobs.
pub fn finds_marker(world: &mut World, objects: &str, jobs: &str) {
    let marker = world.last_command() - 2;
    world.replies_to(marker, &format!("\"return\": [{objects}]"));
    world.replies_to(marker + 1, &format!("\"return\": [{jobs}]"));
    world.replies_to(marker + 2, "\"return\": []");
}

const MARKER: &str = r#"{"name": "blockjob-nonce", "type": "child<secret>"}"#;

/// What is heard before the answer may be of another process's job.
#[test]
fn an_end_that_is_heard_before_a_marker_is_missed_is_not_the_former_ones() {
    let mut world = marked();
    world.drops_and_meets(None);
    world.status("drive0", "waiting pending");
    world.completed("drive0", "stream", None);
    world.status("drive0", "concluded null");
    assert_eq!(world.ends(), [""; 0], "the marker is asked for");
    finds_marker(&mut world, "", "");
    assert_eq!(
        world.ends(),
        ["end 1 drive0 lost QemuRestarted inferred for [1]", "end 2 drive0 succeeded"]
    );
}

/// Another's may have been another one since the gap, and waits for the journal as well.
#[test]
fn an_end_that_waits_for_the_journal_when_a_marker_is_missed_is_not_the_former_ones() {
    let mut with = settings();
    with.journal = true;
    let mut world = marked_with(with);
    world.status("theirs", "created running");
    world.drops_and_meets(None);
    world.status("theirs", "waiting pending");
    world.completed("theirs", "stream", None);
    world.status("theirs", "concluded null");
    assert_eq!(world.ends(), [""; 0], "the marker is asked for");
    finds_marker(&mut world, "", "");
    assert_eq!(world.ends(), ["end 3 theirs succeeded"]);
    world.finds(Findings::default());
    assert_eq!(
        world.ends(),
        [
            "end 1 drive0 lost QemuRestarted inferred for [1]",
            "end 2 theirs lost QemuRestarted inferred"
        ]
    );
}

#[test]
fn an_end_that_is_heard_before_a_marker_is_found_is_the_one_that_was_known() {
    let mut world = marked();
    world.drops_and_meets(None);
    world.status("drive0", "waiting pending");
    world.completed("drive0", "stream", None);
    world.status("drive0", "concluded");
    assert_eq!(world.ends(), [""; 0], "the marker is asked for");
    finds_marker(&mut world, MARKER, "");
    assert_eq!(world.ends(), ["end 1 drive0 succeeded for [1]"]);
}

/// QEMU keeps what the program has started, but which process that is nobody says.
#[test]
fn an_end_from_what_may_be_another_process_is_inferred() {
    let mut world = World::connected("7.2");
    runs_drive0(&mut world);
    world.drops_and_meets(None);
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded inferred for [1]"]);
}

/// The connection ends before the answer: nobody knows, and nothing is waited for.
#[test]
fn an_end_that_waits_for_a_marker_is_told_when_the_connection_ends() {
    let mut world = marked();
    world.drops_and_meets(None);
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), [""; 0], "the marker is asked for");
    world.drops();
    assert_eq!(world.ends(), ["end 1 drive0 succeeded inferred for [1]"]);
}
