//! What an event says, strictly: from QEMU's members to an [`Event`]. A member that is missing or
//! of another type is absent; only an event without its job's id is no event at all.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::message::{Fields, integer, job_id, members, prose_of, word};
use crate::model::{Event, JobType, Kind, Outcome, Status, Timestamp, Word};

/// Decodes an event of the given name; `json` is the whole message. `None` for what is no event of
/// a job, or does not say of which.
pub fn decode(
    name: &str,
    timestamp: Option<Timestamp>,
    data: Option<&RawValue>,
    json: &str,
) -> Option<Event> {
    let kind = kind(name)?;
    Some(event(kind, timestamp, &fields(kind, data?)?, json))
}

/// Which events are wanted as they are, whatever they say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    pub all: bool,
    pub names: BTreeSet<String>,
}

impl Names {
    pub fn has(&self, name: &str) -> bool {
        self.all || self.names.contains(name)
    }
}

/// Any event as it is: its name, its time, and its message.
pub fn raw(name: &str, timestamp: Option<Timestamp>, json: &str) -> Event {
    let mut event = Event::new(Kind::Raw, name, timestamp, json.len() + 1);
    event.set(Word::Json, json);
    event
}

/// Does an event of this name speak of a job?
pub fn is_of_job(name: &str) -> bool {
    kind(name).is_some()
}

pub fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "BLOCK_JOB_COMPLETED" => Kind::Completed,
        "BLOCK_JOB_CANCELLED" => Kind::Cancelled,
        "BLOCK_JOB_READY" => Kind::Ready,
        "BLOCK_JOB_PENDING" => Kind::Pending,
        "BLOCK_JOB_ERROR" => Kind::Error,
        "JOB_STATUS_CHANGE" => Kind::Status,
        _ => return None,
    })
}

/// QEMU's name of an event of this kind.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Completed => "BLOCK_JOB_COMPLETED",
        Kind::Cancelled => "BLOCK_JOB_CANCELLED",
        Kind::Ready => "BLOCK_JOB_READY",
        Kind::Pending => "BLOCK_JOB_PENDING",
        Kind::Error => "BLOCK_JOB_ERROR",
        _ => "JOB_STATUS_CHANGE",
    }
}

/// Two of the events name the job by `id`, the others by `device`.
pub fn says_id(kind: Kind) -> bool {
    matches!(kind, Kind::Pending | Kind::Status)
}

fn fields(kind: Kind, data: &RawValue) -> Option<Fields<'_>> {
    let job = if says_id(kind) { "id" } else { "device" };
    let [job, type_name, len, offset, speed, error, status, action, operation] = members(
        data.get(),
        [job, "type", "len", "offset", "speed", "error", "status", "action", "operation"],
    )
    .ok()?;
    Some(Fields {
        job: job_id(job?)?,
        type_name: type_name.and_then(word),
        // Its presence is what says "failed", so it is kept even when it is no string.
        error: error.map(prose_of),
        status: status.and_then(word),
        action: action.and_then(word),
        operation: operation.and_then(word),
        len: len.and_then(integer),
        offset: offset.and_then(integer),
        speed: speed.and_then(integer),
    })
}

/// The event of a job that says this; `json` is the whole message.
pub fn event(kind: Kind, timestamp: Option<Timestamp>, fields: &Fields<'_>, json: &str) -> Event {
    let words = [
        Some(&fields.job),
        fields.type_name.as_ref(),
        fields.status.as_ref(),
        fields.action.as_ref(),
        fields.operation.as_ref(),
        fields.error.as_ref(),
    ];
    let room: usize = words.iter().flatten().map(|word| word.len() + 1).sum();
    let mut event = Event::new(kind, name(kind), timestamp, json.len() + 1 + room);
    event.set(Word::JobId, &fields.job);
    event.set(Word::Json, json);
    if let Some(word) = &fields.type_name {
        event.set(Word::TypeName, word);
        event.job_type = JobType::from_word(word);
    }
    if let Some(word) = &fields.status {
        event.set(Word::StatusName, word);
        event.status = Status::from_word(word);
    }
    let others = [
        (Word::Action, &fields.action),
        (Word::Operation, &fields.operation),
        (Word::Error, &fields.error),
    ];
    for (word, text) in others {
        if let Some(text) = text {
            event.set(word, text);
        }
    }
    (event.len, event.offset, event.speed) = (fields.len, fields.offset, fields.speed);
    event.outcome = outcome(kind, fields.error.is_some());
    event
}

/// QEMU's rule: only an `error` tells failure, never a comparison of offset and len. An old QEMU
/// may send an `error` with CANCELLED; the job was cancelled all the same.
fn outcome(kind: Kind, has_error: bool) -> Outcome {
    match kind {
        Kind::Completed if has_error => Outcome::Failed,
        Kind::Completed => Outcome::Succeeded,
        Kind::Cancelled => Outcome::Cancelled,
        _ => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> Option<Event> {
        decode(name, None, Some(serde_json::from_str(data).unwrap()), "{}")
    }

    #[test]
    fn completed_has_every_member_that_qemu_sends() {
        let event = event(
            "BLOCK_JOB_COMPLETED",
            r#"{"device": "j0", "len": 7, "offset": 7, "speed": 9223372036854775807,
                "type": "stream", "error": "No space left on \"device\" \u00e9"}"#,
        )
        .unwrap();
        assert_eq!(event.text(Word::JobId), Some("j0"));
        assert_eq!(event.text(Word::TypeName), Some("stream"));
        assert_eq!(event.job_type, JobType::Stream);
        assert_eq!((event.len, event.offset, event.speed), (Some(7), Some(7), Some(i64::MAX)));
        assert_eq!(event.text(Word::Error), Some("No space left on \"device\" é"));
        assert_eq!(event.outcome, Outcome::Failed);
        assert_eq!(event.text(Word::Json), Some("{}"));
    }

    #[test]
    fn only_an_error_tells_failure() {
        let outcome = |name, data| event(name, data).unwrap().outcome;
        let short = r#"{"device": "j", "len": 9, "offset": 1}"#;
        assert_eq!(outcome("BLOCK_JOB_COMPLETED", short), Outcome::Succeeded);
        assert_eq!(outcome("BLOCK_JOB_CANCELLED", short), Outcome::Cancelled);
        let full = r#"{"device": "j", "len": 9, "offset": 9, "error": 5}"#;
        assert_eq!(outcome("BLOCK_JOB_COMPLETED", full), Outcome::Failed);
        assert_eq!(event("BLOCK_JOB_COMPLETED", full).unwrap().text(Word::Error), Some("5"));
        assert_eq!(outcome("BLOCK_JOB_CANCELLED", full), Outcome::Cancelled);
        assert_eq!(outcome("BLOCK_JOB_READY", short), Outcome::Unknown);
    }

    #[test]
    fn pending_and_status_changes_name_the_job_id() {
        let pending = event("BLOCK_JOB_PENDING", r#"{"id": "j", "type": "mirror"}"#).unwrap();
        assert_eq!(pending.text(Word::JobId), Some("j"));
        let status = event("JOB_STATUS_CHANGE", r#"{"id": "j", "status": "dozing"}"#).unwrap();
        assert_eq!(status.text(Word::StatusName), Some("dozing"));
        assert_eq!(status.status, Status::Unknown);
        assert!(event("JOB_STATUS_CHANGE", r#"{"device": "j", "status": "ready"}"#).is_none());
    }

    #[test]
    fn mistyped_members_are_absent_and_an_event_without_a_job_is_none() {
        let event_of = |data| event("BLOCK_JOB_COMPLETED", data);
        let odd = event_of(r#"{"device": "j", "len": "7", "offset": 1.5, "speed": [], "type": 3}"#)
            .unwrap();
        assert_eq!((odd.len, odd.offset, odd.speed), (None, None, None));
        assert_eq!(odd.text(Word::TypeName), None);
        assert!(event_of(r#"{"len": 7}"#).is_none());
        assert!(event_of(r#"{"device": 7}"#).is_none());
        assert!(event_of("[]").is_none());
        assert!(event("STOP", r#"{"device": "j"}"#).is_none());
        assert!(decode("BLOCK_JOB_READY", None, None, "{}").is_none());
    }
}
