//! How events come to the program: the listener's functions for that.
//!
//! # Delivery
//!
//! Events wait in the listener until they are delivered, in one of three ways, which the program
//! chooses before its first monitor. Whatever it chooses, blockjob_callback_add() says which events
//! there are, those of one monitor keep their order, and what a program that is too slow loses is
//! bounded and told (BLOCKJOB_EVENT_OVERFLOW).
//!
//! A thread of the library (BLOCKJOB_DELIVERY_THREAD) runs the callbacks: nothing is left to do.
//!
//! A program with a loop of its own (BLOCKJOB_DELIVERY_LOOP) watches the descriptor of
//! blockjob_listener_get_fd(), and calls blockjob_listener_dispatch() whenever that is readable:
//! the callbacks run there, on the program's thread.
//!
//! A program without callbacks (BLOCKJOB_DELIVERY_PULL) subscribes with blockjob_callback_add() and
//! NULL for a function, and takes one event after another with blockjob_listener_next_event(). It
//! may watch the descriptor, too, and take what there is with a timeout of 0.

use std::{ffi::c_int, sync::Arc};

use super::{
    boundary::{guard, out, required, timeout},
    constants::{BLOCKJOB_DELIVERY_LOOP, BLOCKJOB_DELIVERY_PULL, BLOCKJOB_DELIVERY_THREAD},
};
use crate::{
    engine::{Listener, Mode, Report, delivery},
    model::{Code, Error},
};

/// Chooses how events come to the program, before its first monitor and its first callback.
///
/// @param how one of BLOCKJOB_DELIVERY_*; of a new listener it is BLOCKJOB_DELIVERY_THREAD
///
/// Returns: 0. Errors: -EINVAL (none of them), -EBUSY (a monitor or a callback was made already),
/// -EMFILE or -ENFILE (no descriptor left), -ENOMEM, -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_listener_set_delivery(
    listener: *mut Listener,
    how: c_int,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let listener = unsafe { required(listener) }?.shared();
        listener.delivery.choose(&listener, mode(how)?)?;
        Ok(0)
    })
}

/// A descriptor for the program's loop, to be watched for reading (POLLIN). It is readable as long
/// as something waits to be delivered and no thread is at it, and once the listener was stopped. It
/// may be readable for nothing: then there is nothing to do. The program need not read it, and may;
/// it must not close it, write to it or make it blocking.
///
/// Returns: the descriptor, the same until blockjob_listener_free(), which closes it: stop watching
/// before. Errors: -EINVAL (the delivery is BLOCKJOB_DELIVERY_THREAD), -EMFILE or -ENFILE (of
/// BLOCKJOB_DELIVERY_PULL, when no descriptor is left).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_listener_get_fd(listener: *mut Listener) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let listener = unsafe { required(listener) }?.shared();
        listener.delivery.fd(&listener)
    })
}

/// Runs the callbacks for what waits, on this thread, for at most 64 events. It waits for nothing
/// but the callbacks. When it returns and something is left, the descriptor is readable; while it
/// runs it is not, so that a loop inside a callback does not spin.
///
/// Returns: for how many events callbacks have run, 0 when nothing was left. Errors: -EBUSY
/// (another thread is at it), -EDEADLK (called inside a callback that this function runs), -EINVAL
/// (the delivery is not BLOCKJOB_DELIVERY_LOOP), -ESHUTDOWN (stop watching then).
///
/// Threads: any, one at a time, also inside callbacks of other listeners. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_listener_dispatch(listener: *mut Listener) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let listener = unsafe { required(listener) }?.shared();
        let count = delivery::dispatch(&listener)?;
        Ok(c_int::try_from(count).unwrap_or(c_int::MAX))
    })
}

/// Takes the next event that a subscription asks for; an event that several ask for comes once. The
/// end of a job counts as taken by all of them, and is acknowledged when the last reference to it
/// is released: so release it when the program has acted on it, and not before. A subscription that
/// is made later does not bring it again (unless only one with BLOCKJOB_OBSERVE had asked for it).
///
/// A free_fn of a subscription that ends with its monitor runs inside the call that gives out
/// CLOSED.
///
/// @param timeout_ms how long to wait for one, in milliseconds; 0: not at all; -1: for ever
/// @param out_event set on success to the event, to be released with blockjob_event_unref()
///
/// Returns: 0. Errors: -ETIMEDOUT (none came), -EBUSY (another thread waits in this function: one
/// at a time may, and that one is not disturbed), -EDEADLK (called inside a free function that this
/// function runs), -EINVAL (the delivery is not BLOCKJOB_DELIVERY_PULL), -ESHUTDOWN (also when the
/// listener is stopped meanwhile).
///
/// Threads: any, one at a time, also inside callbacks of other listeners. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_listener_next_event(
    listener: *mut Listener,
    timeout_ms: c_int,
    out_event: *mut *mut Report,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let listener = unsafe { required(listener) }?.shared();
        let timeout = timeout(timeout_ms)?;
        // SAFETY: the header asks for a place to write to.
        let place = unsafe { out(out_event, "out_event") }?;
        let event = delivery::next_event(&listener, timeout)?;
        place.set(Arc::into_raw(event).cast_mut());
        Ok(0)
    })
}

fn mode(how: c_int) -> Result<Mode, Error> {
    match how {
        BLOCKJOB_DELIVERY_THREAD => Ok(Mode::Thread),
        BLOCKJOB_DELIVERY_LOOP => Ok(Mode::Loop),
        BLOCKJOB_DELIVERY_PULL => Ok(Mode::Pull),
        _ => {
            let text = format!("how is {how}; wanted one of BLOCKJOB_DELIVERY_*");
            Err(Error::new(Code::Invalid, text))
        }
    }
}
