//! One monitor's life: connecting, greeting, negotiating, ready, gone. It says what is to be done
//! as a list of [`Act`]s and does none of it; time comes in as `now`.
//!
//! A session does not outlive its listener, but outlives its connections: `start` begins anew.

use std::time::Duration;

use serde_json::value::RawValue;

use super::{
    decode::decode,
    encode,
    line::{Frame, Framer},
    message::{Message, parse},
};
use crate::model::{Code, Error, Event, Kind, Now, Settings, State, Version, Word};

/// The ticket of somebody who waits; a dropped one answers by itself.
pub trait Ticket {
    /// Nobody waits for its answer any more.
    fn is_void(&self) -> bool;
}

/// One monitor, and the tickets of those who wait for it.
#[derive(Debug)]
pub struct Session<T> {
    settings: Settings,
    stage: Stage,
    framer: Framer,
    /// Those who wait until the monitor is usable or the attempt has failed.
    /// Bounded by the threads that wait: void ones leave when one comes.
    waiting: Vec<T>,
    /// Of the attempt to connect; `None` when there is none under way, or it may last for ever.
    deadline: Option<Duration>,
    /// Begins every command's id, so that it is unique over all connections and all clients: QEMU
    /// may hand us the reply to a former client's command.
    id_prefix: String,
    commands: u64,
}

/// What a session wants done, in this order.
#[allow(clippy::large_enum_variant, reason = "acts are few at a time, and gone in the same turn")]
#[derive(Debug)]
pub enum Act<T> {
    Connect,
    Send(Vec<u8>),
    Disconnect,
    /// The monitor stands differently now.
    Stands(State, Option<Version>),
    Tell(Event),
    Answer(T, Result<(), Error>),
}

#[derive(Debug)]
enum Stage {
    /// No connection: not begun, or ended.
    Down,
    Connecting,
    /// Connected; what came so far was no greeting.
    Greeting {
        stray: Option<String>,
    },
    /// `qmp_capabilities` was sent with this id.
    Negotiating {
        id: String,
        greeting: String,
        version: Version,
    },
    Ready,
    Closed,
}

impl<T: Ticket> Session<T> {
    pub fn new(settings: Settings, id_prefix: String) -> Self {
        Self {
            stage: Stage::Down,
            framer: Framer::new(settings.line_limit),
            settings,
            waiting: Vec::new(),
            deadline: None,
            id_prefix,
            commands: 0,
        }
    }

    /// When `handle_timeout` is to be called.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Somebody wishes the monitor to be connected; a ticket is answered when it is usable.
    pub fn start(&mut self, ticket: Option<T>, now: Now, acts: &mut Vec<Act<T>>) {
        match self.stage {
            Stage::Closed => {
                let closed = Error::new(Code::Shutdown, "it was closed; make a new one");
                acts.extend(ticket.map(|ticket| Act::Answer(ticket, Err(closed))));
            }
            Stage::Ready => acts.extend(ticket.map(|ticket| Act::Answer(ticket, Ok(())))),
            Stage::Connecting | Stage::Greeting { .. } | Stage::Negotiating { .. } => {
                self.waiting.retain(|ticket| !ticket.is_void());
                self.waiting.extend(ticket);
            }
            Stage::Down => {
                self.waiting.extend(ticket);
                self.deadline = self.settings.connect_timeout.map(|limit| now.running + limit);
                self.stage = Stage::Connecting;
                acts.extend([Act::Stands(State::Connecting, None), Act::Connect]);
            }
        }
    }

    /// The connection stands.
    pub fn handle_connected(&mut self) {
        if matches!(self.stage, Stage::Connecting) {
            self.framer.finish();
            self.stage = Stage::Greeting { stray: None };
        }
    }

    /// QEMU said something.
    pub fn handle_bytes(&mut self, mut bytes: &[u8], now: Now, acts: &mut Vec<Act<T>>) {
        // Taken out for the loop, since a frame borrows it while the session acts.
        let mut framer = std::mem::replace(&mut self.framer, Framer::new(0));
        while !matches!(self.stage, Stage::Down | Stage::Closed) {
            let (used, frame) = framer.next(bytes);
            match frame {
                Some(Frame::Message(message)) => {
                    self.handle_message(&String::from_utf8_lossy(message), now, acts);
                }
                Some(Frame::Stray(_, excerpt)) => self.handle_stray(excerpt),
                None => break,
            }
            bytes = &bytes[used..];
        }
        self.framer = framer;
    }

    /// The connection ended, or could not be made.
    pub fn handle_end(&mut self, error: &Error, now: Now, acts: &mut Vec<Act<T>>) {
        self.take_unfinished_stray();
        let lost = self.framer.finish();
        let error = match &self.stage {
            Stage::Down | Stage::Closed => return,
            Stage::Greeting { stray: Some(stray) } => not_qmp(stray),
            Stage::Greeting { stray: None } => more(error, ", before it greeted"),
            Stage::Negotiating { .. } => more(error, ", before it answered qmp_capabilities"),
            Stage::Ready if lost > 0 => {
                more(error, &format!("; {lost} bytes of an unfinished message are lost with it"))
            }
            Stage::Connecting | Stage::Ready => error.clone(),
        };
        self.end(&error, now, acts);
    }

    /// The deadline has passed.
    pub fn handle_timeout(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        if self.deadline.is_none_or(|deadline| now.running < deadline) {
            return;
        }
        self.take_unfinished_stray();
        let error = match &self.stage {
            Stage::Greeting { stray: Some(stray) } => not_qmp(stray),
            Stage::Connecting => self.timed_out("it did not take the connection"),
            Stage::Greeting { stray: None } => self.timed_out(
                "no greeting came: another client may hold this monitor (it serves one at a time), \
                 QEMU may be stopped or hang, or this is no QMP monitor",
            ),
            _ => self.timed_out(
                "it greeted, but did not answer qmp_capabilities: QEMU may be stopped or hang",
            ),
        };
        self.end(&error, now, acts);
    }

    /// Ends this monitor for good; CLOSED is the last that is heard of it.
    pub fn close(&mut self, reason: &str, now: Now, acts: &mut Vec<Act<T>>) {
        match self.stage {
            Stage::Closed => return,
            Stage::Down => {}
            _ => self.end(&Error::new(Code::Shutdown, reason), now, acts),
        }
        self.stage = Stage::Closed;
        self.framer = Framer::new(0);
        acts.push(Act::Stands(State::Closed, None));
        acts.push(Act::Tell(own(Kind::Closed, "CLOSED", Word::Reason, reason, now)));
    }

    fn handle_message(&mut self, text: &str, now: Now, acts: &mut Vec<Act<T>>) {
        match parse(text) {
            Ok(Message::Event { name, timestamp, data }) => {
                // Also before the greeting: such events are genuine.
                acts.extend(decode(&name, timestamp, data, text).map(Act::Tell));
            }
            Ok(Message::Greeting(version)) => self.handle_greeting(version, text, acts),
            Ok(Message::Return { id }) => {
                if self.awaits(id) {
                    self.ready(now, acts);
                }
            }
            Ok(Message::Error { id, class, description }) => {
                if self.awaits(id) {
                    let what = format!("QEMU refused qmp_capabilities: {class}: {description}");
                    self.end(&Error::new(Code::Remote, what), now, acts);
                }
            }
            Ok(Message::Unknown) | Err(_) => self.handle_stray(text.as_bytes()),
        }
    }

    fn handle_greeting(&mut self, version: Version, text: &str, acts: &mut Vec<Act<T>>) {
        if !matches!(self.stage, Stage::Greeting { .. }) {
            return;
        }
        self.commands += 1;
        let id = format!("{}{}", self.id_prefix, self.commands);
        acts.push(Act::Send(encode::command("qmp_capabilities", &id)));
        self.stage = Stage::Negotiating { id, greeting: text.to_owned(), version };
    }

    /// Before the greeting it is kept, to say what answers there if it is not QEMU. After it, one
    /// bad line is passed over: QEMU itself can write `"id": inf`.
    fn handle_stray(&mut self, excerpt: &[u8]) {
        if let Stage::Greeting { stray: stray @ None } = &mut self.stage {
            let text = String::from_utf8_lossy(excerpt);
            *stray = Some(text.trim_end().chars().take(STRAY_SHOWN).collect());
        }
    }

    /// A banner without a newline is as little a greeting as one with it.
    fn take_unfinished_stray(&mut self) {
        if let Some(excerpt) = self.framer.unfinished_garbage().map(<[u8]>::to_vec) {
            self.handle_stray(&excerpt);
        }
    }

    fn awaits(&self, id: Option<&RawValue>) -> bool {
        let Stage::Negotiating { id: ours, .. } = &self.stage else { return false };
        id.is_some_and(|id| id.get().trim_matches('"') == ours)
    }

    fn ready(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        let stage = std::mem::replace(&mut self.stage, Stage::Ready);
        let Stage::Negotiating { greeting, version, .. } = stage else {
            unreachable!("only a session that negotiates awaits a reply")
        };
        self.deadline = None;
        acts.push(Act::Stands(State::Connected, Some(version)));
        let mut event = own(Kind::Connected, "CONNECTED", Word::Json, &greeting, now);
        event.version = Some(version);
        acts.push(Act::Tell(event));
        acts.extend(self.waiting.drain(..).map(|ticket| Act::Answer(ticket, Ok(()))));
    }

    fn end(&mut self, error: &Error, now: Now, acts: &mut Vec<Act<T>>) {
        self.stage = Stage::Down;
        self.deadline = None;
        self.framer.finish();
        acts.extend([Act::Disconnect, Act::Stands(State::Disconnected, None)]);
        let reason = &error.text;
        acts.push(Act::Tell(own(Kind::Disconnected, "DISCONNECTED", Word::Reason, reason, now)));
        for ticket in std::mem::take(&mut self.waiting) {
            acts.push(Act::Answer(ticket, Err(error.clone())));
        }
    }

    fn timed_out(&self, what: &str) -> Error {
        let limit = self.settings.connect_timeout.unwrap_or_default().as_millis();
        Error::new(Code::TimedOut, format!("not usable within {limit} ms: {what}"))
    }
}

fn more(error: &Error, what: &str) -> Error {
    Error::new(error.code, format!("{}{what}", error.text))
}

fn not_qmp(stray: &str) -> Error {
    let text = format!(
        "wanted a QMP greeting, got {stray:?}: this socket does not speak QMP (QEMU offers it with \
         -qmp, or with -mon mode=control)"
    );
    Error::new(Code::Protocol, text)
}

/// An event of the library's own, with one string.
fn own(kind: Kind, name: &str, word: Word, text: &str, now: Now) -> Event {
    let mut event = Event::new(kind, name, Some(now.wall), text.len() + 1);
    event.set(word, text);
    event
}

/// As much of what is no greeting as helps to recognise what answers.
const STRAY_SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    /// Void when it is odd and over 100.
    impl Ticket for u8 {
        fn is_void(&self) -> bool {
            *self > 100 && self % 2 == 1
        }
    }

    const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \
                            \"major\": 7}, \"package\": \"\"}, \"capabilities\": []}}\r\n";

    /// A session, what it wanted done in readable lines, and a clock that tests move.
    struct World {
        session: Session<u8>,
        acts: Vec<Act<u8>>,
        now: Now,
    }

    impl World {
        fn new() -> Self {
            let mut settings = Settings::new("vm1".into());
            settings.line_limit = 1 << 10;
            let wall = Timestamp { seconds: 5, microseconds: 6 };
            let now = Now { running: Duration::from_secs(1), wall };
            Self { session: Session::new(settings, "x-".into()), acts: Vec::new(), now }
        }

        fn greeting() -> Self {
            let mut world = Self::new();
            world.session.start(Some(1), world.now, &mut world.acts);
            world.session.handle_connected();
            assert_eq!(world.story(), ["stands Connecting", "connect"]);
            world
        }

        fn ready() -> Self {
            let mut world = Self::greeting();
            world.hears(GREETING);
            world.hears("{\"return\": {}, \"id\": \"x-1\"}\r\n");
            world.story();
            world
        }

        fn hears(&mut self, text: &str) {
            self.session.handle_bytes(text.as_bytes(), self.now, &mut self.acts);
        }

        fn ends(&mut self) {
            let error = Error::new(Code::Reset, "QEMU closed the connection");
            self.session.handle_end(&error, self.now, &mut self.acts);
        }

        fn later(&mut self, seconds: u64) {
            self.now.running += Duration::from_secs(seconds);
            self.session.handle_timeout(self.now, &mut self.acts);
        }

        fn story(&mut self) -> Vec<String> {
            let line = |act| match act {
                Act::Connect => "connect".into(),
                Act::Send(bytes) => format!("send {}", String::from_utf8(bytes).unwrap().trim()),
                Act::Disconnect => "disconnect".into(),
                Act::Stands(state, version) => {
                    let version = version.map(|v| format!(" {}.{}", v.major, v.minor));
                    format!("stands {state:?}{}", version.unwrap_or_default())
                }
                Act::Tell(event) => {
                    let word = event.text(Word::JobId).or(event.text(Word::Reason));
                    format!("tell {} {}", event.text(Word::Name).unwrap(), word.unwrap_or("-"))
                }
                Act::Answer(ticket, Ok(())) => format!("answer {ticket} ok"),
                Act::Answer(ticket, Err(error)) => format!("answer {ticket} {:?}", error.code),
            };
            self.acts.drain(..).map(line).collect()
        }
    }

    fn status(job: &str) -> String {
        format!(
            "{{\"timestamp\": {{\"seconds\": 1, \"microseconds\": 2}}, \"event\": \
             \"JOB_STATUS_CHANGE\", \"data\": {{\"status\": \"running\", \"id\": \"{job}\"}}}}\r\n"
        )
    }

    #[test]
    fn greeting_and_capabilities_make_it_usable() {
        let mut world = World::greeting();
        world.hears(GREETING);
        assert_eq!(world.story(), ["send {\"execute\":\"qmp_capabilities\",\"id\":\"x-1\"}"]);
        world.hears("{\"return\": {}, \"id\": \"x-1\"}\r\n");
        let story = world.story();
        assert_eq!(story, ["stands Connected 7.2", "tell CONNECTED -", "answer 1 ok"]);
        assert_eq!(world.session.deadline(), None);
    }

    #[test]
    fn the_connected_event_carries_the_greeting_and_the_hosts_time() {
        let mut world = World::greeting();
        world.hears(GREETING);
        world.hears("{\"return\": {}, \"id\": \"x-1\"}");
        let Some(Act::Tell(event)) = world.acts.iter().find(|act| matches!(act, Act::Tell(_)))
        else {
            panic!()
        };
        assert_eq!(event.text(Word::Json), Some(GREETING.trim_end()));
        assert_eq!(event.timestamp, Some(world.now.wall));
    }

    #[test]
    fn events_before_the_greeting_and_before_the_reply_are_told() {
        let mut world = World::greeting();
        world.hears(&(status("a") + GREETING + &status("b")));
        let story = world.story();
        assert_eq!(story[0], "tell JOB_STATUS_CHANGE a");
        assert!(story[1].starts_with("send"));
        assert_eq!(story[2], "tell JOB_STATUS_CHANGE b");
    }

    #[test]
    fn a_former_clients_replies_and_stray_lines_do_no_harm() {
        let mut world = World::greeting();
        world.hears("le\": 1}]}\r\n{\"return\": {}, \"id\": \"x-1\"}\r\n");
        world.hears(GREETING);
        assert_eq!(world.story().len(), 1);
        world.hears("{\"return\": {}, \"id\": \"A-7\"}\r\n{\"return\": {}}\r\n{\"a\": inf}\r\n");
        world.hears("{\"error\": {\"class\": \"GenericError\", \"desc\": \"\"}}\r\n");
        assert_eq!(world.story(), [""; 0]);
        world.hears("{\"return\": {}, \"id\": \"x-1\"}\r\n");
        assert_eq!(world.story().len(), 3);
    }

    #[test]
    fn an_invalid_line_costs_only_itself() {
        let mut world = World::ready();
        let long = format!("{{\"event\": \"{}\"}}\r\n", "x".repeat(2 << 10));
        world.hears(&("{\"return\": {}, \"id\": inf}\r\n".to_owned() + &status("a") + &long));
        world.hears("{\"event\": \"NEWER_EVENT\", \"data\": {\"x\": [1]}}\r\n");
        world.hears(&status("b"));
        assert_eq!(world.story(), ["tell JOB_STATUS_CHANGE a", "tell JOB_STATUS_CHANGE b"]);
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced_and_the_event_told() {
        let mut world = World::ready();
        let text = status("a?b").replace('?', "\u{1}");
        let bytes: Vec<u8> = text.bytes().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
        world.session.handle_bytes(&bytes, world.now, &mut world.acts);
        assert_eq!(world.story(), ["tell JOB_STATUS_CHANGE a\u{FFFD}b"]);
    }

    #[test]
    fn the_end_is_told_once_and_answers_who_waits() {
        let mut world = World::greeting();
        world.ends();
        world.ends();
        assert_eq!(
            world.story(),
            [
                "disconnect",
                "stands Disconnected",
                "tell DISCONNECTED QEMU closed the connection, before it greeted",
                "answer 1 Reset"
            ]
        );
    }

    #[test]
    fn the_end_says_how_far_it_came() {
        let mut world = World::greeting();
        world.hears(GREETING);
        world.ends();
        assert!(world.story()[3].ends_with("before it answered qmp_capabilities"));
        let mut world = World::ready();
        world.ends();
        assert_eq!(world.story()[2], "tell DISCONNECTED QEMU closed the connection");
    }

    #[test]
    fn who_gave_up_waiting_leaves_when_the_next_one_comes() {
        let mut world = World::greeting();
        for ticket in [101, 102, 103] {
            world.session.start(Some(ticket), world.now, &mut world.acts);
        }
        world.ends();
        // 101 had left when 102 came; 103 was still thought to wait.
        let answered: Vec<_> = world.story().split_off(3);
        assert_eq!(answered, ["answer 1 Reset", "answer 102 Reset", "answer 103 Reset"]);
    }

    #[test]
    fn a_truncated_tail_is_dropped_and_counted() {
        let mut world = World::ready();
        world.hears(&status("a")[..20]);
        world.ends();
        assert!(world.story()[2].contains("20 bytes of an unfinished message"));
    }

    #[test]
    fn after_the_end_it_can_be_started_again_with_new_ids() {
        let mut world = World::ready();
        world.hears("{\"timest");
        world.ends();
        world.story();
        world.session.start(Some(2), world.now, &mut world.acts);
        world.session.handle_connected();
        world.hears(GREETING);
        assert_eq!(world.story()[2], "send {\"execute\":\"qmp_capabilities\",\"id\":\"x-2\"}");
        world.hears("{\"return\": {}, \"id\": \"x-2\"}");
        assert_eq!(world.story()[2], "answer 2 ok");
    }

    #[test]
    fn silence_is_a_timeout_that_names_what_it_may_be() {
        let mut world = World::greeting();
        world.later(9);
        assert_eq!(world.story(), [""; 0]);
        world.later(1);
        let story = world.story();
        assert!(story[2].contains("not usable within 10000 ms"), "{story:?}");
        assert!(story[2].contains("another client"), "{story:?}");
        assert_eq!(story[3], "answer 1 TimedOut");
    }

    #[test]
    fn what_does_not_speak_qmp_is_named_when_it_ends_and_when_it_stays() {
        let mut world = World::greeting();
        world.hears("SSH-2.0-OpenSSH_9.2\r\n");
        world.ends();
        let story = world.story();
        assert!(story[2].contains("got \"SSH-2.0-OpenSSH_9.2\""), "{story:?}");
        assert_eq!(story[3], "answer 1 Protocol");

        let mut world = World::greeting();
        world.hears("220 without a newline");
        world.ends();
        assert_eq!(world.story()[3], "answer 1 Protocol");

        let mut world = World::greeting();
        world.hears("{\"hello\": 1}\r\n");
        world.later(10);
        assert_eq!(world.story()[3], "answer 1 Protocol");
    }

    #[test]
    fn refused_capabilities_are_told_with_qemus_words() {
        let mut world = World::greeting();
        world.hears(GREETING);
        world
            .hears("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": \"x-1\"}");
        let story = world.story();
        assert!(story[3].contains("refused qmp_capabilities: GenericError: no"), "{story:?}");
        assert_eq!(story[4], "answer 1 Remote");
    }

    #[test]
    fn closing_is_told_last_and_nothing_is_heard_after_it() {
        let mut world = World::ready();
        world.session.close("as asked", world.now, &mut world.acts);
        let story = world.story();
        assert_eq!(story[2], "tell DISCONNECTED as asked");
        assert_eq!(story[3..], ["stands Closed", "tell CLOSED as asked"]);
        world.hears(&status("a"));
        world.ends();
        world.session.close("twice", world.now, &mut world.acts);
        world.session.start(Some(3), world.now, &mut world.acts);
        assert_eq!(world.story(), ["answer 3 Shutdown"]);
    }
}
