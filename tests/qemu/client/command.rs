//! Commands of the program's own, and events by their names.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;
use std::sync::mpsc::{self, Receiver, Sender};

use serde_json::Value;

use super::{Event, Listener, Monitor, RawReply, copied, functions, hang_up, last_error};
use super::{milliseconds, succeeded, tell, text};
use crate::DEADLINE;

/// A reply, copied out of what the library gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub result: c_int,
    pub number: i64,
    pub json: Option<Value>,
    pub class: Option<String>,
    pub text: Option<String>,
}

impl Monitor {
    pub fn set_oob(&self) {
        succeeded(call!(blockjob_monitor_set_oob(self.raw, 1)), "blockjob_monitor_set_oob");
    }

    /// What QEMU returned.
    pub fn execute(&self, command: &str, arguments: &Value) -> Value {
        let reply = self.reply(command, arguments, 0);
        assert_eq!(reply.result, 0, "{command} {arguments}: {reply:?}");
        reply.json.expect("a reply has what it returned")
    }

    /// The reply, which may be that QEMU refused.
    pub fn reply(&self, command: &str, arguments: &Value, flags: u32) -> Reply {
        let [name, json] = [text(command), text(&arguments.to_string())];
        let limit = milliseconds(DEADLINE);
        let mut raw = ptr::null_mut();
        let (name, json) = (name.as_ptr(), json.as_ptr());
        let result =
            call!(blockjob_monitor_execute(self.raw, name, json, flags, limit, &raw mut raw));
        take(result, raw)
    }

    /// The errno for arguments that the library does not send.
    pub fn refuses_json(&self, command: &str, json: &str) -> c_int {
        let [name, json] = [text(command), text(json)];
        let (name, json, limit) = (name.as_ptr(), json.as_ptr(), milliseconds(DEADLINE));
        call!(blockjob_monitor_execute(self.raw, name, json, 0, limit, ptr::null_mut()))
    }

    pub fn reply_with(&self, command: &str, arguments: &Value, fd: BorrowedFd<'_>) -> Reply {
        let [name, json] = [text(command), text(&arguments.to_string())];
        let limit = milliseconds(DEADLINE);
        let (fd, mut raw) = (fd.as_raw_fd(), ptr::null_mut());
        let (name, json) = (name.as_ptr(), json.as_ptr());
        let result = call!(blockjob_monitor_execute_with_fd(
            self.raw,
            name,
            json,
            fd,
            0,
            limit,
            &raw mut raw
        ));
        take(result, raw)
    }

    /// Sends it; the reply goes to whom the sender belongs. Returns the command's number.
    pub fn submit(&self, command: &str, arguments: &Value, replies: &Sender<Reply>) -> i64 {
        let [name, json] = [text(command), text(&arguments.to_string())];
        let number = call!(blockjob_monitor_execute_async(
            self.raw,
            name.as_ptr(),
            json.as_ptr(),
            0,
            milliseconds(DEADLINE),
            answer,
            Box::into_raw(Box::new(replies.clone())).cast(),
            forget
        ));
        assert!(number > 0, "{command} was not sent: {number}: {}", last_error());
        number
    }
}

impl Listener {
    /// QEMU's events of this name as they are; of every name and monitor without one.
    pub fn raw(&self, monitor: Option<&Monitor>, name: Option<&str>) -> Receiver<Event> {
        let name = name.map(text);
        let (sender, receiver) = mpsc::channel::<Event>();
        let id = call!(blockjob_callback_add_raw(
            self.raw,
            monitor.map_or(ptr::null_mut(), |monitor| monitor.raw),
            name.as_ref().map_or(ptr::null(), |name| name.as_ptr()),
            tell,
            Box::into_raw(Box::new(sender)).cast(),
            hang_up
        ));
        assert!(id > 0, "blockjob_callback_add_raw gave {id}: {}", last_error());
        receiver
    }
}

/// The reply that a call gave out, which it does when QEMU refuses as well.
fn take(result: c_int, raw: *mut RawReply) -> Reply {
    assert!(!raw.is_null(), "no reply, but {result}: {}", last_error());
    let reply = copy(raw);
    assert_eq!(reply.result, result);
    if result < 0 {
        assert_eq!(copied(call!(blockjob_last_error_class())), reply.class);
    }
    call!(blockjob_reply_unref(raw));
    reply
}

fn copy(raw: *const RawReply) -> Reply {
    let json = copied(call!(blockjob_reply_get_json(raw)));
    Reply {
        result: call!(blockjob_reply_get_result(raw)),
        number: call!(blockjob_reply_get_number(raw)),
        json: json.map(|json| serde_json::from_str(&json).expect("QEMU says JSON")),
        class: copied(call!(blockjob_reply_get_error_class(raw))),
        text: copied(call!(blockjob_reply_get_error_text(raw))),
    }
}

unsafe extern "C" fn answer(reply: *mut RawReply, opaque: *mut c_void) {
    // SAFETY: `submit` made it, and `forget` is not called before this has returned.
    let sender = unsafe { &*opaque.cast::<Sender<Reply>>() };
    // A test that has seen enough no longer receives.
    let _ = sender.send(copy(reply));
}

unsafe extern "C" fn forget(opaque: *mut c_void) {
    // SAFETY: `submit` gave it to the library, which calls this once and last.
    drop(unsafe { Box::from_raw(opaque.cast::<Sender<Reply>>()) });
}
