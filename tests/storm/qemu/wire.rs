//! The monitor's socket: one client is served, few may wait, and what the former client left
//! behind may reach the next. Bytes in, commands out; replies and events in, bytes out.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value};

use super::{
    Odds,
    counts::{self, Counts},
    version::Version,
};
use crate::chance::Chance;

/// Counts the connections of one process from 0.
pub type ConnectionId = u64;

#[derive(Debug, Default)]
pub struct Wire {
    connections: BTreeMap<ConnectionId, Connection>,
    /// The first is served; the others have connected and get silence.
    line: VecDeque<ConnectionId>,
    made: ConnectionId,
    /// A client was served before, and had negotiated.
    negotiated_before: bool,
    /// What the former client did not read, from where it left off.
    unread: Vec<u8>,
    last_line: String,
    /// Was taken out of the queue of a client that has left since.
    executing: Option<Request>,
    pub counts: Counts,
}

/// A command, as far as it could be read.
#[derive(Debug)]
pub struct Request {
    pub connection: ConnectionId,
    pub id: Option<Value>,
    /// `None`: it was no command.
    pub command: Option<String>,
    pub arguments: Map<String, Value>,
    /// The client had not negotiated when it was served.
    pub negotiating: bool,
}

#[derive(Debug)]
struct Connection {
    input: Vec<u8>,
    output: Vec<u8>,
    requests: VecDeque<Request>,
    stage: Stage,
    /// The next event was about to be written when QEMU greeted, and stands behind that.
    straggler: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// In the backlog.
    Waiting,
    /// Served, with the former session's negotiation still in force for so many steps: events come,
    /// and the greeting does not yet.
    Early(u64),
    Negotiating,
    Ready,
    /// Greeted in a race with the start of the process: what it says is never read.
    Deaf,
    /// QEMU has gone; what was written before can still be read.
    Ended,
}

impl Wire {
    /// `None`: the backlog is full.
    pub fn connect(&mut self) -> Option<ConnectionId> {
        if self.line.len() > WAITING_MAX {
            return None;
        }
        let id = self.made;
        self.made += 1;
        self.line.push_back(id);
        self.connections.insert(id, Connection::new());
        Some(id)
    }

    pub fn receive(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.stage != Stage::Ended {
            connection.input.extend_from_slice(bytes);
        }
    }

    pub fn take_output(&mut self, id: ConnectionId) -> Vec<u8> {
        self.connections
            .get_mut(&id)
            .map_or_else(Vec::new, |connection| std::mem::take(&mut connection.output))
    }

    /// No more will come on this connection than can be taken now.
    pub fn is_ended(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_none_or(|connection| connection.stage == Stage::Ended)
    }

    /// The client has left. Its commands that were not begun are discarded; the one that is being
    /// executed ends, and its reply goes to whoever is connected then.
    pub fn disconnect(&mut self, id: ConnectionId, executing: bool) {
        let Some(mut connection) = self.connections.remove(&id) else { return };
        let was_served = self.line.front() == Some(&id);
        self.line.retain(|other| *other != id);
        if was_served {
            connection.read(id);
            self.unread = connection.output;
            self.negotiated_before = matches!(connection.stage, Stage::Ready);
            let negotiating = connection.stage == Stage::Negotiating;
            let begun = executing && (negotiating || connection.stage == Stage::Ready);
            let first = connection.requests.pop_front().filter(|_| begun);
            let first = first.map(|request| Request { negotiating, ..request });
            self.executing = self.executing.take().or(first);
        }
    }

    /// Serves the next client, or greets the one that is served. True if it did.
    pub fn turn(&mut self, version: Version, odds: &Odds, chance: &mut Chance) -> bool {
        let Some(connection) = self.line.front().and_then(|id| self.connections.get_mut(id)) else {
            return false;
        };
        match connection.stage {
            Stage::Waiting => {
                let threaded = version.has_monitor_thread() && self.made > 1;
                if threaded && chance.one_in(odds.stale_bytes) {
                    let stale = stale(&self.unread, &self.last_line, chance);
                    if !stale.is_empty() {
                        self.counts.add(counts::MID_MESSAGE);
                    }
                    connection.output.extend(stale);
                }
                self.unread.clear();
                let early = threaded && self.negotiated_before && chance.one_in(odds.early_event);
                connection.stage =
                    Stage::Early(if early { 1 + chance.below(EARLY_STEPS_MAX) } else { 0 });
            }
            Stage::Early(0) => {
                connection.write(&greeting(version));
                if threaded_inf(version, self.made) && chance.one_in(odds.inf) {
                    connection.write("{\"return\": {}, \"id\": inf}");
                    self.counts.add(counts::INF);
                }
                let races = version.has_monitor_thread() && !version.from(6, 0) && self.made == 1;
                let deaf = races && chance.one_in(odds.deaf);
                if deaf {
                    self.counts.add(counts::DEAF);
                }
                connection.stage = if deaf { Stage::Deaf } else { Stage::Negotiating };
                let threaded = version.has_monitor_thread() && self.negotiated_before;
                connection.straggler = threaded && chance.one_in(odds.straggler);
            }
            Stage::Early(steps) => {
                connection.stage = Stage::Early(steps - 1);
                // Nothing was done: what else is ready goes on.
                return false;
            }
            Stage::Negotiating | Stage::Ready | Stage::Deaf | Stage::Ended => return false,
        }
        true
    }

    /// The client that is served is not greeted yet and gets events already.
    pub fn is_early(&self) -> bool {
        let first = self.line.front().and_then(|id| self.connections.get(id));
        first.is_some_and(|connection| matches!(connection.stage, Stage::Early(_)))
    }

    /// The next command of the client that is served.
    pub fn next_request(&mut self) -> Option<Request> {
        if let Some(request) = self.executing.take() {
            return Some(request);
        }
        let id = *self.line.front()?;
        let connection = self.connections.get_mut(&id)?;
        connection.read(id);
        let negotiating = connection.stage == Stage::Negotiating;
        if !negotiating && connection.stage != Stage::Ready {
            return None;
        }
        let mut request = connection.requests.pop_front()?;
        request.negotiating = negotiating;
        Some(request)
    }

    /// There is a command for `next_request`.
    pub fn has_request(&mut self) -> bool {
        if self.executing.is_some() {
            return true;
        }
        let Some(id) = self.line.front().copied() else { return false };
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        connection.read(id);
        let greeted = matches!(connection.stage, Stage::Negotiating | Stage::Ready);
        greeted && !connection.requests.is_empty()
    }

    /// From here on the client gets events.
    pub fn negotiated(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = Stage::Ready;
        }
    }

    /// An event: for the client that is served, if it has negotiated, or the one before it had when
    /// QEMU looked. Says to whom it went.
    pub fn say(&mut self, line: &str) -> Option<ConnectionId> {
        self.last_line = line.into();
        let id = *self.line.front()?;
        let connection = self.connections.get_mut(&id)?;
        match connection.stage {
            Stage::Ready => {}
            Stage::Early(steps) if steps > 0 => self.counts.add(counts::EARLY_EVENT),
            Stage::Negotiating if std::mem::take(&mut connection.straggler) => {
                self.counts.add(counts::STRAGGLER);
            }
            _ => return None,
        }
        connection.write(line);
        Some(id)
    }

    /// A reply: for whoever is served now. A QEMU without a monitor thread drops it when the one
    /// who asked has left.
    pub fn reply(&mut self, asker: ConnectionId, line: &str, version: Version) {
        let Some(id) = self.line.front().copied() else { return };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let greeted = matches!(connection.stage, Stage::Negotiating | Stage::Ready);
        if id == asker || (version.has_monitor_thread() && greeted) {
            connection.write(line);
            if id != asker {
                self.counts.add(counts::OTHERS_REPLY);
            }
        }
        self.last_line = line.into();
    }

    /// The process is gone: who waited is let go, and with `cut` the unread tail is lost from
    /// there on.
    pub fn end(&mut self, mut cut: impl FnMut(usize) -> usize) {
        for connection in self.connections.values_mut() {
            let length = cut(connection.output.len());
            if length < connection.output.len() {
                self.counts.add(counts::TRUNCATED);
            }
            connection.output.truncate(length);
            connection.stage = Stage::Ended;
            connection.input.clear();
            connection.requests.clear();
        }
        self.line.clear();
        self.executing = None;
    }

    /// Where this text stands in what the served client is still to read.
    pub fn served_reads(&self, text: &str) -> Option<ConnectionId> {
        let id = *self.line.front()?;
        let output = &self.connections.get(&id)?.output;
        let found = output.windows(text.len()).any(|window| window == text.as_bytes());
        found.then_some(id)
    }
}

impl Connection {
    fn new() -> Self {
        Self {
            input: Vec::new(),
            output: Vec::new(),
            requests: VecDeque::new(),
            stage: Stage::Waiting,
            straggler: false,
        }
    }

    fn write(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// Turns what came into requests: by nesting, for there need be no line ends.
    fn read(&mut self, id: ConnectionId) {
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        let (mut begin, mut used) = (0, 0);
        for (at, byte) in self.input.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' if depth > 0 => quoted = !quoted,
                b'{' if !quoted => {
                    begin = if depth == 0 { at } else { begin };
                    depth += 1;
                }
                b'}' if !quoted && depth > 0 => {
                    depth -= 1;
                    if depth == 0 {
                        self.requests.push_back(request(id, &self.input[begin..=at]));
                        used = at + 1;
                    }
                }
                // What stands between objects is passed over, as QEMU does with blanks.
                _ => {}
            }
        }
        self.input.drain(..used);
    }
}

fn request(connection: ConnectionId, text: &[u8]) -> Request {
    let value = serde_json::from_slice(text).unwrap_or(Value::Null);
    Request {
        connection,
        id: value.get("id").cloned(),
        command: value["execute"].as_str().map(Into::into),
        arguments: value["arguments"].as_object().cloned().unwrap_or_default(),
        negotiating: false,
    }
}

/// What is left of the former client's stream: whole lines too if it did not read them, else the
/// end of the last one.
fn stale(unread: &[u8], last_line: &str, chance: &mut Chance) -> Vec<u8> {
    let mut bytes = unread.to_vec();
    if bytes.is_empty() {
        bytes = format!("{last_line}\r\n").into_bytes();
    }
    let from = 1 + chance.index(bytes.len());
    bytes.split_off(from.min(bytes.len()))
}

/// The reply to a former client whose id was a number beyond all bounds.
fn threaded_inf(version: Version, made: ConnectionId) -> bool {
    version.has_monitor_thread() && made > 1
}

fn greeting(version: Version) -> String {
    let Version(major, minor, micro) = version;
    let capabilities = if version.has_monitor_thread() { "[\"oob\"]" } else { "[]" };
    format!(
        "{{\"QMP\": {{\"version\": {{\"qemu\": {{\"micro\": {micro}, \"minor\": {minor}, \
         \"major\": {major}}}, \"package\": \"\"}}, \"capabilities\": {capabilities}}}}}"
    )
}

/// A Linux backlog of 1 holds two.
const WAITING_MAX: usize = 2;
const EARLY_STEPS_MAX: u64 = 64;
