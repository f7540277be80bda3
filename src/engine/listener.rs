//! What the program creates: the reader's thread, and what it shares with delivery.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::{
    inside,
    lock::Mutex,
    reactor::Reactor,
    shared::Shared,
    thread::{self, JoinHandle},
};
use crate::model::{Code, Error};

/// Reads monitors, and runs callbacks or hands out events.
pub struct Listener {
    shared: Arc<Shared>,
    reader: Mutex<Option<JoinHandle<()>>>,
}

impl Listener {
    pub fn new() -> Result<Self, Error> {
        let shared = Arc::new(Shared::new()?);
        let reactor = Reactor::new(Arc::clone(&shared))?;
        let reader = thread::spawn("blockjob-read", READER_STACK, move || reactor.run())?;
        Ok(Self { shared, reader: Mutex::new(Some(reader)) })
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

    fn end(&self) {
        self.shared.stop();
        let reader = self.reader.lock().take();
        // A thread that panicked has ended as well.
        let _ = reader.map(JoinHandle::join);
        self.shared.delivery.join();
        self.shared.life.wait_for_quiet();
        self.shared.roster.clear();
        self.shared.log.clear();
    }
}

/// Nothing of the program runs here, and nothing recurses.
const READER_STACK: usize = 256 << 10;
