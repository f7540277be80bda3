//! What `query-jobs` and `query-block-jobs` say, as one list. Members that a version does not have
//! are absent; a job without an id is none.
//!
//! QEMU may list more than anybody wants to keep: each job is looked at by itself, and only who is
//! wanted is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_core::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    jobs::digest,
    message::{Result, boolean, integer, job_id, members, prose_of, word},
};
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

/// Who is wanted of a list, and how many were not.
#[derive(Debug)]
pub struct Listing {
    pub jobs: Vec<Listed>,
    pub left_out: usize,
}

/// Of `query-jobs`: every job that is wanted, and which of them has ended how.
pub fn jobs(reply: &RawValue, wants: impl FnMut(&Listed) -> bool) -> Result<Listing> {
    list(reply, "id", ["total-progress", "current-progress"], wants)
}

/// Of `query-block-jobs`: block jobs alone, with what `query-jobs` does not say.
pub fn block_jobs(reply: &RawValue, wants: impl FnMut(&Listed) -> bool) -> Result<Listing> {
    list(reply, "device", ["len", "offset"], wants)
}

/// One list of both. Which jobs there are and how they ended is `query-jobs`' to say, where there
/// is one.
pub fn merge(jobs: Option<Vec<Listed>>, block_jobs: Vec<Listed>) -> Vec<Listed> {
    let Some(mut jobs) = jobs else { return block_jobs };
    let block_jobs: BTreeMap<_, _> = block_jobs.iter().map(|it| (it.id.as_str(), it)).collect();
    for job in &mut jobs {
        let Some(block) = block_jobs.get(job.id.as_str()) else { continue };
        job.ready = block.ready;
        job.paused = block.paused;
        job.speed = block.speed;
        job.auto_finalize = block.auto_finalize;
        job.auto_dismiss = block.auto_dismiss;
    }
    jobs
}

fn list(
    reply: &RawValue,
    id: &'static str,
    progress: [&'static str; 2],
    wants: impl FnMut(&Listed) -> bool,
) -> Result<Listing> {
    let read = |entry: &RawValue| read(entry.get(), id, progress);
    serde_json::Deserializer::from_str(reply.get()).deserialize_seq(Entries { read, wants })
}

struct Entries<R, W> {
    read: R,
    wants: W,
}

impl<'de, R, W> Visitor<'de> for Entries<R, W>
where
    R: FnMut(&'de RawValue) -> Option<Listed>,
    W: FnMut(&Listed) -> bool,
{
    type Value = Listing;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of jobs")
    }

    fn visit_seq<A: SeqAccess<'de>>(
        mut self,
        mut list: A,
    ) -> std::result::Result<Listing, A::Error> {
        let (mut jobs, mut left_out, mut ids) = (Vec::new(), 0, BTreeSet::new());
        while let Some(entry) = list.next_element()? {
            // One that cannot be read costs only itself; of two with one id the first counts.
            let Some(job) = (self.read)(entry) else { continue };
            let id = digest(&job.id);
            if ids.contains(&id) {
                continue;
            }
            if (self.wants)(&job) {
                ids.insert(id);
                jobs.push(job);
            } else {
                left_out += 1;
            }
        }
        Ok(Listing { jobs, left_out })
    }
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
    let word = |raw: Option<&RawValue>| raw.and_then(word).map(String::from);
    let status_name = word(status);
    Some(Listed {
        id: job_id(id?)?.into(),
        type_name: word(job_type),
        status: status_name.as_deref().map_or(Status::Unknown, Status::from_word),
        status_name,
        ready: ready.and_then(boolean),
        paused: paused.and_then(boolean),
        len: len.and_then(integer),
        offset: offset.and_then(integer),
        speed: speed.and_then(integer),
        error: error.map(|raw| prose_of(raw).into()),
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
        let all = r#"[{"current-progress": 524288, "status": "concluded",
            "total-progress": 4194304, "type": "stream", "id": "j0",
            "error": "Input/output error"},
            {"status": "running", "current-progress": 0, "total-progress": 1, "type": "create",
            "id": "c"}, {"type": "stream"}, 7]"#;
        let block = r#"[{"auto-finalize": true, "io-status": "ok", "device": "j0",
            "auto-dismiss": false, "busy": false, "len": 4194304, "offset": 524288,
            "status": "concluded", "paused": false, "speed": 65536, "ready": false,
            "type": "stream"}]"#;
        let all = jobs(raw(all), |_| true).unwrap();
        let block = block_jobs(raw(block), |_| true).unwrap();
        assert_eq!((all.left_out, block.left_out), (0, 0));
        let merged = merge(Some(all.jobs), block.jobs);
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
        let block =
            r#"[{"device": "drive0", "len": 9, "offset": 1, "speed": 0, "type": "stream"}]"#;
        let merged = merge(None, block_jobs(raw(block), |_| true).unwrap().jobs);
        assert_eq!(merged[0].id, "drive0");
        assert_eq!(merged[0].status, Status::Unknown);
        assert!(jobs(raw("{}"), |_| true).is_err());
    }

    #[test]
    fn only_who_is_wanted_is_kept_and_of_two_with_one_id_the_first() {
        let text = r#"[{"id": "a", "status": "running"}, {"id": "b"}, {"id": "a"}, {"id": "c"}]"#;
        let Listing { jobs, left_out } = jobs(raw(text), |job| job.id != "b").unwrap();
        let kept: Vec<_> = jobs.iter().map(|job| (job.id.as_str(), job.status)).collect();
        assert_eq!(kept, [("a", Status::Running), ("c", Status::Unknown)]);
        assert_eq!(left_out, 1);
    }
}
