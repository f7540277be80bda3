//! Lines of a file that is read in slices, forwards or backwards. A line is at most [`LINE_MAX`]
//! bytes long; a longer one is passed over in bounded memory.
//!
//! A NUL ends a line as a newline does. No message has one, and a file that was truncated under a
//! QEMU which does not append begins with a hole that reads as NULs, right before a whole line.

use memchr::memchr2_iter;

/// Cuts slices that follow each other.
#[derive(Debug)]
pub struct Forward {
    /// Where the next slice begins.
    at: u64,
    /// Where the line begins that stands in `carry`.
    line: u64,
    carry: Carry,
}

/// Cuts slices each of which stands right before the former one.
#[derive(Debug)]
pub struct Backward {
    /// Where the next slice ends.
    at: u64,
    /// Where the last line of the file begins; known when all of it has been read.
    last_line: Option<u64>,
    carry: Carry,
}

/// A line that goes on in the next slice: what there is of it, unless it is too long.
#[derive(Debug, Default)]
struct Carry {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Forward {
    pub fn new(at: u64) -> Self {
        Self { at, line: at, carry: Carry::default() }
    }

    pub fn at(&self) -> u64 {
        self.at
    }

    /// Takes the next slice and gives out each line that it ends, with its offset.
    pub fn cut(&mut self, slice: &[u8], mut each: impl FnMut(u64, &[u8])) {
        let mut begin = 0;
        while let Some(length) = separators(&slice[begin..]).next() {
            let end = begin + length;
            self.carry.end(&slice[begin..end], Carry::append, |line| each(self.line, line));
            begin = end + 1 + hole(slice[end + 1..].chunks(HOLE));
            self.line = self.at + begin as u64;
        }
        self.carry.append(&slice[begin..]);
        self.at += slice.len() as u64;
    }

    /// The line that has not ended, with its offset; of one that is too long nothing.
    pub fn unfinished(&self) -> (u64, &[u8]) {
        if self.carry.too_long { (self.at, &[]) } else { (self.line, &self.carry.bytes) }
    }
}

impl Backward {
    pub fn new(end: u64) -> Self {
        Self { at: end, last_line: None, carry: Carry::default() }
    }

    pub fn at(&self) -> u64 {
        self.at
    }

    pub fn last_line(&self) -> Option<u64> {
        self.last_line
    }

    /// Takes the slice before and gives out each line that begins in it, the last one first.
    pub fn cut(&mut self, slice: &[u8], mut each: impl FnMut(u64, &[u8])) {
        self.at -= slice.len() as u64;
        let mut end = slice.len();
        while let Some(separator) = separators(&slice[..end]).next_back() {
            let begin = separator + 1;
            let line = self.at + begin as u64;
            self.last_line.get_or_insert(line);
            self.carry.end(&slice[begin..end], Carry::prepend, |text| each(line, text));
            end = separator - hole(slice[..separator].rchunks(HOLE));
        }
        self.carry.prepend(&slice[..end]);
        if self.at == 0 {
            self.last_line.get_or_insert(0);
            self.carry.end(&[], Carry::prepend, |text| each(0, text));
        }
    }
}

impl Carry {
    /// The line ends with `part`. What came in one piece is not copied; an empty line is none.
    fn end(&mut self, part: &[u8], add: fn(&mut Self, &[u8]), give: impl FnOnce(&[u8])) {
        if self.bytes.is_empty() && !self.too_long && part.len() <= LINE_MAX {
            if !part.is_empty() {
                give(part);
            }
            return;
        }
        add(self, part);
        if !self.too_long {
            give(&self.bytes);
        }
        *self = Self::default();
    }

    fn append(&mut self, part: &[u8]) {
        if self.has_room(part) {
            self.bytes.extend_from_slice(part);
        }
    }

    fn prepend(&mut self, part: &[u8]) {
        if self.has_room(part) {
            self.bytes.splice(..0, part.iter().copied());
        }
    }

    fn has_room(&mut self, part: &[u8]) -> bool {
        if !self.too_long && self.bytes.len() + part.len() > LINE_MAX {
            *self = Self { bytes: Vec::new(), too_long: true };
        }
        !self.too_long
    }
}

/// The first line in a slice that is whole, and not empty. `begins`: one does with the slice.
pub fn first_line(slice: &[u8], begins: bool) -> Option<&[u8]> {
    let mut begin = if begins { 0 } else { separators(slice).next()? + 1 };
    loop {
        let length = separators(&slice[begin..]).next()?;
        if length > 0 {
            return Some(&slice[begin..begin + length]);
        }
        begin += 1 + hole(slice[begin + 1..].chunks(HOLE));
    }
}

/// Where lines end.
fn separators(bytes: &[u8]) -> impl DoubleEndedIterator<Item = usize> {
    memchr2_iter(b'\n', 0, bytes)
}

/// How many of these bytes, from the first on, are of a hole: but for some at its end, which are
/// met one by one. A hole has gigabytes where a file was truncated that had as many.
fn hole<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> usize {
    let is_hole = |chunk: &&[u8]| chunk.iter().fold(0, |all, byte| all | byte) == 0;
    chunks.take_while(is_hole).map(<[u8]>::len).sum()
}

/// A cache line's, so that few are met one by one.
const HOLE: usize = 64;

/// Job events have some hundred bytes; this leaves room for an error's text of any length.
pub const LINE_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    type Lines = Vec<(u64, Vec<u8>)>;

    fn forwards(text: &[u8], slice: usize) -> Lines {
        let mut lines = Vec::new();
        let mut cutter = Forward::new(0);
        for slice in text.chunks(slice) {
            cutter.cut(slice, |at, line| lines.push((at, line.to_vec())));
        }
        assert_eq!(cutter.at(), text.len() as u64);
        let (at, rest) = cutter.unfinished();
        if !rest.is_empty() {
            lines.push((at, rest.to_vec()));
        }
        lines
    }

    fn backwards(text: &[u8], slice: usize) -> Lines {
        let mut lines = Vec::new();
        let mut cutter = Backward::new(text.len() as u64);
        for slice in text.rchunks(slice) {
            cutter.cut(slice, |at, line| lines.push((at, line.to_vec())));
        }
        assert_eq!(cutter.at(), 0);
        let after = text.iter().rposition(|byte| [b'\n', 0].contains(byte)).map_or(0, |at| at + 1);
        assert_eq!(cutter.last_line(), (!text.is_empty()).then_some(after as u64));
        lines.reverse();
        lines
    }

    #[test]
    fn both_ways_and_every_size_of_slice_give_the_same_lines() {
        let hole = "\0".repeat(2 * HOLE + 1);
        let holes = [format!("{hole}one\n{hole}two"), format!("one{hole}\n{hole}")];
        let texts = ["", "\n", "one", "one\r\n", "one\ntwo\n", "\n\none\n\ntwo", "\0\0one\ntwo\0"];
        for text in texts.into_iter().chain(holes.iter().map(String::as_str)) {
            let lines = text.split(['\n', '\0']).filter(|line| !line.is_empty());
            let expected: Vec<_> = lines.map(|line| line.as_bytes().to_vec()).collect();
            for slice in 1..=text.len() + 1 {
                let found = forwards(text.as_bytes(), slice);
                assert_eq!(backwards(text.as_bytes(), slice), found, "{text:?} by {slice}");
                for (at, line) in &found {
                    let at = usize::try_from(*at).unwrap();
                    assert!(text.as_bytes()[at..].starts_with(line), "{text:?} by {slice}");
                }
                let found: Vec<_> = found.into_iter().map(|(_, line)| line).collect();
                assert_eq!(found, expected, "{text:?} by {slice}");
            }
        }
    }

    #[test]
    fn the_first_line_of_a_slice_is_behind_its_first_separator() {
        let first = |text: &str, begins| first_line(text.as_bytes(), begins).map(<[u8]>::to_vec);
        let hole = "\0".repeat(3 * HOLE);
        for (text, whole, rest) in [
            ("", None, None),
            ("one", None, None),
            ("one\ntwo", Some("one"), None),
            ("one\r\ntwo\n", Some("one\r"), Some("two")),
            (&format!("{hole}one\ntwo\n"), Some("one"), Some("one")),
            (&format!("one\n{hole}two\n"), Some("one"), Some("two")),
            (&hole, None, None),
        ] {
            assert_eq!(first(text, true), whole.map(|it| it.as_bytes().to_vec()), "{text:?}");
            assert_eq!(first(text, false), rest.map(|it| it.as_bytes().to_vec()), "{text:?}");
        }
    }

    #[test]
    fn an_endless_line_is_passed_over_in_bounded_memory_and_the_others_found() {
        let mut text = b"one\n".to_vec();
        text.resize(text.len() + LINE_MAX + 1, b'x');
        text.extend_from_slice(b"\ntwo\n");
        let second = (text.len() - 4) as u64;
        let expected = [(0, b"one".to_vec()), (second, b"two".to_vec())];
        for slice in [4096, 256 << 10, 4 << 20] {
            assert_eq!(forwards(&text, slice), expected);
            assert_eq!(backwards(&text, slice), expected);
        }
        let mut cutter = Forward::new(5);
        for _ in 0..9 {
            cutter.cut(&text[4..4 + LINE_MAX / 4], |_, _| panic!());
            assert!(cutter.carry.bytes.capacity() <= 2 * LINE_MAX);
        }
        assert_eq!(cutter.unfinished(), (cutter.at(), &b""[..]));
    }
}
