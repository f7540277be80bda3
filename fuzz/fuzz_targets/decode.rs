//! Decoding: an event of a job, and each entry of a list of jobs, says what another parser reads
//! there, member by member; what is missing or of another type is absent.
//!
//! The input: a message. Of a reply its value is read as either list.

#![no_main]

use std::collections::BTreeSet;

use blockjob::{
    model::{Event, JobType, Kind, Origin, Outcome, Status, Word},
    qmp::{
        decode::{decode, event, raw},
        event::plain,
        line::{Frame, Framer},
        listing::{self, Listed},
        message::{Message, parse},
    },
};
use blockjob_fuzz::{
    json::{self, Tree, without_nul},
    memory,
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, value::RawValue};

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    if json::has_minus_zero(&text) || json::has_long_string(&text) {
        return;
    }
    check_plain(&text);
    match parse(&text) {
        Ok(Message::Event { name, timestamp, data }) => {
            let (event, peak) = memory::peak(|| decode(&name, timestamp, data, &text));
            assert!(peak <= 16 * text.len() + 4096, "{peak} bytes for one of {}", text.len());
            if let Some(event) = &event {
                assert_eq!((event.timestamp, event.origin), (timestamp, Origin::Live));
                assert_eq!(event.text(Word::Name), Some(&*without_nul(&name)));
                assert_eq!(event.text(Word::Json), Some(&*without_nul(&text)));
                assert!(event.weight() >= text.len() && event.weight() <= 8 * text.len() + 4096);
            }
            if let Some((value, tree)) = data.and_then(|data| json::read(data.get())) {
                check_event(event.as_ref(), &name, &value, &tree);
            }
            let raw = raw(&name, timestamp, &text);
            assert_eq!((raw.kind, raw.outcome), (Kind::Raw, Outcome::Unknown));
            assert_eq!(raw.text(Word::JobId), None);
        }
        Ok(Message::Return { value, .. }) => check_lists(value),
        _ => {}
    }
});

/// What is read in one pass is what is read with care.
fn check_plain(text: &str) {
    let Some((used, plain)) = plain(text.as_bytes(), 1 << 16) else { return };
    let mut framer = Framer::new(1 << 16);
    let (cut, frame) = framer.next(text.as_bytes());
    assert_eq!((cut, frame), (used, Some(Frame::Message(plain.text.as_bytes()))));
    let Ok(Message::Event { name, timestamp, data }) = parse(plain.text) else {
        panic!("it is no event: {}", plain.text)
    };
    assert_eq!((&*name, timestamp), (plain.name, plain.timestamp));
    let slow = decode(&name, timestamp, data, plain.text);
    let of_job = |(kind, fields)| event(kind, plain.timestamp, &fields, plain.text);
    assert_eq!(format!("{slow:?}"), format!("{:?}", plain.job.map(of_job)));
}

const MEMBERS: [&str; 8] =
    ["type", "len", "offset", "speed", "error", "status", "action", "operation"];

fn check_event(event: Option<&Event>, name: &str, data: &Value, tree: &Tree) {
    let (kind, job) = match name {
        "BLOCK_JOB_COMPLETED" => (Kind::Completed, "device"),
        "BLOCK_JOB_CANCELLED" => (Kind::Cancelled, "device"),
        "BLOCK_JOB_READY" => (Kind::Ready, "device"),
        "BLOCK_JOB_ERROR" => (Kind::Error, "device"),
        "BLOCK_JOB_PENDING" => (Kind::Pending, "id"),
        "JOB_STATUS_CHANGE" => (Kind::Status, "id"),
        _ => return assert!(event.is_none(), "{name} is of no job"),
    };
    let repeats = tree.repeats(Some(&MEMBERS)) || tree.repeats(Some(&[job]));
    let Some(id) = data.get(job).and_then(Value::as_str).filter(|_| !repeats) else {
        return assert!(event.is_none(), "it does not say of which job");
    };
    let event = event.expect("it says of which job");
    let text = |name: &str| data.get(name).and_then(Value::as_str).map(without_nul);
    assert_eq!(event.kind, kind);
    assert_eq!(event.text(Word::JobId), Some(&*without_nul(id)));
    for (word, name) in [
        (Word::TypeName, "type"),
        (Word::StatusName, "status"),
        (Word::Action, "action"),
        (Word::Operation, "operation"),
    ] {
        assert_eq!(event.text(word), text(name).as_deref());
    }
    assert_eq!(event.len, data.get("len").and_then(Value::as_i64));
    assert_eq!(event.offset, data.get("offset").and_then(Value::as_i64));
    assert_eq!(event.speed, data.get("speed").and_then(Value::as_i64));
    assert_eq!(event.text(Word::Error).is_some(), data.get("error").is_some());
    if let Some(error) = text("error") {
        assert_eq!(event.text(Word::Error), Some(&*error));
    }
    let expected = match (kind, data.get("error")) {
        (Kind::Completed, None) => Outcome::Succeeded,
        (Kind::Completed, Some(_)) => Outcome::Failed,
        (Kind::Cancelled, _) => Outcome::Cancelled,
        _ => Outcome::Unknown,
    };
    assert_eq!(event.outcome, expected);
    let word = |name: &str| data.get(name).and_then(Value::as_str);
    assert_eq!(event.job_type, word("type").map_or(JobType::Unknown, JobType::from_word));
    assert_eq!(event.status, word("status").map_or(Status::Unknown, Status::from_word));
}

fn check_lists(raw: &RawValue) {
    let all = |_: &Listed| true;
    let (jobs, block_jobs) = (listing::jobs(raw, all), listing::block_jobs(raw, all));
    let Some((value, tree)) = json::read(raw.get()) else { return };
    let (Value::Array(values), Tree::List(trees)) = (&value, &tree) else {
        assert!(jobs.is_err() && block_jobs.is_err(), "it is no list");
        return;
    };
    let (jobs, block_jobs) = (jobs.expect("a list").jobs, block_jobs.expect("a list").jobs);
    for (list, names) in [
        (&jobs, ["id", "total-progress", "current-progress"]),
        (&block_jobs, ["device", "len", "offset"]),
    ] {
        let (mut found, mut ids) = (list.iter(), BTreeSet::new());
        for (value, tree) in values.iter().zip(trees) {
            let Some(expected) = listed(value, tree, names) else { continue };
            // Of two with one id the first counts.
            if !ids.insert(expected.id.clone()) {
                continue;
            }
            let mut found = found.next().cloned().expect("it says of which job");
            assert_eq!(found.error.is_some(), value.get("error").is_some());
            if value.get("error").is_some_and(|error| !error.is_string()) {
                // It is kept as it stands, which is not a value's matter.
                found.error = None;
            }
            assert_eq!(found, expected);
        }
        assert!(found.next().is_none(), "more than there is");
    }
    // The first list says which jobs there are.
    let ids = |list: &[Listed]| list.iter().map(|job| job.id.clone()).collect::<Vec<_>>();
    let known = ids(&jobs);
    assert_eq!(ids(&listing::merge(Some(jobs), block_jobs)), known);
}

fn listed(value: &Value, tree: &Tree, names: [&str; 3]) -> Option<Listed> {
    let [id, len, offset] = names;
    let others =
        ["type", "status", "speed", "error", "auto-dismiss", "ready", "paused", "auto-finalize"];
    if tree.repeats(Some(&others)) || tree.repeats(Some(&names)) {
        return None;
    }
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let flag = |name: &str| value.get(name).and_then(Value::as_bool);
    let number = |name: &str| value.get(name).and_then(Value::as_i64);
    let status = text("status");
    Some(Listed {
        id: text(id)?,
        type_name: text("type"),
        status: status.as_deref().map_or(Status::Unknown, Status::from_word),
        status_name: status,
        ready: flag("ready"),
        paused: flag("paused"),
        len: number(len),
        offset: number(offset),
        speed: number("speed"),
        error: text("error"),
        auto_finalize: flag("auto-finalize"),
        auto_dismiss: flag("auto-dismiss"),
    })
}
