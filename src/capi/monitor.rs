//! The monitor's functions.
//!
//! # Monitor
//!
//! One QMP monitor of one virtual machine. It is made, set up, started, and lives until it is
//! closed: when its connection ends, another one is made. A QMP monitor serves one client at a time, so give the library one of its own:
//! `-qmp unix:/run/vm.qmp,server=on,wait=off`.

use std::{
    ffi::{c_char, c_int},
    sync::Arc,
};

use super::boundary::{guard, out, required, shared, text, time, timeout};
use crate::{
    engine::{Listener, Monitor},
    model::{
        Code, Error,
        monitor::{JOB_LIMIT_MAX, LINE_LIMIT_MAX, LINE_LIMIT_MIN},
    },
};

/// Makes a monitor. Nothing is connected yet.
///
/// @param address where QEMU listens: "unix:PATH". A comma of the path is written ",,".
/// @param out_monitor set on success to a monitor to be released with blockjob_monitor_unref()
///
/// Returns: 0. Errors: -EINVAL (no such kind of address), -EILSEQ (not UTF-8), -ENAMETOOLONG (a
/// path of more than 107 bytes), -ESHUTDOWN.
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
        let address = unsafe { text(address, "address (unix:PATH)") }?;
        // SAFETY: the header asks for a place to write to.
        let place = unsafe { out(out_monitor, "out_monitor") }?;
        let monitor = Arc::new(listener.monitor(address)?);
        place.set(Arc::into_raw(monitor).cast_mut());
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
/// blockjob_monitor_close() or the listener's end.
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

/// Sets what errors and programs call this monitor, such as the name of its virtual machine.
/// Without it that is the address.
///
/// Returns: 0. Errors: -EBUSY (it was started or has a job), -EILSEQ, -ENAMETOOLONG (more than 4096 bytes),
/// -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_set_name(
    monitor: *mut Monitor,
    name: *const c_char,
) -> c_int {
    let set = |monitor: &Arc<Monitor>| {
        // SAFETY: the header asks for text.
        monitor.set_name(unsafe { text(name, "name") }?)
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, set) }
}

/// Sets how long an attempt to connect may take: the connection, QEMU's greeting, the negotiation,
/// and what QEMU says of its jobs.
///
/// @param timeout_ms milliseconds; -1 for no limit. Without this call 10000.
///
/// Returns: 0. Errors: -EINVAL (below -1), -EBUSY (it was started or has a job), -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_set_connect_timeout(
    monitor: *mut Monitor,
    timeout_ms: c_int,
) -> c_int {
    let set = |monitor: &Arc<Monitor>| monitor.set_connect_timeout(timeout(timeout_ms)?);
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, set) }
}

/// Sets how long a message of QEMU may be. A longer one is skipped, and what follows is read.
///
/// @param bytes from 1024 to 1073741824. Without this call 16777216.
///
/// Returns: 0. Errors: -EINVAL (outside these bounds), -EBUSY (it was started or has a job), -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_set_line_limit(
    monitor: *mut Monitor,
    bytes: i64,
) -> c_int {
    let set = |monitor: &Arc<Monitor>| {
        let limit = usize::try_from(bytes).ok();
        let limit = limit.filter(|limit| (LINE_LIMIT_MIN..=LINE_LIMIT_MAX).contains(limit));
        monitor.set_line_limit(limit.ok_or_else(|| {
            let text = format!("bytes is {bytes}; wanted {LINE_LIMIT_MIN} to {LINE_LIMIT_MAX}");
            Error::new(Code::Invalid, text)
        })?)
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, set) }
}

/// Sets how long to wait before the next attempt to connect, when one has failed or the connection
/// has ended: twice as long each time, spread by chance so that not all come at once.
///
/// @param min_ms the first pause in milliseconds, from 1; without this call 100. -1 together with
///        max_ms: no attempt but those of blockjob_monitor_start() and blockjob_monitor_connect()
/// @param max_ms the longest pause, not below min_ms; without this call 5000
///
/// Returns: 0. Errors: -EINVAL (neither of these), -EBUSY (it was started or has a job),
/// -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_set_reconnect(
    monitor: *mut Monitor,
    min_ms: c_int,
    max_ms: c_int,
) -> c_int {
    let set = |monitor: &Arc<Monitor>| {
        let pauses = time(min_ms, "min_ms")?.zip(time(max_ms, "max_ms")?);
        let both = (min_ms, max_ms) == (-1, -1) || (min_ms >= 1 && max_ms >= min_ms);
        if !both {
            let text = format!(
                "min_ms is {min_ms} and max_ms {max_ms}; wanted 1 or more and no less than that, \
                 or -1 and -1 for never"
            );
            return Err(Error::new(Code::Invalid, text));
        }
        monitor.set_reconnect(pauses)
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, set) }
}

/// Sets after how long without a connection the monitor's jobs are given up as LOST, for nobody
/// knows whether QEMU will ever come back. That QEMU's process has ended is noticed sooner where the
/// kernel tells; that QEMU does not answer gives up nothing. The time also counts from the first
/// start.
///
/// @param timeout_ms milliseconds; -1 for never. Without this call 60000.
///
/// Returns: 0. Errors: -EINVAL (below -1), -EBUSY (it was started or has a job), -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_set_lost_after(
    monitor: *mut Monitor,
    timeout_ms: c_int,
) -> c_int {
    let set = |monitor: &Arc<Monitor>| monitor.set_lost_after(timeout(timeout_ms)?);
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, set) }
}

/// Sets how often QEMU is asked whether it answers, by a small query. When it does not in time, that
/// is UNRESPONSIVE, and RESPONSIVE when it does again. Neither ends a connection or a job.
///
/// @param interval_ms milliseconds between an answer and the next question, from 1. -1 together with
///        timeout_ms: never, as it is without this call
/// @param timeout_ms milliseconds that an answer may take, from 1
///
/// Returns: 0. Errors: -EINVAL (neither of these), -EBUSY (it was started or has a job),
/// -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_set_keepalive(
    monitor: *mut Monitor,
    interval_ms: c_int,
    timeout_ms: c_int,
) -> c_int {
    let set = |monitor: &Arc<Monitor>| {
        let times = time(interval_ms, "interval_ms")?.zip(timeout(timeout_ms)?);
        let both = (interval_ms, timeout_ms) == (-1, -1) || (interval_ms >= 1 && timeout_ms >= 1);
        if !both {
            let text = format!(
                "interval_ms is {interval_ms} and timeout_ms {timeout_ms}; wanted 1 or more for \
                 each, or -1 and -1 for never"
            );
            return Err(Error::new(Code::Invalid, text));
        }
        monitor.set_keepalive(times)
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, set) }
}

/// Sets whether a mark is left in QEMU, an object of type "secret" by the name of this listener, so
/// that a QEMU that was restarted on the same address is known for another. Where the kernel tells
/// with which process a connection is, that is not needed.
///
/// @param on 1, or 0 as it is without this call
///
/// Returns: 0. Errors: -EINVAL (neither), -EBUSY (it was started or has a job), -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_set_marker(monitor: *mut Monitor, on: c_int) -> c_int {
    let set = |monitor: &Arc<Monitor>| match on {
        0 | 1 => monitor.set_marker(on == 1),
        _ => Err(Error::new(Code::Invalid, format!("on is {on}; wanted 0 or 1"))),
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { self::on(monitor, set) }
}

/// Sets how many jobs the monitor knows at a time, those among them that have ended and are not
/// dismissed. A job of the program's has its place from blockjob_job_new() on; other clients' jobs
/// beyond the limit are not known, and their events are counted in OVERFLOW.
///
/// @param jobs from 1 to 65536. Without this call 4096.
///
/// Returns: 0. Errors: -EINVAL (outside these bounds), -EBUSY (it was started or has a job),
/// -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_set_job_limit(
    monitor: *mut Monitor,
    jobs: c_int,
) -> c_int {
    let set = |monitor: &Arc<Monitor>| {
        let limit = usize::try_from(jobs).ok().filter(|jobs| (1..=JOB_LIMIT_MAX).contains(jobs));
        monitor.set_job_limit(limit.ok_or_else(|| {
            let text = format!("jobs is {jobs}; wanted 1 to {JOB_LIMIT_MAX}");
            Error::new(Code::Invalid, text)
        })?)
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, set) }
}

/// Names QEMU's event journal: a file to which QEMU writes each event, also while nobody is
/// connected, by
///
///     -chardev null,id=journal,logfile=/var/log/vm.journal,logappend=on
///     -mon chardev=journal,mode=control
///
/// on its command line. What would be LOST is looked for there: on connecting, after a gap, and when
/// QEMU is gone. It must be a regular file; one that cannot be read is as good as none.
///
/// @param path the file
/// @param position where the program has come to, from blockjob_event_get_position(): what stands
///        before is not read again. NULL when it does not know.
///
/// Returns: 0. Errors: -EINVAL (position is none), -EILSEQ, -ENAMETOOLONG, -EBUSY (it was started or has a job), -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_set_journal(
    monitor: *mut Monitor,
    path: *const c_char,
    position: *const c_char,
) -> c_int {
    let set = |monitor: &Arc<Monitor>| {
        // SAFETY: the header asks for text.
        let path = unsafe { text(path, "path") }?;
        // SAFETY: the same.
        let text = || unsafe { text(position, "position") };
        let position = (!position.is_null()).then(text).transpose()?;
        monitor.set_journal(path, position)
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, set) }
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

/// Starts the monitor unless that was done, and waits until it is usable or this attempt has failed.
/// When the time is over the attempt goes on, and events tell how it ends.
///
/// @param timeout_ms milliseconds to wait; -1 for as long as the attempt lasts
///
/// Returns: 0. Errors: -ENOENT (there is no such path), -ECONNREFUSED (nobody listens there),
/// -ENOTSOCK (the path is no socket), -EACCES, -EBUSY (other clients wait for it), -EPROTO (it
/// does not speak QMP), -ECONNRESET (closed by the peer), -EREMOTEIO (QEMU refused to negotiate),
/// -ETIMEDOUT, -EINVAL (timeout_ms below -1), -ESHUTDOWN (closed, or the listener was stopped).
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
unsafe fn on(
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
