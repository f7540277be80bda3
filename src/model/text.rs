//! Text as C reads it: UTF-8, each string ended by a NUL, all strings of one event in one
//! allocation. Not for text that is built up or changed.

use std::ffi::CStr;

/// Several strings laid one after another, each followed by its NUL.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// Invariant: each span that `push` gave out covers UTF-8 without NUL, and a NUL stands
    /// right behind it. Bytes are only ever appended.
    bytes: Vec<u8>,
}

/// Where in its [`Texts`] a string stands.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Texts {
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Adds a string. U+0000, which would end it early for C, becomes U+FFFD.
    pub fn push(&mut self, text: &str) -> Span {
        let start = self.bytes.len();
        for (i, part) in text.split('\0').enumerate() {
            if i > 0 {
                self.bytes.extend_from_slice("\u{FFFD}".as_bytes());
            }
            self.bytes.extend_from_slice(part.as_bytes());
        }
        let len = self.bytes.len() - start;
        self.bytes.push(0);
        Span {
            start: u32::try_from(start).expect("a message is at most LINE_LIMIT_MAX bytes long"),
            len: u32::try_from(len).expect("a message is at most LINE_LIMIT_MAX bytes long"),
        }
    }

    /// The string with its NUL, ready for C.
    pub fn get(&self, span: Span) -> &CStr {
        let start = span.start as usize;
        CStr::from_bytes_with_nul(&self.bytes[start..=start + span.len as usize])
            .expect("push replaced every NUL and put one at the end")
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
