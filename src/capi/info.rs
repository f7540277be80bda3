//! The functions that look at jobs.
//!
//! # Info
//!
//! What QEMU says of a job when it is asked: one moment of it, which may be over, and may be a
//! little older than events that were told before. It never changes, and its strings hold as long
//! as it does. For what this QEMU does not say a getter gives NULL, or -1 for a number or a yes or
//! no; one that returns constants gives UNKNOWN, and -EINVAL for NULL.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
    sync::Arc,
};

use super::{
    boundary::{guard, out, required, timeout},
    job::on,
    monitor::on as on_monitor,
};
use crate::{
    engine::{Info, Job, JobList, Monitor},
    model::{Code, Error, JobInfo},
};

/// Asks QEMU how the job stands, by query-jobs and query-block-jobs. That works for a job that has
/// ended, too, until it is dismissed: its status is CONCLUDED then.
///
/// @param timeout_ms milliseconds to wait; -1 for as long as the connection lasts
/// @param out_info set on success to what QEMU says, to be freed with blockjob_info_free()
///
/// Returns: 0. Errors: -ENOENT (QEMU has no such job: it has not begun, or has ended and is gone,
/// though the handle may still hold its end), -EREMOTEIO (QEMU refused), -ENOTCONN, -ECONNRESET (no
/// answer came), -ETIMEDOUT, -ENOBUFS (too many commands are unanswered), -EPROTO (the answer is no
/// list of jobs), -EINVAL, -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_job_get_info(
    job: *mut Job,
    timeout_ms: c_int,
    out_info: *mut *mut Info,
) -> c_int {
    let get = |job: &Job| {
        // SAFETY: the header asks for a place to write to.
        let place = unsafe { out(out_info, "out_info") }?;
        place.set(Box::into_raw(Box::new(job.info(timeout(timeout_ms)?)?)));
        Ok(())
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on(job, get) }
}

/// Frees what blockjob_job_get_info() gave. What blockjob_list_get() gave is the list's.
///
/// @param info to be freed; NULL is fine
///
/// Threads: any, also inside callbacks, and after its job, monitor and listener. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_free(info: *mut Info) {
    guard(|| {
        if !info.is_null() {
            // SAFETY: the header asks for a handle of ours.
            unsafe { required(info) }?;
            // SAFETY: it came from blockjob_job_get_info, and the header forbids its use from here.
            drop(unsafe { Box::from_raw(info) });
        }
        Ok(())
    });
}

/// The job's id.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_get_job_id(info: *const Info) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(info, |job| Some(job.id())) }
}

/// The job's type.
///
/// Returns: one of BLOCKJOB_TYPE_*; UNKNOWN for a newer QEMU's type. Errors: -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_get_type(info: *const Info) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    guard(|| Ok(unsafe { required(info) }?.job().job_type as c_int))
}

/// The job's type in QEMU's word, such as "stream".
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_get_type_name(info: *const Info) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(info, JobInfo::type_name) }
}

/// The job's status.
///
/// Returns: one of BLOCKJOB_STATUS_*; UNKNOWN for a newer QEMU's status, and of a QEMU before 2.12,
/// which says none. Errors: -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_get_status(info: *const Info) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    guard(|| Ok(unsafe { required(info) }?.job().status as c_int))
}

/// The job's status in QEMU's word, such as "running".
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_get_status_name(info: *const Info) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(info, JobInfo::status_name) }
}

/// The job's maximum progress value: bytes as a rule, and it may change while the job runs.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_get_len(info: *const Info) -> i64 {
    // SAFETY: the header asks for a handle of ours.
    unsafe { value(info, |job| job.len) }
}

/// The job's progress, towards its len.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_get_offset(info: *const Info) -> i64 {
    // SAFETY: the header asks for a handle of ours.
    unsafe { value(info, |job| job.offset) }
}

/// The job's rate limit in bytes per second; 0 for none, -1 for a job that is no block job.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_get_speed(info: *const Info) -> i64 {
    // SAFETY: the header asks for a handle of ours.
    unsafe { value(info, |job| job.speed) }
}

/// Is the job paused, by whomever?
///
/// Returns: 1, or 0; -1 when QEMU does not say (before 1.3), and for NULL.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_get_paused(info: *const Info) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { truth(info, |job| job.paused) }
}

/// Does the job wait to be completed?
///
/// Returns: 1, or 0; -1 when QEMU does not say (before 2.2), and for NULL.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_get_ready(info: *const Info) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { truth(info, |job| job.ready) }
}

/// Why the job failed, or that it was cancelled: QEMU's text for people, never to be interpreted.
///
/// Returns: text; NULL as long as there is none.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_get_error(info: *const Info) -> *const c_char {
    // SAFETY: the header asks for a handle of ours.
    unsafe { word(info, JobInfo::error) }
}

/// Does the job make its changes by itself, without blockjob_job_finalize()?
///
/// Returns: 1, or 0; -1 when QEMU does not say (before 2.12, and of jobs that are no block jobs),
/// and for NULL.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_get_auto_finalize(info: *const Info) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { truth(info, |job| job.auto_finalize) }
}

/// Does QEMU forget the job by itself when it has ended?
///
/// Returns: 1, or 0; -1 when QEMU does not say (before 2.12, and of jobs that are no block jobs,
/// which it keeps), and for NULL.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_info_get_auto_dismiss(info: *const Info) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    unsafe { truth(info, |job| job.auto_dismiss) }
}

/// Asks QEMU which jobs it has, anybody's: those that run, and those that have ended and are not
/// dismissed. To follow one of them, make a handle for its id.
///
/// @param timeout_ms milliseconds to wait; -1 for as long as the connection lasts
/// @param out_list set on success to the list, to be freed with blockjob_list_free()
///
/// Returns: 0. Errors: -EREMOTEIO (QEMU refused), -ENOTCONN (also before it was started),
/// -ECONNRESET (no answer came), -ETIMEDOUT, -ENOBUFS (too many commands are unanswered, or QEMU
/// lists more jobs than blockjob_monitor_set_job_limit() lets the monitor know), -EPROTO (the
/// answer is no list of jobs), -EINVAL, -ESHUTDOWN.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_monitor_list_jobs(
    monitor: *mut Monitor,
    timeout_ms: c_int,
    out_list: *mut *mut JobList,
) -> c_int {
    let list = |monitor: &Arc<Monitor>| {
        // SAFETY: the header asks for a place to write to.
        let place = unsafe { out(out_list, "out_list") }?;
        place.set(Box::into_raw(Box::new(monitor.list_jobs(timeout(timeout_ms)?)?)));
        Ok(())
    };
    // SAFETY: the header asks for a handle of ours.
    unsafe { on_monitor(monitor, list) }
}

/// How many jobs the list has.
///
/// Returns: 0 or more. Errors: -EINVAL (NULL).
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_list_get_count(list: *const JobList) -> c_int {
    // SAFETY: the header asks for a handle of ours.
    guard(|| Ok(c_int::try_from(unsafe { required(list) }?.jobs().len()).unwrap_or(c_int::MAX)))
}

/// One of the list's jobs, in QEMU's order.
///
/// @param index from 0 to below blockjob_list_get_count()
///
/// Returns: what QEMU says of it, borrowed: it holds as long as the list, and is not freed. NULL
/// when the list has no so many.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_list_get(list: *const JobList, index: c_int) -> *const Info {
    guard(|| {
        // SAFETY: the header asks for a handle of ours.
        let jobs = unsafe { required(list) }?.jobs();
        let job = usize::try_from(index).ok().and_then(|index| jobs.get(index));
        let none = || {
            let text = format!("index is {index}; the list has {} jobs", jobs.len());
            Error::new(Code::Invalid, text)
        };
        Ok(ptr::from_ref(job.ok_or_else(none)?))
    })
}

/// Frees a list, and the infos in it.
///
/// @param list to be freed; NULL is fine
///
/// Threads: any, also inside callbacks, and after its monitor and listener. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blockjob_list_free(list: *mut JobList) {
    guard(|| {
        if !list.is_null() {
            // SAFETY: the header asks for a handle of ours.
            unsafe { required(list) }?;
            // SAFETY: it came from blockjob_monitor_list_jobs, and the header forbids its use from
            // here on.
            drop(unsafe { Box::from_raw(list) });
        }
        Ok(())
    });
}

/// A getter of text.
///
/// # Safety
///
/// As for [`required`].
unsafe fn word(info: *const Info, get: fn(&JobInfo) -> Option<&CStr>) -> *const c_char {
    // SAFETY: promised by the caller.
    guard(|| Ok(get(unsafe { required(info) }?.job()).map_or(ptr::null(), CStr::as_ptr)))
}

/// A getter of a number of QEMU's: -1 for none, never an errno.
///
/// # Safety
///
/// As for [`required`].
unsafe fn value(info: *const Info, get: fn(&JobInfo) -> Option<i64>) -> i64 {
    // SAFETY: promised by the caller.
    let value = guard(|| Ok(Known(get(unsafe { required(info) }?.job()))));
    value.0.unwrap_or(-1)
}

/// A getter of yes or no: 1 or 0, and -1 for neither.
///
/// # Safety
///
/// As for [`required`].
unsafe fn truth(info: *const Info, get: fn(&JobInfo) -> Option<bool>) -> c_int {
    // SAFETY: promised by the caller.
    let value = guard(|| Ok(Known(get(unsafe { required(info) }?.job()))));
    value.0.map_or(-1, c_int::from)
}

struct Known<V>(Option<V>);

impl<V> super::boundary::Returned for Known<V> {
    fn failed(_: &Error) -> Self {
        Self(None)
    }
}
