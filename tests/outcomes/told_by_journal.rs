//! What the journal has told of a job, and what QEMU's lists and its wire say of it then.

use blockjob::qmp::{
    journal::Findings,
    message::{Message, parse},
};

use crate::{
    gaps::finds_marker,
    journal::{found, journaled},
    world::{ONE, OTHER, World, settings},
};

/// What the journal tells while nobody is connected may be of the process that is met then.
#[test]
fn an_end_that_only_the_journal_has_told_is_not_told_again_of_the_next_process() {
    let mut world = journaled();
    world.drops();
    world.watches(1, "theirs", &[]);
    let way = world.way("theirs", ["created", "running", "waiting", "pending", "concluded"]);
    world.later(60);
    world.finds(found(1, &way));
    assert_eq!(world.ends(), ["end 1 theirs succeeded recovered for [1]"]);
    world.meets(OTHER);
    world.reconciles(r#"{"id": "theirs", "type": "create", "status": "concluded"}"#, "");
    assert_eq!(world.ends(), [""; 0]);
}

/// Only the last word of it was heard, and by the time of the answer another one of its id has run.
#[test]
fn a_job_that_had_concluded_when_it_was_first_heard_of_has_no_later_end() {
    let mut world = journaled();
    world.drops();
    world.later(6);
    world.connects(ONE);
    world.status("theirs", "concluded");
    world.watches(1, "theirs", &[]);
    let over = world.now.wall;
    world.status("theirs", "null");
    let wanted = world.requests.pop().unwrap().wanted.pop().unwrap();
    assert_eq!((wanted.since, wanted.until), (None, Some(over)));
    let end = r#"{"device": "theirs", "type": "backup", "len": 8, "offset": 8, "speed": 0}"#;
    let lines = [
        world.line("JOB_STATUS_CHANGE", r#"{"id": "theirs", "status": "created"}"#),
        world.line("BLOCK_JOB_COMPLETED", end),
    ];
    world.finds(found(1, &lines));
    assert_eq!(world.ends(), ["end 1 theirs lost Gone inferred for [1]"]);
}

/// The first word after the gap was that it has concluded, and the list does not have it any more.
#[test]
fn the_end_of_a_job_that_has_concluded_unheard_was_before_that() {
    let mut world = journaled();
    world.watches(1, "drive0", &[]);
    world.drops();
    world.later(6);
    world.connects(ONE);
    world.status("drive0", "created");
    world.status("drive0", "running");
    let ran = world.now.wall;
    let end = r#"{"device": "drive0", "type": "stream", "len": 8, "offset": 8, "speed": 0}"#;
    let line = world.line("BLOCK_JOB_COMPLETED", end);
    world.status("drive0", "concluded");
    let over = world.now.wall;
    world.greets();
    world.agrees();
    world.reconciles("", "");
    let wanted = world.requests.pop().unwrap().wanted.pop().unwrap();
    assert_eq!((wanted.since, wanted.until), (Some(ran), Some(over)));
    world.finds(found(1, &[line]));
    assert_eq!(world.ends(), ["end 1 drive0 succeeded recovered for [1]"]);
}

/// Its end was missed and its `null` heard; by the time of the answer the journal has been emptied
/// and holds but the next one of its id.
#[test]
fn a_job_of_which_null_was_heard_has_no_later_end() {
    let mut world = journaled();
    world.watches(1, "drive0", &[]);
    world.status("drive0", "created");
    world.status("drive0", "running");
    world.drops();
    world.later(6);
    world.connects(ONE);
    world.status("drive0", "null");
    let over = world.now.wall;
    let wanted = world.requests.pop().unwrap().wanted.pop().unwrap();
    assert_eq!((wanted.job, wanted.until), (1, Some(over)));
    world.status("drive0", "created");
    let end = r#"{"device": "drive0", "type": "mirror", "len": 8, "offset": 8, "speed": 0}"#;
    let line = world.line("BLOCK_JOB_COMPLETED", end);
    world.finds(found(1, &[line]));
    assert_eq!(world.ends(), ["end 1 drive0 lost Gone inferred for [1]"]);
}

/// A start was cut, and another client's job of the id begins behind that.
#[test]
fn what_begins_behind_a_cut_start_is_not_its_end() {
    let mut world = journaled();
    world.watches(1, "drive0", &[]);
    world.starts_watched(1, "block-stream");
    world.drops_and_meets(ONE);
    world.status("drive0", "created");
    let begun = world.now.wall;
    world.reconciles("", "");
    let wanted = world.requests.pop().unwrap().wanted.remove(0);
    assert_eq!((wanted.job, wanted.until), (1, Some(begun.previous())));
}

/// Who was asked for it may be gone by the time of the answer.
#[test]
fn an_end_that_only_the_journal_has_told_is_not_told_again_by_the_next_list() {
    let mut world = journaled();
    world.drops();
    world.watches(1, "theirs", &[]);
    let lines = [
        world.line("JOB_STATUS_CHANGE", r#"{"id": "theirs", "status": "created"}"#),
        world.line("BLOCK_JOB_COMPLETED", r#"{"device": "theirs", "type": "stream"}"#),
    ];
    world.later(6);
    world.meets(ONE);
    world.reconciles("", "");
    assert_eq!(world.story().last().unwrap(), "read for theirs");
    world.drops();
    world.finds(found(1, &lines));
    assert_eq!(world.ends(), ["end 1 theirs succeeded recovered for [1]"]);
    world.later(6);
    world.meets(OTHER);
    world.reconciles(r#"{"id": "theirs", "type": "stream", "status": "concluded"}"#, "");
    assert_eq!(world.ends(), [""; 0]);
}

/// The journal has all of a job before the wire has any of it, and QEMU keeps the job.
fn begins_and_ends_behind_the_list(flags: &[&str]) -> World {
    let mut world = journaled();
    world.drops_and_meets(ONE);
    world.watches(1, "theirs", flags);
    let status = |word| format!(r#"{{"id": "theirs", "status": "{word}"}}"#);
    let end = r#"{"device": "theirs", "type": "stream", "len": 8, "offset": 8, "speed": 0}"#;
    let lines = [
        world.line("JOB_STATUS_CHANGE", &status("created")),
        world.line("JOB_STATUS_CHANGE", &status("running")),
        world.line("BLOCK_JOB_COMPLETED", end),
    ];
    world.reconciles("", "");
    assert_eq!(world.story().last().unwrap(), "read for theirs");
    world.finds(found(1, &lines));
    assert_eq!(world.ends(), ["end 1 theirs succeeded recovered for [1]"]);
    for line in &lines {
        world.hears(line);
    }
    world.status("theirs", "concluded");
    assert_eq!(world.ends(), [""; 0]);
    world
}

#[test]
fn an_end_that_the_journal_told_before_the_wire_did_is_not_told_again_by_the_next_list() {
    let mut world = begins_and_ends_behind_the_list(&[]);
    world.drops_and_meets(ONE);
    world.reconciles(r#"{"id": "theirs", "type": "stream", "status": "concluded"}"#, "");
    assert_eq!(world.ends(), [""; 0]);
}

#[test]
fn a_job_of_which_qemu_has_nothing_more_is_not_the_one_of_the_next_handle() {
    let mut world = begins_and_ends_behind_the_list(&[]);
    world.status("theirs", "null");
    world.watches(2, "theirs", &[]);
    assert_eq!(world.ends(), [""; 0]);
    world.status("theirs", "created running");
    world.completed("theirs", "stream", Some("EIO"));
    assert_eq!(world.ends(), ["end 2 theirs failed \"EIO\" for [2]"]);
}

/// A job of ours ended when there was no connection for too long, as the journal is to tell.
fn ended_and_given_up() -> (World, Findings) {
    let mut world = journaled();
    world.status("own-1", "created running");
    world.watches(1, "own-1", &["exists"]);
    world.drops();
    let end = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "own-1", "type": "stream"}"#);
    world.later(60);
    assert!(world.story().contains(&"read for own-1".into()));
    world.meets(ONE);
    (world, found(1, &[end]))
}

/// It is answered while QEMU says what it has.
#[test]
fn who_waits_until_it_is_dismissed_is_answered_when_the_list_does_not_have_it() {
    let (mut world, findings) = ended_and_given_up();
    world.finds(findings);
    assert_eq!(world.ends(), ["end 1 own-1 succeeded recovered for [1]"]);
    world.reconciles("", "");
    world.story();
    world.acknowledges(1);
    assert_eq!(world.story(), ["answer 60 ok"]);
}

/// The same when the list comes first, which says that it is gone.
#[test]
fn who_waits_until_it_is_dismissed_is_answered_when_the_list_did_not_have_it() {
    let (mut world, findings) = ended_and_given_up();
    world.reconciles("", "");
    world.finds(findings);
    assert_eq!(world.ends(), ["end 1 own-1 succeeded recovered for [1]"]);
    world.acknowledges(1);
    assert_eq!(world.story(), ["answer 60 ok"]);
}

#[test]
fn the_next_process_may_have_an_ended_job_of_the_same_id() {
    let mut world = journaled();
    world.status("theirs", "created running");
    world.drops();
    let end = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "theirs", "type": "stream"}"#);
    world.later(60);
    world.meets(OTHER);
    world.finds(found(1, &[end]));
    assert_eq!(world.ends(), ["end 1 theirs succeeded recovered"]);
    let job =
        r#"{"id": "theirs", "type": "stream", "status": "concluded", "error": "No space left"}"#;
    world.reconciles(job, "");
    assert_eq!(world.ends(), ["end 2 theirs failed \"No space left\" recovered"]);
}

/// It was given up, and then a list did not have it: what its id means from then on is another.
#[test]
fn one_that_was_given_up_and_is_not_listed_is_not_the_next_one_of_its_id() {
    let mut world = journaled();
    world.status("theirs", "created running");
    world.drops();
    world.later(60);
    world.meets(ONE);
    world.reconciles("", "");
    world.finds(Findings::default());
    assert_eq!(world.ends(), ["end 1 theirs lost Gone inferred"]);
    world.drops_and_meets(ONE);
    world.reconciles(r#"{"id": "theirs", "type": "stream", "status": "running"}"#, "");
    world.finds(Findings::default());
    world.completed("theirs", "stream", None);
    assert_eq!(world.ends(), ["end 2 theirs succeeded"]);
}

#[test]
fn a_job_whose_end_the_journal_told_is_dismissed_when_qemu_still_has_it() {
    let ready = |acknowledged_first: bool| {
        let mut world = journaled();
        world.drops_and_meets(ONE);
        world.watches(1, "theirs", &["adopt"]);
        let created = r#"{"id": "theirs", "status": "created"}"#;
        let lines = [
            world.line("JOB_STATUS_CHANGE", created),
            world.line("BLOCK_JOB_COMPLETED", r#"{"device": "theirs", "type": "stream"}"#),
        ];
        world.reconciles("", "");
        world.finds(found(1, &lines));
        assert_eq!(world.ends(), ["end 1 theirs succeeded recovered for [1]"]);
        if acknowledged_first {
            world.acknowledges(1);
        }
        for line in &lines {
            world.hears(line);
        }
        world.status("theirs", "concluded");
        if !acknowledged_first {
            world.acknowledges(1);
        }
        assert_eq!(world.story().last().unwrap(), "send job-dismiss,{id:theirs}");
        world.status("theirs", "null");
        assert_eq!(world.story().last().unwrap(), "answer 60 ok");
    };
    ready(false);
    ready(true);
}

/// By its beginning alone, which the wire brings as well: what is told of that has an end.
#[test]
fn a_job_that_begins_before_its_handle_is_given_up_has_an_end_of_its_own() {
    let mut world = journaled();
    world.drops();
    world.later(6);
    world.connects(ONE);
    world.watches(1, "theirs", &[]);
    let lines = ["created", "running"].map(|word| {
        world.line("JOB_STATUS_CHANGE", &format!(r#"{{"id": "theirs", "status": "{word}"}}"#))
    });
    world.later(60);
    world.finds(found(1, &lines));
    assert_eq!(world.ends(), ["end 1 theirs lost NoConnection inferred for [1]"]);
    for line in &lines {
        world.hears(line);
    }
    world.drops_and_meets(ONE);
    world.reconciles("", "");
    world.finds(Findings::default());
    assert_eq!(world.ends(), ["end 2 theirs lost Gone inferred"]);
}

/// QEMU 2.12.0 lists it without saying how it has ended, and the connection ends while the journal
/// is asked. It has the job still when it lists it again.
#[test]
fn a_kept_job_that_was_given_up_as_the_connection_ended_is_given_up_once() {
    let mut with = settings();
    with.journal = true;
    let mut world = World::connected_with("2.12.0", with);
    world.starts(1, "own-1");
    world.replies("{}");
    let listed = r#"{"device": "own-1", "type": "stream", "status": "concluded", "len": 8,
        "offset": 8, "speed": 0, "auto-dismiss": false}"#;
    world.drops_and_meets(None);
    world.reconciles("", listed);
    assert_eq!(world.story().last().unwrap(), "read for own-1");
    world.drops();
    world.finds(found(1, &[]));
    assert_eq!(world.ends(), ["end 1 own-1 lost Gone inferred for [1]"]);
    world.acknowledges(1);
    world.later(6);
    world.meets(None);
    world.reconciles("", listed);
    world.finds(Findings::default());
    let story = world.story();
    assert!(story.iter().all(|line| !line.starts_with("end ")), "{story:?}");
    assert!(story.iter().all(|line| !line.contains("dismiss")), "{story:?}");
}

/// The same where it is a marker that tells of the restart.
#[test]
fn an_end_that_only_the_journal_has_told_is_not_told_again_when_a_marker_is_gone() {
    let mut with = settings();
    (with.journal, with.marker) = (true, true);
    let mut world = World::new("7.2", with);
    world.begins();
    world.meets(None);
    finds_marker(&mut world, "", "");
    world.finds(Findings::default());
    world.replies("{}");
    world.watches(1, "theirs", &[]);
    world.drops();
    let way = world.way("theirs", ["created", "running", "waiting", "pending", "concluded"]);
    world.later(60);
    world.finds(found(1, &way));
    assert_eq!(world.ends(), ["end 1 theirs succeeded recovered for [1]"]);
    world.meets(None);
    finds_marker(&mut world, "", r#"{"id": "theirs", "type": "create", "status": "concluded"}"#);
    assert_eq!(world.ends(), [""; 0]);
}

/// QEMU has another one by the id, which lived when QEMU was asked for its jobs: what ends behind
/// that is this one's.
#[test]
fn an_end_behind_the_list_is_the_listed_ones_and_not_the_one_that_it_does_not_have() {
    let mut with = settings();
    with.journal = true;
    let mut world = World::connected_with("2.12.1", with);
    world.watches(1, "drive2", &[]);
    world.starts_watched(1, "blockdev-backup");
    world.drops_and_meets(ONE);
    let listed = r#"{"device": "drive2", "type": "backup", "status": "running", "len": 8,
        "offset": 4, "speed": 0, "auto-dismiss": true}"#;
    world.reconciles("", listed);
    let data = r#"{"device": "drive2", "type": "backup", "len": 8, "offset": 4, "speed": 0}"#;
    let line = world.line("BLOCK_JOB_CANCELLED", data);
    let wanted = &world.requests.pop().unwrap().wanted[0];
    let Message::Event { timestamp, .. } = parse(&line).unwrap() else { panic!("{line}") };
    assert!(wanted.job == 1 && wanted.until < timestamp, "{wanted:?}");
    world.finds(found(1, std::slice::from_ref(&line)));
    assert_eq!(world.ends(), ["end 1 drive2 lost NotStarted inferred for [1]"]);
    world.hears(&line);
    assert_eq!(world.ends(), ["end 2 drive2 cancelled"]);
}
