//! The registrations, in the order in which they came, and an index by monitor and job: an event
//! meets those that may want it, however many others there are. Part of `roster`.

#![forbid(unsafe_code)]

use std::{collections::BTreeMap, ops::Deref};

use super::{
    report::Report,
    roster::{Entry, Filter},
};
use crate::model::{Event, MonitorId, Word};

#[derive(Default)]
pub struct Entries {
    /// By their ids.
    all: BTreeMap<i64, Entry>,
    /// By the monitor that they are for; `None`: those for every one.
    index: BTreeMap<Option<MonitorId>, Group>,
}

/// The registrations for one monitor, or for every one.
#[derive(Default)]
struct Group {
    any_job: Ids,
    /// By the id of the job, as bytes.
    by_job: BTreeMap<Vec<u8>, Ids>,
}

/// In their order.
#[derive(Default)]
struct Ids(Vec<i64>);

impl Ids {
    /// Ids are given in their order, so as a rule this is the last.
    fn insert(&mut self, id: i64) {
        let at = self.0.partition_point(|known| *known < id);
        self.0.insert(at, id);
    }

    fn remove(&mut self, id: i64) {
        if let Ok(at) = self.0.binary_search(&id) {
            self.0.remove(at);
        }
    }

    fn behind(&self, after: i64) -> &[i64] {
        &self.0[self.0.partition_point(|id| *id <= after)..]
    }
}

impl Entries {
    pub fn insert(&mut self, id: i64, entry: Entry) {
        let Filter { monitor, job, .. } = &entry.filter;
        let group = self.index.entry(*monitor).or_default();
        match job {
            Some(job) => group.by_job.entry(job.clone().into()).or_default().insert(id),
            None => group.any_job.insert(id),
        }
        self.all.insert(id, entry);
    }

    pub fn remove(&mut self, id: i64) -> Option<Entry> {
        let entry = self.all.remove(&id)?;
        let Filter { monitor, job, .. } = &entry.filter;
        let group = self.index.get_mut(monitor)?;
        if let Some(job) = job {
            let ids = group.by_job.get_mut(job.as_bytes())?;
            ids.remove(id);
            if ids.0.is_empty() {
                group.by_job.remove(job.as_bytes());
            }
        } else {
            group.any_job.remove(id);
        }
        if group.any_job.0.is_empty() && group.by_job.is_empty() {
            self.index.remove(monitor);
        }
        Some(entry)
    }

    /// The first one behind `after` that this holds for, of those whose monitor and job an event is
    /// of.
    pub fn next(
        &self,
        after: i64,
        event: &Event,
        from: MonitorId,
        holds: impl Fn(&Entry) -> bool,
    ) -> Option<(i64, &Entry)> {
        let mut next: Option<i64> = None;
        let mut note = |ids: &Ids| {
            let first = ids.behind(after).iter().find(|id| holds(&self.all[*id])).copied();
            next = next.zip(first).map(|(next, first)| next.min(first)).or(next).or(first);
        };
        for group in [None, Some(from)].iter().filter_map(|monitor| self.index.get(monitor)) {
            note(&group.any_job);
            if group.by_job.is_empty() {
                continue;
            }
            match event.bytes(Word::JobId) {
                Some(job) => group.by_job.get(job).into_iter().for_each(&mut note),
                // What is of no job passes any.
                None => group.by_job.values().for_each(&mut note),
            }
        }
        next.map(|id| (id, &self.all[&id]))
    }
}

/// By their ids, whomever they are for.
impl Deref for Entries {
    type Target = BTreeMap<i64, Entry>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl Entries {
    /// To change how it stands, and not whom it is for.
    pub fn get_mut(&mut self, id: i64) -> Option<&mut Entry> {
        self.all.get_mut(&id)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (i64, &mut Entry)> {
        self.all.iter_mut().map(|(id, entry)| (*id, entry))
    }
}

impl Entry {
    pub(super) fn wants(&self, report: &Report, is_kept: bool) -> bool {
        !self.leaving
            && (self.since <= report.tick || (is_kept && self.known != report.key))
            && self.filter.passes(&report.event, report.monitor.id())
    }
}

impl Filter {
    pub(super) fn passes(&self, event: &Event, from: MonitorId) -> bool {
        self.kinds.contains(event.kind)
            && self.monitor.is_none_or(|monitor| monitor == from)
            && self.name.as_deref().is_none_or(|name| event.text(Word::Name) == Some(name))
            && self.job.as_ref().is_none_or(|wanted| {
                event.bytes(Word::JobId).is_none_or(|job| job == wanted.as_bytes())
            })
    }
}
