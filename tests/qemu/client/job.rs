//! Handles of jobs, and the ends that were waited for.

use std::ffi::c_int;
use std::ptr;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{Event, Monitor, RawEvent, RawJob, copied, functions, last_error, milliseconds};
use super::{succeeded, text};
use crate::DEADLINE;

/// What a function gave that may fail: the negative errno, and the sentence.
pub type Answer = Result<(), (c_int, String)>;

/// There was no connection, or it ended before the answer.
pub const CUT: [c_int; 2] = [-libc::ENOTCONN, -libc::ECONNRESET];

pub struct Job {
    pub(super) raw: *mut RawJob,
}

impl Monitor {
    /// A handle of the job of this id, or of one that the library makes up.
    pub fn job(&self, id: Option<&str>, flags: u32) -> Job {
        let id = id.map(text);
        let id = id.as_ref().map_or(ptr::null(), |id| id.as_ptr());
        let mut raw = ptr::null_mut();
        let result = call!(blockjob_job_new(self.raw, id, flags, &raw mut raw));
        succeeded(result, "blockjob_job_new");
        Job { raw }
    }
}

impl Job {
    pub fn id(&self) -> String {
        copied(call!(blockjob_job_get_id(self.raw))).expect("each job has an id")
    }

    /// Starts it; there is no reason why QEMU or the library should refuse.
    pub fn start(&self, command: &str, arguments: &Value) {
        let answer = self.try_start(command, arguments);
        assert_eq!(answer, Ok(()), "{command} {arguments}");
    }

    pub fn try_start(&self, command: &str, arguments: &Value) -> Answer {
        let [command, arguments] = [text(command), text(&arguments.to_string())];
        let timeout = milliseconds(DEADLINE);
        answer(call!(blockjob_job_start(self.raw, command.as_ptr(), arguments.as_ptr(), timeout)))
    }

    pub fn complete(&self) -> Answer {
        answer(call!(blockjob_job_complete(self.raw, milliseconds(DEADLINE))))
    }

    pub fn cancel(&self, force: bool) -> Answer {
        answer(call!(blockjob_job_cancel(self.raw, u32::from(force), milliseconds(DEADLINE))))
    }

    /// Its end, which is acknowledged when this has returned and nobody else claims it.
    pub fn wait(&self) -> Event {
        self.wait_for(DEADLINE).unwrap_or_else(|error| {
            panic!("{} did not end within {DEADLINE:?}: {error:?}", self.id())
        })
    }

    pub fn wait_for(&self, limit: Duration) -> Result<Event, (c_int, String)> {
        let mut raw: *mut RawEvent = ptr::null_mut();
        answer(call!(blockjob_job_wait(self.raw, milliseconds(limit), &raw mut raw)))?;
        let event = Event::copy(raw);
        call!(blockjob_event_unref(raw));
        Ok(event)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // What a failed test leaves is of no interest.
        if !thread::panicking() {
            call!(blockjob_job_free(self.raw));
        }
    }
}

pub(super) fn answer(result: c_int) -> Answer {
    if result >= 0 { Ok(()) } else { Err((result, last_error())) }
}
