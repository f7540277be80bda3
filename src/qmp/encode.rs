//! What we say to QEMU: one line a command. A newline ends it, for peers that read by lines.

/// `{"execute": NAME, "arguments": ARGUMENTS, "id": ID}`. Name and id are ours or were looked
/// through, and need no escaping; the arguments are JSON. `oob`: to overtake others.
pub fn command(oob: bool, name: &str, arguments: Option<&str>, id: &str) -> Vec<u8> {
    debug_assert!([name, id].iter().all(|text| !text.contains(['"', '\\', '\n'])));
    let verb = if oob { "exec-oob" } else { "execute" };
    let arguments = arguments.map(|json| format!(",\"arguments\":{json}")).unwrap_or_default();
    format!("{{\"{verb}\":\"{name}\"{arguments},\"id\":\"{id}\"}}\n").into_bytes()
}

/// `{"NAME": "TEXT"}`.
pub fn member(name: &str, text: &str) -> String {
    format!("{{\"{name}\":{}}}", string(text))
}

/// Text as JSON writes it.
pub fn string(text: &str) -> String {
    serde_json::to_string(text).expect("every text can be written as JSON")
}
