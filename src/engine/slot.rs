//! What the reader has of a monitor: its connection, and the process behind the last one.

#![forbid(unsafe_code)]

use std::{net::SocketAddr, os::fd::AsRawFd as _, sync::Arc};

use mio::{Interest, Registry, Token, unix::SourceFd};

use super::{
    approach::Approach,
    door::Door,
    monitor::Monitor,
    process::{self, Found, Watched},
    stream::Stream,
};
use crate::model::{Identity, MonitorId};

/// A monitor that the reader knows.
pub struct Slot {
    pub monitor: Arc<Monitor>,
    pub stream: Option<Stream>,
    /// While a connection is sought.
    pub(super) approach: Approach,
    /// Counts the attempts to connect.
    pub(super) attempt: u64,
    /// Where QEMU dials, from the first attempt on.
    pub(super) door: Option<Box<Door>>,
    /// The address of the host that has not answered in the attempt before.
    pub(super) last_silent: Option<Box<SocketAddr>>,
    /// Stands among those that may have more to read.
    pub queued: bool,
    /// Who held the other end of the last connection; `None` once it is known to have ended.
    pub(super) process: Option<Identity>,
    /// While there is no connection: its end is waited for.
    pub(super) watched: Option<Watched>,
}

/// Of what the kernel says that it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Bell,
    Connection(MonitorId),
    Process(MonitorId),
    Door(MonitorId),
}

impl Slot {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        Self {
            monitor,
            stream: None,
            approach: Approach::None,
            attempt: 0,
            door: None,
            last_silent: None,
            queued: false,
            process: None,
            watched: None,
        }
    }

    /// Closes the connection, and waits for the end of the process from now on. True when that has
    /// come already.
    pub fn disconnect(&mut self, registry: &Registry) -> bool {
        self.stream = None;
        self.give_up();
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
    /// Numbers of monitors begin at 1 and have four tokens each, so those below are nobody's.
    pub fn token(self) -> Token {
        let number = |id: MonitorId| usize::try_from(id.0).expect("so many do not fit in memory");
        Token(match self {
            Self::Bell => 0,
            Self::Connection(id) => number(id) * 4,
            Self::Process(id) => number(id) * 4 + 1,
            Self::Door(id) => number(id) * 4 + 2,
        })
    }

    pub fn of(token: Token) -> Self {
        let id = MonitorId(token.0 as u64 / 4);
        match (token.0, token.0 % 4) {
            (0, _) => Self::Bell,
            (_, 0) => Self::Connection(id),
            (_, 1) => Self::Process(id),
            _ => Self::Door(id),
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
            .flat_map(|id| [Source::Connection(id), Source::Process(id), Source::Door(id)]);
        for source in sources.chain([Source::Bell]) {
            assert_eq!(Source::of(source.token()), source);
        }
    }
}
