//! What a listener shares with all its handles, which may outlive it: in which process it was made,
//! and how many calls wait, which must end before it does.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::{
    fork::Birth,
    lock::{Condvar, Mutex},
};
use crate::model::{Error, MonitorId};

#[derive(Debug)]
pub struct Life {
    birth: Birth,
    monitors: AtomicU64,
    waiting: Mutex<usize>,
    /// Nobody waits any more.
    quiet: Condvar,
}

/// A call that may wait, as long as it lasts.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Life);

impl Life {
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            birth: Birth::here()?,
            monitors: AtomicU64::new(0),
            waiting: Mutex::default(),
            quiet: Condvar::default(),
        })
    }

    /// Refuses in a child of the process in which the listener was made.
    pub fn check_process(&self) -> Result<(), Error> {
        self.birth.check()
    }

    pub fn next_monitor(&self) -> MonitorId {
        MonitorId(self.monitors.fetch_add(1, SeqCst) + 1)
    }

    pub fn wait(&self) -> Waiting<'_> {
        *self.waiting.lock() += 1;
        Waiting(self)
    }

    /// Returns when no call waits; the listener was stopped, so that each ends.
    pub fn wait_for_quiet(&self) {
        drop(self.quiet.wait_while(self.waiting.lock(), |waiting| *waiting > 0));
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *self.0.waiting.lock() -= 1;
        self.0.quiet.notify_all();
    }
}
