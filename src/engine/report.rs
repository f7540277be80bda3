//! An event and the monitor that it came from: what a callback is given.

#![forbid(unsafe_code)]

use std::{
    ffi::CString,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use super::{ledger::Key, monitor::Monitor, reply::Reply};
use crate::model::{Code, Event, Kind, Now, Response, Word};

/// What happened at a monitor.
#[derive(Debug)]
pub struct Report {
    pub monitor: Arc<Monitor>,
    pub event: Content,
    /// When it was read, to be compared with registrations.
    pub tick: u64,
    /// Of a job's end, which is acknowledged only when nobody holds a report of it.
    pub key: Option<Key>,
    /// Of kind REPLY.
    pub reply: Option<Arc<Reply>>,
    /// The event as a line for people, once somebody has asked for it.
    pub line: OnceLock<CString>,
}

/// The event of a report. How a job ended is kept in the ledger as well.
#[derive(Debug)]
pub enum Content {
    Alone(Event),
    Shared(Arc<Event>),
}

impl Deref for Content {
    type Target = Event;

    fn deref(&self) -> &Event {
        match self {
            Self::Alone(event) => event,
            Self::Shared(event) => event,
        }
    }
}

impl Report {
    pub fn new(monitor: Arc<Monitor>, event: Event, tick: u64) -> Arc<Self> {
        let event = Content::Alone(event);
        Arc::new(Self { monitor, event, tick, key: None, reply: None, line: OnceLock::new() })
    }

    /// A job's end; the ledger has counted this report.
    pub fn of_end(monitor: Arc<Monitor>, event: Arc<Event>, tick: u64, key: Key) -> Arc<Self> {
        let (event, key, reply) = (Content::Shared(event), Some(key), None);
        Arc::new(Self { monitor, event, tick, key, reply, line: OnceLock::new() })
    }

    /// The reply to a command that nobody waited for.
    pub fn of_reply(monitor: Arc<Monitor>, response: Response, now: Now, tick: u64) -> Arc<Self> {
        let mut event = Event::new(Kind::Reply, "REPLY", Some(now.wall), 0);
        if let Some(text) = response.error().map(|error| error.text) {
            let refused = response.failure == Some(Code::Remote);
            event.set(if refused { Word::Error } else { Word::Reason }, &text);
        }
        let event = Content::Alone(event);
        let reply = Some(Arc::new(Reply { monitor: Arc::clone(&monitor), response }));
        Arc::new(Self { monitor, event, tick, key: None, reply, line: OnceLock::new() })
    }
}

impl Drop for Report {
    /// The last reference is gone. Takes the roster's lock: none is dropped while that is held.
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.monitor.roster().release(key);
        }
    }
}
