//! Starting a thread inside somebody else's process: it takes none of its signals.

#![allow(unsafe_code)]

use std::{io, mem::MaybeUninit, ptr};

pub use super::lock::thread::JoinHandle;
use super::lock::{self, Mutex, thread::Builder};
use crate::model::{Code, Error};

/// Starts a thread in which all signals are blocked but those that a fault of its own raises.
pub fn spawn(
    name: &str,
    stack: usize,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let before = Mask::block_all();
    // The new thread inherits the mask; the caller's is restored when `before` is dropped.
    let thread = Builder::new().name(name.to_owned()).stack_size(stack).spawn(body);
    drop(before);
    thread.map_err(|error: io::Error| {
        Error::new(Code::NoThread, format!("cannot start the thread {name}: {error}"))
    })
}

/// Threads that come and go, until somebody waits for the last of them.
#[derive(Debug, Default)]
pub struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    pub fn keep(&self, thread: JoinHandle<()>) {
        let mut threads = self.0.lock();
        threads.retain(|thread| !lock::is_finished(thread));
        threads.push(thread);
    }

    /// Waits until all have ended. Each catches its panics.
    pub fn join(&self) {
        let threads = std::mem::take(&mut *self.0.lock());
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// The calling thread's former signal mask; put back on drop.
struct Mask(libc::sigset_t);

impl Mask {
    fn block_all() -> Self {
        let mut set = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: sigfillset initialises the whole set.
        unsafe { libc::sigfillset(set.as_mut_ptr()) };
        for signal in FAULTS {
            // SAFETY: the set was initialised above.
            unsafe { libc::sigdelset(set.as_mut_ptr(), signal) };
        }
        // SAFETY: `set` is initialised; with a valid `how` the call cannot fail.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: pthread_sigmask has written it.
        Self(unsafe { before.assume_init() })
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        // SAFETY: the set is the one that the kernel gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// Raised by the thread's own instructions; blocked, they would kill without the program's handler.
const FAULTS: [libc::c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
];
