//! What we say to QEMU: one line a command. A newline ends it, for peers that read by lines.

/// `{"execute": NAME, "id": ID}`. Both are ours and need no escaping.
pub fn command(name: &str, id: &str) -> Vec<u8> {
    debug_assert!([name, id].iter().all(|text| !text.contains(['"', '\\', '\n'])));
    format!("{{\"execute\":\"{name}\",\"id\":\"{id}\"}}\n").into_bytes()
}
