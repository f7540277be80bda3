//! The commands' functions.
//!
//! # Command
//!
//! Any command of QEMU's, for what the library does not do itself. Arguments are JSON, a reply is
//! JSON. Commands reach QEMU in the order in which they are sent, and QEMU answers in that order,
//! unless out-of-band ones overtake; several may be under way. What is asked of a job in this way
//! counts for how it ended as if it had been asked by its handle. A job that is started in this way
//! is not the program's, and its end may be told before the reply: use blockjob_job_start(), or
//! make a handle with BLOCKJOB_JOB_ADOPT first.

use std::{
    ffi::{c_char, c_int, c_void},
    sync::Arc,
};

use super::{
    boundary::{command_arguments, guard, out, shared, text, timeout},
    callback::keep_parents,
    constants::BLOCKJOB_EXECUTE_OOB,
    foreign::{Foreign, blockjob_free_fn, blockjob_reply_fn},
};
use crate::{
    engine::{Monitor, Order, Reply, ReplyCallback},
    model::{Code, Error},
};

/// Sends a command to QEMU, and waits for its reply.
///
/// When the time is over or the connection ends, nobody knows whether QEMU carries the command out;
/// a reply that comes later is passed over. "qmp_capabilities" is the library's own. Whoever sends
/// "quit" may get -ECONNRESET for a reply.
///
/// @param command QEMU's name of it, such as "query-block"
/// @param json its arguments as a JSON object, such as "{\"device\":\"d0\"}", of at most 1048576
///        bytes; NULL for none. They are looked through before they are sent, since QEMU's answer
///        to what it cannot read would be nobody's: no member may stand there twice.
/// @param flags 0 or BLOCKJOB_EXECUTE_OOB
/// @param timeout_ms milliseconds to wait; -1 for as long as the connection lasts
/// @param out_reply set to the reply, to be released with blockjob_reply_unref(), on success and
///        with -EREMOTEIO; NULL when it is not wanted
///
/// Returns: 0. Errors: -EREMOTEIO (QEMU refused: see blockjob_reply_get_error_class(), or
/// blockjob_last_error_class() at once), -ENOTCONN (there is no connection; nothing was sent),
/// -ECONNRESET (it ended before the reply, or the monitor was closed), -ETIMEDOUT, -EINVAL (json is
/// not a JSON object, command is not a name or is "qmp_capabilities", unknown flags), -EOPNOTSUPP
/// (out of band was not agreed on with QEMU), -ENOBUFS (8192 commands or 2097152 bytes of them are
/// unanswered), -ENOMEM, -EILSEQ, -ENAMETOOLONG, -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_execute(
    monitor: *mut Monitor,
    command: *const c_char,
    json: *const c_char,
    flags: u32,
    timeout_ms: c_int,
    out_reply: *mut *mut Reply,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let monitor = unsafe { shared(monitor) }?;
        // SAFETY: the header asks for text.
        let order = unsafe { order(command, json, flags, timeout_ms) };
        // SAFETY: the header asks for a place to write to.
        unsafe { execute(&monitor, order, out_reply) }
    })
}

/// Sends a command to QEMU together with a descriptor, and waits for its reply: "getfd" names the
/// descriptor in QEMU, "add-fd" adds it to a set of them. One command with a descriptor is at QEMU
/// at a time; what is sent after another one waits for that.
///
/// @param fd what is passed; a duplicate of it, made before this returns. It stays the caller's,
///        and may be closed at once. The other parameters are those of blockjob_monitor_execute().
///
/// Returns: 0. Errors: as blockjob_monitor_execute(), and -EBADF (fd is not open), -EMFILE,
/// -EOPNOTSUPP (also: the monitor's address is no unix socket).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_execute_with_fd(
    monitor: *mut Monitor,
    command: *const c_char,
    json: *const c_char,
    fd: c_int,
    flags: u32,
    timeout_ms: c_int,
    out_reply: *mut *mut Reply,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let monitor = unsafe { shared(monitor) }?;
        // SAFETY: the header asks for text.
        let order = unsafe { order(command, json, flags, timeout_ms) };
        let order = order.map(|order| Order { fd: Some(fd), ..order });
        // SAFETY: the header asks for a place to write to.
        unsafe { execute(&monitor, order, out_reply) }
    })
}

/// Sends a command to QEMU and returns at once. The callback is called once with its reply, with
/// QEMU's refusal, or with a reply that says why there is none (blockjob_reply_get_result()):
/// -ETIMEDOUT, -ECONNRESET (the connection ended, or the monitor was closed), -ENOTCONN (before it
/// was sent), -EOPNOTSUPP, -ENOBUFS, -ESHUTDOWN (the monitor was closed before). It runs where the
/// callbacks of events run, in its place among the monitor's events.
///
/// `opaque` is the library's from the call on, as with blockjob_callback_add(): free_fn(opaque)
/// runs exactly once, after the callback, and before this call returns if it fails. When the
/// listener is stopped first, the callback is not called: free_fn is the last word.
///
/// @param command QEMU's name of it
/// @param json its arguments as a JSON object of at most 1048576 bytes; NULL for none
/// @param flags 0 or BLOCKJOB_EXECUTE_OOB
/// @param timeout_ms milliseconds until the callback is told -ETIMEDOUT; -1 for as long as the
///        connection lasts
/// @param callback what is called; NULL: nobody is, and the command is carried out all the same. In
///        a listener whose events are pulled it must be NULL: the reply comes as an event of kind
///        REPLY (blockjob_event_get_reply())
/// @param opaque given to callback and free_fn, never looked at; may be NULL
/// @param free_fn frees opaque; may be NULL
///
/// Returns: the command's number, more than 0, which no other command of the listener has; its
/// reply bears it (blockjob_reply_get_number()). Errors: -ENOTCONN (there is no connection; nothing
/// was sent), -EINVAL (json is not a JSON object, command is not a name or is "qmp_capabilities",
/// unknown flags, a callback where events are pulled), -ENOBUFS (16384 such commands, or 67108864
/// bytes of them and of their replies, are unanswered or wait for the program), -ENOMEM, -EILSEQ,
/// -ENAMETOOLONG, -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_execute_async(
    monitor: *mut Monitor,
    command: *const c_char,
    json: *const c_char,
    flags: u32,
    timeout_ms: c_int,
    callback: blockjob_reply_fn,
    opaque: *mut c_void,
    free_fn: blockjob_free_fn,
) -> i64 {
    let mut foreign = Some(Foreign::new(opaque, free_fn));
    let number = guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let monitor = unsafe { shared(monitor) }?;
        // SAFETY: the header asks for text.
        let order = unsafe { order(command, json, flags, timeout_ms) };
        let foreign = foreign.take().expect("it was made above and is taken once");
        let has_callback = callback.is_some();
        let callback: ReplyCallback = Box::new(move |reply| {
            if let Some(function) = callback {
                foreign.call_reply(function, reply);
            }
        });
        let checked = order.and_then(|order| {
            monitor.check_reply_callback(has_callback)?;
            Ok(order)
        });
        let sent = checked.and_then(|order| monitor.execute_async(order, callback));
        sent.map_err(|error| monitor.named(error))
    });
    keep_parents(number, foreign);
    number
}

/// # Safety
///
/// As for [`text`].
unsafe fn order<'a>(
    command: *const c_char,
    json: *const c_char,
    flags: u32,
    timeout_ms: c_int,
) -> Result<Order<'a>, Error> {
    let timeout = timeout(timeout_ms)?;
    if flags & !BLOCKJOB_EXECUTE_OOB != 0 {
        let text = format!("flags is {flags:#x}; wanted 0 or BLOCKJOB_EXECUTE_OOB");
        return Err(Error::new(Code::Invalid, text));
    }
    // SAFETY: promised by the caller.
    let command = unsafe { text(command, "command") }?;
    // SAFETY: promised by the caller.
    let read = || unsafe { command_arguments(json, "json") };
    let arguments = (!json.is_null()).then(read).transpose()?;
    Ok(Order { command, arguments, oob: flags & BLOCKJOB_EXECUTE_OOB != 0, fd: None, timeout })
}

/// # Safety
///
/// As for [`out`].
unsafe fn execute(
    monitor: &Arc<Monitor>,
    order: Result<Order<'_>, Error>,
    out_reply: *mut *mut Reply,
) -> Result<c_int, Error> {
    // SAFETY: promised by the caller.
    let place =
        (!out_reply.is_null()).then(|| unsafe { out(out_reply, "out_reply") }).transpose()?;
    let reply = order.and_then(|order| monitor.execute(order));
    let reply = reply.map_err(|error| monitor.named(error))?;
    let refused = reply.response.error();
    if let Some(place) = place {
        place.set(Arc::into_raw(reply).cast_mut());
    }
    refused.map_or(Ok(0), |error| Err(monitor.named(error)))
}
