//! How long to wait before the next attempt to connect: twice as long each time up to a bound, and
//! spread, so that a thousand monitors that went at once do not come back at once. Chance is an
//! argument: the spread follows from the monitor's own prefix.

use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    time::Duration,
};

#[derive(Debug)]
pub struct Backoff {
    seed: u64,
    attempts: u32,
}

impl Backoff {
    pub fn new(seed: &str) -> Self {
        Self { seed: digest(seed), attempts: 0 }
    }

    /// It went well: the next pause is the first again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next pause: between half of what is due and all of it. `limits` are the first one and
    /// the longest; `None`: there is no next attempt.
    pub fn next(&mut self, limits: Option<(Duration, Duration)>) -> Option<Duration> {
        let (first, longest) = limits?;
        let due = first.saturating_mul(1 << self.attempts.min(DOUBLINGS)).min(longest);
        let chance = digest(&(self.seed, self.attempts)) % 1024;
        self.attempts = self.attempts.saturating_add(1);
        let half = due / 2;
        Some(half + half.mul_f64(f64::from(u32::try_from(chance).unwrap_or(0)) / 1024.0))
    }
}

fn digest(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A hundred milliseconds doubled so often is an hour and more.
const DOUBLINGS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Option<(Duration, Duration)> =
        Some((Duration::from_millis(100), Duration::from_secs(5)));

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_success() {
        let mut backoff = Backoff::new("vm-1");
        for due in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let pause = backoff.next(LIMITS).unwrap().as_millis();
            assert!((due / 2..=due).contains(&pause), "{pause} of {due}");
        }
        backoff.reset();
        assert!(backoff.next(LIMITS).unwrap() <= Duration::from_millis(100));
    }

    #[test]
    fn monitors_do_not_come_back_at_once() {
        let pauses: std::collections::BTreeSet<_> = (0..100)
            .map(|monitor| Backoff::new(&format!("vm-{monitor}")).next(LIMITS).unwrap())
            .collect();
        assert!(pauses.len() > 80, "{} different pauses", pauses.len());
    }

    #[test]
    fn without_limits_there_is_no_next_attempt() {
        assert_eq!(Backoff::new("vm").next(None), None);
    }
}
