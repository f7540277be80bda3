//! What the reader has of a monitor: its connection, and the process behind the last one.

#![forbid(unsafe_code)]

use std::{os::fd::AsRawFd as _, sync::Arc};

use mio::{Interest, Registry, Token, unix::SourceFd};

use super::{
    monitor::Monitor,
    process::{self, Found, Watched},
    stream::Stream,
};
use crate::model::{Counts, Error, Identity, MonitorId};

/// A monitor that the reader knows.
pub struct Slot {
    pub monitor: Arc<Monitor>,
    pub stream: Option<Stream>,
    /// Stands among those that may have more to read.
    pub queued: bool,
    /// Who held the other end of the last connection; `None` once it is known to have ended.
    process: Option<Identity>,
    /// While there is no connection: its end is waited for.
    watched: Option<Watched>,
    /// What the session had counted when it last said so.
    counted: Counts,
}

/// Of what the kernel says that it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Bell,
    Connection(MonitorId),
    Process(MonitorId),
}

impl Slot {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        Self {
            monitor,
            stream: None,
            queued: false,
            process: None,
            watched: None,
            counted: Counts::default(),
        }
    }

    /// The session has counted so much.
    pub fn count(&mut self, counts: &Counts) {
        self.monitor.statistics().take(&self.counted, counts);
        self.counted = *counts;
    }

    /// Connects, and says with whom where that can be known.
    pub fn connect(&mut self, registry: &Registry) -> Result<Option<Identity>, Error> {
        let token = Source::Connection(self.monitor.id()).token();
        let stream = Stream::connect(self.monitor.address(), registry, token)?;
        self.process = stream.peer();
        self.watched = None;
        self.stream = Some(stream);
        Ok(self.process)
    }

    /// Closes the connection, and waits for the end of the process from now on. True when that has
    /// come already.
    pub fn disconnect(&mut self, registry: &Registry) -> bool {
        self.stream = None;
        let Some(process) = self.process.filter(|_| self.watched.is_none()) else { return false };
        match process::watch(process) {
            Found::Gone => {
                self.process = None;
                true
            }
            Found::Lives(watched) => {
                let token = Source::Process(self.monitor.id()).token();
                let fd = watched.as_raw_fd();
                // What cannot be watched is done without: the time without a connection counts.
                let kept = registry.register(&mut SourceFd(&fd), token, Interest::READABLE);
                self.watched = kept.is_ok().then_some(watched);
                false
            }
            Found::Unknown => {
                // Asked once a connection, not once an attempt.
                self.process = None;
                false
            }
        }
    }

    /// The process that was watched has ended; false for a report that came too late.
    pub fn handle_process_end(&mut self) -> bool {
        let watched = self.watched.take().is_some();
        if watched {
            self.process = None;
        }
        watched
    }
}

impl Source {
    /// Numbers of monitors begin at 1 and have two tokens each, so 0 is nobody's.
    pub fn token(self) -> Token {
        let number = |id: MonitorId| usize::try_from(id.0).expect("so many do not fit in memory");
        Token(match self {
            Self::Bell => 0,
            Self::Connection(id) => number(id) * 2,
            Self::Process(id) => number(id) * 2 + 1,
        })
    }

    pub fn of(token: Token) -> Self {
        let id = MonitorId(token.0 as u64 / 2);
        match token.0 {
            0 => Self::Bell,
            even if even % 2 == 0 => Self::Connection(id),
            _ => Self::Process(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_a_token_of_its_own() {
        let sources = [1, 2, 3]
            .map(MonitorId)
            .into_iter()
            .flat_map(|id| [Source::Connection(id), Source::Process(id)]);
        for source in sources.chain([Source::Bell]) {
            assert_eq!(Source::of(source.token()), source);
        }
    }
}
