//! The face: every function that C calls and every raw pointer from C. A file a chapter of the
//! header, in its order; the documentation of a function here is its manual there, and the opening
//! comment of a file from `# ` on opens its chapter.
//!
//! An exported function is guard, arguments, one call. No rule of the library is made here.

#![allow(unsafe_code)]
// The documentation here is C's manual: what callers promise stands in the header's opening.
#![allow(clippy::missing_safety_doc, clippy::doc_markdown)]

pub mod version;

pub mod error;

pub mod listener;

pub mod delivery;

pub mod monitor;

pub mod setting;

pub mod callback;

pub mod job;

pub mod control;

pub mod info;

pub mod event;

pub mod end;

pub mod command;
pub mod watching;

pub mod reply;

mod boundary;
pub mod constants;
mod foreign;
mod line;

#[cfg(test)]
mod tests;
