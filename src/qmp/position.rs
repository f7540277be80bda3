//! How far a journal has been read, in a form that outlives the program. It can tell whether the
//! file is still the one that was read, without knowing the file's name or place.

use std::fmt::{self, Display, Formatter};

use crate::model::Timestamp;

/// A place in a journal: the text before it has been read, what stands from there on has not.
///
/// What is kept of the text before it is a hash of the last [`MARK_MAX`] bytes. The last line with
/// its time is among them, so a journal that was truncated or begun anew, and has grown past this
/// place since, does not match. Device and inode are not asked: they change when a file is copied
/// back or a host restarts, and a file with the same text up to here may be read on from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    offset: u64,
    mark: u64,
}

impl Position {
    /// The place behind `before`, which is as much as [`mark_len`] says.
    pub fn new(offset: u64, before: &[u8]) -> Self {
        Self { offset, mark: hash(HASH_BEGIN, before) }
    }

    pub fn offset(self) -> u64 {
        self.offset
    }

    /// Is `before`, what stands before this place now, what stood there?
    pub fn fits(self, before: &[u8]) -> bool {
        self == Self::new(self.offset, before)
    }

    /// Reads the form that `Display` writes; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (offset, mark) = text.strip_prefix(VERSION)?.split_once(':')?;
        let offset = offset.parse().ok().filter(|&offset| offset <= OFFSET_MAX)?;
        let position = Self { offset, mark: u64::from_str_radix(mark, 16).ok()? };
        // Numbers have other forms, with a sign or more zeros, which we never write.
        (position.to_string() == text).then_some(position)
    }
}

/// One word of ASCII: version of the form, offset, hash.
impl Display for Position {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}{}:{:016x}", self.offset, self.mark)
    }
}

/// What the program is given to store: a position, and up to which moment it was told of ends by
/// the wire since the journal was read there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bookmark {
    pub position: Position,
    pub until: Option<Timestamp>,
}

impl Bookmark {
    /// Reads the form that `Display` writes; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (position, until) = match text.split_once('@') {
            Some((position, until)) => (position, Some(moment(until)?)),
            None => (text, None),
        };
        let bookmark = Self { position: Position::parse(position)?, until };
        (bookmark.to_string() == text).then_some(bookmark)
    }
}

/// The position, and behind an `@` the moment in microseconds.
impl Display for Bookmark {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.position.fmt(f)?;
        self.until.map_or(Ok(()), |until| write!(f, "@{}", until.micros()))
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    let micros: i64 = text.parse().ok()?;
    let (seconds, microseconds) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    Some(Timestamp { seconds, microseconds })
}

/// How many bytes before a place its mark is made of.
pub fn mark_len(offset: u64) -> usize {
    usize::try_from(offset).map_or(MARK_MAX, |offset| offset.min(MARK_MAX))
}

/// FNV-1a of 64 bits, continued from `hash`. Its values are stored, so it must never change; std's
/// hashers may with any release.
pub fn hash(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(HASH_PRIME))
}

pub const HASH_BEGIN: u64 = 0xcbf2_9ce4_8422_2325;
const HASH_PRIME: u64 = 0x0100_0000_01b3;
const VERSION: &str = "1:";
/// More than the longest line that ends a job as a rule, so that its time is among it.
const MARK_MAX: usize = 512;
/// What an offset of the kernel can be.
const OFFSET_MAX: u64 = (1 << 63) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_is_one_word_and_reads_back() {
        let position = Position::new(6, b"foobar");
        let text = position.to_string();
        assert_eq!(text, "1:6:85944171f73967e8");
        assert_eq!(Position::parse(&text), Some(position));
        let last = Position::new(OFFSET_MAX, b"");
        assert_eq!(Position::parse(&last.to_string()), Some(last));
    }

    #[test]
    fn rubbish_is_no_position() {
        for text in [
            "",
            "1",
            "1:",
            "1::",
            "1:7",
            "1:7:",
            "1:7:ff",
            "2:7:85944171f73967e8",
            "1:+7:85944171f73967e8",
            "1:-7:85944171f73967e8",
            "1:07:85944171f73967e8",
            "1:7:85944171F73967E8",
            "1:7:85944171f73967e8:",
            "1:7:85944171f73967e8 ",
            "1:9223372036854775808:0000000000000000",
            "1:99999999999999999999999:0000000000000000",
            "1:7:\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
            "\0",
        ] {
            assert_eq!(Position::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn it_fits_only_the_text_that_stood_before_it() {
        let position = Position::new(6, b"foobar");
        assert!(position.fits(b"foobar"));
        assert!(!position.fits(b"Foobar"));
        assert!(!position.fits(b"oobar"));
        assert_eq!([mark_len(0), mark_len(7), mark_len(u64::MAX)], [0, 7, MARK_MAX]);
    }

    #[test]
    fn a_bookmark_is_a_position_and_a_moment_or_it_is_none() {
        let position = Position::new(512, b"text");
        let at = |seconds, microseconds| Some(Timestamp { seconds, microseconds });
        for until in [None, at(1000, 5), at(-1, 999_999)] {
            let bookmark = Bookmark { position, until };
            assert_eq!(Bookmark::parse(&bookmark.to_string()), Some(bookmark));
        }
        for text in ["", "@5", "1:1", &format!("{position}@"), &format!("{position}@+5")] {
            assert_eq!(Bookmark::parse(text), None, "{text:?}");
        }
    }
}
