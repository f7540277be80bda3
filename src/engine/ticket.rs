//! How a caller waits for the reader: it posts a ticket and holds the other end. A ticket is
//! answered exactly once; one that is dropped answers by itself, so nobody waits for ever.
//!
//! A command's is answered with its reply, and may have nobody who waits at all.

#![forbid(unsafe_code)]

use std::{sync::Arc, time::Duration};

use super::{
    descriptor::Descriptor,
    lock::{Condvar, Mutex},
    reply::Reply,
};
use crate::{
    model::{Code, Error, JobInfo},
    qmp::session,
};

pub type Answer<V = ()> = Result<V, Error>;

/// Of a command.
pub type Replied = Result<Arc<Reply>, Error>;

/// To be answered.
#[derive(Debug)]
pub struct Ticket(Counter);

/// To be answered by a list of jobs.
#[derive(Debug)]
pub struct ListTicket(Arc<Desk<Answer<Vec<JobInfo>>>>);

/// Waits for the answer.
#[derive(Debug)]
pub struct Stub<A = Answer>(Arc<Desk<A>>);

/// Where a ticket's answer goes.
#[derive(Debug)]
enum Counter {
    Answer(Arc<Desk<Answer>>),
    Reply(Arc<Desk<Replied>>),
    /// Nobody waits: the reply to the command of this number is delivered.
    Unattended(i64),
}

#[derive(Debug)]
struct Desk<A> {
    answer: Mutex<Option<A>>,
    answered: Condvar,
}

pub fn ticket() -> (Ticket, Stub) {
    let desk = Desk::new();
    (Ticket(Counter::Answer(Arc::clone(&desk))), Stub(desk))
}

/// The same for a command.
pub fn reply_ticket() -> (Ticket, Stub<Replied>) {
    let desk = Desk::new();
    (Ticket(Counter::Reply(Arc::clone(&desk))), Stub(desk))
}

/// The same for a list of jobs.
pub fn list_ticket() -> (ListTicket, Stub<Answer<Vec<JobInfo>>>) {
    let desk = Desk::new();
    (ListTicket(Arc::clone(&desk)), Stub(desk))
}

impl Ticket {
    /// Of a command that nobody waits for.
    pub fn unattended(number: i64) -> Self {
        Self(Counter::Unattended(number))
    }

    pub fn answer(self, answer: Answer) {
        match (&self.0, answer) {
            (Counter::Answer(desk), answer) => desk.put(answer),
            (Counter::Reply(desk), Err(error)) => desk.put(Err(error)),
            // A command is answered by its reply.
            _ => {}
        }
    }

    pub fn reply(self, reply: Replied) {
        if let Counter::Reply(desk) = &self.0 {
            desk.put(reply);
        }
    }

    /// The number of the command whose reply nobody waits for.
    pub fn number(&self) -> Option<i64> {
        if let Counter::Unattended(number) = self.0 { Some(number) } else { None }
    }
}

impl session::Ticket for Ticket {
    type Listing = ListTicket;
    type Luggage = Descriptor;

    fn is_void(&self) -> bool {
        match &self.0 {
            Counter::Answer(desk) => Arc::strong_count(desk) == 1,
            Counter::Reply(desk) => Arc::strong_count(desk) == 1,
            Counter::Unattended(_) => false,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        match &self.0 {
            Counter::Answer(desk) => desk.put(Err(stopped())),
            Counter::Reply(desk) => desk.put(Err(stopped())),
            Counter::Unattended(_) => {}
        }
    }
}

impl ListTicket {
    pub fn answer(self, answer: Answer<Vec<JobInfo>>) {
        self.0.put(answer);
    }
}

impl Drop for ListTicket {
    fn drop(&mut self) {
        self.0.put(Err(stopped()));
    }
}

impl<A> Stub<A> {
    /// Waits for at most this long; `None` is for ever.
    pub fn wait(self, timeout: Option<Duration>) -> Option<A> {
        let answer = self.0.answer.lock();
        self.0.answered.wait_while_for(answer, |answer| answer.is_none(), timeout).take()
    }
}

impl<A> Desk<A> {
    fn new() -> Arc<Self> {
        Arc::new(Self { answer: Mutex::new(None), answered: Condvar::default() })
    }

    /// The first answer counts.
    fn put(&self, answer: A) {
        self.answer.lock().get_or_insert(answer);
        self.answered.notify_one();
    }
}

fn stopped() -> Error {
    Error::new(Code::Shutdown, "the listener was stopped meanwhile")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_first_one_given() {
        let (ticket, stub) = ticket();
        ticket.answer(Ok(()));
        assert_eq!(stub.wait(None), Some(Ok(())));
    }

    #[test]
    fn a_dropped_ticket_answers_by_itself() {
        let (ticket, stub) = ticket();
        drop(ticket);
        assert_eq!(stub.wait(None).unwrap().unwrap_err().code, Code::Shutdown);
    }

    #[test]
    fn a_ticket_is_void_when_nobody_waits_any_more() {
        use session::Ticket as _;
        let (ticket, stub) = ticket();
        assert!(!ticket.is_void());
        assert_eq!(stub.wait(Some(Duration::ZERO)), None);
        assert!(ticket.is_void());
    }

    #[test]
    fn without_an_answer_the_wait_ends_with_its_time() {
        let (_ticket, stub) = ticket();
        assert_eq!(stub.wait(Some(Duration::ZERO)), None);
    }
}
