//! What the program creates: the two threads, and what they and the callers share.

#![forbid(unsafe_code)]

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread::JoinHandle,
};

use super::{
    delivery,
    fork::Birth,
    inside,
    lock::{Condvar, Mutex},
    mailbox::Mailbox,
    monitor::Monitor,
    queue::Queue,
    reactor::Reactor,
    roster::{Callback, Filter, Removed, Roster},
    thread,
};
use crate::model::{Code, Error, MonitorId};

/// Reads monitors and runs callbacks, on two threads of its own.
pub struct Listener {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Outlives the handle, as long as a monitor or an event is held.
pub struct Shared {
    pub birth: Birth,
    pub mailbox: Mailbox,
    pub queue: Queue,
    pub roster: Roster,
    monitors: AtomicU64,
    /// Calls that wait; `free` lets them end first.
    blocked: Mutex<usize>,
    unblocked: Condvar,
}

/// A call that may wait.
pub struct Blocked<'a>(&'a Shared);

impl Listener {
    pub fn new() -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            birth: Birth::here()?,
            mailbox: Mailbox::new()?,
            queue: Queue::default(),
            roster: Roster::default(),
            monitors: AtomicU64::new(0),
            blocked: Mutex::new(0),
            unblocked: Condvar::default(),
        });
        let listener = Self { shared: Arc::clone(&shared), threads: Mutex::default() };
        let reactor = Reactor::new(Arc::clone(&shared), nonce())?;
        let read = thread::spawn("blockjob-read", READER_STACK, move || reactor.run())?;
        listener.threads.lock().push(read);
        let call = thread::spawn("blockjob-call", CALLER_STACK, move || {
            // Our own fault, never the program's: its callbacks cannot unwind into this.
            if catch_unwind(AssertUnwindSafe(|| delivery::run(&shared))).is_err() {
                shared.stop();
            }
        });
        match call {
            Ok(call) => listener.threads.lock().push(call),
            Err(error) => {
                listener.free()?;
                return Err(error);
            }
        }
        Ok(listener)
    }

    /// Refuses in a child of the process in which it was made.
    pub fn check_process(&self) -> Result<(), Error> {
        self.shared.birth.check()
    }

    /// What outlives the handle. Take it first: another thread may free the handle meanwhile.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Stops, waits for the running callback and for blocked calls, and frees what was registered.
    pub fn free(&self) -> Result<(), Error> {
        if inside::is_inside() {
            let text = "the listener cannot be freed inside a callback or free function: stop it \
                        here, and free it elsewhere";
            return Err(Error::new(Code::Deadlock, text));
        }
        self.shared.stop();
        for thread in self.threads.lock().drain(..) {
            // A thread that panicked has ended as well.
            let _ = thread.join();
        }
        let blocked = self.shared.blocked.lock();
        drop(self.shared.unblocked.wait_while(blocked, |blocked| *blocked > 0));
        self.shared.roster.clear();
        Ok(())
    }
}

impl Shared {
    /// Ends delivery, and wakes every blocked call. Never waits.
    pub fn stop(&self) {
        self.roster.stop();
        self.mailbox.stop();
        self.queue.stop();
    }

    pub fn add_callback(
        self: &Arc<Self>,
        filter: Filter,
        monitor: Option<&Monitor>,
        callback: Callback,
    ) -> Result<i64, Error> {
        if let Some(monitor) = monitor.filter(|monitor| !monitor.belongs_to(self)) {
            let error = Error::new(Code::Invalid, "it belongs to another listener");
            return Err(monitor.named(error));
        }
        self.roster.add(filter, monitor, callback)
    }

    pub fn remove_callback(&self, id: i64, wait: bool) -> Result<Removed, Error> {
        let _blocked = self.block();
        self.roster.remove(id, wait)
    }

    pub fn next_monitor(&self) -> MonitorId {
        MonitorId(self.monitors.fetch_add(1, SeqCst) + 1)
    }

    pub fn block(&self) -> Blocked<'_> {
        *self.blocked.lock() += 1;
        Blocked(self)
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        *self.0.blocked.lock() -= 1;
        self.0.unblocked.notify_all();
    }
}

/// Differs from listener to listener, in this process and in others.
fn nonce() -> String {
    let chance = RandomState::new().build_hasher().finish();
    format!("{}-{chance:016x}", std::process::id())
}

/// Nothing of the program runs here, and nothing recurses.
const READER_STACK: usize = 256 << 10;
/// The program's code runs here.
const CALLER_STACK: usize = 2 << 20;
