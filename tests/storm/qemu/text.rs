//! JSON as QEMU writes it: one line, a blank after colon and comma, all of it ASCII.

use std::fmt::Write as _;

use serde_core::Serialize as _;
use serde_json::{Serializer, Value, ser::PrettyFormatter};

pub fn encode(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// The same on several lines, as `pretty=on` has it.
pub fn pretty(line: &str) -> String {
    let value: Value = serde_json::from_str(line).expect("it was encoded here");
    let mut text = Vec::new();
    let mut to = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "));
    value.serialize(&mut to).expect("memory takes it");
    String::from_utf8(text).expect("it was UTF-8 before").replace('\n', "\r\n")
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(values) => {
            text.push('[');
            for (n, value) in values.iter().enumerate() {
                text.push_str(if n == 0 { "" } else { ", " });
                write(value, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            for (n, (name, value)) in members.iter().enumerate() {
                text.push_str(if n == 0 { "" } else { ", " });
                write_string(name, text);
                text.push_str(": ");
                write(value, text);
            }
            text.push('}');
        }
        Value::String(string) => write_string(string, text),
        // It writes all 17 digits of a fraction, which read as the same number.
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 1e17 => {
                _ = write!(text, "{whole}");
            }
            _ => text.push_str(&number.to_string()),
        },
        other => text.push_str(&other.to_string()),
    }
}

fn write_string(string: &str, text: &mut String) {
    text.push('"');
    for unit in string.encode_utf16() {
        match u8::try_from(unit) {
            Ok(b'"') => text.push_str("\\\""),
            Ok(b'\\') => text.push_str("\\\\"),
            Ok(byte @ 0x20..0x7f) => text.push(char::from(byte)),
            // Nothing fails that writes to a string.
            _ => _ = write!(text, "\\u{unit:04x}"),
        }
    }
    text.push('"');
}
