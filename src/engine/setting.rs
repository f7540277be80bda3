//! What may be set of a monitor before it starts. Part of [`Monitor`].

#![forbid(unsafe_code)]

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    approach::Peer,
    monitor::{Inner, Monitor, c_text, closed},
};
use crate::{
    model::{Code, Error, Place, Settings, State},
    qmp::position::Bookmark,
};

impl Monitor {
    pub fn set_name(&self, name: &str) -> Result<(), Error> {
        let for_c = c_text(name)?;
        self.set(|inner| inner.name = Some(for_c))
    }

    pub fn set_connect_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.set(|inner| inner.settings_mut().connect_timeout = timeout)
    }

    pub fn set_line_limit(&self, bytes: usize) -> Result<(), Error> {
        self.set(|inner| inner.settings_mut().line_limit = bytes)
    }

    /// The first pause between attempts to connect, and the longest; `None`: none is made.
    pub fn set_reconnect(&self, pauses: Option<(Duration, Duration)>) -> Result<(), Error> {
        self.set(|inner| inner.settings_mut().reconnect = pauses)
    }

    pub fn set_lost_after(&self, limit: Option<Duration>) -> Result<(), Error> {
        self.set(|inner| inner.settings_mut().lost_after = limit)
    }

    /// How often QEMU is asked whether it answers, and how long that may take.
    pub fn set_keepalive(&self, keepalive: Option<(Duration, Duration)>) -> Result<(), Error> {
        self.set(|inner| inner.settings_mut().keepalive = keepalive)
    }

    /// Who must hold the other end of a connection.
    pub fn set_peer(&self, peer: Peer) -> Result<(), Error> {
        if matches!(self.address().place, Place::Tcp(..)) {
            let text = "nobody can tell who holds the other end of tcp";
            return Err(Error::new(Code::NotSupported, text));
        }
        self.set(|inner| inner.peer = peer)
    }

    /// How often the progress of running jobs is told.
    pub fn set_progress(&self, every: Option<Duration>) -> Result<(), Error> {
        self.set(|inner| inner.settings_mut().progress = every)
    }

    pub fn set_marker(&self, on: bool) -> Result<(), Error> {
        self.set(|inner| inner.settings_mut().marker = on)
    }

    pub fn set_oob(&self, on: bool) -> Result<(), Error> {
        self.set(|inner| inner.settings_mut().oob = on)
    }

    pub fn set_job_limit(&self, jobs: usize) -> Result<(), Error> {
        self.set(|inner| inner.settings_mut().job_limit = jobs)
    }

    /// The file of QEMU's journal, and how far it was taken note of before.
    pub fn set_journal(&self, path: &str, position: Option<&str>) -> Result<(), Error> {
        if let Some(position) = position.filter(|text| Bookmark::parse(text).is_none()) {
            let text = format!("position is {position:?}, which this library never gave out");
            return Err(Error::new(Code::Invalid, text));
        }
        self.set(|inner| {
            let settings = inner.settings_mut();
            settings.journal = true;
            settings.journal_position = position.map(str::to_owned);
            inner.journal = Some(Path::new(path).into());
        })
    }

    /// Changes a setting, which only a monitor that was never started takes.
    fn set(&self, change: impl FnOnce(&mut Inner)) -> Result<(), Error> {
        self.mailbox.check()?;
        let mut inner = self.inner.lock();
        match inner.state {
            State::New if !inner.settled => change(&mut inner),
            State::Closed => return Err(closed()),
            _ => {
                let text = "it was started or has a job; set this before";
                return Err(Error::new(Code::Busy, text));
            }
        }
        Ok(())
    }
}

impl Inner {
    /// To be changed, and from then on this monitor's own.
    fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}
