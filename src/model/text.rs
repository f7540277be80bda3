//! Text as C reads it: UTF-8, each string ended by a NUL, all strings of one event in one
//! allocation. Not for text that is built up or changed.

use std::{ffi::CStr, num::NonZeroU32};

/// Several strings laid one after another, each followed by its NUL.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// Invariant: at each place that `push` gave out a string of UTF-8 begins, which ends before
    /// the next NUL. Bytes are only ever appended.
    bytes: Vec<u8>,
}

/// Where in its [`Texts`] a string begins, counted from 1.
pub type Place = NonZeroU32;

impl Texts {
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Adds a string. U+0000, which would end it early for C, becomes U+FFFD.
    pub fn push(&mut self, text: &str) -> Place {
        let start = self.bytes.len();
        if text.as_bytes().contains(&0) {
            self.bytes.extend_from_slice(text.replace('\0', "\u{FFFD}").as_bytes());
        } else {
            self.bytes.extend_from_slice(text.as_bytes());
        }
        self.bytes.push(0);
        let place = u32::try_from(start + 1).ok().and_then(NonZeroU32::new);
        place.expect("a message is at most LINE_LIMIT_MAX bytes long")
    }

    /// The string with its NUL, ready for C.
    pub fn get(&self, place: Place) -> &CStr {
        let rest = &self.bytes[place.get() as usize - 1..];
        CStr::from_bytes_until_nul(rest).expect("push has put a NUL at the end")
    }

    /// Bytes held: what a bound on queued events counts.
    pub fn weight(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_stand_side_by_side_and_end_in_nul() {
        let mut texts = Texts::default();
        let (first, empty, second) = (texts.push("stream"), texts.push(""), texts.push("é"));
        assert_eq!(texts.get(first).to_str(), Ok("stream"));
        assert_eq!(texts.get(empty).to_str(), Ok(""));
        assert_eq!(texts.get(second).to_str(), Ok("é"));
    }

    #[test]
    fn a_nul_inside_becomes_a_replacement_character() {
        let mut texts = Texts::default();
        let span = texts.push("\0a\0b\0");
        assert_eq!(texts.get(span).to_str(), Ok("\u{FFFD}a\u{FFFD}b\u{FFFD}"));
    }
}
