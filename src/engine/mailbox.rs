//! What callers post to the reader. Bounded by its callers: a monitor is started once until it is
//! down again and closed once, a handle is made and freed once, an end is acknowledged by itself
//! once, a journal is read and a host looked up when that was asked for; and whoever posts a ticket
//! waits for it, but for commands that nobody waits for, which `reply` bounds.

#![forbid(unsafe_code)]

use super::{lock::Mutex, wake::Wake};
use crate::model::{Code, Error};

#[derive(Debug)]
pub struct Mailbox<P> {
    /// `None` when the listener was stopped.
    posts: Mutex<Option<Vec<P>>>,
    wake: Wake,
}

impl<P> Mailbox<P> {
    pub fn new() -> Result<Self, Error> {
        Ok(Self { posts: Mutex::new(Some(Vec::new())), wake: Wake::new()? })
    }

    /// Rings when a post has come or the listener was stopped.
    pub fn wake(&self) -> &Wake {
        &self.wake
    }

    pub fn post(&self, post: P) -> Result<(), Error> {
        let is_first = match &mut *self.posts.lock() {
            Some(posts) => {
                posts.push(post);
                posts.len() == 1
            }
            None => return Err(stopped()),
        };
        // The reader takes all at once, so who came first has rung for those behind.
        if is_first {
            self.wake.ring();
        }
        Ok(())
    }

    /// All posts since the last call; `None` when the listener was stopped.
    pub fn take(&self) -> Option<Vec<P>> {
        // The wake is not read: each ring is a new edge for the poll, and costs a call less.
        self.posts.lock().as_mut().map(std::mem::take)
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

pub fn stopped() -> Error {
    Error::new(Code::Shutdown, "the listener was stopped or freed; nothing works on it any more")
}
