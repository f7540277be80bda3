//! An event as QEMU writes nearly all of them: one line, ASCII, no escapes. It is looked through
//! once, to see that it is JSON and where its members stand; nothing is copied. Whatever is not as
//! plain as that is nobody's fault and `None` here: `line`, `message` and `decode` read it, which
//! know every form, and say the same of what is read here.

use super::{
    decode::kind,
    message::{Fields, WORD_MAX},
};
use crate::model::{Kind, Timestamp};

/// An event that stands in `text` as a whole.
#[derive(Debug, PartialEq)]
pub struct Plain<'a> {
    pub text: &'a str,
    pub name: &'a str,
    pub timestamp: Option<Timestamp>,
    /// What it says, when it is an event of a job.
    pub job: Option<(Kind, Fields<'a>)>,
}

/// The event that the input begins with, after white space, and how many bytes that took.
pub fn plain(input: &[u8], limit: usize) -> Option<(usize, Plain<'_>)> {
    let begin = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n' | b' '))?;
    let input = &input[begin..];
    let mut reader = Reader { input, at: 0 };
    let mut found = Found::default();
    reader.object(|reader, key| reader.member(key, &mut found))?;
    let len = reader.at;
    if len > limit {
        return None;
    }
    // It is ASCII.
    let text = std::str::from_utf8(&input[..len]).ok()?;
    let name = found.name?.of(text);
    let job = kind(name).and_then(|kind| Some((kind, found.fields(kind, text)?)));
    // One that does not say of which job is a matter for who says so.
    if job.is_none() && kind(name).is_some() {
        return None;
    }
    Some((begin + len, Plain { text, name, timestamp: found.timestamp, job }))
}

/// Where the members stand that are looked for.
#[derive(Default)]
struct Found {
    name: Option<Span>,
    timestamp: Option<Timestamp>,
    has_data: bool,
    words: [Option<Span>; WORDS.len()],
    numbers: [Option<i64>; NUMBERS.len()],
}

/// From where to where.
#[derive(Clone, Copy)]
struct Span(usize, usize);

impl Span {
    fn of(self, text: &str) -> &str {
        &text[self.0..self.1]
    }
}

impl Found {
    fn fields<'a>(&self, kind: Kind, text: &'a str) -> Option<Fields<'a>> {
        let [device, id, type_name, error, status, action, operation] =
            self.words.map(|span| span.map(|span| span.of(text)));
        let [len, offset, speed] = self.numbers;
        // Two of the events name the job `id`, the others `device`.
        let job = if matches!(kind, Kind::Pending | Kind::Status) { id } else { device };
        Some(Fields {
            job: job?.into(),
            type_name: type_name.map(Into::into),
            error: error.map(Into::into),
            status: status.map(Into::into),
            action: action.map(Into::into),
            operation: operation.map(Into::into),
            len,
            offset,
            speed,
        })
    }
}

/// Each step is `None` where the text is not plain.
struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A member of the message.
    fn member(&mut self, key: &[u8], found: &mut Found) -> Option<()> {
        match key {
            b"event" if found.name.is_none() => found.name = Some(self.word()?),
            b"timestamp" if found.timestamp.is_none() => found.timestamp = Some(self.moment()?),
            b"data" if !found.has_data => {
                found.has_data = true;
                self.object(|reader, key| reader.datum(key, found))?;
            }
            _ => return None,
        }
        Some(())
    }

    /// A member of an event's data.
    fn datum(&mut self, key: &[u8], found: &mut Found) -> Option<()> {
        if let Some(place) = WORDS.iter().position(|word| *word == key) {
            // Of an event of no job these may be anything.
            if self.peek()? != b'"' || found.words[place].is_some() {
                return None;
            }
            found.words[place] = Some(self.word()?);
        } else if let Some(place) = NUMBERS.iter().position(|word| *word == key) {
            if found.numbers[place].is_some() {
                return None;
            }
            found.numbers[place] = Some(self.number()?);
        } else {
            self.value(0)?;
        }
        Some(())
    }

    fn moment(&mut self) -> Option<Timestamp> {
        let (mut seconds, mut microseconds) = (None, None);
        self.object(|reader, key| {
            let part = match key {
                b"seconds" => &mut seconds,
                b"microseconds" => &mut microseconds,
                _ => return None,
            };
            // Where QEMU could not read its clock it writes -1.
            let number = reader.number().filter(|number| *number >= 0)?;
            part.replace(number).is_none().then_some(())
        })?;
        Some(Timestamp { seconds: seconds?, microseconds: microseconds? })
    }

    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.skip_spaces();
            let Span(begin, end) = self.string()?;
            let input = self.input;
            self.skip_spaces();
            self.expect(b':')?;
            self.skip_spaces();
            member(self, &input[begin..end])?;
            self.skip_spaces();
            match self.take()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Any value.
    fn value(&mut self, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            b'"' => drop(self.string()?),
            b'{' => self.object(|reader, _| reader.value(depth + 1))?,
            b'[' => self.list(depth)?,
            b't' => self.literal(b"true")?,
            b'f' => self.literal(b"false")?,
            b'n' => self.literal(b"null")?,
            _ => drop(self.number()?),
        }
        Some(())
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        self.expect(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.skip_spaces();
            self.value(depth + 1)?;
            self.skip_spaces();
            match self.take()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    /// A string without escapes; what stands between the quotes.
    fn string(&mut self) -> Option<Span> {
        self.expect(b'"')?;
        let begin = self.at;
        while PLAIN[usize::from(*self.input.get(self.at)?)] {
            self.at += 1;
        }
        let end = self.at;
        self.expect(b'"')?;
        Some(Span(begin, end))
    }

    /// One that is no longer than a word may be.
    fn word(&mut self) -> Option<Span> {
        self.string().filter(|Span(begin, end)| end - begin + 2 <= WORD_MAX)
    }

    /// An integer of 64 bits. What follows it may not go on with it.
    fn number(&mut self) -> Option<i64> {
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let begin = self.at;
        let mut number = 0_i64;
        while let Some(digit) = self.input.get(self.at).map(|byte| byte.wrapping_sub(b'0')) {
            if digit > 9 {
                break;
            }
            number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
            self.at += 1;
        }
        let len = self.at - begin;
        let has_zero_before = len > 1 && self.input[begin] == b'0';
        let ends = matches!(self.peek()?, b',' | b'}' | b']' | b' ');
        let fits = (1..=DIGITS_MAX).contains(&len) && !has_zero_before && ends;
        fits.then_some(if negative { -number } else { number })
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.at += self.input[self.at..].starts_with(word).then_some(word.len())?;
        Some(())
    }

    fn skip_spaces(&mut self) {
        while self.input.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.take()? == byte).then_some(())
    }
}

const WORDS: [&[u8]; 7] = [b"device", b"id", b"type", b"error", b"status", b"action", b"operation"];
const NUMBERS: [&[u8]; 3] = [b"len", b"offset", b"speed"];
/// More is nothing that QEMU's events have.
const DEPTH_MAX: usize = 16;
/// So many always fit into 64 bits.
const DIGITS_MAX: usize = 18;
/// What may stand in a string as itself.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        plain[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qmp::{
        decode::{decode, event},
        line::{Frame, Framer},
        message::{Message, parse},
    };

    const EVENTS: [&str; 6] = [
        concat!(
            r#"{"timestamp": {"seconds": 1795408814, "microseconds": 628186}, "event": "#,
            r#""BLOCK_JOB_COMPLETED", "data": {"device": "j0", "len": 1048576, "offset": -1, "#,
            r#""speed": 0, "type": "stream", "error": "No space"}}"#,
        ),
        concat!(
            r#"{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "JOB_STATUS_CHANGE", "#,
            r#""data": {"status": "running", "id": "j0"}}"#,
        ),
        concat!(
            r#"{"data": {"a": [1, {"b": [true, false, null]}, ["x"], {}, []], "id": "y"}, "#,
            r#""event": "X", "timestamp": {"microseconds": 1, "seconds": 2}}"#,
        ),
        r#"{"event": "STOP"}"#,
        concat!(
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "BLOCK_JOB_ERROR", "#,
            r#""data": {"device": "j", "action": "stop", "operation": "read"}}"#,
        ),
        r#"{"event":"BLOCK_JOB_PENDING","data":{"id":"j","type":"mirror","n":1e5}}"#,
    ];

    /// Is what is read here what the others read?
    fn compare(input: &[u8]) -> bool {
        let Some((used, plain)) = plain(input, 1 << 10) else { return false };
        let mut framer = Framer::new(1 << 10);
        let (cut, frame) = framer.next(input);
        let Some(Frame::Message(bytes)) = frame else { panic!("{plain:?}: {frame:?}") };
        assert_eq!((bytes, cut), (plain.text.as_bytes(), used));
        let parsed = parse(plain.text);
        let Ok(Message::Event { name, timestamp, data }) = parsed else { panic!("{parsed:?}") };
        assert_eq!((&*name, timestamp), (plain.name, plain.timestamp), "{}", plain.text);
        let slow = decode(&name, timestamp, data, plain.text);
        let fast =
            plain.job.map(|(kind, fields)| event(kind, plain.timestamp, &fields, plain.text));
        assert_eq!(format!("{slow:?}"), format!("{fast:?}"), "{}", plain.text);
        true
    }

    #[test]
    fn what_qemu_writes_is_plain_and_read_as_the_others_read_it() {
        for text in &EVENTS[..5] {
            assert!(compare(text.as_bytes()), "{text}");
            assert!(compare(format!("\r\n{text}\r\n{{").as_bytes()), "{text}");
        }
        assert!(!compare(EVENTS[5].as_bytes()));
    }

    #[test]
    fn what_is_less_plain_is_left_to_the_others() {
        for text in [
            r#"{"event": "A\n"}"#,
            r#"{"event": "é"}"#,
            r#"{"event": "A", "id": 1}"#,
            r#"{"event": "A", "event": "A"}"#,
            r#"{"event": "BLOCK_JOB_READY", "data": {"id": "j"}}"#,
            r#"{"event": "A", "data": {"len": 9223372036854775807}}"#,
            r#"{"event": "A", "timestamp": {"seconds": -1, "microseconds": -1}}"#,
            "{\"event\": \"A\",\n\"data\": {}}",
            r#"{"return": {}}"#,
            r#"{"event": "A""#,
            "",
            "x",
        ] {
            assert!(!compare(text.as_bytes()), "{text}");
        }
        let deep = format!("{{\"event\": \"A\", \"data\": {{\"a\": {}", "[".repeat(1 << 20));
        assert!(!compare(deep.as_bytes()));
        let name = format!("{{\"event\": \"{}\"}}", "A".repeat(WORD_MAX - 1));
        assert!(!compare(name.as_bytes()));
        let long = format!("{{\"event\": \"{}\"}}", "A".repeat(1 << 10));
        assert!(!compare(long.as_bytes()));
    }

    #[test]
    fn no_change_of_a_byte_makes_it_say_what_the_others_do_not() {
        let replacements = b"\"\\{}[],: \n0-1ea\x00\x1f\x7f\x80\xff";
        let mut plain = 0;
        for text in EVENTS {
            for at in 0..text.len() {
                for with in replacements {
                    let mut changed = text.as_bytes().to_vec();
                    changed[at] = *with;
                    plain += usize::from(compare(&changed));
                    changed.insert(at, text.as_bytes()[at]);
                    plain += usize::from(compare(&changed));
                }
                let mut cut = text.as_bytes().to_vec();
                cut.remove(at);
                plain += usize::from(compare(&cut));
            }
        }
        assert!(plain > 1000, "{plain}");
    }
}
