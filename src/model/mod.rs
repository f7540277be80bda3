//! The nouns: plain values that every storey above speaks in. Nothing here does anything.

#![forbid(unsafe_code)]

pub mod address;
pub mod error;
pub mod event;
pub mod info;
pub mod job;
pub mod log;
pub mod memory;
pub mod monitor;
pub mod readable;
pub mod response;
pub mod stat;
pub mod text;
pub mod time;

pub use address::{Address, Host, Link, Place};
pub use error::{Code, Error};
pub use event::{Event, Kind, Kinds, Word};
pub use info::JobInfo;
pub use job::{JobType, Loss, Origin, Outcome, Pivot, Status};
pub use log::Level;
pub use memory::is_affordable;
pub use monitor::{ByMonitor, Identity, MonitorId, Process, Settings, State, Version};
pub use response::Response;
pub use stat::{Counts, Stat};
pub use text::Texts;
pub use time::{Now, Timestamp};
