//! The registrations' functions.
//!
//! # Callback
//!
//! A registration says: for these events, call this function. It belongs to the listener, not to a
//! connection, and stays until it is removed or its monitor closed. In a listener whose events are
//! pulled a registration has no function: it is a subscription to the events.

use std::{
    ffi::{c_char, c_int, c_void},
    sync::Arc,
};

use super::{
    boundary::{guard, job_id as id_text, required, text},
    constants::{BLOCKJOB_OBSERVE, BLOCKJOB_REMOVE_NOWAIT},
    foreign::{Foreign, blockjob_event_fn, blockjob_free_fn},
};
use crate::{
    engine::{Callback, Filter, Listener, Monitor, Removed},
    model::{Code, Error, Kinds},
};

/// Registers a callback, any number of times. It sees every event that is read after this call has
/// returned, each once; registrations of one event are called in their order, and the events of one
/// monitor in theirs. Before those it sees, once, each matching end of a job that was told already
/// and that nobody has taken, or that an open job handle holds; but not the one in hand, when it is
/// registered inside the callback for that.
///
/// Unless it only looks on (BLOCKJOB_OBSERVE), it claims the ends of jobs that it asks for, and has
/// taken one when it has returned from it.
///
/// From the call on `opaque` is the library's: free_fn(opaque) runs exactly once, after the last
/// callback has returned, on the thread that made it due; before this call returns if it fails.
/// (Not with -ECHILD: a forked child frees nothing of its parent's.)
///
/// @param monitor the monitor whose events are wanted; NULL for all, later ones too
/// @param job_id the job whose events are wanted; NULL for all. It need not exist yet. Events that
///        are of no job (connections) pass.
/// @param kinds a mask of BLOCKJOB_EVENT_*; with BLOCKJOB_OBSERVE it only looks on
/// @param callback what is called; see blockjob_event_fn. NULL in a listener whose events are
///        pulled, where the registration is a subscription, and only there.
/// @param opaque given to callback and free_fn, never looked at; may be NULL
/// @param free_fn frees opaque; may be NULL
///
/// Returns: the registration's id, more than 0, never used again. Errors: -EINVAL (no kinds, or
/// kinds that this version does not know; no callback, or one where events are pulled; a monitor of
/// another listener), -EILSEQ and -ENAMETOOLONG (job_id, of more than 1024 bytes), -ESHUTDOWN (the
/// listener was stopped, or the monitor closed).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_callback_add(
    listener: *mut Listener,
    monitor: *mut Monitor,
    job_id: *const c_char,
    kinds: u32,
    callback: blockjob_event_fn,
    opaque: *mut c_void,
    free_fn: blockjob_free_fn,
) -> i64 {
    let filter = |from: Option<&Monitor>| {
        // SAFETY: the header asks for text.
        let job = (!job_id.is_null()).then(|| unsafe { id_text(job_id) }).transpose()?;
        Ok(Filter {
            monitor: from.map(Monitor::id),
            job: job.map(str::to_owned),
            kinds: known(kinds & !BLOCKJOB_OBSERVE)?,
            name: None,
            observes: kinds & BLOCKJOB_OBSERVE != 0,
        })
    };
    // SAFETY: the header asks for handles of ours.
    unsafe { add(listener, monitor, filter, callback, Foreign::new(opaque, free_fn)) }
}

/// Registers a callback for events of QEMU's as they are, also for those that the library does not
/// know: of kind RAW, with QEMU's name, time and JSON (blockjob_event_get_name(), _get_timestamp(),
/// _get_json()) and nothing else. It claims nothing; how a job ends is better asked for with
/// blockjob_callback_add(), since what is missed here is not told afterwards. When the program is
/// too slow, RAW events are dropped as STATUS events are, and counted in OVERFLOW.
///
/// Registering, `opaque` and removing by blockjob_callback_remove() are as with
/// blockjob_callback_add(), and so are the events of one monitor in their order.
///
/// @param monitor the monitor whose events are wanted; NULL for all, later ones too
/// @param name QEMU's name of the event, such as "SHUTDOWN", "BLOCK_IO_ERROR" or "DEVICE_DELETED";
///        NULL for every event of QEMU's
/// @param callback what is called; see blockjob_event_fn. NULL in a listener whose events are
///        pulled, and only there.
/// @param opaque given to callback and free_fn, never looked at; may be NULL
/// @param free_fn frees opaque; may be NULL
///
/// Returns: the registration's id, more than 0, never used again. Errors: -EINVAL (no name that
/// QEMU could have; no callback, or one where events are pulled; a monitor of another listener),
/// -EILSEQ and -ENAMETOOLONG (name), -ESHUTDOWN (the listener was stopped, or the monitor closed).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_callback_add_raw(
    listener: *mut Listener,
    monitor: *mut Monitor,
    name: *const c_char,
    callback: blockjob_event_fn,
    opaque: *mut c_void,
    free_fn: blockjob_free_fn,
) -> i64 {
    // SAFETY: the header asks for a handle of ours, and for text.
    let filter = |from: Option<&Monitor>| unsafe { raw(from, name) };
    // SAFETY: the header asks for handles of ours.
    unsafe { add(listener, monitor, filter, callback, Foreign::new(opaque, free_fn)) }
}

/// Removes a registration. When it returns 0, nothing of it runs any more and free_fn has run. So
/// it waits for a callback that runs on another thread: the caller must hold no lock that callback
/// or free_fn takes. Inside a callback or free function, of any listener, it never waits.
///
/// @param id what blockjob_callback_add() returned
/// @param flags 0, or BLOCKJOB_REMOVE_NOWAIT
///
/// Returns: 0, or 1 when the callback runs on another thread and was not waited for: it is not
/// called again, and free_fn is the last that is heard of it. A callback that removes itself gets
/// 0, and free_fn runs when it has returned. Errors: -ENOENT (there is no such registration, or it
/// is being removed already; that is waited for all the same), -EINVAL (unknown flags).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_callback_remove(
    listener: *mut Listener,
    id: i64,
    flags: u32,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let listener = unsafe { required(listener) }?.shared();
        if flags & !BLOCKJOB_REMOVE_NOWAIT != 0 {
            let text = format!("flags is {flags:#x}; wanted 0 or BLOCKJOB_REMOVE_NOWAIT");
            return Err(Error::new(Code::Invalid, text));
        }
        match listener.remove_callback(id, flags & BLOCKJOB_REMOVE_NOWAIT == 0)? {
            Removed::Now => Ok(0),
            Removed::Later => Ok(1),
        }
    })
}

/// Registers what passes a filter, which is made for this monitor.
///
/// # Safety
///
/// As for [`required`].
unsafe fn add(
    listener: *mut Listener,
    monitor: *mut Monitor,
    filter: impl FnOnce(Option<&Monitor>) -> Result<Filter, Error>,
    callback: blockjob_event_fn,
    foreign: Foreign,
) -> i64 {
    let mut foreign = Some(foreign);
    let id = guard(|| {
        // SAFETY: promised by the caller.
        let listener = unsafe { required(listener) }?.shared();
        // SAFETY: promised by the caller.
        let monitor = (!monitor.is_null()).then(|| unsafe { required(monitor) }).transpose()?;
        let filter = filter(monitor)?;
        listener.delivery.settle(callback.is_some())?;
        let foreign = foreign.take().expect("it was made above and is taken once");
        let callback: Callback = match callback {
            Some(function) => Arc::new(move |id, report| foreign.call(function, id, report)),
            // A subscription: it is never called, and frees what came along all the same.
            None => Arc::new(move |_, _| _ = &foreign),
        };
        listener.add_callback(filter, monitor, callback)
    });
    keep_parents(id, foreign);
    id
}

/// In the child of a fork what the program gave is the parent's, and is not freed.
pub fn keep_parents(result: i64, foreign: Option<Foreign>) {
    if result == i64::from(-libc::ECHILD) {
        if let Some(foreign) = foreign {
            foreign.leak();
        }
    }
}

/// A filter for events as they are.
///
/// # Safety
///
/// As for [`text`].
unsafe fn raw(from: Option<&Monitor>, name: *const c_char) -> Result<Filter, Error> {
    // SAFETY: promised by the caller.
    let name = (!name.is_null()).then(|| unsafe { text(name, "name") }).transpose()?;
    Filter::raw(from.map(Monitor::id), name)
}

fn known(mask: u32) -> Result<Kinds, Error> {
    let all = Kinds::all().mask();
    match Kinds::from_mask(mask) {
        Some(kinds) if !kinds.is_empty() => Ok(kinds),
        Some(_) => Err(Error::new(Code::Invalid, "kinds is 0; wanted a mask of BLOCKJOB_EVENT_*")),
        None => {
            let text = format!(
                "kinds is {mask:#x}, of which this version of the library knows {:#x} alone; is it \
                 older than the header?",
                mask & all
            );
            Err(Error::new(Code::Invalid, text))
        }
    }
}
