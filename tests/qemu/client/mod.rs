//! The shared object as a C program sees it, and no more: its functions by name, with handles
//! that free themselves and events that are copied inside the callback.
#![expect(unsafe_code, reason = "this is the C side of the boundary")]

#[macro_use]
mod call;

mod command;
mod event;
mod info;
mod job;
mod limits;
mod log;
pub mod number;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use crate::{DEADLINE, library};

pub use event::Event;
pub use info::Info;
pub use job::{CUT, Job};
pub use limits::{Counted, SLOW_QUESTION};
pub use log::Line;

#[repr(C)]
struct RawListener {
    opaque: [u8; 0],
}

#[repr(C)]
struct RawMonitor {
    opaque: [u8; 0],
}

#[repr(C)]
struct RawJob {
    opaque: [u8; 0],
}

#[repr(C)]
struct RawInfo {
    opaque: [u8; 0],
}

#[repr(C)]
struct RawList {
    opaque: [u8; 0],
}

#[repr(C)]
struct RawEvent {
    opaque: [u8; 0],
}

#[repr(C)]
struct RawReply {
    opaque: [u8; 0],
}

type EventFn = unsafe extern "C" fn(*mut RawEvent, *mut c_void);
type ReplyFn = unsafe extern "C" fn(*mut RawReply, *mut c_void);
type LogFn = unsafe extern "C" fn(c_int, *const c_char, *const c_char, *mut c_void);
type FreeFn = unsafe extern "C" fn(*mut c_void);

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) -> $result:ty;)*) => {
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Functions {
            fn find(library: &'static libloading::Library) -> Self {
                Self {$(
                    // SAFETY: the type is that of the function in include/blockjob.h.
                    $name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }
                        .unwrap_or_else(|error| panic!("{}: {error}", stringify!($name))),
                )*}
            }
        }
    };
}

functions! {
    blockjob_last_error: fn() -> *const c_char;
    blockjob_listener_new: fn(*mut *mut RawListener) -> c_int;
    blockjob_listener_free: fn(*mut RawListener) -> c_int;
    blockjob_listener_set_owner: fn(*mut RawListener, *const c_char) -> c_int;
    blockjob_listener_set_log:
        fn(*mut RawListener, c_int, LogFn, *mut c_void, FreeFn) -> c_int;
    blockjob_monitor_new: fn(*mut RawListener, *const c_char, *mut *mut RawMonitor) -> c_int;
    blockjob_monitor_unref: fn(*mut RawMonitor) -> ();
    blockjob_monitor_set_name: fn(*mut RawMonitor, *const c_char) -> c_int;
    blockjob_monitor_set_reconnect: fn(*mut RawMonitor, c_int, c_int) -> c_int;
    blockjob_monitor_set_lost_after: fn(*mut RawMonitor, c_int) -> c_int;
    blockjob_monitor_set_keepalive: fn(*mut RawMonitor, c_int, c_int) -> c_int;
    blockjob_monitor_set_marker: fn(*mut RawMonitor, c_int) -> c_int;
    blockjob_monitor_set_progress: fn(*mut RawMonitor, c_int) -> c_int;
    blockjob_monitor_set_line_limit: fn(*mut RawMonitor, i64) -> c_int;
    blockjob_monitor_set_job_limit: fn(*mut RawMonitor, c_int) -> c_int;
    blockjob_monitor_start: fn(*mut RawMonitor) -> c_int;
    blockjob_monitor_set_journal: fn(*mut RawMonitor, *const c_char, *const c_char) -> c_int;
    blockjob_monitor_get_name: fn(*const RawMonitor) -> *const c_char;
    blockjob_monitor_set_peer: fn(*mut RawMonitor, i64, i64) -> c_int;
    blockjob_monitor_set_connect_timeout: fn(*mut RawMonitor, c_int) -> c_int;
    blockjob_monitor_connect: fn(*mut RawMonitor, c_int) -> c_int;
    blockjob_monitor_close: fn(*mut RawMonitor) -> c_int;
    blockjob_monitor_get_state: fn(*const RawMonitor) -> c_int;
    blockjob_monitor_get_stat: fn(*const RawMonitor, c_int) -> i64;
    blockjob_monitor_get_qemu_version:
        fn(*const RawMonitor, *mut c_int, *mut c_int, *mut c_int) -> c_int;
    blockjob_callback_add:
        fn(*mut RawListener, *mut RawMonitor, *const c_char, u32, EventFn, *mut c_void, FreeFn)
            -> i64;
    blockjob_job_new: fn(*mut RawMonitor, *const c_char, u32, *mut *mut RawJob) -> c_int;
    blockjob_job_get_id: fn(*const RawJob) -> *const c_char;
    blockjob_job_start: fn(*mut RawJob, *const c_char, *const c_char, c_int) -> c_int;
    blockjob_job_wait: fn(*mut RawJob, c_int, *mut *mut RawEvent) -> c_int;
    blockjob_job_complete: fn(*mut RawJob, c_int) -> c_int;
    blockjob_job_cancel: fn(*mut RawJob, u32, c_int) -> c_int;
    blockjob_job_pause: fn(*mut RawJob, c_int) -> c_int;
    blockjob_job_resume: fn(*mut RawJob, c_int) -> c_int;
    blockjob_job_finalize: fn(*mut RawJob, c_int) -> c_int;
    blockjob_job_dismiss: fn(*mut RawJob, c_int) -> c_int;
    blockjob_job_set_speed: fn(*mut RawJob, i64, c_int) -> c_int;
    blockjob_job_get_info: fn(*mut RawJob, c_int, *mut *mut RawInfo) -> c_int;
    blockjob_job_free: fn(*mut RawJob) -> ();
    blockjob_monitor_list_jobs: fn(*mut RawMonitor, c_int, *mut *mut RawList) -> c_int;
    blockjob_list_get_count: fn(*const RawList) -> c_int;
    blockjob_list_get: fn(*const RawList, c_int) -> *const RawInfo;
    blockjob_list_free: fn(*mut RawList) -> ();
    blockjob_info_free: fn(*mut RawInfo) -> ();
    blockjob_info_get_job_id: fn(*const RawInfo) -> *const c_char;
    blockjob_info_get_type: fn(*const RawInfo) -> c_int;
    blockjob_info_get_type_name: fn(*const RawInfo) -> *const c_char;
    blockjob_info_get_status: fn(*const RawInfo) -> c_int;
    blockjob_info_get_status_name: fn(*const RawInfo) -> *const c_char;
    blockjob_info_get_len: fn(*const RawInfo) -> i64;
    blockjob_info_get_offset: fn(*const RawInfo) -> i64;
    blockjob_info_get_speed: fn(*const RawInfo) -> i64;
    blockjob_info_get_paused: fn(*const RawInfo) -> c_int;
    blockjob_info_get_ready: fn(*const RawInfo) -> c_int;
    blockjob_info_get_error: fn(*const RawInfo) -> *const c_char;
    blockjob_info_get_auto_finalize: fn(*const RawInfo) -> c_int;
    blockjob_info_get_auto_dismiss: fn(*const RawInfo) -> c_int;
    blockjob_event_unref: fn(*mut RawEvent) -> ();
    blockjob_event_get_kind: fn(*const RawEvent) -> c_int;
    blockjob_event_get_name: fn(*const RawEvent) -> *const c_char;
    blockjob_event_get_monitor: fn(*const RawEvent) -> *mut RawMonitor;
    blockjob_event_get_job_id: fn(*const RawEvent) -> *const c_char;
    blockjob_event_get_outcome: fn(*const RawEvent) -> c_int;
    blockjob_event_get_type: fn(*const RawEvent) -> c_int;
    blockjob_event_get_type_name: fn(*const RawEvent) -> *const c_char;
    blockjob_event_get_len: fn(*const RawEvent) -> i64;
    blockjob_event_get_offset: fn(*const RawEvent) -> i64;
    blockjob_event_get_speed: fn(*const RawEvent) -> i64;
    blockjob_event_get_error: fn(*const RawEvent) -> *const c_char;
    blockjob_event_get_timestamp: fn(*const RawEvent, *mut i64, *mut i64) -> c_int;
    blockjob_event_get_status: fn(*const RawEvent) -> c_int;
    blockjob_event_get_status_name: fn(*const RawEvent) -> *const c_char;
    blockjob_event_get_action: fn(*const RawEvent) -> *const c_char;
    blockjob_event_get_operation: fn(*const RawEvent) -> *const c_char;
    blockjob_event_get_reason: fn(*const RawEvent) -> *const c_char;
    blockjob_event_get_origin: fn(*const RawEvent) -> c_int;
    blockjob_event_get_pivoted: fn(*const RawEvent) -> c_int;
    blockjob_event_get_loss: fn(*const RawEvent) -> c_int;
    blockjob_event_get_dropped: fn(*const RawEvent) -> i64;
    blockjob_event_get_recovered: fn(*const RawEvent) -> i64;
    blockjob_event_get_process: fn(*const RawEvent) -> c_int;
    blockjob_event_get_position: fn(*const RawEvent) -> *const c_char;
    blockjob_event_get_json: fn(*const RawEvent) -> *const c_char;
    blockjob_last_error_class: fn() -> *const c_char;
    blockjob_callback_add_raw:
        fn(*mut RawListener, *mut RawMonitor, *const c_char, EventFn, *mut c_void, FreeFn) -> i64;
    blockjob_monitor_set_oob: fn(*mut RawMonitor, c_int) -> c_int;
    blockjob_monitor_execute:
        fn(*mut RawMonitor, *const c_char, *const c_char, u32, c_int, *mut *mut RawReply) -> c_int;
    blockjob_monitor_execute_with_fd:
        fn(*mut RawMonitor, *const c_char, *const c_char, c_int, u32, c_int, *mut *mut RawReply)
            -> c_int;
    blockjob_monitor_execute_async:
        fn(*mut RawMonitor, *const c_char, *const c_char, u32, c_int, ReplyFn, *mut c_void, FreeFn)
            -> i64;
    blockjob_reply_unref: fn(*mut RawReply) -> ();
    blockjob_reply_get_result: fn(*const RawReply) -> c_int;
    blockjob_reply_get_number: fn(*const RawReply) -> i64;
    blockjob_reply_get_json: fn(*const RawReply) -> *const c_char;
    blockjob_reply_get_error_class: fn(*const RawReply) -> *const c_char;
    blockjob_reply_get_error_text: fn(*const RawReply) -> *const c_char;
    blockjob_event_has: fn(*const RawEvent, c_int) -> c_int;
}

fn functions() -> &'static Functions {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    FUNCTIONS.get_or_init(|| Functions::find(loaded()))
}

fn loaded() -> &'static libloading::Library {
    static LOADED: OnceLock<libloading::Library> = OnceLock::new();
    LOADED.get_or_init(|| {
        let path = library::path();
        // SAFETY: it is our own library, and loading it runs no code of its own.
        let loaded = unsafe { libloading::Library::new(&path) };
        loaded.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    })
}

// Behind the macro that it uses.
#[allow(dead_code, reason = "the stories are short; the soak is not")]
pub mod lifetimes;

/// All monitors of one test, and the thread that tells their events.
pub struct Listener {
    raw: *mut RawListener,
}

impl Listener {
    pub fn new() -> Self {
        let mut raw = ptr::null_mut();
        succeeded(call!(blockjob_listener_new(&raw mut raw)), "blockjob_listener_new");
        Self { raw }
    }

    /// The name that the ids of our jobs begin with.
    pub fn set_owner(&self, owner: &str) {
        let owner = text(owner);
        let result = call!(blockjob_listener_set_owner(self.raw, owner.as_ptr()));
        succeeded(result, "blockjob_listener_set_owner");
    }

    /// The monitor behind a socket, not yet connected.
    pub fn monitor(&self, name: &str, socket: &Path) -> Monitor {
        let path = socket.to_str().expect("a temporary directory has an ASCII name");
        self.monitor_at(name, &format!("unix:{path}"))
    }

    /// The same by its address.
    pub fn monitor_at(&self, name: &str, address: &str) -> Monitor {
        let (address, name) = (text(address), text(name));
        let mut raw = ptr::null_mut();
        let result = call!(blockjob_monitor_new(self.raw, address.as_ptr(), &raw mut raw));
        succeeded(result, "blockjob_monitor_new");
        let monitor = Monitor { raw };
        succeeded(
            call!(blockjob_monitor_set_name(monitor.raw, name.as_ptr())),
            "blockjob_monitor_set_name",
        );
        monitor
    }

    /// Everything that is told of one monitor, or of all. The receiver hangs up when the library
    /// frees the registration.
    pub fn events(&self, monitor: Option<&Monitor>) -> Receiver<Event> {
        self.receive(monitor, number::ALL)
    }

    /// The same, without a claim: ends are not acknowledged by it.
    pub fn observe(&self, monitor: Option<&Monitor>) -> Receiver<Event> {
        self.receive(monitor, number::ALL | number::OBSERVE)
    }

    /// Events of these kinds, of one monitor.
    pub fn events_of(&self, monitor: &Monitor, kinds: u32) -> Receiver<Event> {
        self.receive(Some(monitor), kinds)
    }

    fn receive(&self, monitor: Option<&Monitor>, kinds: u32) -> Receiver<Event> {
        let (sender, receiver) = mpsc::channel::<Event>();
        let id = call!(blockjob_callback_add(
            self.raw,
            monitor.map_or(ptr::null_mut(), |monitor| monitor.raw),
            ptr::null(),
            kinds,
            tell,
            Box::into_raw(Box::new(sender)).cast(),
            hang_up
        ));
        assert!(id > 0, "blockjob_callback_add gave {id}: {}", last_error());
        receiver
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let result = call!(blockjob_listener_free(self.raw));
        if !thread::panicking() {
            succeeded(result, "blockjob_listener_free");
        }
    }
}

pub struct Monitor {
    raw: *mut RawMonitor,
}

impl Monitor {
    pub fn connect(&self) {
        succeeded(self.try_connect(), "blockjob_monitor_connect");
    }

    /// The first attempt may fail; the library makes others.
    pub fn try_connect(&self) -> c_int {
        call!(blockjob_monitor_connect(self.raw, milliseconds(DEADLINE)))
    }

    /// Fails with this errno, and gives the library's words.
    pub fn fails_to_connect(&self, errno: c_int) -> String {
        let result = self.try_connect();
        let words = last_error();
        assert_eq!(result, -errno, "{words}");
        words
    }

    /// Who must hold the other end; -1: anybody.
    pub fn set_peer(&self, user: i64, process: i64) {
        let result = call!(blockjob_monitor_set_peer(self.raw, user, process));
        succeeded(result, "blockjob_monitor_set_peer");
    }

    pub fn set_connect_timeout(&self, limit: c_int) {
        let result = call!(blockjob_monitor_set_connect_timeout(self.raw, limit));
        succeeded(result, "blockjob_monitor_set_connect_timeout");
    }

    /// The pauses between attempts to connect again, in milliseconds: the first and the longest.
    pub fn set_reconnect(&self, first: c_int, longest: c_int) {
        let result = call!(blockjob_monitor_set_reconnect(self.raw, first, longest));
        succeeded(result, "blockjob_monitor_set_reconnect");
    }

    /// How many milliseconds without a connection make a job lost; -1: none do.
    pub fn set_lost_after(&self, limit: c_int) {
        let result = call!(blockjob_monitor_set_lost_after(self.raw, limit));
        succeeded(result, "blockjob_monitor_set_lost_after");
    }

    pub fn set_keepalive(&self, every: c_int, limit: c_int) {
        let result = call!(blockjob_monitor_set_keepalive(self.raw, every, limit));
        succeeded(result, "blockjob_monitor_set_keepalive");
    }

    /// Where QEMU keeps a journal of its events, and how far it is known.
    pub fn set_journal(&self, path: &Path, position: Option<&str>) {
        let path = text(path.to_str().expect("a temporary directory has an ASCII name"));
        let position = position.map(text);
        let position = position.as_ref().map_or(ptr::null(), |position| position.as_ptr());
        let result = call!(blockjob_monitor_set_journal(self.raw, path.as_ptr(), position));
        succeeded(result, "blockjob_monitor_set_journal");
    }

    /// A restarted QEMU is told by an object that is left in it.
    pub fn set_marker(&self) {
        succeeded(call!(blockjob_monitor_set_marker(self.raw, 1)), "blockjob_monitor_set_marker");
    }

    pub fn close(&self) {
        succeeded(call!(blockjob_monitor_close(self.raw)), "blockjob_monitor_close");
    }

    pub fn state(&self) -> c_int {
        call!(blockjob_monitor_get_state(self.raw))
    }

    /// One of the monitor's figures.
    pub fn stat(&self, which: c_int) -> i64 {
        let figure = call!(blockjob_monitor_get_stat(self.raw, which));
        assert!(figure >= 0, "there is no figure {which}: {}", last_error());
        figure
    }

    /// The version in QEMU's greeting: major, minor, micro.
    pub fn qemu_version(&self) -> [c_int; 3] {
        let [mut major, mut minor, mut micro] = [-1; 3];
        let result = call!(blockjob_monitor_get_qemu_version(
            self.raw,
            &raw mut major,
            &raw mut minor,
            &raw mut micro
        ));
        succeeded(result, "blockjob_monitor_get_qemu_version");
        [major, minor, micro]
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        call!(blockjob_monitor_unref(self.raw));
    }
}

unsafe extern "C" fn tell(event: *mut RawEvent, opaque: *mut c_void) {
    // SAFETY: `events` made it, and `hang_up` is not called before this has returned.
    let sender = unsafe { &*opaque.cast::<Sender<Event>>() };
    // A test that has seen enough no longer receives.
    let _ = sender.send(Event::copy(event));
}

unsafe extern "C" fn hang_up(opaque: *mut c_void) {
    // SAFETY: `events` gave it to the library, which calls this once and last.
    drop(unsafe { Box::from_raw(opaque.cast::<Sender<Event>>()) });
}

fn text(text: &str) -> CString {
    CString::new(text).expect("the tests write no NUL")
}

fn copied(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the library ends each text in NUL, and an event's texts outlive its callback.
    let text = unsafe { CStr::from_ptr(text) };
    Some(text.to_str().expect("the library's texts are UTF-8").to_owned())
}

fn last_error() -> String {
    copied(call!(blockjob_last_error())).expect("the last error is never NULL")
}

fn succeeded(result: c_int, function: &str) {
    assert!(result >= 0, "{function} gave {result}: {}", last_error());
}

fn milliseconds(limit: Duration) -> c_int {
    c_int::try_from(limit.as_millis()).expect("a deadline is short")
}
