//! An event as QEMU writes nearly all of them: one line, ASCII, no escapes. It is looked through
//! once, to see that it is JSON and where its members stand; nothing is copied. Whatever is not as
//! plain as that is nobody's fault and `None` here: `line`, `message` and `decode` read it, which
//! know every form, and say the same of what is read here.

use super::{
    decode::{kind, says_id},
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
    if reader.head(&mut found).is_none() {
        (reader.at, found) = (0, Found::default());
        reader.expect(b'{')?;
    }
    reader.members(|reader, key| reader.member(key, &mut found))?;
    let len = reader.at;
    if len > limit {
        return None;
    }
    // It is ASCII.
    let text = std::str::from_utf8(&input[..len]).ok()?;
    let name = found.name?.of(text);
    // One that does not say of which job is a matter for who says so.
    let job = match kind(name) {
        Some(kind) => Some((kind, found.fields(kind, text)?)),
        None => None,
    };
    Some((begin + len, Plain { text, name, timestamp: found.timestamp, job }))
}

/// Where the members stand that are looked for.
#[derive(Default)]
struct Found {
    name: Option<Span>,
    timestamp: Option<Timestamp>,
    has_data: bool,
    device: Option<Span>,
    id: Option<Span>,
    type_name: Option<Span>,
    error: Option<Span>,
    status: Option<Span>,
    action: Option<Span>,
    operation: Option<Span>,
    len: Option<i64>,
    offset: Option<i64>,
    speed: Option<i64>,
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
        let job = if says_id(kind) { self.id } else { self.device };
        let word = |span: Option<Span>| span.map(|span| span.of(text).into());
        Some(Fields {
            job: word(job)?,
            type_name: word(self.type_name),
            error: word(self.error),
            status: word(self.status),
            action: word(self.action),
            operation: word(self.operation),
            len: self.len,
            offset: self.offset,
            speed: self.speed,
        })
    }
}

/// Each step is `None` where the text is not plain.
struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// What every QEMU begins an event with, to the letter: its time and its name. Behind it the
    /// other members follow.
    fn head(&mut self, found: &mut Found) -> Option<()> {
        self.literal(b"{\"timestamp\": {\"seconds\": ")?;
        let seconds = self.number().filter(|number| *number >= 0)?;
        self.literal(b", \"microseconds\": ")?;
        let microseconds = self.number().filter(|number| *number >= 0)?;
        self.literal(b"}, \"event\": ")?;
        found.timestamp = Some(Timestamp { seconds, microseconds });
        found.name = Some(self.word()?);
        self.literal(b", ")
    }

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
        let Found { device, id, type_name, error, status, action, operation, .. } = found;
        let word = match key {
            b"device" => device,
            b"id" => id,
            b"type" => type_name,
            b"error" => error,
            b"status" => status,
            b"action" => action,
            b"operation" => operation,
            _ => return self.number_of(key, found),
        };
        // Of an event of no job this may be anything.
        word.replace(self.word()?).is_none().then_some(())
    }

    fn number_of(&mut self, key: &[u8], found: &mut Found) -> Option<()> {
        let number = match key {
            b"len" => &mut found.len,
            b"offset" => &mut found.offset,
            b"speed" => &mut found.speed,
            _ => return self.value(0),
        };
        number.replace(self.number()?).is_none().then_some(())
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

    fn object(&mut self, member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        self.members(member)
    }

    /// The members of an object up to its end; there is one at least.
    fn members(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
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
        let end = begin + plain_len(&self.input[begin..]);
        self.at = end;
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

/// How many bytes stand in a string as themselves: ASCII but quotes, backslashes and controls.
fn plain_len(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some((eight, _)) = text[at..].split_first_chunk::<8>() {
        let eight = u64::from_le_bytes(*eight);
        // The lowest bit that is set is right; a carry may set one above it.
        let below = |limit: u64| eight.wrapping_sub(ONES * limit) & !eight;
        let is = |byte: u8| {
            let other = eight ^ (ONES * u64::from(byte));
            other.wrapping_sub(ONES) & !other
        };
        let others = (below(0x20) | is(b'"') | is(b'\\') | eight) & (ONES << 7);
        if others != 0 {
            return at + others.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let is_plain = |byte: &u8| (0x20..0x80).contains(byte) && *byte != b'"' && *byte != b'\\';
    let rest = text[at..].iter().position(|byte| !is_plain(byte));
    rest.map_or(text.len(), |rest| at + rest)
}

/// More is nothing that QEMU's events have.
const DEPTH_MAX: usize = 16;
/// So many always fit into 64 bits.
const DIGITS_MAX: usize = 18;
/// One in each of eight bytes.
const ONES: u64 = 0x0101_0101_0101_0101;

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
