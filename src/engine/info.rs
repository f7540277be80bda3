//! What QEMU says of its jobs when the program asks: looks that belong to the program, and know of
//! which monitor they are.

#![forbid(unsafe_code)]

use std::{fmt, sync::Arc, time::Duration};

use super::{
    job::{Job, answered},
    monitor::{Monitor, Post},
    ticket::{Answer, Stub, list_ticket},
};
use crate::model::{Code, Error, JobInfo, State};

/// A job at the moment at which QEMU was asked.
pub struct Info {
    monitor: Arc<Monitor>,
    job: JobInfo,
}

/// All jobs of a QEMU at that moment.
pub struct JobList {
    monitor: Arc<Monitor>,
    jobs: Vec<Info>,
}

impl Info {
    pub fn job(&self) -> &JobInfo {
        &self.job
    }

    /// Refuses in a child of the process in which it was made.
    pub fn check_process(&self) -> Result<(), Error> {
        self.monitor.check_process()
    }
}

impl JobList {
    pub fn jobs(&self) -> &[Info] {
        &self.jobs
    }

    /// Refuses in a child of the process in which it was made.
    pub fn check_process(&self) -> Result<(), Error> {
        self.monitor.check_process()
    }
}

impl Job {
    /// Waits for what QEMU says of the job.
    pub fn info(&self, timeout: Option<Duration>) -> Result<Info, Error> {
        let jobs = look(self.monitor(), Some(self.handle()), timeout)?;
        let none = || Error::new(Code::Internal, "a look at a job has shown none");
        jobs.into_iter().next().ok_or_else(none)
    }
}

impl Monitor {
    /// Waits for which jobs QEMU has, anybody's.
    pub fn list_jobs(self: &Arc<Self>, timeout: Option<Duration>) -> Result<JobList, Error> {
        Ok(JobList { jobs: look(self, None, timeout)?, monitor: Arc::clone(self) })
    }

    pub fn begin_look(
        self: &Arc<Self>,
        handle: Option<u64>,
    ) -> Result<Stub<Answer<Vec<JobInfo>>>, Error> {
        if self.state() == State::New {
            let text = "it was not started: there is no connection, and nothing was sent";
            return Err(Error::new(Code::NotConnected, text));
        }
        let (ticket, stub) = list_ticket();
        self.ask(Post::Look(Arc::clone(self), handle, ticket), 0)?;
        Ok(stub)
    }
}

fn look(
    monitor: &Arc<Monitor>,
    handle: Option<u64>,
    timeout: Option<Duration>,
) -> Result<Vec<Info>, Error> {
    let _waiting = monitor.life().wait();
    let jobs = answered(monitor.begin_look(handle)?, timeout, "what it has is not known")?;
    let of = |job| Info { monitor: Arc::clone(monitor), job };
    Ok(jobs.into_iter().map(of).collect())
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Info").field(&self.job).finish()
    }
}

impl fmt::Debug for JobList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JobList").field(&self.jobs).finish()
    }
}
