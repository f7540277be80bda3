//! What is counted of a monitor, by the numbers that C has seen.

/// A figure of a monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stat {
    BytesRead = 1,
    BytesWritten = 2,
    Messages = 3,
    Events = 4,
    JobEvents = 5,
    Commands = 6,
    RepliesUnasked = 7,
    Connections = 8,
    Disconnections = 9,
    Malformed = 10,
    LinesTooLong = 11,
    Dropped = 12,
    Recovered = 13,
    Lost = 14,
    /// From here on it is no counter: how many there are now.
    Jobs = 15,
    Queued = 16,
    Unacknowledged = 17,
}

/// What one monitor's session has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([i64; Stat::COUNT]);

impl Stat {
    pub(crate) const ALL: [Self; 17] = [
        Self::BytesRead,
        Self::BytesWritten,
        Self::Messages,
        Self::Events,
        Self::JobEvents,
        Self::Commands,
        Self::RepliesUnasked,
        Self::Connections,
        Self::Disconnections,
        Self::Malformed,
        Self::LinesTooLong,
        Self::Dropped,
        Self::Recovered,
        Self::Lost,
        Self::Jobs,
        Self::Queued,
        Self::Unacknowledged,
    ];
    /// Places for all of them, by their numbers.
    pub(crate) const COUNT: usize = Self::ALL.len() + 1;

    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|stat| *stat as i32 == number)
    }
}

impl Counts {
    pub fn add(&mut self, stat: Stat, more: i64) {
        let count = &mut self.0[stat as usize];
        *count = count.saturating_add(more);
    }

    /// One more; says how many that makes.
    pub fn count(&mut self, stat: Stat) -> i64 {
        self.add(stat, 1);
        self.get(stat)
    }

    pub fn set(&mut self, stat: Stat, count: i64) {
        self.0[stat as usize] = count;
    }

    pub fn get(&self, stat: Stat) -> i64 {
        self.0[stat as usize]
    }

    /// What was counted since then.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self(std::array::from_fn(|place| self.0[place] - before.0[place]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_a_place_and_no_other_number_is_one() {
        for (i, stat) in Stat::ALL.into_iter().enumerate() {
            assert_eq!(stat as usize, i + 1);
            assert_eq!(Stat::from_number(stat as i32), Some(stat));
        }
        for number in [i32::MIN, -1, 0, 18, i32::MAX] {
            assert_eq!(Stat::from_number(number), None, "{number}");
        }
    }
}
