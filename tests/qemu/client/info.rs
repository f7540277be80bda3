//! Looks at jobs, copied.

use std::ffi::c_int;
use std::ptr;

use super::job::Answer;
use super::{Job, Monitor, RawInfo, RawList, copied, functions, last_error, milliseconds};
use crate::DEADLINE;

/// What each getter gave for one job.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    pub job_id: String,
    pub job_type: c_int,
    pub type_name: Option<String>,
    pub status: c_int,
    pub status_name: Option<String>,
    pub len: i64,
    pub offset: i64,
    pub speed: i64,
    pub paused: c_int,
    pub ready: c_int,
    pub error: Option<String>,
    pub auto_finalize: c_int,
    pub auto_dismiss: c_int,
}

impl Info {
    fn copy(raw: *const RawInfo) -> Self {
        Self {
            job_id: copied(call!(blockjob_info_get_job_id(raw))).expect("each job has an id"),
            job_type: call!(blockjob_info_get_type(raw)),
            type_name: copied(call!(blockjob_info_get_type_name(raw))),
            status: call!(blockjob_info_get_status(raw)),
            status_name: copied(call!(blockjob_info_get_status_name(raw))),
            len: call!(blockjob_info_get_len(raw)),
            offset: call!(blockjob_info_get_offset(raw)),
            speed: call!(blockjob_info_get_speed(raw)),
            paused: call!(blockjob_info_get_paused(raw)),
            ready: call!(blockjob_info_get_ready(raw)),
            error: copied(call!(blockjob_info_get_error(raw))),
            auto_finalize: call!(blockjob_info_get_auto_finalize(raw)),
            auto_dismiss: call!(blockjob_info_get_auto_dismiss(raw)),
        }
    }
}

impl Job {
    /// What QEMU says of it; there is no reason why it should not.
    pub fn info(&self) -> Info {
        self.try_info().unwrap_or_else(|error| panic!("{}: {error:?}", self.id()))
    }

    pub fn try_info(&self) -> Result<Info, (c_int, String)> {
        let mut raw = ptr::null_mut();
        let result = call!(blockjob_job_get_info(self.raw, milliseconds(DEADLINE), &raw mut raw));
        if result < 0 {
            return Err((result, last_error()));
        }
        let info = Info::copy(raw);
        call!(blockjob_info_free(raw));
        Ok(info)
    }

    pub fn pause(&self) -> Answer {
        super::job::answer(call!(blockjob_job_pause(self.raw, milliseconds(DEADLINE))))
    }

    pub fn resume(&self) -> Answer {
        super::job::answer(call!(blockjob_job_resume(self.raw, milliseconds(DEADLINE))))
    }

    pub fn finalize(&self) -> Answer {
        super::job::answer(call!(blockjob_job_finalize(self.raw, milliseconds(DEADLINE))))
    }

    pub fn dismiss(&self) -> Answer {
        super::job::answer(call!(blockjob_job_dismiss(self.raw, milliseconds(DEADLINE))))
    }

    pub fn set_speed(&self, speed: i64) -> Answer {
        let limit = milliseconds(DEADLINE);
        super::job::answer(call!(blockjob_job_set_speed(self.raw, speed, limit)))
    }
}

impl Monitor {
    /// Which jobs QEMU has.
    pub fn jobs(&self) -> Vec<Info> {
        let mut raw: *mut RawList = ptr::null_mut();
        let result =
            call!(blockjob_monitor_list_jobs(self.raw, milliseconds(DEADLINE), &raw mut raw));
        super::succeeded(result, "blockjob_monitor_list_jobs");
        let count = call!(blockjob_list_get_count(raw));
        let jobs =
            (0..count).map(|index| Info::copy(call!(blockjob_list_get(raw, index)))).collect();
        call!(blockjob_list_free(raw));
        jobs
    }

    /// The errno of a list that is not to be had.
    pub fn fails_to_list(&self) -> c_int {
        let mut raw: *mut RawList = ptr::null_mut();
        let limit = milliseconds(DEADLINE);
        let result = call!(blockjob_monitor_list_jobs(self.raw, limit, &raw mut raw));
        assert!(raw.is_null(), "a list was given out with {result}");
        result
    }

    /// How often the progress of jobs is told, in milliseconds.
    pub fn set_progress(&self, interval: c_int) {
        let result = call!(blockjob_monitor_set_progress(self.raw, interval));
        super::succeeded(result, "blockjob_monitor_set_progress");
    }
}
