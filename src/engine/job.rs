//! The handle of a job: it watches the job of one id from its making on, starts it, waits for its
//! end. What becomes of the job is the reader's to say; that somebody wants its end, the roster's.

#![forbid(unsafe_code)]

use std::{
    ffi::{CStr, CString},
    fmt,
    sync::Arc,
    time::Duration,
};

use super::{
    monitor::{Monitor, Post},
    report::Report,
    ticket::{Answer, Stub, ticket},
};
use crate::{
    model::{Code, Error},
    qmp::jobs::Watch,
};

/// A job of one monitor that runs, has ended, or is yet to come.
pub struct Job {
    monitor: Arc<Monitor>,
    id: CString,
    /// Its number in the listener.
    handle: u64,
}

/// What a handle is made for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Purpose {
    /// The job was started before: if QEMU does not know it, it is lost.
    pub exists: bool,
    /// It is dismissed when its end was acknowledged, whoever started it.
    pub adopt: bool,
}

impl Job {
    /// Watches; without an id one is made.
    pub fn new(monitor: &Arc<Monitor>, id: Option<&str>, purpose: Purpose) -> Result<Self, Error> {
        let _waiting = monitor.life().wait();
        let (job, stub) = Self::begin(monitor, id, purpose)?;
        // The reader answers as soon as it looks.
        stub.wait(None).unwrap_or(Ok(()))?;
        Ok(job)
    }

    /// The same without waiting; it watches when the answer is there.
    pub fn begin(
        monitor: &Arc<Monitor>,
        id: Option<&str>,
        purpose: Purpose,
    ) -> Result<(Self, Stub), Error> {
        monitor.check_open()?;
        let made = id.is_none();
        let id = id.map_or_else(|| monitor.life().next_job_id(), str::to_owned);
        let for_c = CString::new(id.as_str());
        let for_c = for_c.map_err(|_| Error::new(Code::Invalid, "U+0000 stands in the id"))?;
        let handle = monitor.life().next_handle();
        monitor.settle();
        monitor.roster().open_handle(handle)?;
        let job = Self { monitor: Arc::clone(monitor), id: for_c, handle };
        let Purpose { exists, adopt } = purpose;
        let watch = Watch { handle, id, exists, made, adopt, ended: None };
        let (ticket, stub) = ticket();
        monitor.post(Post::Watch(Arc::clone(monitor), watch, ticket))?;
        Ok((job, stub))
    }

    /// Refuses in a child of the process in which it was made.
    pub fn check_process(&self) -> Result<(), Error> {
        self.monitor.check_process()
    }

    pub fn id(&self) -> &CStr {
        &self.id
    }

    pub fn monitor(&self) -> &Arc<Monitor> {
        &self.monitor
    }

    /// Its number in the listener.
    pub fn handle(&self) -> u64 {
        self.handle
    }

    /// Starts the job with this command, and waits until QEMU has answered it.
    pub fn start(
        &self,
        command: &str,
        arguments: &str,
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        let _waiting = self.monitor.life().wait();
        let text = "whether the job was started will show; the handle goes on watching";
        let answer = answered(self.begin_start(command, arguments)?, timeout, text);
        if matches!(&answer, Err(error) if error.code == Code::TimedOut) {
            // That it is not started is news from now on.
            let _ = self.monitor.post(Post::LeaveStart(self.monitor.id(), self.handle));
        }
        answer
    }

    pub fn begin_start(&self, command: &str, arguments: &str) -> Result<Stub, Error> {
        let (ticket, stub) = ticket();
        let post = Post::StartJob {
            monitor: self.monitor.id(),
            handle: self.handle,
            command: command.to_owned(),
            arguments: arguments.to_owned(),
            ticket,
        };
        self.monitor.request(post, command.len() + arguments.len())?;
        Ok(stub)
    }

    /// Waits for the job's end, and takes it.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Arc<Report>, Error> {
        let _waiting = self.monitor.life().wait();
        let ended = self.monitor.roster().wait(self.handle, timeout)?;
        ended.ok_or_else(|| {
            let limit = timeout.unwrap_or_default().as_millis();
            Error::new(Code::TimedOut, format!("the job has not ended within {limit} ms"))
        })
    }

    /// Says which job and monitor an error is about.
    pub fn named(&self, mut error: Error) -> Error {
        error.text.insert_str(0, &format!("job {}: ", self.id.to_string_lossy()));
        self.monitor.named(error)
    }
}

impl Drop for Job {
    /// What it claims is withdrawn, unless it was taken.
    fn drop(&mut self) {
        self.monitor.roster().close_handle(self.handle);
        // A listener that was stopped watches nothing.
        let _ = self.monitor.post(Post::Unwatch(self.monitor.id(), self.handle));
    }
}

impl Report {
    /// The program has taken this end, whoever else wants it; waits until QEMU has forgotten the
    /// job.
    pub fn acknowledge(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let _waiting = self.monitor.life().wait();
        let text = "it stays acknowledged, and the job is dismissed when QEMU answers";
        answered(self.begin_acknowledge()?, timeout, text)
    }

    pub fn begin_acknowledge(&self) -> Result<Stub, Error> {
        let key = self.key.ok_or_else(|| {
            Error::new(Code::Invalid, "the event is no end of a job: there is nothing to take")
        })?;
        let (ticket, stub) = ticket();
        let acknowledge = |ticket| Post::Acknowledge(key.monitor, key.job, ticket);
        match self.monitor.request(acknowledge(Some(ticket)), 0) {
            // It is acknowledged all the same; only nobody waits.
            Err(mut error) if error.code == Code::NoBuffers => {
                if self.monitor.roster().acknowledge(key) {
                    self.monitor.post(acknowledge(None))?;
                }
                error.text.push_str(", but the end is acknowledged");
                return Err(error);
            }
            posted => posted?,
        }
        self.monitor.roster().acknowledge(key);
        Ok(stub)
    }
}

pub(super) fn answered<V>(
    stub: Stub<Answer<V>>,
    timeout: Option<Duration>,
    else_text: &str,
) -> Answer<V> {
    stub.wait(timeout).unwrap_or_else(|| {
        let limit = timeout.unwrap_or_default().as_millis();
        let text = format!("QEMU has not answered within {limit} ms; {else_text}");
        Err(Error::new(Code::TimedOut, text))
    })
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.id).finish_non_exhaustive()
    }
}
