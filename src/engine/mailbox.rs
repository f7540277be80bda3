//! What callers post to the reader. Messages are bounded by their callers: a monitor is started
//! once until it is down again and closed once, a handle is made and freed once, an end is
//! acknowledged by itself once, a journal is read and a host looked up when that was asked for, and
//! commands that nobody waits for are bounded by `reply`. Questions are not, since whoever gives
//! the answer no time may ask again at once: they have a bound of their own.

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
    /// Of what is asked.
    bytes: usize,
}

impl<P> Mailbox<P> {
    pub fn new() -> Result<Self, Error> {
        Ok(Self { posts: Mutex::new(Some(Posts::default())), wake: Wake::new()? })
    }

    /// Rings when a post has come or the listener was stopped.
    pub fn wake(&self) -> &Wake {
        &self.wake
    }

    /// A message, which is taken in any case.
    pub fn post(&self, post: P) -> Result<(), Error> {
        self.put(post, None)
    }

    /// A question with so many bytes, which is refused when the reader has not come to look for
    /// long.
    pub fn ask(&self, post: P, bytes: usize) -> Result<(), Error> {
        self.put(post, Some(bytes))
    }

    fn put(&self, post: P, asked: Option<usize>) -> Result<(), Error> {
        match &mut *self.posts.lock() {
            Some(posts) if asked.is_some_and(|bytes| !posts.has_room(bytes)) => {
                let text = format!(
                    "{} calls with {} bytes wait for the listener's thread already",
                    posts.all.len(),
                    posts.bytes
                );
                return Err(Error::new(Code::NoBuffers, text));
            }
            Some(posts) => {
                posts.bytes += asked.unwrap_or(0);
                posts.all.push(post);
            }
            None => return Err(stopped()),
        }
        self.wake.ring();
        Ok(())
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
    /// One question has room in any case, so that the longest command can be sent.
    fn has_room(&self, bytes: usize) -> bool {
        self.all.is_empty() || self.all.len() < ASKED_MAX && self.bytes + bytes <= ASKED_BYTES_MAX
    }
}

impl<P> Default for Posts<P> {
    fn default() -> Self {
        Self { all: Vec::new(), bytes: 0 }
    }
}

pub fn stopped() -> Error {
    Error::new(Code::Shutdown, "the listener was stopped or freed; nothing works on it any more")
}

/// Twice as many as one QEMU may leave unanswered; some megabytes.
const ASKED_MAX: usize = 1 << 14;
/// Of the commands among them; eight times what one QEMU may leave unanswered.
const ASKED_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_refused_where_too_many_wait_and_a_message_is_not() {
        let mailbox = Mailbox::new().unwrap();
        for number in 0..ASKED_MAX {
            mailbox.ask(number, 0).unwrap();
        }
        assert_eq!(mailbox.ask(0, 0).unwrap_err().code, Code::NoBuffers);
        mailbox.post(ASKED_MAX).unwrap();
        assert_eq!(mailbox.take().unwrap().last(), Some(&ASKED_MAX));

        mailbox.ask(0, ASKED_BYTES_MAX + 1).unwrap();
        assert_eq!(mailbox.ask(0, 0).unwrap_err().code, Code::NoBuffers);
        mailbox.take();
        mailbox.ask(0, ASKED_BYTES_MAX).unwrap();
        mailbox.ask(0, 0).unwrap();
        assert_eq!(mailbox.ask(0, 1).unwrap_err().code, Code::NoBuffers);
    }
}
