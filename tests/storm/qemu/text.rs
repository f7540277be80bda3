//! JSON as QEMU writes it: one line, a blank after colon and comma, all of it ASCII.

use std::fmt::Write as _;

use serde_json::Value;

pub fn encode(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
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
