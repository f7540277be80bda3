//! What real QEMUs of 1.1 to 10.0 wrote, replayed through the core: the events are those expected,
//! however the stream is cut into reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use blockjob::{
    model::{Code, Error, Event, Kind, Now, Outcome, Settings, Timestamp, Word},
    qmp::{
        act::Act,
        jobs::End,
        line::{Frame, Framer},
        message::{Message, parse},
        session::{Session, Ticket},
    },
};
use serde_json::Value;

/// What one connection of a transcript brought, and what is to be made of it.
struct Connection {
    /// For people who look for a failure.
    place: String,
    /// As they were recorded.
    recorded: Vec<Vec<u8>>,
    /// As a session needs them.
    reads: Vec<Vec<u8>>,
    /// The id with which the recording client negotiated.
    capabilities_id: Option<String>,
    expected: Value,
}

/// Nobody waits for the session of a transcript.
enum Nobody {}

impl Ticket for Nobody {
    type Listing = ();
    type Luggage = ();

    fn is_void(&self) -> bool {
        match *self {}
    }
}

/// What a session told, in order.
#[derive(Default)]
struct Told {
    events: Vec<Event>,
    /// The incarnations whose end was told.
    ended: BTreeSet<u64>,
    /// How many of them before it answered the greeting.
    before_greeting: usize,
    connected: bool,
}

#[test]
fn each_transcript_gives_exactly_the_expected_events() {
    let connections = connections();
    assert_eq!(connections.len(), 735, "connections in the transcripts");
    let (mut connected, mut before_greeting, mut unsaid) = (0, 0, BTreeSet::new());
    for connection in &connections {
        let told = replay(connection, connection.reads.iter().map(Vec::as_slice));
        let said = |event: &&Event| is_final(event) && event.get(Word::Json).is_some();
        let terminal: Vec<&Event> = told.events.iter().filter(said).collect();
        let expected = connection.expected["terminal"].as_array().expect("a list");
        assert_eq!(terminal.len(), expected.len(), "{}", connection.place);
        for (event, expected) in terminal.iter().zip(expected) {
            assert_is(event, expected, &connection.place);
        }
        for event in told.events.iter().filter(|event| event.kind.is_final() && !said(event)) {
            let place = &connection.place;
            let end = place.find("-qemu-system").or(place.find("-qsd")).unwrap_or(0);
            let scenario = &place[..end];
            unsaid.insert(format!("{scenario}: {event}"));
        }
        let before = connection.expected["before_greeting"].as_u64();
        assert_eq!(Some(told.before_greeting as u64), before, "{}", connection.place);
        before_greeting += told.before_greeting;
        connected += usize::from(told.connected);
    }
    // On the others nothing came, or the recording client never negotiated, was refused, or
    // negotiated with an id that is not a session's first.
    assert_eq!(connected, 659, "connections that became usable");
    // A QEMU may write an event before it greets; four were made to.
    assert_eq!(before_greeting, 4, "events that stand before a greeting");
    // Ends that no message told: of jobs that have no event for it, by what became of them; of
    // jobs that were undone; and where a recording ended before its job.
    for told in &unsaid {
        let known = UNSAID.iter().any(|end| told.starts_with(end))
            || told.contains(": LOST ")
                && CUT_SHORT.iter().any(|scenario| told.starts_with(scenario));
        assert!(known, "{told}");
    }
    for end in UNSAID {
        assert!(unsaid.iter().any(|told| told.starts_with(end)), "{end}");
    }
}

/// How jobs without an event of their own ended, and those that were undone.
const UNSAID: [&str; 6] = [
    "create-job: BLOCK_JOB_COMPLETED job=cr0 outcome=succeeded",
    "create-job: BLOCK_JOB_COMPLETED job=cr1 outcome=failed",
    "snapshot-save: BLOCK_JOB_COMPLETED job=s0 outcome=succeeded",
    "snapshot-save: BLOCK_JOB_COMPLETED job=s1 outcome=failed",
    "snapshot-save: BLOCK_JOB_COMPLETED job=s2 outcome=succeeded",
    "txn-start-fail: BLOCK_JOB_CANCELLED job=j2 outcome=cancelled",
];

/// Where QEMU was killed, quit without a word, or left: nothing on the wire says how jobs ended.
const CUT_SHORT: [&str; 15] = [
    "txn-start-fail",
    "sigkill-running",
    "sigkill-mirror-ready",
    "reconnect-running",
    "reconnect-lost",
    "reconnect-kept",
    "sigterm-running",
    "quit-two-jobs",
    "quit-running",
    "quit-pending",
    "quit-paused",
    "mirror-pause-in-ready",
    "m-event-before-greeting",
    "quit-mirror-ready",
    "active-commit-quit",
];

#[test]
fn framing_finds_each_message_and_no_more() {
    for connection in connections() {
        let (mut events, mut replies, mut unparsable) = (0, 0, 0);
        let mut framer = Framer::new(16 << 20);
        for read in &connection.recorded {
            let mut rest = read.as_slice();
            while let (used, Some(frame)) = framer.next(rest) {
                rest = &rest[used..];
                let Frame::Message(message) = frame else {
                    unparsable += 1;
                    continue;
                };
                match parse(std::str::from_utf8(message).expect("QEMU writes ASCII")) {
                    Ok(Message::Event { .. }) => events += 1,
                    Ok(Message::Return { .. } | Message::Error { .. }) => replies += 1,
                    Ok(Message::Greeting(_)) => {}
                    Ok(Message::Unknown) | Err(_) => unparsable += 1,
                }
            }
        }
        let found = [events, replies, unparsable, framer.finish() as u64];
        let expected = ["events", "replies", "unparsable_lines", "truncated_tail"];
        let expected = expected.map(|name| connection.expected[name].as_u64().unwrap());
        assert_eq!(found, expected, "{}", connection.place);
    }
}

#[test]
fn a_byte_at_a_time_gives_the_same_events() {
    for connection in connections() {
        let whole = digest(&replay(&connection, [connection.stream().as_slice()]));
        let bytes = digest(&replay(&connection, connection.stream().chunks(1)));
        assert_eq!(bytes, whole, "{}", connection.place);
    }
}

#[test]
fn a_cut_anywhere_gives_the_same_events() {
    let connections = connections();
    let (next, cuts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..thread::available_parallelism().map_or(1, Into::into))
            .map(|_| {
                scope.spawn(|| {
                    while let Some(connection) = connections.get(next.fetch_add(1, Relaxed)) {
                        cuts.fetch_add(cut_everywhere(connection), Relaxed);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a cut changed the events");
        }
    });
    println!("{} cuts", cuts.into_inner());
}

fn cut_everywhere(connection: &Connection) -> usize {
    let stream = connection.stream();
    let whole = digest(&replay(connection, [stream.as_slice()]));
    let cuts = if stream.len() <= EVERY_OFFSET_MAX {
        (0..=stream.len()).collect()
    } else {
        telling_offsets(&stream)
    };
    for &cut in &cuts {
        let (one, two) = stream.split_at(cut);
        let parts = digest(&replay(connection, [one, two]));
        assert_eq!(parts, whole, "{} cut at byte {cut}", connection.place);
    }
    cuts.len()
}

/// Every offset near a greeting, a terminal event or the end, and a thousand seeded ones.
fn telling_offsets(stream: &[u8]) -> Vec<usize> {
    let text = String::from_utf8_lossy(stream);
    let marks = ["{\"QMP\"", "BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED"];
    let mut places: Vec<usize> =
        marks.iter().flat_map(|mark| text.match_indices(mark).map(|(at, _)| at)).collect();
    places.push(stream.len());
    let near = places.iter().flat_map(|at| at.saturating_sub(NEAR)..=(at + NEAR).min(stream.len()));
    let mut offsets: Vec<usize> = near.collect();
    let mut random = SEED;
    for _ in 0..SEEDED {
        // Xorshift: enough for choosing offsets, and the same everywhere.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        offsets.push(usize::try_from(random % stream.len() as u64).expect("it is below a usize"));
    }
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}

/// Plays a stream, in these reads, to a session that negotiates with the recorded id.
fn replay<'a>(connection: &Connection, reads: impl IntoIterator<Item = &'a [u8]>) -> Told {
    let now =
        Now { running: Duration::from_secs(1), wall: Timestamp { seconds: 0, microseconds: 0 } };
    let id = connection.capabilities_id.as_deref().unwrap_or("none-1");
    let prefix = id.strip_suffix('1').unwrap_or("another-");
    let settings = Settings { reconnect: None, ..Settings::default() };
    let mut session = Session::<Nobody>::new(settings.into(), "nonce", prefix.into());
    let (mut acts, mut told) = (Vec::new(), Told::default());
    session.start(None, now, &mut acts);
    session.handle_connected(None, now, &mut acts);
    for read in reads {
        session.handle_bytes(read, now, &mut acts);
    }
    session.handle_end(&Error::new(Code::Reset, "the end"), now, &mut acts);
    session.close("the test is over", now, &mut acts);
    let mut answered = false;
    for act in acts {
        match act {
            Act::Send(_) => answered = true,
            Act::Tell(event) if event.kind == Kind::Connected => told.connected = true,
            Act::Tell(event) => {
                told.before_greeting += usize::from(!answered);
                told.events.push(event);
            }
            Act::End(End { event, job, .. }) => {
                assert!(told.ended.insert(job), "{}: two ends of a job", connection.place);
                told.before_greeting += usize::from(!answered);
                told.events.push(event);
            }
            _ => {}
        }
    }
    if !answered {
        told.before_greeting = 0;
    }
    told
}

/// All that was told, in one number.
fn digest(told: &Told) -> u64 {
    let mut hasher = DefaultHasher::new();
    (told.events.len(), told.before_greeting, told.connected).hash(&mut hasher);
    for event in &told.events {
        (event.kind as u32, event.len, event.offset, event.speed).hash(&mut hasher);
        for word in [Word::JobId, Word::TypeName, Word::Error, Word::Reason, Word::Json] {
            event.text(word).hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn assert_is(event: &Event, expected: &Value, place: &str) {
    let text = |name: &str| expected[name].as_str();
    assert_eq!(event.text(Word::Name), text("event"), "{place}");
    assert_eq!(event.text(Word::JobId), text("device"), "{place}");
    assert_eq!(event.text(Word::TypeName), text("type"), "{place}");
    assert_eq!(event.text(Word::Error), text("error"), "{place}");
    assert_eq!(event.len, expected["len"].as_i64(), "{place}");
    assert_eq!(event.offset, expected["offset"].as_i64(), "{place}");
    assert_eq!(event.speed, expected["speed"].as_i64(), "{place}");
    let timestamp = event.timestamp.expect("QEMU always sends one");
    let clock = &expected["timestamp"];
    assert_eq!(Some(timestamp.seconds), clock["seconds"].as_i64(), "{place}");
    assert_eq!(Some(timestamp.microseconds), clock["microseconds"].as_i64(), "{place}");
    let outcome = match (event.kind, text("error")) {
        (Kind::Completed, None) => Outcome::Succeeded,
        (Kind::Completed, Some(_)) => Outcome::Failed,
        _ => Outcome::Cancelled,
    };
    assert_eq!(event.outcome, outcome, "{place}");
}

fn is_final(event: &Event) -> bool {
    matches!(event.kind, Kind::Completed | Kind::Cancelled)
}

impl Connection {
    fn stream(&self) -> Vec<u8> {
        self.reads.concat()
    }
}

/// All connections of all transcripts, those too on which nothing came.
fn connections() -> Vec<Connection> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/transcripts");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a transcript");
    let expected: BTreeMap<String, Value> =
        serde_json::from_str(&read("expected.json")).expect("JSON");
    let mut connections = Vec::new();
    for (name, numbers) in &expected {
        let lines: Vec<Value> =
            read(name).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        for (number, expected) in numbers.as_object().expect("an object") {
            let Ok(number) = number.parse::<i64>() else { continue };
            let own = lines.iter().filter(|line| line["conn"] == number);
            let raw = |line: &Value| latin_1(line["raw"].as_str().expect("text"));
            let sent = |line: &&Value| line["dir"] == "send";
            let negotiates = |line: &&Value| {
                line["raw"].as_str().is_some_and(|raw| raw.contains("qmp_capabilities"))
            };
            let capabilities_id = own.clone().filter(sent).find(negotiates).and_then(id_of);
            let recorded: Vec<Vec<u8>> =
                own.filter(|line| line["dir"] == "recv").map(raw).collect();
            let reads = answer_session(&recorded, capabilities_id.as_deref());
            connections.push(Connection {
                place: format!("{name}, connection {number}"),
                recorded,
                reads,
                capabilities_id,
                expected: expected.clone(),
            });
        }
    }
    connections
}

fn id_of(line: &Value) -> Option<String> {
    let raw = line["raw"].as_str()?;
    let object: Value = serde_json::from_str(raw.trim()).ok()?;
    object["id"].as_str().map(Into::into)
}

/// The recording client numbered its commands as a session does, so QEMU's replies to it would be
/// taken for replies to the session. They get other ids; and the session's own questions, which
/// jobs there are, are answered behind the reply to `qmp_capabilities`.
fn answer_session(reads: &[Vec<u8>], capabilities_id: Option<&str>) -> Vec<Vec<u8>> {
    let Some(prefix) = capabilities_id.and_then(|id| id.strip_suffix('1')) else {
        return reads.to_vec();
    };
    let mut ends = Vec::new();
    let mut stream = Vec::new();
    for read in reads {
        stream.extend(read);
        ends.push(stream.len());
    }
    let own = format!("\"{prefix}");
    let negotiated = format!("\"{prefix}1\"");
    for at in 0..stream.len() {
        if stream[at..].starts_with(own.as_bytes())
            && !stream[at..].starts_with(negotiated.as_bytes())
        {
            stream[at + 1] = b'X';
        }
    }
    let reply = stream.windows(negotiated.len()).position(|part| part == negotiated.as_bytes());
    let end =
        |at: usize| stream[at..].iter().position(|byte| *byte == b'}').map(|brace| at + brace + 1);
    let Some(reply) = reply.and_then(end) else { return split(&stream, &ends) };
    let lists = format!(
        "{{\"return\": [], \"id\": \"{prefix}2\"}}{{\"return\": [], \"id\": \"{prefix}3\"}}"
    );
    for end in ends.iter_mut().filter(|end| **end >= reply) {
        *end += lists.len();
    }
    stream.splice(reply..reply, lists.into_bytes());
    split(&stream, &ends)
}

fn split(stream: &[u8], ends: &[usize]) -> Vec<Vec<u8>> {
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(ends).map(|(start, end)| stream[start..*end].to_vec()).collect()
}

/// The transcripts hold bytes as the characters of the same numbers.
fn latin_1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("a byte")).collect()
}

/// Longer streams are cut at telling offsets only.
const EVERY_OFFSET_MAX: usize = 16 << 10;
/// How far around a telling place.
const NEAR: usize = 300;
const SEEDED: usize = 1000;
const SEED: u64 = 0x5eed_b10c_0b00_0001;
