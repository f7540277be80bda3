//! What a monitor may cost, and a registration that costs nothing.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::{Listener, Monitor, RawEvent, functions, last_error, number, succeeded, text};

/// What was told, without being kept.
#[derive(Default)]
pub struct Counted {
    pub events: AtomicU64,
    /// Those that say how a job ended.
    pub ends: AtomicU64,
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
        let counted = Arc::new(Counted::default());
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
        let (counted, name) = (Arc::new(Counted::default()), text(name));
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
    counted.events.fetch_add(1, SeqCst);
    let is_final = call!(blockjob_event_get_kind(event)) & number::FINAL != 0;
    counted.ends.fetch_add(u64::from(is_final), SeqCst);
}

unsafe extern "C" fn stop_counting(opaque: *mut c_void) {
    // SAFETY: `count` gave it to the library, which calls this once and last.
    drop(unsafe { Arc::from_raw(opaque.cast::<Counted>()) });
}
