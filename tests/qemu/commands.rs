//! Commands of the program's own, and what a QEMU makes of them.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;

use crate::client::{Listener, number};
use crate::machine::{Host, Machine};
use crate::story::{JOB, MONITOR, SPEED, Story};
use crate::{DEADLINE, with_both_hosts};

with_both_hosts! {
    a_command_returns_what_qemu_tells_others_too,
    a_refusal_has_qemus_class_and_words,
    a_hundred_commands_are_answered_each_by_its_own_reply,
    a_job_that_is_completed_by_a_command_has_pivoted,
    what_qemu_could_not_read_is_never_sent,
}

fn a_command_returns_what_qemu_tells_others_too(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    for command in ["query-version", "query-named-block-nodes", "query-qmp-schema"] {
        let theirs = story.machine.execute(command, &json!({}));
        assert_eq!(story.monitor.execute(command, &json!({})), theirs, "{command}");
    }
    story.close();
}

fn a_refusal_has_qemus_class_and_words(host: Host) {
    let story = Story::begin(host);
    let refused = |command: &str, arguments| {
        let reply = story.monitor.reply(command, &arguments, 0);
        assert_eq!(reply.result, -libc::EREMOTEIO, "{reply:?}");
        let error = reply.json.expect("QEMU's error is there");
        assert_eq!(error["class"].as_str(), reply.class.as_deref());
        assert_eq!(error["desc"].as_str(), reply.text.as_deref());
        reply.class.unwrap()
    };
    assert_eq!(refused("make-coffee", json!({})), "CommandNotFound");
    assert_eq!(refused("block-job-pause", json!({"device": "none"})), "DeviceNotActive");
    assert_eq!(refused("blockdev-del", json!({"node-name": "none"})), "GenericError");
    assert_eq!(refused("blockdev-del", json!({"node": "none"})), "GenericError");
    story.close();
}

fn a_hundred_commands_are_answered_each_by_its_own_reply(host: Host) {
    let mut story = Story::begin(host);
    let (sender, replies) = mpsc::channel();
    let nodes: Vec<_> = (0..100).map(|i| format!("node{i}")).collect();
    for node in &nodes {
        story.machine.execute(
            "blockdev-add",
            &json!({"driver": "null-co", "node-name": node, "read-zeroes": true}),
        );
    }
    // The second time each says which node is gone.
    let twice = nodes.iter().chain(&nodes);
    let delete = |node| story.monitor.submit("blockdev-del", &json!({"node-name": node}), &sender);
    let sent: Vec<_> = twice.map(delete).collect();
    for (at, number) in sent.iter().enumerate() {
        let reply = replies.recv_timeout(DEADLINE).expect("each is answered");
        assert_eq!(reply.number, *number);
        match (at.checked_sub(100), reply.text) {
            (None, None) => assert_eq!(reply.json, Some(json!({}))),
            (Some(at), Some(words)) => assert!(words.contains(&nodes[at]), "{words}"),
            (_, text) => panic!("{at}: {text:?}"),
        }
    }
    story.close();
}

fn a_job_that_is_completed_by_a_command_has_pivoted(host: Host) {
    let mut story = Story::begin(host);
    story.machine.add_disk("disk");
    story.machine.add_target("target");
    let arguments = json!({
        "job-id": JOB, "device": "disk", "target": "target", "sync": "full", "speed": SPEED,
    });
    assert_eq!(story.monitor.execute("blockdev-mirror", &arguments), json!({}));
    story.until_kind(number::READY);
    story.monitor.execute("block-job-complete", &json!({"device": JOB}));
    let end = story.end_of(JOB);
    assert_eq!((end.outcome, end.pivoted), (number::OUTCOME_SUCCEEDED, number::PIVOTED_YES));
    story.close();
}

/// These are the library's own refusals, and this is why: QEMU's answer would have no id.
fn what_qemu_could_not_read_is_never_sent(host: Host) {
    let story = Story::begin(host);
    for arguments in ["{\"a\": 1, \"a\": 2}", "{\"a\": \"\\ud800\"}", "{\"a\": \"\\uffff\"}"] {
        assert_eq!(story.monitor.refuses_json("query-version", arguments), -libc::EINVAL);
    }
    // What looks as odd, and can be read, comes back with a word about it.
    let odd = json!({"a\u{0}b": [{"\u{1f600}": -1.5e300}, u64::MAX, null]});
    assert_eq!(story.monitor.reply("query-version", &odd, 0).class.unwrap(), "GenericError");
    story.close();
}

#[test]
fn a_file_that_is_passed_is_opened_by_its_set() {
    let mut story = Story::begin(Host::QemuSystem);
    let path = story.machine.path("passed.raw");
    fs::write(&path, [7; 4096]).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let added = story.monitor.reply_with("add-fd", &json!({"fdset-id": 5}), file.as_fd());
    assert_eq!(added.result, 0, "{added:?}");
    let added = added.json.unwrap();
    assert_eq!(added["fdset-id"], 5);
    // Nobody but QEMU has it now, not even by its name.
    drop(file);
    fs::remove_file(&path).unwrap();
    let options = json!({
        "driver": "raw", "node-name": "passed",
        "file": {"driver": "file", "filename": "/dev/fdset/5"},
    });
    story.monitor.execute("blockdev-add", &options);
    let nodes = story.machine.execute("query-named-block-nodes", &json!({}));
    let passed = nodes.as_array().unwrap().iter().find(|node| node["node-name"] == "passed");
    assert_eq!(passed.unwrap()["image"]["virtual-size"], 4096);
    story.close();
}

#[test]
fn many_descriptors_arrive_each_with_its_command() {
    let mut story = Story::begin(Host::QemuSystem);
    for number in 1..=20_u64 {
        let path = story.machine.path("passed.raw");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(number * 512).unwrap();
        fs::remove_file(&path).unwrap();
        let name = json!({"fdname": format!("fd{number}")});
        assert_eq!(story.monitor.reply_with("getfd", &name, file.as_fd()).result, 0);
        let set = json!({"fdset-id": number});
        assert_eq!(story.monitor.reply_with("add-fd", &set, file.as_fd()).result, 0);
    }
    // Without one the command says so, and takes no other command's.
    assert_eq!(story.monitor.reply("getfd", &json!({"fdname": "x"}), 0).result, -libc::EREMOTEIO);
    for number in 1..=20_u64 {
        story.monitor.execute("closefd", &json!({"fdname": format!("fd{number}")}));
        let filename = format!("/dev/fdset/{number}");
        let file = json!({"driver": "file", "filename": filename});
        let node = json!({"driver": "raw", "node-name": format!("n{number}"), "file": file});
        story.monitor.execute("blockdev-add", &node);
    }
    let nodes = story.machine.execute("query-named-block-nodes", &json!({}));
    for number in 1..=20_u64 {
        let name = format!("n{number}");
        let node = nodes.as_array().unwrap().iter().find(|node| node["node-name"] == *name);
        assert_eq!(node.unwrap()["image"]["virtual-size"], number * 512);
    }
    story.close();
}

/// A QEMU that waits for a server which does not answer reads no command but those out of band.
#[test]
fn out_of_band_overtakes_a_command_that_hangs() {
    let machine = Machine::start(Host::QemuSystem);
    let server = UnixListener::bind(machine.path("nbd.sock")).unwrap();
    let listener = Listener::new();
    let monitor = listener.monitor(MONITOR, &machine.library_socket());
    monitor.set_oob();
    monitor.connect();
    let (sender, replies) = mpsc::channel();
    let address = json!({"type": "unix", "path": "nbd.sock"});
    let node = json!({"driver": "nbd", "node-name": "nbd", "server": address});
    let mut sent = vec![monitor.submit("blockdev-add", &node, &sender)];
    let (client, _) = server.accept().unwrap();
    // More than QEMU's queue takes.
    sent.extend((0..50).map(|_| monitor.submit("query-status", &json!({}), &sender)));

    let reply = if monitor.qemu_version() < [6, 0, 0] {
        monitor.reply("migrate-pause", &json!({}), number::EXECUTE_OOB)
    } else {
        monitor.reply("yank", &json!({"instances": []}), number::EXECUTE_OOB)
    };
    assert!(reply.result == 0 || reply.class.as_deref() == Some("GenericError"), "{reply:?}");
    assert!(replies.recv_timeout(Duration::ZERO).is_err(), "the others still wait");
    let refused = monitor.reply("query-status", &json!({}), number::EXECUTE_OOB).class;
    assert_eq!(refused.as_deref(), Some("GenericError"), "QEMU has that in band only");

    drop(client);
    for number in sent {
        assert_eq!(replies.recv_timeout(DEADLINE).expect("each is answered").number, number);
    }
}

/// It is not told to anybody else, though QEMU sends it to all of its monitors.
#[test]
fn quitting_is_a_raw_event() {
    let machine = Machine::start(Host::QemuSystem);
    let listener = Listener::new();
    let raw = listener.raw(None, Some("SHUTDOWN"));
    let monitor = listener.monitor(MONITOR, &machine.library_socket());
    let events = listener.events(Some(&monitor));
    monitor.connect();
    monitor.reply("quit", &json!({}), 0);
    let shutdown = raw.recv_timeout(DEADLINE).expect("QEMU says that it goes");
    assert_eq!((shutdown.kind, shutdown.name.as_str()), (number::RAW, "SHUTDOWN"));
    let said: serde_json::Value = serde_json::from_str(&shutdown.json.unwrap()).unwrap();
    assert_eq!(said["data"], json!({"guest": false, "reason": "host-qmp-quit"}));
    assert_eq!(said["timestamp"]["seconds"].as_i64(), shutdown.timestamp.map(|it| it.0));
    let other = |event: &crate::client::Event| event.name == "SHUTDOWN";
    assert!(!events.try_iter().any(|event| other(&event)));
}

/// The firmware reads the first sector of a disk that has none to give.
#[test]
fn a_guests_error_is_a_raw_event() {
    let machine = Machine::start_guest();
    let listener = Listener::new();
    let raw = listener.raw(None, Some("BLOCK_IO_ERROR"));
    let all = listener.raw(None, None);
    let monitor = listener.monitor(MONITOR, &machine.library_socket());
    monitor.connect();
    monitor.execute("cont", &json!({}));
    let error = raw.recv_timeout(DEADLINE).expect("the firmware reads the disk");
    let said: serde_json::Value = serde_json::from_str(error.json.as_deref().unwrap()).unwrap();
    assert_eq!(said["data"]["operation"], "read");
    assert_eq!(said["data"]["node-name"], "disk");
    assert_eq!(said["data"]["action"], "report");
    let resume = all.recv_timeout(DEADLINE).expect("all means all");
    assert_eq!(resume.name, "RESUME");
}
