//! Starting, watching, acknowledging.

use blockjob::qmp::control::Control;

use crate::{
    journal::{found, journaled},
    world::{ONE, OTHER, World, settings},
};

const RUNNING: &str = r#"{"id": "own-1", "type": "stream", "status": "running"}"#;
const CONCLUDED: &str =
    r#"{"id": "own-1", "type": "stream", "status": "concluded", "current-progress": 3}"#;

#[test]
fn a_job_is_started_with_its_id_and_kept_by_qemu_until_it_is_acknowledged() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    assert_eq!(
        world.story(),
        ["send block-stream,{job-id:own-1,auto-dismiss:false,device: d}}".replace("}}", "}")]
    );
    world.replies("{}");
    world.status("own-1", "created running");
    world.completed("own-1", "stream", None);
    world.status("own-1", "concluded");
    world.story();
    world.acknowledges(1);
    assert_eq!(world.story(), ["send job-dismiss,{id:own-1}"]);
    world.status("own-1", "null");
    world.replies("{}");
    assert_eq!(world.story(), ["tell JOB_STATUS_CHANGE own-1 null", "answer 60 ok"]);
    world.drops_and_meets(ONE);
    world.reconciles("", "");
    assert_eq!(world.ends(), [""; 0]);
}

#[test]
fn an_acknowledgement_before_the_job_has_concluded_waits_for_that() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.replies("{}");
    world.completed("own-1", "stream", None);
    world.story();
    world.acknowledges(1);
    assert_eq!(world.story(), [""; 0]);
    world.status("own-1", "concluded");
    assert_eq!(world.story()[1], "send job-dismiss,{id:own-1}");
}

#[test]
fn what_others_started_is_never_dismissed_unless_it_was_adopted() {
    let mut world = World::connected("7.2");
    for (number, id) in [(1, "theirs"), (2, "adopted")] {
        if id == "adopted" {
            world.watches(1, id, &["adopt"]);
        }
        world.status(id, "created running");
        world.completed(id, "stream", None);
        world.status(id, "concluded");
        world.story();
        world.acknowledges(number);
        let dismissed = world.story().iter().any(|line| line.contains("job-dismiss"));
        assert_eq!(dismissed, id == "adopted");
    }
}

#[test]
fn a_dismissal_that_was_cut_off_is_made_again_and_nothing_told_twice() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.replies("{}");
    world.completed("own-1", "stream", None);
    world.status("own-1", "concluded");
    world.story();
    world.acknowledges(1);
    world.drops_and_meets(ONE);
    assert!(world.story().contains(&"answer 60 NotConnected".into()));
    world.reconciles(CONCLUDED, "");
    let story = world.story();
    assert_eq!(story.last().unwrap(), "send job-dismiss,{id:own-1}");
    assert!(story.iter().all(|line| !line.starts_with("end ")), "{story:?}");
}

#[test]
fn a_foreign_job_that_has_concluded_is_told_once_over_any_number_of_connections() {
    let mut world = World::connected("7.2");
    let theirs = r#"{"id": "theirs", "type": "backup", "status": "concluded", "error": "EIO"}"#;
    for time in 0..3 {
        world.drops_and_meets(ONE);
        world.reconciles(theirs, "");
        let ends = world.ends();
        if time == 0 {
            assert_eq!(ends, ["end 1 theirs failed \"EIO\" recovered"]);
            world.acknowledges(1);
        } else {
            assert_eq!(ends, [""; 0]);
        }
    }
}

#[test]
fn after_a_restart_of_the_program_its_jobs_are_found_and_told_as_recovered() {
    let mut world = World::new("7.2", crate::world::settings());
    world.session.start(None, world.now, &mut Vec::new());
    world.meets(ONE);
    world.reconciles(
        &format!("{CONCLUDED}, {}", r#"{"id": "theirs", "type": "stream", "status": "concluded"}"#),
        "",
    );
    let story = world.story();
    assert_eq!(
        story[story.len() - 4..],
        [
            "end 1 own-1 succeeded recovered",
            "end 2 theirs succeeded recovered",
            "stands Connected",
            "tell CONNECTED - recovered=2"
        ]
    );
    world.acknowledges(1);
    world.acknowledges(2);
    let dismissed: Vec<_> =
        world.story().into_iter().filter(|line| line.contains("dismiss")).collect();
    assert_eq!(dismissed, ["send job-dismiss,{id:own-1}"]);
}

#[test]
fn a_handle_for_a_running_an_ended_and_a_coming_job_is_bound_to_it() {
    let mut world = World::connected("7.2");
    world.status("a", "created running");
    world.watches(1, "a", &[]);
    world.status("b", "created running");
    world.completed("b", "stream", None);
    world.status("b", "concluded");
    world.story();
    world.watches(2, "b", &[]);
    assert_eq!(world.story(), ["attach 2 to 2"]);
    world.watches(3, "c", &[]);
    world.status("c", "created running");
    world.completed("c", "stream", None);
    world.cancelled("a", "stream");
    assert_eq!(world.ends(), ["end 3 c succeeded for [3]", "end 1 a cancelled for [1]"]);
}

#[test]
fn a_handle_for_a_job_that_was_started_before_and_is_unknown_is_lost() {
    let mut world = World::connected("7.2");
    world.watches(1, "own-9", &["exists"]);
    world.watches(2, "to-come", &[]);
    world.drops_and_meets(ONE);
    world.reconciles("", "");
    // The other may have come and gone while nobody listened.
    assert_eq!(
        world.ends(),
        ["end 1 own-9 lost Gone inferred for [1]", "end 2 to-come lost Unheard inferred for [2]"]
    );
}

#[test]
fn a_job_that_begins_after_its_handle_was_told_of_none_has_an_end_of_its_own() {
    let mut world = World::connected("7.2");
    world.watches(1, "to-come", &[]);
    world.drops_and_meets(ONE);
    world.reconciles("", "");
    assert_eq!(world.ends(), ["end 1 to-come lost Unheard inferred for [1]"]);
    world.watches(2, "to-come", &[]);
    world.status("to-come", "created running");
    world.completed("to-come", "stream", None);
    assert_eq!(world.ends(), ["end 2 to-come succeeded for [2]"]);
}

#[test]
fn a_job_that_qemu_forgot_is_not_the_one_that_it_has_by_this_id_after_the_next_gap() {
    let mut world = World::connected("7.2");
    world.status("drive0", "created running");
    world.drops_and_meets(ONE);
    world.reconciles("", "");
    assert_eq!(world.ends(), ["end 1 drive0 lost Gone inferred"]);
    world.drops_and_meets(ONE);
    world.reconciles(r#"{"id": "drive0", "type": "stream", "status": "running"}"#, "");
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 2 drive0 succeeded"]);
}

#[test]
fn a_cut_start_is_settled_by_what_qemu_has() {
    let settled = |listed: &str| {
        let mut world = World::connected("7.2");
        world.starts(1, "own-1");
        world.drops_and_meets(ONE);
        assert!(world.story().contains(&"answer 1 Reset".into()));
        world.reconciles(listed, "");
        world.ends()
    };
    assert_eq!(settled(""), ["end 1 own-1 lost NotStarted inferred for [1]"]);
    assert_eq!(settled(CONCLUDED), ["end 1 own-1 succeeded recovered for [1]"]);
    assert_eq!(settled(RUNNING), [""; 0]);
}

#[test]
fn nothing_is_sent_without_a_connection() {
    let mut world = World::connected("7.2");
    world.watches(1, "own-1", &["made"]);
    world.drops();
    world.story();
    world.starts_watched(1, "block-stream");
    assert_eq!(world.story(), ["answer 1 NotConnected"]);
}

/// All of its life may come before QEMU's answer to its start, and another answer be waited for.
#[test]
fn a_job_that_ended_before_its_start_was_answered_was_not_undone() {
    let mut world = World::connected("7.2");
    world.watches(1, "own-1", &["made"]);
    world.starts_watched(1, "blockdev-mirror");
    let start = world.last_command();
    world.asks(1, Control::Complete);
    world.status("own-1", "created running");
    world.ready("own-1", "mirror");
    world.completed("own-1", "mirror", None);
    world.status("own-1", "concluded null");
    world.replies_to(start, r#""return": {}"#);
    world.refuses("DeviceNotActive", "no job");
    let ends = world.ends();
    assert!(ends[0].starts_with("end 1 own-1 succeeded"), "{ends:?}");
    assert_eq!(ends.len(), 1);
}

#[test]
fn a_handle_starts_one_job() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    let says = |world: &mut World, why: &str| {
        world.story();
        world.starts_watched(1, "block-stream");
        assert_eq!(world.story(), ["answer 1 Already"], "{why}");
    };
    says(&mut world, "it is being started");
    world.status("own-1", "created running");
    world.replies("{}");
    says(&mut world, "QEMU has it");
    world.completed("own-1", "stream", None);
    assert_eq!(world.ends(), ["end 1 own-1 succeeded for [1]"]);
    says(&mut world, "it has ended");
}

/// A transaction that QEMU takes back makes its jobs and undoes them, and says so before it answers.
#[test]
fn a_job_that_was_undone_before_its_start_was_answered_has_an_end() {
    let undone = || {
        let mut world = World::connected("7.2");
        world.starts(1, "own-1");
        world.status("own-1", "created null");
        assert_eq!(world.ends(), [""; 0], "the reply may refuse it");
        world
    };
    let mut world = undone();
    world.replies("{}");
    assert_eq!(world.ends(), ["end 1 own-1 cancelled inferred for [1]"]);
    let mut world = undone();
    world.drops();
    assert_eq!(world.ends(), ["end 1 own-1 cancelled inferred for [1]"], "no reply will come");
}

/// A start by an id that others may use, and another client was sooner.
fn refused_for_anothers_job() -> World {
    let mut world = World::connected("7.2");
    world.watches(1, "drive0", &[]);
    world.starts_watched(1, "block-stream");
    world.status("drive0", "created running");
    world.refuses("GenericError", "Job ID 'drive0' already in use");
    assert_eq!(world.ends(), [""; 0]);
    world.story();
    world
}

/// Another's job ends and stays in QEMU, and nothing is asked of it when that was acknowledged.
fn ends_and_is_left(mut world: World) {
    world.completed("drive0", "stream", None);
    world.status("drive0", "concluded");
    assert_eq!(world.ends(), ["end 1 drive0 succeeded for [1]"]);
    world.acknowledges(1);
    assert_eq!(world.story(), ["answer 60 ok"]);
}

#[test]
fn a_job_for_which_a_start_was_refused_is_anothers_and_is_not_dismissed() {
    ends_and_is_left(refused_for_anothers_job());
}

#[test]
fn a_job_for_which_a_start_was_refused_and_that_is_gone_is_lost() {
    let mut world = refused_for_anothers_job();
    world.drops_and_meets(ONE);
    world.reconciles("", "");
    assert_eq!(world.ends(), ["end 1 drive0 lost Gone inferred for [1]"]);
}

/// Whose it is the reply says, which has not come.
fn ends_before_its_start_is_answered(id: &str) -> World {
    let mut world = World::connected("7.2");
    world.watches(1, id, &[]);
    world.starts_watched(1, "block-stream");
    world.status(id, "created running");
    world.completed(id, "stream", None);
    world.status(id, "concluded");
    assert_eq!(world.ends(), [format!("end 1 {id} succeeded for [1]")]);
    world.acknowledges(1);
    world
}

#[test]
fn an_end_that_is_acknowledged_before_the_start_is_answered_is_dismissed_when_it_was_accepted() {
    let dismissal = "send job-dismiss,{id:drive0}";
    let mut world = ends_before_its_start_is_answered("drive0");
    assert_eq!(world.story(), [""; 0], "it may be another's");
    world.replies("{}");
    assert_eq!(world.story(), [dismissal, "answer 1 ok"]);

    let mut world = ends_before_its_start_is_answered("drive0");
    world.refuses("GenericError", "Job ID 'drive0' already in use");
    assert_eq!(world.story(), ["answer 60 ok", "answer 1 Remote"], "it is another's");

    // Its `concluded` comes last.
    for (answer, told) in [(true, vec![dismissal]), (false, vec![])] {
        let mut world = World::connected("7.2");
        world.watches(1, "drive0", &[]);
        world.starts_watched(1, "block-stream");
        let start = world.last_command();
        world.completed("drive0", "stream", None);
        world.acknowledges(1);
        world.status("drive0", "concluded");
        world.story();
        let reply =
            if answer { "\"return\": {}" } else { "\"error\": {\"class\": \"GenericError\"}" };
        world.replies_to(start, reply);
        let sent: Vec<_> =
            world.story().into_iter().filter(|line| line.starts_with("send")).collect();
        assert_eq!(sent, told);
    }

    // Who asks for it by name gets it, whoever it is.
    let mut world = ends_before_its_start_is_answered("drive0");
    world.dismisses(1);
    assert_eq!(world.story(), [dismissal]);

    // An id of the owner's no other client uses.
    let mut world = ends_before_its_start_is_answered("own-1");
    assert_eq!(world.story(), ["send job-dismiss,{id:own-1}"]);
}

/// Where no reply has come, it is taken to be the one that was to be started; but that is inferred,
/// over any number of connections.
#[test]
fn an_end_behind_a_start_that_was_never_answered_is_inferred_where_others_may_use_the_id() {
    let mut world = World::connected("7.2");
    world.watches(1, "drive0", &[]);
    world.starts_watched(1, "block-stream");
    world.drops_and_meets(ONE);
    let running = r#"{"id": "drive0", "type": "stream", "status": "running"}"#;
    world.reconciles(running, "");
    world.drops_and_meets(ONE);
    world.reconciles(r#"{"id": "drive0", "type": "stream", "status": "concluded"}"#, "");
    assert_eq!(world.ends(), ["end 1 drive0 succeeded inferred for [1]"]);
    world.acknowledges(1);
    assert_eq!(world.story(), ["send job-dismiss,{id:drive0}"]);
}

/// Nor is the one that comes later.
#[test]
fn the_next_job_of_an_id_for_which_a_start_was_refused_is_not_dismissed() {
    let mut world = World::connected("7.2");
    world.watches(1, "drive0", &[]);
    world.starts_watched(1, "block-stream");
    world.status("drive0", "created null");
    world.refuses("GenericError", "Node is busy");
    world.status("drive0", "created running");
    ends_and_is_left(world);
}

/// Its id is as everybody's as it was.
#[test]
fn behind_a_refused_start_an_adopted_id_may_mean_another_job() {
    let mut world = World::connected("7.2");
    world.watches(1, "drive0", &["adopt"]);
    world.starts_watched(1, "block-stream");
    world.refuses("GenericError", "Node is busy");
    world.status("drive0", "created running");
    world.ready("drive0", "mirror");
    world.drops_and_meets(ONE);
    world.reconciles(r#"{"id": "drive0", "type": "commit", "status": "running"}"#, "");
    assert_eq!(world.ends(), ["end 1 drive0 lost Gone inferred for [1]"]);
}

#[test]
fn a_job_that_was_not_started_may_be_started_again() {
    let mut world = World::connected("7.2");
    world.watches(1, "drive0", &[]);
    world.starts_watched(1, "block-stream");
    world.drops_and_meets(ONE);
    world.reconciles("", "");
    assert_eq!(world.ends(), ["end 1 drive0 lost NotStarted inferred for [1]"]);
    world.acknowledges(1);
    world.watches(2, "drive0", &[]);
    world.starts_watched(2, "block-stream");
    world.status("drive0", "created running");
    world.replies("{}");
    world.completed("drive0", "stream", None);
    assert_eq!(world.ends(), ["end 2 drive0 succeeded for [2]"]);
}

/// What was asked of it behind the start that was refused is answered later still.
#[test]
fn a_job_that_is_started_again_waits_for_its_own_replies() {
    let mut world = World::connected("7.2");
    let no = r#""error": {"class": "GenericError", "desc": "no"}"#;
    world.watches(1, "own-1", &["made"]);
    world.starts_watched(1, "blockdev-mirror");
    let refused = world.last_command();
    world.asks(1, Control::Complete);
    let asked = world.last_command();
    world.replies_to(refused, no);
    world.starts_watched(1, "blockdev-mirror");
    world.replies("{}");
    world.status("own-1", "created running");
    world.ready("own-1", "mirror");
    world.asks(1, Control::Complete);
    world.replies_to(asked, no);
    world.completed("own-1", "mirror", None);
    assert_eq!(world.ends(), [""; 0]);
    world.replies("{}");
    assert_eq!(world.ends(), ["end 1 own-1 succeeded pivoted for [1]"]);
}

#[test]
fn of_a_refused_start_whose_handle_was_freed_nothing_is_left() {
    let mut with = settings();
    with.job_limit = 1;
    let mut world = World::connected_with("7.2", with);
    world.starts(1, "own-1");
    world.session.unwatch(1);
    world.refuses("GenericError", "Node is busy");
    world.watches(2, "own-2", &[]);
    world.starts_watched(2, "block-stream");
    assert!(world.story().last().unwrap().starts_with("send block-stream,{job-id:own-2"));
}

/// A start that was refused, as QEMU told it, says nothing of the next.
#[test]
fn of_a_start_that_follows_a_refused_one_the_journal_tells_the_end() {
    let mut world = journaled();
    world.starts(1, "own-1");
    world.status("own-1", "created null");
    world.refuses("GenericError", "Node is busy");
    world.starts_watched(1, "block-stream");
    world.drops();
    let lines = [
        world.line("JOB_STATUS_CHANGE", r#"{"id": "own-1", "status": "created"}"#),
        world.line("JOB_STATUS_CHANGE", r#"{"id": "own-1", "status": "running"}"#),
        world.line("BLOCK_JOB_CANCELLED", r#"{"device": "own-1", "type": "stream"}"#),
    ];
    world.later(6);
    world.meets(OTHER);
    world.reconciles("", "");
    world.finds(found(1, &lines));
    assert_eq!(world.ends(), ["end 1 own-1 cancelled recovered for [1]"]);
}

#[test]
fn an_old_qemu_that_keeps_its_jobs_is_asked_to_dismiss_them() {
    let mut world = World::connected("2.12");
    world.starts(1, "own-1");
    world.replies("{}");
    world.completed("own-1", "stream", None);
    assert_eq!(world.ends(), ["end 1 own-1 succeeded for [1]"]);
    world.acknowledges(1);
    assert_eq!(world.story(), ["send block-job-dismiss,{id:own-1}"]);
    world.replies("{}");
    assert_eq!(world.story(), ["answer 60 ok"]);
    // Each end is another job's where nothing else tells them apart.
    world.completed("own-1", "stream", Some("EIO"));
    assert_eq!(world.ends(), ["end 2 own-1 failed \"EIO\""]);
}

/// Whether it is gone its list says.
#[test]
fn a_dismissal_that_was_refused_is_over_when_qemu_does_not_have_the_job() {
    for (version, names) in [
        ("7.2", ["send job-dismiss,{id:own-1}", "send query-jobs"]),
        ("2.12.1", ["send block-job-dismiss,{id:own-1}", "send query-block-jobs"]),
    ] {
        let refused = || {
            let mut world = World::connected(version);
            world.watches(1, "own-1", &["made"]);
            world.starts_watched(1, "drive-backup");
            world.replies("{}");
            world.completed("own-1", "backup", None);
            if version == "7.2" {
                world.status("own-1", "concluded");
            }
            world.story();
            world.acknowledges(1);
            world.refuses("GenericError", "no");
            assert_eq!(world.story(), names);
            world
        };
        let mut world = refused();
        world.replies("[]");
        assert_eq!(world.story(), ["answer 60 ok"]);
        world.drops_and_meets(ONE);
        world.reconciles("", "");
        assert_eq!(world.ends(), [""; 0]);

        // A list that was asked for before the refusal says nothing of it.
        if version == "7.2" {
            let mut world = World::connected(version);
            world.starts(1, "own-1");
            world.replies("{}");
            world.status("own-1", "created running");
            world.completed("own-1", "stream", None);
            world.status("own-1", "concluded");
            world.acknowledges(1);
            let dismissal = world.last_command();
            world.status("c", "created running concluded");
            let list = world.last_command();
            world.story();
            world.replies_to(dismissal, "\"error\": {\"class\": \"GenericError\"}");
            let both = r#""return": [{"id": "own-1", "status": "concluded"},
                {"id": "c", "status": "concluded"}]"#;
            world.replies_to(list, &both.replace('\n', ""));
            assert_eq!(world.story(), ["end 2 c succeeded", "send query-jobs"]);
            world.replies("[]");
            assert_eq!(world.story(), ["answer 60 ok"]);
        }

        // It has the job and keeps it: no second end, and another try with the next connection.
        let id = if version == "7.2" { "id" } else { "device" };
        let listed = format!(r#"{{"{id}": "own-1", "type": "backup", "status": "concluded"}}"#);
        let mut world = refused();
        world.replies(&format!("[{listed}]"));
        assert_eq!(world.story(), ["answer 60 Remote"]);
        world.drops_and_meets(ONE);
        world.story();
        let (jobs, block_jobs) = if version == "7.2" { (&*listed, "") } else { ("", &*listed) };
        world.reconciles(jobs, block_jobs);
        let story = world.story();
        assert!(story.iter().all(|line| !line.starts_with("end")), "{story:?}");
        assert_eq!(story.last().unwrap(), names[0]);
    }
}

#[test]
fn what_is_closed_is_closed_once() {
    let mut world = World::connected("7.2");
    world.closes();
    assert_eq!(world.story().last().map(String::as_str), Some("tell CLOSED -"));
    world.closes();
    assert_eq!(world.story(), [""; 0]);
}
