//! The program's own text: what becomes of a command's name and arguments is one line of JSON that
//! QEMU reads and that says what the program said; anything else is refused.
//!
//! The input: a byte for the version of QEMU, a line with the command's name, a line with the
//! job's id, the arguments.

#![no_main]

use blockjob::{
    model::Version,
    qmp::{command::Command, encode, start::start},
};
use blockjob_fuzz::json::{self, Tree};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const VERSIONS: [Version; 8] = [
    Version { major: 1, minor: 1, micro: 0 },
    Version { major: 2, minor: 6, micro: 0 },
    Version { major: 2, minor: 7, micro: 0 },
    Version { major: 2, minor: 12, micro: 0 },
    Version { major: 3, minor: 1, micro: 0 },
    Version { major: 7, minor: 2, micro: 22 },
    Version { major: 10, minor: 0, micro: 2 },
    Version { major: i32::MAX, minor: i32::MIN, micro: 0 },
];

fuzz_target!(|input: &[u8]| {
    let Some((version, rest)) = input.split_first() else { return };
    let version = VERSIONS[usize::from(*version) % VERSIONS.len()];
    let text = String::from_utf8_lossy(rest);
    let mut parts = text.splitn(3, '\n');
    let [name, id, arguments] = [(); 3].map(|()| parts.next().unwrap_or_default());
    check_command(name, arguments);
    check_start(version, name, id, arguments);
    let member = encode::member("id", arguments);
    assert_eq!(serde_json::from_str::<Value>(&member).expect("JSON")["id"], arguments);
});

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty() && name.chars().all(plain)
}

/// An object in which no member stands twice and every character is one.
fn qemu_reads(arguments: &str) -> Option<Value> {
    let (value, tree) = json::read(arguments)?;
    let reads = matches!(tree, Tree::Object(_)) && !tree.repeats_somewhere() && is_text(&value);
    reads.then_some(value)
}

fn is_text(value: &Value) -> bool {
    let whole = |text: &str| {
        text.chars().map(u32::from).all(|c| c & 0xfffe != 0xfffe && !(0xfdd0..0xfdf0).contains(&c))
    };
    match value {
        Value::String(text) => whole(text),
        Value::Array(list) => list.iter().all(is_text),
        Value::Object(members) => members.iter().all(|(name, it)| whole(name) && is_text(it)),
        _ => true,
    }
}

fn check_command(name: &str, arguments: &str) {
    let command = Command::<()>::new(1, name, Some(arguments));
    let good = is_name(name) && name != "qmp_capabilities";
    let Some(expected) = qemu_reads(arguments).filter(|_| good) else {
        return assert!(command.is_err(), "QEMU would not read this");
    };
    let command = command.expect("QEMU reads this");
    let id = "blockjob-n-1-7";
    for oob in [false, true] {
        let line = encode::command(oob, &command.name, command.arguments.as_deref(), id);
        let said = one_line(&line);
        let verb = if oob { "exec-oob" } else { "execute" };
        assert_eq!(said[verb], name);
        assert_eq!(said["arguments"], expected);
        assert_eq!(said["id"], id);
        assert_eq!(said.as_object().map(serde_json::Map::len), Some(3));
    }
}

fn check_start(version: Version, name: &str, id: &str, arguments: &str) {
    // Every job has an id.
    let id = if id.is_empty() { "j0" } else { id };
    let Ok(start) = start(version, name, arguments, id) else { return };
    let mut expected = qemu_reads(arguments).expect("what is sent QEMU can read");
    assert!(is_name(name) && name != "transaction");
    let said = one_line(&encode::command(false, name, Some(&start.arguments), "i-1"));
    let said = &said["arguments"];
    assert!(qemu_reads(&start.arguments).is_some(), "what is sent QEMU can read");
    let old = (version.major, version.minor) < (2, 7);
    assert_eq!(said[if old { "device" } else { "job-id" }], id);
    // What the program said is said, and no more than what makes the job recoverable.
    let expected = expected.as_object_mut().expect("an object");
    if let Some(kept) = said.get("auto-dismiss").and_then(Value::as_bool) {
        assert_eq!(start.stays, !kept);
        expected.entry("auto-dismiss").or_insert(false.into());
    }
    if !old {
        expected.insert("job-id".into(), id.into());
    }
    assert_eq!(said.as_object(), Some(&*expected));
}

/// A command, which ends with its only newline.
fn one_line(line: &[u8]) -> Value {
    assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
    assert!(!line.contains(&b'\r'));
    serde_json::from_slice(line).expect("JSON")
}
