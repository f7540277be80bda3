//! A monitor's figures, for whoever asks. The reader writes them as it goes, and anybody reads them
//! without a lock: each is true by itself, and none says anything of another.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use crate::model::{Counts, Stat};

#[derive(Debug, Default)]
pub struct Statistics([AtomicI64; Stat::COUNT]);

impl Statistics {
    pub fn get(&self, stat: Stat) -> i64 {
        self.0[stat as usize].load(Relaxed)
    }

    pub fn set(&self, stat: Stat, count: usize) {
        self.0[stat as usize].store(i64::try_from(count).unwrap_or(i64::MAX), Relaxed);
    }

    pub fn add(&self, stat: Stat, more: usize) {
        self.change(stat, i64::try_from(more).unwrap_or(i64::MAX));
    }

    pub fn change(&self, stat: Stat, by: i64) {
        self.0[stat as usize].fetch_add(by, Relaxed);
    }

    /// What the session has counted since; the other figures have other sources.
    pub fn take(&self, since: &Counts) {
        for stat in Stat::ALL {
            let more = since.get(stat);
            if more != 0 {
                self.change(stat, more);
            }
        }
    }
}
