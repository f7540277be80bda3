//! Locks that may live through a fork, and that a panic does not spoil. std's, since each stands
//! alone: `parking_lot` keeps one table of waiting threads for all locks of the process, and a fork
//! while a thread is entering it leaves the child with a table that is locked for ever.
//!
//! All by which threads of the engine meet is taken from here, so that the tests of
//! `interleavings` can put something else in its place.

#![forbid(unsafe_code)]

use std::{sync::PoisonError, time::Duration};

pub use base::{MutexGuard, atomic, is_finished, thread, thread_local};

#[derive(Debug, Default)]
pub struct Mutex<T>(base::Mutex<T>);

#[derive(Debug, Default)]
pub struct Condvar(base::Condvar);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(base::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Condvar {
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits as long as `condition` holds.
    pub fn wait_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        self.0.wait_while(guard, condition).unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for at most `limit`; `None` is for ever.
    pub fn wait_while_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        condition: impl FnMut(&mut T) -> bool,
        limit: Option<Duration>,
    ) -> MutexGuard<'a, T> {
        let Some(limit) = limit else { return self.wait_while(guard, condition) };
        base::wait_while_for(&self.0, guard, condition, limit)
    }
}

#[cfg(not(all(test, shuttle)))]
mod base {
    use std::{sync::PoisonError, time::Duration};
    pub use std::{
        sync::{Condvar, Mutex, MutexGuard, atomic},
        thread, thread_local,
    };

    pub fn wait_while_for<'a, T>(
        condvar: &Condvar,
        guard: MutexGuard<'a, T>,
        condition: impl FnMut(&mut T) -> bool,
        limit: Duration,
    ) -> MutexGuard<'a, T> {
        let waited = condvar.wait_timeout_while(guard, limit, condition);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    pub fn is_finished(thread: &thread::JoinHandle<()>) -> bool {
        thread.is_finished()
    }
}

/// Shuttle's, which runs one thread at a time and chooses which goes on at each lock, wait and
/// atomic.
#[cfg(all(test, shuttle))]
mod base {
    use std::{sync::PoisonError, time::Duration};

    use atomic::{AtomicBool, Ordering::SeqCst};
    pub use shuttle::{
        sync::{Condvar, Mutex, MutexGuard, atomic},
        thread, thread_local,
    };

    /// Shuttle has no time. Here it is over when another thread says so, at any moment; that
    /// thread wakes the waiting one for nothing before, as a kernel may.
    pub fn wait_while_for<'a, T>(
        condvar: &Condvar,
        guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        limit: Duration,
    ) -> MutexGuard<'a, T> {
        if limit.is_zero() {
            return guard;
        }
        let (over, left) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                condvar.notify_all();
                over.store(true, SeqCst);
                while !left.load(SeqCst) {
                    condvar.notify_all();
                    thread::yield_now();
                }
            });
            let waits = |inner: &mut T| !over.load(SeqCst) && condition(inner);
            let guard = condvar.wait_while(guard, waits);
            left.store(true, SeqCst);
            guard.unwrap_or_else(PoisonError::into_inner)
        })
    }

    /// Shuttle does not tell.
    pub fn is_finished(_: &thread::JoinHandle<()>) -> bool {
        false
    }
}
