//! The facts about QEMU that break naive clients.

use blockjob::qmp::control::Control;

use crate::world::{ONE, World, settings};

#[test]
fn completed_before_the_start_commands_reply_finds_its_handle() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    let start = world.last_command();
    world.status("own-1", "created running waiting pending");
    world.completed("own-1", "stream", None);
    world.status("own-1", "concluded");
    assert_eq!(world.ends(), ["end 1 own-1 succeeded for [1]"]);
    world.replies_to(start, "\"return\": {}");
    assert_eq!(world.story(), ["answer 1 ok"]);
}

#[test]
fn an_event_before_the_greeting_is_genuine() {
    let mut world = World::new("7.2", settings());
    world.session.start(None, world.now, &mut Vec::new());
    world.session.handle_connected(ONE, world.now, &mut Vec::new());
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded"]);
    world.greets();
    world.agrees();
    world.reconciles("", "");
    assert_eq!(world.story().last().unwrap(), "tell CONNECTED - recovered=0");
}

/// QEMU looks who has agreed, and one thread of it writes the event behind the greeting that another
/// one has written meanwhile. What follows on it is said to nobody.
#[test]
fn an_event_behind_the_greeting_may_be_the_last_that_is_heard_for_a_while() {
    let mut world = World::greeted("7.2");
    world.status("j", "created");
    world.agrees();
    let failed = r#"{"id": "j", "type": "create", "status": "concluded", "error": "no directory"}"#;
    world.reconciles(failed, "");
    assert_eq!(world.ends(), ["end 1 j failed \"no directory\" inferred"]);

    let mut world = World::greeted("7.2");
    world.status("j", "created");
    world.agrees();
    world.status("j", "concluded null");
    world.reconciles("", "");
    assert_eq!(world.ends(), ["end 1 j lost Gone inferred"], "nobody knows that it never ran");

    let mut world = World::greeted("7.2");
    world.status("former", "null");
    world.status("j", "created running aborting concluded null");
    assert_eq!(world.ends(), ["end 1 j failed \"?\" inferred"], "all of it was heard");
}

#[test]
fn the_reply_to_a_former_clients_command_is_no_reply_to_ours() {
    let mut world = World::connected("7.2");
    world.drops_and_meets(ONE);
    world.story();
    // A former client of the same kind, and one of another; the lists are still owed.
    world.hears("{\"return\": [], \"id\": \"id-1\"}");
    world.hears("{\"return\": [], \"id\": \"libvirt-7\"}");
    world.hears("{\"return\": []}");
    assert_eq!(world.story(), [""; 0]);
    world.reconciles("", "");
    assert_eq!(world.story().last().unwrap(), "tell CONNECTED - recovered=0 process=same");
}

#[test]
fn a_stream_that_begins_in_mid_message_costs_only_that_message() {
    let mut world = World::new("7.2", settings());
    world.session.start(None, world.now, &mut Vec::new());
    world.session.handle_connected(ONE, world.now, &mut Vec::new());
    world.hears_bytes(b"\"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"j\"}}\r\n");
    world.greets();
    world.agrees();
    world.reconciles("", "");
    let story = world.story();
    assert!(story.iter().all(|line| !line.starts_with("end ")), "{story:?}");
    assert_eq!(story.last().unwrap(), "tell CONNECTED - recovered=0");
}

#[test]
fn a_listing_staler_than_the_events_before_it_brings_no_job_back() {
    let mut world = World::connected("7.2");
    world.drops_and_meets(ONE);
    world.status("j", "created running waiting pending");
    world.completed("j", "stream", None);
    world.status("j", "concluded null");
    assert_eq!(world.ends(), ["end 1 j succeeded"]);
    let stale = r#"{"id": "j", "type": "stream", "status": "running"}"#;
    world.reconciles(stale, r#"{"device": "j", "type": "stream", "status": "running"}"#);
    world.later(3600);
    world.closes();
    assert_eq!(world.ends(), [""; 0], "it has ended, and once");
}

#[test]
fn a_job_that_begins_as_qemu_is_asked_is_not_the_former_one_of_its_id_that_is_still_listed() {
    let mut world = World::connected("7.2");
    world.drops_and_meets(ONE);
    // Another client dismisses a job, and starts the next one.
    world.status("j", "null created running");
    let former = r#"{"id": "j", "type": "stream", "status": "concluded", "current-progress": 9}"#;
    world.reconciles(former, r#"{"device": "j", "type": "stream", "status": "running"}"#);
    assert_eq!(world.ends(), [""; 0], "it runs");
    world.completed("j", "stream", Some("EIO"));
    assert_eq!(world.ends(), ["end 1 j failed \"EIO\""]);
}

#[test]
fn completed_says_nothing_of_the_pivot_and_what_was_asked_does() {
    let end = |asked: &[(Control, bool)]| {
        let mut world = World::connected("7.2");
        world.starts(1, "own-1");
        world.replies("{}");
        world.status("own-1", "created running");
        world.ready("own-1", "mirror");
        for (control, accepted) in asked {
            world.asks(1, *control);
            if *accepted { world.replies("{}") } else { world.refuses("GenericError", "no") }
        }
        world.status("own-1", "waiting pending");
        world.completed("own-1", "mirror", None);
        world.ends().pop().unwrap()
    };
    assert_eq!(end(&[(Control::Complete, true)]), "end 1 own-1 succeeded pivoted for [1]");
    assert_eq!(end(&[(Control::Cancel { force: false }, true)]), "end 1 own-1 succeeded for [1]");
    assert_eq!(end(&[(Control::Complete, false)]), "end 1 own-1 succeeded pivot? for [1]");
    assert_eq!(end(&[]), "end 1 own-1 succeeded pivot? for [1]");
    let both = [(Control::Complete, true), (Control::Cancel { force: false }, true)];
    assert_eq!(end(&both), "end 1 own-1 succeeded pivoted for [1]");
    // It was refused because another client was sooner, as far as anybody knows.
    let refused = [(Control::Complete, false), (Control::Cancel { force: false }, true)];
    assert_eq!(end(&refused), "end 1 own-1 succeeded pivot? for [1]");
}

/// A former life of the program may have told it to complete.
#[test]
fn of_a_job_whose_beginning_was_not_heard_nobody_knows_that_it_has_not_pivoted() {
    let mut world = World::connected("7.2");
    world.drops_and_meets(ONE);
    world.reconciles(r#"{"id": "own-1", "type": "mirror", "status": "ready"}"#, "");
    world.watches(1, "own-1", &[]);
    world.asks(1, Control::Cancel { force: false });
    world.replies("{}");
    world.completed("own-1", "mirror", None);
    assert_eq!(world.ends(), ["end 1 own-1 succeeded pivot? for [1]"]);
}

/// What was asked before a gap counts behind it.
#[test]
fn an_end_that_was_missed_tells_of_the_pivot_what_was_asked_before() {
    let end = |control, answered: bool| {
        let mut world = World::connected("7.2");
        world.starts_as("own-1", "blockdev-mirror");
        world.ready("own-1", "mirror");
        world.asks(1, control);
        if answered {
            world.replies("{}");
        }
        world.drops_and_meets(ONE);
        world.reconciles(r#"{"id": "own-1", "type": "mirror", "status": "concluded"}"#, "");
        world.ends().concat()
    };
    let (soft, force) = (Control::Cancel { force: false }, Control::Cancel { force: true });
    assert_eq!(end(Control::Complete, true), "end 1 own-1 succeeded recovered pivoted for [1]");
    assert_eq!(end(Control::Complete, false), "end 1 own-1 succeeded recovered pivot? for [1]");
    assert_eq!(end(soft, true), "end 1 own-1 succeeded recovered for [1]");
    // The cancel came too late.
    assert_eq!(end(force, true), "end 1 own-1 succeeded recovered for [1]");
}

/// A commit pivots only where it was ready, and that may have been in a gap.
#[test]
fn only_an_active_commit_pivots() {
    let end = |way: &str, gap: bool, complete: bool| {
        let mut world = World::connected("7.2");
        world.starts_as("own-1", "block-commit");
        if gap {
            world.drops_and_meets(ONE);
            world.reconciles(r#"{"id": "own-1", "type": "commit", "status": "running"}"#, "");
        }
        world.status("own-1", way);
        if complete {
            world.asks(1, Control::Complete);
            world.replies("{}");
        }
        world.status("own-1", "waiting pending");
        world.completed("own-1", "commit", None);
        world.ends().concat()
    };
    assert_eq!(end("", false, false), "end 1 own-1 succeeded for [1]");
    assert_eq!(end("", true, false), "end 1 own-1 succeeded pivot? for [1]");
    assert_eq!(end("ready", false, false), "end 1 own-1 succeeded pivot? for [1]");
    assert_eq!(end("ready", true, true), "end 1 own-1 succeeded pivoted for [1]");
}

/// What QEMU says of it is what counts, whatever was asked and however far it came.
#[test]
fn an_end_without_an_error_is_a_success() {
    // Up to 2.11 a forced cancel of a ready mirror ends so.
    let mut world = World::connected("2.9");
    world.starts_as("own-1", "drive-mirror");
    world.ready("own-1", "mirror");
    world.asks(1, Control::Cancel { force: true });
    world.replies("{}");
    world.completed("own-1", "mirror", None);
    assert_eq!(world.ends(), ["end 1 own-1 succeeded for [1]"]);
    for (len, offset) in [(0, 0), (8, 3)] {
        for (error, told) in [("", "succeeded"), (r#", "error": "EIO""#, "failed \"EIO\"")] {
            let mut world = World::connected("7.2");
            let data = format!(
                r#"{{"device": "j", "type": "stream", "len": {len}, "offset": {offset},
                    "speed": 0{error}}}"#
            );
            world.event("BLOCK_JOB_COMPLETED", &data.replace('\n', ""));
            assert_eq!(world.ends(), [format!("end 1 j {told}")]);
        }
    }
}

/// Which of the two was told to complete nobody can say.
#[test]
fn an_end_of_an_old_qemu_waits_for_no_reply_when_another_job_of_its_id_runs() {
    let mut world = World::connected("2.9");
    world.watches(1, "drive0", &[]);
    let ready = r#"{"device": "drive0", "type": "mirror", "len": 8, "offset": 8, "speed": 0}"#;
    world.event("BLOCK_JOB_READY", ready);
    world.asks(1, Control::Complete);
    world.completed("drive0", "mirror", None);
    assert_eq!(world.ends(), [""; 0]);
    world.event("BLOCK_JOB_READY", ready);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded pivot? for [1]"]);
}

/// Before status events an end may overtake its start's reply, and the next job has the same id.
#[test]
fn an_end_before_the_reply_of_an_old_qemu_is_one_and_so_is_the_next() {
    let mut world = World::connected("2.9");
    world.starts(1, "own-1");
    world.completed("own-1", "stream", None);
    assert_eq!(world.ends(), ["end 1 own-1 succeeded for [1]"]);
    world.replies("{}");
    world.completed("own-1", "stream", Some("EIO"));
    assert_eq!(world.ends(), ["end 2 own-1 failed \"EIO\""]);
    world.closes();
    assert_eq!(world.ends(), [""; 0]);
}

/// A complete is refused until the job is ready, whoever sends it.
#[test]
fn a_complete_that_came_too_early_says_nothing_of_the_pivot() {
    let mut world = World::connected("7.2");
    world.starts_as("own-1", "blockdev-mirror");
    world.asks(1, Control::Complete);
    world.refuses("GenericError", "not ready");
    world.ready("own-1", "mirror");
    world.asks(1, Control::Cancel { force: false });
    world.replies("{}");
    world.completed("own-1", "mirror", None);
    assert_eq!(world.ends(), ["end 1 own-1 succeeded for [1]"]);
}

#[test]
fn an_end_that_overtakes_the_reply_to_complete_waits_for_it() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.replies("{}");
    world.status("own-1", "created running");
    world.ready("own-1", "mirror");
    world.asks(1, Control::Complete);
    world.completed("own-1", "mirror", None);
    world.status("own-1", "concluded");
    assert_eq!(world.ends(), [""; 0]);
    world.replies("{}");
    let story = world.story();
    assert_eq!(story, ["end 1 own-1 succeeded pivoted for [1]", "answer 50 ok"]);
}

#[test]
fn an_end_that_overtakes_the_reply_to_a_soft_cancel_waits_for_it() {
    let end = |accepted| {
        let mut world = World::connected("7.2");
        world.starts_as("own-1", "blockdev-mirror");
        world.ready("own-1", "mirror");
        world.asks(1, Control::Cancel { force: false });
        world.completed("own-1", "mirror", None);
        world.status("own-1", "concluded");
        assert_eq!(world.ends(), [""; 0]);
        if accepted {
            world.replies("{}");
        } else {
            world.refuses("GenericError", "no");
        }
        world.ends()
    };
    assert_eq!(end(true), ["end 1 own-1 succeeded for [1]"]);
    assert_eq!(end(false), ["end 1 own-1 succeeded pivot? for [1]"]);
}

#[test]
fn what_a_command_of_the_programs_own_asks_of_a_job_counts_as_well() {
    let end = |command: &str, arguments: &str, accepted| {
        let mut world = World::connected("7.2");
        world.status("j", "created running");
        world.ready("j", "mirror");
        world.executes(command, arguments);
        // The end overtakes the reply, and waits for it.
        world.completed("j", "mirror", None);
        assert_eq!(world.ends(), [""; 0], "{command}");
        if accepted {
            world.replies("{}");
        } else {
            world.refuses("GenericError", "no");
        }
        world.ends().pop().unwrap()
    };
    let device = r#"{"device": "j"}"#;
    assert_eq!(end("block-job-complete", device, true), "end 1 j succeeded pivoted");
    assert_eq!(end("job-complete", r#"{"id": "j"}"#, true), "end 1 j succeeded pivoted");
    assert_eq!(end("block-job-complete", device, false), "end 1 j succeeded pivot?");
    // Other commands, and other jobs, are nothing to it.
    let mut world = World::connected("7.2");
    world.status("j", "created running");
    world.ready("j", "mirror");
    world.executes("job-complete", r#"{"id": "other"}"#);
    world.executes("block-job-complete", r#"{"id": "j"}"#);
    world.executes("job-pause", r#"{"id": "j"}"#);
    world.completed("j", "mirror", None);
    assert_eq!(world.ends(), ["end 1 j succeeded pivot?"]);
}

#[test]
fn a_ready_mirror_of_an_old_qemu_that_quits_has_not_pivoted() {
    let end = |version| {
        let mut world = World::connected(version);
        world.status("m", "created running");
        world.ready("m", "mirror");
        world.shuts_down();
        world.status("m", "waiting pending");
        world.completed("m", "mirror", None);
        world.ends()
    };
    assert_eq!(end("5.2"), ["end 1 m succeeded"]);
    assert_eq!(end("7.2"), ["end 1 m succeeded pivot?"]);
}

/// The guest has shut down, and QEMU was told not to leave with it.
#[test]
fn a_qemu_that_stays_behind_a_shutdown_may_pivot_later() {
    for name in ["RESET", "RESUME"] {
        let mut world = World::connected("5.2");
        world.status("m", "created running");
        world.ready("m", "mirror");
        world.event("SHUTDOWN", r#"{"guest": true, "reason": "guest-shutdown"}"#);
        world.event(name, "{}");
        world.completed("m", "mirror", None);
        assert_eq!(world.ends(), ["end 1 m succeeded pivot?"], "{name}");
    }
}

#[test]
fn only_an_error_tells_failure_whatever_the_offset() {
    let mut world = World::connected("7.2");
    world.status("j", "created running aborting");
    world.completed("j", "stream", Some("Input/output error"));
    assert_eq!(world.ends(), ["end 1 j failed \"Input/output error\""]);
}

#[test]
fn a_job_that_was_undone_before_it_ran_has_an_end_all_the_same() {
    let mut world = World::connected("7.2");
    world.status("j", "created aborting concluded null");
    assert_eq!(world.ends(), ["end 1 j cancelled inferred"]);
    // One that could not even be made.
    world.status("k", "created null");
    assert_eq!(world.ends(), ["end 2 k cancelled inferred"]);
}

#[test]
fn a_start_that_is_refused_is_no_job_and_may_be_tried_again() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.status("own-1", "created null");
    world.refuses("GenericError", "Node is busy");
    let story = world.story();
    assert_eq!(story.last().unwrap(), "answer 1 Remote");
    assert!(story.iter().all(|line| !line.starts_with("end ")), "{story:?}");
    world.starts_watched(1, "block-stream");
    world.replies("{}");
    world.status("own-1", "created running");
    world.cancelled("own-1", "stream");
    assert_eq!(world.ends(), ["end 1 own-1 cancelled for [1]"]);
}

/// The caller was told that whether it was started will show.
#[test]
fn a_start_that_nobody_waits_for_any_more_and_that_is_refused_is_told() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.leaves_start(1);
    assert_eq!(world.ends(), [""; 0], "QEMU has not answered");
    world.refuses("GenericError", "Node is busy");
    assert_eq!(world.ends(), ["end 1 own-1 lost NotStarted inferred for [1]"]);
    world.acknowledges(1);
    assert_eq!(world.story(), ["answer 60 ok"], "there is nothing to dismiss");
}

/// The refusal was read between the end of the caller's time and his saying so.
#[test]
fn a_start_that_was_refused_as_its_caller_left_is_told() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.refuses("GenericError", "Node is busy");
    world.leaves_start(1);
    assert_eq!(world.ends(), ["end 1 own-1 lost NotStarted inferred for [1]"]);
}

/// He gave it no time at all, and does not know that there was no connection.
#[test]
fn a_start_that_could_not_be_sent_and_whose_caller_left_is_told() {
    let mut world = World::connected("7.2");
    world.drops();
    world.starts(1, "own-1");
    assert_eq!(world.story().last().unwrap(), "answer 1 NotConnected");
    world.leaves_start(1);
    assert_eq!(world.ends(), ["end 1 own-1 lost NotStarted inferred for [1]"]);
}

#[test]
fn a_start_that_nobody_waits_for_any_more_and_that_is_accepted_has_its_end() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.leaves_start(1);
    world.status("own-1", "created running");
    world.replies("{}");
    world.leaves_start(1);
    assert_eq!(world.ends(), [""; 0]);
    world.completed("own-1", "stream", None);
    assert_eq!(world.ends(), ["end 1 own-1 succeeded for [1]"]);
}

/// An old QEMU does not say that a job begins: it is heard of when it ends.
#[test]
fn behind_a_refused_start_that_nobody_waits_for_another_of_the_id_has_its_own_end() {
    let mut world = World::connected("2.12");
    world.watches(1, "drive0", &[]);
    world.starts_watched(1, "block-stream");
    world.leaves_start(1);
    world.refuses("GenericError", "Job ID 'drive0' already in use");
    assert_eq!(world.ends(), ["end 1 drive0 lost NotStarted inferred for [1]"]);
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 2 drive0 succeeded"]);
}

#[test]
fn a_transaction_that_hangs_qemu_is_a_state_and_not_an_outcome() {
    let mut with = settings();
    with.keepalive = Some((std::time::Duration::from_secs(10), std::time::Duration::from_secs(5)));
    let mut world = World::connected_with("7.2", with);
    world.status("j1", "created");
    world.story();
    world.later(10);
    assert_eq!(world.story(), ["send query-version"]);
    world.later(5);
    assert_eq!(world.story(), ["stands Unresponsive", "tell UNRESPONSIVE -"]);
    world.later(100_000);
    assert_eq!(world.story(), [""; 0], "neither dead nor lost");
}

#[test]
fn a_job_without_an_event_for_its_end_is_asked_for() {
    let mut world = World::connected("7.2");
    world.status("c0", "created running waiting pending concluded");
    assert_eq!(world.story().last().unwrap(), "send query-jobs");
    world.replies(r#"[{"id": "c0", "type": "create", "status": "concluded"}]"#);
    assert_eq!(world.ends(), ["end 1 c0 succeeded"]);
    world.status("c1", "created running aborting concluded");
    world.replies(
        r#"[{"id": "c0", "type": "create", "status": "concluded"},
            {"id": "c1", "type": "create", "status": "concluded", "error": "No space left"}]"#,
    );
    assert_eq!(world.ends(), ["end 2 c1 failed \"No space left\""]);
}

#[test]
fn one_that_was_dismissed_before_it_could_be_asked_for_is_known_by_its_way() {
    let mut world = World::connected("7.2");
    world.status("c0", "created running waiting pending concluded null");
    assert_eq!(world.ends(), ["end 1 c0 succeeded"]);
    world.status("c1", "created running aborting concluded null");
    assert_eq!(world.ends(), ["end 2 c1 failed \"?\" inferred"]);
    world.replies("[]");
    assert_eq!(world.ends(), [""; 0]);
}

#[test]
fn two_that_conclude_at_once_are_both_asked_for() {
    let mut world = World::connected("7.2");
    world.status("c0", "created running");
    world.status("c1", "created running waiting pending concluded");
    world.status("c0", "waiting pending concluded");
    // The first answer was made before the second job concluded.
    world.replies(
        r#"[{"id": "c1", "type": "create", "status": "concluded"},
                      {"id": "c0", "type": "create", "status": "running"}]"#,
    );
    assert_eq!(world.ends(), ["end 2 c1 succeeded"]);
    world.replies(r#"[{"id": "c0", "type": "create", "status": "concluded"}]"#);
    assert_eq!(world.ends(), ["end 1 c0 succeeded"]);
}

#[test]
fn an_id_that_is_used_again_is_another_job() {
    let mut world = World::connected("7.2");
    for number in 1..=3 {
        world.status("drive0", "created running");
        world.completed("drive0", "stream", None);
        world.status("drive0", "concluded null");
        assert_eq!(world.ends(), [format!("end {number} drive0 succeeded")]);
    }
}

#[test]
fn a_qemu_without_status_changes_has_a_job_for_each_end() {
    let mut world = World::connected("2.9");
    world.completed("drive0", "stream", None);
    world.cancelled("drive0", "mirror");
    assert_eq!(world.ends(), ["end 1 drive0 succeeded", "end 2 drive0 cancelled"]);
}

#[test]
fn an_end_that_is_heard_twice_is_told_once() {
    let mut world = World::connected("7.2");
    world.status("j", "created running");
    world.completed("j", "stream", None);
    world.cancelled("j", "stream");
    world.completed("j", "stream", Some("no"));
    assert_eq!(world.ends(), ["end 1 j succeeded"]);
}

#[test]
fn invalid_json_and_a_truncated_tail_cost_only_themselves() {
    let mut world = World::connected("7.2");
    world.status("j", "created running");
    world.hears("{\"error\": {\"class\": \"GenericError\", \"desc\": \"\"}, \"id\": inf}");
    world.completed("j", "stream", None);
    assert_eq!(world.ends(), ["end 1 j succeeded"]);
    world.status("k", "created running");
    let line = world.line("BLOCK_JOB_COMPLETED", "{\"device\": \"k\"}");
    world.hears_bytes(&line.as_bytes()[..60]);
    world.drops();
    world.closes();
    assert_eq!(world.ends(), ["end 2 k lost Closed inferred"]);
}

#[test]
fn more_jobs_than_may_be_known_are_counted_and_ours_keep_their_place() {
    let mut with = settings();
    with.job_limit = 2;
    let mut world = World::connected_with("7.2", with);
    world.watches(1, "own-1", &["made"]);
    world.status("a", "created");
    world.story();
    world.status("b", "created running");
    world.completed("b", "stream", None);
    assert_eq!(world.story(), ["tell OVERFLOW -", "tell OVERFLOW -", "tell OVERFLOW -"]);
    world.starts_watched(1, "block-stream");
    world.replies("{}");
    world.completed("own-1", "stream", None);
    assert_eq!(world.ends(), ["end 1 own-1 succeeded for [1]"]);
}

/// A listing tells its end, and what was under its id before does not count.
#[test]
fn a_job_that_was_refused_and_is_started_again_has_its_end() {
    let mut world = World::connected("7.2");
    world.watches(1, "own-1", &["made"]);
    world.starts_watched(1, "blockdev-create");
    world.status("own-1", "created null");
    world.refuses("GenericError", "no room");
    world.starts_watched(1, "blockdev-create");
    let start = world.last_command();
    world.status("own-1", "created running");
    world.replies_to(start, "\"return\": {}");
    world.status("own-1", "waiting pending concluded");
    world.replies(r#"[{"id": "own-1", "type": "create", "status": "concluded"}]"#);
    assert_eq!(world.ends(), ["end 1 own-1 succeeded for [1]"]);
}

#[test]
fn a_name_that_jobs_without_an_event_use_again_and_again_has_an_end_each_time() {
    let mut world = World::connected("7.2");
    for round in 1..=3 {
        world.status("c0", "created running waiting pending concluded");
        world.replies(r#"[{"id": "c0", "type": "create", "status": "concluded"}]"#);
        assert_eq!(world.ends(), [format!("end {round} c0 succeeded")]);
        world.status("c0", "null");
    }
}

/// A connection may stand for months.
#[test]
fn the_end_of_a_job_without_an_event_is_told_after_a_hundred_thousand_others() {
    let mut world = World::connected("7.2");
    for number in 0..100_000 {
        let id = format!("j{number}");
        world.completed(&id, "stream", None);
        world.status(&id, "concluded null");
    }
    assert_eq!(world.ends().len(), 100_000);
    world.status("c0", "created running waiting pending concluded");
    world.replies(r#"[{"id": "c0", "type": "create", "status": "concluded"}]"#);
    assert_eq!(world.ends(), ["end 100001 c0 succeeded"]);
}
