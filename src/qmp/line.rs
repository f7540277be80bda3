//! Framing: where a message of QEMU begins and ends in a stream of bytes.
//!
//! A plain monitor writes one line a message, one with `pretty=on` many, so nesting decides. Lines
//! are for finding the way back: QEMU never breaks a line inside a string and indents whatever is
//! nested, so a string that meets a newline was cut off, and `{` in the first column begins anew.

use memchr::memchr;

/// Cuts a stream into messages. Not a parser: what it gives out may still be no JSON.
#[derive(Debug)]
pub struct Framer {
    stage: Stage,
    /// What has come of the current message; at most `limit` bytes.
    pending: Vec<u8>,
    /// The message in `pending` was given out and is to be forgotten.
    given: bool,
    limit: usize,
    /// Bytes of the current message so far, also of one that is skipped.
    length: usize,
    depth: usize,
    quote: Quote,
    /// The last byte was a newline.
    column_0: bool,
}

/// What `next` found.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// From `{` to its `}`.
    Message(&'a [u8]),
    /// Something that is no message; of garbage its first bytes.
    Stray(Stray, &'a [u8]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stray {
    /// A line that does not begin with `{`.
    Garbage,
    /// A message that broke off, and another one began.
    CutOff,
    /// A message over the limit of bytes, skipped.
    TooLong,
    /// A message nested deeper than QEMU nests, skipped.
    TooDeep,
    /// A message for which there is no memory.
    NoMemory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Between,
    Message,
    /// In a message that will not be given out: only its end is looked for.
    Skipping(Stray),
    /// In a line that is no message.
    Garbage,
}

/// Where a string of JSON stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

/// Where one byte leads.
enum Step {
    Inside,
    End,
    /// The message broke off before this byte, which belongs to what follows.
    Broken,
}

impl Framer {
    pub fn new(limit: usize) -> Self {
        Self {
            stage: Stage::Between,
            pending: Vec::new(),
            given: false,
            limit,
            length: 0,
            depth: 0,
            quote: Quote::Outside,
            column_0: true,
        }
    }

    /// Finds the next frame. Returns how many bytes of `input` it used; call again with the rest
    /// until there is no frame, which is after all of `input` has been used.
    pub fn next<'a>(&'a mut self, input: &'a [u8]) -> (usize, Option<Frame<'a>>) {
        self.forget_given();
        if self.stage == Stage::Between {
            let skipped = input.iter().position(|byte| !byte.is_ascii_whitespace());
            let Some(start) = skipped else { return (input.len(), None) };
            self.begin(input[start]);
            let (used, frame) = self.inside(&input[start..]);
            return (start + used, frame);
        }
        self.inside(input)
    }

    /// Nothing has come of the next message. Whoever finds a whole one in what comes may take it
    /// without asking here; `limit` holds for it.
    pub fn is_between(&self) -> bool {
        self.stage == Stage::Between
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The message that was given out is not needed any more.
    pub fn forget_given(&mut self) {
        if self.given {
            self.forget();
        }
    }

    /// The stream has ended: how many bytes of an unfinished message or line are lost with it.
    pub fn finish(&mut self) -> usize {
        self.forget_given();
        let lost = self.length;
        self.forget();
        self.stage = Stage::Between;
        lost
    }

    /// The current message is skipped because there is no memory for it.
    pub fn is_starved(&self) -> bool {
        self.stage == Stage::Skipping(Stray::NoMemory)
    }

    /// What has come of a line that is no message.
    pub fn unfinished_garbage(&self) -> Option<&[u8]> {
        (self.stage == Stage::Garbage).then_some(&self.pending)
    }

    fn inside<'a>(&'a mut self, input: &'a [u8]) -> (usize, Option<Frame<'a>>) {
        if self.stage == Stage::Garbage { self.garbage(input) } else { self.message(input) }
    }

    fn begin(&mut self, first: u8) {
        self.stage = if first == b'{' { Stage::Message } else { Stage::Garbage };
        (self.length, self.depth) = (0, 0);
        (self.quote, self.column_0) = (Quote::Outside, false);
    }

    fn garbage<'a>(&'a mut self, input: &'a [u8]) -> (usize, Option<Frame<'a>>) {
        let end = memchr(b'\n', input);
        let part = &input[..end.unwrap_or(input.len())];
        let room = EXCERPT.saturating_sub(self.pending.len()).min(part.len());
        self.pending.extend_from_slice(&part[..room]);
        self.length += part.len();
        let Some(end) = end else { return (input.len(), None) };
        (end + 1, Some(self.stray(Stray::Garbage)))
    }

    fn message<'a>(&'a mut self, input: &'a [u8]) -> (usize, Option<Frame<'a>>) {
        for (at, &byte) in input.iter().enumerate() {
            match self.step(byte) {
                Step::Inside => {}
                Step::End => return (at + 1, Some(self.end(&input[..=at]))),
                Step::Broken => {
                    self.keep(&input[..at]);
                    return (at, Some(self.stray(Stray::CutOff)));
                }
            }
        }
        self.keep(input);
        (input.len(), None)
    }

    fn step(&mut self, byte: u8) -> Step {
        if self.quote != Quote::Outside {
            self.quote = match (self.quote, byte) {
                (_, b'\n') => return Step::Broken,
                (Quote::Inside, b'\\') => Quote::Escaped,
                (Quote::Inside, b'"') => Quote::Outside,
                _ => Quote::Inside,
            };
            return Step::Inside;
        }
        let column_0 = std::mem::replace(&mut self.column_0, byte == b'\n');
        match byte {
            b'"' => self.quote = Quote::Inside,
            b'{' if column_0 => return Step::Broken,
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth > DEPTH_MAX && self.stage == Stage::Message {
                    self.skip(Stray::TooDeep);
                }
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return Step::End;
                }
            }
            _ => {}
        }
        Step::Inside
    }

    /// Lays a part of the current message aside until the rest comes.
    fn keep(&mut self, part: &[u8]) {
        self.length = self.length.saturating_add(part.len());
        if self.stage == Stage::Message {
            if self.length > self.limit {
                self.skip(Stray::TooLong);
            } else if self.grow(part.len()) {
                self.pending.extend_from_slice(part);
            } else {
                self.skip(Stray::NoMemory);
            }
        }
    }

    /// Makes room, and never more than a message may have. False when there is no memory.
    fn grow(&mut self, more: usize) -> bool {
        let (len, room) = (self.pending.len(), self.pending.capacity());
        let wanted = (2 * room).min(self.limit).max(len + more);
        room - len >= more || self.pending.try_reserve_exact(wanted - len).is_ok()
    }

    fn skip(&mut self, why: Stray) {
        self.stage = Stage::Skipping(why);
        self.pending = Vec::new();
    }

    /// The message ends with `last`. What came in one piece is not copied.
    fn end<'a>(&'a mut self, last: &'a [u8]) -> Frame<'a> {
        if self.length > 0 || last.len() > self.limit {
            self.keep(last);
            if let Stage::Skipping(why) = self.stage {
                return self.stray(why);
            }
            (self.stage, self.given) = (Stage::Between, true);
            return Frame::Message(&self.pending);
        }
        if let Stage::Skipping(why) = self.stage {
            return self.stray(why);
        }
        self.stage = Stage::Between;
        Frame::Message(last)
    }

    fn stray(&mut self, why: Stray) -> Frame<'_> {
        let why = if let Stage::Skipping(why) = self.stage { why } else { why };
        (self.stage, self.given) = (Stage::Between, true);
        Frame::Stray(why, &self.pending[..self.pending.len().min(EXCERPT)])
    }

    fn forget(&mut self) {
        self.given = false;
        self.length = 0;
        self.pending.clear();
        // One long reply must not hold its memory for the rest of an idle monitor's life.
        self.pending.shrink_to(PENDING_KEPT);
    }
}

/// QEMU's own parser ends at this nesting too.
const DEPTH_MAX: usize = 1024;
/// As much of a stray line as an error message can use.
const EXCERPT: usize = 80;
/// Enough for a cut event line, which has 200 bytes as a rule.
const PENDING_KEPT: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the pieces and writes down each frame.
    fn frames(limit: usize, pieces: &[&[u8]]) -> Vec<String> {
        let mut framer = Framer::new(limit);
        let mut found = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            loop {
                let (used, frame) = framer.next(rest);
                let Some(frame) = frame else {
                    assert_eq!(used, rest.len());
                    break;
                };
                found.push(match frame {
                    Frame::Message(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    Frame::Stray(why, bytes) => {
                        format!("{why:?} {}", String::from_utf8_lossy(bytes))
                    }
                });
                rest = &rest[used..];
            }
        }
        found
    }

    /// The same stream whole, byte by byte and cut in two everywhere must give the same.
    fn however_cut(limit: usize, stream: &str) -> Vec<String> {
        let stream = stream.as_bytes();
        let whole = frames(limit, &[stream]);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(frames(limit, &bytes), whole, "byte by byte");
        for cut in 0..=stream.len() {
            let (one, two) = stream.split_at(cut);
            assert_eq!(frames(limit, &[one, two]), whole, "cut at {cut}");
        }
        whole
    }

    #[test]
    fn one_message_a_line_with_or_without_a_carriage_return() {
        assert_eq!(
            however_cut(99, "{\"a\": 1}\r\n{\"b\": [{}]}\n"),
            ["{\"a\": 1}", "{\"b\": [{}]}"]
        );
    }

    #[test]
    fn a_message_is_known_to_end_without_a_newline() {
        assert_eq!(however_cut(99, "{\"a\": 1}{}"), ["{\"a\": 1}", "{}"]);
    }

    #[test]
    fn a_pretty_message_spans_lines() {
        let pretty = "{\r\n    \"return\": {\r\n        \"a\": 1\r\n    }\r\n}";
        assert_eq!(however_cut(99, &format!("{pretty}\r\n{{}}\r\n")), [pretty, "{}"]);
    }

    #[test]
    fn braces_and_quotes_inside_strings_do_not_count() {
        let message = r#"{"a": "}{\"\\", "b": "]"}"#;
        assert_eq!(however_cut(99, message), [message]);
    }

    #[test]
    fn a_stream_that_begins_inside_a_message_finds_the_next_line() {
        assert_eq!(
            however_cut(99, "ue\": \"x\"}, {\"y\": 1}]}\r\n{\"QMP\": 1}\r\n"),
            ["Garbage ue\": \"x\"}, {\"y\": 1}]}\r", "{\"QMP\": 1}"]
        );
    }

    #[test]
    fn a_message_that_breaks_off_does_not_swallow_the_next() {
        assert_eq!(
            however_cut(99, "{\"a\": \"bro\r\n{\"b\": 1}\r\n"),
            ["CutOff {\"a\": \"bro\r", "{\"b\": 1}"]
        );
        assert_eq!(
            however_cut(99, "{\"a\": {\"b\": 1\r\n{\"c\": 1}\r\n"),
            ["CutOff {\"a\": {\"b\": 1\r\n", "{\"c\": 1}"]
        );
    }

    #[test]
    fn a_message_over_the_limit_is_skipped_and_the_next_one_read() {
        assert_eq!(however_cut(8, "{\"a\":12}\n{\"a\":123}\n{}"), ["{\"a\":12}", "TooLong ", "{}"]);
        assert_eq!(however_cut(8, "{\"a\":\"123456\n{}"), ["TooLong ", "{}"]);
    }

    #[test]
    fn a_message_nested_too_deeply_is_skipped() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert_eq!(frames(9999, &[deep.as_bytes(), b"{}"]), ["TooDeep ", "{}"]);
        let just = format!("{{\"a\":{}{}}}", "[".repeat(DEPTH_MAX - 1), "]".repeat(DEPTH_MAX - 1));
        assert_eq!(frames(9999, &[just.as_bytes()]), [just]);
    }

    #[test]
    fn the_end_tells_what_was_lost() {
        let mut framer = Framer::new(99);
        assert_eq!(framer.next(b"{}\r\n"), (2, Some(Frame::Message(&b"{}"[..]))));
        assert_eq!(framer.finish(), 0);
        assert_eq!(framer.next(b"{\"ti"), (4, None));
        assert_eq!(framer.finish(), 4);
        assert_eq!(framer.next(b"{}"), (2, Some(Frame::Message(&b"{}"[..]))));
    }
}
