//! The wire and the log on standard error, for bug reports: `BLOCKJOB_DEBUG=1`. It is the reader
//! that writes, so that what is shown goes on while the program's callback hangs. A line is one
//! write, and is left out when standard error would not take it at once: the reader never waits.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, c_char},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::model::{
    Level, Timestamp,
    readable::{Bare, Plain},
};

unsafe extern "C" {
    /// Of glibc and musl; the crate libc does not name it.
    fn secure_getenv(name: *const c_char) -> *const c_char;
}

/// Does the environment ask for it? A program with more rights than its caller does not hear it.
pub fn is_wanted() -> bool {
    // SAFETY: the name ends in NUL. As with every look at the environment of a process, the program
    // must not change it at the same time.
    let value = unsafe { secure_getenv(VARIABLE.as_ptr()) };
    if value.is_null() {
        return false;
    }
    // SAFETY: it is a string of the environment, which is read at once.
    let value = unsafe { CStr::from_ptr(value) };
    !matches!(value.to_bytes(), b"" | b"0")
}

pub fn print(name: &str, level: Level, text: &str, at: Timestamp) {
    // Lines that were left out since the last one that was not.
    static MISSING: AtomicU64 = AtomicU64::new(0);
    let missing = MISSING.swap(0, Relaxed);
    let gap = if missing > 0 { format!("({missing} lines are missing) ") } else { String::new() };
    let time = at.rfc_3339().unwrap_or_default();
    let name: String = name.chars().take(NAME_SHOWN).collect();
    let level = if level == Level::Debug { String::new() } else { format!("{}: ", level.word()) };
    let text = Plain(text);
    let mut line = format!("blockjob {time} {} {gap}{level}{text}", Bare(&name));
    let mut end = line.len().min(LINE_MAX - 1);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line.push('\n');
    if !write(line.as_bytes()) {
        MISSING.fetch_add(missing + 1, Relaxed);
    }
}

/// A pipe that can be written to takes as many bytes as `LINE_MAX`, whole and at once.
fn write(line: &[u8]) -> bool {
    let mut place = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: it is one place, which is ours; without time it does not wait.
    let ready = unsafe { libc::poll(&raw mut place, 1, 0) };
    if ready != 1 || place.revents & libc::POLLOUT == 0 {
        return false;
    }
    // SAFETY: the bytes are ours and are read only. The thread that calls this has SIGPIPE blocked.
    let written = unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    usize::try_from(written) == Ok(line.len())
}

const VARIABLE: &CStr = c"BLOCKJOB_DEBUG";
/// What Linux calls `PIPE_BUF`.
const LINE_MAX: usize = 4096;
const NAME_SHOWN: usize = 100;
