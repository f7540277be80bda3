//! What a listing tells of a job.

use serde_json::{Value, json};

use super::{
    job::{Job, Status, Work},
    version::Version,
};

/// An entry of query-jobs.
pub fn listing(job: &Job) -> Value {
    let mut entry = json!({
        "id": job.id,
        "type": job.work.name(),
        "status": job.status.name(),
        "current-progress": job.offset,
        "total-progress": job.len,
    });
    if let Some(error) = job.told_error() {
        entry["error"] = json!(error);
    }
    entry
}

/// An entry of query-block-jobs, with what each version added.
pub fn block_listing(job: &Job, version: Version) -> Value {
    let mut entry = job.data();
    if version.from(1, 3) {
        entry["busy"] = json!(false);
        entry["paused"] = json!(job.user_paused);
        entry["io-status"] = json!(job.io_status);
    }
    if version.from(2, 2) {
        entry["ready"] = json!(job.status == Status::Ready);
    }
    if version.from(2, 12) {
        entry["status"] = json!(job.status.name());
        entry["auto-finalize"] = json!(job.auto_finalize);
        entry["auto-dismiss"] = json!(job.auto_dismiss);
        if let Some(error) = job.told_error().filter(|_| version >= Version(2, 12, 1)) {
            entry["error"] = json!(error);
        }
    }
    if version.from(8, 2) && job.work == Work::Mirror {
        entry["actively-synced"] = json!(job.actively_synced);
    }
    entry
}
