//! One QMP endpoint of one virtual machine: its number, its settings, how it stands.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use super::address::Link;

/// A monitor's number within its listener; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonitorId(pub u64);

/// Things by monitor. The numbers are the library's own and stand in a row, so that they need no
/// hash that withstands an enemy.
pub type ByMonitor<V> = HashMap<MonitorId, V, BuildHasherDefault<Number>>;

/// Hashes one number.
#[derive(Debug, Clone, Copy, Default)]
pub struct Number(u64);

impl Hasher for Number {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The table takes its bits from both ends.
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// What may be set before a monitor starts. From then on it stays, and is shared.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How connections come about.
    pub link: Link,
    /// For connecting, greeting and negotiating together; `None` waits for ever.
    pub connect_timeout: Option<Duration>,
    /// A message of more bytes is skipped.
    pub line_limit: usize,
    /// Between attempts to connect again: the first pause and the longest. `None`: none is made.
    pub reconnect: Option<(Duration, Duration)>,
    /// Without a connection for so long, jobs are given up as lost; `None`: never.
    pub lost_after: Option<Duration>,
    /// How often QEMU is asked whether it answers, and how long it may take; `None`: never.
    pub keepalive: Option<(Duration, Duration)>,
    /// How often the progress of running jobs is told; `None`: never.
    pub progress: Option<Duration>,
    /// QEMU keeps a journal of its events in a file that can be asked.
    pub journal: bool,
    /// How far the journal was taken note of before, as the library told then.
    pub journal_position: Option<String>,
    /// How many jobs are known at a time.
    pub job_limit: usize,
    /// What the ids of the program's jobs begin with, before a `-`.
    pub owner: Option<String>,
    /// Tell a restarted QEMU by an object that is left in it.
    pub marker: bool,
    /// Ask QEMU to take commands out of band.
    pub oob: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            link: Link::Dial,
            connect_timeout: Some(CONNECT_TIMEOUT),
            line_limit: LINE_LIMIT,
            reconnect: Some((RECONNECT_MIN, RECONNECT_MAX)),
            lost_after: Some(LOST_AFTER),
            keepalive: None,
            progress: None,
            journal: false,
            journal_position: None,
            job_limit: JOB_LIMIT,
            owner: None,
            marker: false,
            oob: false,
        }
    }
}

/// QEMU's version, from its greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: i32,
    pub minor: i32,
    pub micro: i32,
}

impl Version {
    /// With all that any QEMU has.
    pub fn latest() -> Self {
        Self { major: i32::MAX, minor: 0, micro: 0 }
    }

    pub fn is_from(self, major: i32, minor: i32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }

    /// QEMU has jobs beside block jobs, and tells their statuses.
    pub fn has_status(self) -> bool {
        self.is_from(3, 0)
    }

    /// It can keep a job that has concluded.
    pub fn keeps_jobs(self) -> bool {
        self.is_from(2, 12)
    }

    /// It lists the error of a job that has failed.
    pub fn lists_errors(self) -> bool {
        self >= Self { major: 2, minor: 12, micro: 1 }
    }
}

/// Who holds the other end of a connection, where the kernel can tell: a process and when it began,
/// so that a number used again is not taken for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub pid: i32,
    /// In the kernel's ticks since it booted.
    pub started: u64,
}

/// Whether a connection has met the process of QEMU that the one before had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// Nobody can tell.
    Unknown = 0,
    /// There was none before.
    First = 1,
    Same = 2,
    Restarted = 3,
}

/// How a monitor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    New = 1,
    Connecting = 2,
    Connected = 3,
    Disconnected = 4,
    Closed = 5,
    /// Connected, but QEMU does not answer.
    Unresponsive = 6,
}

/// QEMU greets within a millisecond; only a busy host needs seconds.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest reply seen from QEMU is `query-qmp-schema` with 250 kB.
pub(crate) const LINE_LIMIT: usize = 16 << 20;
/// A message of this many bytes can still name its parts by 32-bit offsets, twice over.
pub(crate) const LINE_LIMIT_MAX: usize = 1 << 30;
/// Below this even ordinary events would be skipped.
pub(crate) const LINE_LIMIT_MIN: usize = 1 << 10;
/// Soon enough for a daemon that restarts, and no burden for thousands of monitors.
pub(crate) const RECONNECT_MIN: Duration = Duration::from_millis(100);
pub(crate) const RECONNECT_MAX: Duration = Duration::from_secs(5);
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(60);
/// A virtual machine runs a job a disk, a few at most.
pub(crate) const JOB_LIMIT: usize = 4096;
/// Each is about a kilobyte, and each turn goes through what is known.
pub(crate) const JOB_LIMIT_MAX: usize = 1 << 16;
