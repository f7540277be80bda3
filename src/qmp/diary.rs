//! What one monitor's session counts and says of itself: figures for whoever asks, lines for the
//! log, and the wire where somebody wants to see it. It decides nothing.

use serde_json::value::RawValue;

use super::{
    act::Act, line::Stray, listing::Listed, message::Message, session::Ticket, wire::Wire,
};
use crate::model::{
    Counts, Error, Event, Kind, Level, Origin, Process, Stat, Status, Version, Word,
    readable::{Bare, Quoted},
};

#[derive(Debug, Default)]
pub struct Diary {
    pub counts: Counts,
    /// Somebody wants to see each message.
    pub traces: bool,
    wire: Wire,
    /// The connection that there is was usable.
    usable: bool,
    /// What was said last of the journal.
    journal: Option<String>,
}

impl Diary {
    /// A message came.
    pub fn hear<E, T: Ticket>(
        &mut self,
        message: &Result<Message<'_>, E>,
        text: &str,
        acts: &mut Vec<Act<T>>,
    ) {
        self.counts.count(Stat::Messages);
        if self.traces {
            acts.push(Act::Log(Level::Debug, self.wire.heard(message, text)));
        }
        match message {
            Ok(Message::Event { .. }) => drop(self.counts.count(Stat::Events)),
            Ok(Message::Unknown) => self.malformed("is no message of QMP", text.len(), acts),
            Err(_) => self.malformed("is no JSON", text.len(), acts),
            Ok(_) => {}
        }
    }

    /// An event came, which nobody wants to see.
    pub fn hear_event(&mut self) {
        self.counts.count(Stat::Messages);
        self.counts.count(Stat::Events);
    }

    /// Something came that is no message, and was passed over.
    pub fn pass_over<T: Ticket>(&mut self, stray: Stray, acts: &mut Vec<Act<T>>) {
        let what = match stray {
            Stray::TooLong => {
                let times = self.counts.count(Stat::LinesTooLong);
                let what = "a message over the limit of bytes (blockjob_monitor_set_line_limit())";
                return self.skipped(what, times, acts);
            }
            Stray::Garbage => "a line that does not begin with {",
            Stray::CutOff => "a message that broke off",
            Stray::TooDeep => "a message nested deeper than QEMU nests",
            Stray::NoMemory => "a message for which there is no memory",
        };
        let times = self.counts.count(Stat::Malformed);
        self.skipped(what, times, acts);
    }

    /// A reply came that nobody waits for: to another client, or to a command given up.
    pub fn unasked<T: Ticket>(&mut self, id: Option<&RawValue>, acts: &mut Vec<Act<T>>) {
        let times = self.counts.count(Stat::RepliesUnasked);
        if is_milestone(times) {
            let id: String = id.map_or("none", RawValue::get).chars().take(ID_SHOWN).collect();
            let text = format!("a reply that nobody waits for, its id {}{}", id, so_often(times));
            acts.push(Act::Log(Level::Info, text));
        }
    }

    /// An event of a job came.
    pub fn job_event(&mut self) {
        self.counts.count(Stat::JobEvents);
    }

    /// The journal was read; the same problem is said once.
    pub fn read<T: Ticket>(&mut self, problem: Option<&String>, acts: &mut Vec<Act<T>>) {
        if self.journal.as_ref() != problem {
            self.journal = problem.cloned();
            acts.extend(problem.map(|problem| Act::Log(Level::Warning, problem.clone())));
        }
    }

    /// QEMU was asked to dismiss a job.
    pub fn dismissed<T: Ticket>(
        &self,
        id: Option<&str>,
        answer: &Result<(), Error>,
        acts: &mut Vec<Act<T>>,
    ) {
        if let (Some(id), Err(error)) = (id, answer) {
            let text = format!("job {}: QEMU refused to dismiss it: {}", Bare(id), error.text);
            acts.push(Act::Log(Level::Warning, text));
        }
    }

    /// What is to be said of an act, before it is done.
    pub fn note<T: Ticket>(&mut self, act: &Act<T>) -> Option<Act<T>> {
        let (level, text) = match act {
            Act::Send(bytes) | Act::SendWith(bytes, _) => {
                let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
                self.counts.add(Stat::BytesWritten, size);
                self.counts.count(Stat::Commands);
                (Level::Debug, self.traces.then(|| self.wire.sent(bytes))?)
            }
            Act::Disconnect => {
                self.wire.forget();
                if std::mem::take(&mut self.usable) {
                    self.counts.count(Stat::Disconnections);
                }
                return None;
            }
            Act::Tell(event) => self.note_event(event)?,
            Act::End(end) => self.note_end(&end.event)?,
            _ => return None,
        };
        Some(Act::Log(level, text))
    }

    fn note_event(&mut self, event: &Event) -> Option<(Level, String)> {
        let reason = event.text(Word::Reason).unwrap_or_default();
        Some(match event.kind {
            Kind::Connected => {
                self.usable = true;
                self.counts.count(Stat::Connections);
                (Level::Info, connected(event))
            }
            Kind::Disconnected => (Level::Warning, format!("no connection: {reason}")),
            Kind::Closed => (Level::Info, format!("closed: {reason}")),
            Kind::Unresponsive => (Level::Warning, reason.to_owned()),
            Kind::Responsive => (Level::Info, reason.to_owned()),
            Kind::Overflow => {
                let more = event.own().dropped.unwrap_or(1);
                self.counts.add(Stat::Dropped, more);
                let text = "more jobs than blockjob_monitor_set_job_limit() allows: their events \
                            are left out";
                let times = self.counts.get(Stat::Dropped);
                is_milestone(times).then(|| (Level::Warning, text.to_owned() + &so_often(times)))?
            }
            _ => return None,
        })
    }

    fn note_end(&mut self, event: &Event) -> Option<(Level, String)> {
        if event.origin == Origin::Recovered {
            self.counts.count(Stat::Recovered);
        }
        if event.kind != Kind::Lost {
            return None;
        }
        self.counts.count(Stat::Lost);
        let id = Bare(event.text(Word::JobId).unwrap_or_default());
        let reason = event.text(Word::Reason).unwrap_or_default();
        Some((Level::Warning, format!("job {id}: how it ended cannot be known: {reason}")))
    }

    /// Something was a message by its form alone.
    pub fn malformed<T: Ticket>(&mut self, what: &str, size: usize, acts: &mut Vec<Act<T>>) {
        let times = self.counts.count(Stat::Malformed);
        self.skipped(&format!("what {what} ({size} bytes)"), times, acts);
    }

    fn skipped<T: Ticket>(&self, what: &str, times: i64, acts: &mut Vec<Act<T>>) {
        if self.traces {
            acts.push(Act::Log(Level::Debug, format!("<- ({what}, left out)")));
        }
        if is_milestone(times) {
            let text = format!("{what} was passed over{}", so_often(times));
            acts.push(Act::Log(Level::Warning, text));
        }
    }
}

/// What was heard of a job after it was LOST: no second end, but worth a line.
pub fn heard_late(event: &Event) -> String {
    let id = Bare(event.text(Word::JobId).unwrap_or_default());
    format!("job {id}, which was LOST: QEMU says {event}")
}

/// The same of what QEMU lists.
pub fn listed_late(listed: &Listed) -> String {
    let id = Bare(&listed.id);
    let how = match (listed.status, &listed.error) {
        (Status::Concluded, None) => ", concluded without an error".to_owned(),
        (Status::Concluded, Some(error)) => format!(", concluded with the error {}", Quoted(error)),
        _ => String::new(),
    };
    format!("job {id}, which was LOST: QEMU has it{how}")
}

fn connected(event: &Event) -> String {
    let mut text = "connected".to_owned();
    if let Some(version) = event.own().version {
        let Version { major, minor, micro } = version;
        text = format!("connected: QEMU {major}.{minor}.{micro}");
    }
    text += match event.own().process {
        Some(Process::Same) => ", the process of before",
        Some(Process::Restarted) => ", restarted since",
        Some(Process::Unknown | Process::First) | None => "",
    };
    if let Some(count @ 1..) = event.own().recovered {
        text = format!("{text}; {count} ends of jobs were recovered");
    }
    text
}

/// What may come in floods is said the 1st, 2nd, 4th, 8th... time.
fn is_milestone(times: i64) -> bool {
    times.count_ones() == 1
}

fn so_often(times: i64) -> String {
    if times < 2 { String::new() } else { format!(" ({times} so far)") }
}

/// Ours are about 60 characters long.
const ID_SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(acts: &mut Vec<Act<u8>>) -> Vec<String> {
        let line = |act| match act {
            Act::Log(level, text) => format!("{} {text}", level.word()),
            act => panic!("{act:?}"),
        };
        acts.drain(..).map(line).collect()
    }

    #[test]
    fn a_flood_of_bad_messages_is_said_ever_more_seldom() {
        let (mut diary, mut acts) = (Diary::default(), Vec::new());
        for _ in 0..1000 {
            diary.pass_over(Stray::TooDeep, &mut acts);
        }
        let lines = lines(&mut acts);
        assert_eq!(lines.len(), 10);
        let deep = "warning a message nested deeper than QEMU nests was passed over";
        assert_eq!(lines[0], deep);
        assert_eq!(lines[9], format!("{deep} (512 so far)"));
        assert_eq!(diary.counts.get(Stat::Malformed), 1000);
        assert_eq!(diary.counts.get(Stat::LinesTooLong), 0);
    }

    #[test]
    fn a_journals_problem_is_said_once_until_it_is_another() {
        let (mut diary, mut acts) = (Diary::default(), Vec::new());
        let (one, two) = ("the journal x is missing".to_owned(), "y".to_owned());
        for problem in [None, Some(&one), Some(&one), Some(&two), None, Some(&one)] {
            diary.read(problem, &mut acts);
        }
        let said = ["the journal x is missing", "y", "the journal x is missing"];
        assert_eq!(lines(&mut acts), said.map(|text| format!("warning {text}")));
    }

    #[test]
    fn only_a_usable_connection_can_end() {
        let mut diary = Diary::default();
        let connected = || Act::<u8>::Tell(Event::new(Kind::Connected, "CONNECTED", None, 0));
        for act in [Act::Disconnect, connected(), Act::Disconnect, Act::Disconnect, connected()] {
            diary.note(&act);
        }
        assert_eq!(diary.counts.get(Stat::Connections), 2);
        assert_eq!(diary.counts.get(Stat::Disconnections), 1);
    }

    #[test]
    fn connected_says_with_whom() {
        let mut event = Event::new(Kind::Connected, "CONNECTED", None, 0);
        assert_eq!(connected(&event), "connected");
        let own = event.own_mut();
        own.version = Some(Version { major: 7, minor: 2, micro: 22 });
        (own.process, own.recovered) = (Some(Process::Restarted), Some(3));
        let text = "connected: QEMU 7.2.22, restarted since; 3 ends of jobs were recovered";
        assert_eq!(connected(&event), text);
    }
}
