//! The lines of the library's log.

use std::ffi::{c_char, c_int, c_void};
use std::sync::mpsc::{self, Receiver, Sender};

use super::{Listener, copied, functions, succeeded};

/// A line, and the name of the monitor that it is about.
pub struct Line {
    pub monitor: Option<String>,
    pub text: String,
}

impl Listener {
    /// The lines of this level and those that matter more, from now on.
    pub fn log(&self, level: c_int) -> Receiver<Line> {
        let (sender, receiver) = mpsc::channel::<Line>();
        let opaque = Box::into_raw(Box::new(sender)).cast();
        let result = call!(blockjob_listener_set_log(self.raw, level, keep, opaque, let_go));
        succeeded(result, "blockjob_listener_set_log");
        receiver
    }
}

unsafe extern "C" fn keep(
    _level: c_int,
    monitor: *const c_char,
    text: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: `log` made it, and `let_go` is not called before this has returned.
    let sender = unsafe { &*opaque.cast::<Sender<Line>>() };
    let text = copied(text).unwrap_or_default();
    // A test that has seen enough no longer receives.
    let _ = sender.send(Line { monitor: copied(monitor), text });
}

unsafe extern "C" fn let_go(opaque: *mut c_void) {
    // SAFETY: `log` gave it to the library, which calls this once and last.
    drop(unsafe { Box::from_raw(opaque.cast::<Sender<Line>>()) });
}
