//! An event's line for people: when, where, what.

use std::ffi::CString;

use crate::{
    engine::Report,
    model::{Timestamp, readable::Bare},
};

pub fn line(report: &Report) -> CString {
    let time = report.event.timestamp.and_then(Timestamp::rfc_3339);
    let time = time.unwrap_or_else(|| "-".to_owned());
    let name = report.monitor.name();
    let line = format!("{time} {} {}", Bare(&name), &*report.event);
    CString::new(line).expect("every control character is escaped")
}
