//! The listener's functions.
//!
//! # Listener
//!
//! Owns the threads, and with them all monitors and callbacks. One is enough for a program.

use std::ffi::{c_char, c_int};

use super::boundary::{guard, out, required, text};
use crate::engine::Listener;

/// Makes a listener and starts its thread "blockjob-read". The one that runs callbacks,
/// "blockjob-call", begins with the first monitor, unless the program takes its events otherwise
/// (blockjob_listener_set_delivery()). Both block signals, as said above, and end with
/// blockjob_listener_free(). A program that daemonizes does so before.
///
/// @param out_listener set on success to a listener to be freed with blockjob_listener_free()
///
/// Returns: 0. Errors: -EAGAIN (the thread could not be started), -EMFILE or -ENFILE (no descriptor
/// left), -ENOMEM.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_listener_new(out_listener: *mut *mut Listener) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a place to write to.
        let place = unsafe { out(out_listener, "out_listener") }?;
        place.set(Box::into_raw(Box::new(Listener::new()?)));
        Ok(0)
    })
}

/// Names the owner of the program's jobs, the same each time that the program runs: ids that the
/// library makes begin with the name and "-", and so do, by this, the ids of all jobs that are the
/// program's. Those that are found when a monitor is connected were left by an earlier run; they
/// are dismissed when their ends were taken. Without an owner none that is found is the program's.
///
/// @param owner a letter and then letters, digits, '.', '_' or '-', at most 64 in all. No other
///        program that uses the same QEMUs may have it, nor one that begins with it and "-".
///
/// Returns: 0. Errors: -EINVAL (not made so), -EBUSY (a monitor was made already), -EILSEQ,
/// -ENAMETOOLONG, -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_listener_set_owner(
    listener: *mut Listener,
    owner: *const c_char,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let listener = unsafe { required(listener) }?.shared();
        // SAFETY: the header asks for text.
        listener.set_owner(unsafe { text(owner, "owner") }?)?;
        Ok(0)
    })
}

/// Ends delivery: no callback begins any more, no event is given out, every blocked call returns
/// -ESHUTDOWN, and so does every later one that would ask, register or wait for something. Getters,
/// removing and releasing go on to work, and the monitors are CLOSED. A callback that runs may
/// finish. What waits undelivered is given up.
///
/// Returns: 0, at once, also when it was stopped before.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_listener_stop(listener: *mut Listener) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        unsafe { required(listener) }?.shared().stop();
        Ok(0)
    })
}

/// Stops the listener, waits for the callback that runs and for blocked calls, runs the free
/// functions of all that is still registered, and frees the listener. The caller must hold no lock
/// that a callback or free function takes. Monitors, job handles and events may be released after
/// it; calls on them are as after blockjob_listener_stop(). Ends that nobody has taken are not
/// acknowledged. Nobody waits for a host that is being looked up: that thread ends by itself. A
/// journal that is being read is waited for, so keep journals on file systems that answer.
///
/// @param listener to be freed; NULL is fine
///
/// Returns: 0. Errors: -EDEADLK inside a callback or free function of any listener: nothing was
/// done; use blockjob_listener_stop() there.
///
/// Threads: any but those that run callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_listener_free(listener: *mut Listener) -> c_int {
    guard(|| {
        if listener.is_null() {
            return Ok(0);
        }
        // SAFETY: the header asks for a handle of ours.
        unsafe { required(listener) }?.free()?;
        // SAFETY: it came from blockjob_listener_new, and the header forbids its use from here on.
        drop(unsafe { Box::from_raw(listener) });
        Ok(0)
    })
}
