//! What is said on a connection, without what differs from run to run.

use std::collections::BTreeMap;

use serde_json::Value;

/// Collects it.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    tail: Vec<u8>,
    pub said: Vec<String>,
}

impl Listener {
    /// Something was sent.
    pub fn sent(&mut self) {
        self.said.push(SENT.into());
    }

    /// `commands` names each command by its id.
    pub fn hear(&mut self, bytes: &[u8], commands: &BTreeMap<String, String>) {
        self.tail.extend_from_slice(bytes);
        for message in take_messages(&mut self.tail) {
            let Ok(value) = serde_json::from_slice::<Value>(&message) else {
                self.said.push("?".into());
                continue;
            };
            let data = &value["data"];
            let words = [&data["id"], &data["device"], &data["status"], &data["action"]];
            let mut said: Vec<&str> = words.iter().filter_map(|word| word.as_str()).collect();
            let command = commands.get(&value["id"].to_string()).map_or("?", String::as_str);
            if let Some(event) = value["event"].as_str() {
                said.insert(0, event.trim_start_matches("JOB_STATUS_"));
                said.extend(data.get("error").map(|_| "error"));
            } else if value.get("QMP").is_some() {
                said.push("greeting");
            } else {
                said.extend(["reply", command]);
                said.extend(value["error"]["class"].as_str());
            }
            self.said.push(said.join(" "));
        }
    }

    /// Without the marks of what was sent, and without the pairs of paused and running (or standby
    /// and ready) again of a job between which nothing else of that job was said and nothing sent.
    pub fn normalised(&self) -> Vec<String> {
        let mut said = self.said.clone();
        for (paused, again) in [("paused", "running"), ("standby", "ready")] {
            let mut at = 0;
            while at < said.len() {
                let job = said[at].strip_prefix("CHANGE ").and_then(|s| s.strip_suffix(paused));
                let Some(job) = job.map(str::to_string) else {
                    at += 1;
                    continue;
                };
                let next = (at + 1..said.len()).find(|next| {
                    said[*next] == SENT || said[*next].split(' ').any(|word| word == job.trim())
                });
                match next.filter(|next| said[*next] == format!("CHANGE {job}{again}")) {
                    Some(next) => {
                        said.remove(next);
                        said.remove(at);
                    }
                    None => at += 1,
                }
            }
        }
        said.retain(|said| said != SENT);
        said
    }
}

/// The messages that are whole, each on one line or, opened by a line that holds but a brace, on
/// several.
pub fn take_messages(bytes: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    loop {
        let end: &[u8] = if bytes.starts_with(b"{\r\n") { b"\r\n}\r\n" } else { b"\r\n" };
        let Some(at) = memchr::memmem::find(bytes, end) else { return messages };
        messages.push(bytes.drain(..at + end.len()).collect());
    }
}

const SENT: &str = ">";
