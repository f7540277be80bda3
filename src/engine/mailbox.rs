//! What callers post to the reader. Bounded by its callers: a monitor is started once until it is
//! down again and closed once, and whoever posts a ticket waits for it.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::{lock::Mutex, monitor::Monitor, ticket::Ticket, wake::Wake};
use crate::model::{Code, Error};

#[derive(Debug)]
pub enum Post {
    Start(Arc<Monitor>, Option<Ticket>),
    Close(Arc<Monitor>),
}

#[derive(Debug)]
pub struct Mailbox {
    /// `None` when the listener was stopped.
    posts: Mutex<Option<Vec<Post>>>,
    wake: Wake,
}

impl Mailbox {
    pub fn new() -> Result<Self, Error> {
        Ok(Self { posts: Mutex::new(Some(Vec::new())), wake: Wake::new()? })
    }

    /// Rings when a post has come or the listener was stopped.
    pub fn wake(&self) -> &Wake {
        &self.wake
    }

    pub fn post(&self, post: Post) -> Result<(), Error> {
        match &mut *self.posts.lock() {
            Some(posts) => posts.push(post),
            None => return Err(stopped()),
        }
        self.wake.ring();
        Ok(())
    }

    /// All posts since the last call; `None` when the listener was stopped.
    pub fn take(&self) -> Option<Vec<Post>> {
        self.wake.clear();
        self.posts.lock().as_mut().map(std::mem::take)
    }

    /// Refuses further posts and drops the present ones, whose tickets answer by themselves.
    pub fn stop(&self) {
        let posts = self.posts.lock().take();
        self.wake.ring();
        drop(posts);
    }

    pub fn is_stopped(&self) -> bool {
        self.posts.lock().is_none()
    }
}

pub fn stopped() -> Error {
    Error::new(Code::Shutdown, "the listener was stopped or freed; nothing works on it any more")
}
