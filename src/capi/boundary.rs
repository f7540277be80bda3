//! The only ways in: `guard` around every function, and the readers of its arguments.

use std::{
    any::Any,
    ffi::{CStr, c_char, c_int},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::Arc,
    time::Duration,
};

use super::error;
use crate::{
    engine::{Info, Job, JobList, Listener, Monitor, Reply, Report},
    model::{Code, Error, is_affordable, job::JOB_ID_MAX},
};

/// What a function returns when it failed.
pub trait Returned {
    fn failed(error: &Error) -> Self;
}

/// Runs a function's body: an error becomes what the function returns and the thread's last error;
/// so does a panic, for nothing of Rust unwinds into C. std has said where it was, on standard
/// error.
pub fn guard<R: Returned>(body: impl FnOnce() -> Result<R, Error>) -> R {
    let result = catch_unwind(AssertUnwindSafe(body));
    let result = result.unwrap_or_else(|fault| Err(error_of(&*fault)));
    result.unwrap_or_else(|error| {
        error::set(&error);
        R::failed(&error)
    })
}

/// Once for all functions, for it is cold.
#[inline(never)]
fn error_of(fault: &(dyn Any + Send)) -> Error {
    let what = fault.downcast_ref::<&str>().copied();
    let what = what.or_else(|| fault.downcast_ref().map(String::as_str)).unwrap_or_default();
    let text = format!(
        "a fault inside libblockjob; please report it with what is on standard error: {what}"
    );
    Error::new(Code::Internal, text)
}

/// What C holds a pointer to.
pub trait Handle {
    const NAME: &'static str;

    /// Refuses in a forked child, before a lock is taken.
    fn check_process(&self) -> Result<(), Error>;
}

/// The object behind a handle.
///
/// # Safety
///
/// `pointer` is NULL or a handle that the library gave out and that was not freed; the header asks
/// the caller for no less.
pub unsafe fn required<'a, T: Handle>(pointer: *const T) -> Result<&'a T, Error> {
    // SAFETY: promised by the caller.
    let Some(object) = (unsafe { pointer.as_ref() }) else {
        let text = format!("{} is NULL; wanted a handle of this library", T::NAME);
        return Err(Error::new(Code::Invalid, text));
    };
    object.check_process()?;
    Ok(object)
}

/// A reference of its own to what is behind a counted handle.
///
/// # Safety
///
/// As for [`required`], and the handle came from `Arc::into_raw` or `Arc::as_ptr`.
pub unsafe fn shared<T: Handle>(pointer: *const T) -> Result<Arc<T>, Error> {
    // SAFETY: promised by the caller.
    unsafe { required(pointer) }?;
    // SAFETY: it is the pointer of a living Arc, promised by the caller.
    unsafe { Arc::increment_strong_count(pointer) };
    // SAFETY: the count was raised for it just now.
    Ok(unsafe { Arc::from_raw(pointer) })
}

/// Text of C: UTF-8, at most [`TEXT_MAX`] bytes, not empty. It is read before the function returns
/// and not kept.
///
/// # Safety
///
/// `pointer` is NULL or a string that ends in NUL and does not change during the call.
pub unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str, Error> {
    // SAFETY: promised by the caller.
    unsafe { text_up_to(TEXT_MAX, pointer, name) }
}

/// The same for the id of a job, at most [`JOB_ID_MAX`] bytes.
///
/// # Safety
///
/// As for [`text`].
pub unsafe fn job_id<'a>(pointer: *const c_char) -> Result<&'a str, Error> {
    // SAFETY: promised by the caller.
    unsafe { text_up_to(JOB_ID_MAX, pointer, "job_id") }
}

/// The same for the arguments of a command, at most [`ARGUMENTS_MAX`] bytes.
///
/// # Safety
///
/// As for [`text`].
pub unsafe fn arguments<'a>(pointer: *const c_char, name: &str) -> Result<&'a str, Error> {
    // SAFETY: promised by the caller.
    unsafe { text_up_to(ARGUMENTS_MAX, pointer, name) }
}

/// The same for those of any command, at most [`COMMAND_MAX`] bytes.
///
/// # Safety
///
/// As for [`text`].
pub unsafe fn command_arguments<'a>(pointer: *const c_char, name: &str) -> Result<&'a str, Error> {
    // SAFETY: promised by the caller.
    unsafe { text_up_to(COMMAND_MAX, pointer, name) }
}

/// # Safety
///
/// As for [`text`].
unsafe fn text_up_to<'a>(max: usize, pointer: *const c_char, name: &str) -> Result<&'a str, Error> {
    let refused = |code, what: &str| Err(Error::new(code, format!("{name} {what}")));
    if pointer.is_null() {
        return refused(Code::Invalid, "is NULL; wanted text");
    }
    // SAFETY: promised by the caller.
    let text = unsafe { CStr::from_ptr(pointer) };
    let bytes = text.to_bytes();
    if bytes.is_empty() {
        return refused(Code::Invalid, "is empty; wanted text");
    }
    if bytes.len() > max {
        let what = format!("has {} bytes; at most {max} are taken", bytes.len());
        return refused(Code::TooLong, &what);
    }
    if !is_affordable(COPIES * bytes.len()) {
        return refused(Code::NoMemory, "is long, and there is no memory for it");
    }
    text.to_str().or_else(|error| refused(Code::NotUtf8, &format!("is not UTF-8: {error}")))
}

/// Milliseconds of C; -1 is for ever.
pub fn timeout(milliseconds: c_int) -> Result<Option<Duration>, Error> {
    time(milliseconds, "timeout_ms")
}

/// The same by another name.
pub fn time(milliseconds: c_int, name: &str) -> Result<Option<Duration>, Error> {
    match milliseconds {
        -1 => Ok(None),
        0.. => Ok(Some(Duration::from_millis(u64::from(milliseconds.unsigned_abs())))),
        _ => {
            let text = format!("{name} is {milliseconds}; wanted 0 or more, or -1 for none");
            Err(Error::new(Code::Invalid, text))
        }
    }
}

/// A place of C's for a result; untouched until the result is there.
pub struct Out<T>(ptr::NonNull<T>);

/// Asked for before anything is done.
///
/// # Safety
///
/// `pointer` is NULL, or may be written to until the function returns.
pub unsafe fn out<T>(pointer: *mut T, name: &str) -> Result<Out<T>, Error> {
    ptr::NonNull::new(pointer).map(Out).ok_or_else(|| {
        Error::new(Code::Invalid, format!("{name} is NULL; wanted a place for the result"))
    })
}

impl<T> Out<T> {
    pub fn set(self, value: T) {
        // SAFETY: whoever made this promised that it may be written to.
        unsafe { self.0.write(value) };
    }
}

impl Handle for Listener {
    const NAME: &'static str = "listener";

    fn check_process(&self) -> Result<(), Error> {
        Listener::check_process(self)
    }
}

impl Handle for Monitor {
    const NAME: &'static str = "monitor";

    fn check_process(&self) -> Result<(), Error> {
        Monitor::check_process(self)
    }
}

impl Handle for Report {
    const NAME: &'static str = "event";

    fn check_process(&self) -> Result<(), Error> {
        self.monitor.check_process()
    }
}

impl Handle for Reply {
    const NAME: &'static str = "reply";

    fn check_process(&self) -> Result<(), Error> {
        self.monitor.check_process()
    }
}

impl Handle for Job {
    const NAME: &'static str = "job";

    fn check_process(&self) -> Result<(), Error> {
        Job::check_process(self)
    }
}

impl Handle for Info {
    const NAME: &'static str = "info";

    fn check_process(&self) -> Result<(), Error> {
        Info::check_process(self)
    }
}

impl Handle for JobList {
    const NAME: &'static str = "list";

    fn check_process(&self) -> Result<(), Error> {
        JobList::check_process(self)
    }
}

impl Returned for c_int {
    fn failed(error: &Error) -> Self {
        -errno(error.code)
    }
}

impl Returned for i64 {
    fn failed(error: &Error) -> Self {
        Self::from(-errno(error.code))
    }
}

impl<T> Returned for *const T {
    fn failed(_: &Error) -> Self {
        ptr::null()
    }
}

impl<T> Returned for *mut T {
    fn failed(_: &Error) -> Self {
        ptr::null_mut()
    }
}

impl Returned for () {
    fn failed(_: &Error) -> Self {}
}

pub fn errno(code: Code) -> c_int {
    match code {
        Code::Invalid => libc::EINVAL,
        Code::NotUtf8 => libc::EILSEQ,
        Code::TooLong => libc::ENAMETOOLONG,
        Code::Busy => libc::EBUSY,
        Code::Already => libc::EALREADY,
        Code::NotFound => libc::ENOENT,
        Code::Deadlock => libc::EDEADLK,
        Code::Shutdown => libc::ESHUTDOWN,
        Code::Forked => libc::ECHILD,
        Code::TimedOut => libc::ETIMEDOUT,
        Code::Protocol => libc::EPROTO,
        Code::Remote => libc::EREMOTEIO,
        Code::NotSocket => libc::ENOTSOCK,
        Code::Denied => libc::EACCES,
        Code::Reset => libc::ECONNRESET,
        Code::NotConnected => libc::ENOTCONN,
        Code::NotSupported => libc::EOPNOTSUPP,
        Code::NoData => libc::ENODATA,
        Code::NoThread => libc::EAGAIN,
        Code::NoBuffers => libc::ENOBUFS,
        Code::NoMemory => libc::ENOMEM,
        Code::Internal => libc::ENOTRECOVERABLE,
        Code::Os(number) => number,
    }
}

/// Names, addresses and job ids are far shorter; QEMU itself sets no limit.
const TEXT_MAX: usize = 4096;
/// Far more than a command for a job says, far less than what the socket's buffer is bound to.
const ARGUMENTS_MAX: usize = 64 << 10;
/// Of a text: one to keep, one for QEMU, and what the socket does not take at once may need as much
/// again.
const COPIES: usize = 4;
/// Half of what may be unanswered at a monitor at once.
const COMMAND_MAX: usize = 1 << 20;
