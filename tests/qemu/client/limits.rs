//! What a monitor may cost, and a registration that costs nothing.

use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::{Listener, Monitor, RawEvent, functions, last_error, milliseconds, number};
use super::{succeeded, text};
use crate::DEADLINE;

/// What a slow program asks.
pub const SLOW_QUESTION: &str = "query-name";

/// What was told, without being kept.
#[derive(Default)]
pub struct Counted {
    pub events: AtomicU64,
    /// Those that say how a job ended.
    pub ends: AtomicU64,
    /// The first of them is taken slowly: QEMU is asked three things meanwhile.
    slow: bool,
}

impl Monitor {
    pub fn set_line_limit(&self, bytes: i64) {
        let result = call!(blockjob_monitor_set_line_limit(self.raw, bytes));
        succeeded(result, "blockjob_monitor_set_line_limit");
    }

    pub fn set_job_limit(&self, jobs: c_int) {
        let result = call!(blockjob_monitor_set_job_limit(self.raw, jobs));
        succeeded(result, "blockjob_monitor_set_job_limit");
    }

    /// Sends a command and waits so many milliseconds for its reply, which is not looked at. Gives the
    /// result, and how long it took.
    pub fn timed(&self, command: &str, limit: c_int) -> (c_int, Duration) {
        let command = text(command);
        let (name, begun, none) = (command.as_ptr(), Instant::now(), ptr::null_mut());
        let result = call!(blockjob_monitor_execute(self.raw, name, ptr::null(), 0, limit, none));
        (result, begun.elapsed())
    }

    /// Begins to connect, and does not wait for it.
    pub fn start(&self) {
        succeeded(call!(blockjob_monitor_start(self.raw)), "blockjob_monitor_start");
    }
}

impl Listener {
    /// Counts what is told of a monitor, as a callback that claims it.
    pub fn count(&self, monitor: &Monitor, kinds: u32) -> Arc<Counted> {
        self.add_counting(monitor, kinds, false)
    }

    /// The same of a program that is slow: its callback returns from the first of them when QEMU
    /// has answered three questions, or can no longer answer. What QEMU says before its answer to
    /// the second one waits as events by then, for the third one's is read in a later turn.
    pub fn count_slowly(&self, monitor: &Monitor, kinds: u32) -> Arc<Counted> {
        self.add_counting(monitor, kinds, true)
    }

    fn add_counting(&self, monitor: &Monitor, kinds: u32, slow: bool) -> Arc<Counted> {
        let counted = Arc::new(Counted { slow, ..Counted::default() });
        let id = call!(blockjob_callback_add(
            self.raw,
            monitor.raw,
            ptr::null(),
            kinds,
            count,
            Arc::into_raw(Arc::clone(&counted)).cast_mut().cast(),
            stop_counting
        ));
        assert!(id > 0, "blockjob_callback_add gave {id}: {}", last_error());
        counted
    }
}

impl Listener {
    /// Counts QEMU's events of this name, of one monitor or all.
    pub fn count_raw(&self, monitor: Option<&Monitor>, name: &str) -> Arc<Counted> {
        self.add_raw_counting(monitor, name, false)
    }

    /// The same of a program that is slow, as `count_slowly` has it.
    pub fn count_raw_slowly(&self, monitor: &Monitor, name: &str) -> Arc<Counted> {
        self.add_raw_counting(Some(monitor), name, true)
    }

    fn add_raw_counting(&self, monitor: Option<&Monitor>, name: &str, slow: bool) -> Arc<Counted> {
        let (counted, name) = (Arc::new(Counted { slow, ..Counted::default() }), text(name));
        let id = call!(blockjob_callback_add_raw(
            self.raw,
            monitor.map_or(ptr::null_mut(), |monitor| monitor.raw),
            name.as_ptr(),
            count,
            Arc::into_raw(Arc::clone(&counted)).cast_mut().cast(),
            stop_counting
        ));
        assert!(id > 0, "blockjob_callback_add_raw gave {id}: {}", last_error());
        counted
    }
}

unsafe extern "C" fn count(event: *mut RawEvent, opaque: *mut c_void) {
    // SAFETY: `count` made it, and `stop_counting` is not called before this has returned.
    let counted = unsafe { &*opaque.cast::<Counted>() };
    let is_first = counted.events.fetch_add(1, SeqCst) == 0;
    if is_first && counted.slow {
        let raw = call!(blockjob_event_get_monitor(event));
        // It is the event's.
        let monitor = ManuallyDrop::new(Monitor { raw });
        for _ in 0..3 {
            monitor.timed(SLOW_QUESTION, milliseconds(DEADLINE));
        }
    }
    let is_final = call!(blockjob_event_get_kind(event)) & number::FINAL != 0;
    counted.ends.fetch_add(u64::from(is_final), SeqCst);
}

unsafe extern "C" fn stop_counting(opaque: *mut c_void) {
    // SAFETY: `count` gave it to the library, which calls this once and last.
    drop(unsafe { Arc::from_raw(opaque.cast::<Counted>()) });
}
