//! The monitor's socket: one client is served, few may wait, and what the former client left
//! behind may reach the next. Bytes in, commands out; replies and events in, bytes out.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value};

use super::{
    Odds,
    counts::{self, Counts},
    input::{Input, Read},
    text::{encode, pretty},
    version::Version,
};
use crate::chance::Chance;

/// Counts the connections of one process from 0.
pub type ConnectionId = u64;

#[derive(Clone, Debug, Default)]
pub struct Wire {
    connections: BTreeMap<ConnectionId, Connection>,
    /// The first is served; the others have connected and get silence.
    line: VecDeque<ConnectionId>,
    made: ConnectionId,
    /// A client was served before, and had negotiated.
    negotiated_before: bool,
    /// What the former client did not read, from where it left off.
    unread: Vec<u8>,
    /// What the former client could still have got.
    pending: Vec<u8>,
    last_line: String,
    /// Was taken out of the queue of a client that has left since.
    executing: Option<Request>,
    /// Each message on several lines, as `pretty=on` has it.
    pub pretty: bool,
    /// What a client leaves unread beyond this waits in QEMU.
    pub socket_bytes: Option<usize>,
    pub counts: Counts,
}

/// A command, as far as it could be read.
#[derive(Clone, Debug)]
pub struct Request {
    pub connection: ConnectionId,
    /// As the reply repeats it.
    pub id: Option<String>,
    /// Or why it is none.
    pub command: Result<Command, String>,
    /// The client had not negotiated when it was served.
    pub negotiating: bool,
}

#[derive(Clone, Debug)]
pub struct Command {
    pub name: String,
    pub arguments: Map<String, Value>,
    pub out_of_band: bool,
}

#[derive(Clone, Debug)]
struct Connection {
    input: Input,
    output: Vec<u8>,
    /// What the socket does not hold.
    pending: Vec<u8>,
    /// Out-of-band commands were agreed on.
    out_of_band: bool,
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
    /// but for the first ones, which QEMU was already telling, and the greeting does not yet.
    Early {
        steps: u64,
        first: u64,
        events: u64,
    },
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
            let read = connection.input.read(bytes);
            connection.requests.extend(read.into_iter().map(|read| request(id, read)));
        }
    }

    pub fn take_output(&mut self, id: ConnectionId) -> Vec<u8> {
        let Some(connection) = self.connections.get_mut(&id) else { return Vec::new() };
        let output = std::mem::take(&mut connection.output);
        connection.fill(self.socket_bytes);
        output
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
            self.unread = connection.output;
            self.negotiated_before = matches!(connection.stage, Stage::Ready);
            let negotiating = connection.stage == Stage::Negotiating;
            let begun = executing && (negotiating || connection.stage == Stage::Ready);
            let first = connection.requests.pop_front().filter(|_| begun);
            let first = first.map(|request| Request { negotiating, ..request });
            self.executing = self.executing.take().or(first);
        }
    }

    /// The client will send no more, and QEMU takes it for gone; what waits in QEMU goes to the
    /// next.
    pub fn half_close(&mut self, id: ConnectionId) {
        let waits = self.connections.get_mut(&id).map(|connection| &mut connection.pending);
        self.pending = waits.map(std::mem::take).unwrap_or_default();
        self.disconnect(id, false);
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
                connection.pending.append(&mut self.pending);
                connection.fill(self.socket_bytes);
                self.unread.clear();
                let early = threaded && self.negotiated_before && chance.one_in(odds.early_event);
                connection.stage = if early {
                    let amid = chance.one_in(2);
                    Stage::Early {
                        steps: 1 + chance.below(EARLY_STEPS_MAX),
                        first: if amid { chance.below(EARLY_EVENTS_MAX) } else { 0 },
                        events: 1 + chance.below(if amid { 2 } else { EARLY_EVENTS_MAX }),
                    }
                } else {
                    Stage::Early { steps: 0, first: 0, events: 1 }
                };
            }
            Stage::Early { steps: 0, events, .. } => {
                connection.write(&format(self.pretty, &greeting(version)), self.socket_bytes);
                if threaded_inf(version, self.made) && chance.one_in(odds.inf) {
                    connection.write("{\"return\": {}, \"id\": inf}", self.socket_bytes);
                    self.counts.add(counts::INF);
                }
                let races = version.has_monitor_thread() && !version.from(6, 0) && self.made == 1;
                let deaf = races && chance.one_in(odds.deaf);
                if deaf {
                    self.counts.add(counts::DEAF);
                }
                connection.stage = if deaf { Stage::Deaf } else { Stage::Negotiating };
                let threaded = version.has_monitor_thread() && self.negotiated_before;
                // Behind the last one that was told there is no other.
                connection.straggler = threaded && chance.one_in(odds.straggler) && events > 0;
            }
            Stage::Early { ref mut steps, .. } => {
                *steps -= 1;
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
        first.is_some_and(|connection| matches!(connection.stage, Stage::Early { .. }))
    }

    /// The next command of the client that is served.
    pub fn next_request(&mut self) -> Option<Request> {
        if let Some(request) = self.executing.take() {
            return Some(request);
        }
        let id = *self.line.front()?;
        let connection = self.connections.get_mut(&id)?;
        let negotiating = connection.stage == Stage::Negotiating;
        if !negotiating && connection.stage != Stage::Ready {
            return None;
        }
        let mut request = connection.requests.pop_front()?;
        request.negotiating = negotiating;
        Some(request)
    }

    /// There is a command for `next_request`.
    pub fn has_request(&self) -> bool {
        if self.executing.is_some() {
            return true;
        }
        let Some(id) = self.line.front().copied() else { return false };
        let Some(connection) = self.connections.get(&id) else { return false };
        let greeted = matches!(connection.stage, Stage::Negotiating | Stage::Ready);
        greeted && !connection.requests.is_empty()
    }

    /// An out-of-band command overtakes the others of its client.
    pub fn next_out_of_band(&mut self) -> Option<Request> {
        let connection = self.connections.get_mut(self.line.front()?)?;
        let overtakes =
            |request: &Request| request.command.as_ref().is_ok_and(|command| command.out_of_band);
        if !connection.out_of_band {
            return None;
        }
        connection.requests.remove(connection.requests.iter().position(overtakes)?)
    }

    /// From here on the client gets events.
    pub fn negotiated(&mut self, id: ConnectionId, out_of_band: bool) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = Stage::Ready;
            connection.out_of_band = out_of_band;
        }
    }

    /// Such commands are known on this connection.
    pub fn takes_out_of_band(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.out_of_band)
    }

    /// An event: for the client that is served, if it has negotiated, or the one before it had when
    /// QEMU looked. Says to whom it went.
    pub fn say(&mut self, line: &str) -> Option<ConnectionId> {
        let line = format(self.pretty, line);
        self.last_line.clone_from(&line);
        let id = *self.line.front()?;
        let connection = self.connections.get_mut(&id)?;
        match &mut connection.stage {
            Stage::Ready => {}
            Stage::Early { first, .. } if *first > 0 => {
                *first -= 1;
                return None;
            }
            Stage::Early { steps, events, .. } if *steps > 0 && *events > 0 => {
                *events -= 1;
                self.counts.add(counts::EARLY_EVENT);
            }
            Stage::Negotiating if std::mem::take(&mut connection.straggler) => {
                self.counts.add(counts::STRAGGLER);
            }
            _ => return None,
        }
        connection.write(&line, self.socket_bytes);
        Some(id)
    }

    /// A reply: for whoever is served now. A QEMU without a monitor thread drops it when the one
    /// who asked has left.
    pub fn reply(&mut self, asker: ConnectionId, line: &str, version: Version) {
        let line = format(self.pretty, line);
        let Some(id) = self.line.front().copied() else { return };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let greeted = matches!(connection.stage, Stage::Negotiating | Stage::Ready);
        if id == asker || (version.has_monitor_thread() && greeted) {
            connection.write(&line, self.socket_bytes);
            if id != asker {
                self.counts.add(counts::OTHERS_REPLY);
            }
        }
        self.last_line = line;
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
            connection.pending.clear();
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
            input: Input::default(),
            output: Vec::new(),
            pending: Vec::new(),
            out_of_band: false,
            requests: VecDeque::new(),
            stage: Stage::Waiting,
            straggler: false,
        }
    }

    fn write(&mut self, line: &str, socket_bytes: Option<usize>) {
        self.pending.extend_from_slice(line.as_bytes());
        self.pending.extend_from_slice(b"\r\n");
        self.fill(socket_bytes);
    }

    /// The socket holds so much, and the rest waits.
    fn fill(&mut self, socket_bytes: Option<usize>) {
        let room = socket_bytes.map_or(usize::MAX, |bytes| bytes.saturating_sub(self.output.len()));
        self.output.extend(self.pending.drain(..room.min(self.pending.len())));
    }
}

fn format(as_pretty: bool, line: &str) -> String {
    if as_pretty { pretty(line) } else { line.into() }
}

fn request(connection: ConnectionId, read: Read) -> Request {
    let (mut value, infinite) = match read {
        Read::Value { value, infinite } => (value, infinite),
        Read::Error(text) => {
            return Request { connection, id: None, command: Err(text), negotiating: false };
        }
    };
    let id = value.as_object_mut().and_then(|members| members.remove("id"));
    let id = id.map(|id| if infinite && id.is_null() { "inf".into() } else { encode(&id) });
    Request { connection, id, command: command(value), negotiating: false }
}

/// A command, or what is wrong with it.
fn command(value: Value) -> Result<Command, String> {
    let Value::Object(mut members) = value else {
        return Err("QMP input must be a JSON object".into());
    };
    let wrong = |name: &str, what: &str| format!("QMP input member '{name}' {what}");
    let out_of_band = members.contains_key("exec-oob");
    let word = if out_of_band { "exec-oob" } else { "execute" };
    let name = match members.remove(word) {
        Some(Value::String(name)) => name,
        Some(_) => return Err(wrong(word, "must be a string")),
        None => return Err("QMP input lacks member 'execute'".into()),
    };
    let arguments = match members.remove("arguments") {
        Some(Value::Object(arguments)) => arguments,
        Some(_) => return Err(wrong("arguments", "must be an object")),
        None => Map::new(),
    };
    match members.keys().next() {
        Some(other) => Err(wrong(other, "is unexpected")),
        None => Ok(Command { name, arguments, out_of_band }),
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
const EARLY_EVENTS_MAX: u64 = 8;
