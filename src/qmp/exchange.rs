//! Commands under way: what each was sent for, and who waits for its reply. A reply finds its
//! command by an id that no other connection and no other client uses.
//!
//! Where QEMU takes no more for now, commands stand in a line here and follow one by one.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use serde_json::value::RawValue;

use super::{asked::Verb, control::Control, encode, message::word, session::Ticket};
use crate::model::{Code, Error};

#[derive(Debug)]
pub struct Exchange<T: Ticket> {
    /// Begins every id, so that it is unique over all connections and clients: QEMU may hand us
    /// the reply to a former client's command.
    prefix: String,
    last: u64,
    /// At most `PENDING_MAX`.
    pending: BTreeMap<u64, Box<Pending<T>>>,
    /// Those of `pending` that were not sent yet, in the order of their numbers.
    line: VecDeque<(u64, Sending<T>)>,
    /// Invariant: exactly the deadline of each of `pending` that has one.
    deadlines: BTreeSet<(Duration, u64)>,
    /// So many in-band commands may be at QEMU at once.
    limit: usize,
    /// So many are.
    in_band: usize,
    /// One that passes a descriptor is: QEMU keeps only what came last.
    passing: bool,
    /// Of all of `pending`.
    bytes: usize,
}

#[derive(Debug)]
pub struct Pending<T> {
    pub purpose: Purpose,
    pub ticket: Option<T>,
    bytes: usize,
    deadline: Option<Duration>,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Line,
    InBand { passes: bool },
    OutOfBand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Capabilities {
        /// With commands out of band.
        oob: bool,
    },
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
    /// The program's own.
    Command {
        number: i64,
        /// What it asks of a job that is known.
        asks: Option<(u64, Verb)>,
    },
}

/// A command, to be sent as soon as QEMU takes it.
#[derive(Debug)]
pub struct Order<'a, T: Ticket> {
    pub name: &'a str,
    pub arguments: Option<&'a str>,
    pub purpose: Purpose,
    pub ticket: Option<T>,
    /// It overtakes the others.
    pub oob: bool,
    /// What goes along with its first byte.
    pub luggage: Option<T::Luggage>,
    pub deadline: Option<Duration>,
}

/// What is to be sent now.
#[derive(Debug)]
pub struct Sending<T: Ticket> {
    pub bytes: Vec<u8>,
    pub luggage: Option<T::Luggage>,
}

/// What the line has come to.
#[derive(Debug)]
pub enum Next<T: Ticket> {
    Send(Sending<T>),
    /// Nobody waits for it any more: it is not sent.
    Drop(Pending<T>),
}

impl<T: Ticket> Exchange<T> {
    pub fn new(prefix: String) -> Self {
        Self {
            prefix,
            last: 0,
            pending: BTreeMap::new(),
            line: VecDeque::new(),
            deadlines: BTreeSet::new(),
            limit: usize::MAX,
            in_band: 0,
            passing: false,
            bytes: 0,
        }
    }

    /// Refuses a command of the program's when too many are unanswered.
    pub fn check_room(&self) -> Result<(), Error> {
        self.check_room_for(0)
    }

    pub fn check_room_for(&self, bytes: usize) -> Result<(), Error> {
        if self.pending.len() >= PENDING_MAX {
            let text = format!("QEMU has not answered {PENDING_MAX} commands; is it stopped?");
            return Err(Error::new(Code::NoBuffers, text));
        }
        if self.bytes + bytes > PENDING_BYTES_MAX {
            let text = format!("QEMU has not answered commands of {} bytes yet", self.bytes);
            return Err(Error::new(Code::NoBuffers, text));
        }
        Ok(())
    }

    /// From now on, and until the connection ends, so many in-band commands are sent at once.
    pub fn limit(&mut self, commands: usize) {
        self.limit = commands;
    }

    /// A command, which is under way from now on. `None` when it stands in the line.
    pub fn submit(&mut self, order: Order<'_, T>) -> Option<Sending<T>> {
        let Order { name, arguments, purpose, ticket, oob, luggage, deadline } = order;
        self.last += 1;
        let number = self.last;
        let id = format!("{}{number}", self.prefix);
        let bytes = encode::command(oob, name, arguments, &id);
        let place = if oob {
            Place::OutOfBand
        } else if self.line.is_empty() && self.takes(luggage.is_some()) {
            Place::InBand { passes: luggage.is_some() }
        } else {
            Place::Line
        };
        self.bytes += bytes.len();
        self.deadlines.extend(deadline.map(|at| (at, number)));
        let pending = Pending { purpose, ticket, bytes: bytes.len(), deadline, place };
        self.pending.insert(number, Box::new(pending));
        let sending = Sending { bytes, luggage };
        if place == Place::Line {
            self.line.push_back((number, sending));
            return None;
        }
        self.count(place);
        Some(sending)
    }

    /// The command that a reply answers. A reply to nobody, or to another, is `None`.
    pub fn take(&mut self, id: Option<&RawValue>) -> Option<Pending<T>> {
        let id = word(id?)?;
        let number = id.strip_prefix(&self.prefix)?;
        // As it was written: no sign, no zeros before it.
        let number = number.parse().ok().filter(|parsed: &u64| parsed.to_string() == number)?;
        // What was not sent is not answered either.
        self.pending.get(&number).filter(|pending| pending.place != Place::Line)?;
        self.remove(number)
    }

    pub fn awaits(&self, purpose: Purpose) -> bool {
        self.pending.values().any(|pending| pending.purpose == purpose)
    }

    /// When `overdue` is to be asked.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Somebody whose time is over, and whether the command was sent: then its reply is still
    /// awaited, but not by them.
    pub fn overdue(&mut self, now: Duration) -> Option<(Pending<T>, bool)> {
        let &(at, number) = self.deadlines.first()?;
        if at > now {
            return None;
        }
        let pending = self.pending.get_mut(&number).expect("what has a deadline is pending");
        if pending.place == Place::Line {
            // Else its bytes would stand there until QEMU answers what stands before it.
            self.line.retain(|(other, _)| *other != number);
            return self.remove(number).map(|pending| (pending, false));
        }
        pending.deadline = None;
        self.deadlines.remove(&(at, number));
        let (purpose, bytes, place) = (pending.purpose, 0, pending.place);
        let ticket = pending.ticket.take();
        Some((Pending { purpose, ticket, bytes, deadline: None, place }, true))
    }

    /// The connection has ended: no reply will come.
    pub fn take_all(&mut self) -> Vec<Pending<T>> {
        self.line.clear();
        self.deadlines.clear();
        (self.limit, self.in_band, self.passing, self.bytes) = (usize::MAX, 0, false, 0);
        std::mem::take(&mut self.pending).into_values().map(|pending| *pending).collect()
    }

    fn takes(&self, luggage: bool) -> bool {
        self.in_band < self.limit && !(self.passing && luggage)
    }

    fn count(&mut self, place: Place) {
        if let Place::InBand { passes } = place {
            self.in_band += 1;
            self.passing |= passes;
        }
    }

    fn remove(&mut self, number: u64) -> Option<Pending<T>> {
        let pending = self.pending.remove(&number)?;
        if self.pending.is_empty() {
            // An empty map keeps the room of its last one, as much as ten more would take.
            self.pending = BTreeMap::new();
        }
        self.bytes -= pending.bytes;
        if let Some(at) = pending.deadline {
            self.deadlines.remove(&(at, number));
        }
        if let Place::InBand { passes } = pending.place {
            self.in_band -= 1;
            self.passing &= !passes;
        }
        Some(*pending)
    }

    /// The first of the line that QEMU takes now.
    pub fn advance(&mut self) -> Option<Next<T>> {
        loop {
            let (number, sending) = self.line.front()?;
            let number = *number;
            let Some(pending) = self.pending.get(&number) else {
                self.line.pop_front();
                continue;
            };
            // What the library asks for itself it still wants to know.
            let void = pending.ticket.as_ref().is_some_and(Ticket::is_void);
            if void && matches!(pending.purpose, Purpose::Command { .. }) {
                self.line.pop_front();
                return self.remove(number).map(Next::Drop);
            }
            let passes = sending.luggage.is_some();
            if !self.takes(passes) {
                return None;
            }
            let place = Place::InBand { passes };
            self.pending.get_mut(&number).expect("it was there above").place = place;
            self.count(place);
            return self.line.pop_front().map(|(_, sending)| Next::Send(sending));
        }
    }
}

impl<T> Pending<T> {
    pub fn is_sent(&self) -> bool {
        self.place != Place::Line
    }
}

/// Our own commands are a few a connection and one a job that is dismissed.
const PENDING_MAX: usize = 8192;
/// Of the program's commands. QEMU reads one when it has answered the one before, so that all of
/// this may wait in the socket's line; half of that is left for our own.
const PENDING_BYTES_MAX: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_in_the_line_is_held_no_longer() {
        let mut exchange = Exchange::<u8>::new("b-".into());
        exchange.limit(1);
        let second = Duration::from_secs(1);
        for number in 0..100 {
            let order = Order {
                name: "query-status",
                arguments: None,
                purpose: Purpose::Command { number, asks: None },
                ticket: Some(1),
                oob: false,
                luggage: None,
                deadline: (number > 1).then_some(second),
            };
            assert_eq!(exchange.submit(order).is_some(), number == 0);
        }
        let mut given_up = 0;
        while let Some((_, sent)) = exchange.overdue(second) {
            assert!(!sent);
            given_up += 1;
        }
        assert_eq!((given_up, exchange.line.len(), exchange.pending.len()), (98, 1, 2));
        assert!(exchange.advance().is_none());
    }
}
