//! The program's own commands: what may be sent, and what becomes of it. Part of [`Session`].

use std::time::Duration;

use serde_json::value::RawValue;

use super::{
    act::Act,
    exchange::{Next, Order, Pending, Purpose, Sending},
    job::Verb,
    message::{members, string},
    session::{Session, Stage, Ticket},
    strict,
};
use crate::model::{Code, Error, Now, Response};

/// A command that was looked through.
#[derive(Debug)]
pub struct Command<T> {
    /// Unique at its listener.
    pub number: i64,
    pub name: String,
    pub arguments: Option<String>,
    /// Out of band.
    pub oob: bool,
    /// What is passed along; whoever holds the sockets knows what it is.
    pub luggage: Option<T>,
    /// After this its ticket is answered. `None`: whoever waits keeps the time himself.
    pub timeout: Option<Duration>,
}

/// What QEMU answered.
#[derive(Debug)]
pub enum Heard<'a> {
    Return(&'a RawValue),
    Error { class: &'a str, description: &'a str, json: &'a RawValue },
}

impl<'a> Heard<'a> {
    pub fn result(&self) -> Result<&'a RawValue, Error> {
        match *self {
            Heard::Return(value) => Ok(value),
            Heard::Error { class, description, .. } => Err(Error::refused(class, description)),
        }
    }
}

impl<T> Command<T> {
    /// Checks name and arguments, so that QEMU can read them.
    pub fn new(number: i64, name: &str, arguments: Option<&str>) -> Result<Self, Error> {
        check_name(name)?;
        if name == "qmp_capabilities" {
            let text = "qmp_capabilities is the library's: what is agreed on with QEMU is settled \
                        before a monitor is started";
            return Err(Error::new(Code::Invalid, text));
        }
        let arguments = arguments.map(|json| object(name, json)).transpose()?;
        let name = name.to_owned();
        Ok(Self { number, name, arguments, oob: false, luggage: None, timeout: None })
    }
}

/// Refuses what is no name of a command or event: it goes into a message as it is.
pub fn check_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        return Ok(());
    }
    Err(Error::new(Code::Invalid, format!("{name:?} is no name of QEMU's")))
}

fn object(name: &str, json: &str) -> Result<String, Error> {
    // A newline is only layout here, and would end the line for who reads by lines.
    strict::check_object(json).map(|()| json.replace(['\n', '\r'], " ")).map_err(|error| {
        let text = format!("the arguments of {name} are no JSON object that QEMU reads: {error}");
        Error::new(Code::Invalid, text)
    })
}

impl<T: Ticket> Session<T> {
    /// Sends a command of the program's; the ticket gets the reply.
    pub fn execute(&mut self, command: Command<T>, ticket: T, now: Now, acts: &mut Vec<Act<T>>) {
        if let Err(error) = self.check_command(&command) {
            return acts.push(Act::Reply(ticket, Err(error)));
        }
        let Command { number, name, arguments, oob, luggage, timeout } = command;
        let asks = self.asks(&name, arguments.as_deref());
        if let Some((job, verb)) = asks {
            self.jobs.asking(job, verb);
        }
        let sending = self.exchange.submit(Order {
            name: &name,
            arguments: arguments.as_deref(),
            purpose: Purpose::Command { number, asks },
            ticket: Some(ticket),
            oob,
            luggage,
            deadline: timeout.map(|limit| now.running + limit),
        });
        acts.extend(sending.map(send));
    }

    /// A command of the program's was answered.
    pub(super) fn handle_response(
        &mut self,
        pending: Pending<T>,
        heard: &Heard<'_>,
        now: Now,
        acts: &mut Vec<Act<T>>,
    ) {
        let Purpose::Command { number, asks } = pending.purpose else { return };
        if let Some((job, verb)) = asks {
            self.jobs.answered(job, verb, matches!(heard, Heard::Return(_)));
        }
        self.pump(now, acts);
        // Who gave up has no ticket here any more, or a void one: the reply is late.
        let Some(ticket) = pending.ticket.filter(|ticket| !ticket.is_void()) else { return };
        let response = match *heard {
            Heard::Return(json) => Response::returned(number, json.get()),
            Heard::Error { class, description, json } => {
                Response::refused(number, class, description, json.get())
            }
        };
        acts.push(Act::Reply(ticket, Ok(response)));
    }

    /// The connection has ended, and with it what was waited for.
    pub(super) fn handle_no_response(pending: Pending<T>, acts: &mut Vec<Act<T>>) {
        let error = if pending.is_sent() {
            let text = "the connection ended before QEMU replied: whether the command was carried \
                        out is not known";
            Error::new(Code::Reset, text)
        } else {
            Error::new(Code::NotConnected, "the connection ended before the command was sent")
        };
        acts.extend(pending.ticket.map(|ticket| Act::Reply(ticket, Err(error))));
    }

    /// QEMU takes another command of those in the line.
    pub(super) fn send_more(&mut self, acts: &mut Vec<Act<T>>) {
        while let Some(next) = self.exchange.next() {
            match next {
                Next::Send(sending) => acts.push(send(sending)),
                Next::Drop(pending) => self.forget(&pending),
            }
        }
    }

    /// Answers those whose time is over.
    pub(super) fn give_up_commands(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        while let Some((pending, sent)) = self.exchange.overdue(now.running) {
            if !sent {
                self.forget(&pending);
            }
            let what =
                if sent { "whether it carries the command out is not known" } else { UNSENT };
            let text = format!("QEMU has not answered in the time given; {what}");
            let error = Error::new(Code::TimedOut, text);
            acts.extend(pending.ticket.map(|ticket| Act::Reply(ticket, Err(error))));
        }
        self.send_more(acts);
        self.pump(now, acts);
    }

    /// It was not sent, and will not be.
    fn forget(&mut self, pending: &Pending<T>) {
        if let Purpose::Command { asks: Some((job, verb)), .. } = pending.purpose {
            self.jobs.answered(job, verb, false);
        }
    }

    fn check_command(&self, command: &Command<T>) -> Result<(), Error> {
        if matches!(self.stage, Stage::Closed) {
            let text = "it was closed; make a new one for this address";
            return Err(Error::new(Code::Shutdown, text));
        }
        self.check_ready()?;
        if command.oob && !self.oob {
            let text = "out-of-band commands were not agreed on with this QEMU: ask for them \
                        before the start, and of a QEMU that offers them";
            return Err(Error::new(Code::NotSupported, text));
        }
        self.exchange.check_room_for(command.arguments.as_ref().map_or(0, String::len))
    }

    /// What a command asks of a job, as far as the job's end depends on it: it makes no difference
    /// who sent it.
    fn asks(&self, name: &str, arguments: Option<&str>) -> Option<(u64, Verb)> {
        let (verb, id) = match name {
            "block-job-complete" => (Verb::Complete, "device"),
            "job-complete" => (Verb::Complete, "id"),
            "block-job-cancel" => (Verb::Cancel, "device"),
            "job-cancel" => (Verb::Cancel, "id"),
            _ => return None,
        };
        let [id] = members(arguments?, [id]).ok()?;
        self.jobs.living(&string(id?)?).map(|job| (job, verb))
    }
}

fn send<T>(Sending { bytes, luggage }: Sending<T>) -> Act<T> {
    match luggage {
        Some(luggage) => Act::SendWith(bytes, luggage),
        None => Act::Send(bytes),
    }
}

const UNSENT: &str = "the command was not sent, for QEMU was busy with others";

/// Seven commands wait at QEMU and are answered one by one. An eighth would fill its queue, and it
/// would read no further: what overtakes the others would have to wait as well.
pub(super) const OOB_IN_BAND_MAX: usize = 7;
