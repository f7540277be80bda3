//! The wire in a bug report: a secret that is planted in a message is never shown, in whatever
//! way its name is written and wherever the line is cut; what is shown is one short line.
//!
//! The input: a byte for how names are written, a byte for the room, a message.

#![no_main]

use blockjob::{
    model::readable::Plain,
    qmp::{
        encode,
        message::parse,
        secrets::{may_show, without_secrets},
        wire::Wire,
    },
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// What is planted.
const SECRET: &str = "xXPLANTEDXx";

fuzz_target!(|input: &[u8]| {
    let [way, room, text @ ..] = input else { return };
    let text = String::from_utf8_lossy(text);
    trace(&text, *way);
    let Ok(mut value) = serde_json::from_str::<Value>(&text) else { return };
    if value.to_string().contains("PLANTED") {
        return;
    }
    let event = way & 1 == 1;
    plant(&mut value, event);
    let text = written(&value, *way >> 1);
    let whole = without_secrets(&text, event, usize::MAX);
    assert_hidden(&whole);
    check_shown(&value, &whole, event);
    for room in [usize::from(*room), text.len() / 2, text.len()] {
        let shown = without_secrets(&text, event, room);
        assert_hidden(&shown);
        assert!(shown.len() <= room + 50, "{} bytes in a room of {room}", shown.len());
    }
    arguments_of_others(&text);
});

fn assert_hidden(shown: &str) {
    assert!(!shown.contains("PLANTED"), "{shown}");
    assert!(!shown.chars().any(|c| c == '\n' || c == '\r'), "one line");
}

/// The wire as it is traced: one line of a bounded length, whatever is said.
fn trace(text: &str, way: u8) {
    let mut wire = Wire::default();
    let name = ["block-stream", "object-add", "query-jobs"][usize::from(way) % 3];
    wire.sent(&encode::command(way & 8 == 8, name, None, "i-1"));
    for line in [wire.heard(&parse(text), text), wire.sent(text.as_bytes())] {
        assert!(line.len() <= 3400 + 200, "{} bytes", line.len());
        // As it is said at last.
        assert!(!Plain(&line).to_string().contains(char::is_control), "{line:?}");
    }
}

/// Of a command that is not listed nothing is shown but its name.
fn arguments_of_others(arguments: &str) {
    let mut wire = Wire::default();
    if !arguments.starts_with('{') {
        return;
    }
    assert!(!may_show("object-add"));
    let shown = wire.sent(&encode::command(false, "object-add", Some(arguments), "i-1"));
    assert_eq!(
        shown,
        format!(
            "-> {{\"execute\":\"object-add\",\"id\":\"i-1\"}} (arguments left out: {} bytes)",
            arguments.len()
        )
    );
}

/// Is it the name of a secret? Said another way than the library says it.
fn is_secret(name: &str) -> bool {
    let name: String = name.chars().map(|c| c.to_ascii_lowercase()).collect();
    if name.ends_with("-secret") || name.ends_with("_secret") {
        return false;
    }
    let bare: String = name.chars().filter(|c| !"-_.".contains(*c)).collect();
    let words =
        ["password", "passwd", "passphrase", "secret", "cookie", "token", "credential", "private"];
    words.iter().any(|word| bare.contains(word))
        || bare.ends_with("key")
        || bare == "data"
        || bare == "auth"
}

/// Each secret becomes the planted one, alone or within other things.
fn plant(value: &mut Value, event: bool) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|it| plant(it, false)),
        Value::Object(members) => {
            for (name, it) in members {
                if is_secret(name) && !(event && name == "data") {
                    *it = match it {
                        Value::Array(_) => serde_json::json!([SECRET, {"a": SECRET}]),
                        Value::Object(_) => serde_json::json!({"]": [SECRET], SECRET: "}\"\\"}),
                        _ => SECRET.into(),
                    };
                } else {
                    plant(it, false);
                }
            }
        }
        Value::String(text) => {
            // A whole description, a password in an address, a list of options.
            let signs = ["json:{", "key=", "password=", "auth=", "token="];
            if text.starts_with("json:") || signs.iter().any(|sign| text.contains(sign)) {
                text.push_str(SECRET);
            } else if let Some((scheme, rest)) = text.split_once("://") {
                *text = format!("{scheme}://u:{SECRET}@{rest}");
            }
        }
        _ => {}
    }
}

/// The message as JSON, with names escaped in one of several ways.
fn written(value: &Value, way: u8) -> String {
    let space = if way & 1 == 1 { "\n " } else { "" };
    match value {
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(|it| written(it, way)).collect();
            format!("[{space}{}]", list.join(&format!(",{space}")))
        }
        Value::Object(members) => {
            let member = |(name, it): (&String, &Value)| {
                let name = if way & 2 == 2 { escaped(name) } else { encode::string(name) };
                format!("{space}{name}{space}:{space}{}", written(it, way))
            };
            let members: Vec<String> = members.iter().map(member).collect();
            format!("{{{}{space}}}", members.join(","))
        }
        Value::String(text) if way & 4 == 4 => escaped(text),
        other => other.to_string(),
    }
}

fn escaped(text: &str) -> String {
    let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{escaped}\"")
}

/// What is no secret is shown, and what is shown is JSON.
fn check_shown(value: &Value, shown: &str, event: bool) {
    let shown: Value = serde_json::from_str(shown).expect("it is still JSON");
    check_part(value, &shown, event);
}

fn check_part(value: &Value, shown: &Value, event: bool) {
    if let Value::String(shown) = shown {
        assert!(!shown.contains("PLANTED"), "by its escapes: {shown}");
    }
    match (value, shown) {
        (Value::Array(all), Value::Array(shown)) => {
            assert_eq!(all.len(), shown.len());
            all.iter().zip(shown).for_each(|(value, shown)| check_part(value, shown, false));
        }
        (Value::Object(all), Value::Object(shown)) => {
            for (name, value) in all {
                let Some(shown) = shown.get(name) else {
                    // A name that is longer than what is looked through is a secret like its value.
                    assert!(6 * name.len() > 4 << 10, "{name} is not shown");
                    assert_eq!(shown["***"], "***");
                    continue;
                };
                if is_secret(name) && !(event && name == "data") {
                    assert_eq!(shown, "***");
                } else if name != "***" || shown != "***" {
                    // Else it may be another one's, whose name is not shown either.
                    check_part(value, shown, false);
                }
            }
            let known = |name: &String| all.contains_key(name) || name == "***";
            assert!(shown.keys().all(known), "names that nobody said: {shown:?}");
        }
        (Value::String(text), Value::String(shown)) => {
            assert!(text == shown || shown.contains("***"), "{text} became {shown}");
        }
        // Another way to write a fraction may be read as its neighbour.
        _ if value.is_f64() => assert!(shown.is_f64()),
        _ => assert_eq!(value, shown),
    }
}
