//! What the program asks of a job by its handle. Part of [`Job`].

#![forbid(unsafe_code)]

use std::time::Duration;

use super::{
    job::{Job, answered},
    monitor::Post,
    ticket::{Stub, ticket},
};
use crate::{model::Error, qmp::control::Control};

impl Job {
    pub fn pause(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.ask(Control::Pause, timeout)
    }

    pub fn resume(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.ask(Control::Resume, timeout)
    }

    /// Ends a ready mirror or active commit with the pivot.
    pub fn complete(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.ask(Control::Complete, timeout)
    }

    pub fn cancel(&self, force: bool, timeout: Option<Duration>) -> Result<(), Error> {
        self.ask(Control::Cancel { force }, timeout)
    }

    pub fn finalize(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.ask(Control::Finalize, timeout)
    }

    pub fn set_speed(&self, speed: i64, timeout: Option<Duration>) -> Result<(), Error> {
        self.ask(Control::SetSpeed(speed), timeout)
    }

    /// Waits until QEMU has forgotten the job, whoever started it. Its end must have been taken.
    pub fn dismiss(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let _waiting = self.monitor().life().wait();
        let text = "its end stays acknowledged, and the job is dismissed when QEMU answers";
        answered(self.begin_dismiss()?, timeout, text)
    }

    pub fn begin_dismiss(&self) -> Result<Stub, Error> {
        let key = self.monitor().roster().taken(self.handle())?;
        let (ticket, stub) = ticket();
        self.monitor().ask(Post::DismissJob(key.monitor, key.job, ticket), 0)?;
        self.monitor().roster().acknowledge(key);
        Ok(stub)
    }

    pub fn begin_ask(&self, control: Control) -> Result<Stub, Error> {
        let (ticket, stub) = ticket();
        let (monitor, handle) = (self.monitor().id(), self.handle());
        self.monitor().ask(Post::AskJob { monitor, handle, control, ticket }, 0)?;
        Ok(stub)
    }

    fn ask(&self, control: Control, timeout: Option<Duration>) -> Result<(), Error> {
        let _waiting = self.monitor().life().wait();
        let text = match control {
            Control::Complete | Control::Cancel { .. } | Control::Finalize => {
                "the job's end will show whether it was done"
            }
            _ => "how QEMU has the job will show whether it was done",
        };
        answered(self.begin_ask(control)?, timeout, text)
    }
}
