//! The functions that set a monitor up.
//!
//! # Settings
//!
//! What a monitor is made to be before it is started, and before the first job handle is made for
//! it. Each setting has a default.

use std::{
    ffi::{c_char, c_int},
    sync::Arc,
};

use super::{
    boundary::{text, time, timeout},
    monitor::on,
};
use crate::{
    engine::{Monitor, Peer},
    model::{
        Code, Error,
        monitor::{JOB_LIMIT_MAX, LINE_LIMIT_MAX, LINE_LIMIT_MIN},
    },
};

/// Sets what errors and programs call this monitor, such as the name of its virtual machine.
/// Without it that is the address.
///
/// Returns: 0. Errors: -EBUSY (it was started or has a job), -EILSEQ, -ENAMETOOLONG (more than 4096
/// bytes), -ESHUTDOWN.
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
/// and what QEMU says of its jobs. With server=on the time begins when QEMU has dialled. When no
/// greeting has come by then, who holds the monitor is looked for, which takes some milliseconds.
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

/// Sets how long a message of QEMU may be. A longer one is skipped, and what follows is read. While
/// it is read a message costs at most three times as much memory.
///
/// @param bytes from 1024 to 1073741824. Without this call 16777216.
///
/// Returns: 0. Errors: -EINVAL (outside these bounds), -EBUSY (it was started or has a job),
/// -ESHUTDOWN.
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
/// With server=on there is a pause only before the library tries to listen again, and with -1 the
/// next QEMU that dials waits for the next start. For fd:N there is no next attempt.
///
/// @param min_ms the first pause in milliseconds, from 1; without this call 100. -1 together with
///        max_ms: no attempt but those of blockjob_monitor_start() and blockjob_monitor_connect()
/// @param max_ms the longest pause, not below min_ms; without this call 5000
///
/// Returns: 0. Errors: -EINVAL (0, or below -1), -EBUSY (it was started or has a job), -ESHUTDOWN.
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
/// knows whether QEMU will ever come back. That QEMU's process has ended is noticed sooner where
/// the kernel tells; that QEMU does not answer gives up nothing. The time also counts from the
/// first start.
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

/// Sets how often QEMU is asked whether it answers, by a small query. When it does not in time,
/// that is UNRESPONSIVE, and RESPONSIVE when it does again. Neither ends a connection or a job.
///
/// @param interval_ms milliseconds between an answer and the next question, from 1. -1 together
///        with timeout_ms: never, as it is without this call
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

/// Sets who must hold the other end of each connection: the process that listens or, with
/// server=on, that dials; of a pair of sockets, who made it. Of anybody else nothing is read, and
/// nothing is sent: the attempt fails with -EACCES.
///
/// @param uid the user's id, -1 for any, as it is without this call
/// @param pid the process's id, -1 for any, as it is without this call
///
/// Returns: 0. Errors: -EINVAL (no such ids), -EOPNOTSUPP (by tcp nobody can tell), -EBUSY (it was
/// started or has a job), -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_set_peer(
    monitor: *mut Monitor,
    uid: i64,
    pid: i64,
) -> c_int {
    let set = |monitor: &Arc<Monitor>| {
        let user = u32::try_from(uid).ok().filter(|user| *user != u32::MAX);
        let process = i32::try_from(pid).ok().filter(|process| *process > 0);
        if (user.is_none() && uid != -1) || (process.is_none() && pid != -1) {
            let text = format!("uid is {uid} and pid {pid}; wanted an id for each, or -1 for any");
            return Err(Error::new(Code::Invalid, text));
        }
        monitor.set_peer(Peer { user, process })
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, set) }
}

/// Sets how often the progress of running jobs is told, as PROGRESS events: for progress bars.
/// While a job is known to run QEMU is asked for all of them at once, and each whose numbers have
/// changed is told. That is for block jobs: of other types QEMU counts no progress to speak of. A
/// PROGRESS may be a little older than events before it, but none comes after its job's end.
///
/// @param interval_ms milliseconds between an answer and the next question, from 1; -1 for never,
///        which is the default
///
/// Returns: 0. Errors: -EINVAL (neither of these), -EBUSY (it was started or has a job),
/// -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_set_progress(
    monitor: *mut Monitor,
    interval_ms: c_int,
) -> c_int {
    let set = |monitor: &Arc<Monitor>| {
        if interval_ms == 0 {
            let text = "interval_ms is 0; wanted 1 or more, or -1 for never";
            return Err(Error::new(Code::Invalid, text));
        }
        monitor.set_progress(time(interval_ms, "interval_ms")?)
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(monitor, set) }
}

/// Sets whether a mark is left in QEMU, an object of type "secret" whose id begins with "blockjob-"
/// and is another for each listener, so that a QEMU that was restarted on the same address is known
/// for another. Where the kernel tells with which process a connection is, that is not needed.
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
    unsafe { super::monitor::on(monitor, set) }
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

/// Sets whether QEMU is asked, when it is connected and offers it (since 4.0), to take commands out
/// of band: BLOCKJOB_EXECUTE_OOB. It then takes several commands at once, and replies may overtake
/// each other; at most seven that are not out of band are sent to it at a time, and others follow
/// in their order.
///
/// @param on 1, or 0 as it is without this call
///
/// Returns: 0. Errors: -EINVAL (neither), -EBUSY (it was started or has a job), -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_set_oob(monitor: *mut Monitor, on: c_int) -> c_int {
    let set = |monitor: &Arc<Monitor>| match on {
        0 | 1 => monitor.set_oob(on == 1),
        _ => Err(Error::new(Code::Invalid, format!("on is {on}; wanted 0 or 1"))),
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { super::monitor::on(monitor, set) }
}

/// Names QEMU's event journal: a file to which QEMU writes each event, also while nobody is
/// connected, by
///
///     -chardev null,id=journal,logfile=/var/log/vm.journal,logappend=on
///     -mon chardev=journal,mode=control
///
/// on its command line. What would be LOST is looked for there: on connecting, after a gap, and
/// when QEMU is gone. It must be a regular file; one that cannot be read is as good as none.
///
/// @param path the file
/// @param position where the program has come to, from blockjob_event_get_position(): what stands
///        before is not read again. NULL when it does not know.
///
/// Returns: 0. Errors: -EINVAL (position is not one that the library gave out), -EILSEQ,
/// -ENAMETOOLONG, -EBUSY (it was started or has a job), -ESHUTDOWN.
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
