//! What only a program of long life needs: registrations that are removed again, listeners that
//! deliver in another way, hostile peers that are expected, children.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::{
    Event, EventFn, FreeFn, Listener, Monitor, RawEvent, RawListener, RawMonitor, hang_up,
    milliseconds, number, succeeded, tell,
};
use crate::DEADLINE;

functions! {
    blockjob_listener_set_delivery: fn(*mut RawListener, c_int) -> c_int;
    blockjob_listener_get_fd: fn(*mut RawListener) -> c_int;
    blockjob_listener_dispatch: fn(*mut RawListener) -> c_int;
    blockjob_listener_next_event: fn(*mut RawListener, c_int, *mut *mut RawEvent) -> c_int;
    blockjob_listener_stop: fn(*mut RawListener) -> c_int;
    blockjob_monitor_start: fn(*mut RawMonitor) -> c_int;
    blockjob_monitor_close: fn(*mut RawMonitor) -> c_int;
    blockjob_monitor_get_state: fn(*const RawMonitor) -> c_int;
    blockjob_monitor_set_line_limit: fn(*mut RawMonitor, i64) -> c_int;
    blockjob_event_unref: fn(*mut RawEvent) -> ();
    blockjob_callback_add:
        fn(*mut RawListener, *mut RawMonitor, *const c_char, u32, Option<EventFn>, *mut c_void,
            Option<FreeFn>) -> i64;
    blockjob_callback_remove: fn(*mut RawListener, i64, u32) -> c_int;
}

fn functions() -> &'static Functions {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    FUNCTIONS.get_or_init(|| Functions::find(super::loaded()))
}

/// By whom callbacks are run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delivery {
    Thread = 1,
    Loop = 2,
    Pull = 3,
}

impl Listener {
    pub fn deliver_by(&self, delivery: Delivery) {
        let result = call!(blockjob_listener_set_delivery(self.raw, delivery as c_int));
        succeeded(result, "blockjob_listener_set_delivery");
    }

    /// Runs callbacks as a program's loop does, until this has come of them.
    pub fn dispatch_until<T>(&self, what: &str, mut come: impl FnMut() -> Option<T>) -> T {
        let fd = call!(blockjob_listener_get_fd(self.raw));
        succeeded(fd, "blockjob_listener_get_fd");
        let started = Instant::now();
        loop {
            if let Some(come) = come() {
                return come;
            }
            assert!(started.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
            let mut watched = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry, which outlives the call.
            unsafe { libc::poll(&raw mut watched, 1, 100) };
            let result = call!(blockjob_listener_dispatch(self.raw));
            succeeded(result, "blockjob_listener_dispatch");
        }
    }

    /// Of a listener whose events are pulled.
    pub fn subscribe(&self) {
        let id = call!(blockjob_callback_add(
            self.raw,
            ptr::null_mut(),
            ptr::null(),
            number::ALL,
            None,
            ptr::null_mut(),
            None
        ));
        assert!(id > 0, "blockjob_callback_add gave {id}: {}", super::last_error());
    }

    /// The next event that was subscribed to, released as soon as it is copied.
    pub fn pull(&self, limit: Duration) -> Event {
        let mut raw = ptr::null_mut();
        let limit = milliseconds(limit);
        let result = call!(blockjob_listener_next_event(self.raw, limit, &raw mut raw));
        succeeded(result, "blockjob_listener_next_event");
        let event = Event::copy(raw);
        call!(blockjob_event_unref(raw));
        event
    }

    /// A registration to look on, and its id for `unregister`.
    pub fn register(&self, monitor: Option<&Monitor>) -> (i64, Receiver<Event>) {
        let (sender, receiver) = mpsc::channel::<Event>();
        let id = call!(blockjob_callback_add(
            self.raw,
            monitor.map_or(ptr::null_mut(), |monitor| monitor.raw),
            ptr::null(),
            number::ALL | number::OBSERVE,
            Some(tell),
            Box::into_raw(Box::new(sender)).cast(),
            Some(hang_up)
        ));
        assert!(id > 0, "blockjob_callback_add gave {id}: {}", super::last_error());
        (id, receiver)
    }

    /// When it returns, the receiver has hung up.
    pub fn unregister(&self, id: i64) {
        let result = call!(blockjob_callback_remove(self.raw, id, 0));
        succeeded(result, "blockjob_callback_remove");
    }

    /// Forks. The child finds that nothing of its parent's is its own, and ends; true when it was
    /// told so by every call.
    pub fn fork(&self, monitor: &Monitor) -> bool {
        // All that the child calls is found before.
        functions();
        // SAFETY: the child calls nothing but what the library promises to a child, and `_exit`.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
        if child == 0 {
            let told = [
                call!(blockjob_monitor_get_state(monitor.raw)),
                call!(blockjob_monitor_close(monitor.raw)),
                call!(blockjob_listener_dispatch(self.raw)),
                call!(blockjob_listener_stop(self.raw)),
            ];
            let right = told.iter().all(|result| *result == -libc::ECHILD);
            // SAFETY: it ends the child at once, and touches nothing that its parent has.
            unsafe { libc::_exit(c_int::from(!right)) };
        }
        let mut status = 0;
        // SAFETY: it is our own child, and nobody else waits for it.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(waited, child, "waitpid: {}", std::io::Error::last_os_error());
        status == 0
    }
}

// SAFETY: every function of the library may be called from any thread, and no value of the tests'
// own stands behind the handle.
unsafe impl Sync for Listener {}
