//! Messages: what `parse` makes of a text is what another parser's reading of it says, and of a
//! text that the other parser cannot read nothing is made up.
//!
//! The input: the text.

#![no_main]

use blockjob::{
    model::{Timestamp, Version},
    qmp::message::{Message, boolean, integer, parse, string},
};
use blockjob_fuzz::json::{self, Tree};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, value::RawValue};

const NAMES: [&str; 7] = ["QMP", "event", "timestamp", "data", "return", "error", "id"];

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    if json::has_long_string(&text) {
        return;
    }
    let parsed = parse(&text);
    if let Ok(message) = &parsed {
        for raw in parts(message) {
            check_raw(&text, raw);
        }
    }
    // What the other one refuses, such as a number out of its range, may stand in what nobody asks
    // for; what it reads is read, and the same.
    let Some((value, tree)) = json::read(&text) else { return };
    if json::has_minus_zero(&text) {
        return;
    }
    let Value::Object(_) = value else {
        assert!(parsed.is_err(), "no object is a message");
        return;
    };
    if tree.repeats(Some(&NAMES)) {
        assert!(parsed.is_err(), "nobody can say which of two members is true");
        return;
    }
    check(parsed.ok(), &value, &tree);
});

fn parts<'a>(message: &Message<'a>) -> Vec<&'a RawValue> {
    match *message {
        Message::Greeting(_) | Message::Unknown => Vec::new(),
        Message::Event { data, .. } => data.into_iter().collect(),
        Message::Return { id, value } => [Some(value), id].into_iter().flatten().collect(),
        Message::Error { id, json, .. } => [Some(json), id].into_iter().flatten().collect(),
    }
}

/// A part is a part of the text, to the letter, and is read as what it is.
fn check_raw(text: &str, raw: &RawValue) {
    let whole = text.as_bytes().as_ptr_range();
    let part = raw.get().as_bytes().as_ptr_range();
    assert!(whole.start <= part.start && part.end <= whole.end);
    let Ok(value) = serde_json::from_str::<Value>(raw.get()) else { return };
    if json::has_minus_zero(raw.get()) {
        return;
    }
    assert_eq!(string(raw).as_deref(), value.as_str());
    assert_eq!(boolean(raw), value.as_bool());
    assert_eq!(integer(raw), value.as_i64());
}

/// What it must be, by the other parser's reading.
fn check(message: Option<Message<'_>>, value: &Value, tree: &Tree) {
    if let Some(name) = value.get("event") {
        let expected = name.as_str();
        match message.expect("it is JSON") {
            Message::Event { name, timestamp, data } => {
                assert_eq!(Some(&*name), expected);
                assert_eq!(timestamp, moment(value, tree));
                assert_eq!(data.map(read), value.get("data").cloned());
            }
            Message::Unknown => assert_eq!(expected, None),
            other => panic!("an event became {other:?}"),
        }
        return;
    }
    if let Some(answer) = value.get("return") {
        let Some(Message::Return { id, value: found }) = message else { panic!("a return") };
        assert_eq!(read(found), *answer);
        assert_eq!(id.map(read), value.get("id").cloned());
        return;
    }
    if let Some(error) = value.get("error") {
        let whole = tree.get("error").expect("it is there");
        if !error.is_object() || whole.repeats(Some(&["class", "desc"])) {
            assert!(message.is_none(), "an error says class and description, each once");
            return;
        }
        let Some(Message::Error { id, class, description, json }) = message else {
            panic!("an error")
        };
        let word = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        assert_eq!((&*class, &*description), (word("class"), word("desc")));
        assert_eq!(read(json), *error);
        assert_eq!(id.map(read), value.get("id").cloned());
        return;
    }
    match message.expect("it is JSON") {
        Message::Greeting(version) => assert_eq!(Some(version), version_of(value, tree)),
        Message::Unknown => assert_eq!(version_of(value, tree), None),
        other => panic!("neither event nor reply became {other:?}"),
    }
}

fn read(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).expect("the whole was read")
}

fn moment(value: &Value, tree: &Tree) -> Option<Timestamp> {
    let names = ["seconds", "microseconds"];
    if tree.get("timestamp")?.repeats(Some(&names)) {
        return None;
    }
    let [seconds, microseconds] = names.map(|name| value["timestamp"][name].as_i64());
    let moment = Timestamp { seconds: seconds?, microseconds: microseconds? };
    (moment != Timestamp { seconds: -1, microseconds: -1 }).then_some(moment)
}

fn version_of(value: &Value, tree: &Tree) -> Option<Version> {
    let greeting = tree.get("QMP")?;
    let version = greeting.get("version")?;
    let numbers = version.get("qemu")?;
    let names = ["major", "minor", "micro"];
    if greeting.repeats(Some(&["version"]))
        || version.repeats(Some(&["qemu"]))
        || numbers.repeats(Some(&names))
    {
        return None;
    }
    let numbers = &value["QMP"]["version"]["qemu"];
    let [major, minor, micro] =
        names.map(|name| numbers[name].as_i64().and_then(|it| i32::try_from(it).ok()));
    Some(Version { major: major?, minor: minor?, micro: micro? })
}
