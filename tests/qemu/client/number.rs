//! The numbers of include/blockjob.h.

use std::ffi::c_int;

pub const COMPLETED: c_int = 0x0001;
pub const CANCELLED: c_int = 0x0002;
pub const LOST: c_int = 0x0004;
pub const FINAL: c_int = COMPLETED | CANCELLED | LOST;
pub const READY: c_int = 0x0008;
pub const PENDING: c_int = 0x0010;
pub const ERROR: c_int = 0x0020;
pub const STATUS: c_int = 0x0040;
pub const CONNECTED: c_int = 0x0080;
pub const DISCONNECTED: c_int = 0x0100;
pub const CLOSED: c_int = 0x0200;
pub const OVERFLOW: c_int = 0x0400;
pub const UNRESPONSIVE: c_int = 0x0800;
pub const RESPONSIVE: c_int = 0x1000;
pub const PROGRESS: c_int = 0x2000;
pub const RAW: c_int = 0x4000;
pub const ALL: u32 = 0x3fff;
/// Not a kind: whoever asks with it claims no end.
pub const OBSERVE: u32 = 1 << 30;

pub const OUTCOME_UNKNOWN: c_int = 0;
pub const OUTCOME_SUCCEEDED: c_int = 1;
pub const OUTCOME_FAILED: c_int = 2;
pub const OUTCOME_CANCELLED: c_int = 3;

pub const TYPE_STREAM: c_int = 1;
pub const TYPE_COMMIT: c_int = 2;
pub const TYPE_MIRROR: c_int = 3;
pub const TYPE_BACKUP: c_int = 4;

pub const STATUS_RUNNING: c_int = 3;

pub const STATE_CONNECTED: c_int = 3;
pub const STATE_DISCONNECTED: c_int = 4;
pub const STATE_CLOSED: c_int = 5;
pub const STATE_UNRESPONSIVE: c_int = 6;

pub const STAT_EVENTS: c_int = 4;
pub const STAT_JOB_EVENTS: c_int = 5;
pub const STAT_COMMANDS: c_int = 6;
pub const STAT_REPLIES_UNASKED: c_int = 7;
pub const STAT_MALFORMED: c_int = 10;
pub const STAT_LINES_TOO_LONG: c_int = 11;
pub const STAT_DROPPED: c_int = 12;
pub const STAT_JOBS: c_int = 15;

pub const LOG_WARNING: c_int = 2;

pub const MEMBER_LEN: c_int = 1;
pub const MEMBER_OFFSET: c_int = 2;
pub const MEMBER_SPEED: c_int = 3;
pub const MEMBER_ERROR: c_int = 4;
pub const MEMBER_TIMESTAMP: c_int = 5;

pub const ORIGIN_LIVE: c_int = 1;
pub const ORIGIN_RECOVERED: c_int = 2;
pub const ORIGIN_INFERRED: c_int = 3;

pub const PIVOTED_UNKNOWN: c_int = 0;
pub const PIVOTED_YES: c_int = 1;
pub const PIVOTED_NO: c_int = 2;

pub const LOSS_NONE: c_int = 0;
pub const LOSS_GONE: c_int = 1;
pub const LOSS_NOT_STARTED: c_int = 3;
pub const LOSS_UNHEARD: c_int = 4;
pub const LOSS_QEMU_GONE: c_int = 5;
pub const LOSS_QEMU_RESTARTED: c_int = 6;
pub const LOSS_NO_CONNECTION: c_int = 7;
pub const LOSS_CLOSED: c_int = 8;

pub const PROCESS_UNKNOWN: c_int = 0;
pub const PROCESS_FIRST: c_int = 1;
pub const PROCESS_SAME: c_int = 2;
pub const PROCESS_RESTARTED: c_int = 3;

pub const EXECUTE_OOB: u32 = 1 << 0;

pub const JOB_EXISTS: u32 = 1 << 0;
pub const JOB_ADOPT: u32 = 1 << 1;
