//! What `query-jobs` and `query-block-jobs` say, as one list. Members that a version does not have
//! are absent; a job without an id is none.

use serde_json::value::RawValue;

use super::message::{Result, boolean, integer, members, string};
use crate::model::Status;

/// A job that QEMU has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    pub id: String,
    pub type_name: Option<String>,
    /// `Unknown` before QEMU 2.12, which lists only jobs that live.
    pub status: Status,
    pub status_name: Option<String>,
    pub ready: Option<bool>,
    pub paused: Option<bool>,
    pub len: Option<i64>,
    pub offset: Option<i64>,
    pub speed: Option<i64>,
    /// It has failed, or was cancelled.
    pub error: Option<String>,
    pub auto_finalize: Option<bool>,
    pub auto_dismiss: Option<bool>,
}

/// Of `query-jobs`: every job, and which of them has ended how.
pub fn jobs(reply: &RawValue) -> Result<Vec<Listed>> {
    list(reply, "id", ["total-progress", "current-progress"])
}

/// Of `query-block-jobs`: block jobs alone, with what `query-jobs` does not say.
pub fn block_jobs(reply: &RawValue) -> Result<Vec<Listed>> {
    list(reply, "device", ["len", "offset"])
}

/// One list of both. Which jobs there are and how they ended is `query-jobs`' to say, where there
/// is one.
pub fn merge(jobs: Option<Vec<Listed>>, block_jobs: Vec<Listed>) -> Vec<Listed> {
    let Some(mut jobs) = jobs else { return block_jobs };
    for job in &mut jobs {
        let Some(block) = block_jobs.iter().find(|block| block.id == job.id) else { continue };
        job.ready = block.ready;
        job.paused = block.paused;
        job.speed = block.speed;
        job.auto_finalize = block.auto_finalize;
        job.auto_dismiss = block.auto_dismiss;
    }
    jobs
}

fn list(reply: &RawValue, id: &'static str, progress: [&'static str; 2]) -> Result<Vec<Listed>> {
    let entries: Vec<&RawValue> = serde_json::from_str(reply.get())?;
    // One that cannot be read costs only itself.
    Ok(entries.into_iter().filter_map(|entry| read(entry.get(), id, progress)).collect())
}

fn read(text: &str, id: &'static str, [len, offset]: [&'static str; 2]) -> Option<Listed> {
    let names = [
        id,
        "type",
        "status",
        len,
        offset,
        "speed",
        "error",
        "auto-dismiss",
        "ready",
        "paused",
        "auto-finalize",
    ];
    let [
        id,
        job_type,
        status,
        len,
        offset,
        speed,
        error,
        auto_dismiss,
        ready,
        paused,
        auto_finalize,
    ] = members(text, names).ok()?;
    let word = |raw: Option<&RawValue>| raw.and_then(string).map(Into::into);
    Some(Listed {
        id: word(id)?,
        type_name: word(job_type),
        status: status.and_then(string).map_or(Status::Unknown, |word| Status::from_word(&word)),
        status_name: word(status),
        ready: ready.and_then(boolean),
        paused: paused.and_then(boolean),
        len: len.and_then(integer),
        offset: offset.and_then(integer),
        speed: speed.and_then(integer),
        error: error.map(|raw| word(Some(raw)).unwrap_or_else(|| raw.get().into())),
        auto_finalize: auto_finalize.and_then(boolean),
        auto_dismiss: auto_dismiss.and_then(boolean),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_two_lists_of_a_real_qemu_make_one() {
        let all = jobs(raw(
            r#"[{"current-progress": 524288, "status": "concluded", "total-progress": 4194304,
                 "type": "stream", "id": "j0", "error": "Input/output error"},
                {"status": "running", "current-progress": 0, "total-progress": 1, "type": "create",
                 "id": "c"}, {"type": "stream"}, 7]"#,
        ))
        .unwrap();
        let block = block_jobs(raw(
            r#"[{"auto-finalize": true, "io-status": "ok", "device": "j0", "auto-dismiss": false,
                 "busy": false, "len": 4194304, "offset": 524288, "status": "concluded",
                 "paused": false, "speed": 65536, "ready": false, "type": "stream"}]"#,
        ))
        .unwrap();
        let merged = merge(Some(all), block);
        assert_eq!(merged.len(), 2);
        let stream = &merged[0];
        assert_eq!((stream.id.as_str(), stream.type_name.as_deref()), ("j0", Some("stream")));
        assert_eq!(stream.status, Status::Concluded);
        assert_eq!(
            (stream.len, stream.offset, stream.speed),
            (Some(4_194_304), Some(524_288), Some(65536))
        );
        assert_eq!(stream.error.as_deref(), Some("Input/output error"));
        assert_eq!(stream.auto_dismiss, Some(false));
        assert_eq!((merged[1].id.as_str(), merged[1].auto_dismiss), ("c", None));
    }

    #[test]
    fn an_old_qemu_has_the_one_list_without_status() {
        let block = block_jobs(raw(
            r#"[{"device": "drive0", "len": 9, "offset": 1, "speed": 0, "type": "stream"}]"#,
        ))
        .unwrap();
        let merged = merge(None, block);
        assert_eq!(merged[0].id, "drive0");
        assert_eq!(merged[0].status, Status::Unknown);
        assert!(jobs(raw("{}")).is_err());
    }
}
