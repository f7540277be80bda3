//! Moments. Below the engine nobody reads a clock: `now` comes in as an argument.

use std::time::Duration;

/// The host's clock, as QEMU writes it beside an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    pub seconds: i64,
    pub microseconds: i64,
}

impl Timestamp {
    /// The moment behind this one, for comparing.
    #[must_use]
    pub fn next(self) -> Self {
        Self { microseconds: self.microseconds.saturating_add(1), ..self }
    }

    /// The moment before this one, for comparing.
    #[must_use]
    pub fn previous(self) -> Self {
        Self { microseconds: self.microseconds.saturating_sub(1), ..self }
    }

    /// `2026-11-23T16:40:02.417472Z`; `None` for a time that an old or hostile QEMU made up.
    pub fn rfc_3339(self) -> Option<String> {
        let Self { seconds, microseconds } = self;
        if !(0..YEAR_10000).contains(&seconds) || !(0..1_000_000).contains(&microseconds) {
            return None;
        }
        let (days, second) = (seconds / DAY, seconds % DAY);
        // Years that begin in March have their odd day at the end. In 400 years there are 146,097
        // days, and 719,468 of them lie before 1970 (Hinnant, days_from_civil).
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = era * 400 + year + next;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        Some(format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{microseconds:06}Z"
        ))
    }

    /// As one number, to be written down.
    pub fn micros(self) -> i128 {
        i128::from(self.seconds) * 1_000_000 + i128::from(self.microseconds)
    }
}

/// One look at both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Since the listener began; never goes back. Deadlines are measured by it.
    pub running: Duration,
    /// What the host's clock shows; may jump. Only ever shown to people.
    pub wall: Timestamp,
}

const DAY: i64 = 86_400;
const YEAR_10000: i64 = 253_402_300_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_utc_and_one_made_up_is_not() {
        let shown = |seconds, microseconds| Timestamp { seconds, microseconds }.rfc_3339();
        assert_eq!(shown(1_795_408_884, 417_472).unwrap(), "2026-11-23T04:41:24.417472Z");
        assert_eq!(shown(0, 0).unwrap(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(shown(951_782_400, 0).unwrap(), "2000-02-29T00:00:00.000000Z");
        assert_eq!(shown(951_868_800, 0).unwrap(), "2000-03-01T00:00:00.000000Z");
        assert_eq!(shown(4_107_542_399, 0).unwrap(), "2100-02-28T23:59:59.000000Z");
        assert_eq!(shown(4_107_542_400, 0).unwrap(), "2100-03-01T00:00:00.000000Z");
        assert_eq!(shown(YEAR_10000 - 1, 999_999).unwrap(), "9999-12-31T23:59:59.999999Z");
        for (seconds, microseconds) in
            [(-1, -1), (-1, 0), (0, -1), (0, 1_000_000), (YEAR_10000, 0), (i64::MAX, 0)]
        {
            assert_eq!(shown(seconds, microseconds), None);
        }
    }
}
