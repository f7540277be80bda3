//! The program's own commands, from the caller's side. Part of [`Monitor`].

#![forbid(unsafe_code)]

use std::{os::fd::RawFd, sync::Arc, time::Duration};

use super::{
    descriptor::Descriptor,
    job::answered,
    monitor::{Monitor, Post},
    reply::{Reply, ReplyCallback},
    ticket::{Ticket, reply_ticket},
};
use crate::{
    model::{Code, Error, Place},
    qmp::command::Command,
};

/// What the program wants QEMU to do.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    pub command: &'a str,
    /// A JSON object.
    pub arguments: Option<&'a str>,
    /// Out of band.
    pub oob: bool,
    /// Passed along; it stays the program's.
    pub fd: Option<RawFd>,
    pub timeout: Option<Duration>,
}

impl Monitor {
    /// Sends a command and waits for QEMU's reply, which may be that it refused.
    pub fn execute(self: &Arc<Self>, order: Order<'_>) -> Result<Arc<Reply>, Error> {
        let _waiting = self.life().wait();
        let command = self.command(order)?;
        let (ticket, stub) = reply_ticket();
        let bytes = command.arguments.as_ref().map_or(0, String::len);
        self.ask(Post::Execute(Arc::clone(self), command, ticket), bytes)?;
        let text = format!("whether it carries {} out is not known", order.command);
        answered(stub, order.timeout, &text)
    }

    /// Sends a command and returns its number at once; the callback gets the reply, or why there
    /// is none. When this fails it is dropped before.
    pub fn execute_async(
        self: &Arc<Self>,
        order: Order<'_>,
        callback: ReplyCallback,
    ) -> Result<i64, Error> {
        let _waiting = self.life().wait();
        let mut command = self.command(order)?;
        command.timeout = order.timeout;
        let number = command.number;
        let replies = &self.roster().replies;
        let bytes = command.arguments.as_ref().map_or(0, String::len);
        replies.open(number, bytes, callback)?;
        let post = Post::Execute(Arc::clone(self), command, Ticket::unattended(number));
        self.post(post).inspect_err(|_| replies.close(number))?;
        Ok(number)
    }

    /// May a function be called with the reply of a command that nobody waits for?
    pub fn check_reply_callback(&self, has_function: bool) -> Result<(), Error> {
        self.life().check_function("callback", has_function)
    }

    /// Looks through an order, so that QEMU can read it.
    fn command(&self, order: Order<'_>) -> Result<Command<Descriptor>, Error> {
        let number = self.life().next_command();
        let mut command = Command::new(number, order.command, order.arguments)?;
        command.oob = order.oob;
        self.check_connected()?;
        if let Some(fd) = order.fd {
            if matches!(self.address().place, Place::Tcp(..)) {
                let text = "a descriptor passes through a unix socket only";
                return Err(Error::new(Code::NotSupported, text));
            }
            command.luggage = Some(Descriptor::duplicate(fd)?);
        }
        Ok(command)
    }
}
