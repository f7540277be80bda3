//! One QMP endpoint of one virtual machine: its number, its settings, how it stands.

use std::time::Duration;

/// A monitor's number within its listener; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonitorId(pub u64);

/// What may be set before a monitor starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What messages and events call it.
    pub name: String,
    /// For connecting, greeting and negotiating together; `None` waits for ever.
    pub connect_timeout: Option<Duration>,
    /// A message of more bytes is skipped.
    pub line_limit: usize,
}

impl Settings {
    pub fn new(name: String) -> Self {
        Self { name, connect_timeout: Some(CONNECT_TIMEOUT), line_limit: LINE_LIMIT }
    }
}

/// QEMU's version, from its greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    pub major: i32,
    pub minor: i32,
    pub micro: i32,
}

/// How a monitor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    New = 1,
    Connecting = 2,
    Connected = 3,
    Disconnected = 4,
    Closed = 5,
}

/// QEMU greets within a millisecond; only a busy host needs seconds.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest reply seen from QEMU is `query-qmp-schema` with 250 kB.
pub(crate) const LINE_LIMIT: usize = 16 << 20;
/// A message of this many bytes can still name its parts by 32-bit offsets, twice over.
pub(crate) const LINE_LIMIT_MAX: usize = 1 << 30;
/// Below this even ordinary events would be skipped.
pub(crate) const LINE_LIMIT_MIN: usize = 1 << 10;
