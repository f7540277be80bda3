//! What a message is, loosely: which of QEMU's four kinds, with its parts still as text. Members
//! that are not looked for are passed over, so a newer QEMU is no error.

use std::{borrow::Cow, fmt};

use serde_core::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor,
};
use serde_json::value::RawValue;

use crate::model::{Timestamp, Version, job::JOB_ID_MAX};

/// A message of QEMU.
#[derive(Debug)]
pub enum Message<'a> {
    Greeting(Version),
    Event {
        name: Cow<'a, str>,
        timestamp: Option<Timestamp>,
        /// QEMU leaves it out when it would be empty.
        data: Option<&'a RawValue>,
    },
    Return {
        id: Option<&'a RawValue>,
        value: &'a RawValue,
    },
    Error {
        id: Option<&'a RawValue>,
        class: Cow<'a, str>,
        description: Cow<'a, str>,
        /// All of it.
        json: &'a RawValue,
    },
    /// An object that is none of these.
    Unknown,
}

/// What an event says of a job, as far as it says so.
#[derive(Debug, PartialEq)]
pub struct Fields<'a> {
    pub job: Cow<'a, str>,
    pub type_name: Option<Cow<'a, str>>,
    pub error: Option<Cow<'a, str>>,
    pub status: Option<Cow<'a, str>>,
    pub action: Option<Cow<'a, str>>,
    pub operation: Option<Cow<'a, str>>,
    pub len: Option<i64>,
    pub offset: Option<i64>,
    pub speed: Option<i64>,
}

pub type Result<T> = std::result::Result<T, serde_json::Error>;

/// Reads one framed message.
pub fn parse(text: &str) -> Result<Message<'_>> {
    let [greeting, event, timestamp, data, answer, error, id] =
        members(text, ["QMP", "event", "timestamp", "data", "return", "error", "id"])?;
    if let Some(name) = event {
        let Some(name) = word(name) else { return Ok(Message::Unknown) };
        return Ok(Message::Event { name, timestamp: timestamp.and_then(moment), data });
    }
    if let Some(value) = answer {
        return Ok(Message::Return { id, value });
    }
    if let Some(error) = error {
        let [class, description] = members(error.get(), ["class", "desc"])?;
        let class = class.and_then(word).unwrap_or_default();
        let description = description.and_then(prose).unwrap_or_default();
        return Ok(Message::Error { id, class, description, json: error });
    }
    // It is kept as long as its connection.
    let greeting = greeting.filter(|_| text.len() <= GREETING_MAX);
    Ok(greeting.and_then(version).map_or(Message::Unknown, Message::Greeting))
}

/// The named members of a JSON object, as text. One that stands there twice is an error: nobody
/// could say which is true.
pub fn members<'a, const N: usize>(
    text: &'a str,
    names: [&'static str; N],
) -> Result<[Option<&'a RawValue>; N]> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = reader.deserialize_map(Members(names))?;
    reader.end()?;
    Ok(found)
}

/// A JSON integer that fits into 64 bits with sign; nothing else is one.
pub fn integer(raw: &RawValue) -> Option<i64> {
    raw.get().parse().ok()
}

/// `true` or `false`; nothing else is one.
pub fn boolean(raw: &RawValue) -> Option<bool> {
    raw.get().parse().ok()
}

/// A JSON string that is a word: a name, a type, a status. What is longer than any is none.
pub fn word(raw: &RawValue) -> Option<Cow<'_, str>> {
    (raw.get().len() <= WORD_MAX).then(|| string(raw)).flatten()
}

/// A JSON string that is the id of a job. What is longer than an id may be is none.
pub fn job_id(raw: &RawValue) -> Option<Cow<'_, str>> {
    // A byte of it is written with six at most.
    let may_be = raw.get().len() <= 6 * JOB_ID_MAX + 2;
    may_be.then(|| string(raw)).flatten().filter(|id| id.len() <= JOB_ID_MAX)
}

/// A JSON string for people, of which the beginning is enough when it is very long.
pub fn prose(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    if text.len() <= PROSE_MAX || !text.starts_with('"') {
        return string(raw);
    }
    // An escape must not be cut, nor a pair of them, which has twelve bytes.
    let beginning = |end| {
        let beginning: String = serde_json::from_str(&format!("{}\"", text.get(..end)?)).ok()?;
        Some(Cow::Owned(beginning + CUT))
    };
    (PROSE_MAX - 16..=PROSE_MAX - CUT.len()).rev().find_map(beginning)
}

/// The same of what is no string, to the letter.
pub fn prose_of(raw: &RawValue) -> Cow<'_, str> {
    prose(raw).unwrap_or_else(|| {
        let text = raw.get();
        let end = (0..=PROSE_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text[..end.unwrap_or_default()].into()
    })
}

/// A JSON string, its escapes resolved; borrowed where it has none.
pub fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0)
}

fn moment(raw: &RawValue) -> Option<Timestamp> {
    let [seconds, microseconds] = members(raw.get(), ["seconds", "microseconds"]).ok()?;
    let moment = Timestamp { seconds: integer(seconds?)?, microseconds: integer(microseconds?)? };
    // An old QEMU writes -1 twice when it could not read its clock.
    (moment != Timestamp { seconds: -1, microseconds: -1 }).then_some(moment)
}

/// Of `{"version": {"qemu": {"major": 7, ...}, ...}, ...}`.
fn version(greeting: &RawValue) -> Option<Version> {
    let [version] = members(greeting.get(), ["version"]).ok()?;
    let [qemu] = members(version?.get(), ["qemu"]).ok()?;
    let parts = members(qemu?.get(), ["major", "minor", "micro"]).ok()?;
    let part = |raw: Option<&RawValue>| i32::try_from(integer(raw?)?).ok();
    Some(Version { major: part(parts[0])?, minor: part(parts[1])?, micro: part(parts[2])? })
}

struct Members<const N: usize>([&'static str; N]);

impl<'de, const N: usize> Visitor<'de> for Members<N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(known) = map.next_key_seed(Key(&self.0))? {
            let Some(at) = known else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if found[at].replace(map.next_value()?).is_some() {
                return Err(A::Error::duplicate_field(self.0[at]));
            }
        }
        Ok(found)
    }
}

/// Which of these names a key is. It is looked at and not kept, however long it is.
struct Key<'a>(&'a [&'static str]);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(
        self,
        from: D,
    ) -> std::result::Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, key: &str) -> std::result::Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

/// A string that is borrowed where it can be; serde's own `Cow` always copies.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(TextVisitor)
    }
}

/// Behind the beginning of a text that was cut.
const CUT: &str = "...";
/// Longer than any name, type, status, class or id of a command that QEMU has.
pub(crate) const WORD_MAX: usize = 256;
/// Of the text of an error. QEMU's have a sentence, and the names of a file or two.
pub(crate) const PROSE_MAX: usize = 64 << 10;
/// QEMU's has 200 bytes.
const GREETING_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_word_or_an_id_that_is_too_long_is_none() {
        let of = |len: usize| raw(&format!("\"{}\"", "x".repeat(len)));
        assert_eq!(word(&of(WORD_MAX - 2)).unwrap().len(), WORD_MAX - 2);
        assert_eq!(word(&of(WORD_MAX - 1)), None);
        assert_eq!(job_id(&of(JOB_ID_MAX)).unwrap().len(), JOB_ID_MAX);
        assert_eq!(job_id(&of(JOB_ID_MAX + 1)), None);
        let escaped = raw(&format!("\"{}\"", "\\u0061".repeat(JOB_ID_MAX)));
        assert_eq!(job_id(&escaped).unwrap(), "a".repeat(JOB_ID_MAX));
    }

    #[test]
    fn prose_that_is_very_long_is_cut_between_two_characters() {
        let short = raw(&format!("\"{}\"", "x".repeat(PROSE_MAX - 2)));
        assert_eq!(prose(&short).unwrap().len(), PROSE_MAX - 2);
        for (written, character) in
            [("x", "x"), ("é", "é"), ("\\\\", "\\"), ("\\ud83d\\ude00", "😀")]
        {
            for before in 0..12 {
                let before = "-".repeat(before);
                let long = raw(&format!("\"{before}{}\"", written.repeat(PROSE_MAX)));
                let cut = prose(&long).unwrap();
                let rest = cut.strip_prefix(&*before).unwrap().strip_suffix(CUT).unwrap();
                assert!(rest.len() > PROSE_MAX / 4, "{written}");
                assert_eq!(rest.replace(character, ""), "", "{written}");
            }
        }
        assert_eq!(prose(&raw("7")), None);
        assert_eq!(prose_of(&raw("7")), "7");
        let list = raw(&format!("[{}1]", "1,".repeat(PROSE_MAX)));
        assert_eq!(prose_of(&list).len(), PROSE_MAX);
    }

    #[test]
    fn a_greeting_that_is_longer_than_any_is_none() {
        let greeting = |package: usize| {
            let text = format!(
                r#"{{"QMP": {{"version": {{"qemu": {{"micro": 1, "minor": 2, "major": 3}},
                "package": "{}"}}}}}}"#,
                "x".repeat(package)
            );
            matches!(parse(&text).unwrap(), Message::Greeting(_))
        };
        assert!(greeting(1000));
        assert!(!greeting(GREETING_MAX));
    }

    #[test]
    fn a_key_is_known_by_what_it_says_and_not_by_how_it_is_written() {
        let found = members(r#"{"\u0061": 1, "b\u0000": 2}"#, ["a", "b"]).unwrap();
        assert_eq!(found.map(|raw| raw.map(RawValue::get)), [Some("1"), None]);
        assert!(members(r#"{"\u0061": 1, "a": 2}"#, ["a"]).is_err());
    }

    #[test]
    fn the_greeting_of_a_real_qemu_gives_its_version() {
        let text = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7},
            "package": "Debian 1:7.2"}, "capabilities": ["oob"]}}"#;
        let Message::Greeting(version) = parse(text).unwrap() else { panic!() };
        assert_eq!(version, Version { major: 7, minor: 2, micro: 22 });
    }

    #[test]
    fn an_event_keeps_its_data_as_text() {
        let text = r#"{"timestamp": {"seconds": 1, "microseconds": -1}, "event": "RE\u0041DY",
            "data": {"n": 1}, "newer": [{}]}"#;
        let Message::Event { name, timestamp, data } = parse(text).unwrap() else { panic!() };
        assert_eq!(name, "REA\u{44}Y");
        assert_eq!(timestamp, Some(Timestamp { seconds: 1, microseconds: -1 }));
        assert_eq!(data.unwrap().get(), r#"{"n": 1}"#);
    }

    #[test]
    fn a_time_that_qemu_could_not_tell_is_none() {
        let text = r#"{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "STOP"}"#;
        let Message::Event { timestamp, .. } = parse(text).unwrap() else { panic!() };
        assert_eq!(timestamp, None);
    }

    #[test]
    fn replies_keep_their_id_whatever_it_is() {
        let id = |text| match parse(text).unwrap() {
            Message::Return { id, .. } | Message::Error { id, .. } => id.map(RawValue::get),
            other => panic!("{other:?}"),
        };
        assert_eq!(id(r#"{"return": {}, "id": {"a": [1]}}"#), Some(r#"{"a": [1]}"#));
        assert_eq!(id(r#"{"return": null}"#), None);
        assert_eq!(id(r#"{"error": {"class": "GenericError", "desc": "x"}, "id": 7}"#), Some("7"));
    }

    #[test]
    fn what_is_no_json_is_an_error_and_what_is_no_message_unknown() {
        assert!(parse(r#"{"return": {}, "id": inf}"#).is_err());
        assert!(parse(r#"{"event": "A", "event": "B"}"#).is_err());
        assert!(parse("[]").is_err());
        assert!(matches!(parse("{}").unwrap(), Message::Unknown));
        assert!(matches!(parse(r#"{"event": 5}"#).unwrap(), Message::Unknown));
        assert!(matches!(parse(r#"{"QMP": {"version": 5}}"#).unwrap(), Message::Unknown));
    }

    #[test]
    fn an_integer_is_64_bits_with_sign_and_nothing_else() {
        let read = |text: &str| integer(serde_json::from_str(text).unwrap());
        assert_eq!(read("9223372036854775807"), Some(i64::MAX));
        assert_eq!(read("-9223372036854775808"), Some(i64::MIN));
        for other in ["9223372036854775808", "1.0", "1e3", "\"1\"", "null", "[1]", "true"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
