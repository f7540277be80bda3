//! What the program creates: two threads, and what they share.

#![forbid(unsafe_code)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
};

use super::{delivery, inside, lock::Mutex, reactor::Reactor, shared::Shared, thread};
use crate::model::{Code, Error};

/// Reads monitors and runs callbacks, on two threads of its own.
pub struct Listener {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Listener {
    pub fn new() -> Result<Self, Error> {
        let shared = Arc::new(Shared::new()?);
        let listener = Self { shared: Arc::clone(&shared), threads: Mutex::default() };
        listener.start().inspect_err(|_| listener.end())?;
        Ok(listener)
    }

    /// Refuses in a child of the process in which it was made.
    pub fn check_process(&self) -> Result<(), Error> {
        self.shared.life.check_process()
    }

    /// What outlives the handle. Take it first: another thread may free the handle meanwhile.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Stops, waits for the running callback and for blocked calls, and frees what was registered.
    pub fn free(&self) -> Result<(), Error> {
        if inside::is_inside() {
            let text = "the listener cannot be freed inside a callback or free function: stop it \
                        here, and free it elsewhere";
            return Err(Error::new(Code::Deadlock, text));
        }
        self.end();
        Ok(())
    }

    fn start(&self) -> Result<(), Error> {
        let reactor = Reactor::new(self.shared())?;
        let read = thread::spawn("blockjob-read", READER_STACK, move || reactor.run())?;
        self.threads.lock().push(read);
        let shared = self.shared();
        let call = thread::spawn("blockjob-call", CALLER_STACK, move || {
            // A fault of our own, never the program's: its callbacks cannot unwind into this.
            if catch_unwind(AssertUnwindSafe(|| delivery::run(&shared))).is_err() {
                shared.stop();
            }
        })?;
        self.threads.lock().push(call);
        Ok(())
    }

    fn end(&self) {
        self.shared.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A thread that panicked has ended as well.
            let _ = thread.join();
        }
        self.shared.life.wait_for_quiet();
        self.shared.roster.clear();
        self.shared.log.clear();
    }
}

/// Nothing of the program runs here, and nothing recurses.
const READER_STACK: usize = 256 << 10;
/// The program's code runs here.
const CALLER_STACK: usize = 2 << 20;
