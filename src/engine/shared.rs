//! What the two threads and the callers share. It outlives the listener's handle as long as
//! somebody holds it.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::{
    life::Life,
    mailbox::Mailbox,
    monitor::{Monitor, Post},
    queue::Queue,
    roster::{Callback, Filter, Removed, Roster},
};
use crate::model::{Code, Error};

pub struct Shared {
    // These two are the monitors' as well.
    pub life: Arc<Life>,
    pub mailbox: Arc<Mailbox<Post>>,
    pub queue: Queue,
    pub roster: Roster,
}

impl Shared {
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            life: Arc::new(Life::new()?),
            mailbox: Arc::new(Mailbox::new()?),
            queue: Queue::default(),
            roster: Roster::default(),
        })
    }

    /// Ends delivery, and wakes every blocked call. Never waits.
    pub fn stop(&self) {
        self.roster.stop();
        self.mailbox.stop();
        self.queue.stop();
    }

    pub fn monitor(&self, address: &str) -> Result<Monitor, Error> {
        self.mailbox.check()?;
        Monitor::new(&self.life, &self.mailbox, address)
    }

    pub fn add_callback(
        &self,
        filter: Filter,
        monitor: Option<&Monitor>,
        callback: Callback,
    ) -> Result<i64, Error> {
        if let Some(monitor) = monitor.filter(|monitor| !monitor.posts_to(&self.mailbox)) {
            let error = Error::new(Code::Invalid, "it belongs to another listener");
            return Err(monitor.named(error));
        }
        self.roster.add(filter, monitor, callback)
    }

    pub fn remove_callback(&self, id: i64, wait: bool) -> Result<Removed, Error> {
        let _waiting = self.life.wait();
        self.roster.remove(id, wait)
    }
}
