//! A transcript: who sent and heard what and when.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use memchr::memmem;
use serde_json::{Value, json};

use super::{
    MONITORS, UNSEEN, Unseen,
    listener::{Listener, take_messages},
};
use crate::qemu::version::{Kind, Version};

pub struct Recording {
    pub scenario: String,
    pub kind: Kind,
    pub version: Version,
    pub lines: Vec<Line>,
    /// By its id: which command a reply is for.
    pub commands: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub what: String,
    pub bytes: Vec<u8>,
    pub connection: i64,
    pub at_us: u64,
}

/// What was said on each connection.
pub type Said = BTreeMap<i64, Vec<String>>;

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/transcripts")
}

impl Recording {
    pub fn read(name: &str) -> Self {
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
        let text = fs::read_to_string(folder().join(name)).expect("a transcript");
        let lines = text.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let text = |member: &str| line[member].as_str().expect("text").to_string();
            let seconds = line["t"].as_f64().expect("a number");
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "minutes")]
            let at_us = START_US + (seconds * 1e6) as u64;
            let connection = line["conn"].as_i64().expect("a number");
            // A byte stands there as the character of its number; a note may hold any.
            let (what, raw) = (text("dir"), text("raw"));
            let bytes = raw.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
            Line { what, bytes, connection, at_us }
        });
        let mut recording = Self {
            scenario: scenario.into(),
            kind,
            version,
            lines: lines.collect(),
            commands: BTreeMap::new(),
        };
        recording.add_unseen();
        let name = |command: &Value| command["execute"].as_str().unwrap_or("?").to_string();
        let sent = recording.sent().map(|command| (command["id"].to_string(), name(&command)));
        recording.commands = sent.collect();
        recording
    }

    /// What was sent and stands in no line.
    fn add_unseen(&mut self) {
        let unseen = |(scenario, _): &&(&str, Unseen)| *scenario == self.scenario;
        match UNSEEN.iter().find(unseen) {
            Some((_, Unseen::Asked { client, id, times })) => {
                let negotiated = |line: &Line| {
                    line.connection == *client && line.bytes.starts_with(b"{\"return\": {}, ")
                };
                let at = self.lines.iter().position(negotiated).expect("they negotiate");
                self.ask(at + 1, *client, id, *times);
            }
            Some((_, Unseen::Started)) => {
                let ids = |event: Value| event["data"]["id"].as_str().map(str::to_string);
                let id = self.received().find_map(ids).expect("a job");
                let start = json!({"execute": "blockdev-backup", "id": "other", "arguments":
                    {"job-id": id, "device": "node", "target": "target", "sync": "full"}});
                let at_us = self.lines[0].at_us;
                let bytes = start.to_string().into();
                let line = Line { what: "send".into(), bytes, connection: OTHER, at_us };
                self.lines.insert(1, line);
            }
            None => {}
        }
    }

    /// A client asks for much and reads nothing of it.
    fn ask(&mut self, at: usize, connection: i64, id: &str, times: usize) {
        let at_us = self.lines[at].at_us;
        let line = |what: &str, bytes: String| Line {
            what: what.into(),
            bytes: bytes.into(),
            connection,
            at_us,
        };
        let asks = (0..times).map(|n| {
            line("send", format!("{{\"execute\":\"query-qmp-schema\",\"id\":\"{id}{n}\"}}"))
        });
        let lines: Vec<Line> = [line("silent", String::new())].into_iter().chain(asks).collect();
        self.lines.splice(at..at, lines);
    }

    /// What the real QEMU said, up to this line.
    pub fn said(&self, monitor: &[i64], lines: usize) -> Said {
        let mut listeners: BTreeMap<i64, Listener> = BTreeMap::new();
        let lines = self.lines[..lines].iter();
        for line in lines.filter(|line| monitor.contains(&line.connection)) {
            match line.what.as_str() {
                "connect" => _ = listeners.entry(line.connection).or_default(),
                "send" => listeners.entry(line.connection).or_default().sent(),
                "recv" => {
                    listeners.entry(line.connection).or_default().hear(&line.bytes, &self.commands);
                }
                _ => {}
            }
        }
        listeners.into_iter().map(|(id, listener)| (id, listener.normalised())).collect()
    }

    /// Where each stage ends: what a client does after a pause begins a new one.
    pub fn stages(&self) -> Vec<usize> {
        let begins = |at: &usize| {
            let (before, line) = (&self.lines[at - 1], &self.lines[*at]);
            line.what != "recv" && line.at_us >= before.at_us + PAUSE_US
        };
        (1..self.lines.len()).filter(begins).chain([self.lines.len()]).collect()
    }

    /// The connections of each monitor.
    pub fn monitors(&self) -> Vec<Vec<i64>> {
        let several = MONITORS.iter().find(|(scenario, _)| *scenario == self.scenario);
        if let Some((_, monitors)) = several {
            return monitors.iter().map(|monitor| monitor.to_vec()).collect();
        }
        let all: BTreeSet<i64> = self.lines.iter().map(|line| line.connection).collect();
        vec![all.into_iter().filter(|connection| *connection >= 0).collect()]
    }

    /// The client did not read up to the end.
    pub fn ends_early(&self, client: i64) -> bool {
        let ends = |line: &Line| {
            let told = memmem::find(&line.bytes, b"\"event\": \"SHUTDOWN\"").is_some();
            matches!(line.what.as_str(), "eof" | "reset") || told
        };
        !self.lines.iter().any(|line| line.connection == client && ends(line))
    }

    pub fn sent(&self) -> impl Iterator<Item = Value> + '_ {
        self.lines.iter().filter(|line| line.what == "send").flat_map(|line| objects(&line.bytes))
    }

    pub fn received(&self) -> impl Iterator<Item = Value> + '_ {
        let mut streams: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
        for line in self.lines.iter().filter(|line| line.what == "recv") {
            streams.entry(line.connection).or_default().extend(&line.bytes);
        }
        let messages = |mut stream| take_messages(&mut stream);
        let value = |message: Vec<u8>| serde_json::from_slice(&message).ok();
        streams.into_values().flat_map(messages).filter_map(value)
    }
}

/// The JSON objects in what was sent, up to what is none.
pub fn objects(bytes: &[u8]) -> Vec<Value> {
    serde_json::Deserializer::from_slice(bytes).into_iter().map_while(Result::ok).collect()
}

pub const START_US: u64 = 1_795_400_000_000_000;
const PAUSE_US: u64 = 5_000;
/// Another monitor's client.
const OTHER: i64 = -2;
