//! A QMP client that shares nothing with the library: it drives a QEMU and keeps every event as
//! the bytes that came. It reads only while it waits for something; QEMU keeps the rest for it.

use std::io::{self, BufRead, BufReader, ErrorKind, Read as _, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::DEADLINE;

/// One message as it came, without the end of its line, and what it means.
#[derive(Clone, Debug)]
pub struct Message {
    pub text: String,
    pub value: Value,
}

pub struct Qmp {
    stream: BufReader<UnixStream>,
    greeting: Message,
    events: Vec<Message>,
    commands: u32,
}

impl Qmp {
    /// Connects and negotiates; an error is that of connecting, or that QEMU has ended.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let mut stream = BufReader::new(stream);
        // The event of having started may precede the greeting, in QEMU 5.2 at least.
        let greeting = loop {
            let message = read(&mut stream).ok_or(ErrorKind::UnexpectedEof)?;
            if !message.value["event"].is_string() {
                break message;
            }
        };
        assert!(greeting.value["QMP"].is_object(), "this is no greeting: {}", greeting.text);
        let mut qmp = Self { stream, greeting, events: Vec::new(), commands: 0 };
        let id = qmp.send("qmp_capabilities", &json!({}));
        let reply = qmp.reply_to(&id).ok_or(ErrorKind::UnexpectedEof)?;
        assert!(reply.value["error"].is_null(), "QEMU refused to agree: {}", reply.text);
        Ok(qmp)
    }

    pub fn greeting(&self) -> &str {
        &self.greeting.text
    }

    /// Major and minor, in an order that makes versions comparable.
    pub fn version(&self) -> (i64, i64) {
        let version = &self.greeting.value["QMP"]["version"]["qemu"];
        let [major, minor] = ["major", "minor"].map(|part| version[part].as_i64());
        major.zip(minor).expect("a greeting tells the version")
    }

    /// Every event so far, in the order of the wire.
    pub fn events(&self) -> &[Message] {
        &self.events
    }

    /// What the command returned. QEMU should not refuse it.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Value {
        let mut reply = self.reply(command, arguments);
        assert!(reply.value["error"].is_null(), "{command} was refused: {}", reply.text);
        reply.value["return"].take()
    }

    /// The class of the error with which QEMU refused the command, if it did.
    pub fn refusal(&mut self, command: &str, arguments: &Value) -> Option<String> {
        let reply = self.reply(command, arguments);
        reply.value["error"]["class"].as_str().map(str::to_owned)
    }

    /// Sends a command without waiting for what becomes of it. Returns the reply's id.
    pub fn send(&mut self, command: &str, arguments: &Value) -> Value {
        self.commands += 1;
        let id = json!(self.commands);
        let message = json!({"execute": command, "arguments": arguments, "id": id}).to_string();
        // Without a line feed: one that QEMU had not read when it exits would reset the
        // connection, and with it what QEMU said last.
        self.stream.get_mut().write_all(message.as_bytes()).expect("QEMU takes a command");
        id
    }

    fn reply(&mut self, command: &str, arguments: &Value) -> Message {
        let id = self.send(command, arguments);
        self.reply_to(&id).unwrap_or_else(|| panic!("QEMU hung up on {command} {arguments}"))
    }

    /// `None` when QEMU hung up.
    fn reply_to(&mut self, id: &Value) -> Option<Message> {
        loop {
            let message = read(&mut self.stream)?;
            if message.value["event"].is_string() {
                self.events.push(message);
            } else if message.value["id"] == *id {
                return Some(message);
            }
        }
    }

    /// Takes what is left to read of a QEMU that is gone or about to go.
    pub fn read_to_end(&mut self) {
        while let Some(message) = read(&mut self.stream) {
            if message.value["event"].is_string() {
                self.events.push(message);
            }
        }
    }
}

/// Does QEMU say anything to a client within so much time?
pub fn greets(socket: &Path, limit: Duration) -> bool {
    let greeted = UnixStream::connect(socket).and_then(|mut stream| {
        stream.set_read_timeout(Some(limit))?;
        stream.read(&mut [0])
    });
    greeted.is_ok_and(|bytes| bytes > 0)
}

/// The next message, or `None` at the end. A plain monitor writes each on a line of its own, a
/// pretty one over several.
fn read(stream: &mut BufReader<UnixStream>) -> Option<Message> {
    let mut text = String::new();
    loop {
        match stream.read_line(&mut text) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the tests' own monitor said nothing for {DEADLINE:?}: {error}"),
        }
        match serde_json::from_str(&text) {
            Ok(value) => return Some(Message { text: text.trim_end().to_owned(), value }),
            Err(error) => assert!(error.is_eof(), "QEMU wrote {text:?}: {error}"),
        }
    }
    assert!(text.is_empty(), "QEMU hung up within a message: {text:?}");
    None
}
