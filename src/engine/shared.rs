//! What the two threads and the callers share. It outlives the listener's handle as long as
//! somebody holds it.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::{
    delivery::Delivery,
    life::Life,
    log::{Line, Log, Sink},
    mailbox::Mailbox,
    monitor::{Monitor, Post},
    queue::Queue,
    roster::{Callback, Filter, Removed, Roster},
};
use crate::model::{Address, Code, Error, Level, Timestamp};

pub struct Shared {
    // These three are the monitors' as well.
    pub life: Arc<Life>,
    pub mailbox: Arc<Mailbox<Post>>,
    pub roster: Arc<Roster>,
    pub queue: Queue,
    pub delivery: Delivery,
    pub log: Log,
}

impl Shared {
    pub fn new() -> Result<Self, Error> {
        let mailbox = Arc::new(Mailbox::new()?);
        Ok(Self {
            life: Arc::new(Life::new()?),
            roster: Arc::new(Roster::new(Arc::clone(&mailbox))),
            mailbox,
            queue: Queue::default(),
            delivery: Delivery::default(),
            log: Log::new(),
        })
    }

    /// Ends delivery, and wakes every blocked call. Never waits.
    pub fn stop(&self) {
        self.roster.stop();
        self.log.stop();
        self.mailbox.stop();
        self.queue.stop();
    }

    /// Delivery has failed by a fault of our own, on this thread. What it had in hand may be lost,
    /// so that nothing could be promised of what follows: the listener is stopped.
    pub fn fail(&self) {
        self.stop();
        self.roster.break_off();
        self.log.break_off();
    }

    /// A monitor whose events will be delivered.
    pub fn new_monitor(self: &Arc<Self>, address: &str) -> Result<Arc<Monitor>, Error> {
        self.mailbox.check()?;
        Address::parse(address)?;
        self.delivery.start(self)?;
        // Last, for a descriptor is taken over.
        Ok(Arc::new(self.monitor(address)?))
    }

    /// A monitor whose events somebody delivers.
    pub fn monitor(&self, address: &str) -> Result<Monitor, Error> {
        Monitor::new(&self.life, &self.mailbox, &self.roster, address)
    }

    pub fn set_owner(&self, owner: &str) -> Result<(), Error> {
        self.mailbox.check()?;
        self.life.set_owner(owner)
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
        let (id, missed) = self.roster.add(filter, monitor, callback)?;
        if missed {
            self.queue.nudge();
        }
        Ok(id)
    }

    /// The program takes its events one after another.
    pub fn pulls(&self) -> bool {
        self.life.pulls()
    }

    /// The program's function for lines of the log up to this level.
    pub fn set_log(&self, level: Option<Level>, sink: Option<Sink>) -> Result<Removed, Error> {
        self.life.check_function("log_fn", sink.is_some())?;
        let _waiting = self.life.wait();
        self.log.set(level, sink, self.life.pulls())
    }

    /// Says something of a monitor, to whoever wants to hear it.
    pub fn say(&self, monitor: &Arc<Monitor>, level: Level, text: &str, at: Timestamp) {
        if self.log.wants(level) {
            self.queue.say(Line::new(monitor, level, text, at));
        } else {
            self.log.print(monitor, level, text, at);
        }
    }

    pub fn remove_callback(&self, id: i64, wait: bool) -> Result<Removed, Error> {
        let _waiting = self.life.wait();
        self.roster.remove(id, wait)
    }
}
