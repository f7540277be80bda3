//! What of a journal's lines belongs to the jobs that are looked for: which lines are worth
//! reading, which events they hold, and which of a job's incarnations an event belongs to.

use std::collections::{BTreeSet, VecDeque};

use memchr::memmem::Finder;

use super::{
    cut::LINE_MAX,
    decode::decode,
    line::{Frame, Framer},
    message::{Message, parse},
    position::{HASH_BEGIN, hash},
};
use crate::model::{Event, Kind, Status, Timestamp, Word};

/// A job whose end is looked for.
#[derive(Debug)]
pub struct Sought {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// On the way back: the earliest line that may be one of it.
    pub first: Option<u64>,
    /// On the way back: what stands before cannot matter.
    pub reached: bool,
    /// Something as old as `since` was met.
    is_old: bool,
    /// This QEMU tells its status, so its beginning is told too.
    has_status: bool,
    pub trail: Trail,
}

/// What one incarnation of a job left in the journal, in the order of the file.
#[derive(Debug)]
pub struct Trail {
    id: String,
    /// Its first event from this moment on is the first that counts; whatever follows that one in
    /// the file counts too, so a clock that steps back loses nothing.
    since: Option<Timestamp>,
    /// An end may be followed by a later incarnation, which is the one that is wanted.
    latest: bool,
    /// At most `EVENTS_MAX`.
    events: VecDeque<Event>,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Ended,
    /// Nothing that follows can matter.
    Closed,
}

/// A cheap look at a line: may it hold an event of one of these jobs?
#[derive(Debug)]
pub struct Sieve(Vec<Finder<'static>>);

/// The events of late, to know repeated text by: a monitor that has a client, and a slow one, logs
/// the same lines with each try to write them.
#[derive(Debug, Default)]
pub struct Seen {
    marks: BTreeSet<u64>,
    /// The same, the oldest first; at most `SEEN_MAX`.
    order: VecDeque<u64>,
}

impl Sought {
    pub fn new(id: &str, since: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        Self {
            since,
            until,
            first: None,
            reached: false,
            is_old: false,
            has_status: false,
            trail: Trail::new(id, since, since.is_none()),
        }
    }

    /// Takes an event of it, which stands before the former ones.
    pub fn look_back(&mut self, at: u64, event: &Event) {
        if self.is_too_late(event) {
            return;
        }
        let created = event.status == Status::Created;
        self.is_old |= self.since.is_some() && event.timestamp <= self.since;
        self.reached = match (self.since, event.timestamp) {
            (Some(_), Some(time)) if self.is_after(time) => {
                self.reached = true;
                return;
            }
            (Some(since), Some(time)) => created && time < since,
            (Some(_), None) => false,
            // A QEMU that tells no status tells no beginning.
            (None, _) => created || is_terminal(event) && !self.has_status,
        };
        self.first = Some(at);
        self.has_status |= event.kind == Kind::Status;
    }

    /// On the way back: something of this time stands here.
    pub fn go_back_to(&mut self, time: Timestamp) {
        self.reached |= self.is_after(time);
        self.is_old |= self.since.is_some_and(|since| time <= since);
    }

    /// Had it done anything since it was last heard of, that would stand here.
    pub fn is_covered(&self) -> bool {
        self.since.is_none() || self.is_old || self.trail.begins()
    }

    /// Takes an event of its id, which stands behind the former ones.
    pub fn add(&mut self, event: &Event) {
        if !self.is_too_late(event) {
            self.trail.add(event);
        }
    }

    fn is_too_late(&self, event: &Event) -> bool {
        self.until.is_some_and(|until| event.timestamp > Some(until))
    }

    /// Is it wanted from a moment on that is clearly later than `time`?
    pub fn is_after(&self, time: Timestamp) -> bool {
        self.since.is_some_and(|since| {
            let seconds = since.seconds.saturating_sub(SLACK);
            time < Timestamp { seconds, ..since }
        })
    }
}

impl Trail {
    /// `latest`: of several incarnations the last one, else the first one that has an event.
    pub fn new(id: &str, since: Option<Timestamp>, latest: bool) -> Self {
        let events = VecDeque::new();
        Self { id: id.to_owned(), since, latest, events, stage: Stage::Open }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// Takes an event of this id, which stands behind the former ones.
    pub fn add(&mut self, event: &Event) {
        if self.is_closed() || !self.has_begun(event) {
            return;
        }
        let created = event.status == Status::Created;
        if self.stage == Stage::Ended && !created && closes(event) {
            // What QEMU says of a job after its terminal event.
            return;
        }
        if self.stage == Stage::Ended || created && !self.events.is_empty() {
            // The next incarnation. The former one may have no end: its QEMU was killed.
            if !self.latest {
                self.keep(event.clone());
                self.stage = Stage::Closed;
                return;
            }
            self.events.clear();
            self.stage = Stage::Open;
        }
        self.keep(event.clone());
        if is_end(event) {
            self.stage = if self.latest { Stage::Ended } else { Stage::Closed };
        }
    }

    /// Its beginning stands here.
    fn begins(&self) -> bool {
        self.events.front().is_some_and(|event| event.status == Status::Created)
    }

    pub fn into_events(self) -> Vec<Event> {
        self.events.into()
    }

    fn has_begun(&mut self, event: &Event) -> bool {
        if let (Some(since), Some(time)) = (self.since, event.timestamp) {
            if time < since {
                return false;
            }
        }
        self.since = None;
        true
    }

    /// Over its bounds the oldest go, but for the one that says that the job was created.
    fn keep(&mut self, event: Event) {
        self.events.push_back(event);
        let weight = |events: &VecDeque<Event>| events.iter().map(Event::weight).sum::<usize>();
        while self.events.len() > EVENTS_MAX
            || self.events.len() > 2 && weight(&self.events) > WEIGHT_MAX
        {
            let first = usize::from(self.events[0].status == Status::Created);
            self.events.remove(first);
        }
    }
}

impl Sieve {
    /// For these ids, and all that begin with `prefix`.
    pub fn new<'a>(ids: impl Iterator<Item = &'a str>, prefix: Option<&str>) -> Self {
        let ids = ids.map(|id| (id, "\""));
        let needles: Option<BTreeSet<String>> = ids
            .chain(prefix.map(|prefix| (prefix, "")))
            .map(|(text, end)| stands_bare(text).then(|| format!("\"{text}{end}")))
            .collect();
        let needles = needles.filter(|needles| needles.len() <= NEEDLES_MAX);
        let needles = needles.unwrap_or_else(|| [ANY_JOB.to_owned()].into());
        Self(needles.iter().map(|needle| Finder::new(needle).into_owned()).collect())
    }

    pub fn lets_pass(&self, line: &[u8]) -> bool {
        self.0.iter().any(|needle| needle.find(line).is_some())
    }
}

impl Seen {
    /// Is this event of a line new? One without a time always is.
    pub fn is_new(&mut self, event: &Event, data: &str) -> bool {
        let Some(time) = event.timestamp else { return true };
        let mut mark = HASH_BEGIN;
        for number in [time.seconds, time.microseconds] {
            mark = hash(mark, &number.to_ne_bytes());
        }
        mark = hash(mark, event.text(Word::Name).unwrap_or_default().as_bytes());
        mark = hash(hash(mark, b"\0"), data.as_bytes());
        if !self.marks.insert(mark) {
            return false;
        }
        self.order.push_back(mark);
        if self.order.len() > SEEN_MAX {
            self.order.pop_front().map(|oldest| self.marks.remove(&oldest));
        }
        true
    }
}

/// Gives out the events of jobs that a line holds, each with the text of its data. As a rule there
/// is one; but a write that was cut short, by a full disk or a kill, leaves a message glued to the
/// next one, and neither may be lost that is whole.
pub fn for_each_event(line: &[u8], mut each: impl FnMut(&Event, &str)) {
    for_each_message(line, |message, text| {
        let Message::Event { name, timestamp, data } = message else { return };
        let event = decode(&name, timestamp, data, text);
        let event = event.filter(|event| WANTED.contains(&event.kind));
        if let (Some(event), Some(data)) = (event, data) {
            each(&event, data.get());
        }
    });
}

/// When the first event of a line happened, of whatever kind it is.
pub fn time_of(line: &[u8]) -> Option<Timestamp> {
    let mut time = None;
    for_each_message(line, |message, _| {
        if let Message::Event { timestamp, .. } = message {
            time = time.or(timestamp);
        }
    });
    time
}

/// Is this line one whole message?
pub fn is_whole(line: &[u8]) -> bool {
    parse(&String::from_utf8_lossy(line.trim_ascii())).is_ok()
}

/// Does the event end a job? A job without terminal event ends with its status.
fn is_end(event: &Event) -> bool {
    is_terminal(event) || closes(event)
}

fn is_terminal(event: &Event) -> bool {
    matches!(event.kind, Kind::Completed | Kind::Cancelled)
}

fn closes(event: &Event) -> bool {
    matches!(event.status, Status::Concluded | Status::Null)
}

fn for_each_message(line: &[u8], mut each: impl FnMut(Message<'_>, &str)) {
    let line = line.trim_ascii();
    if !line.is_empty() && line.len() <= LINE_MAX {
        let text = String::from_utf8_lossy(line);
        if let Ok(message) = parse(&text) {
            each(message, &text);
        } else {
            for_each_piece(&text, each);
        }
    }
}

fn for_each_piece(text: &str, mut each: impl FnMut(Message<'_>, &str)) {
    // In a message's strings each quote has a backslash, so this stands at beginnings only.
    let begins: Vec<_> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
    let ends = begins.iter().skip(1).copied().chain([text.len()]);
    for (begin, end) in begins.iter().zip(ends) {
        let mut framer = Framer::new(LINE_MAX);
        let (_, frame) = framer.next(&text.as_bytes()[*begin..end]);
        let Some(Frame::Message(bytes)) = frame else { continue };
        let piece = String::from_utf8_lossy(bytes);
        if let Ok(message) = parse(&piece) {
            each(message, &piece);
        }
    }
}

/// Does JSON have the text as it is? Ids of jobs do, QEMU sees to it; names of drives may not.
fn stands_bare(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._#".contains(&byte))
}

/// How far a clock may step back between two events, in seconds.
const SLACK: i64 = 60;
const WANTED: [Kind; 3] = [Kind::Completed, Kind::Cancelled, Kind::Status];
/// How QEMU begins an event; all known versions have this member first.
const BEGIN: &str = "{\"timestamp\"";
/// In the name of each event of a job.
const ANY_JOB: &str = "JOB_";
/// More searches in each line cost more than reading it.
const NEEDLES_MAX: usize = 8;
/// A job that is neither paused nor READY again and again has 8.
const EVENTS_MAX: usize = 32;
/// Reached only by lines of a size that nobody has seen.
const WEIGHT_MAX: usize = 4 << 20;
/// What a slow client is behind, in events; with 16 bytes for each.
const SEEN_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seconds: i64, what: &str) -> String {
        let (event, data) = match what {
            "COMPLETED" | "CANCELLED" => (format!("BLOCK_JOB_{what}"), r#""device": "j""#.into()),
            _ => ("JOB_STATUS_CHANGE".into(), format!("\"status\": \"{what}\", \"id\": \"j\"")),
        };
        format!(
            "{{\"timestamp\": {{\"seconds\": {seconds}, \"microseconds\": 0}}, \"event\": \
             \"{event}\", \"data\": {{{data}}}}}"
        )
    }

    fn told(line: &str) -> Vec<String> {
        let mut told = Vec::new();
        for_each_event(line.as_bytes(), |event, _| told.push(short(event)));
        told
    }

    fn short(event: &Event) -> String {
        let word = event.text(Word::StatusName).or(event.text(Word::Name)).unwrap();
        let time = event.timestamp.map_or(-1, |time| time.seconds);
        format!("{time} {}", word.trim_start_matches("BLOCK_JOB_"))
    }

    fn trail(since: Option<i64>, latest: bool, story: &[(i64, &str)]) -> (Vec<String>, bool) {
        let since = since.map(|seconds| Timestamp { seconds, microseconds: 0 });
        let mut trail = Trail::new("j", since, latest);
        for (time, what) in story {
            for_each_event(line(*time, what).as_bytes(), |event, _| trail.add(event));
        }
        let closed = trail.is_closed();
        (trail.into_events().iter().map(short).collect(), closed)
    }

    const TWICE: [(i64, &str); 8] = [
        (1, "created"),
        (2, "running"),
        (3, "COMPLETED"),
        (4, "concluded"),
        (5, "null"),
        (6, "created"),
        (7, "CANCELLED"),
        (8, "null"),
    ];

    #[test]
    fn the_first_end_from_a_moment_on_is_that_of_the_job_that_lived_then() {
        assert_eq!(trail(Some(2), false, &TWICE).0, ["2 running", "3 COMPLETED"]);
        assert_eq!(trail(Some(3), false, &TWICE).0, ["3 COMPLETED"]);
        assert_eq!(trail(Some(6), false, &TWICE).0, ["6 created", "7 CANCELLED"]);
        assert_eq!(trail(Some(9), false, &TWICE), (vec![], false));
    }

    #[test]
    fn the_latest_incarnation_is_the_one_that_was_created_last() {
        assert_eq!(
            trail(None, true, &TWICE),
            (vec!["6 created".into(), "7 CANCELLED".into()], false)
        );
        assert_eq!(trail(None, true, &TWICE[..5]).0, ["1 created", "2 running", "3 COMPLETED"]);
        assert_eq!(trail(None, true, &TWICE[..6]).0, ["6 created"]);
    }

    #[test]
    fn a_job_created_anew_does_not_end_the_one_that_was_killed_with_its_qemu() {
        let story = [(1, "created"), (2, "running"), (6, "created"), (7, "COMPLETED")];
        assert_eq!(trail(Some(2), false, &story).0, ["2 running", "6 created"]);
        assert_eq!(trail(None, true, &story).0, ["6 created", "7 COMPLETED"]);
    }

    #[test]
    fn without_status_changes_each_terminal_event_is_an_incarnation() {
        let story = [(1, "COMPLETED"), (5, "CANCELLED"), (9, "COMPLETED")];
        assert_eq!(trail(Some(2), false, &story).0, ["5 CANCELLED"]);
        assert_eq!(trail(None, true, &story).0, ["9 COMPLETED"]);
    }

    #[test]
    fn a_job_without_terminal_event_ends_with_its_status() {
        let story = [(1, "created"), (2, "aborting"), (3, "concluded"), (4, "null")];
        assert_eq!(trail(None, true, &story).0, ["1 created", "2 aborting", "3 concluded"]);
        let story = [(1, "created"), (2, "null"), (3, "created"), (4, "null")];
        assert_eq!(trail(Some(1), false, &story).0, ["1 created", "2 null"]);
    }

    #[test]
    fn a_clock_that_steps_back_loses_nothing_of_what_follows() {
        let story = [(90, "running"), (100, "pending"), (41, "COMPLETED"), (42, "null")];
        assert_eq!(trail(Some(100), false, &story).0, ["100 pending", "41 COMPLETED"]);
    }

    #[test]
    fn of_many_events_the_creation_and_the_last_ones_are_kept() {
        let mut story = vec![(1, "created")];
        story.extend((2..100).map(|time| (time, if time % 2 == 0 { "paused" } else { "running" })));
        story.push((100, "COMPLETED"));
        let (kept, _) = trail(None, true, &story);
        assert_eq!(kept.len(), EVENTS_MAX);
        assert_eq!(kept[0], "1 created");
        assert_eq!(kept[1], "70 paused");
        assert_eq!(kept[EVENTS_MAX - 1], "100 COMPLETED");
    }

    #[test]
    fn a_message_glued_to_a_fragment_is_not_lost() {
        let (one, two) = (line(1, "created"), line(2, "running"));
        assert_eq!(told(&one), ["1 created"]);
        assert_eq!(told(&format!("{two}\r")), ["2 running"]);
        for cut in 1..one.len() {
            assert_eq!(told(&format!("{}{two}", &one[..cut])), ["2 running"], "cut at {cut}");
            assert_eq!(told(&format!("{}{two}", &one[cut..])), ["2 running"], "cut at {cut}");
            assert_eq!(told(&one[..cut]), [""; 0]);
        }
        assert_eq!(told(&format!("{one}{two}")), ["1 created", "2 running"]);
        assert_eq!(told(&format!("{one}\r{two}{{\"time")), ["1 created", "2 running"]);
        assert_eq!(told(&format!("\u{fffd}{one}")), ["1 created"]);
    }

    #[test]
    fn what_is_no_event_of_a_jobs_life_is_passed_over() {
        for other in ["", "\r", "{}", "[]", "{\"return\": {}}", "x", "{\"event\": 5}"] {
            assert_eq!(told(other), [""; 0], "{other}");
        }
        let ready = line(1, "COMPLETED").replace("COMPLETED", "READY");
        assert_eq!(told(&ready), [""; 0]);
        assert_eq!(time_of(ready.as_bytes()).map(|time| time.seconds), Some(1));
        assert!(is_whole(b"{\"return\": {}}\r") && !is_whole(b"{\"return\": {}") && !is_whole(b""));
    }

    #[test]
    fn the_sieve_lets_an_ids_lines_pass_and_few_others() {
        let passes = |ids: &[&str], prefix, text: &str| {
            Sieve::new(ids.iter().copied(), prefix).lets_pass(text.as_bytes())
        };
        let text = line(1, "created");
        assert!(passes(&["a", "j"], None, &text));
        assert!(!passes(&["a", "jj"], None, &text));
        assert!(!passes(&[], None, &text));
        assert!(passes(&[], Some("j"), &text.replace("\"j\"", "\"j1\"")));
        assert!(!passes(&[], Some("q"), &text));
        // JSON may have written this one otherwise, so that each job's event must be read.
        assert!(passes(&["drive \u{e9}"], None, &text));
        let many: Vec<_> = (0..NEEDLES_MAX).map(|i| format!("x{i}")).collect();
        let mut many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(!passes(&many, None, &text));
        many.push("y");
        assert!(passes(&many, None, &text));
        assert!(!passes(&many, None, "{\"event\": \"STOP\"}"));
    }

    #[test]
    fn repeated_text_is_known_by_time_event_and_data() {
        let mut seen = Seen::default();
        let mut news = |text: &str| {
            let mut news = false;
            for_each_event(text.as_bytes(), |event, data| news = seen.is_new(event, data));
            news
        };
        assert!(news(&line(1, "created")));
        assert!(!news(&line(1, "created")));
        assert!(news(&line(2, "created")) && news(&line(1, "running")));
        assert!(news(&line(1, "COMPLETED")) && news(&line(1, "CANCELLED")));
        assert!(!news(&line(1, "created")));
        // Whose time is not known cannot be told from another.
        let timeless = line(-1, "created").replace("\"microseconds\": 0", "\"microseconds\": -1");
        assert!(news(&timeless) && news(&timeless));
        for (time, _) in (10..).zip(0..SEEN_MAX) {
            assert!(news(&line(time, "running")));
        }
        assert_eq!(seen.marks.len(), SEEN_MAX);
    }
}
