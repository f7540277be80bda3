//! The fake QEMU against the real ones: fed what was sent to a real QEMU, at the same places, it
//! says the same things in the same order.
//!
//! Compared are, connection by connection, the greeting, the events (name, job, status, whether
//! there is an error) and the replies (command, class of error). Numbers, texts and times are not,
//! nor how often a drain made a job pause for a moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use crate::{
    chance::Chance,
    qemu::{
        Odds, Qemu,
        job::{Fault, Plan},
        version::{Kind, Version},
        wire::ConnectionId,
    },
};

/// Scenarios that are not played, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("device-del-running", "guest devices"),
    ("drive-del-running", "guest devices"),
    ("guest-io-error", "guest devices"),
    ("mirror-write-error-after-ready", "guest writes"),
    ("errors", "malformed input of 1.1 and its replies"),
    ("m-before-caps", "malformed negotiation"),
    ("m-malformed", "malformed input"),
    ("m-oob-no-id", "out-of-band commands"),
    ("oob-monitor", "out-of-band commands"),
    ("pretty-monitor", "pretty monitors"),
    ("m-dynamic-monitor", "monitors made at run time"),
    ("m-unread", "half a gigabyte of replies"),
    ("m-quit-unread", "query-qmp-schema, and a reader that does not read"),
    ("m-leftover", "query-qmp-schema, and a reader that does not read"),
    ("m-halfclose-stale", "query-qmp-schema, and a half-closed socket"),
    ("m-event-before-greeting", "the events of another monitor are not in the file"),
    ("m-logfile-slow-reader", "query-qmp-schema, and a reader that does not read"),
    ("m-stale-query", "each poll is a race, and there are dozens in a file"),
    ("m-stale-reply", "query-qmp-schema, and a client that leaves before it is served"),
    ("startup-hang", "a race at start-up of 5.2"),
];

/// Where connections were made to several monitors of a process: those of each. The fake has one,
/// so the scenario is played once for each, and what came in on the others is foreign.
const MONITORS: &[(&str, &[&[i64]])] = &[
    ("two-monitors", &[&[0], &[1]]),
    ("no-caps-no-events", &[&[0], &[1]]),
    ("m-logfile-journal", &[&[0], &[1]]),
    ("m-nolisten-chardev", &[&[0], &[1, 2]]),
];

/// Files that differ, and why.
const DIFFERING: &[(&str, &str)] =
    &[("iothread-stream-qemu-system-10.0.2.jsonl", "QEMU aborts on an assertion")];

#[test]
fn the_fake_says_what_real_qemus_said_in_the_same_order() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/transcripts");
    let files = fs::read_dir(folder).expect("the transcripts");
    let names: BTreeSet<String> = files
        .map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"))
        .filter(|name| name != "expected.json")
        .collect();
    let (mut equal, mut settled, mut left_out, mut differing) = (0, 0, 0, Vec::new());
    for name in &names {
        let recording = Recording::read(name);
        if LEFT_OUT.iter().any(|(scenario, _)| *scenario == recording.scenario) {
            left_out += 1;
            continue;
        }
        // A seed above 0 settles a race as the recording did, and not as the fake does by default.
        let mut worst = Some(0);
        for monitor in recording.monitors() {
            let expected = recording.said(&monitor);
            let found = (0..=SEEDS).find(|seed| recording.play(&monitor, *seed) == expected);
            if found.is_none() {
                differing.push((name, expected, recording.play(&monitor, 0)));
            }
            worst = worst.zip(found).map(|(one, other): (u64, u64)| one.max(other));
        }
        equal += usize::from(worst.is_some());
        settled += usize::from(worst.is_some_and(|seed| seed > 0));
    }
    let number = names.len();
    println!(
        "{number} transcripts: {equal} equal ({settled} of them by a race), {left_out} left out, {} \
         differ",
        differing.len()
    );
    let known = |name: &str| DIFFERING.iter().any(|(file, _)| *file == name);
    for (name, expected, said) in differing.iter().filter(|(name, ..)| !known(name)) {
        println!("{name}\n  QEMU {expected:?}\n  fake {said:?}");
    }
    assert!(differing.iter().all(|(name, ..)| known(name)), "see above");
    assert_eq!(equal + left_out + DIFFERING.len(), number, "each file is played or accounted for");
}

/// What was said on each connection.
type Said = BTreeMap<i64, Vec<String>>;

struct Recording {
    scenario: String,
    kind: Kind,
    version: Version,
    lines: Vec<Line>,
}

struct Line {
    what: String,
    raw: String,
    connection: i64,
    at_us: u64,
}

/// Collects what is said on a connection.
#[derive(Default)]
struct Listener {
    tail: Vec<u8>,
    said: Vec<String>,
}

impl Recording {
    fn read(name: &str) -> Self {
        let stem = name.strip_suffix(".jsonl").expect("its name ends so");
        let (rest, version) = stem.rsplit_once('-').expect("a version");
        let (scenario, kind) = match rest.strip_suffix("-qsd") {
            Some(scenario) => (scenario, Kind::StorageDaemon),
            None => (rest.strip_suffix("-qemu-system").expect("a program"), Kind::System),
        };
        let version = match version {
            "1.1" => Version(1, 1, 0),
            "5.2" => Version(5, 2, 0),
            "7.2" => Version(7, 2, 22),
            "10.0.2" => Version(10, 0, 2),
            other => panic!("{other} is a version of none"),
        };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/transcripts");
        let text = fs::read_to_string(folder.join(name)).expect("a transcript");
        let lines = text.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let text = |member: &str| line[member].as_str().expect("text").to_string();
            let seconds = line["t"].as_f64().expect("a number");
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "minutes")]
            let at_us = START_US + (seconds * 1e6) as u64;
            let connection = line["conn"].as_i64().expect("a number");
            Line { what: text("dir"), raw: text("raw"), connection, at_us }
        });
        Self { scenario: scenario.into(), kind, version, lines: lines.collect() }
    }

    /// What the real QEMU said.
    fn said(&self, monitor: &[i64]) -> Said {
        let mut listeners: BTreeMap<i64, Listener> = BTreeMap::new();
        let commands = self.commands();
        for line in self.lines.iter().filter(|line| monitor.contains(&line.connection)) {
            match line.what.as_str() {
                "connect" => _ = listeners.entry(line.connection).or_default(),
                "send" => listeners.entry(line.connection).or_default().sent(),
                "recv" => {
                    let bytes: Vec<u8> = line
                        .raw
                        .chars()
                        .map(|c| u8::try_from(u32::from(c)).expect("a byte"))
                        .collect();
                    listeners.entry(line.connection).or_default().hear(&bytes, &commands);
                }
                _ => {}
            }
        }
        listeners.into_iter().map(|(id, listener)| (id, listener.normalised())).collect()
    }

    /// What the fake says to the same.
    fn play(&self, monitor: &[i64], seed: u64) -> Said {
        let chance = Chance::new(seed);
        let hazards = Odds { busy: 2, shuffle: 3, late_reply: 8, ..Odds::default() };
        let odds = if seed == 0 { Odds::default() } else { hazards };
        let mut qemu = Qemu::new(self.kind, self.version, odds, chance);
        self.lay_out(&mut qemu);
        let commands = self.commands();
        let mut listeners: BTreeMap<i64, Listener> = BTreeMap::new();
        let mut connections: BTreeMap<i64, ConnectionId> = BTreeMap::new();
        let mut now_us = START_US;
        for line in &self.lines {
            run(&mut qemu, &mut now_us, line.at_us);
            for (number, connection) in &connections {
                let bytes = qemu.take_output(*connection);
                listeners.entry(*number).or_default().hear(&bytes, &commands);
            }
            let other = !monitor.contains(&line.connection);
            match line.what.as_str() {
                "connect" if !other => {
                    listeners.entry(line.connection).or_default();
                    if let Some(connection) = qemu.connect() {
                        connections.insert(line.connection, connection);
                    }
                }
                "send" if other => {
                    for command in objects(&line.raw) {
                        qemu.foreign(now_us, &command);
                    }
                }
                "send" => {
                    listeners.entry(line.connection).or_default().sent();
                    qemu.receive(connections[&line.connection], line.raw.as_bytes());
                }
                "close" if !other => {
                    if let Some(connection) = connections.remove(&line.connection) {
                        qemu.disconnect(connection);
                    }
                }
                "signal" if line.raw.contains("TERM") => qemu.terminate(),
                "signal" if line.raw.contains("KILL") => qemu.crash(),
                "signal" if line.raw.contains("STOP") => qemu.stop(),
                "signal" if line.raw.contains("CONT") => qemu.cont(),
                _ => {}
            }
        }
        run(&mut qemu, &mut now_us, u64::MAX >> 1);
        for (number, connection) in &connections {
            let bytes = qemu.take_output(*connection);
            listeners.entry(*number).or_default().hear(&bytes, &commands);
        }
        let whole = |id| {
            self.lines
                .iter()
                .any(|line| line.connection == id && matches!(line.what.as_str(), "eof" | "reset"))
        };
        let several = self.monitors().len() > 1;
        for (_, listener) in listeners.iter_mut().filter(|(id, _)| several && !whole(**id)) {
            // The recording client stopped to read before the end.
            if listener.said.last().is_some_and(|said| said == "SHUTDOWN") {
                listener.said.pop();
            }
        }
        listeners.into_iter().map(|(id, listener)| (id, listener.normalised())).collect()
    }

    /// The images as they were: how much there is to copy is seen in the events, what goes wrong in
    /// the commands that made the nodes.
    fn lay_out(&self, qemu: &mut Qemu) {
        let mut plans: BTreeMap<String, Plan> = BTreeMap::new();
        let mut with_events = BTreeSet::new();
        let mut aborted = BTreeSet::new();
        for event in self.received() {
            let text = |member: &str| event["data"][member].as_str().map(str::to_string);
            if let (Some(id), Some(len)) = (text("device"), event["data"]["len"].as_i64()) {
                with_events.insert(id.clone());
                let fails = !event["data"]["error"].is_null();
                if len > 0 || !fails {
                    // The images of 1.1 were made on its command line.
                    let fault = (fails && !self.version.from(2, 0)).then(io_error);
                    plans.insert(id, Plan { len, fault });
                }
            } else if text("status").as_deref() == Some("aborting") {
                aborted.extend(text("id"));
            }
        }
        for id in aborted.difference(&with_events) {
            let fault = Some(Fault::Silent("It cannot be".into()));
            plans.insert(id.clone(), Plan { fault, ..Plan::default() });
        }
        for command in self.sent() {
            let arguments = &command["arguments"];
            let text = |member: &str| arguments[member].as_str();
            let name = command["execute"].as_str().unwrap_or_default();
            let rules = [&arguments["inject-error"], &arguments["file"]["inject-error"]];
            let rule = rules.iter().find_map(|rules| rules.get(0));
            if let (Some(node), Some(rule)) = (text("node-name"), rule) {
                let fault = fault(rule);
                plans.insert(node.into(), Plan { fault, ..Plan::default() });
            }
            // Of some nothing is told that says how long they were.
            let short = self.version.from(2, 0) || self.scenario.starts_with("reconnect");
            let len = if short { 1 << 20 } else { 4 << 20 };
            if let Some(id) =
                text("job-id").or(text("device")).filter(|_| name != "blockdev-create")
            {
                plans.entry(id.into()).or_insert(Plan { len, fault: None });
            }
            let starts = matches!(name, "block-stream" | "drive-mirror" | "drive-backup");
            if let Some(device) = text("device").filter(|name| starts && *name != "nosuch") {
                qemu.add_device(device);
            }
        }
        if self.scenario == "mirror-target-full" {
            plans.insert("src".into(), Plan::default());
            plans.insert("dst".into(), Plan { len: 1 << 19, fault: None });
        }
        for (name, plan) in plans {
            qemu.plan(&name, plan);
        }
    }

    /// The connections of each monitor.
    fn monitors(&self) -> Vec<Vec<i64>> {
        let several = MONITORS.iter().find(|(scenario, _)| *scenario == self.scenario);
        if let Some((_, monitors)) = several {
            return monitors.iter().map(|monitor| monitor.to_vec()).collect();
        }
        let all: BTreeSet<i64> = self.lines.iter().map(|line| line.connection).collect();
        vec![all.into_iter().filter(|connection| *connection >= 0).collect()]
    }

    /// By its id: which command a reply is for.
    fn commands(&self) -> BTreeMap<String, String> {
        let name = |command: &Value| command["execute"].as_str().unwrap_or("?").to_string();
        self.sent().map(|command| (command["id"].to_string(), name(&command))).collect()
    }

    fn sent(&self) -> impl Iterator<Item = Value> + '_ {
        self.lines.iter().filter(|line| line.what == "send").flat_map(|line| objects(&line.raw))
    }

    fn received(&self) -> impl Iterator<Item = Value> + '_ {
        let mut streams: BTreeMap<i64, String> = BTreeMap::new();
        for line in self.lines.iter().filter(|line| line.what == "recv") {
            streams.entry(line.connection).or_default().push_str(&line.raw);
        }
        streams.into_values().flat_map(|stream| {
            let lines = stream.split("\r\n").filter_map(|line| serde_json::from_str(line).ok());
            lines.collect::<Vec<Value>>()
        })
    }
}

impl Listener {
    fn sent(&mut self) {
        self.said.push(SENT.into());
    }

    fn hear(&mut self, bytes: &[u8], commands: &BTreeMap<String, String>) {
        self.tail.extend_from_slice(bytes);
        while let Some(end) = self.tail.windows(2).position(|two| two == b"\r\n") {
            let line: Vec<u8> = self.tail.drain(..end + 2).collect();
            let Ok(value) = serde_json::from_slice::<Value>(&line) else {
                self.said.push("?".into());
                continue;
            };
            let data = &value["data"];
            let words = [&data["id"], &data["device"], &data["status"], &data["action"]];
            let mut said: Vec<&str> = words.iter().filter_map(|word| word.as_str()).collect();
            let command = commands.get(&value["id"].to_string()).map_or("?", String::as_str);
            if let Some(event) = value["event"].as_str() {
                said.insert(0, event.trim_start_matches("JOB_STATUS_"));
                said.extend(data.get("error").map(|_| "error"));
            } else if value.get("QMP").is_some() {
                said.push("greeting");
            } else {
                said.extend(["reply", command]);
                said.extend(value["error"]["class"].as_str());
            }
            self.said.push(said.join(" "));
        }
    }

    /// Without the marks of what was sent, and without the pairs of paused and running (or standby
    /// and ready) again of a job between which nothing else of that job was said and nothing sent.
    fn normalised(self) -> Vec<String> {
        let mut said = self.said;
        for (paused, again) in [("paused", "running"), ("standby", "ready")] {
            let mut at = 0;
            while at < said.len() {
                let job = said[at].strip_prefix("CHANGE ").and_then(|s| s.strip_suffix(paused));
                let Some(job) = job.map(str::to_string) else {
                    at += 1;
                    continue;
                };
                let next = (at + 1..said.len()).find(|next| {
                    said[*next] == SENT || said[*next].split(' ').any(|word| word == job.trim())
                });
                match next.filter(|next| said[*next] == format!("CHANGE {job}{again}")) {
                    Some(next) => {
                        said.remove(next);
                        said.remove(at);
                    }
                    None => at += 1,
                }
            }
        }
        said.retain(|said| said != SENT);
        said
    }
}

/// All that happens until then.
fn run(qemu: &mut Qemu, now_us: &mut u64, until_us: u64) {
    for _ in 0..STEPS_MAX {
        if qemu.step(*now_us) {
            continue;
        }
        match qemu.next_due_us() {
            Some(due) if due <= until_us && qemu.is_alive() && !qemu.is_hung() => {
                *now_us = due.max(*now_us);
            }
            _ => break,
        }
    }
    if until_us < u64::MAX >> 1 {
        *now_us = until_us.max(*now_us);
        while qemu.step(*now_us) {}
    }
}

fn fault(rule: &Value) -> Option<Fault> {
    if !rule["state"].is_null() {
        return None;
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

/// The JSON objects in what was sent.
fn objects(raw: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(raw).into_iter().map_while(Result::ok).collect()
}

const SENT: &str = ">";
const START_US: u64 = 1_795_400_000_000_000;
const STEPS_MAX: usize = 100_000;
/// Ways to settle the races of a scenario that are tried.
const SEEDS: u64 = 64;
