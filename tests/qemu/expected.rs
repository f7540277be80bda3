//! What the library should have told of a message, worked out from the message alone.

use std::ffi::c_int;

use serde_json::Value;

use crate::client::{Event, number};
use crate::qmp::Message;

const KINDS: [(&str, c_int); 6] = [
    ("BLOCK_JOB_COMPLETED", number::COMPLETED),
    ("BLOCK_JOB_CANCELLED", number::CANCELLED),
    ("BLOCK_JOB_READY", number::READY),
    ("BLOCK_JOB_PENDING", number::PENDING),
    ("BLOCK_JOB_ERROR", number::ERROR),
    ("JOB_STATUS_CHANGE", number::STATUS),
];

const TYPES: [(&str, c_int); 4] = [
    ("stream", number::TYPE_STREAM),
    ("commit", number::TYPE_COMMIT),
    ("mirror", number::TYPE_MIRROR),
    ("backup", number::TYPE_BACKUP),
];

const STATUSES: [(&str, c_int); 10] = [
    ("created", 2),
    ("running", 3),
    ("paused", 4),
    ("ready", 5),
    ("standby", 6),
    ("waiting", 7),
    ("pending", 8),
    ("aborting", 9),
    ("concluded", 10),
    ("null", 11),
];

/// Compares all that was told of one monitor with all that the tests' own monitor saw.
pub fn assert_told(told: &[Event], monitor: &str, seen: &[Message]) {
    let told: Vec<&Event> = told
        .iter()
        .filter(|event| event.monitor == monitor && KINDS.iter().any(|kind| kind.1 == event.kind))
        // An end that was asked for is no message; the stories count them.
        .filter(|event| event.json.is_some())
        .collect();
    let expected: Vec<Event> = seen.iter().filter_map(|seen| event(monitor, seen)).collect();
    for (position, (told, expected)) in told.iter().zip(&expected).enumerate() {
        // Whether a disk moved follows from more than one message, and how far a journal is known
        // from none; the stories know.
        let told = Event { pivoted: expected.pivoted, position: None, ..(*told).clone() };
        assert_eq!(&told, expected, "event {position} of {monitor} was told otherwise");
    }
    assert_eq!(
        told.iter().map(|event| &event.json).collect::<Vec<_>>(),
        expected.iter().map(|event| &event.json).collect::<Vec<_>>(),
        "{monitor}: the events told (left) are not those seen (right)"
    );
}

/// The event that this message should become, or `None` if it is not a job's.
pub fn event(monitor: &str, seen: &Message) -> Option<Event> {
    let name = seen.value["event"].as_str().expect("an event has a name");
    let kind = KINDS.iter().find(|kind| kind.0 == name)?.1;
    let data = &seen.value["data"];
    let text = |member: &str| data[member].as_str().map(str::to_owned);
    let timestamp = &seen.value["timestamp"];
    let error = text("error");
    Some(Event {
        kind,
        name: name.to_owned(),
        monitor: monitor.to_owned(),
        // QEMU calls the same thing `id` in PENDING and in status changes, `device` elsewhere.
        job_id: text("device").or(text("id")),
        outcome: match (kind, &error) {
            (number::COMPLETED, None) => number::OUTCOME_SUCCEEDED,
            (number::COMPLETED, Some(_)) => number::OUTCOME_FAILED,
            (number::CANCELLED, _) => number::OUTCOME_CANCELLED,
            _ => number::OUTCOME_UNKNOWN,
        },
        job_type: number_of(&data["type"], &TYPES),
        type_name: text("type"),
        len: data["len"].as_i64().unwrap_or(-1),
        offset: data["offset"].as_i64().unwrap_or(-1),
        speed: data["speed"].as_i64().unwrap_or(-1),
        timestamp: timestamp["seconds"].as_i64().zip(timestamp["microseconds"].as_i64()),
        status: number_of(&data["status"], &STATUSES),
        status_name: text("status"),
        action: text("action"),
        operation: text("operation"),
        reason: None,
        origin: number::ORIGIN_LIVE,
        pivoted: number::PIVOTED_UNKNOWN,
        loss: number::LOSS_NONE,
        dropped: -1,
        recovered: -1,
        position: None,
        process: number::PROCESS_UNKNOWN,
        json: Some(seen.text.clone()),
        members: [
            (number::MEMBER_LEN, &data["len"]),
            (number::MEMBER_OFFSET, &data["offset"]),
            (number::MEMBER_SPEED, &data["speed"]),
            (number::MEMBER_ERROR, &data["error"]),
            (number::MEMBER_TIMESTAMP, timestamp),
        ]
        .into_iter()
        .filter_map(|(member, value)| (!value.is_null()).then_some(member))
        .collect(),
        error,
    })
}

/// The number of QEMU's word; absent is 0, and so is a word that the tests cannot bring about.
fn number_of(word: &Value, numbers: &[(&str, c_int)]) -> c_int {
    let word = word.as_str();
    numbers.iter().find(|number| Some(number.0) == word).map_or(0, |number| number.1)
}
