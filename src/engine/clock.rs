//! The only place where a clock is read.

#![forbid(unsafe_code)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::model::{Now, Timestamp};

#[derive(Debug)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            running: self.0.elapsed(),
            wall: Timestamp {
                seconds: i64::try_from(wall.as_secs()).unwrap_or(i64::MAX),
                microseconds: i64::from(wall.subsec_micros()),
            },
        }
    }
}
