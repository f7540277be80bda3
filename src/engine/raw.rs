//! Which events of QEMU's are wanted as they are. Most are not, and cost the reader a look at a
//! number.

#![forbid(unsafe_code)]

use super::{
    lock::atomic::{AtomicU64, Ordering::SeqCst},
    roster::{Entry, Filter, Roster},
};
use crate::{
    model::{Error, Kind, Kinds, MonitorId},
    qmp::{command::check_name, decode::Names},
};

/// Counts the changes of what is wanted.
#[derive(Debug, Default)]
pub struct Raw(AtomicU64);

impl Raw {
    /// A registration comes, or goes.
    pub fn note(&self, filter: &Filter) {
        if filter.kinds.contains(Kind::Raw) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// When this is another number than before, `raw_names` may say something else. Asked after
    /// each read, so that who registered before it is seen; without a lock.
    pub fn changes(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

impl Filter {
    /// For events as they are: those of this name, or all.
    pub fn raw(monitor: Option<MonitorId>, name: Option<&str>) -> Result<Self, Error> {
        name.map_or(Ok(()), check_name)?;
        let (name, kinds) = (name.map(str::to_owned), Kinds::only(Kind::Raw));
        Ok(Self { monitor, job: None, kinds, name, observes: true })
    }
}

impl Roster {
    /// The events that somebody wants as they are, of any monitor.
    pub fn raw_names(&self) -> Names {
        let mut names = Names::default();
        let inner = self.inner.lock();
        let raw = |entry: &&Entry| !entry.leaving && entry.filter.kinds.contains(Kind::Raw);
        for entry in inner.entries.values().filter(raw) {
            match &entry.filter.name {
                Some(name) => drop(names.names.insert(name.clone())),
                None => names.all = true,
            }
        }
        names
    }
}
