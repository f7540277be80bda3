//! Events, copied inside the callback or out of what was waited for.

use std::ffi::c_int;

use super::{RawEvent, copied, functions, number};

/// What each getter gave for one event, while its callback ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub kind: c_int,
    pub name: String,
    pub monitor: String,
    pub job_id: Option<String>,
    pub outcome: c_int,
    pub job_type: c_int,
    pub type_name: Option<String>,
    pub len: i64,
    pub offset: i64,
    pub speed: i64,
    pub error: Option<String>,
    /// Seconds and microseconds.
    pub timestamp: Option<(i64, i64)>,
    pub status: c_int,
    pub status_name: Option<String>,
    pub action: Option<String>,
    pub operation: Option<String>,
    pub reason: Option<String>,
    pub origin: c_int,
    pub pivoted: c_int,
    pub loss: c_int,
    /// Of OVERFLOW: how many events it stands for.
    pub dropped: i64,
    /// Of CONNECTED: how many ends were told without having been heard.
    pub recovered: i64,
    /// Of CONNECTED: whether it is the process that it was.
    pub process: c_int,
    /// How far the journal was known.
    pub position: Option<String>,
    pub json: Option<String>,
    /// The members for which `blockjob_event_has` says 1.
    pub members: Vec<c_int>,
}

impl Event {
    pub(super) fn copy(raw: *const RawEvent) -> Self {
        let monitor = call!(blockjob_event_get_monitor(raw));
        let [mut seconds, mut microseconds] = [-1; 2];
        let timed =
            call!(blockjob_event_get_timestamp(raw, &raw mut seconds, &raw mut microseconds));
        let members = number::MEMBER_LEN..=number::MEMBER_TIMESTAMP;
        Self {
            kind: call!(blockjob_event_get_kind(raw)),
            name: copied(call!(blockjob_event_get_name(raw))).expect("each event has a name"),
            monitor: copied(call!(blockjob_monitor_get_name(monitor)))
                .expect("each monitor has a name"),
            job_id: copied(call!(blockjob_event_get_job_id(raw))),
            outcome: call!(blockjob_event_get_outcome(raw)),
            job_type: call!(blockjob_event_get_type(raw)),
            type_name: copied(call!(blockjob_event_get_type_name(raw))),
            len: call!(blockjob_event_get_len(raw)),
            offset: call!(blockjob_event_get_offset(raw)),
            speed: call!(blockjob_event_get_speed(raw)),
            error: copied(call!(blockjob_event_get_error(raw))),
            timestamp: (timed == 0).then_some((seconds, microseconds)),
            status: call!(blockjob_event_get_status(raw)),
            status_name: copied(call!(blockjob_event_get_status_name(raw))),
            action: copied(call!(blockjob_event_get_action(raw))),
            operation: copied(call!(blockjob_event_get_operation(raw))),
            reason: copied(call!(blockjob_event_get_reason(raw))),
            origin: call!(blockjob_event_get_origin(raw)),
            pivoted: call!(blockjob_event_get_pivoted(raw)),
            loss: call!(blockjob_event_get_loss(raw)),
            dropped: call!(blockjob_event_get_dropped(raw)),
            recovered: call!(blockjob_event_get_recovered(raw)),
            process: call!(blockjob_event_get_process(raw)),
            position: copied(call!(blockjob_event_get_position(raw))),
            json: copied(call!(blockjob_event_get_json(raw))),
            members: members
                .filter(|&member| call!(blockjob_event_has(raw, member)) == 1)
                .collect(),
        }
    }
}
