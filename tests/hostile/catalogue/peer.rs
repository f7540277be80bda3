//! The other end of a monitor's socket, which says what an attack wants it to.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use super::{Attack, UNTIL_RECOVERY};
use crate::DEADLINE;
use crate::client::SLOW_QUESTION;

pub const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \
                            \"major\": 7}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n";

/// One connection.
pub struct Peer {
    pub stream: UnixStream,
    /// Which connection this is, from 0.
    pub turn: usize,
    heard: Vec<u8>,
    /// Nothing more can be said.
    pub gone: bool,
    /// The promise has seen what it wanted to see of this connection.
    behaves: Arc<AtomicBool>,
}

/// A command of the library's, or of the program's through it.
pub struct Command {
    pub name: String,
    pub id: String,
    pub arguments: Value,
}

impl Peer {
    fn new(stream: UnixStream, turn: usize, behaves: &Arc<AtomicBool>) -> Self {
        stream.set_nonblocking(false).expect("a socket can wait");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket can wait so long");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket can wait so long");
        Self { stream, turn, heard: Vec::new(), gone: false, behaves: Arc::clone(behaves) }
    }

    /// What is said to nobody is no matter: a monitor may be closed at any time.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.gone = self.gone || self.stream.write_all(bytes.as_ref()).is_err();
        self
    }

    /// The same piece again and again, in writes that are not small.
    pub fn repeat(&mut self, piece: &str, times: usize) -> &mut Self {
        let pieces = (64 << 10) / piece.len() + 1;
        let block = piece.repeat(pieces.min(times));
        let mut left = times;
        while left > 0 && !self.gone {
            let now = left.min(pieces);
            self.say(&block.as_bytes()[..piece.len() * now]);
            left -= now;
        }
        self
    }

    /// A piece for each number, in writes that are not small.
    pub fn count(&mut self, times: usize, piece: impl Fn(usize) -> String) -> &mut Self {
        let mut block = String::new();
        for number in 0..times {
            block += &piece(number);
            if block.len() > 64 << 10 {
                self.say(&block);
                block.clear();
            }
            if self.gone {
                break;
            }
        }
        self.say(&block)
    }

    pub fn greet(&mut self) -> &mut Self {
        self.say(GREETING)
    }

    /// The next command; `None` when the library has hung up.
    pub fn command(&mut self) -> Option<Command> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                let value: Value = serde_json::from_slice(&line).expect("the library writes JSON");
                let name = value["execute"].as_str().or(value["exec-oob"].as_str());
                let name = name.expect("a command has a name").to_owned();
                let id = value["id"].as_str().expect("each command has an id").to_owned();
                return Some(Command { name, id, arguments: value["arguments"].clone() });
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.heard.extend_from_slice(&bytes[..count]),
            }
        }
    }

    /// Answers the next command, which should have this name. Returns its id.
    pub fn answer(&mut self, name: &str, json: &str) -> String {
        let Some(command) = self.command() else { return String::new() };
        assert_eq!(command.name, name);
        self.reply(&command.id, json);
        command.id
    }

    /// Agrees as a QEMU does that has no jobs.
    pub fn usable(&mut self) -> &mut Self {
        self.usable_with("[]", "[]")
    }

    pub fn usable_with(&mut self, jobs: &str, block_jobs: &str) -> &mut Self {
        self.greet();
        self.answer("qmp_capabilities", "{}");
        self.answer("query-jobs", jobs);
        self.answer("query-block-jobs", block_jobs);
        self
    }

    /// What follows is the server's.
    pub fn done(&mut self) {
        self.gone = self.gone || self.stream.flush().is_err();
    }

    /// A good message, which is told if the session lives. It begins a line of its own.
    pub fn prove(&mut self) -> &mut Self {
        self.say("\r\n").say(event("PROOF", "{}"))
    }

    /// Answers whatever comes, until the library hangs up.
    pub fn serve(&mut self) {
        while let Some(command) = self.command() {
            let json = if command.name.starts_with("query-") { "[]" } else { "{}" };
            self.reply(&command.id, json);
        }
    }

    /// Says this when the slow program is busy with what was said before, and lets it go on. What
    /// follows is heard before the program has taken any of it.
    pub fn meanwhile(&mut self, say: impl FnOnce(&mut Self)) -> &mut Self {
        while let Some(command) = self.command() {
            if command.name == SLOW_QUESTION {
                say(self);
                return self.reply(&command.id, "{}");
            }
            self.reply(&command.id, "[]");
        }
        self
    }

    fn reply(&mut self, id: &str, json: &str) -> &mut Self {
        self.say(format!("{{\"return\": {json}, \"id\": \"{id}\"}}\r\n"))
    }

    /// Takes what comes and says nothing, until the library hangs up.
    pub fn be_silent(&mut self) {
        while self.command().is_some() {}
    }

    /// Waits until the promise has seen what was said.
    pub fn until_seen(&mut self) -> &mut Self {
        crate::eventually("the promise has seen it", || self.behaves.load(SeqCst).then_some(()));
        self
    }

    /// Takes no more of what is written to it: that fails with EPIPE, and raises SIGPIPE.
    pub fn stop_reading(&mut self) -> &mut Self {
        self.gone = self.gone || self.stream.shutdown(Shutdown::Read).is_err();
        self
    }

    /// Ends the connection with most of a command unread, so that the kernel resets it: the library
    /// reads what was said to it, and then ECONNRESET instead of an end.
    pub fn reset(&mut self) {
        let first = self.stream.read(&mut [0]);
        assert!(self.heard.is_empty() && first.is_ok_and(|count| count == 1), "a command comes");
        // The server closes it without a further word.
        self.gone = true;
    }

    /// Ends the connection; nothing more is proved.
    pub fn close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.gone = true;
    }
}

/// A line with an event.
pub fn event(name: &str, data: &str) -> String {
    format!(
        "{{\"timestamp\": {{\"seconds\": 1700000000, \"microseconds\": 5}}, \"event\": \"{name}\", \
         \"data\": {data}}}\r\n"
    )
}

/// How a job's status changes.
pub fn status(id: &str, status: &str) -> String {
    event("JOB_STATUS_CHANGE", &format!("{{\"status\": \"{status}\", \"id\": \"{id}\"}}"))
}

/// How a job ends; `more` may be an error.
pub fn completed(id: &str, more: &str) -> String {
    let data = format!(
        "{{\"device\": \"{id}\", \"len\": 8, \"offset\": 8, \"speed\": 0, \"type\": \
         \"stream\"{more}}}"
    );
    event("BLOCK_JOB_COMPLETED", &data)
}

/// Takes connections one after another, until it is told to stop.
pub struct Server {
    /// Enough of an attack that goes on until recovery is spoken of.
    pub behaves: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(path: &Path, attack: &'static Attack) -> Self {
        let listener = UnixListener::bind(path).expect("a temporary directory is writable");
        listener.set_nonblocking(true).expect("a socket need not wait");
        let [behaves, stop] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let (behaving, stopped) = (Arc::clone(&behaves), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut turn = 0;
            while !stopped.load(SeqCst) {
                // Of a peer that takes no connection it is all the same.
                let accepted = (attack.times > 0).then(|| listener.accept().ok()).flatten();
                let Some((stream, _)) = accepted else {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                };
                let mut peer = Peer::new(stream, turn, &behaving);
                let enough = if attack.times == UNTIL_RECOVERY {
                    behaving.load(SeqCst)
                } else {
                    turn >= attack.times
                };
                if enough {
                    peer.usable();
                } else {
                    (attack.script)(&mut peer);
                }
                if !peer.gone {
                    peer.prove().serve();
                }
                turn += 1;
            }
        });
        Self { behaves, stop, thread: Some(thread) }
    }

    /// To be called when the library has hung up.
    pub fn stop(mut self) {
        self.stop.store(true, SeqCst);
        let thread = self.thread.take().expect("it was started");
        assert!(thread.join().is_ok(), "the peer's script failed");
    }
}
