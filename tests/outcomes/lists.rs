//! What QEMU's lists say of jobs, and of which jobs they say it.

use blockjob::{model::Settings, qmp::control::Control};

use crate::{
    journal::{found, journaled},
    world::{ONE, World, settings},
};

#[test]
fn our_own_cancel_tells_a_cancelled_job_from_a_failed_one_in_the_listing() {
    let end = |accepted: bool| {
        let mut world = World::connected("7.2");
        world.starts(1, "own-1");
        world.replies("{}");
        world.status("own-1", "created running");
        world.asks(1, Control::Cancel { force: true });
        if accepted {
            world.replies("{}");
        }
        world.drops_and_meets(ONE);
        let listed = r#"{"id": "own-1", "status": "concluded", "error": "Operation canceled"}"#;
        world.reconciles(listed, "");
        world.ends().pop().unwrap()
    };
    assert_eq!(end(true), "end 1 own-1 cancelled recovered for [1]");
    assert_eq!(end(false), "end 1 own-1 cancelled inferred for [1]", "it may have been accepted");
}

/// Another client has dismissed ours meanwhile, and started one of the same id.
#[test]
fn a_kept_job_is_not_the_one_that_qemu_lists_as_younger_or_as_not_kept() {
    let listed = |before: &str, listed: &str, block: &str| {
        let mut world = World::connected("7.2");
        world.watches(1, "drive0", &[]);
        world.starts_watched(1, "block-stream");
        world.status("drive0", &format!("created running {before}"));
        world.replies("{}");
        world.drops_and_meets(ONE);
        world.reconciles(
            &format!(r#"{{"id": "drive0", "type": "stream", "status": "{listed}"}}"#),
            &format!(r#"{{"device": "drive0", "type": "stream", "auto-dismiss": {block}}}"#),
        );
        world.ends().concat()
    };
    let lost = "end 1 drive0 lost Gone inferred for [1]";
    for (before, after, says) in [
        ("running", "running", ""),
        ("running", "paused", ""),
        ("paused", "running", ""),
        ("ready", "standby", ""),
        ("ready standby", "ready", ""),
        ("waiting", "pending", ""),
        ("waiting pending", "aborting", ""),
        ("ready", "running", lost),
        ("waiting", "standby", lost),
        ("waiting pending", "waiting", lost),
        ("aborting", "pending", lost),
        ("aborting concluded", "created", lost),
        ("waiting pending concluded", "aborting", lost),
    ] {
        assert_eq!(listed(before, after, "false"), says, "{before}, then {after}");
    }
    assert_eq!(listed("", "running", "true"), lost, "ours would be kept");
}

/// A job that is ready ends well by a cancel without force. One that does not has failed by itself,
/// and QEMU says that it was completed; by force, or before it was ready, it was cancelled,
/// whatever it failed with.
#[test]
fn a_ready_job_that_fails_after_a_soft_cancel_has_failed() {
    let end = |ready: bool, ask: &dyn Fn(&mut World), error: &str| {
        let mut world = World::connected("7.2");
        world.starts_as("own-1", "blockdev-mirror");
        if ready {
            world.ready("own-1", "mirror");
        }
        ask(&mut world);
        world.replies("{}");
        world.drops_and_meets(ONE);
        world.reconciles(
            &format!(r#"{{"id": "own-1", "status": "concluded", "error": "{error}"}}"#),
            "",
        );
        world.ends().concat()
    };
    let cancel = |force: bool| move |world: &mut World| world.asks(1, Control::Cancel { force });
    let sends = |arguments: &'static str| {
        move |world: &mut World| world.executes("block-job-cancel", arguments)
    };
    let cancelled = "end 1 own-1 cancelled recovered for [1]";
    let failed = "end 1 own-1 failed \"Input/output error\" recovered for [1]";
    for (error, canceled) in [("Input/output error", false), ("Operation canceled", true)] {
        let soft = if canceled { cancelled } else { failed };
        assert_eq!(end(true, &cancel(false), error), soft);
        assert_eq!(end(true, &sends(r#"{"device": "own-1"}"#), error), soft);
        assert_eq!(end(true, &sends(r#"{"device": "own-1", "force": false}"#), error), soft);
        assert_eq!(end(true, &cancel(true), error), cancelled);
        assert_eq!(end(true, &sends(r#"{"device": "own-1", "force": true}"#), error), cancelled);
        assert_eq!(end(false, &cancel(false), error), cancelled);
        assert_eq!(
            end(true, &|world| world.executes("job-cancel", r#"{"id": "own-1"}"#), error),
            cancelled
        );
    }
}

/// QEMU 2.12.0 lists what has concluded, and not with which error.
#[test]
fn a_list_without_errors_says_of_no_job_that_it_succeeded() {
    let listed = |version: &'static str| {
        let mut world = World::connected(version);
        world.watches(1, "own-1", &["made"]);
        world.starts_watched(1, "drive-backup");
        world.replies("{}");
        let concluded = r#"{"device": "own-1", "type": "backup", "status": "concluded",
            "auto-dismiss": false}"#;
        for _ in 0..2 {
            world.drops_and_meets(ONE);
            world.reconciles("", &concluded.replace('\n', ""));
        }
        world.ends()
    };
    assert_eq!(listed("2.12"), ["end 1 own-1 lost Gone inferred for [1]"]);
    assert_eq!(listed("2.12.1"), ["end 1 own-1 succeeded recovered for [1]"]);
}

/// Where there is a journal, it knows how it ended; and QEMU has it still.
#[test]
fn what_a_list_without_errors_does_not_say_a_journal_does() {
    for known in [true, false] {
        let with = Settings { journal: true, ..settings() };
        let mut world = World::connected_with("2.12", with);
        if known {
            world.watches(1, "own-1", &["made"]);
            world.starts_watched(1, "drive-backup");
            world.replies("{}");
        }
        let end = r#"{"device": "own-1", "type": "backup", "len": 8, "offset": 1, "speed": 0, "error": "EIO"}"#;
        let line = world.line("BLOCK_JOB_COMPLETED", end);
        world.drops_and_meets(ONE);
        let concluded = r#"{"device": "own-1", "type": "backup", "status": "concluded", "auto-dismiss": false}"#;
        world.reconciles("", concluded);
        let request = world.requests.pop().unwrap();
        assert_eq!(request.wanted[0].since.is_some(), known);
        world.finds(found(1, &[line]));
        let handles = if known { " for [1]" } else { "" };
        assert_eq!(world.ends(), [format!("end 1 own-1 failed \"EIO\" recovered{handles}")]);
        world.story();
        world.acknowledges(1);
        assert_eq!(world.story(), ["send block-job-dismiss,{id:own-1}"]);
    }
}

/// Its answer may come behind a gap.
#[test]
fn what_a_journal_has_told_of_a_job_that_an_old_qemu_keeps_is_not_told_again() {
    let with = Settings { journal: true, ..settings() };
    let mut world = World::connected_with("2.12", with);
    let end = r#"{"device": "drive0", "type": "backup", "len": 8, "offset": 1, "speed": 0, "error": "EIO"}"#;
    let line = world.line("BLOCK_JOB_COMPLETED", end);
    let concluded =
        r#"{"device": "drive0", "type": "backup", "status": "concluded", "auto-dismiss": false}"#;
    world.drops_and_meets(ONE);
    world.reconciles("", concluded);
    world.drops();
    world.finds(found(1, &[line]));
    assert_eq!(world.ends(), ["end 1 drive0 failed \"EIO\" recovered"]);
    world.later(6);
    world.meets(ONE);
    world.reconciles("", concluded);
    assert_eq!(world.ends(), [""; 0]);
}

/// A QEMU without status events says nothing when it forgets a job, and may keep it.
#[test]
fn a_job_that_an_old_qemu_keeps_is_told_once() {
    let mut world = World::connected("2.12.1");
    world.completed("drive0", "backup", Some("EIO"));
    world.completed("drive1", "backup", None);
    assert_eq!(world.ends(), ["end 1 drive0 failed \"EIO\"", "end 2 drive1 succeeded"]);
    world.drops_and_meets(ONE);
    let kept = r#"{"device": "drive0", "type": "backup", "status": "concluded", "error": "EIO", "auto-dismiss": false}"#;
    world.reconciles("", kept);
    assert_eq!(world.ends(), [""; 0]);
    // The other one was not kept.
    world.drops_and_meets(ONE);
    let another =
        r#"{"device": "drive1", "type": "backup", "status": "concluded", "auto-dismiss": false}"#;
    world.reconciles("", another);
    assert_eq!(world.ends(), ["end 3 drive1 succeeded recovered"]);
}

/// Who makes a handle then waits for the next one.
#[test]
fn a_handle_behind_a_job_that_an_old_qemu_keeps_is_for_the_next() {
    let mut world = World::connected("2.12.1");
    world.completed("drive0", "backup", None);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded"]);
    world.watches(1, "drive0", &[]);
    world.drops_and_meets(ONE);
    world.reconciles(
        "",
        r#"{"device": "drive0", "type": "backup", "status": "concluded", "auto-dismiss": false}"#,
    );
    assert_eq!(world.ends(), [""; 0]);
    world.completed("drive0", "backup", Some("EIO"));
    assert_eq!(world.ends(), ["end 2 drive0 failed \"EIO\" inferred for [1]"]);
}

/// Nor do those that it may keep fill the monitor.
#[test]
fn jobs_that_an_old_qemu_may_keep_leave_room() {
    let mut world = World::connected_with("2.12.1", Settings { job_limit: 8, ..settings() });
    for number in 0..100 {
        world.completed(&format!("j{number}"), "backup", None);
    }
    assert_eq!(world.ends().len(), 100);
}

/// As far as the list says it, a job that was cancelled has failed so.
#[test]
fn operation_canceled_without_a_known_cancel_is_inferred() {
    let mut world = World::connected("7.2");
    world.watches(1, "own-7", &["adopt"]);
    world.status("own-7", "created running");
    world.drops_and_meets(ONE);
    world
        .reconciles(r#"{"id": "own-7", "status": "concluded", "error": "Operation canceled"}"#, "");
    assert_eq!(world.ends(), ["end 1 own-7 failed \"Operation canceled\" inferred for [1]"]);
}

/// Who says that a job exists is not left waiting for it.
#[test]
fn a_handle_for_a_job_that_exists_is_settled_by_what_qemu_has_now() {
    for version in ["2.9", "7.2"] {
        let asks = if version == "2.9" { "query-block-jobs" } else { "query-jobs" };
        let list = |jobs: &str| format!("[{jobs}]");
        let watches = || {
            let mut world = World::connected(version);
            world.watches(1, "drive0", &["exists"]);
            assert_eq!(world.story(), [format!("send {asks}")]);
            world
        };
        let mut world = watches();
        world.replies(&list(""));
        assert_eq!(world.ends(), ["end 1 drive0 lost Gone inferred for [1]"]);

        // What QEMU has of it is its own.
        let id = if version == "2.9" { "device" } else { "id" };
        let running = format!(r#"{{"{id}": "drive0", "type": "stream", "status": "running"}}"#);
        let mut world = watches();
        world.replies(&list(&running));
        assert_eq!(world.ends(), [""; 0]);
        world.completed("drive0", "stream", None);
        assert_eq!(world.ends(), ["end 1 drive0 succeeded for [1]"]);

        // It began or ended behind the question.
        let mut world = watches();
        world.completed("drive0", "stream", None);
        world.replies(&list(""));
        assert_eq!(world.ends(), ["end 1 drive0 succeeded for [1]"]);

        // An answer that says nothing is no answer; the next connection brings another.
        let mut world = watches();
        world.refuses("GenericError", "no");
        assert_eq!(world.ends(), [""; 0]);
    }
    let mut world = World::connected("7.2");
    world.watches(1, "drive0", &["exists"]);
    world.replies(r#"[{"id": "drive0", "type": "create", "status": "concluded"}]"#);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded recovered for [1]"]);

    // The journal knows.
    let mut world = journaled();
    world.watches(1, "drive0", &["exists"]);
    let end = r#"{"device": "drive0", "type": "stream", "len": 8, "offset": 8, "speed": 0}"#;
    let line = world.line("BLOCK_JOB_COMPLETED", end);
    world.replies("[]");
    assert_eq!(world.story().last().unwrap(), "read for drive0");
    world.finds(found(1, &[line]));
    assert_eq!(world.ends(), ["end 1 drive0 succeeded recovered for [1]"]);
}

/// Another client dismisses it while the list that has it is on its way.
#[test]
fn a_handle_is_for_the_job_that_qemu_forgot_behind_it_and_not_before_it() {
    let concluded = r#"{"id": "drive0", "type": "stream", "status": "concluded"}"#;
    let mut world = World::greeted("7.2");
    world.agrees();
    world.watches(1, "drive0", &[]);
    world.status("drive0", "null");
    world.reconciles(concluded, "");
    assert_eq!(world.ends(), ["end 1 drive0 succeeded recovered for [1]"]);

    let mut world = World::greeted("7.2");
    world.agrees();
    world.status("drive0", "null");
    world.watches(1, "drive0", &[]);
    world.reconciles(concluded, "");
    assert_eq!(world.ends(), [""; 0]);
    world.status("drive0", "created running");
    world.completed("drive0", "stream", Some("EIO"));
    assert_eq!(world.ends(), ["end 1 drive0 failed \"EIO\" for [1]"]);
}

/// QEMU has dismissed ours, and another client's has taken the id, before anybody heard of it.
#[test]
fn a_job_that_has_ended_is_not_one_that_ended_otherwise() {
    let listed = |error: Option<&str>, listed: &str| {
        let mut world = World::connected("7.2");
        world.watches(1, "drive0", &[]);
        world.starts_watched(1, "block-stream");
        world.replies("{}");
        world.status("drive0", "created running");
        world.completed("drive0", "stream", error);
        world.status("drive0", "concluded");
        world.story();
        world.acknowledges(1);
        assert_eq!(world.story(), ["send job-dismiss,{id:drive0}"]);
        world.drops_and_meets(ONE);
        world.story();
        world.reconciles(&format!(r#"{{"id": "drive0", "status": "concluded", {listed}}}"#), "");
        let heard = |line: &String| line.starts_with("end") || line.starts_with("send");
        world.story().into_iter().filter(heard).collect::<Vec<_>>()
    };
    let again = ["send job-dismiss,{id:drive0}"];
    assert_eq!(listed(None, r#""type": "stream""#), again);
    assert_eq!(listed(Some("EIO"), r#""type": "stream", "error": "EIO""#), again);
    assert_eq!(listed(None, r#""type": "stream", "total-progress": 8"#), again);
    assert_eq!(listed(None, r#""type": "create""#), ["end 2 drive0 succeeded recovered"]);
    let longer = r#""type": "stream", "total-progress": 9"#;
    assert_eq!(listed(None, longer), ["end 2 drive0 succeeded recovered"]);
    let failed = ["end 2 drive0 failed \"EIO\" recovered"];
    assert_eq!(listed(None, r#""type": "stream", "error": "EIO""#), failed);
    let succeeded = ["end 2 drive0 succeeded recovered"];
    assert_eq!(listed(Some("EIO"), r#""type": "stream""#), succeeded);
}

#[test]
fn a_job_that_was_given_up_is_not_one_of_another_type() {
    let given_up = || {
        let mut world = World::connected("7.2");
        world.drops_and_meets(ONE);
        world.reconciles(r#"{"id": "drive0", "type": "stream", "status": "running"}"#, "");
        world.drops();
        world.later(60);
        assert_eq!(world.ends(), ["end 1 drive0 lost NoConnection inferred"]);
        world.meets(ONE);
        world
    };
    let mut world = given_up();
    world.reconciles(r#"{"id": "drive0", "type": "backup", "status": "running"}"#, "");
    world.completed("drive0", "backup", None);
    assert_eq!(world.ends(), ["end 2 drive0 succeeded"]);

    let mut world = given_up();
    world.reconciles(r#"{"id": "drive0", "type": "stream", "status": "running"}"#, "");
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), [""; 0], "it may be the one that was given up");
}

/// By a process that is not known to be the same, QEMU's keeping of a job says nothing.
#[test]
fn what_an_unknown_process_has_by_an_id_that_others_use_is_inferred() {
    let ends = |id: &str, process| {
        let mut world = World::connected("7.2");
        world.watches(1, id, &[]);
        world.starts_watched(1, "block-stream");
        world.replies("{}");
        world.status(id, "created running");
        world.drops_and_meets(process);
        let listed = format!(r#"{{"id": "{id}", "type": "stream", "status": "concluded"}}"#);
        world.reconciles(&listed, "");
        world.ends().concat()
    };
    assert_eq!(ends("drive0", ONE), "end 1 drive0 succeeded recovered for [1]");
    assert_eq!(ends("drive0", None), "end 1 drive0 succeeded inferred for [1]");
    assert_eq!(ends("own-1", None), "end 1 own-1 succeeded recovered for [1]");
}

/// A job that stands still, and has become ready before that.
#[test]
fn a_job_that_became_ready_meanwhile_is_told_so_while_it_is_paused() {
    let mut world = World::connected("7.2");
    world.starts_as("own-1", "blockdev-mirror");
    let standby = r#"{"id": "own-1", "type": "mirror", "status": "standby"}"#;
    let ready = r#"{"device": "own-1", "type": "mirror", "status": "standby", "ready": true}"#;
    for told in [vec!["tell BLOCK_JOB_READY own-1"], vec![]] {
        world.drops_and_meets(ONE);
        world.reconciles(standby, ready);
        let mut story = world.story();
        story.retain(|line| line.contains("READY"));
        assert_eq!(story, told);
    }
}

/// QEMU has finished with a former connection's commands before it agrees.
#[test]
fn a_job_that_begins_behind_the_agreement_is_not_one_whose_start_was_cut() {
    let mut world = World::connected("7.2");
    world.watches(1, "drive0", &[]);
    world.starts_watched(1, "block-stream");
    world.drops_and_meets(ONE);
    let jobs = world.last_command() - 1;
    world.story();
    world.status("drive0", "created running");
    world.replies_to(jobs, "\"return\": []");
    world.replies("[]");
    assert_eq!(world.ends(), ["end 1 drive0 lost NotStarted inferred for [1]"]);
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 2 drive0 succeeded"]);
    world.status("drive0", "concluded");
    world.story();
    world.acknowledges(2);
    assert_eq!(world.story(), ["answer 60 ok"], "it is another's");

    // One that was heard to begin was started.
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.status("own-1", "created running");
    world.drops_and_meets(ONE);
    world.reconciles("", "");
    assert_eq!(world.ends(), ["end 1 own-1 lost Dismissed inferred for [1]"]);
}

/// QEMU kept ours, and another client has dismissed it and started the next.
#[test]
fn a_job_that_has_ended_does_nothing_more() {
    let mut world = World::connected("7.2");
    world.watches(1, "drive0", &[]);
    world.starts_watched(1, "block-stream");
    world.replies("{}");
    world.status("drive0", "created running");
    world.completed("drive0", "stream", None);
    world.status("drive0", "concluded");
    assert_eq!(world.ends(), ["end 1 drive0 succeeded for [1]"]);
    world.drops();
    world.later(6);
    world.connects(ONE);
    world.status("drive0", "pending");
    world.completed("drive0", "stream", Some("EIO"));
    world.status("drive0", "concluded null");
    assert_eq!(world.ends(), ["end 2 drive0 failed \"EIO\""]);
}

#[test]
fn a_job_does_not_go_back_in_its_life() {
    let mut world = World::connected("7.2");
    world.watches(1, "drive0", &[]);
    world.starts_watched(1, "block-stream");
    world.replies("{}");
    world.status("drive0", "created running waiting pending");
    world.drops();
    world.later(6);
    world.connects(ONE);
    world.status("drive0", "waiting");
    assert_eq!(world.ends(), ["end 1 drive0 lost Gone inferred for [1]"]);
    world.status("drive0", "pending");
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 2 drive0 succeeded"]);

    // Ours was no block job, and had concluded without an event for its end.
    let mut world = World::connected("7.2");
    world.watches(1, "drive0", &[]);
    world.starts_watched(1, "blockdev-create");
    world.replies("{}");
    world.status("drive0", "created running aborting concluded");
    world.drops();
    world.later(6);
    world.connects(ONE);
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 1 drive0 lost Gone inferred for [1]", "end 2 drive0 succeeded"]);
}

/// What was heard to begin before a gap is over when another begins behind it.
#[test]
fn of_a_cut_start_two_jobs_that_begin_have_an_end_each() {
    let mut world = World::connected("7.2");
    world.watches(1, "drive0", &[]);
    world.starts_watched(1, "block-stream");
    world.status("drive0", "created running");
    world.drops();
    world.later(6);
    world.connects(ONE);
    world.status("drive0", "created");
    assert_eq!(world.ends(), ["end 1 drive0 lost Gone inferred for [1]"]);
    world.greets();
    world.agrees();
    world.reconciles(r#"{"id": "drive0", "type": "stream", "status": "running"}"#, "");
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 2 drive0 succeeded inferred"]);
}

/// Another's job was undone before ours began.
#[test]
fn of_two_jobs_that_begin_before_the_start_is_answered_the_first_is_anothers() {
    let mut world = World::connected("7.2");
    world.watches(1, "drive0", &[]);
    world.starts_watched(1, "block-stream");
    world.status("drive0", "created null created running");
    assert_eq!(world.ends(), ["end 2 drive0 cancelled inferred"]);
    world.replies("{}");
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 1 drive0 succeeded for [1]"]);
}
