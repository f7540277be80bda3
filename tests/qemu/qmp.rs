//! A QMP client that shares nothing with the library: it drives a QEMU and keeps every event as
//! the bytes that came. It reads only while it waits for something; QEMU keeps the rest for it.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::DEADLINE;

/// One message as it came, without the end of its line, and what it means.
#[derive(Debug)]
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
    /// Connects and negotiates; an error is that of connecting alone.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let mut stream = BufReader::new(stream);
        let greeting = read(&mut stream).expect("QEMU greets first");
        assert!(greeting.value["QMP"].is_object(), "this is no greeting: {}", greeting.text);
        let mut qmp = Self { stream, greeting, events: Vec::new(), commands: 0 };
        qmp.execute("qmp_capabilities", &json!({}));
        Ok(qmp)
    }

    pub fn greeting(&self) -> &str {
        &self.greeting.text
    }

    /// Every event so far, in the order of the wire.
    pub fn events(&self) -> &[Message] {
        &self.events
    }

    /// What the command returned. The tests send none that QEMU should refuse.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Value {
        self.commands += 1;
        let id = json!(self.commands);
        let message = json!({"execute": command, "arguments": arguments, "id": id}).to_string();
        // Without a line feed: one that QEMU had not read when it exits would reset the
        // connection, and with it what QEMU said last.
        self.stream.get_mut().write_all(message.as_bytes()).expect("QEMU takes a command");
        loop {
            let Some(mut reply) = read(&mut self.stream) else {
                panic!("QEMU hung up on {message}");
            };
            if reply.value["event"].is_string() {
                self.events.push(reply);
            } else if reply.value["id"] == id {
                assert!(reply.value["error"].is_null(), "{message} was refused: {}", reply.text);
                return reply.value["return"].take();
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
