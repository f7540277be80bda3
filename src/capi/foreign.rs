//! The program's own code and data, as Rust values: a function to call, a pointer to hand back, and
//! a free function that runs when the value is dropped.

use std::{
    ffi::{c_char, c_int, c_void},
    mem,
    sync::Arc,
};

use super::error;
use crate::engine::{Line, Reply, Report, inside};

/// Called for each event that a registration is for, one at a time: on the listener's thread
/// "blockjob-call", or inside blockjob_listener_dispatch() where the program delivers. `event` is
/// the library's and holds until the callback returns; keep it longer with blockjob_event_ref().
/// `opaque` is what was given to blockjob_callback_add().
///
/// A callback may call every function of this library, but for the few that return -EDEADLK there
/// (see Threads). It may take its time: it delays other callbacks, never the reading. It must not
/// throw (the process is aborted, with a line that says so), longjmp out, call pthread_exit(), be
/// cancelled, or return in the child of a fork() of its own.
#[allow(non_camel_case_types)]
pub type blockjob_event_fn =
    Option<unsafe extern "C-unwind" fn(event: *mut Report, opaque: *mut c_void)>;

/// Called once when the library is done with `opaque`: after the last callback has returned, or
/// when registering failed. What is said of callbacks holds for it as well.
#[allow(non_camel_case_types)]
pub type blockjob_free_fn = Option<unsafe extern "C-unwind" fn(opaque: *mut c_void)>;

pub type LogFn = unsafe extern "C-unwind" fn(c_int, *const c_char, *const c_char, *mut c_void);
/// Called with the reply to a command that nobody waited for, as blockjob_event_fn is for an event,
/// and what is said there holds for it as well. `reply` is the library's and holds until the
/// callback returns; keep it longer with blockjob_reply_ref().
#[allow(non_camel_case_types)]
pub type blockjob_reply_fn =
    Option<unsafe extern "C-unwind" fn(reply: *mut Reply, opaque: *mut c_void)>;

pub type EventFn = unsafe extern "C-unwind" fn(*mut Report, *mut c_void);

pub type ReplyFn = unsafe extern "C-unwind" fn(*mut Reply, *mut c_void);

/// What the program gave along with a callback; its own again when this is dropped.
pub struct Foreign {
    opaque: *mut c_void,
    free: blockjob_free_fn,
}

// SAFETY: the header says on which threads callback and free run, and with that the program gives
// `opaque` over to them. The library itself never looks behind it.
unsafe impl Send for Foreign {}
// SAFETY: as above; shared access does no more than copy the pointer.
unsafe impl Sync for Foreign {}

impl Foreign {
    pub fn new(opaque: *mut c_void, free: blockjob_free_fn) -> Self {
        Self { opaque, free }
    }

    /// Calls the program, which may do with the library what it likes meanwhile.
    pub fn call(&self, function: EventFn, id: i64, report: &Arc<Report>) {
        enter(Name::Callback(id), || {
            // SAFETY: the program gave function and opaque for each other. The report lives through
            // the call, and is only read through the pointer or counted.
            unsafe { function(Arc::as_ptr(report).cast_mut(), self.opaque) };
        });
    }

    /// The same for a line of the log.
    pub fn call_log(&self, function: LogFn, line: &Line) {
        // A copy, for the program may do with the monitor what it likes meanwhile.
        let name = line.monitor.with_name(ToOwned::to_owned);
        enter(Name::Log, || {
            // SAFETY: the program gave function and opaque for each other; the texts live through
            // the call.
            unsafe {
                function(line.level as c_int, name.as_ptr(), line.text.as_ptr(), self.opaque);
            };
        });
    }

    /// The same with a reply.
    pub fn call_reply(&self, function: ReplyFn, reply: &Arc<Reply>) {
        enter(Name::Reply(reply.response.number), || {
            // SAFETY: as above.
            unsafe { function(Arc::as_ptr(reply).cast_mut(), self.opaque) };
        });
    }

    /// Does not free, now or ever: it belongs to another process.
    pub fn leak(self) {
        mem::forget(self);
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let Some(free) = self.free else { return };
        // SAFETY: opaque was given for this function, which runs this once.
        enter(Name::Free, || unsafe { free(self.opaque) });
    }
}

/// Runs code of the program.
fn enter(name: Name, call: impl FnOnce()) {
    let _inside = inside::enter();
    let _last_error = error::save();
    let thrown = Thrown(name);
    call();
    mem::forget(thrown);
}

/// Dropped only when the program's code unwinds into ours, which nothing could be promised after.
struct Thrown(Name);

#[derive(Clone, Copy)]
enum Name {
    Callback(i64),
    Log,
    Reply(i64),
    Free,
}

impl Drop for Thrown {
    fn drop(&mut self) {
        let name = match self.0 {
            Name::Callback(id) => format!("callback {id}"),
            Name::Log => "the log's function".to_owned(),
            Name::Reply(number) => format!("the callback of command {number}"),
            Name::Free => "a free function".to_owned(),
        };
        let text = format!("libblockjob: {name} threw an exception, which none may; aborting\n");
        // SAFETY: the text is as long as it is, and standard error is the process's.
        unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
        // SAFETY: it has no preconditions.
        unsafe { libc::abort() };
    }
}
