//! The numbers that C knows. They are written out, since the header's generator reads and does not
//! compute; a test holds them against the enums. A number that was given out is never used again.

/// Kinds of events, a bit each, so that they make a mask. This one: a job has ended by itself. It
/// failed if there is an error (blockjob_event_get_error()), and only then.
pub const BLOCKJOB_EVENT_COMPLETED: u32 = 1 << 0;
/// A job was cancelled.
pub const BLOCKJOB_EVENT_CANCELLED: u32 = 1 << 1;
/// A mirror or active commit is in step with its source, and waits to be completed.
pub const BLOCKJOB_EVENT_READY: u32 = 1 << 3;
/// A job started with auto-finalize=false waits to be finalized.
pub const BLOCKJOB_EVENT_PENDING: u32 = 1 << 4;
/// A job met an I/O error. Not its end: see blockjob_event_get_action().
pub const BLOCKJOB_EVENT_ERROR: u32 = 1 << 5;
/// A job's status has changed.
pub const BLOCKJOB_EVENT_STATUS: u32 = 1 << 6;
/// The monitor is usable: QEMU has greeted and agreed. Its JSON is the greeting.
pub const BLOCKJOB_EVENT_CONNECTED: u32 = 1 << 7;
/// The connection has ended, or could not be made; blockjob_event_get_reason() says why.
pub const BLOCKJOB_EVENT_DISCONNECTED: u32 = 1 << 8;
/// The monitor was closed; nothing follows.
pub const BLOCKJOB_EVENT_CLOSED: u32 = 1 << 9;
/// The program was too slow: here stood STATUS or ERROR events, which were dropped; their number is
/// blockjob_event_get_dropped(). Events of other kinds are never dropped, but of READY, PENDING,
/// CONNECTED and DISCONNECTED only the latest one of a job or monitor is kept waiting.
pub const BLOCKJOB_EVENT_OVERFLOW: u32 = 1 << 10;
/// All of the above. A later version's new kinds are not in it until you compile anew.
pub const BLOCKJOB_EVENT_ALL: u32 = (1 << 11) - 1 - (1 << 2);

/// How a job ended: no end, or none that anybody could know.
pub const BLOCKJOB_OUTCOME_UNKNOWN: i32 = 0;
pub const BLOCKJOB_OUTCOME_SUCCEEDED: i32 = 1;
/// blockjob_event_get_error() says why.
pub const BLOCKJOB_OUTCOME_FAILED: i32 = 2;
pub const BLOCKJOB_OUTCOME_CANCELLED: i32 = 3;

/// A job's type: a word of a newer QEMU, see blockjob_event_get_type_name(); or none.
pub const BLOCKJOB_TYPE_UNKNOWN: i32 = 0;
pub const BLOCKJOB_TYPE_STREAM: i32 = 1;
pub const BLOCKJOB_TYPE_COMMIT: i32 = 2;
pub const BLOCKJOB_TYPE_MIRROR: i32 = 3;
pub const BLOCKJOB_TYPE_BACKUP: i32 = 4;
pub const BLOCKJOB_TYPE_CREATE: i32 = 5;
pub const BLOCKJOB_TYPE_AMEND: i32 = 6;
pub const BLOCKJOB_TYPE_SNAPSHOT_SAVE: i32 = 7;
pub const BLOCKJOB_TYPE_SNAPSHOT_LOAD: i32 = 8;
pub const BLOCKJOB_TYPE_SNAPSHOT_DELETE: i32 = 9;

/// A job's status: a word of a newer QEMU, see blockjob_event_get_status_name(); or none.
pub const BLOCKJOB_STATUS_UNKNOWN: i32 = 0;
pub const BLOCKJOB_STATUS_UNDEFINED: i32 = 1;
pub const BLOCKJOB_STATUS_CREATED: i32 = 2;
pub const BLOCKJOB_STATUS_RUNNING: i32 = 3;
pub const BLOCKJOB_STATUS_PAUSED: i32 = 4;
pub const BLOCKJOB_STATUS_READY: i32 = 5;
pub const BLOCKJOB_STATUS_STANDBY: i32 = 6;
pub const BLOCKJOB_STATUS_WAITING: i32 = 7;
pub const BLOCKJOB_STATUS_PENDING: i32 = 8;
pub const BLOCKJOB_STATUS_ABORTING: i32 = 9;
pub const BLOCKJOB_STATUS_CONCLUDED: i32 = 10;
/// Gone: QEMU has forgotten the job.
pub const BLOCKJOB_STATUS_NULL: i32 = 11;

/// How a monitor stands; this number is never returned.
pub const BLOCKJOB_STATE_UNKNOWN: i32 = 0;
/// Made, and not started.
pub const BLOCKJOB_STATE_NEW: i32 = 1;
pub const BLOCKJOB_STATE_CONNECTING: i32 = 2;
pub const BLOCKJOB_STATE_CONNECTED: i32 = 3;
/// May be started again.
pub const BLOCKJOB_STATE_DISCONNECTED: i32 = 4;
/// By blockjob_monitor_close(), or with its listener.
pub const BLOCKJOB_STATE_CLOSED: i32 = 5;

/// Members for blockjob_event_has().
pub const BLOCKJOB_MEMBER_LEN: i32 = 1;
pub const BLOCKJOB_MEMBER_OFFSET: i32 = 2;
pub const BLOCKJOB_MEMBER_SPEED: i32 = 3;
pub const BLOCKJOB_MEMBER_ERROR: i32 = 4;
pub const BLOCKJOB_MEMBER_TIMESTAMP: i32 = 5;

/// For blockjob_callback_remove(): do not wait for a callback that runs.
pub const BLOCKJOB_REMOVE_NOWAIT: u32 = 1 << 0;
