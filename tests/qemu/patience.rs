//! Waiting for what cannot be waited for in any other way, and for a turn. How long is for the tests
//! that share this to say: `DEADLINE`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::DEADLINE;

/// Asks until there is an answer.
pub fn eventually<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(started.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for its turn: of the tests that need the machine or the process for themselves, one runs.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // One that failed is over as well.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
