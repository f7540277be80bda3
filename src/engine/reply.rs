//! What becomes of commands: the reply as the program holds it, and the line of those that nobody
//! waits for. Whoever gave one a function to call is called once with its reply, on the thread that
//! runs callbacks, and then all that was given along is freed: by that thread, by whoever frees the
//! listener, never by the reader.

#![forbid(unsafe_code)]

use std::{collections::BTreeMap, sync::Arc};

use super::{lock::Mutex, monitor::Monitor, report::Report};
use crate::model::{Code, Error, Response};

/// What became of a command: QEMU's reply to it, or why there is none.
#[derive(Debug)]
pub struct Reply {
    pub monitor: Arc<Monitor>,
    pub response: Response,
}

/// What is called with the reply. Dropping it frees what the program gave along.
pub type ReplyCallback = Box<dyn FnOnce(&Arc<Reply>) + Send>;

/// The commands that nobody waits for, until the program was told of their replies.
#[derive(Default)]
pub struct Replies {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By their numbers; at most `OPEN_MAX`.
    open: BTreeMap<i64, Open>,
    /// Of the commands, and of the replies that wait for the program.
    bytes: usize,
}

struct Open {
    callback: ReplyCallback,
    /// Its own, and then its reply's.
    bytes: usize,
}

impl Replies {
    /// A command of so many bytes is about to be posted. It may be given up again by `close`.
    pub fn open(&self, number: i64, bytes: usize, callback: ReplyCallback) -> Result<(), Error> {
        let mut inner = self.inner.lock();
        let (open, all) = (inner.open.len(), inner.bytes + bytes);
        if open >= OPEN_MAX || all > BYTES_MAX {
            drop(inner);
            drop(callback);
            let text = format!(
                "{open} asynchronous commands, with replies of {all} bytes in all, are unanswered \
                 or not taken"
            );
            return Err(Error::new(Code::NoBuffers, text));
        }
        inner.bytes = all;
        inner.open.insert(number, Open { callback, bytes });
        Ok(())
    }

    /// It was not posted. Frees.
    pub fn close(&self, number: i64) {
        drop(self.take(number));
    }

    /// A reply is about to wait for the program; where too much waits already, only that it came
    /// is told.
    pub fn admit(&self, response: Response) -> Response {
        let mut inner = self.inner.lock();
        let Inner { open, bytes } = &mut *inner;
        let Some(entry) = open.get_mut(&response.number) else { return response };
        *bytes -= std::mem::take(&mut entry.bytes);
        let weight = response.weight();
        if response.json().is_some() && *bytes + weight > BYTES_MAX {
            let text = format!(
                "QEMU has replied, but the program takes no replies: {bytes} bytes wait for it"
            );
            return Response::failed(response.number, &Error::new(Code::NoBuffers, text));
        }
        *bytes += weight;
        entry.bytes = weight;
        response
    }

    /// Tells the program, once, and frees. A report of no reply is nobody's here.
    pub fn deliver(&self, report: &Report) {
        let Some(reply) = &report.reply else { return };
        if let Some(open) = self.take(reply.response.number) {
            (open.callback)(reply);
        }
    }

    /// Frees all that is left. Only when nobody is being called any more.
    pub fn clear(&self) {
        let open = std::mem::take(&mut self.inner.lock().open);
        drop(open);
    }

    fn take(&self, number: i64) -> Option<Open> {
        let mut inner = self.inner.lock();
        let open = inner.open.remove(&number)?;
        inner.bytes -= open.bytes;
        Some(open)
    }
}

/// More than a program has reason to send before it looks at a reply.
const OPEN_MAX: usize = 1 << 14;
/// Four of the longest replies that a monitor takes without being told otherwise.
const BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[test]
    fn beyond_the_bounds_is_refused_and_freed_and_a_reply_that_is_too_much_says_so() {
        static FREED: AtomicUsize = AtomicUsize::new(0);
        struct Free;
        impl Drop for Free {
            fn drop(&mut self) {
                FREED.fetch_add(1, SeqCst);
            }
        }
        let replies = Replies::default();
        let open = |number| {
            let free = Free;
            let callback: ReplyCallback = Box::new(move |_| drop(free));
            replies.open(number, 0, callback)
        };
        let most = i64::try_from(OPEN_MAX).unwrap();
        assert!((0..most).all(|number| open(number).is_ok()));
        assert_eq!(open(most).unwrap_err().code, Code::NoBuffers);
        assert_eq!(FREED.load(SeqCst), 1);
        replies.close(0);
        assert_eq!(FREED.load(SeqCst), 2);
        assert!(open(most).is_ok());

        let long = " ".repeat(BYTES_MAX / 2);
        assert_eq!(replies.admit(Response::returned(1, &long)).failure, None);
        let refused = replies.admit(Response::returned(2, &long));
        assert_eq!(refused.failure, Some(Code::NoBuffers));
        replies.close(1);
        assert_eq!(replies.admit(Response::returned(3, &long)).failure, None);
        // What is sent counts as well.
        replies.close(4);
        assert_eq!(replies.open(4, BYTES_MAX, Box::new(|_| {})).unwrap_err().code, Code::NoBuffers);
        assert!(replies.open(4, 1, Box::new(|_| {})).is_ok());
        replies.clear();
        assert_eq!(FREED.load(SeqCst), OPEN_MAX + 2);
    }
}
