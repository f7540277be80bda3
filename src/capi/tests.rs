//! The header's numbers are the model's.

use super::constants::*;
use super::version::*;
use crate::engine::Mode;
use crate::model::{
    JobType, Kind, Kinds, Level, Loss, Origin, Outcome, Pivot, Process, Stat, State, Status,
};

#[test]
fn the_version_of_the_header_is_the_crates() {
    let header =
        format!("{BLOCKJOB_VERSION_MAJOR}.{BLOCKJOB_VERSION_MINOR}.{BLOCKJOB_VERSION_PATCH}");
    assert_eq!(header, env!("CARGO_PKG_VERSION"));
}

#[test]
fn kinds_have_their_numbers() {
    assert_eq!(BLOCKJOB_EVENT_COMPLETED, Kind::Completed as u32);
    assert_eq!(BLOCKJOB_EVENT_CANCELLED, Kind::Cancelled as u32);
    assert_eq!(BLOCKJOB_EVENT_LOST, Kind::Lost as u32);
    assert_eq!(BLOCKJOB_EVENT_READY, Kind::Ready as u32);
    assert_eq!(BLOCKJOB_EVENT_PENDING, Kind::Pending as u32);
    assert_eq!(BLOCKJOB_EVENT_ERROR, Kind::Error as u32);
    assert_eq!(BLOCKJOB_EVENT_STATUS, Kind::Status as u32);
    assert_eq!(BLOCKJOB_EVENT_CONNECTED, Kind::Connected as u32);
    assert_eq!(BLOCKJOB_EVENT_DISCONNECTED, Kind::Disconnected as u32);
    assert_eq!(BLOCKJOB_EVENT_CLOSED, Kind::Closed as u32);
    assert_eq!(BLOCKJOB_EVENT_OVERFLOW, Kind::Overflow as u32);
    assert_eq!(BLOCKJOB_EVENT_UNRESPONSIVE, Kind::Unresponsive as u32);
    assert_eq!(BLOCKJOB_EVENT_RESPONSIVE, Kind::Responsive as u32);
    assert_eq!(BLOCKJOB_EVENT_PROGRESS, Kind::Progress as u32);
    assert_eq!(BLOCKJOB_EVENT_LOG, Kind::Log as u32);
    assert_eq!(BLOCKJOB_EVENT_RAW, Kind::Raw as u32);
    assert_eq!(BLOCKJOB_EVENT_REPLY, Kind::Reply as u32);
    assert_eq!(BLOCKJOB_EVENT_ALL, Kinds::all().mask());
    assert_eq!(BLOCKJOB_EVENT_ALL & (BLOCKJOB_EVENT_RAW | BLOCKJOB_EVENT_REPLY), 0);
    assert_eq!(BLOCKJOB_EVENT_ALL & BLOCKJOB_OBSERVE, 0);
    let ends = [Kind::Completed, Kind::Cancelled, Kind::Lost];
    assert_eq!(BLOCKJOB_EVENT_FINAL, ends.iter().fold(0, |mask, kind| mask | *kind as u32));
    assert!(ends.iter().all(|kind| kind.is_final()));
}

#[test]
fn deliveries_have_their_numbers() {
    assert_eq!(BLOCKJOB_DELIVERY_THREAD, Mode::Thread as i32);
    assert_eq!(BLOCKJOB_DELIVERY_LOOP, Mode::Loop as i32);
    assert_eq!(BLOCKJOB_DELIVERY_PULL, Mode::Pull as i32);
}

#[test]
fn outcomes_and_states_have_their_numbers() {
    assert_eq!(BLOCKJOB_OUTCOME_UNKNOWN, Outcome::Unknown as i32);
    assert_eq!(BLOCKJOB_OUTCOME_SUCCEEDED, Outcome::Succeeded as i32);
    assert_eq!(BLOCKJOB_OUTCOME_FAILED, Outcome::Failed as i32);
    assert_eq!(BLOCKJOB_OUTCOME_CANCELLED, Outcome::Cancelled as i32);
    assert_eq!(BLOCKJOB_STATE_NEW, State::New as i32);
    assert_eq!(BLOCKJOB_STATE_CONNECTING, State::Connecting as i32);
    assert_eq!(BLOCKJOB_STATE_CONNECTED, State::Connected as i32);
    assert_eq!(BLOCKJOB_STATE_DISCONNECTED, State::Disconnected as i32);
    assert_eq!(BLOCKJOB_STATE_CLOSED, State::Closed as i32);
    assert_eq!(BLOCKJOB_STATE_UNRESPONSIVE, State::Unresponsive as i32);
}

#[test]
fn what_is_known_of_an_end_has_its_numbers() {
    assert_eq!(BLOCKJOB_ORIGIN_UNKNOWN, 0);
    assert_eq!(BLOCKJOB_ORIGIN_LIVE, Origin::Live as i32);
    assert_eq!(BLOCKJOB_ORIGIN_RECOVERED, Origin::Recovered as i32);
    assert_eq!(BLOCKJOB_ORIGIN_INFERRED, Origin::Inferred as i32);
    assert_eq!(BLOCKJOB_PIVOTED_UNKNOWN, Pivot::Unknown as i32);
    assert_eq!(BLOCKJOB_PIVOTED_YES, Pivot::Yes as i32);
    assert_eq!(BLOCKJOB_PIVOTED_NO, Pivot::No as i32);
    assert_eq!(BLOCKJOB_LOSS_NONE, 0);
    assert_eq!(BLOCKJOB_LOSS_GONE, Loss::Gone as i32);
    assert_eq!(BLOCKJOB_LOSS_DISMISSED, Loss::Dismissed as i32);
    assert_eq!(BLOCKJOB_LOSS_NOT_STARTED, Loss::NotStarted as i32);
    assert_eq!(BLOCKJOB_LOSS_UNHEARD, Loss::Unheard as i32);
    assert_eq!(BLOCKJOB_LOSS_QEMU_GONE, Loss::QemuGone as i32);
    assert_eq!(BLOCKJOB_LOSS_QEMU_RESTARTED, Loss::QemuRestarted as i32);
    assert_eq!(BLOCKJOB_LOSS_NO_CONNECTION, Loss::NoConnection as i32);
    assert_eq!(BLOCKJOB_LOSS_CLOSED, Loss::Closed as i32);
    assert_eq!(BLOCKJOB_PROCESS_UNKNOWN, Process::Unknown as i32);
    assert_eq!(BLOCKJOB_PROCESS_FIRST, Process::First as i32);
    assert_eq!(BLOCKJOB_PROCESS_SAME, Process::Same as i32);
    assert_eq!(BLOCKJOB_PROCESS_RESTARTED, Process::Restarted as i32);
}

#[test]
fn qemus_words_have_their_numbers() {
    let types = [
        (BLOCKJOB_TYPE_UNKNOWN, "?"),
        (BLOCKJOB_TYPE_STREAM, "stream"),
        (BLOCKJOB_TYPE_COMMIT, "commit"),
        (BLOCKJOB_TYPE_MIRROR, "mirror"),
        (BLOCKJOB_TYPE_BACKUP, "backup"),
        (BLOCKJOB_TYPE_CREATE, "create"),
        (BLOCKJOB_TYPE_AMEND, "amend"),
        (BLOCKJOB_TYPE_SNAPSHOT_SAVE, "snapshot-save"),
        (BLOCKJOB_TYPE_SNAPSHOT_LOAD, "snapshot-load"),
        (BLOCKJOB_TYPE_SNAPSHOT_DELETE, "snapshot-delete"),
    ];
    for (number, word) in types {
        assert_eq!(number, JobType::from_word(word) as i32, "{word}");
    }
    let statuses = [
        (BLOCKJOB_STATUS_UNKNOWN, "?"),
        (BLOCKJOB_STATUS_UNDEFINED, "undefined"),
        (BLOCKJOB_STATUS_CREATED, "created"),
        (BLOCKJOB_STATUS_RUNNING, "running"),
        (BLOCKJOB_STATUS_PAUSED, "paused"),
        (BLOCKJOB_STATUS_READY, "ready"),
        (BLOCKJOB_STATUS_STANDBY, "standby"),
        (BLOCKJOB_STATUS_WAITING, "waiting"),
        (BLOCKJOB_STATUS_PENDING, "pending"),
        (BLOCKJOB_STATUS_ABORTING, "aborting"),
        (BLOCKJOB_STATUS_CONCLUDED, "concluded"),
        (BLOCKJOB_STATUS_NULL, "null"),
    ];
    for (number, word) in statuses {
        assert_eq!(number, Status::from_word(word) as i32, "{word}");
    }
}

#[test]
fn levels_and_figures_have_their_numbers() {
    assert_eq!(BLOCKJOB_LOG_ERROR, Level::Error as i32);
    assert_eq!(BLOCKJOB_LOG_WARNING, Level::Warning as i32);
    assert_eq!(BLOCKJOB_LOG_INFO, Level::Info as i32);
    assert_eq!(BLOCKJOB_LOG_DEBUG, Level::Debug as i32);
    let figures = [
        (BLOCKJOB_STAT_BYTES_READ, Stat::BytesRead),
        (BLOCKJOB_STAT_BYTES_WRITTEN, Stat::BytesWritten),
        (BLOCKJOB_STAT_MESSAGES, Stat::Messages),
        (BLOCKJOB_STAT_EVENTS, Stat::Events),
        (BLOCKJOB_STAT_JOB_EVENTS, Stat::JobEvents),
        (BLOCKJOB_STAT_COMMANDS, Stat::Commands),
        (BLOCKJOB_STAT_REPLIES_UNASKED, Stat::RepliesUnasked),
        (BLOCKJOB_STAT_CONNECTIONS, Stat::Connections),
        (BLOCKJOB_STAT_DISCONNECTIONS, Stat::Disconnections),
        (BLOCKJOB_STAT_MALFORMED, Stat::Malformed),
        (BLOCKJOB_STAT_LINES_TOO_LONG, Stat::LinesTooLong),
        (BLOCKJOB_STAT_DROPPED, Stat::Dropped),
        (BLOCKJOB_STAT_RECOVERED, Stat::Recovered),
        (BLOCKJOB_STAT_LOST, Stat::Lost),
        (BLOCKJOB_STAT_JOBS, Stat::Jobs),
        (BLOCKJOB_STAT_QUEUED, Stat::Queued),
        (BLOCKJOB_STAT_UNACKNOWLEDGED, Stat::Unacknowledged),
    ];
    assert_eq!(figures.map(|(_, stat)| stat), Stat::ALL);
    for (number, stat) in figures {
        assert_eq!(number, stat as i32, "{stat:?}");
    }
}
