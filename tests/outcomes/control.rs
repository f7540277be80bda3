//! What is asked of jobs, by the commands that a QEMU has, and what QEMU says of them.

use blockjob::{
    model::{JobType, Status},
    qmp::control::Control,
};

use crate::world::{ONE, World};

const FORCED: Control = Control::Cancel { force: true };
const SOFT: Control = Control::Cancel { force: false };

#[test]
fn each_qemu_is_asked_by_the_commands_that_it_has() {
    let asked = |version, control| {
        let mut world = World::connected(version);
        world.watches(1, "d", &[]);
        world.asks(1, control);
        world.story().concat()
    };
    let nothing = "answer 50 NotSupported";
    for (control, old, older, newer, new) in [
        (Control::Pause, nothing, "block-job-pause,{device:d}", "same", "job-pause,{id:d}"),
        (Control::Resume, nothing, "block-job-resume,{device:d}", "same", "job-resume,{id:d}"),
        (
            Control::Complete,
            nothing,
            "block-job-complete,{device:d}",
            "same",
            "job-complete,{id:d}",
        ),
        (Control::Finalize, nothing, nothing, "block-job-finalize,{id:d}", "job-finalize,{id:d}"),
        (SOFT, "block-job-cancel,{device:d}", "same", "same", "same"),
        (FORCED, nothing, "block-job-cancel,{device:d,force:true}", "same", "same"),
        (Control::SetSpeed(7), "block-job-set-speed,{device:d,speed:7}", "same", "same", "same"),
    ] {
        let mut wanted = old;
        for (version, next) in [("1.1", old), ("2.9", older), ("2.12", newer), ("7.2", new)] {
            wanted = if next == "same" { wanted } else { next };
            let story = asked(version, control);
            let sent = story.strip_prefix("send ").unwrap_or(&story);
            assert_eq!(sent, wanted, "{control:?} {version}");
        }
    }
}

#[test]
fn what_qemu_answers_is_the_answer() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.replies("{}");
    world.story();
    world.asks(1, Control::Pause);
    world.replies("{}");
    assert_eq!(world.story(), ["send job-pause,{id:own-1}", "answer 50 ok"]);
    world.asks(1, Control::Finalize);
    world.refuses("GenericError", "not pending");
    assert_eq!(world.story(), ["send job-finalize,{id:own-1}", "answer 50 Remote"]);
    world.asks(1, Control::Resume);
    world.drops();
    assert!(world.story().contains(&"answer 50 Reset".into()));
    world.asks(1, Control::Resume);
    assert_eq!(world.story(), ["answer 50 NotConnected"]);
}

#[test]
fn a_job_that_has_ended_is_asked_nothing() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.replies("{}");
    world.completed("own-1", "stream", None);
    world.story();
    for control in [Control::Pause, Control::SetSpeed(1), SOFT, Control::Finalize] {
        world.asks(1, control);
        assert_eq!(world.story(), ["answer 50 NotFound"]);
    }
}

/// QEMU says of which type a job is when it is listed, and in the events of block jobs.
#[test]
fn a_job_that_is_no_block_job_is_cancelled_and_has_no_speed() {
    let mut world = World::connected("7.2");
    world.starts_as("own-1", "blockdev-create");
    world.story();
    world.asks(1, Control::SetSpeed(1));
    world.refuses("DeviceNotActive", "Block job 'own-1' not found");
    assert_eq!(
        world.story(),
        ["send block-job-set-speed,{device:own-1,speed:1}", "answer 50 NotSupported"]
    );
    world.asks(1, SOFT);
    world.refuses("DeviceNotActive", "Block job 'own-1' not found");
    world.replies("{}");
    assert_eq!(
        world.story(),
        ["send block-job-cancel,{device:own-1}", "send job-cancel,{id:own-1}", "answer 50 ok"]
    );
    // The cancel was accepted, and the end is known by that.
    world.status("own-1", "aborting concluded null");
    assert_eq!(world.ends(), ["end 1 own-1 cancelled for [1]"]);

    // Known to be none, it is asked at once.
    let mut world = World::connected("7.2");
    world.drops_and_meets(ONE);
    world.reconciles(r#"{"id": "c", "type": "create", "status": "running"}"#, "");
    world.watches(1, "c", &[]);
    world.story();
    world.asks(1, FORCED);
    world.asks(1, Control::SetSpeed(1));
    assert_eq!(world.story(), ["send job-cancel,{id:c}", "answer 50 NotSupported"]);
}

/// A refusal says that it is no block job only of a job that is there.
#[test]
fn a_block_job_that_has_gone_meanwhile_is_not_asked_again() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.replies("{}");
    world.status("own-1", "created running");
    world.asks(1, SOFT);
    world.completed("own-1", "stream", None);
    world.status("own-1", "concluded null");
    world.story();
    world.refuses("DeviceNotActive", "Block job 'own-1' not found");
    assert_eq!(world.story(), ["answer 50 Remote"]);

    // Nor is a hostile peer, who says so again and again.
    world.starts(2, "own-2");
    world.replies("{}");
    world.status("own-2", "created running");
    world.asks(2, SOFT);
    world.story();
    for said in ["send job-cancel,{id:own-2}", "answer 50 Remote"] {
        world.refuses("DeviceNotActive", "no");
        assert_eq!(world.story(), [said]);
    }
    // Nor one that is known to be a block job.
    let mut world = World::connected("7.2");
    world.drops_and_meets(ONE);
    world.reconciles(r#"{"id": "d", "type": "stream", "status": "running"}"#, "");
    world.watches(1, "d", &[]);
    for control in [SOFT, Control::SetSpeed(1)] {
        world.asks(1, control);
        world.story();
        world.refuses("DeviceNotActive", "no");
        assert_eq!(world.story(), ["answer 50 Remote"]);
    }
    // Nor one of a QEMU that has no other command.
    let mut world = World::connected("2.9");
    world.watches(1, "d", &[]);
    world.asks(1, SOFT);
    world.story();
    world.refuses("DeviceNotActive", "no");
    assert_eq!(world.story(), ["answer 50 Remote"]);
}

#[test]
fn a_job_of_others_is_dismissed_when_the_program_says_so() {
    let mut world = World::connected("7.2");
    world.watches(1, "theirs", &[]);
    world.status("theirs", "created running");
    world.completed("theirs", "stream", None);
    world.status("theirs", "concluded");
    world.story();
    world.acknowledges(1);
    assert_eq!(world.story(), ["answer 60 ok"]);
    world.dismisses(1);
    assert_eq!(world.story(), ["send job-dismiss,{id:theirs}"]);
    world.status("theirs", "null");
    assert_eq!(world.story(), ["tell JOB_STATUS_CHANGE theirs null", "answer 61 ok"]);
    world.dismisses(1);
    assert_eq!(world.story(), ["answer 61 ok"], "it is gone, and that is as good");
}

#[test]
fn a_dismissal_without_a_connection_follows_when_there_is_one() {
    let mut world = World::connected("7.2");
    world.status("theirs", "created running");
    world.completed("theirs", "stream", None);
    world.drops();
    world.story();
    world.dismisses(1);
    assert_eq!(world.story(), ["answer 61 NotConnected"]);
    world.later(6);
    world.meets(ONE);
    world.reconciles(r#"{"id": "theirs", "type": "stream", "status": "concluded"}"#, "");
    assert!(world.story().contains(&"send job-dismiss,{id:theirs}".into()));
}

/// Nobody knows how QEMU has it.
#[test]
fn a_lost_job_is_dismissed_if_qemu_agrees() {
    for agrees in [false, true] {
        let mut world = World::connected("7.2");
        world.starts(1, "own-1");
        world.replies("{}");
        world.status("own-1", "created running");
        world.drops();
        world.later(60);
        assert_eq!(world.ends(), ["end 1 own-1 lost NoConnection inferred for [1]"]);
        world.dismisses(1);
        assert_eq!(world.story(), ["answer 61 NotConnected"]);
        world.later(6);
        world.meets(ONE);
        world.reconciles(r#"{"id": "own-1", "type": "stream", "status": "concluded"}"#, "");
        world.story();
        world.dismisses(1);
        assert_eq!(world.story(), ["send job-dismiss,{id:own-1}"]);
        if agrees {
            world.replies("{}");
            assert_eq!(world.story(), ["answer 61 ok"]);
        } else {
            world.refuses("GenericError", "it runs");
            assert_eq!(world.story(), ["answer 61 Remote"]);
        }
    }
}

#[test]
fn a_look_joins_what_both_lists_say() {
    let mut world = World::connected("7.2");
    world.looks(None);
    assert_eq!(world.story(), ["send query-jobs", "send query-block-jobs"]);
    world.reconciles(
        r#"{"id": "s", "type": "stream", "status": "standby", "current-progress": 1,
            "total-progress": 4},
           {"id": "c", "type": "create", "status": "concluded", "current-progress": 0,
            "total-progress": 1, "error": "No space"}"#,
        r#"{"device": "s", "type": "stream", "len": 4, "offset": 1, "speed": 7, "paused": true,
            "ready": true, "busy": false, "auto-finalize": false, "auto-dismiss": true}"#,
    );
    assert_eq!(world.story(), ["list 70"]);
    let [stream, create] = &world.infos[..] else { panic!("{:?}", world.infos) };
    assert_eq!((stream.id(), stream.type_name()), (c"s", Some(c"stream")));
    assert_eq!((stream.job_type, stream.status), (JobType::Stream, Status::Standby));
    assert_eq!((stream.len, stream.offset, stream.speed), (Some(4), Some(1), Some(7)));
    assert_eq!((stream.paused, stream.ready, stream.error()), (Some(true), Some(true), None));
    assert_eq!((stream.auto_finalize, stream.auto_dismiss), (Some(false), Some(true)));
    assert_eq!((create.id(), create.status_name()), (c"c", Some(c"concluded")));
    assert_eq!((create.len, create.offset, create.speed), (Some(1), Some(0), None));
    assert_eq!((create.paused, create.ready), (Some(false), Some(false)));
    assert_eq!(create.error(), Some(c"No space"));
    assert_eq!((create.auto_finalize, create.auto_dismiss), (None, None));
    // Nothing is known by it that was not known.
    world.drops();
    world.later(100);
    assert_eq!(world.ends(), [""; 0]);
}

#[test]
fn an_old_qemu_has_one_list() {
    let mut world = World::connected("2.9");
    world.watches(1, "d", &[]);
    world.looks(Some(1));
    assert_eq!(world.story(), ["send query-block-jobs"]);
    world.replies(r#"[{"device": "e"}, {"device": "d", "type": "stream", "paused": false}]"#);
    assert_eq!(world.story(), ["list 70"]);
    let [info] = &world.infos[..] else { panic!("{:?}", world.infos) };
    assert_eq!((info.id(), info.status, info.status_name()), (c"d", Status::Unknown, None));
    assert_eq!((info.paused, info.ready, info.len), (Some(false), None, None));
}

#[test]
fn a_look_at_what_qemu_does_not_have_finds_nothing() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.replies("{}");
    world.story();
    world.looks(Some(2));
    assert_eq!(world.story(), ["list 70 NotFound"]);
    world.looks(Some(1));
    world.reconciles(r#"{"id": "other", "type": "stream", "status": "running"}"#, "");
    assert_eq!(world.story().pop().unwrap(), "list 70 NotFound");

    // The list is older than the end that came before it.
    world.status("own-1", "created running");
    world.looks(Some(1));
    world.completed("own-1", "stream", None);
    world.status("own-1", "concluded null");
    world.reconciles(r#"{"id": "own-1", "type": "stream", "status": "running"}"#, "");
    assert_eq!(world.story().pop().unwrap(), "list 70 NotFound");
}

/// After a gap, one that begins is not the one before.
#[test]
fn a_look_does_not_show_another_job_of_the_same_id() {
    let mut world = World::connected("7.2");
    world.status("d", "created running");
    world.watches(1, "d", &[]);
    world.drops_and_meets(ONE);
    let running = r#"{"id": "d", "type": "stream", "status": "running"}"#;
    world.reconciles(running, "");
    world.looks(Some(1));
    world.status("d", "created");
    world.reconciles(running, "");
    assert_eq!(world.story().pop().unwrap(), "list 70 NotFound");
}

#[test]
fn what_has_concluded_is_looked_at_until_it_is_dismissed() {
    let mut world = World::connected("7.2");
    world.starts(1, "own-1");
    world.replies("{}");
    world.completed("own-1", "stream", Some("no"));
    world.status("own-1", "concluded");
    // A second handle comes later.
    world.watches(2, "own-1", &[]);
    for handle in [1, 2] {
        world.looks(Some(handle));
        let concluded = r#"{"id": "own-1", "status": "concluded", "error": "no"}"#;
        world.reconciles(concluded, "");
        assert_eq!(world.story().pop().unwrap(), "list 70");
        assert_eq!(world.infos[0].error(), Some(c"no"));
    }
    world.acknowledges(1);
    world.replies("{}");
    world.story();
    world.looks(Some(1));
    assert_eq!(world.story(), ["list 70 NotFound"]);
}

#[test]
fn a_list_that_is_refused_or_does_not_come_is_an_error() {
    let mut world = World::connected("7.2");
    world.looks(None);
    let first = world.last_command() - 1;
    world.replies_to(first, r#""error": {"class": "CommandNotFound", "desc": "no"}"#);
    world.replies("[]");
    assert_eq!(world.story().pop().unwrap(), "list 70", "the other one is enough");
    world.looks(None);
    let first = world.last_command() - 1;
    world.replies_to(first, r#""error": {"class": "GenericError", "desc": "no"}"#);
    world.refuses("GenericError", "no");
    assert_eq!(world.story().pop().unwrap(), "list 70 Remote");
    world.looks(None);
    let first = world.last_command() - 1;
    world.replies_to(first, r#""return": 7"#);
    world.replies("{}");
    assert_eq!(world.story().pop().unwrap(), "list 70 Protocol");
    world.looks(None);
    world.drops();
    assert!(world.story().contains(&"list 70 Reset".into()));
    world.looks(None);
    assert_eq!(world.story(), ["list 70 NotConnected"]);
}
