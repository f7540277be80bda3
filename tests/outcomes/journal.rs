//! What the journal of QEMU's events makes known.

use std::collections::BTreeSet;

use blockjob::{
    model::{Event, Timestamp},
    qmp::{
        decode::decode,
        journal::{Findings, Position},
        message::{Message, parse},
    },
};

use crate::world::{ONE, OTHER, World, settings};

pub fn journaled() -> World {
    let mut with = settings();
    with.journal = true;
    World::connected_with("7.2", with)
}

/// A job ran before a gap, and one of its id does after it; the journal is asked which.
fn doubted(id: &str) -> World {
    let mut world = journaled();
    world.status(id, "created running");
    world.drops_and_meets(ONE);
    let job = format!(r#"{{"id": "{id}", "type": "stream", "status": "running"}}"#);
    world.reconciles(&job, "");
    world
}

/// Events as the journal has them.
pub fn found(job: u64, lines: &[String]) -> Findings {
    let event = |line: &String| -> Event {
        let Message::Event { name, timestamp, data } = parse(line).unwrap() else { panic!() };
        decode(&name, timestamp, data, line).unwrap()
    };
    Findings { jobs: vec![(job, lines.iter().map(event).collect())], ..Findings::default() }
}

#[test]
fn what_the_journal_has_behind_the_next_job_is_not_the_former_ones() {
    let mut world = journaled();
    world.status("drive0", "created running aborting");
    world.status("drive0", "waiting");
    let wanted = world.requests.pop().unwrap().wanted.remove(0);
    assert_eq!((wanted.job, wanted.until), (1, wanted.since));
}

/// What was there before nobody knows.
#[test]
fn a_journal_whose_beginning_is_gone_clears_no_doubt() {
    let cut_off = |lines: &dyn Fn(&mut World) -> Vec<String>| {
        let mut world = doubted("drive0");
        let lines = lines(&mut world);
        world.finds(Findings { cut_off: BTreeSet::from([1]), ..found(1, &lines) });
        world
    };
    let mut world = cut_off(&|_| Vec::new());
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded inferred"]);

    let end = r#"{"device": "drive0", "type": "stream", "len": 8, "offset": 8, "speed": 0}"#;
    let mut world = cut_off(&|world| vec![world.line("BLOCK_JOB_COMPLETED", end)]);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded inferred"]);

    // The wire has told that one as well.
    let mut world = doubted("drive0");
    let line = world.line("BLOCK_JOB_COMPLETED", end);
    world.hears(&line);
    world.finds(Findings { cut_off: BTreeSet::from([1]), ..found(1, &[line]) });
    assert_eq!(world.ends(), ["end 1 drive0 succeeded inferred"]);

    // Not even that it was undone, or the way by which it came to its end.
    for last in ["created", "created running waiting pending"] {
        let mut world = journaled();
        world.status("drive0", last);
        world.drops_and_meets(ONE);
        let concluded = r#"{"id": "drive0", "status": "concluded"}"#;
        let line = world.line("JOB_STATUS_CHANGE", concluded);
        world.reconciles("", "");
        world.finds(Findings { cut_off: BTreeSet::from([1]), ..found(1, &[line]) });
        assert_eq!(world.ends(), ["end 1 drive0 lost Gone inferred"], "{last}");
    }

    // An id that is made once means no other job.
    let mut world = journaled();
    world.starts(1, "own-1");
    world.replies("{}");
    world.status("own-1", "created running");
    world.drops_and_meets(ONE);
    let end = r#"{"device": "own-1", "type": "stream", "len": 8, "offset": 8, "speed": 0}"#;
    let line = world.line("BLOCK_JOB_COMPLETED", end);
    world.reconciles("", "");
    world.finds(Findings { cut_off: BTreeSet::from([1]), ..found(1, &[line]) });
    assert_eq!(world.ends(), ["end 1 own-1 succeeded recovered for [1]"]);
}

/// One that cannot be read is as good as none.
#[test]
fn a_journal_that_cannot_be_read_clears_no_doubt() {
    let mut world = doubted("drive0");
    let request = world.requests.pop().unwrap();
    world.finds(Findings::failed(&request, "Permission denied".into()));
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded inferred"]);
    // One that has been read does.
    let mut world = doubted("drive0");
    world.finds(found(1, &[]));
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded"]);
}

#[test]
fn what_would_be_lost_is_what_happened() {
    let mut world = journaled();
    world.status("theirs", "created running");
    world.drops();
    let line = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "theirs", "error": "EIO"}"#);
    world.later(6);
    world.meets(ONE);
    world.story();
    world.reconciles("", "");
    assert_eq!(world.story(), ["read for theirs"], "CONNECTED waits for it");
    let since = world.requests[0].wanted[0].since;
    assert_eq!(since, Some(Timestamp { seconds: 1000, microseconds: 2 }));
    world.finds(found(1, &[line]));
    assert_eq!(
        world.story(),
        [
            "end 1 theirs failed \"EIO\" recovered",
            "stands Connected",
            "tell CONNECTED - recovered=1 process=same"
        ]
    );
}

#[test]
fn what_the_journal_does_not_know_either_is_lost() {
    let mut world = journaled();
    world.status("theirs", "created running");
    world.drops_and_meets(OTHER);
    assert!(world.ends().is_empty());
    world.reconciles("", "");
    world.finds(Findings::default());
    assert_eq!(world.ends(), ["end 1 theirs lost QemuRestarted inferred"]);
}

#[test]
fn of_a_job_that_only_the_journal_has_heard_of_it_tells_the_end_or_that_it_is_gone() {
    let told = |lines: &[(&str, &str)]| {
        let mut world = journaled();
        world.watches(1, "theirs", &[]);
        let lines: Vec<String> = lines.iter().map(|(name, data)| world.line(name, data)).collect();
        world.drops_and_meets(ONE);
        world.reconciles("", "");
        world.finds(found(1, &lines));
        world.ends()
    };
    let created = ("JOB_STATUS_CHANGE", r#"{"id": "theirs", "status": "created"}"#);
    let cancelled = ("BLOCK_JOB_CANCELLED", r#"{"device": "theirs", "type": "stream"}"#);
    assert_eq!(told(&[]), ["end 1 theirs lost Unheard inferred for [1]"]);
    assert_eq!(told(&[created]), ["end 1 theirs lost Gone inferred for [1]"]);
    assert_eq!(told(&[created, cancelled]), ["end 1 theirs cancelled recovered for [1]"]);
}

#[test]
fn one_that_began_behind_the_list_in_which_it_does_not_stand_is_not_gone() {
    let mut world = journaled();
    world.watches(1, "theirs", &[]);
    world.drops_and_meets(ONE);
    world.reconciles("", "");
    // It is read sooner than the wire.
    let created = world.line("JOB_STATUS_CHANGE", r#"{"id": "theirs", "status": "created"}"#);
    world.finds(found(1, std::slice::from_ref(&created)));
    assert_eq!(world.ends(), [""; 0]);
    world.hears(&created);
    world.status("theirs", "running");
    world.completed("theirs", "stream", None);
    assert_eq!(world.ends(), ["end 1 theirs succeeded for [1]"]);
}

#[test]
fn one_that_began_in_a_later_gap_is_judged_by_the_next_list() {
    let began = |listed: &str| {
        let mut world = journaled();
        world.watches(1, "theirs", &[]);
        world.drops_and_meets(ONE);
        world.reconciles("", "");
        world.drops();
        let created = world.line("JOB_STATUS_CHANGE", r#"{"id": "theirs", "status": "created"}"#);
        world.finds(found(1, &[created]));
        assert_eq!(world.ends(), [""; 0]);
        world.later(6);
        world.meets(ONE);
        world.reconciles(listed, "");
        assert_eq!(world.story().last().unwrap(), "read for theirs");
        world
    };
    let mut world = began(r#"{"id": "theirs", "type": "stream", "status": "running"}"#);
    world.finds(Findings::default());
    world.completed("theirs", "stream", None);
    assert_eq!(world.ends(), ["end 1 theirs succeeded for [1]"]);
    let mut world = began("");
    world.finds(Findings::default());
    assert_eq!(world.ends(), ["end 1 theirs lost Gone inferred for [1]"]);
}

/// Since when a handle waits is no moment at which its job lived.
#[test]
fn one_that_is_listed_and_was_not_heard_of_began_behind_the_making_of_its_handle() {
    let mut world = journaled();
    world.drops();
    world.watches(1, "theirs", &[]);
    let created = world.line("JOB_STATUS_CHANGE", r#"{"id": "theirs", "status": "created"}"#);
    world.later(6);
    world.meets(ONE);
    let job = r#"{"id": "theirs", "type": "stream", "status": "running"}"#;
    world.reconciles(job, "");
    world.drops_and_meets(ONE);
    world.reconciles(job, "");
    world.finds(found(1, &[created]));
    assert_eq!(world.ends(), [""; 0]);
    world.completed("theirs", "stream", None);
    assert_eq!(world.ends(), ["end 1 theirs succeeded for [1]"]);
}

/// What was read before a gap says nothing of it.
#[test]
fn a_gap_that_begins_while_the_journal_is_read_is_asked_for_as_well() {
    let mut world = doubted("theirs");
    let read = world.requests.pop().unwrap();
    world.drops();
    let line = world.line("BLOCK_JOB_CANCELLED", r#"{"device": "theirs", "type": "stream"}"#);
    world.later(6);
    world.connects(ONE);
    world.greets();
    let alive = r#"{"id": "theirs", "status": "running"}"#;
    let mut findings = found(1, &[world.line("JOB_STATUS_CHANGE", alive)]);
    findings.jobs[0].1[0].timestamp = Some(Timestamp { seconds: 1000, microseconds: 2 });
    world.agrees();
    world.finds(findings);
    world.status("theirs", "concluded null");
    world.reconciles("", "");
    let again = world.requests.pop().unwrap();
    assert_eq!(again.wanted[0].since, read.wanted[0].since);
    world.finds(found(1, &[line]));
    assert_eq!(world.ends(), ["end 1 theirs cancelled recovered"]);
}

#[test]
fn it_is_asked_when_qemu_is_dead_and_when_it_is_given_up() {
    let mut world = journaled();
    world.status("theirs", "created running");
    world.drops();
    let line = world.line("BLOCK_JOB_CANCELLED", r#"{"device": "theirs", "type": "stream"}"#);
    world.process_ends();
    assert_eq!(world.story().last().unwrap(), "read for theirs");
    world.finds(found(1, &[line]));
    assert_eq!(world.ends(), ["end 1 theirs cancelled recovered"]);

    let mut world = journaled();
    world.status("theirs", "created running");
    world.drops();
    world.later(60);
    assert!(world.story().contains(&"read for theirs".into()));
    world.finds(Findings::default());
    assert_eq!(world.ends(), ["end 1 theirs lost NoConnection inferred"]);
}

/// Nobody has heard of it, and a handle was made for it before it began.
#[test]
fn a_job_that_comes_and_goes_in_the_gap_in_which_it_was_asked_for_is_told() {
    let mut world = journaled();
    world.drops();
    world.watches(1, "theirs", &[]);
    let status = |world: &mut World, word| {
        world.line("JOB_STATUS_CHANGE", &format!(r#"{{"id": "theirs", "status": "{word}"}}"#))
    };
    let mut lines = vec![status(&mut world, "created"), status(&mut world, "running")];
    lines.push(world.line("BLOCK_JOB_COMPLETED", r#"{"device": "theirs", "type": "stream"}"#));
    world.later(6);
    world.meets(ONE);
    world.story();
    world.reconciles("", "");
    assert_eq!(world.story(), ["read for theirs"], "CONNECTED waits for it");
    world.finds(found(1, &lines));
    assert_eq!(world.ends(), ["end 1 theirs succeeded recovered for [1]"]);
    // The next one of its name is another handle's.
    world.status("theirs", "created running");
    world.completed("theirs", "stream", Some("EIO"));
    assert_eq!(world.ends(), ["end 2 theirs failed \"EIO\""]);
}

#[test]
fn a_job_that_was_asked_for_in_a_gap_may_be_yet_to_come() {
    let mut world = journaled();
    world.drops();
    world.watches(1, "theirs", &[]);
    world.later(6);
    world.meets(ONE);
    world.reconciles("", "");
    world.finds(Findings::default());
    assert_eq!(world.ends(), [""; 0], "nobody has had it");
    world.status("theirs", "created running");
    world.completed("theirs", "stream", None);
    assert_eq!(world.ends(), ["end 1 theirs succeeded for [1]"]);
}

/// One of its id has ended in the gap, as the journal knows, and the next one as it is read.
#[test]
fn an_end_that_comes_while_the_journal_tells_a_former_one_is_the_next_jobs() {
    // That each begins is what this QEMU does not tell.
    let mut with = settings();
    with.journal = true;
    let mut world = World::connected_with("2.9", with);
    world.drops();
    world.watches(1, "drive0", &[]);
    let former = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "drive0", "type": "mirror"}"#);
    world.later(6);
    world.meets(ONE);
    world.story();
    world.reconciles("", "");
    world.completed("drive0", "stream", Some("EIO"));
    assert_eq!(world.ends(), [""; 0]);
    world.finds(found(1, &[former]));
    let both = ["end 1 drive0 succeeded recovered pivot? for [1]", "end 2 drive0 failed \"EIO\""];
    assert_eq!(world.ends(), both);
}

/// The wire is behind the journal: what it has told of a former one ended before that.
#[test]
fn an_end_that_the_wire_still_has_is_told_once_when_a_former_one_came_by_it_before() {
    let mut with = settings();
    with.journal = true;
    let mut world = World::connected_with("2.9", with);
    world.drops();
    world.later(6);
    world.meets(ONE);
    let former = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "drive0", "type": "mirror"}"#);
    world.watches(1, "drive0", &[]);
    let next = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "drive0", "type": "stream"}"#);
    world.story();
    world.reconciles("", "");
    assert_eq!(world.story(), ["read for drive0"]);
    world.hears(&former);
    assert_eq!(world.ends(), [""; 0]);
    world.finds(found(1, std::slice::from_ref(&next)));
    assert_eq!(world.ends(), ["end 1 drive0 succeeded pivot? for [1]"]);
    world.hears(&next);
    assert_eq!(world.ends(), ["end 2 drive0 succeeded"]);
}

/// Its end waits for the journal, and QEMU has said that it forgot it; where the next one of its id
/// began nobody has heard.
#[test]
fn a_job_that_is_heard_of_behind_a_held_end_is_the_next_one() {
    let mut world = journaled();
    world.status("drive0", "created running");
    world.drops();
    world.later(6);
    world.connects(ONE);
    world.cancelled("drive0", "stream");
    world.status("drive0", "concluded null");
    assert_eq!(world.ends(), [""; 0]);
    world.greets();
    world.event("RESUME", "{}");
    world.event(
        "BLOCK_JOB_ERROR",
        r#"{"device": "drive0", "operation": "read", "action": "report"}"#,
    );
    assert_eq!(world.ends(), ["end 1 drive0 cancelled inferred"]);
    world.completed("drive0", "stream", Some("EIO"));
    world.agrees();
    let job = r#"{"id": "drive0", "type": "stream", "status": "concluded", "error": "EIO"}"#;
    world.reconciles(job, "");
    assert_eq!(world.ends(), ["end 2 drive0 failed \"EIO\""]);
}

/// It died with its QEMU, and the next QEMU's job of its id has an end.
#[test]
fn what_the_journal_tells_of_the_next_process_is_no_end_of_the_formers_jobs() {
    let mut with = settings();
    with.journal = true;
    let mut world = World::connected_with("2.12", with);
    let ready = r#"{"device": "drive0", "type": "mirror", "len": 8, "offset": 8, "speed": 0}"#;
    world.event("BLOCK_JOB_READY", ready);
    world.drops();
    world.later(6);
    world.connects(OTHER);
    let next = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "drive0", "type": "mirror"}"#);
    world.drops();
    world.later(6);
    world.meets(OTHER);
    world.reconciles("", "");
    assert_eq!(world.story().last().unwrap(), "read for drive0");
    world.finds(found(1, &[next]));
    assert_eq!(world.ends(), ["end 1 drive0 lost QemuRestarted inferred"]);
}

/// What it is asked for then is what counts, not what it said before.
#[test]
fn a_qemu_that_dies_while_its_journal_is_read_is_asked_for_again() {
    let mut world = doubted("theirs");
    assert_eq!(world.story().last().unwrap(), "read for theirs");
    world.drops();
    world.process_ends();
    world.finds(found(1, &[]));
    assert_eq!(world.story().last().unwrap(), "read for theirs");
    world.finds(found(1, &[]));
    assert_eq!(world.ends(), ["end 1 theirs lost QemuGone inferred"]);
}

#[test]
fn a_name_used_again_in_the_gap_is_two_jobs() {
    let mut world = journaled();
    world.status("drive0", "created running");
    world.drops();
    let first = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "drive0", "error": "EIO"}"#);
    world.later(6);
    world.meets(ONE);
    world.reconciles(r#"{"id": "drive0", "type": "stream", "status": "running"}"#, "");
    // The end of the second comes while the journal is being read.
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), [""; 0]);
    world.finds(found(1, &[first]));
    assert_eq!(world.ends(), ["end 1 drive0 failed \"EIO\" recovered", "end 2 drive0 succeeded"]);
}

#[test]
fn the_journal_clears_a_doubt() {
    let mut world = doubted("drive0");
    world.finds(Findings::default());
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded"]);
}

#[test]
fn a_job_that_begins_behind_one_that_the_journal_told_of_is_not_the_one_that_is_still_listed() {
    let mut world = journaled();
    world.status("drive0", "created running");
    let line = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "drive0", "type": "backup"}"#);
    world.drops_and_meets(OTHER);
    world.finds(found(1, &[line]));
    assert_eq!(world.ends(), ["end 1 drive0 succeeded recovered"]);
    // Another client dismisses the second of its id, which has concluded, and starts a third.
    world.status("drive0", "null created running");
    let second = r#"{"id": "drive0", "type": "stream", "status": "concluded"}"#;
    world.reconciles(second, r#"{"device": "drive0", "type": "stream", "status": "running"}"#);
    world.completed("drive0", "stream", Some("EIO"));
    assert_eq!(world.ends(), ["end 2 drive0 failed \"EIO\""]);
}

#[test]
fn an_end_that_both_the_wire_and_the_journal_tell_is_told_once() {
    let mut world = doubted("drive0");
    // The journal has it already, the wire still has it under way.
    let line = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "drive0", "type": "stream"}"#);
    world.finds(found(1, std::slice::from_ref(&line)));
    assert_eq!(world.ends(), ["end 1 drive0 succeeded recovered"]);
    world.hears(&line);
    world.status("drive0", "concluded null");
    world.closes();
    assert_eq!(world.ends(), [""; 0]);
}

#[test]
fn a_job_without_an_event_for_its_end_is_known_by_its_way() {
    let mut world = journaled();
    world.status("c0", "created running");
    world.drops();
    let status = |world: &mut World, word| {
        world.line("JOB_STATUS_CHANGE", &format!(r#"{{"id": "c0", "status": "{word}"}}"#))
    };
    let lines: Vec<String> =
        ["aborting", "concluded", "null"].map(|word| status(&mut world, word)).into();
    world.later(6);
    world.meets(ONE);
    world.reconciles("", "");
    world.finds(found(1, &lines));
    assert_eq!(world.ends(), ["end 1 c0 failed \"?\" inferred"]);
}

/// A program begins that has come to this position of the journal.
fn begins_at(position: &str, job_limit: usize) -> World {
    let mut with = settings();
    (with.journal, with.job_limit) = (true, job_limit);
    with.journal_position = Some(position.into());
    let mut world = World::new("7.2", with);
    world.session.start(None, world.now, &mut Vec::new());
    world
}

/// It has come to this moment, and the journal is asked for jobs of its own.
fn asks_for_forgotten() -> World {
    asks_for_forgotten_of(64)
}

fn asks_for_forgotten_of(job_limit: usize) -> World {
    let mut world = begins_at("1:0:cbf29ce484222325@1000000100", job_limit);
    world.meets(ONE);
    world.reconciles("", "");
    let request = world.requests.pop().expect("the journal is asked");
    assert_eq!(request.prefix.as_deref(), Some("own-"));
    world.story();
    world
}

fn forgotten<const N: usize>(ends: [(&str, u32); N]) -> Findings {
    let end = |(id, micros): (&str, u32)| {
        let text = format!(
            r#"{{"timestamp": {{"seconds": 1000, "microseconds": {micros}}}, "event":
                "BLOCK_JOB_COMPLETED", "data": {{"device": "{id}", "type": "stream"}}}}"#
        );
        found(0, &[text]).jobs.remove(0).1.remove(0)
    };
    Findings { others: ends.map(end).into(), ..Findings::default() }
}

#[test]
fn jobs_that_nobody_remembers_are_found_behind_the_position_and_before_it_none() {
    let mut world = asks_for_forgotten();
    world.finds(forgotten([("own-1", 100), ("own-2", 101)]));
    assert_eq!(world.ends(), ["end 1 own-2 succeeded recovered"], "the other was told before");
}

/// Who remembers it is told of it once, and by whom it comes first does not matter.
#[test]
fn a_remembered_job_that_the_journal_has_told_of_is_not_told_again_as_one_that_nobody_remembers() {
    let mut world = begins_at("1:0:cbf29ce484222325", 64);
    world.watches(1, "own-1", &["exists"]);
    world.meets(ONE);
    world.reconciles("", "");
    let end = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "own-1", "type": "stream"}"#);
    world.finds(found(1, std::slice::from_ref(&end)));
    assert_eq!(world.ends(), ["end 1 own-1 succeeded recovered for [1]"]);
    let others = found(1, &[end]).jobs.remove(0).1;
    world.finds(Findings { others, ..Findings::default() });
    assert_eq!(world.ends(), [""; 0]);
}

#[test]
fn a_job_that_the_wire_has_told_of_is_not_told_again_as_one_that_nobody_remembers() {
    let mut world = begins_at("1:0:cbf29ce484222325", 64);
    world.connects(ONE);
    let end = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "own-2", "type": "stream"}"#);
    world.hears(&end);
    world.status("own-2", "concluded null");
    assert_eq!(world.ends(), ["end 1 own-2 succeeded"]);
    world.greets();
    world.agrees();
    world.reconciles("", "");
    let others = found(1, &[end]).jobs.remove(0).1;
    world.finds(Findings { others, ..Findings::default() });
    assert_eq!(world.ends(), [""; 0]);
}

/// QEMU may have them, and is asked first.
#[test]
fn jobs_that_nobody_remembers_are_not_asked_for_before_qemu_was() {
    let mut world = begins_at("1:0:cbf29ce484222325", 64);
    world.drops();
    world.later(60);
    assert!(world.requests.is_empty());
    world.meets(ONE);
    world.reconciles(r#"{"id": "own-2", "type": "stream", "status": "concluded"}"#, "");
    assert_eq!(world.ends(), ["end 1 own-2 succeeded recovered"]);
    world.finds(forgotten([("own-2", 101)]));
    assert_eq!(world.ends(), [""; 0]);
}

#[test]
fn a_job_that_died_with_its_qemu_meanwhile_is_none_that_nobody_remembers() {
    let mut world = begins_at("1:0:cbf29ce484222325", 64);
    world.meets(ONE);
    world.reconciles(r#"{"id": "own-1", "type": "stream", "status": "running"}"#, "");
    let end = world.line("BLOCK_JOB_CANCELLED", r#"{"device": "own-1", "type": "stream"}"#);
    world.later(1);
    world.drops();
    world.process_ends();
    let others = found(0, std::slice::from_ref(&end)).jobs.remove(0).1;
    world.finds(Findings { others, ..Findings::default() });
    assert_eq!(world.story().last().unwrap(), "read for own-1");
    world.finds(found(1, &[end]));
    assert_eq!(world.ends(), ["end 1 own-1 cancelled recovered"]);
}

#[test]
fn jobs_that_nobody_remembers_and_that_have_no_room_are_counted() {
    let mut world = asks_for_forgotten_of(1);
    world.status("theirs", "created running");
    world.story();
    world.finds(forgotten([("own-2", 101)]));
    assert_eq!(world.story()[0], "tell OVERFLOW -");
    assert_eq!(world.ends(), [""; 0]);
}

#[test]
fn what_the_journal_finds_behind_closed_is_not_told() {
    let mut world = asks_for_forgotten();
    world.closes();
    assert_eq!(world.story().last().map(String::as_str), Some("tell CLOSED -"));
    world.finds(forgotten([("own-2", 101)]));
    assert_eq!(world.story(), [""; 0]);
}

#[test]
fn a_remembered_job_does_not_hide_those_that_nobody_remembers() {
    let mut world = begins_at("1:0:cbf29ce484222325", 64);
    world.watches(1, "own-1", &["exists"]);
    world.meets(ONE);
    world.reconciles("", "");
    let position = Position::parse("1:9:cbf29ce484222325");
    world.finds(Findings { position, ..Findings::default() });
    let request = world.requests.pop().expect("the journal is asked once more");
    assert_eq!(request.prefix.as_deref(), Some("own-"));
    assert_eq!(request.from.map(Position::offset), Some(0), "from where the program had come to");
}

/// It was listed, and so it lived then; but it may have begun after the list was asked for.
#[test]
fn a_job_that_begins_while_qemu_is_asked_for_its_jobs_is_the_one_that_is_listed() {
    let mut world = journaled();
    world.drops_and_meets(ONE);
    let begun = world.line("JOB_STATUS_CHANGE", r#"{"id": "theirs", "status": "created"}"#);
    world.reconciles(r#"{"id": "theirs", "type": "mirror", "status": "running"}"#, "");
    world.drops_and_meets(ONE);
    let end = world.line("BLOCK_JOB_CANCELLED", r#"{"device": "theirs", "type": "mirror"}"#);
    world.reconciles("", "");
    let number = world.requests.pop().unwrap().wanted[0].job;
    world.finds(found(number, &[begun, end]));
    assert_eq!(world.ends(), ["end 1 theirs cancelled recovered"]);
}

/// What the journal says comes late, when QEMU is asked once more which jobs it has: by then the next
/// job may have ended as well.
#[test]
fn a_next_job_that_a_late_journal_shows_is_looked_for_from_its_beginning() {
    let mut world = doubted("drive0");
    let end = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "drive0", "type": "stream"}"#);
    let begun = world.line("JOB_STATUS_CHANGE", r#"{"id": "drive0", "status": "created"}"#);
    let next = world.now.wall;
    let over = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "drive0", "error": "EIO"}"#);
    world.drops_and_meets(ONE);
    world.finds(found(1, &[end, begun.clone()]));
    assert_eq!(world.ends(), ["end 1 drive0 succeeded recovered"]);
    world.reconciles("", "");
    let wanted = world.requests.pop().unwrap().wanted.remove(0);
    assert_eq!((wanted.id.as_str(), wanted.since), ("drive0", Some(next)));
    world.finds(found(wanted.job, &[begun, over]));
    assert_eq!(world.ends(), ["end 2 drive0 failed \"EIO\" recovered"]);
}

/// What the wire still brings of it begins no other job.
#[test]
fn an_end_that_the_journal_tells_covers_what_the_wire_still_has_of_the_job() {
    let mut world = doubted("theirs");
    let late = world.line("JOB_STATUS_CHANGE", r#"{"id": "theirs", "status": "waiting"}"#);
    let end = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "theirs", "type": "stream"}"#);
    world.finds(found(1, &[late.clone(), end.clone()]));
    world.hears(&late);
    world.hears(&end);
    world.status("theirs", "concluded null");
    world.closes();
    assert_eq!(world.ends(), ["end 1 theirs succeeded recovered"]);
}

/// It is another's, so the first one died with its QEMU.
#[test]
fn a_creation_behind_what_a_job_did_says_that_the_job_is_gone() {
    let mut world = journaled();
    world.status("drive0", "created running");
    world.drops();
    let ready = world.line("JOB_STATUS_CHANGE", r#"{"id": "drive0", "status": "ready"}"#);
    let anew = world.line("JOB_STATUS_CHANGE", r#"{"id": "drive0", "status": "created"}"#);
    world.later(6);
    world.meets(None);
    world.reconciles(r#"{"id": "drive0", "type": "stream", "status": "running"}"#, "");
    world.finds(found(1, &[ready, anew]));
    assert_eq!(world.ends(), ["end 1 drive0 lost Gone inferred"]);
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 2 drive0 succeeded"]);
}

/// The journal tells how a former job of the id ended, a handle is made for the next one, and then
/// the wire brings the former's end as well.
#[test]
fn an_end_that_the_wire_has_late_does_not_end_the_next_job() {
    for started in [false, true] {
        let mut world = journaled();
        world.status("drive0", "created running");
        world.drops_and_meets(ONE);
        world.reconciles("", "");
        let line = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "drive0", "type": "stream"}"#);
        world.finds(found(1, std::slice::from_ref(&line)));
        assert_eq!(world.ends(), ["end 1 drive0 succeeded recovered"]);
        world.watches(1, "drive0", &[]);
        if started {
            world.starts_watched(1, "block-stream");
        }
        world.hears(&line);
        world.status("drive0", "concluded null");
        assert_eq!(world.ends(), [""; 0], "started: {started}");
        world.status("drive0", "created running");
        world.completed("drive0", "stream", Some("EIO"));
        assert_eq!(world.ends(), ["end 2 drive0 failed \"EIO\" for [1]"], "started: {started}");
    }
}

/// A late word of a job whose end the journal told makes it seem alive. The wire still has the end.
fn seems_to_live() -> (World, String) {
    let mut world = doubted("drive0");
    let end = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "drive0", "type": "stream"}"#);
    world.finds(found(1, std::slice::from_ref(&end)));
    assert_eq!(world.ends(), ["end 1 drive0 succeeded recovered"]);
    world
        .event("BLOCK_JOB_ERROR", r#"{"device": "drive0", "operation": "read", "action": "stop"}"#);
    (world, end)
}

/// A late word of a job whose end the journal told makes it seem alive, and a handle watches that.
#[test]
fn a_handle_of_a_job_that_only_seems_to_live_waits_for_the_next_one() {
    let (mut world, end) = seems_to_live();
    world.watches(1, "drive0", &[]);
    world.hears(&end);
    world.status("drive0", "concluded null");
    assert_eq!(world.ends(), [""; 0]);
    world.status("drive0", "created running");
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 3 drive0 succeeded for [1]"]);
}

/// Without a handle nothing of it is left, to which one that comes later could be attached.
#[test]
fn of_a_job_that_only_seemed_to_live_nothing_is_left() {
    let (mut world, end) = seems_to_live();
    world.hears(&end);
    world.story();
    world.watches(1, "drive0", &[]);
    assert_eq!(world.story(), [""; 0], "it waits for the next one");
    world.status("drive0", "concluded null created running");
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 3 drive0 succeeded for [1]"]);
}

/// What the journal has of the former one is not looked at again.
#[test]
fn the_next_job_is_looked_for_behind_the_last_word_of_the_former_one() {
    let (mut world, end) = seems_to_live();
    world.watches(1, "drive0", &[]);
    world.hears(&end);
    world.status("drive0", "concluded null");
    let last = world.now.wall;
    world.drops_and_meets(ONE);
    world.reconciles("", "");
    let since = world.requests.pop().unwrap().wanted[0].since;
    assert!(since > Some(last), "{since:?}");
}

#[test]
fn an_end_before_the_shutdown_is_not_the_shutdowns() {
    let mut with = settings();
    with.journal = true;
    let mut world = World::connected_with("5.2", with);
    let end = world.line("BLOCK_JOB_COMPLETED", r#"{"device": "m", "type": "mirror"}"#);
    world.drops();
    world.watches(1, "m", &["exists"]);
    world.later(6);
    world.meets(ONE);
    world.reconciles("", "");
    world.shuts_down();
    world.finds(found(1, &[end]));
    assert_eq!(world.ends(), ["end 1 m succeeded recovered pivot? for [1]"]);
}
