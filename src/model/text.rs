//! Text as C reads it: UTF-8, each string ended by a NUL, all strings of one event in one
//! allocation. Not for text that is built up or changed.

use std::{ffi::CStr, num::NonZeroU32};

/// Several strings laid one after another, each followed by its NUL.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// Invariant: at each place that `push` gave out a string stands whose only NUL is its last
    /// byte. Text is only ever appended.
    text: String,
}

/// Where in its [`Texts`] a string stands, with its NUL.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    begin: u32,
    end: NonZeroU32,
}

impl Texts {
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes) }
    }

    /// Adds a string. U+0000, which would end it early for C, becomes U+FFFD.
    pub fn push(&mut self, text: &str) -> Place {
        let begin = u32::try_from(self.text.len());
        if memchr::memchr(0, text.as_bytes()).is_some() {
            self.text.push_str(&text.replace('\0', "\u{FFFD}"));
        } else {
            self.text.push_str(text);
        }
        self.text.push('\0');
        let end = u32::try_from(self.text.len()).ok().and_then(NonZeroU32::new);
        let place = begin.ok().zip(end).map(|(begin, end)| Place { begin, end });
        place.expect("a message is at most LINE_LIMIT_MAX bytes long")
    }

    /// The string with its NUL, ready for C.
    pub fn get(&self, Place { begin, end }: Place) -> &CStr {
        let bytes = &self.text.as_bytes()[begin as usize..end.get() as usize];
        CStr::from_bytes_with_nul(bytes).expect("push has put its only NUL at the end")
    }

    /// The same for Rust.
    pub fn text(&self, Place { begin, end }: Place) -> &str {
        &self.text[begin as usize..end.get() as usize - 1]
    }

    /// Bytes held: what a bound on queued events counts.
    pub fn weight(&self) -> usize {
        self.text.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_stand_side_by_side_and_end_in_nul() {
        let mut texts = Texts::default();
        let (first, empty, second) = (texts.push("stream"), texts.push(""), texts.push("é"));
        for (place, text) in [(first, "stream"), (empty, ""), (second, "é")] {
            assert_eq!(texts.get(place).to_str(), Ok(text));
            assert_eq!(texts.text(place), text);
        }
    }

    #[test]
    fn a_nul_inside_becomes_a_replacement_character() {
        let mut texts = Texts::default();
        let span = texts.push("\0a\0b\0");
        assert_eq!(texts.get(span).to_str(), Ok("\u{FFFD}a\u{FFFD}b\u{FFFD}"));
    }
}
