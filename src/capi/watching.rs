//! How the library is watched: its figures and its log.
//!
//! # Watching
//!
//! What the library says of itself: figures of each monitor, lines for the program's log, and the
//! wire. For a bug report run the program with BLOCKJOB_DEBUG=1 in its environment (read when a
//! listener is made): each message that is sent (->) and received (<-) then goes to standard error,
//! with time and monitor, and each line of the log that no function takes. A line that standard
//! error would not take at once is left out, and counted. Arguments and replies are shown only of
//! commands that are known to carry no secrets, such as query-*, block-*, blockdev-* and job-*, and
//! there, too, passwords, keys and what is called like them are left out; of other commands only
//! the name is shown. Events are shown.

use std::ffi::{c_char, c_int, c_void};

use super::{
    boundary::{guard, required},
    callback::keep_parents,
    foreign::{Foreign, blockjob_free_fn},
};
use crate::{
    engine::{Listener, Monitor, Removed, Report, Sink},
    model::{Code, Error, Level, Stat},
};

/// Called for each line of the log that is asked for, where callbacks run (in a listener of its own
/// threads on "blockjob-call"), one at a time, never together with a callback. What is said of
/// callbacks in blockjob_event_fn holds for it as well: it may call every function.
///
/// `level` is one of BLOCKJOB_LOG_*; `monitor_name` says which monitor the line is about, NULL for
/// none; `message` is one line of text in which no character can steer a terminal. Both hold until
/// it returns.
#[allow(non_camel_case_types)]
pub type blockjob_log_fn = Option<
    unsafe extern "C-unwind" fn(
        level: c_int,
        monitor_name: *const c_char,
        message: *const c_char,
        opaque: *mut c_void,
    ),
>;

/// A figure of the monitor, as it is at this moment. Those up to BLOCKJOB_STAT_LOST count from the
/// making of the monitor on, over all its connections, and never fall; the others are how many
/// there are now. The reader writes them as it goes; asking is cheap. They live as long as the
/// handle, also when the monitor was closed or its listener freed.
///
/// @param which one of BLOCKJOB_STAT_*
///
/// Returns: the figure, 0 or more. Errors: -EINVAL (this version has no such figure).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_get_stat(monitor: *const Monitor, which: c_int) -> i64 {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let monitor = unsafe { required(monitor) }?;
        let unknown = || {
            let text = format!("which is {which}; wanted one of BLOCKJOB_STAT_* of this version");
            Error::new(Code::Invalid, text)
        };
        Ok(monitor.stat(Stat::from_number(which).ok_or_else(unknown)?))
    })
}

/// Sets the function that takes the lines of the log, in the place of the one before. Without one
/// nothing is printed. What is said: connections that are made and end, with the reason; messages
/// that are passed over, for they are malformed or too long; replies that nobody waits for; trouble
/// with a journal; jobs that are LOST, and what is learned of them afterwards; jobs that QEMU
/// refuses to dismiss; and at the level DEBUG the wire. What a peer can repeat at will is said ever
/// more seldom. At most 1024 lines wait for the function; of more the oldest are dropped, and a
/// line says how many.
///
/// From the call on `opaque` is the library's: free_fn(opaque) runs exactly once, after the last
/// call of the function has returned: when another one takes its place, when the listener is
/// freed, or before this call returns if it fails or log_fn is NULL. When it returns 0, nothing of
/// the former function runs any more; so it waits for one that runs on another thread, and the
/// caller must hold no lock that it or its free_fn takes. Inside a callback or free function it
/// never waits.
///
/// @param level the most that is wanted, one of BLOCKJOB_LOG_*; not looked at if log_fn is NULL
/// @param log_fn what is called; NULL: nothing any more. A listener whose events are pulled calls
///        nothing: there NULL and a level ask for the lines as events of the kind LOG, and level 0
///        for none.
/// @param opaque given to log_fn and free_fn, never looked at; may be NULL
/// @param free_fn frees opaque; may be NULL
///
/// Returns: 0, or 1 when the former function runs on another thread and was not waited for: its
/// free_fn is the last that is heard of it. A log_fn that replaces itself gets 0, and its free_fn
/// runs when it has returned. Errors: -EINVAL (no such level; a function
/// where events are pulled), -ESHUTDOWN (the listener was
/// stopped).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_listener_set_log(
    listener: *mut Listener,
    level: c_int,
    log_fn: blockjob_log_fn,
    opaque: *mut c_void,
    free_fn: blockjob_free_fn,
) -> c_int {
    let mut foreign = Some(Foreign::new(opaque, free_fn));
    let result = guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let listener = unsafe { required(listener) }?.shared();
        let known = Level::from_number(level);
        let matters = log_fn.is_some() || level != 0 && listener.pulls();
        if known.is_none() && matters {
            let text = format!("level is {level}; wanted one of BLOCKJOB_LOG_*");
            return Err(Error::new(Code::Invalid, text));
        }
        let foreign = foreign.take().expect("it was made above and is taken once");
        let sink = log_fn
            .map(|function| -> Sink { Box::new(move |line| foreign.call_log(function, line)) });
        match listener.set_log(known, sink)? {
            Removed::Now => Ok(0),
            Removed::Later => Ok(1),
        }
    });
    keep_parents(result.into(), foreign);
    result
}

/// How much the line of an event of the kind LOG matters; blockjob_event_get_reason() is its text.
///
/// Returns: one of BLOCKJOB_LOG_*; 0 for an event of another kind. Errors: -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_event_get_log_level(event: *const Report) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    guard(|| Ok(unsafe { required(event) }?.event.own().level.map_or(0, |level| level as c_int)))
}
