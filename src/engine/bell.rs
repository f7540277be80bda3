//! The bell of a program that delivers by itself: a descriptor that its loop watches, readable
//! while something waits and nobody is at it, and for good once the listener was stopped. The
//! queue owns it, under its lock.

#![forbid(unsafe_code)]

use std::os::fd::{AsRawFd as _, RawFd};

use super::{inside, wake::Wake};
use crate::model::{Code, Error};

#[derive(Debug, Default)]
pub struct Bell {
    wake: Option<Wake>,
    /// The thread that delivers.
    attendant: Option<usize>,
}

impl Bell {
    /// Makes the descriptor, which stays as long as the queue.
    pub fn hang(&mut self) -> Result<RawFd, Error> {
        let wake = match self.wake.take() {
            Some(wake) => wake,
            None => Wake::new()?,
        };
        Ok(self.wake.insert(wake).as_raw_fd())
    }

    /// Something has come. It rings each time, since the program may have read the descriptor; but
    /// not while somebody is at it, or a loop that runs inside a callback would spin.
    pub fn ring(&self) {
        if self.attendant.is_none() {
            self.toll();
        }
    }

    /// Rings whoever is at it.
    pub fn toll(&self) {
        if let Some(wake) = &self.wake {
            wake.ring();
        }
    }

    /// This thread begins to deliver.
    pub fn begin(&mut self) -> Result<(), Error> {
        let here = inside::thread_mark();
        match self.attendant {
            None => self.attendant = Some(here),
            Some(thread) if thread == here => {
                let text = "this thread is delivering an event of this listener already; it would \
                            wait for itself";
                return Err(Error::new(Code::Deadlock, text));
            }
            Some(_) => {
                let text = "another thread takes this listener's events now; one at a time may";
                return Err(Error::new(Code::Busy, text));
            }
        }
        if let Some(wake) = &self.wake {
            wake.clear();
        }
        Ok(())
    }

    /// It has ended. Something may be left.
    pub fn end(&mut self, is_left: bool) {
        self.attendant = None;
        if is_left {
            self.ring();
        }
    }
}
