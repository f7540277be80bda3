//! A part of a monitor's line in the `queue`, oldest first.

#![forbid(unsafe_code)]

use std::{collections::VecDeque, sync::Arc};

use super::report::Report;
use crate::model::{Event, Word};

/// Reports of a kind that have a bound together, each with its place.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) reports: VecDeque<(u64, Arc<Report>)>,
    pub(super) bytes: usize,
}

impl Shelf {
    pub fn push(&mut self, place: u64, report: Arc<Report>) {
        self.bytes += report.event.weight();
        self.reports.push_back((place, report));
    }

    pub fn pop(&mut self) -> Option<(u64, Arc<Report>)> {
        let taken = self.reports.pop_front();
        self.bytes -= taken.as_ref().map_or(0, |(_, report)| report.event.weight());
        taken
    }

    /// Takes out the report that a newer one of its kind and job replaces.
    pub fn remove_like(&mut self, newer: &Report) {
        let alike = |event: &Event| {
            event.kind == newer.event.kind && event.get(Word::JobId) == newer.event.get(Word::JobId)
        };
        if let Some(at) = self.reports.iter().position(|(_, report)| alike(&report.event)) {
            self.bytes -= self.reports[at].1.event.weight();
            self.reports.remove(at);
        }
    }

    pub fn place(&self) -> u64 {
        self.reports.front().map_or(NOWHERE, |(place, _)| *place)
    }

    pub fn is_over(&self, count: usize, bytes: usize) -> bool {
        self.reports.len() > count || (self.bytes > bytes && self.reports.len() > 1)
    }
}

/// Behind every place.
pub(super) const NOWHERE: u64 = u64::MAX;
