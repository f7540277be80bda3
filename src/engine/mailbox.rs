//! What callers post to the reader, which takes all of it at once and does some of it each turn.
//!
//! A request is what a caller may make again and again without waiting for the answer, so there is
//! a bound: who asks for more is refused. What must come through is never refused, and bounded by
//! what it is about: a monitor is started once until it is down again and closed once, a handle is
//! made by a call that waits and freed once, an end is acknowledged once, a journal is read and a
//! host looked up when that was asked for, and `reply` bounds commands that nobody waits for.

#![forbid(unsafe_code)]

use super::{lock::Mutex, wake::Wake};
use crate::model::{Code, Error};

#[derive(Debug)]
pub struct Mailbox<P> {
    /// `None` when the listener was stopped.
    posts: Mutex<Option<Posts<P>>>,
    wake: Wake,
}

#[derive(Debug)]
struct Posts<P> {
    all: Vec<P>,
    /// So many of them are requests; at most `REQUESTS_MAX`.
    requests: usize,
    /// Of those; at most `REQUEST_BYTES_MAX`.
    bytes: usize,
    /// The reader sleeps, or is about to, and nobody has rung yet.
    is_asleep: bool,
}

impl<P> Mailbox<P> {
    pub fn new() -> Result<Self, Error> {
        Ok(Self { posts: Mutex::new(Some(Posts::default())), wake: Wake::new()? })
    }

    /// Rings when a post has come while the reader sleeps, or the listener was stopped.
    pub fn wake(&self) -> &Wake {
        &self.wake
    }

    /// What must come through.
    pub fn post(&self, post: P) -> Result<(), Error> {
        let rings = match &mut *self.posts.lock() {
            Some(posts) => posts.add(post),
            None => return Err(stopped()),
        };
        self.ring_if(rings);
        Ok(())
    }

    /// A request with so many bytes of the caller's; it is refused when too much waits already.
    pub fn request(&self, post: P, bytes: usize) -> Result<(), Error> {
        let rings = match &mut *self.posts.lock() {
            Some(posts) => posts.add_request(post, bytes)?,
            None => return Err(stopped()),
        };
        self.ring_if(rings);
        Ok(())
    }

    fn ring_if(&self, rings: bool) {
        if rings {
            self.wake.ring();
        }
    }

    /// The reader would sleep: who posts from now on rings, until it takes what there is. False
    /// when something is there, or the listener was stopped.
    pub fn doze(&self) -> bool {
        let mut posts = self.posts.lock();
        let posts = posts.as_mut().filter(|posts| posts.all.is_empty());
        posts.map(|posts| posts.is_asleep = true).is_some()
    }

    /// All posts since the last call; `None` when the listener was stopped.
    pub fn take(&self) -> Option<Vec<P>> {
        // The wake is not read: each ring is a new edge for the poll, and costs a call less.
        self.posts.lock().as_mut().map(|posts| std::mem::take(posts).all)
    }

    /// Refuses further posts and drops the present ones, whose tickets answer by themselves.
    pub fn stop(&self) {
        let posts = self.posts.lock().take();
        self.wake.ring();
        drop(posts);
    }

    /// Refuses when the listener was stopped.
    pub fn check(&self) -> Result<(), Error> {
        if self.posts.lock().is_some() { Ok(()) } else { Err(stopped()) }
    }
}

impl<P> Posts<P> {
    /// Returns whether the reader must be woken. It takes all at once, so one is enough.
    fn add(&mut self, post: P) -> bool {
        self.all.push(post);
        std::mem::take(&mut self.is_asleep)
    }

    fn add_request(&mut self, post: P, bytes: usize) -> Result<bool, Error> {
        let all = self.bytes + bytes;
        if self.requests >= REQUESTS_MAX || all > REQUEST_BYTES_MAX {
            let text = format!(
                "{} requests of {} bytes in all wait for the listener already: let some be \
                 answered first; this one was not made",
                self.requests, self.bytes
            );
            return Err(Error::new(Code::NoBuffers, text));
        }
        (self.requests, self.bytes) = (self.requests + 1, all);
        Ok(self.add(post))
    }
}

impl<P> Default for Posts<P> {
    fn default() -> Self {
        Self { all: Vec::new(), requests: 0, bytes: 0, is_asleep: false }
    }
}

pub fn stopped() -> Error {
    Error::new(Code::Shutdown, "the listener was stopped or freed; nothing works on it any more")
}

/// Far more than threads wait at a time. The reader takes them all at once, so that as many more
/// may come while it does those.
const REQUESTS_MAX: usize = 1 << 14;
/// The longest commands of as many monitors.
const REQUEST_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_a_bound_until_they_are_taken_and_what_must_come_through_has_none() {
        let mailbox = Mailbox::new().unwrap();
        assert!((0..REQUESTS_MAX).all(|number| mailbox.request(number, 0).is_ok()));
        let refused = mailbox.request(0, 0).unwrap_err();
        assert_eq!(refused.code, Code::NoBuffers);
        assert!(refused.text.starts_with("16384 requests of 0 bytes in all wait"), "{refused}");
        assert_eq!(mailbox.post(0), Ok(()));
        assert_eq!(mailbox.take().unwrap().len(), REQUESTS_MAX + 1);
        assert_eq!(mailbox.request(0, 0), Ok(()));
    }

    #[test]
    fn their_bytes_have_a_bound_as_well() {
        let mailbox = Mailbox::new().unwrap();
        assert_eq!(mailbox.request(1, REQUEST_BYTES_MAX), Ok(()));
        assert_eq!(mailbox.request(2, 0), Ok(()));
        assert_eq!(mailbox.request(3, 1).unwrap_err().code, Code::NoBuffers);
        assert_eq!(mailbox.take(), Some(vec![1, 2]));
        assert_eq!(mailbox.request(3, 1), Ok(()));
        mailbox.stop();
        assert_eq!(mailbox.request(4, 0).unwrap_err().code, Code::Shutdown);
    }
}
