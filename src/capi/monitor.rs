//! The monitor's functions.
//!
//! # Monitor
//!
//! One QMP monitor of one virtual machine. It is made, set up, started, and lives until it is
//! closed: when its connection ends, another one is made. A QMP monitor serves one client at a
//! time, so give the library one of its own: `-qmp unix:/run/vm.qmp,server=on,wait=off`.
//!
//! Where it is reached is an address in QEMU's own syntax; a comma in it is written ",,":
//!
//!     unix:PATH       a unix socket, by a path of any length
//!     unix:@NAME      an abstract one, in QEMU's words path=NAME,abstract=on
//!     tcp:HOST:PORT   such as tcp:127.0.0.1:4444, tcp:[::1]:4444 or tcp:localhost:4444
//!     fd:N            a connected stream socket that the program hands over
//!
//! QEMU listens there, and the library dials. With ",server=on" behind the address the library
//! listens and QEMU dials, again and again with
//!
//!     -chardev socket,id=m,path=/run/vm.qmp,reconnect=1 -mon chardev=m,mode=control
//!
//! (since QEMU 9.2 reconnect-ms=1000). Nothing is due until QEMU has dialled, so that
//! blockjob_monitor_connect() waits for as long as it was told; after a DISCONNECTED the library
//! goes on listening, without a pause, until the monitor is closed. One QEMU is connected at a
//! time, and a few that dial meanwhile wait. The file of a unix socket has the mode 0600, takes the
//! place of one on which nobody listens any more, and is removed at the end. Who wants it otherwise
//! listens himself, and hands over fd:N,server=on, as systemd's socket activation does.
//!
//! A host's name is looked up on a thread for that alone, and its addresses are tried in turn; one
//! that does not answer is the last to be tried the next time. Numbers are not looked up. A host
//! that has gone without a word is noticed after two minutes.
//!
//! A descriptor is the library's as soon as blockjob_monitor_new() has succeeded: the program must
//! not use or close it any more. If that has failed it is the program's. The library closes it with
//! its connection, or with a monitor that was never started. After the one connection of fd:N there
//! is no other: jobs that have not ended are LOST at once, and the next start ends with -ENOTCONN.
//!
//! Whether it is the same process of QEMU that is connected again, and that it has ended, is known
//! where QEMU itself listens on a unix socket, or dials one. By tcp, from another pid namespace and
//! of a pair of sockets it is not known. Where another program has listened for QEMU, the process
//! is taken to be that program's.

use std::{
    ffi::{c_char, c_int},
    sync::Arc,
};

use super::boundary::{guard, out, required, shared, text, timeout};
use crate::{
    engine::{Listener, Monitor},
    model::{Code, Error},
};

/// Makes a monitor. Nothing is connected yet. With the first one the listener's thread
/// "blockjob-call" begins, where the program has not chosen another delivery.
///
/// @param address "unix:PATH", "unix:@NAME", "tcp:HOST:PORT" or "fd:N", with ",server=on" behind it
///        when QEMU dials: see above
/// @param out_monitor set on success to a monitor to be released with blockjob_monitor_unref()
///
/// Returns: 0. Errors: -EINVAL (no such kind of address; a descriptor that listens without
/// server=on, or that does not listen with it), -EILSEQ (not UTF-8), -ENAMETOOLONG (more than 4096
/// bytes; an abstract name of more than 107; with server=on, a file name of more than 85 behind a
/// path of more than 107), -ESHUTDOWN. Of a descriptor also: -EBADF (not open), -ENOTSOCK,
/// -EPROTOTYPE (no stream socket), -ENOTCONN (not connected), -EBUSY (it is the library's already).
/// Of the first monitor: -EAGAIN (the thread could not be started).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_new(
    listener: *mut Listener,
    address: *const c_char,
    out_monitor: *mut *mut Monitor,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let listener = unsafe { required(listener) }?.shared();
        // SAFETY: the header asks for text.
        let address = unsafe { text(address, "address (such as unix:PATH)") }?;
        // SAFETY: the header asks for a place to write to.
        let place = unsafe { out(out_monitor, "out_monitor") }?;
        place.set(Arc::into_raw(listener.new_monitor(address)?).cast_mut());
        Ok(0)
    })
}

/// Adds a reference.
///
/// Returns: the monitor, to be released with blockjob_monitor_unref(); NULL for NULL.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_ref(monitor: *mut Monitor) -> *mut Monitor {
    // SAFETY: the header asks for a handle of ours.
    guard(|| Ok(Arc::into_raw(unsafe { shared(monitor) }?).cast_mut()))
}

/// Releases a reference. This does not close the monitor: once started, the listener keeps it until
/// blockjob_monitor_close() or the listener's end. One that was never started, and that no job
/// handle and no event holds, is gone with its last reference.
///
/// @param monitor to be released; NULL is fine
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_unref(monitor: *mut Monitor) {
    guard(|| {
        if !monitor.is_null() {
            // SAFETY: the header asks for a handle of ours.
            unsafe { required(monitor) }?;
            // SAFETY: the caller gives back a reference that it was given.
            unsafe { Arc::decrement_strong_count(monitor) };
        }
        Ok(())
    });
}

/// The name given with blockjob_monitor_set_name(), or the address.
///
/// Returns: text that holds as long as the monitor, and until its name is set anew; NULL for NULL.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_get_name(monitor: *const Monitor) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    guard(|| Ok(unsafe { required(monitor) }?.with_name(std::ffi::CStr::as_ptr)))
}

/// The address that the monitor was made with.
///
/// Returns: text that holds as long as the monitor; NULL for NULL.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_get_address(monitor: *const Monitor) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    guard(|| Ok(unsafe { required(monitor) }?.address_text().as_ptr()))
}

/// Begins to connect, and returns at once. A CONNECTED event tells that the monitor is usable, a
/// DISCONNECTED event that the attempt failed or that the connection has ended, and why; then the
/// next attempt follows by itself (blockjob_monitor_set_reconnect()), or by this call at once.
/// Register callbacks first, so that no event is missed.
///
/// Returns: 0. Errors: -EALREADY (it was started and is not disconnected), -ESHUTDOWN (closed, or
/// the listener was stopped).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_start(monitor: *mut Monitor) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, Monitor::start) }
}

/// Starts the monitor unless that was done, and waits until it is usable or this attempt has
/// failed. When the time is over the attempt goes on, and events tell how it ends.
///
/// @param timeout_ms milliseconds to wait; -1 for as long as the attempt lasts
///
/// Returns: 0. Errors: -ENOENT (there is no such path), -ECONNREFUSED (nobody listens there),
/// -ENOTSOCK (the path is no socket), -EACCES (also: blockjob_monitor_set_peer() wants somebody
/// else), -EHOSTUNREACH (also: the host is not known), -EADDRINUSE (with server=on: another program
/// listens there), -ENOTCONN (the one connection of fd:N has ended), -EPROTO (it does not speak
/// QMP), -ECONNRESET (closed by the peer), -EREMOTEIO (QEMU refused to negotiate), -EBUSY,
/// -ETIMEDOUT, -EINVAL (timeout_ms below -1), -ESHUTDOWN (closed, or the listener was stopped), and
/// what else the operating system answers.
///
/// -EBUSY is said only when the kernel tells that another client holds the monitor, or waits for it
/// before us; the words name its process where that may be seen. Where nothing is seen, as in other
/// namespaces and on other hosts, silence is -ETIMEDOUT: it may be that all the same, or a QEMU
/// that is stopped or hangs, or no QMP monitor.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_connect(
    monitor: *mut Monitor,
    timeout_ms: c_int,
) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, |monitor| monitor.connect(timeout(timeout_ms)?)) }
}

/// Ends the monitor for good, and returns at once. Jobs that have not ended are LOST by that, for
/// this library; QEMU's jobs go on. CLOSED is the last event; after it the callbacks that were
/// registered for this monitor alone are removed and freed. Ends that nobody has taken yet are not
/// acknowledged.
///
/// Returns: 0, also when it was closed before. Errors: -ESHUTDOWN (the listener was stopped).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_close(monitor: *mut Monitor) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, Monitor::close) }
}

/// How the monitor stands at this moment.
///
/// Returns: one of BLOCKJOB_STATE_*.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_get_state(monitor: *const Monitor) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    guard(|| Ok(unsafe { required(monitor) }?.state() as c_int))
}

/// QEMU's version, from its latest greeting.
///
/// @param out_major set on success, as are the others: 7, 2 and 22 for QEMU 7.2.22
///
/// Returns: 0. Errors: -ENODATA (no QEMU has greeted yet).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_get_qemu_version(
    monitor: *const Monitor,
    out_major: *mut c_int,
    out_minor: *mut c_int,
    out_micro: *mut c_int,
) -> c_int {
    let get = |monitor: &Arc<Monitor>| {
        // SAFETY: the header asks for a place to write to.
        let major = unsafe { out(out_major, "out_major") }?;
        // SAFETY: the same.
        let minor = unsafe { out(out_minor, "out_minor") }?;
        // SAFETY: the same.
        let micro = unsafe { out(out_micro, "out_micro") }?;
        let version = monitor.version().ok_or_else(|| {
            Error::new(Code::NoData, "QEMU's version is not known before its greeting")
        })?;
        major.set(version.major);
        minor.set(version.minor);
        micro.set(version.micro);
        Ok(())
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, get) }
}

/// Does something with the monitor behind a handle; an error says which monitor it is about.
///
/// # Safety
///
/// As for [`shared`].
pub unsafe fn on(
    monitor: *const Monitor,
    deed: impl FnOnce(&Arc<Monitor>) -> Result<(), Error>,
) -> c_int {
    guard(|| {
        // SAFETY: promised by the caller.
        let monitor = unsafe { shared(monitor) }?;
        deed(&monitor).map_err(|error| monitor.named(error))?;
        Ok(0)
    })
}
