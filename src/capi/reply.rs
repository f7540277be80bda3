//! The replies' functions.
//!
//! # Reply
//!
//! What QEMU replied to a command, or why it did not. It never changes; what it gives holds as long
//! as it does, and what is said of an event's strings holds for its own.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
    sync::Arc,
};

use super::boundary::{errno, guard, required, shared};
use crate::engine::{Reply, Report};

/// Adds a reference, to keep the reply after the callback has returned.
///
/// Returns: the reply, to be released with blockjob_reply_unref(); NULL for NULL.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_reply_ref(reply: *mut Reply) -> *mut Reply {
    // SAFETY: the header asks for a handle of ours.
    guard(|| Ok(Arc::into_raw(unsafe { shared(reply) }?).cast_mut()))
}

/// Releases a reference that blockjob_monitor_execute() or blockjob_reply_ref() gave.
///
/// @param reply to be released; NULL is fine
///
/// Threads: any, also inside callbacks, and after its monitor and listener. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_reply_unref(reply: *mut Reply) {
    guard(|| {
        if !reply.is_null() {
            // SAFETY: the header asks for a handle of ours.
            unsafe { required(reply) }?;
            // SAFETY: the caller gives back a reference that it was given.
            unsafe { Arc::decrement_strong_count(reply) };
        }
        Ok(())
    });
}

/// How the command went.
///
/// Returns: 0 when QEMU has carried it out; -EREMOTEIO when it refused; -ETIMEDOUT, -ECONNRESET and
/// what else blockjob_monitor_execute_async() lists when no reply came (with -ENOBUFS one may have
/// come, for which there was no room: the program takes no replies). Errors: -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_reply_get_result(reply: *const Reply) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let failure = unsafe { required(reply) }?.response.failure;
        Ok(failure.map_or(0, |code| -errno(code)))
    })
}

/// What QEMU returned, to the letter: any JSON value, mostly an object or a list; "{}" when there
/// is nothing to say. When it refused, its whole error, with "class" and "desc".
///
/// Returns: text; NULL when no reply came.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_reply_get_json(reply: *const Reply) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { string(reply, |reply| reply.response.json()) }
}

/// QEMU's class of its refusal, such as "GenericError" or "DeviceNotFound": a word that programs
/// may compare.
///
/// Returns: text; NULL when QEMU did not refuse.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_reply_get_error_class(reply: *const Reply) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { string(reply, |reply| reply.response.class()) }
}

/// Why the command failed: QEMU's text of its refusal, or the library's when no reply came. For
/// people, never to be interpreted.
///
/// Returns: text; NULL when it did not fail.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_reply_get_error_text(reply: *const Reply) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { string(reply, |reply| reply.response.text()) }
}

/// The number of the command, as blockjob_monitor_execute_async() returned it. Commands that are
/// waited for are counted too.
///
/// Returns: more than 0. Errors: -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_reply_get_number(reply: *const Reply) -> i64 {
    // SAFETY: the header asks for a handle of ours.
    guard(|| Ok(unsafe { required(reply) }?.response.number))
}

/// The reply of a REPLY event.
///
/// Returns: the reply, borrowed from the event; keep it longer with blockjob_reply_ref(). NULL for
/// an event of another kind.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_reply(event: *const Report) -> *mut Reply {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let reply = unsafe { required(event) }?.reply.as_ref();
        Ok(reply.map_or(ptr::null_mut(), |reply| Arc::as_ptr(reply).cast_mut()))
    })
}

/// A getter of text.
///
/// # Safety
///
/// As for [`required`].
unsafe fn string(reply: *const Reply, get: impl FnOnce(&Reply) -> Option<&CStr>) -> *const c_char {
    // SAFETY: promised by the caller.
    guard(|| Ok(get(unsafe { required(reply) }?).map_or(ptr::null(), CStr::as_ptr)))
}
