//! What was there before a transcript begins.

use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem::find;
use serde_json::Value;

use super::recording::{Line, Recording, START_US};
use crate::qemu::{
    Qemu,
    job::{Fault, Plan},
    version::Version,
};

/// The images as they were: how much there is to copy is seen in the events, what goes wrong in
/// the commands that made the nodes.
pub fn lay_out(recording: &Recording, qemu: &mut Qemu) {
    let mut plans: BTreeMap<String, Plan> = BTreeMap::new();
    let mut with_events = BTreeSet::new();
    let mut aborted = BTreeSet::new();
    for event in recording.received() {
        let text = |member: &str| event["data"][member].as_str().map(str::to_string);
        if let (Some(id), Some(len)) = (text("device"), event["data"]["len"].as_i64()) {
            with_events.insert(id.clone());
            let fails = !event["data"]["error"].is_null();
            if len > 0 || !fails {
                // The images of 1.1 were made on its command line.
                let fault = (fails && !recording.version.from(2, 0)).then(io_error);
                plans.entry(id).or_insert(Plan { len, fault, ..Plan::default() });
            }
        } else if text("status").as_deref() == Some("aborting") {
            aborted.extend(text("id"));
        }
    }
    for id in aborted.difference(&with_events) {
        let fault = Some(Fault::Silent("It cannot be".into()));
        plans.insert(id.clone(), Plan { fault, ..Plan::default() });
    }
    for command in recording.sent() {
        let arguments = &command["arguments"];
        let text = |member: &str| arguments[member].as_str();
        let name = command["execute"].as_str().unwrap_or_default();
        let rules = [&arguments["inject-error"], &arguments["file"]["inject-error"]];
        let rule = rules.iter().find_map(|rules| rules.get(0));
        if let (Some(node), Some(rule)) = (text("node-name"), rule) {
            let fault = fault(rule, recording.version);
            plans.insert(node.into(), Plan { fault, ..Plan::default() });
        }
        // Of some nothing is told that says how long they were.
        let short = recording.version.from(2, 0) || recording.scenario.starts_with("reconnect");
        let len = if short { 1 << 20 } else { 4 << 20 };
        if let Some(id) = text("job-id").or(text("device")).filter(|_| name != "blockdev-create") {
            plans.entry(id.into()).or_insert(Plan { len, ..Plan::default() });
        }
        let starts = matches!(name, "block-stream" | "drive-mirror" | "drive-backup");
        if let Some(device) = text("device").filter(|name| starts && *name != "nosuch") {
            qemu.add_device(device);
        }
    }
    match recording.scenario.as_str() {
        "mirror-target-full" => {
            plans.insert("src".into(), Plan::default());
            plans.insert("dst".into(), Plan { len: 1 << 19, ..Plan::default() });
        }
        // Commands are answered while these run.
        "m-stale-query" => {
            for (id, round_us) in durations(recording) {
                plans.entry(id).or_default().round_us = round_us;
            }
        }
        "drive-del-running" => qemu.add_guest_device("hd", "drive0"),
        "guest-io-error" => {
            let tells = |line: &&Line| find(&line.bytes, b"BLOCK_IO_ERROR").is_some();
            let first = recording.lines.iter().find(tells).expect("there is one");
            qemu.add_bad_drive("drv", first.at_us);
        }
        "iothread-stream" if recording.received().all(|message| message["event"].is_null()) => {
            plans.insert("j0".into(), Plan { fault: Some(Fault::Abort), ..Plan::default() });
        }
        "pretty-monitor" => qemu.speak_pretty(),
        "m-event-before-greeting" => {
            qemu.add_node("node");
            former_client(qemu);
        }
        _ => {}
    }
    qemu.limit_sockets(SOCKET_BYTES);
    for (name, plan) in plans {
        qemu.plan(&name, plan);
    }
}

/// How long each job ran, by its last two events before its end.
fn durations(recording: &Recording) -> BTreeMap<String, u64> {
    let mut durations = BTreeMap::new();
    let mut since = BTreeMap::new();
    for event in recording.received() {
        let (time, data) = (&event["timestamp"], &event["data"]);
        let seconds = time["seconds"].as_u64().unwrap_or_default();
        let at_us = seconds * 1_000_000 + time["microseconds"].as_u64().unwrap_or_default();
        let Some(id) = data["id"].as_str().map(str::to_string) else { continue };
        match (data["status"].as_str(), since.get(&id)) {
            (Some("running"), _) => _ = since.insert(id, at_us),
            (Some("waiting"), Some(since)) => _ = durations.insert(id, at_us - since),
            _ => {}
        }
    }
    durations
}

/// One who negotiated and has left.
fn former_client(qemu: &mut Qemu) {
    let client = qemu.connect().expect("nobody waits");
    qemu.receive(client, br#"{"execute":"qmp_capabilities"}"#);
    while qemu.step(START_US) {}
    qemu.disconnect(client);
}

fn fault(rule: &Value, version: Version) -> Option<Fault> {
    if !rule["state"].is_null() {
        // The state that a flush brings about: once a mirror did so as it became ready.
        return (!version.from(8, 0)).then_some(Fault::OnceReady);
    }
    if rule["event"] == "none" {
        return Some(Fault::Finalize("Input/output error".into()));
    }
    Some(Fault::Io {
        at: 0,
        write: rule["event"] == "write_aio",
        no_space: rule["errno"] == 28,
        once: rule["once"] == true,
    })
}

fn io_error() -> Fault {
    Fault::Io { at: 0, write: false, no_space: false, once: false }
}

/// What a socket of a recording client held of what it did not read.
const SOCKET_BYTES: usize = 219_264;
