//! An event and the monitor that it came from: what a callback is given.

#![forbid(unsafe_code)]

use std::{
    ffi::CString,
    sync::{Arc, OnceLock},
};

use super::monitor::Monitor;
use crate::model::Event;

/// What happened at a monitor.
#[derive(Debug)]
pub struct Report {
    pub monitor: Arc<Monitor>,
    pub event: Event,
    /// When it was read, to be compared with registrations.
    pub tick: u64,
    /// The event as a line for people, once somebody has asked for it.
    pub line: OnceLock<CString>,
}

impl Report {
    pub fn new(monitor: Arc<Monitor>, event: Event, tick: u64) -> Arc<Self> {
        Arc::new(Self { monitor, event, tick, line: OnceLock::new() })
    }
}
