//! An event's line for people: when, where, what.

use std::{ffi::CString, mem::MaybeUninit};

use crate::{
    engine::Report,
    model::{Timestamp, readable::Bare},
};

pub fn line(report: &Report) -> CString {
    let time = report.event.timestamp.and_then(rfc_3339).unwrap_or_else(|| "-".to_owned());
    let name = report.monitor.settings().name;
    let line = format!("{time} {} {}", Bare(&name), report.event);
    CString::new(line).expect("every control character is escaped")
}

/// `2026-11-23T16:40:02.417472Z`; `None` for a time that an old or hostile QEMU made up.
fn rfc_3339(timestamp: Timestamp) -> Option<String> {
    let (seconds, microseconds) = (timestamp.seconds, timestamp.microseconds);
    if !(0..YEAR_10000).contains(&seconds) || !(0..1_000_000).contains(&microseconds) {
        return None;
    }
    let mut date = MaybeUninit::uninit();
    // SAFETY: both pointers are to places of ours; gmtime_r keeps neither.
    let converted = unsafe { libc::gmtime_r(&raw const seconds, date.as_mut_ptr()) };
    if converted.is_null() {
        return None;
    }
    // SAFETY: gmtime_r has filled it in.
    let date = unsafe { date.assume_init() };
    Some(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{microseconds:06}Z",
        date.tm_year + 1900,
        date.tm_mon + 1,
        date.tm_mday,
        date.tm_hour,
        date.tm_min,
        date.tm_sec
    ))
}

const YEAR_10000: i64 = 253_402_300_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_utc_and_one_made_up_is_not() {
        let shown = |seconds, microseconds| rfc_3339(Timestamp { seconds, microseconds });
        assert_eq!(shown(1_795_408_884, 417_472).unwrap(), "2026-11-23T04:41:24.417472Z");
        assert_eq!(shown(0, 0).unwrap(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(shown(YEAR_10000 - 1, 999_999).unwrap(), "9999-12-31T23:59:59.999999Z");
        for (seconds, microseconds) in
            [(-1, -1), (-1, 0), (0, -1), (0, 1_000_000), (YEAR_10000, 0), (i64::MAX, 0)]
        {
            assert_eq!(shown(seconds, microseconds), None);
        }
    }
}
