//! The numbers that C knows. They are written out, since the header's generator reads and does not
//! compute; a test holds them against the enums. A number that was given out is never used again.

/// Kinds of events, a bit each, so that they make a mask. This one: a job has ended by itself. It
/// failed if there is an error (blockjob_event_get_error()), and only then.
pub const BLOCKJOB_EVENT_COMPLETED: u32 = 1 << 0;
/// A job was cancelled.
pub const BLOCKJOB_EVENT_CANCELLED: u32 = 1 << 1;
/// How a job ends can no longer be known. It may have ended, may never have begun, or may still run
/// in QEMU (BLOCKJOB_LOSS_NO_CONNECTION, BLOCKJOB_LOSS_CLOSED): blockjob_event_get_loss() says
/// which. Whoever asks for COMPLETED or CANCELLED gets this kind too: there is no silence.
pub const BLOCKJOB_EVENT_LOST: u32 = 1 << 2;
/// The last that is told of a job: exactly one of these three for each.
pub const BLOCKJOB_EVENT_FINAL: u32 = (1 << 3) - 1;
/// A mirror or active commit is in step with its source, and waits to be completed.
pub const BLOCKJOB_EVENT_READY: u32 = 1 << 3;
/// A job started with auto-finalize=false waits to be finalized.
pub const BLOCKJOB_EVENT_PENDING: u32 = 1 << 4;
/// A job met an I/O error. Not its end: see blockjob_event_get_action().
pub const BLOCKJOB_EVENT_ERROR: u32 = 1 << 5;
/// A job's status has changed.
pub const BLOCKJOB_EVENT_STATUS: u32 = 1 << 6;
/// The monitor is usable: QEMU has greeted and agreed, and said which jobs it has. How those ended
/// that were missed was told before. Its JSON is the greeting.
pub const BLOCKJOB_EVENT_CONNECTED: u32 = 1 << 7;
/// The connection has ended, or could not be made; blockjob_event_get_reason() says why. Another
/// attempt follows, unless blockjob_monitor_set_reconnect() or fd:N forbids it; one that fails for
/// the same reason is not told again.
pub const BLOCKJOB_EVENT_DISCONNECTED: u32 = 1 << 8;
/// The monitor was closed; nothing follows.
pub const BLOCKJOB_EVENT_CLOSED: u32 = 1 << 9;
/// Here stood events that were dropped; their number is blockjob_event_get_dropped(). The program
/// was too slow for STATUS, ERROR, PROGRESS or RAW events, or QEMU had more jobs than the monitor
/// knows at a time (blockjob_monitor_set_job_limit()). How a job that is known ended is never
/// dropped; of READY, PENDING, PROGRESS and the events of connections only the latest one of a job
/// or monitor is kept waiting.
pub const BLOCKJOB_EVENT_OVERFLOW: u32 = 1 << 10;
/// QEMU does not answer (see blockjob_monitor_set_keepalive()): it is stopped, hangs or is very
/// busy. No end of anything.
pub const BLOCKJOB_EVENT_UNRESPONSIVE: u32 = 1 << 11;
/// It answers again.
pub const BLOCKJOB_EVENT_RESPONSIVE: u32 = 1 << 12;
/// How far a running job is, asked of QEMU now and then: see blockjob_monitor_set_progress(). It
/// has the job's id, type, status, len, offset and speed, as far as QEMU says them.
pub const BLOCKJOB_EVENT_PROGRESS: u32 = 1 << 13;
/// All of the above. A later version's new kinds are not in it until you compile anew.
pub const BLOCKJOB_EVENT_ALL: u32 = (1 << 14) - 1;
/// Any event of QEMU's, as it is: of blockjob_callback_add_raw() alone, and in no mask.
pub const BLOCKJOB_EVENT_RAW: u32 = 1 << 14;
/// The reply to a command that nobody waited for, where events are pulled; in no mask.
pub const BLOCKJOB_EVENT_REPLY: u32 = 1 << 15;
/// A line of the log, in a listener whose events are pulled (blockjob_listener_set_log()); its text
/// is blockjob_event_get_reason(). Not for blockjob_callback_add().
pub const BLOCKJOB_EVENT_LOG: u32 = 1 << 16;
/// With the kinds in blockjob_callback_add(), no kind itself: this callback looks on, such as a
/// logger. How a job ended counts as taken by others only.
pub const BLOCKJOB_OBSERVE: u32 = 1 << 30;

/// It is no end, or LOST: how the job ended is not known.
pub const BLOCKJOB_OUTCOME_UNKNOWN: i32 = 0;
pub const BLOCKJOB_OUTCOME_SUCCEEDED: i32 = 1;
/// blockjob_event_get_error() says why.
pub const BLOCKJOB_OUTCOME_FAILED: i32 = 2;
pub const BLOCKJOB_OUTCOME_CANCELLED: i32 = 3;

/// How the library knows what an event says. (0 is for the program's own use: the library never
/// returns it.)
pub const BLOCKJOB_ORIGIN_UNKNOWN: i32 = 0;
/// It was read as it happened.
pub const BLOCKJOB_ORIGIN_LIVE: i32 = 1;
/// It was learned afterwards, from QEMU or its journal, and is as certain.
pub const BLOCKJOB_ORIGIN_RECOVERED: i32 = 2;
/// It is the best that anybody can say, and not certain. LOST always has it.
pub const BLOCKJOB_ORIGIN_INFERRED: i32 = 3;

/// Whether the guest's disk has moved to the target of a mirror or active commit is not known.
pub const BLOCKJOB_PIVOTED_UNKNOWN: i32 = 0;
pub const BLOCKJOB_PIVOTED_YES: i32 = 1;
/// It has not, unless another client has told the job to complete.
pub const BLOCKJOB_PIVOTED_NO: i32 = 2;

/// The event is not LOST.
pub const BLOCKJOB_LOSS_NONE: i32 = 0;
/// It ended while nobody listened, and QEMU has forgotten it (2.12.0 has it, and does not say how).
pub const BLOCKJOB_LOSS_GONE: i32 = 1;
/// Another client dismissed it.
pub const BLOCKJOB_LOSS_DISMISSED: i32 = 2;
/// It was not started: the connection ended meanwhile, and QEMU does not have it; or it was refused
/// when blockjob_job_start() had returned -ETIMEDOUT.
pub const BLOCKJOB_LOSS_NOT_STARTED: i32 = 3;
/// A handle waited for it when the connection ended, nothing was heard of it by then, and QEMU does
/// not have it: it has come and gone, or is yet to be started. That is not known to be a job's end:
/// one that begins later has its own, and a new handle is for that.
pub const BLOCKJOB_LOSS_UNHEARD: i32 = 4;
/// The process of QEMU is gone.
pub const BLOCKJOB_LOSS_QEMU_GONE: i32 = 5;
/// Another process of QEMU answers now.
pub const BLOCKJOB_LOSS_QEMU_RESTARTED: i32 = 6;
/// There was no connection for as long as blockjob_monitor_set_lost_after() says, or there can be
/// none any more (fd:N). Of a job that was only waited for and never heard of that is no job's end
/// either, as for BLOCKJOB_LOSS_UNHEARD.
pub const BLOCKJOB_LOSS_NO_CONNECTION: i32 = 7;
/// The monitor was closed: by the program, or by the library because the program took no events.
/// QEMU's jobs go on.
pub const BLOCKJOB_LOSS_CLOSED: i32 = 8;

/// Has a CONNECTED met the process of QEMU that the connection before had? Nobody can tell.
pub const BLOCKJOB_PROCESS_UNKNOWN: i32 = 0;
/// There was no connection before.
pub const BLOCKJOB_PROCESS_FIRST: i32 = 1;
pub const BLOCKJOB_PROCESS_SAME: i32 = 2;
pub const BLOCKJOB_PROCESS_RESTARTED: i32 = 3;

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

/// How events come to the program, for blockjob_listener_set_delivery(): by callbacks on a thread
/// of the library. So it is unless the program chooses.
pub const BLOCKJOB_DELIVERY_THREAD: i32 = 1;
/// By callbacks inside blockjob_listener_dispatch(), which the program's loop calls.
pub const BLOCKJOB_DELIVERY_LOOP: i32 = 2;
/// By blockjob_listener_next_event(), without callbacks.
pub const BLOCKJOB_DELIVERY_PULL: i32 = 3;

/// How a monitor stands. (0 is for the program's own use: the library never returns it.)
pub const BLOCKJOB_STATE_UNKNOWN: i32 = 0;
/// Made, and not started.
pub const BLOCKJOB_STATE_NEW: i32 = 1;
pub const BLOCKJOB_STATE_CONNECTING: i32 = 2;
pub const BLOCKJOB_STATE_CONNECTED: i32 = 3;
/// The next attempt follows, where there is one; blockjob_monitor_start() makes it at once.
pub const BLOCKJOB_STATE_DISCONNECTED: i32 = 4;
/// By blockjob_monitor_close(), with its listener, or by the library because the program took no
/// events.
pub const BLOCKJOB_STATE_CLOSED: i32 = 5;
/// Connected, but QEMU does not answer.
pub const BLOCKJOB_STATE_UNRESPONSIVE: i32 = 6;

/// Members for blockjob_event_has().
pub const BLOCKJOB_MEMBER_LEN: i32 = 1;
pub const BLOCKJOB_MEMBER_OFFSET: i32 = 2;
pub const BLOCKJOB_MEMBER_SPEED: i32 = 3;
pub const BLOCKJOB_MEMBER_ERROR: i32 = 4;
pub const BLOCKJOB_MEMBER_TIMESTAMP: i32 = 5;

/// For blockjob_callback_remove(): do not wait for a callback that runs.
pub const BLOCKJOB_REMOVE_NOWAIT: u32 = 1 << 0;

/// For blockjob_job_new(): the job was started before. If QEMU does not have it, that is its end:
/// LOST. Without this flag the handle waits for a job to come.
pub const BLOCKJOB_JOB_EXISTS: u32 = 1 << 0;
/// For blockjob_job_new(): the job is the program's, whoever started it. When its end was taken it
/// is dismissed.
pub const BLOCKJOB_JOB_ADOPT: u32 = 1 << 1;

/// For blockjob_job_cancel(): also a ready mirror or active commit ends as CANCELLED (before QEMU
/// 2.12 as COMPLETED).
pub const BLOCKJOB_CANCEL_FORCE: u32 = 1 << 0;

/// For blockjob_monitor_execute() and its kin: QEMU takes the command out of band, at once, before
/// others that it has not carried out yet. It knows that of a few commands, and it must have been
/// asked for with blockjob_monitor_set_oob().
pub const BLOCKJOB_EXECUTE_OOB: u32 = 1 << 0;

/// How much a line of the log matters: a fault of the library itself; please report it.
pub const BLOCKJOB_LOG_ERROR: i32 = 1;
/// Something went wrong or is lost.
pub const BLOCKJOB_LOG_WARNING: i32 = 2;
/// What somebody who looks after the machine would like to know.
pub const BLOCKJOB_LOG_INFO: i32 = 3;
/// Each message that is sent and received, without secrets.
pub const BLOCKJOB_LOG_DEBUG: i32 = 4;

/// Figures of a monitor: bytes that QEMU said.
pub const BLOCKJOB_STAT_BYTES_READ: i32 = 1;
/// Bytes of commands for QEMU; the last of them may not be written yet.
pub const BLOCKJOB_STAT_BYTES_WRITTEN: i32 = 2;
/// Messages of QEMU that were read to their end, whatever they are.
pub const BLOCKJOB_STAT_MESSAGES: i32 = 3;
/// Events of QEMU among them, of all kinds, whether anybody asked for them or not.
pub const BLOCKJOB_STAT_EVENTS: i32 = 4;
/// Events of block jobs among those.
pub const BLOCKJOB_STAT_JOB_EVENTS: i32 = 5;
/// Commands that were sent, the library's own among them.
pub const BLOCKJOB_STAT_COMMANDS: i32 = 6;
/// Replies that nobody waited for any more, or that were another client's.
pub const BLOCKJOB_STAT_REPLIES_UNASKED: i32 = 7;
/// How often the monitor became usable (CONNECTED).
pub const BLOCKJOB_STAT_CONNECTIONS: i32 = 8;
/// How often a connection that was usable has ended.
pub const BLOCKJOB_STAT_DISCONNECTIONS: i32 = 9;
/// What was passed over: no message of QMP, or an event of a job that does not say of which.
pub const BLOCKJOB_STAT_MALFORMED: i32 = 10;
/// Messages over the limit of blockjob_monitor_set_line_limit(), which were passed over.
pub const BLOCKJOB_STAT_LINES_TOO_LONG: i32 = 11;
/// Events for which an OVERFLOW stands.
pub const BLOCKJOB_STAT_DROPPED: i32 = 12;
/// Ends of jobs that were learned afterwards (BLOCKJOB_ORIGIN_RECOVERED).
pub const BLOCKJOB_STAT_RECOVERED: i32 = 13;
/// Jobs that are LOST.
pub const BLOCKJOB_STAT_LOST: i32 = 14;
/// Jobs that are known now: what blockjob_monitor_set_job_limit() bounds.
pub const BLOCKJOB_STAT_JOBS: i32 = 15;
/// Events of the monitor that wait now for the program.
pub const BLOCKJOB_STAT_QUEUED: i32 = 16;
/// Ends of jobs that were told and wait now to be taken.
pub const BLOCKJOB_STAT_UNACKNOWLEDGED: i32 = 17;
