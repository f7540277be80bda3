//! The fake's own promises: each hazard that the storm counts on does occur, and the truth agrees
//! with what was written.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    chance::Chance,
    qemu::{
        Odds, Qemu,
        job::Plan,
        truth::{Dismissed, Outcome},
        version::{Kind, Version},
        wire::ConnectionId,
    },
};

const VERSIONS: [Version; 6] = [
    Version(1, 1, 0),
    Version(2, 9, 0),
    Version(2, 12, 0),
    Version(5, 2, 0),
    Version(7, 2, 22),
    Version(10, 0, 2),
];

/// A QEMU with two devices, the time, and one client of it.
struct World {
    qemu: Qemu,
    now_us: u64,
    client: ConnectionId,
    heard: Vec<u8>,
}

impl World {
    fn new(version: Version, odds: Odds, seed: u64) -> Self {
        let mut qemu = Qemu::new(Kind::System, version, odds, Chance::new(seed));
        for device in ["disk", "other"] {
            qemu.add_device(device);
        }
        let client = qemu.connect().expect("nobody is there");
        let mut world = Self { qemu, now_us: START_US, client, heard: Vec::new() };
        world.send(&json!({"execute": "qmp_capabilities", "id": "negotiate"}));
        world.rest();
        world
    }

    fn send(&mut self, command: &Value) {
        self.qemu.receive(self.client, command.to_string().as_bytes());
    }

    fn execute(&mut self, command: &str, arguments: &Value) {
        self.send(&json!({"execute": command, "arguments": arguments, "id": command}));
        self.rest();
    }

    /// Until nothing is left to do within a second.
    fn rest(&mut self) {
        let until = self.now_us + 1_000_000;
        loop {
            while self.qemu.step(self.now_us) {}
            match self.qemu.next_due_us().filter(|due| *due <= until) {
                Some(due) => self.now_us = self.now_us.max(due),
                None => break,
            }
        }
        self.hear();
    }

    fn hear(&mut self) {
        self.heard.extend(self.qemu.take_output(self.client));
    }

    /// The next client, which has negotiated; what the former heard is forgotten.
    fn reconnect(&mut self) {
        self.qemu.disconnect(self.client);
        self.heard.clear();
        self.client = self.qemu.connect().expect("nobody is there");
    }

    /// What was heard, in words: an event's name, a job's status, or a reply's id.
    fn words(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.heard);
        let word = |line: &str| {
            let Ok(line) = serde_json::from_str::<Value>(line) else { return "?".to_string() };
            let words = [&line["data"]["status"], &line["event"], &line["id"]];
            let word = words.iter().find_map(|word| word.as_str());
            word.unwrap_or(if line.get("QMP").is_some() { "greeting" } else { "?" }).into()
        };
        text.split_terminator("\r\n").map(word).collect()
    }
}

#[test]
fn a_ready_mirror_ends_with_its_process_as_its_version_does() {
    for (version, outcome) in [
        (Version(2, 9, 0), Outcome::Completed),
        (Version(5, 2, 0), Outcome::Completed),
        (Version(7, 2, 22), Outcome::Cancelled),
    ] {
        let mut world = World::new(version, Odds::default(), 0);
        world.execute("drive-mirror", &json!({"device": "disk", "target": "t", "sync": "full"}));
        world.execute("quit", &json!({}));
        let truth = &world.qemu.jobs()[0];
        let ending = truth.ended.as_ref().expect("it was told");
        assert_eq!(ending.outcome, outcome, "{version:?}");
        assert!(!truth.pivoted, "{version:?}");
        assert_eq!(ending.sent_to, [world.client], "{version:?}");
        assert!(!world.qemu.is_alive() && world.qemu.connect().is_none());
    }
}

#[test]
fn a_forced_cancel_of_a_ready_mirror_completes_it_before_2_12() {
    for (version, outcome) in
        [(Version(2, 9, 0), Outcome::Completed), (Version(2, 12, 0), Outcome::Cancelled)]
    {
        let mut world = World::new(version, Odds::default(), 0);
        world.execute("drive-mirror", &json!({"device": "disk", "target": "t", "sync": "full"}));
        world.execute("block-job-cancel", &json!({"device": "disk", "force": true}));
        let truth = &world.qemu.jobs()[0];
        assert_eq!(truth.ended.as_ref().map(|ending| &ending.outcome), Some(&outcome));
        assert!(!truth.pivoted);
    }
}

#[test]
fn only_an_accepted_complete_pivots() {
    for (command, pivots) in [("block-job-complete", true), ("block-job-cancel", false)] {
        let mut world = World::new(Version(7, 2, 22), Odds::default(), 0);
        world.execute("drive-mirror", &json!({"device": "disk", "target": "t", "sync": "full"}));
        world.execute(command, &json!({"device": "disk"}));
        let truth = &world.qemu.jobs()[0];
        assert_eq!(truth.ended.as_ref().expect("it ended").outcome, Outcome::Completed);
        assert_eq!(truth.pivoted, pivots, "{command}");
    }
}

#[test]
fn an_unknown_argument_is_refused_and_nothing_starts() {
    let mut world = World::new(Version(2, 9, 0), Odds::default(), 0);
    world.execute("block-stream", &json!({"device": "disk", "auto-dismiss": false}));
    let heard = String::from_utf8_lossy(&world.heard);
    assert!(heard.contains("Parameter 'auto-dismiss' is unexpected"), "{heard}");
    assert!(world.qemu.jobs().is_empty());
}

#[test]
fn a_grouped_transaction_that_fails_with_two_jobs_hangs_and_others_roll_back() {
    let action = |device: &str| {
        json!({"type": "blockdev-backup", "data": {"device": device, "target": device,
            "job-id": format!("j-{device}"), "sync": "full"}})
    };
    for (devices, hangs) in [(&["disk", "other"][..], true), (&["disk"], false)] {
        let mut world = World::new(Version(10, 0, 2), Odds::default(), 0);
        let mut actions: Vec<Value> = devices.iter().map(|device| action(device)).collect();
        actions.push(json!({"type": "abort", "data": {}}));
        let properties = json!({"completion-mode": "grouped"});
        world.execute("transaction", &json!({"actions": actions, "properties": properties}));
        assert_eq!(world.qemu.is_hung(), hangs);
        assert!(world.qemu.jobs().iter().all(|truth| !truth.ran && truth.ended.is_none()));
        assert_eq!(world.words().contains(&"transaction".to_string()), !hangs);
        assert!(!String::from_utf8_lossy(&world.heard).contains("BLOCK_JOB"));
    }
}

#[test]
fn the_fourth_client_is_refused_and_the_second_waits_for_its_greeting() {
    let mut world = World::new(Version(7, 2, 22), Odds::default(), 0);
    let second = world.qemu.connect().expect("the backlog holds two");
    world.qemu.connect().expect("the backlog holds two");
    assert_eq!(world.qemu.connect(), None);
    world.rest();
    assert!(world.qemu.take_output(second).is_empty());
    world.qemu.disconnect(world.client);
    world.rest();
    assert!(world.qemu.take_output(second).starts_with(b"{\"QMP\""));
}

#[test]
fn a_slow_commands_reply_goes_to_the_next_client() {
    let mut world = World::new(Version(5, 2, 0), Odds::default(), 0);
    world.send(&json!({"execute": "blockdev-add", "id": "slow",
        "arguments": {"driver": "nbd", "node-name": "n"}}));
    world.qemu.step(world.now_us);
    world.reconnect();
    world.send(&json!({"execute": "qmp_capabilities", "id": "mine"}));
    world.rest();
    world.now_us += 1_000_000;
    world.rest();
    assert_eq!(world.words(), ["greeting", "slow", "mine"]);
}

#[test]
fn a_listing_may_be_staler_than_the_events_before_it() {
    let odds = Odds { late_reply: 2, shuffle: 2, ..Odds::default() };
    let found = (0..SEEDS).filter(|seed| {
        let mut world = World::new(Version(7, 2, 22), odds.clone(), *seed);
        world.send(&json!({"execute": "block-stream", "arguments": {"device": "disk"}}));
        world.send(&json!({"execute": "query-jobs", "id": "list"}));
        world.rest_by_steps();
        let text = String::from_utf8_lossy(&world.heard).into_owned();
        let ended = text.find("BLOCK_JOB_COMPLETED");
        let listed = text.find("\"total-progress\"").filter(|_| text.contains("running"));
        ended.zip(listed).is_some_and(|(ended, listed)| ended < listed)
    });
    assert!(found.count() > 10);
}

#[test]
fn a_stream_may_begin_with_events_or_in_mid_message() {
    let odds = Odds { early_event: 2, stale_bytes: 2, inf: 4, ..Odds::default() };
    let (mut early, mut stale, mut inf) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut world = World::new(Version(10, 0, 2), odds.clone(), seed);
        world.qemu.plan("disk", Plan { len: 8 << 20, ..Plan::default() });
        world.execute("block-stream", &json!({"device": "disk", "speed": 65536}));
        world.reconnect();
        world.qemu.step(world.now_us);
        let cancel = json!({"execute": "job-cancel", "arguments": {"id": "disk"}});
        assert_eq!(world.qemu.foreign(world.now_us, &cancel)["return"], json!({}));
        world.rest();
        let words = world.words();
        let greeting = words.iter().position(|word| word == "greeting").expect("it comes");
        early += usize::from(words[..greeting].contains(&"BLOCK_JOB_CANCELLED".into()));
        stale += usize::from(words[..greeting].contains(&"?".into()));
        inf += usize::from(words[greeting..].contains(&"?".into()));
    }
    assert!(early > 10 && stale > 10 && inf > 10, "{early} {stale} {inf}");
}

#[test]
fn an_event_may_stand_behind_the_greeting_and_is_then_alone_until_the_client_agrees() {
    let mut found = 0;
    for seed in 0..SEEDS {
        let odds = Odds { straggler: 2, ..Odds::default() };
        let mut world = World::new(Version(10, 0, 2), odds, seed);
        world.qemu.plan("disk", Plan { len: 8 << 20, ..Plan::default() });
        world.execute("block-stream", &json!({"device": "disk", "speed": 65536}));
        world.reconnect();
        world.rest();
        let cancel = json!({"execute": "job-cancel", "arguments": {"id": "disk"}});
        assert_eq!(world.qemu.foreign(world.now_us, &cancel)["return"], json!({}));
        world.rest();
        let words = world.words();
        assert_eq!(words[0], "greeting");
        assert!(words.len() <= 2, "{words:?}");
        found += usize::from(words.get(1).is_some_and(|word| word == "aborting"));
    }
    assert!(found > 10, "{found}");
}

#[test]
fn the_journal_goes_on_after_a_crash_which_cuts_the_stream_at_any_byte() {
    let mut cut = 0;
    let mut journal = Vec::new();
    for seed in 0..SEEDS {
        let mut world = World::new(Version(7, 2, 22), Odds::default(), seed);
        world.qemu = world.qemu.with_journal(&journal);
        world.send(&json!({"execute": "block-stream", "arguments": {"device": "disk"}}));
        world.rest_by_steps_unheard();
        world.qemu.crash();
        world.hear();
        cut += usize::from(!world.heard.ends_with(b"\r\n"));
        assert!(world.qemu.is_ended(world.client));
        assert!(world.qemu.journal().starts_with(&journal));
        journal = world.qemu.journal().to_vec();
    }
    let completed = String::from_utf8(journal).expect("ASCII").matches("_COMPLETED").count();
    assert_eq!(completed as u64, SEEDS);
    assert!(cut > 10, "{cut}");
}

#[test]
fn the_truth_agrees_with_what_was_written_in_worlds_of_every_version() {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..WORLDS {
        let mut chance = Chance::new(seed);
        let version = VERSIONS[chance.index(VERSIONS.len())];
        let (world, journal) = random_world(version, chance.clone());
        let (again, journal_again) = random_world(version, chance);
        assert_eq!(journal, journal_again, "seed {seed}: the same again");
        assert_eq!(world.heard, again.heard, "seed {seed}: the same again");
        let journal = String::from_utf8(journal).expect("QEMU writes ASCII");
        let mut told = 0;
        for truth in world.qemu.jobs() {
            let Some(ending) = &truth.ended else {
                *seen.entry(if truth.ran { "cut short" } else { "never ran" }).or_default() += 1;
                continue;
            };
            assert!(truth.ran, "seed {seed}: {truth:?}");
            assert_eq!(ending.event.is_some(), truth.block, "seed {seed}: {truth:?}");
            if let Some(event) = &ending.event {
                assert_eq!(journal.matches(event.as_str()).count(), 1, "seed {seed}: {event}");
                told += 1;
            }
            assert!(!truth.pivoted || ending.outcome == Outcome::Completed, "seed {seed}");
            *seen
                .entry(match &ending.outcome {
                    Outcome::Completed if truth.pivoted => "pivoted",
                    Outcome::Completed => "completed",
                    Outcome::Failed(_) => "failed",
                    Outcome::Cancelled => "cancelled",
                })
                .or_default() += 1;
            *seen
                .entry(match truth.dismissed {
                    Some(Dismissed::Auto) => "dismissed by itself",
                    Some(Dismissed::ByClient(_)) => "dismissed by the client",
                    Some(Dismissed::ByForeign) => "dismissed by another",
                    Some(Dismissed::WithProcess) => "gone with the process",
                    None => panic!("seed {seed}: the process is gone"),
                })
                .or_default() += 1;
        }
        let terminal = ["BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED"];
        let written: usize = terminal.iter().map(|name| journal.matches(name).count()).sum();
        assert_eq!(written, told, "seed {seed}: each is the end of one job");
    }
    println!("{seen:?}");
    assert!(seen.len() == 10 && seen.values().all(|times| *times > 10), "{seen:?}");
}

/// A client and another do what comes to mind, and at last the process ends.
fn random_world(version: Version, mut chance: Chance) -> (World, Vec<u8>) {
    let odds = Odds {
        early_event: 4,
        straggler: 2,
        stale_bytes: 4,
        inf: 8,
        deaf: 10,
        late_reply: 4,
        executing: 2,
        busy: 2,
        blip: 200,
        shuffle: 3,
        truncated_tail: 3,
        fault: 3,
        instant: 5,
    };
    let mut world = World::new(version, odds, chance.next());
    for n in 0..60_u64 {
        let command = random_command(&mut chance, n);
        match chance.below(12) {
            0 => _ = world.qemu.foreign(world.now_us, &command),
            1 => {
                world.hear();
                world.qemu.disconnect(world.client);
                let Some(client) = world.qemu.connect() else { break };
                world.client = client;
                world.send(&json!({"execute": "qmp_capabilities"}));
            }
            2 if chance.one_in(30) => world.qemu.crash(),
            2 if chance.one_in(20) => world.qemu.hang(),
            3 if chance.one_in(30) => world.qemu.terminate(),
            _ => world.send(&command),
        }
        for _ in 0..chance.below(40) {
            world.now_us += chance.below(400);
            world.qemu.step(world.now_us);
        }
        world.hear();
    }
    if chance.one_in(2) {
        world.qemu.terminate();
    }
    world.qemu.crash();
    world.hear();
    let journal = world.qemu.journal().to_vec();
    (world, journal)
}

fn random_command(chance: &mut Chance, n: u64) -> Value {
    let device = ["disk", "other"][chance.index(2)];
    let explicit = chance.one_in(2);
    let mut job = json!({"device": device});
    let id = if explicit { format!("job-{}", chance.below(3)) } else { device.into() };
    if explicit {
        job["job-id"] = json!(id);
    }
    for flag in ["auto-dismiss", "auto-finalize"] {
        if chance.one_in(4) {
            job[flag] = json!(false);
        }
    }
    if chance.one_in(3) {
        job["speed"] = json!(65536);
    }
    let mut copy = job.clone();
    copy["target"] = json!("target");
    copy["sync"] = json!(["full", "none"][chance.index(2)]);
    copy["on-target-error"] = json!(["report", "ignore", "stop", "enospc"][chance.index(4)]);
    let backups: Vec<Value> = ["disk", "other"]
        .map(|device| {
            let data = json!({"device": device, "target": format!("to-{device}"), "sync": "full"});
            json!({"type": "drive-backup", "data": data})
        })
        .into();
    let block = json!({"device": id, "force": explicit});
    let (block_id, plain) = (json!({"device": id}), json!({"id": id}));
    let (command, arguments) = match chance.below(24) {
        0..3 => ("block-stream", job),
        3 => ("block-commit", job),
        4..6 => ("drive-mirror", copy),
        6..8 => ("drive-backup", copy),
        8 => ("blockdev-create", json!({"job-id": format!("create-{n}"), "options": {}})),
        9..11 => (
            "transaction",
            json!({"actions": backups,
            "properties": {"completion-mode": if explicit { "grouped" } else { "individual" }}}),
        ),
        11 => ("block-job-cancel", block),
        12 => ("job-cancel", plain),
        13..15 => ("block-job-complete", block_id),
        15 => ("block-job-pause", block_id),
        16 => ("job-resume", plain),
        17 => ("job-finalize", plain),
        18..20 => ("job-dismiss", plain),
        20 => ("block-job-resume", block_id),
        21 => ("block-job-set-speed", json!({"device": id, "speed": 0})),
        22 => ("query-block-jobs", json!({})),
        _ => ("query-jobs", json!({})),
    };
    json!({"execute": command, "arguments": arguments, "id": n})
}

impl World {
    /// Time goes on in small steps, as it does in the storm.
    fn rest_by_steps(&mut self) {
        self.rest_by_steps_unheard();
        self.hear();
    }

    fn rest_by_steps_unheard(&mut self) {
        self.qemu.plan("disk", Plan { len: 1 << 20, ..Plan::default() });
        for _ in 0..200 {
            self.now_us += 100;
            self.qemu.step(self.now_us);
        }
    }
}

const START_US: u64 = 1_795_400_000_000_000;
const SEEDS: u64 = 200;
const WORLDS: u64 = 2_000;
