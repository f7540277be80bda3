//! How a caller waits for the reader: it posts a ticket and holds the other end. A ticket is
//! answered exactly once; one that is dropped answers by itself, so nobody waits for ever.

#![forbid(unsafe_code)]

use std::{sync::Arc, time::Duration};

use super::lock::{Condvar, Mutex};
use crate::{
    model::{Code, Error, JobInfo},
    qmp::session,
};

pub type Answer<V = ()> = Result<V, Error>;

/// To be answered, by a value.
#[derive(Debug)]
pub struct Ticket<V = ()>(Arc<Desk<V>>);

/// Waits for the answer.
#[derive(Debug)]
pub struct Stub<V = ()>(Arc<Desk<V>>);

#[derive(Debug)]
struct Desk<V> {
    answer: Mutex<Option<Answer<V>>>,
    answered: Condvar,
}

pub fn ticket() -> (Ticket, Stub) {
    ticket_for()
}

/// For an answer that is more than yes or no.
pub fn ticket_for<V>() -> (Ticket<V>, Stub<V>) {
    let desk = Arc::new(Desk { answer: Mutex::default(), answered: Condvar::default() });
    (Ticket(Arc::clone(&desk)), Stub(desk))
}

impl<V> Ticket<V> {
    pub fn answer(self, answer: Answer<V>) {
        self.0.put(answer);
    }
}

impl session::Ticket for Ticket {
    type Listing = Ticket<Vec<JobInfo>>;

    fn is_void(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl<V> Drop for Ticket<V> {
    fn drop(&mut self) {
        self.0.put(Err(Error::new(Code::Shutdown, "the listener was stopped meanwhile")));
    }
}

impl<V> Stub<V> {
    /// Waits for at most this long; `None` is for ever.
    pub fn wait(self, timeout: Option<Duration>) -> Option<Answer<V>> {
        let answer = self.0.answer.lock();
        self.0.answered.wait_while_for(answer, |answer| answer.is_none(), timeout).take()
    }

    /// The answer, if it is there.
    pub fn try_wait(&self) -> Option<Answer<V>> {
        self.0.answer.lock().take()
    }
}

impl<V> Desk<V> {
    /// The first answer counts.
    fn put(&self, answer: Answer<V>) {
        self.answer.lock().get_or_insert(answer);
        self.answered.notify_one();
    }
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
