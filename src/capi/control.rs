//! The functions that control a job.
//!
//! # Control
//!
//! What may be asked of a job that runs, whoever started it. Each of these waits for QEMU's answer,
//! which is not the job's end. After -ETIMEDOUT or -ECONNRESET it may have been done or not, and
//! how QEMU has the job will show; a timeout of 0 asks and does not wait. The library takes the
//! command that this QEMU has: QEMU 3.0 and later control jobs of every type, earlier ones block
//! jobs alone.

use std::ffi::c_int;

use super::{boundary::timeout, constants::BLOCKJOB_CANCEL_FORCE, job::on};
use crate::{
    engine::Job,
    model::{Code, Error},
};

/// Pauses the job: it keeps what it has done, and does no more until blockjob_job_resume(). QEMU
/// pauses jobs for moments of its own, too; a STATUS of "paused" alone does not mean this.
///
/// @param timeout_ms milliseconds to wait; -1 for as long as the connection lasts
///
/// Returns: 0. Errors: -EREMOTEIO (QEMU refused, such as when it is paused by this already),
/// -EOPNOTSUPP (QEMU before 1.3 has no command for it), -ENOENT (the job has ended), -ENOTCONN,
/// -ECONNRESET (no answer came), -ETIMEDOUT, -ENOBUFS (too many commands are unanswered), -EINVAL,
/// -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_job_pause(job: *mut Job, timeout_ms: c_int) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(job, |job| job.pause(timeout(timeout_ms)?)) }
}

/// Lets a job go on that blockjob_job_pause() or an ERROR with the action "stop" has paused.
///
/// @param timeout_ms milliseconds to wait; -1 for as long as the connection lasts
///
/// Returns: 0. Errors: those of blockjob_job_pause(); QEMU refuses when it is not paused.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_job_resume(job: *mut Job, timeout_ms: c_int) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(job, |job| job.resume(timeout(timeout_ms)?)) }
}

/// Sets the job's rate limit. Only block jobs have one: stream, commit, mirror and backup.
///
/// @param speed bytes per second; 0 for no limit
/// @param timeout_ms milliseconds to wait; -1 for as long as the connection lasts
///
/// Returns: 0. Errors: -EOPNOTSUPP (the job is of another type), -EINVAL (speed is below 0),
/// -EREMOTEIO (QEMU refused), -ENOENT (the job has ended), -ENOTCONN, -ECONNRESET (no answer came),
/// -ETIMEDOUT, -ENOBUFS, -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_job_set_speed(
    job: *mut Job,
    speed: i64,
    timeout_ms: c_int,
) -> c_int {
    let set = |job: &Job| {
        if speed < 0 {
            let text = format!("speed is {speed}; wanted bytes per second, or 0 for no limit");
            return Err(Error::new(Code::Invalid, text));
        }
        job.set_speed(speed, timeout(timeout_ms)?)
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(job, set) }
}

/// Completes a ready mirror or active commit: the guest's disk moves to the job's target.
///
/// @param timeout_ms milliseconds to wait; -1 for as long as the connection lasts
///
/// Returns: 0. Errors: -EREMOTEIO (QEMU refused, such as when the job is not ready), -EOPNOTSUPP
/// (QEMU before 1.3 has no command for it), -ENOENT (the job has ended), -ENOTCONN, -ECONNRESET (no
/// answer came), -ETIMEDOUT, -ENOBUFS, -EINVAL, -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_job_complete(job: *mut Job, timeout_ms: c_int) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(job, |job| job.complete(timeout(timeout_ms)?)) }
}

/// Cancels the job. Its end may still be any. A mirror or active commit that is ready ends without
/// a pivot and as COMPLETED, unless forced. A job that is paused must be forced, or resumed first.
///
/// @param flags 0 or BLOCKJOB_CANCEL_FORCE
/// @param timeout_ms milliseconds to wait; -1 for as long as the connection lasts
///
/// Returns: 0. Errors: -EREMOTEIO (QEMU refused), -EOPNOTSUPP (QEMU before 1.3 cannot be forced),
/// -ENOENT (the job has ended), -ENOTCONN, -ECONNRESET (no answer came), -ETIMEDOUT, -ENOBUFS,
/// -EINVAL, -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_job_cancel(
    job: *mut Job,
    flags: u32,
    timeout_ms: c_int,
) -> c_int {
    let cancel = |job: &Job| {
        if flags & !BLOCKJOB_CANCEL_FORCE != 0 {
            let text = format!("flags is {flags:#x}; wanted 0 or BLOCKJOB_CANCEL_FORCE");
            return Err(Error::new(Code::Invalid, text));
        }
        job.cancel(flags & BLOCKJOB_CANCEL_FORCE != 0, timeout(timeout_ms)?)
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(job, cancel) }
}

/// Lets a PENDING job make its changes, one that was started with auto-finalize=false. Its end
/// follows, and may come before this returns.
///
/// @param timeout_ms milliseconds to wait; -1 for as long as the connection lasts
///
/// Returns: 0. Errors: -EREMOTEIO (QEMU refused, such as when the job is not pending), -EOPNOTSUPP
/// (QEMU before 2.12 has no command for it), -ENOENT (the job has ended), -ENOTCONN, -ECONNRESET
/// (no answer came), -ETIMEDOUT, -ENOBUFS, -EINVAL, -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_job_finalize(job: *mut Job, timeout_ms: c_int) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(job, |job| job.finalize(timeout(timeout_ms)?)) }
}

/// Has QEMU forget the job, whoever started it and whoever else claims its end: this acknowledges
/// it. The end must have been taken, so that it is not lost with the job when the program dies: by
/// blockjob_job_wait(), or by a callback that asked for it and has returned, or that this is called
/// in. Jobs of the program's are dismissed by themselves; those of others only by this.
///
/// @param timeout_ms milliseconds to wait; -1 for as long as the connection lasts
///
/// Returns: 0, also when QEMU has no such job any more. Errors: -EBUSY (it has not ended, or nobody
/// has taken its end yet; nothing is changed), -ENOTCONN and -ETIMEDOUT (the end is acknowledged,
/// and the job is dismissed when QEMU can be reached), -EREMOTEIO and -EOPNOTSUPP (of a job that
/// was LOST alone: QEMU refused, or has no command for it), -ENOBUFS (too much waits for the
/// listener, and nothing was done; or of a job that was LOST, QEMU leaves too many commands
/// unanswered), -EINVAL, -ESHUTDOWN (the monitor was closed, or the listener stopped).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_job_dismiss(job: *mut Job, timeout_ms: c_int) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(job, |job| job.dismiss(timeout(timeout_ms)?)) }
}
