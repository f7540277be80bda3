//! The functions of a job's end.
//!
//! # End
//!
//! COMPLETED, CANCELLED and LOST are events that end a job: each job has one of them. What it says,
//! how that is known, and that it was taken.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
};

use super::{
    boundary::{guard, required, timeout},
    event::number,
};
use crate::engine::Report;

/// How the job ended, by QEMU's rule: COMPLETED without an error has succeeded, with one failed;
/// len and offset prove nothing. A ready mirror that is cancelled without force is completed, too.
///
/// Returns: one of BLOCKJOB_OUTCOME_*; UNKNOWN for LOST, and for an event that is no end. Errors:
/// -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_outcome(event: *const Report) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { number(event, |event| event.outcome as c_int) }
}

/// How the job ended, as a word: "succeeded", "failed" or "cancelled".
///
/// Returns: text; NULL for LOST, and for an event that is no end.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_outcome_name(event: *const Report) -> *const c_char {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let word = unsafe { required(event) }?.event.outcome.word();
        Ok(word.map_or(ptr::null(), CStr::as_ptr))
    })
}

/// How the library knows what the event says.
///
/// Returns: one of BLOCKJOB_ORIGIN_*. Errors: -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_origin(event: *const Report) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { number(event, |event| event.origin as c_int) }
}

/// Has the guest's disk moved to the job's target? Of the end of a job: YES for a mirror or active
/// commit that was told to complete and has succeeded, NO where that cannot have happened, UNKNOWN
/// where nobody saw what it was told. COMPLETED alone does not say it.
///
/// Returns: one of BLOCKJOB_PIVOTED_*; UNKNOWN for an event that is no end. Errors: -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_pivoted(event: *const Report) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { number(event, |event| event.pivoted as c_int) }
}

/// Why nobody can know how the job of a LOST event ended; blockjob_event_get_reason() is the
/// sentence for people.
///
/// Returns: one of BLOCKJOB_LOSS_*; NONE for an event of another kind. Errors: -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_loss(event: *const Report) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { number(event, |event| event.loss.map_or(0, |loss| loss as c_int)) }
}

/// Takes how a job ended, now and whoever else claims it, and waits until QEMU has dismissed the
/// job if it is one to be dismissed: then another one can be started on the same node at once, from
/// the callback too. Without this call an end is acknowledged by itself.
///
/// @param event a final one
/// @param timeout_ms milliseconds to wait; -1 for as long as the connection lasts
///
/// Returns: 0, also when it was acknowledged before. Errors: -EINVAL (no end of a job), -ENOTCONN
/// and -ETIMEDOUT (it is acknowledged, and the job is dismissed when QEMU can be reached), -ENOBUFS
/// (too many calls wait for the listener's thread: it is not acknowledged), -ESHUTDOWN (the monitor
/// was closed, or the listener stopped).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_acknowledge(
    event: *mut Report,
    timeout_ms: c_int,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let event = unsafe { required(event) }?;
        let taken = event.acknowledge(timeout(timeout_ms)?);
        taken.map_err(|error| event.monitor.named(error))?;
        Ok(0)
    })
}
