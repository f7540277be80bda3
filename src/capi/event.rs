//! The event's functions.
//!
//! # Event
//!
//! What a callback is given, or next_event gives out. It never changes, and everything in it holds
//! as long as the event: in a callback until that returns, longer with a reference. Strings are
//! UTF-8 (U+0000 becomes U+FFFD); they come from QEMU, and through it perhaps from a guest: escape
//! them before a terminal sees them. For what the event does not have a getter gives NULL or -1,
//! and one that returns constants UNKNOWN (or NONE, or 0); for NULL those give -EINVAL.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
    sync::Arc,
};

use super::{
    boundary::{guard, out, required, shared},
    constants::{
        BLOCKJOB_MEMBER_ERROR, BLOCKJOB_MEMBER_LEN, BLOCKJOB_MEMBER_OFFSET, BLOCKJOB_MEMBER_SPEED,
        BLOCKJOB_MEMBER_TIMESTAMP,
    },
    line::line,
};
use crate::{
    engine::{Monitor, Report},
    model::{Code, Error, Event, Process, Word},
};

/// Adds a reference, to keep the event after the callback has returned.
///
/// Returns: the event, to be released with blockjob_event_unref(); NULL for NULL.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_ref(event: *mut Report) -> *mut Report {
    // SAFETY: the header asks for a handle of ours.
    guard(|| Ok(Arc::into_raw(unsafe { shared(event) }?).cast_mut()))
}

/// Releases a reference that blockjob_event_ref(), blockjob_job_wait() or
/// blockjob_listener_next_event() gave. With the last one, the end of a job that everybody has
/// taken who claimed it is acknowledged.
///
/// @param event to be released; NULL is fine
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_unref(event: *mut Report) {
    guard(|| {
        if !event.is_null() {
            // SAFETY: the header asks for a handle of ours.
            unsafe { required(event) }?;
            // SAFETY: the caller gives back a reference that it was given.
            unsafe { Arc::decrement_strong_count(event) };
        }
        Ok(())
    });
}

/// What happened.
///
/// Returns: one bit of BLOCKJOB_EVENT_*. Errors: -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_kind(event: *const Report) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { number(event, |event| event.kind as c_int) }
}

/// What happened, as a word: QEMU's name of the event ("BLOCK_JOB_COMPLETED"), or for the
/// library's own events "LOST", "CONNECTED", "DISCONNECTED", "CLOSED", "OVERFLOW", "UNRESPONSIVE",
/// "RESPONSIVE", "PROGRESS", "REPLY", "LOG".
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_name(event: *const Report) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(event, Word::Name) }
}

/// The monitor that it happened at.
///
/// Returns: the monitor, borrowed; equal to the pointer that blockjob_monitor_new() gave.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_monitor(event: *const Report) -> *mut Monitor {
    // SAFETY: the header asks for a handle of ours.
    guard(|| Ok(Arc::as_ptr(&unsafe { required(event) }?.monitor).cast_mut()))
}

/// The id of the job. For a job started without an id it is the name of its device.
///
/// Returns: text; NULL for an event of no job.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_job_id(event: *const Report) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(event, Word::JobId) }
}

/// The type of the job.
///
/// Returns: one of BLOCKJOB_TYPE_*; UNKNOWN for a newer QEMU's type, and where QEMU says none
/// (ERROR, STATUS). Errors: -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_type(event: *const Report) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { number(event, |event| event.job_type as c_int) }
}

/// The type of the job in QEMU's word, such as "stream".
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_type_name(event: *const Report) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(event, Word::TypeName) }
}

/// The job's maximum progress value: bytes as a rule, and it may change while the job runs.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_len(event: *const Report) -> i64 {
    // SAFETY: the header asks for a handle of ours.
    unsafe { value(event, |event| event.len) }
}

/// The job's progress, towards its len.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_offset(event: *const Report) -> i64 {
    // SAFETY: the header asks for a handle of ours.
    unsafe { value(event, |event| event.offset) }
}

/// The job's rate limit in bytes per second; 0 for none.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_speed(event: *const Report) -> i64 {
    // SAFETY: the header asks for a handle of ours.
    unsafe { value(event, |event| event.speed) }
}

/// Why the job failed: QEMU's text for people, never to be interpreted. Of one that is longer than
/// 64 KiB it is the beginning, and "..." behind that; blockjob_event_get_json() has all of it.
///
/// Returns: text; NULL when QEMU sent no error. (QEMU up to 2.0 may send one with CANCELLED.)
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_error(event: *const Report) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(event, Word::Error) }
}

/// When it happened, by the clock of the host: as QEMU wrote it, or as the library saw it for its
/// own events.
///
/// @param out_seconds set on success to seconds since 1970 (UTC)
/// @param out_microseconds set on success to the microseconds of that second
///
/// Returns: 0. Errors: -ENODATA (QEMU sent no time, or -1 because it could not tell), -EINVAL
/// (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_timestamp(
    event: *const Report,
    out_seconds: *mut i64,
    out_microseconds: *mut i64,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let event = unsafe { required(event) }?;
        // SAFETY: the header asks for a place to write to.
        let seconds = unsafe { out(out_seconds, "out_seconds") }?;
        // SAFETY: the same.
        let microseconds = unsafe { out(out_microseconds, "out_microseconds") }?;
        let no_data = || Error::new(Code::NoData, "the event came without a timestamp");
        let timestamp = event.event.timestamp;
        let timestamp = timestamp.ok_or_else(no_data).map_err(|e| event.monitor.named(e))?;
        seconds.set(timestamp.seconds);
        microseconds.set(timestamp.microseconds);
        Ok(0)
    })
}

/// The job's new status, of a STATUS event; its status, of a PROGRESS event.
///
/// Returns: one of BLOCKJOB_STATUS_*; UNKNOWN for a newer QEMU's status and in other events.
/// Errors:
/// -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_status(event: *const Report) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { number(event, |event| event.status as c_int) }
}

/// The same in QEMU's word, such as "concluded".
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_status_name(event: *const Report) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(event, Word::StatusName) }
}

/// What QEMU does about an ERROR: "ignore" (the job goes on), "report" (the job fails) or "stop"
/// (the job is paused until it is resumed or cancelled with force).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_action(event: *const Report) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(event, Word::Action) }
}

/// What met the ERROR: "read" or "write".
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_operation(event: *const Report) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(event, Word::Operation) }
}

/// Why: of LOST why nobody knows, of DISCONNECTED and CLOSED why the connection ended or was not
/// made, of UNRESPONSIVE how long QEMU has not answered, of LOG the line: text for people.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_reason(event: *const Report) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(event, Word::Reason) }
}

/// How many events an OVERFLOW stands for.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_dropped(event: *const Report) -> i64 {
    // SAFETY: the header asks for a handle of ours.
    unsafe { value(event, |event| event.own().dropped) }
}

/// Of CONNECTED: how many ends of the origin RECOVERED were told since the connection before it
/// ended. LOST and INFERRED ones are not counted.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_recovered(event: *const Report) -> i64 {
    // SAFETY: the header asks for a handle of ours.
    unsafe { value(event, |event| event.own().recovered) }
}

/// Of CONNECTED: is it the process of QEMU that the connection before had?
///
/// Returns: one of BLOCKJOB_PROCESS_*; UNKNOWN where nobody can tell, and for an event of another
/// kind. Errors: -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_process(event: *const Report) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { number(event, |event| event.own().process.unwrap_or(Process::Unknown) as c_int) }
}

/// How far the program has come in the monitor's journal with this event: a word to keep, and to
/// give to blockjob_monitor_set_journal() when it runs again. Keep that of events whose origin is
/// LIVE: it goes past all ends that are recovered at once, before the last of them was told.
///
/// Returns: text; NULL for events that are neither CONNECTED nor the end of a job, for a monitor
/// without a journal, and when it was not read yet.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_position(event: *const Report) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(event, Word::Position) }
}

/// QEMU's message to the letter, for what has no getter. Bytes that are not UTF-8, which QEMU never
/// writes, are replaced. Of CONNECTED it is the greeting.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_json(event: *const Report) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(event, Word::Json) }
}

/// The event as one line for logs and terminals: its time (UTC), its monitor's name, its name, and
/// each member that it has, such as
///
///     2026-11-23T16:40:02.417472Z vm1 BLOCK_JOB_COMPLETED job=j0 type=stream outcome=succeeded
///     len=1048576 offset=1048576 speed=0
///
/// on one line. Whatever a peer wrote into it is escaped: it holds no control character, and no
/// text that passes for another field. For people; programs use the other getters.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_line(event: *const Report) -> *const c_char {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let report = unsafe { required(event) }?;
        Ok(report.line.get_or_init(|| line(report)).as_ptr())
    })
}

/// Tells an absent member from one that is -1.
///
/// @param member one of BLOCKJOB_MEMBER_*
///
/// Returns: 1 when the event has it, else 0. Errors: -EINVAL (NULL, or no such member).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_has(event: *const Report, member: c_int) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let event = &unsafe { required(event) }?.event;
        let has = match member {
            BLOCKJOB_MEMBER_LEN => event.len.is_some(),
            BLOCKJOB_MEMBER_OFFSET => event.offset.is_some(),
            BLOCKJOB_MEMBER_SPEED => event.speed.is_some(),
            BLOCKJOB_MEMBER_ERROR => event.get(Word::Error).is_some(),
            BLOCKJOB_MEMBER_TIMESTAMP => event.timestamp.is_some(),
            _ => {
                let text = format!("member is {member}; wanted one of BLOCKJOB_MEMBER_*");
                return Err(Error::new(Code::Invalid, text));
            }
        };
        Ok(c_int::from(has))
    })
}

/// A getter of text.
///
/// # Safety
///
/// As for [`required`].
pub unsafe fn word(event: *const Report, word: Word) -> *const c_char {
    // SAFETY: promised by the caller.
    guard(|| Ok(unsafe { required(event) }?.event.get(word).map_or(ptr::null(), CStr::as_ptr)))
}

/// A getter of one of the header's numbers.
///
/// # Safety
///
/// As for [`required`].
pub unsafe fn number(event: *const Report, get: impl FnOnce(&Event) -> c_int) -> c_int {
    // SAFETY: promised by the caller.
    guard(|| Ok(get(&unsafe { required(event) }?.event)))
}

/// A getter of a number of QEMU's, which may be anything: -1 for none, never an errno.
///
/// # Safety
///
/// As for [`required`].
pub unsafe fn value(event: *const Report, get: impl FnOnce(&Event) -> Option<i64>) -> i64 {
    // SAFETY: promised by the caller.
    let value = guard(|| Ok(Value(get(&unsafe { required(event) }?.event))));
    value.0.unwrap_or(-1)
}

struct Value(Option<i64>);

impl super::boundary::Returned for Value {
    fn failed(_: &Error) -> Self {
        Self(None)
    }
}
