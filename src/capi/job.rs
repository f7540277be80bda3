//! The job handle's functions.
//!
//! # Job
//!
//! A handle for one job of one monitor, which runs, has ended and is not dismissed, or is yet to
//! come. It is made first and started then, so that nothing of the job is missed; one handle is for
//! one job. As long as it is open it claims how the job ends: that is taken when
//! blockjob_job_wait() has given it out.

use std::{
    ffi::{CStr, c_char, c_int},
    sync::Arc,
};

use super::{
    boundary::{arguments, guard, job_id as id_text, out, required, shared, text, timeout},
    constants::{BLOCKJOB_JOB_ADOPT, BLOCKJOB_JOB_EXISTS},
};
use crate::{
    engine::{Job, Monitor, Purpose, Report},
    model::{Code, Error},
};

/// Makes a handle, which watches from this call's return on. The monitor need not be started; its
/// settings are fixed by this.
///
/// A job that is yet to come is waited for. If the connection ends before anything was heard of it,
/// and QEMU does not have it when there is one again, it may have come and gone: the handle's end
/// is LOST then, for BLOCKJOB_LOSS_UNHEARD. If it is still to come, make a new handle for it. That
/// does not befall a job with an id of the library's own.
///
/// Who makes a handle takes the end by it: as long as the handle is open and blockjob_job_wait()
/// has not given the end out, that is not acknowledged and its job stays in QEMU, and with it the
/// job's nodes, busy, whatever callbacks have taken. Wait on it, also when callbacks are told; or
/// free it.
///
/// @param job_id the job's id, as QEMU has it or will; NULL for a new one that no other job has or
///        had, of this listener or another: the owner's name ("blockjob" without one) and what
///        tells it from all others
/// @param flags 0 or a mask of BLOCKJOB_JOB_*
/// @param out_job set on success to a handle to be freed with blockjob_job_free()
///
/// Returns: 0. Errors: -EINVAL (unknown flags, EXISTS without an id), -EILSEQ, -ENAMETOOLONG (more
/// than 1024 bytes; what QEMU says of a job whose id is longer is passed over), -ENOBUFS (the
/// monitor knows as many jobs as blockjob_monitor_set_job_limit() lets it), -EALREADY (the job has
/// ended, and its end was acknowledged), -ESHUTDOWN (closed or stopped).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_job_new(
    monitor: *mut Monitor,
    job_id: *const c_char,
    flags: u32,
    out_job: *mut *mut Job,
) -> c_int {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let monitor = unsafe { shared(monitor) }?;
        // SAFETY: the header asks for text.
        let id = (!job_id.is_null()).then(|| unsafe { id_text(job_id) }).transpose()?;
        let purpose = purpose(flags, id)?;
        // SAFETY: the header asks for a place to write to.
        let place = unsafe { out(out_job, "out_job") }?;
        let job = Job::new(&monitor, id, purpose).map_err(|error| monitor.named(error))?;
        place.set(Box::into_raw(Box::new(job)));
        Ok(0)
    })
}

/// The job's id.
///
/// Returns: text that holds as long as the handle; NULL for NULL.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_job_get_id(job: *const Job) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    guard(|| Ok(CStr::as_ptr(unsafe { required(job) }?.id())))
}

/// Starts the job, and waits for QEMU's answer. Two members are added to the arguments: "job-id",
/// the handle's, and where this QEMU's command knows it "auto-dismiss" as false, so that the job
/// stays when it has concluded, until its end was acknowledged. The program leaves both out:
/// another job id is refused, and with "auto-dismiss" as true the job does not stay. (QEMU keeps
/// jobs since 3.1, and backups since 2.12; earlier ones are gone with their end.) It may pass
/// "auto-finalize" as false: then the job is PENDING before it makes its changes, and waits for
/// blockjob_job_finalize() or blockjob_job_cancel().
///
/// Events of the job may come before this returns, its end too. When the time is over or the
/// connection ends, the job may have been started or not: the handle goes on watching, and how it
/// ends will be told, or that it was not started, as LOST (BLOCKJOB_LOSS_NOT_STARTED). If the
/// connection ended, a job of this id that QEMU has afterwards is taken to be this one; an id of
/// the library's own is nobody else's. When this returns that QEMU refused, there is no end, and
/// the handle may be started again; but if another's job has the id, the handle goes on watching
/// that.
///
/// @param command QEMU's command that makes one job, such as "block-stream"; not "transaction",
///        which starts several
/// @param json its arguments as a JSON object without a job id, such as "{\"device\":\"d0\"}", of
///        at most 65536 bytes
/// @param timeout_ms milliseconds to wait; -1 for as long as the connection lasts
///
/// Returns: 0. Errors: -EREMOTEIO (QEMU refused; blockjob_last_error_class() has its class),
/// -ENOTCONN (there is no connection; nothing was sent), -ECONNRESET (it ended before the answer:
/// whether the job was started will show), -ETIMEDOUT, -EALREADY (it was started, or has ended),
/// -EINVAL (json is not a JSON object, or has another job id; command is not one that makes one
/// job), -EOPNOTSUPP (this QEMU's jobs have no ids), -ENOBUFS (too many commands are unanswered),
/// -ENOMEM, -EILSEQ, -ENAMETOOLONG, -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_job_start(
    job: *mut Job,
    command: *const c_char,
    json: *const c_char,
    timeout_ms: c_int,
) -> c_int {
    let start = |job: &Job| {
        // SAFETY: the header asks for text.
        let command = unsafe { text(command, "command") }?;
        // SAFETY: the same.
        let json = unsafe { arguments(json, "json") }?;
        job.start(command, json, timeout(timeout_ms)?)
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(job, start) }
}

/// Waits for the job's end: COMPLETED, CANCELLED or LOST. It always comes: at the latest when the
/// monitor is closed or has been without a connection for long (blockjob_monitor_set_lost_after());
/// but a job that was never started gets its end only then. Any number of threads may wait, and
/// wait again: each is given it. A wait is not ordered against callbacks.
///
/// @param timeout_ms milliseconds to wait; 0 to look, -1 for no limit
/// @param out_event set on success to the event, to be released with blockjob_event_unref()
///
/// Returns: 0. Errors: -ETIMEDOUT, -EINVAL (timeout_ms below -1), -ESHUTDOWN (the listener was
/// stopped).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_job_wait(
    job: *mut Job,
    timeout_ms: c_int,
    out_event: *mut *mut Report,
) -> c_int {
    let wait = |job: &Job| {
        // SAFETY: the header asks for a place to write to.
        let place = unsafe { out(out_event, "out_event") }?;
        let report = job.wait(timeout(timeout_ms)?)?;
        place.set(Arc::into_raw(report).cast_mut());
        Ok(())
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(job, wait) }
}

/// Frees a handle. The job goes on, and its callbacks are told how it ends. No call may be using
/// the handle. An end that the handle claimed and that no blockjob_job_wait() has given out was not
/// taken by it.
///
/// @param job to be freed; NULL is fine
///
/// Threads: any, also inside callbacks, and after its monitor and listener. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_job_free(job: *mut Job) {
    guard(|| {
        if !job.is_null() {
            // SAFETY: the header asks for a handle of ours.
            unsafe { required(job) }?;
            // SAFETY: it came from blockjob_job_new, and the header forbids its use from here on.
            drop(unsafe { Box::from_raw(job) });
        }
        Ok(())
    });
}

fn purpose(flags: u32, id: Option<&str>) -> Result<Purpose, Error> {
    let refused = |text: String| Err(Error::new(Code::Invalid, text));
    if flags & !(BLOCKJOB_JOB_EXISTS | BLOCKJOB_JOB_ADOPT) != 0 {
        return refused(format!("flags is {flags:#x}; wanted 0 or a mask of BLOCKJOB_JOB_*"));
    }
    let exists = flags & BLOCKJOB_JOB_EXISTS != 0;
    if exists && id.is_none() {
        return refused("job_id is NULL, but flags has EXISTS: wanted that job's id".to_owned());
    }
    Ok(Purpose { exists, adopt: flags & BLOCKJOB_JOB_ADOPT != 0 })
}

/// Does something with the job behind a handle; an error says which job it is about.
///
/// # Safety
///
/// As for [`required`].
pub unsafe fn on(job: *const Job, deed: impl FnOnce(&Job) -> Result<(), Error>) -> c_int {
    guard(|| {
        // SAFETY: promised by the caller.
        let job = unsafe { required(job) }?;
        deed(job).map_err(|error| job.named(error))?;
        Ok(0)
    })
}
