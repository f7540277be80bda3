//! Commands under way: what each was sent for, and who waits for its reply. A reply finds its
//! command by an id that no other connection and no other client uses.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{control::Control, encode, message::string};
use crate::model::{Code, Error};

#[derive(Debug)]
pub struct Exchange<T> {
    /// Begins every id, so that it is unique over all connections and clients: QEMU may hand us
    /// the reply to a former client's command.
    prefix: String,
    last: u64,
    /// At most `PENDING_MAX`.
    pending: BTreeMap<u64, Pending<T>>,
}

#[derive(Debug)]
pub struct Pending<T> {
    pub purpose: Purpose,
    pub ticket: Option<T>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Capabilities,
    /// Is our marker there?
    Marker,
    LeaveMarker,
    Jobs,
    BlockJobs,
    /// How did those end that concluded without a word?
    Conclusions,
    Start {
        job: u64,
    },
    Ask {
        job: u64,
        control: Control,
        /// By the other family of commands, for the first does not know the job.
        again: bool,
    },
    Dismiss {
        job: u64,
    },
    Keepalive,
    Progress,
    /// One of the two lists of a look.
    Look {
        number: u64,
        blocks: bool,
    },
}

impl<T> Exchange<T> {
    pub fn new(prefix: String) -> Self {
        Self { prefix, last: 0, pending: BTreeMap::new() }
    }

    /// Refuses a command of the program's when too many are unanswered.
    pub fn check_room(&self) -> Result<(), Error> {
        if self.pending.len() < PENDING_MAX {
            return Ok(());
        }
        let text = format!("QEMU has not answered {PENDING_MAX} commands; is it stopped?");
        Err(Error::new(Code::NoBuffers, text))
    }

    /// The bytes of a command, which is under way from now on.
    pub fn send(
        &mut self,
        name: &str,
        arguments: Option<&str>,
        purpose: Purpose,
        ticket: Option<T>,
    ) -> Vec<u8> {
        self.last += 1;
        self.pending.insert(self.last, Pending { purpose, ticket });
        encode::command(name, arguments, &format!("{}{}", self.prefix, self.last))
    }

    /// The command that a reply answers. A reply to nobody, or to another, is `None`.
    pub fn take(&mut self, id: Option<&RawValue>) -> Option<Pending<T>> {
        let id = string(id?)?;
        let number = id.strip_prefix(&self.prefix)?;
        // As it was written: no sign, no zeros before it.
        let number = number.parse().ok().filter(|parsed: &u64| parsed.to_string() == number)?;
        self.pending.remove(&number)
    }

    pub fn awaits(&self, purpose: Purpose) -> bool {
        self.pending.values().any(|pending| pending.purpose == purpose)
    }

    /// The connection has ended: no reply will come.
    pub fn take_all(&mut self) -> Vec<Pending<T>> {
        std::mem::take(&mut self.pending).into_values().collect()
    }
}

/// Our own commands are a few a connection and one a job that is dismissed.
const PENDING_MAX: usize = 8192;
