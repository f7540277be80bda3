//! The shared object as a C program sees it, and no more: its functions by name, with handles
//! that free themselves and events that are copied inside the callback.
#![expect(unsafe_code, reason = "this is the C side of the boundary")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use crate::{DEADLINE, library};

/// The numbers of include/blockjob.h.
pub mod number {
    use std::ffi::c_int;

    pub const COMPLETED: c_int = 0x0001;
    pub const CANCELLED: c_int = 0x0002;
    pub const READY: c_int = 0x0008;
    pub const PENDING: c_int = 0x0010;
    pub const ERROR: c_int = 0x0020;
    pub const STATUS: c_int = 0x0040;
    pub const CONNECTED: c_int = 0x0080;
    pub const DISCONNECTED: c_int = 0x0100;
    pub const CLOSED: c_int = 0x0200;
    pub const ALL: u32 = 0x07fb;

    pub const OUTCOME_UNKNOWN: c_int = 0;
    pub const OUTCOME_SUCCEEDED: c_int = 1;
    pub const OUTCOME_FAILED: c_int = 2;
    pub const OUTCOME_CANCELLED: c_int = 3;

    pub const TYPE_STREAM: c_int = 1;
    pub const TYPE_COMMIT: c_int = 2;
    pub const TYPE_MIRROR: c_int = 3;
    pub const TYPE_BACKUP: c_int = 4;

    pub const STATE_CONNECTED: c_int = 3;
    pub const STATE_DISCONNECTED: c_int = 4;
    pub const STATE_CLOSED: c_int = 5;

    pub const MEMBER_LEN: c_int = 1;
    pub const MEMBER_OFFSET: c_int = 2;
    pub const MEMBER_SPEED: c_int = 3;
    pub const MEMBER_ERROR: c_int = 4;
    pub const MEMBER_TIMESTAMP: c_int = 5;
}

#[repr(C)]
struct RawListener {
    opaque: [u8; 0],
}

#[repr(C)]
struct RawMonitor {
    opaque: [u8; 0],
}

#[repr(C)]
struct RawEvent {
    opaque: [u8; 0],
}

type EventFn = unsafe extern "C" fn(*mut RawEvent, *mut c_void);
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
    blockjob_monitor_new: fn(*mut RawListener, *const c_char, *mut *mut RawMonitor) -> c_int;
    blockjob_monitor_unref: fn(*mut RawMonitor) -> ();
    blockjob_monitor_set_name: fn(*mut RawMonitor, *const c_char) -> c_int;
    blockjob_monitor_get_name: fn(*const RawMonitor) -> *const c_char;
    blockjob_monitor_connect: fn(*mut RawMonitor, c_int) -> c_int;
    blockjob_monitor_close: fn(*mut RawMonitor) -> c_int;
    blockjob_monitor_get_state: fn(*const RawMonitor) -> c_int;
    blockjob_monitor_get_qemu_version:
        fn(*const RawMonitor, *mut c_int, *mut c_int, *mut c_int) -> c_int;
    blockjob_callback_add:
        fn(*mut RawListener, *mut RawMonitor, *const c_char, u32, EventFn, *mut c_void, FreeFn)
            -> i64;
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
    blockjob_event_get_json: fn(*const RawEvent) -> *const c_char;
    blockjob_event_has: fn(*const RawEvent, c_int) -> c_int;
}

fn functions() -> &'static Functions {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        let path = library::path();
        // SAFETY: it is our own library, and loading it runs no code of its own.
        let loaded = unsafe { libloading::Library::new(&path) };
        let loaded = loaded.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Functions::find(Box::leak(Box::new(loaded)))
    })
}

/// Calls one function of the library.
macro_rules! call {
    ($name:ident($($argument:expr),*)) => {{
        let function = functions().$name;
        // SAFETY: each handle in this file is one that the library gave and that lives until the
        // drop of its owner; each text ends in NUL and lives until the call has returned.
        unsafe { function($($argument),*) }
    }};
}

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

    /// The monitor behind a socket, not yet connected.
    pub fn monitor(&self, name: &str, socket: &Path) -> Monitor {
        let path = socket.to_str().expect("a temporary directory has an ASCII name");
        let address = text(&format!("unix:{path}"));
        let name = text(name);
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
        let (sender, receiver) = mpsc::channel::<Event>();
        let id = call!(blockjob_callback_add(
            self.raw,
            monitor.map_or(ptr::null_mut(), |monitor| monitor.raw),
            ptr::null(),
            number::ALL,
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
        let timeout = c_int::try_from(DEADLINE.as_millis()).expect("a deadline is short");
        succeeded(call!(blockjob_monitor_connect(self.raw, timeout)), "blockjob_monitor_connect");
    }

    pub fn close(&self) {
        succeeded(call!(blockjob_monitor_close(self.raw)), "blockjob_monitor_close");
    }

    pub fn state(&self) -> c_int {
        call!(blockjob_monitor_get_state(self.raw))
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

/// What each getter gave for one event, while its callback ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub kind: c_int,
    pub name: String,
    pub monitor: String,
    pub job_id: Option<String>,
    pub outcome: c_int,
    pub job_type: c_int,
    pub type_name: Option<String>,
    pub len: i64,
    pub offset: i64,
    pub speed: i64,
    pub error: Option<String>,
    /// Seconds and microseconds.
    pub timestamp: Option<(i64, i64)>,
    pub status: c_int,
    pub status_name: Option<String>,
    pub action: Option<String>,
    pub operation: Option<String>,
    pub reason: Option<String>,
    pub json: Option<String>,
    /// The members for which `blockjob_event_has` says 1.
    pub members: Vec<c_int>,
}

impl Event {
    fn copy(raw: *const RawEvent) -> Self {
        let monitor = call!(blockjob_event_get_monitor(raw));
        let [mut seconds, mut microseconds] = [-1; 2];
        let timed =
            call!(blockjob_event_get_timestamp(raw, &raw mut seconds, &raw mut microseconds));
        let members = number::MEMBER_LEN..=number::MEMBER_TIMESTAMP;
        Self {
            kind: call!(blockjob_event_get_kind(raw)),
            name: copied(call!(blockjob_event_get_name(raw))).expect("each event has a name"),
            monitor: copied(call!(blockjob_monitor_get_name(monitor)))
                .expect("each monitor has a name"),
            job_id: copied(call!(blockjob_event_get_job_id(raw))),
            outcome: call!(blockjob_event_get_outcome(raw)),
            job_type: call!(blockjob_event_get_type(raw)),
            type_name: copied(call!(blockjob_event_get_type_name(raw))),
            len: call!(blockjob_event_get_len(raw)),
            offset: call!(blockjob_event_get_offset(raw)),
            speed: call!(blockjob_event_get_speed(raw)),
            error: copied(call!(blockjob_event_get_error(raw))),
            timestamp: (timed == 0).then_some((seconds, microseconds)),
            status: call!(blockjob_event_get_status(raw)),
            status_name: copied(call!(blockjob_event_get_status_name(raw))),
            action: copied(call!(blockjob_event_get_action(raw))),
            operation: copied(call!(blockjob_event_get_operation(raw))),
            reason: copied(call!(blockjob_event_get_reason(raw))),
            json: copied(call!(blockjob_event_get_json(raw))),
            members: members
                .filter(|&member| call!(blockjob_event_has(raw, member)) == 1)
                .collect(),
        }
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
