//! What QEMU says, message by message, and whose matter each is. Part of [`Session`].

use std::str::{self, Utf8Chunk};

use super::{
    act::Act,
    command::Heard,
    decode::{self, decode},
    event::{Plain, plain},
    exchange::{Pending, Purpose},
    line::{Frame, Framer, Stray},
    message::{Message, parse},
    session::{Session, Stage, Ticket},
};
use crate::model::{Code, Error, Event, Now, Timestamp, is_affordable};

impl<T: Ticket> Session<T> {
    /// QEMU said something.
    pub fn handle_bytes(&mut self, mut bytes: &[u8], now: Now, acts: &mut Vec<Act<T>>) {
        // Taken out for the loop, since a frame borrows it while the session acts.
        let mut framer = std::mem::replace(&mut self.framer, Framer::new(0));
        let mut starved = false;
        while !starved && !matches!(self.stage, Stage::Down | Stage::Closed) {
            // The wire is shown message by message.
            if framer.is_between() && !self.diary.traces {
                if let Some((used, event)) = plain(bytes, framer.limit()) {
                    self.handle_plain(&event, now, acts);
                    bytes = &bytes[used..];
                    continue;
                }
            }
            let (used, frame) = framer.next(bytes);
            let Some(frame) = frame else {
                starved = framer.is_starved();
                break;
            };
            match frame {
                Frame::Message(message) if !is_affordable(COPIES * message.len()) => starved = true,
                Frame::Message(message) => {
                    if let Ok(text) = str::from_utf8(message) {
                        self.handle_message(text, now, acts);
                    } else {
                        // Of the two that there are now one is forgotten before more is made of it.
                        let copy = readable(message, self.settings.line_limit);
                        framer.forget_given();
                        match copy {
                            Some(text) => self.handle_message(&text, now, acts),
                            None => self.diary.pass_over(Stray::TooLong, acts),
                        }
                    }
                }
                Frame::Stray(Stray::NoMemory, _) => starved = true,
                Frame::Stray(stray, excerpt) => {
                    self.diary.pass_over(stray, acts);
                    self.handle_stray(excerpt);
                }
            }
            bytes = &bytes[used..];
        }
        self.framer = framer;
        if starved {
            // Passed over it could be an end, which a new connection learns of by asking.
            let error = Error::new(Code::NoMemory, "there is no memory for what QEMU says");
            self.handle_end(&error, now, acts);
        }
    }

    fn handle_message(&mut self, text: &str, now: Now, acts: &mut Vec<Act<T>>) {
        let message = parse(text);
        self.diary.hear(&message, text, acts);
        match message {
            Ok(Message::Event { name, timestamp, data }) => {
                self.handle_event_of(&name, timestamp, text, acts);
                if let Some(event) = decode(&name, timestamp, data, text) {
                    self.handle_job_event(event, now, acts);
                } else if decode::is_of_job(&name) {
                    let what = "is an event of a job, and does not say of which";
                    self.diary.malformed(what, text.len(), acts);
                }
                self.end_straggler(now, acts);
            }
            Ok(Message::Greeting(version)) => self.handle_greeting(version, text, now, acts),
            Ok(Message::Return { id, value }) => {
                if let Some(pending) = self.exchange.take(id) {
                    self.handle_answer(pending, &Heard::Return(value), now, acts);
                } else {
                    self.diary.unasked(id, acts);
                }
            }
            Ok(Message::Error { id, class, description, json }) => {
                if let Some(pending) = self.exchange.take(id) {
                    let (class, description) = (&class, &description);
                    let heard = Heard::Error { class, description, json };
                    self.handle_answer(pending, &heard, now, acts);
                } else {
                    self.diary.unasked(id, acts);
                }
            }
            Ok(Message::Unknown) | Err(_) => self.handle_stray(text.as_bytes()),
        }
    }

    /// An event came that needs no closer look.
    fn handle_plain(&mut self, event: &Plain<'_>, now: Now, acts: &mut Vec<Act<T>>) {
        self.diary.hear_event();
        self.handle_event_of(event.name, event.timestamp, event.text, acts);
        if let Some((kind, fields)) = &event.job {
            let event = decode::event(*kind, event.timestamp, fields, event.text);
            self.handle_job_event(event, now, acts);
        }
        self.end_straggler(now, acts);
    }

    /// The first event behind the greeting may be of before: what follows on it is not heard until
    /// QEMU has agreed.
    fn end_straggler(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        let Stage::Negotiating { heard, .. } = &mut self.stage else { return };
        if !std::mem::replace(heard, true) {
            self.jobs.handle_unheard();
            self.tell(now, acts);
        }
    }

    /// Any event, of a job or not.
    fn handle_event_of(
        &mut self,
        name: &str,
        timestamp: Option<Timestamp>,
        text: &str,
        acts: &mut Vec<Act<T>>,
    ) {
        if self.raw.has(name) {
            acts.push(Act::Tell(decode::raw(name, timestamp, text)));
        }
        // A QEMU before 6.2 completes ready mirrors when it is quit, without a pivot.
        // One that was told to stay lives on.
        match name {
            "SHUTDOWN" if self.version.is_some_and(|it| !it.is_from(6, 2)) => {
                self.jobs.soft_shutdown = timestamp;
            }
            "RESET" | "RESUME" => self.jobs.soft_shutdown = None,
            _ => {}
        }
    }

    /// Also before the greeting: such events are genuine.
    fn handle_job_event(&mut self, event: Event, now: Now, acts: &mut Vec<Act<T>>) {
        self.diary.job_event();
        let sure = match self.stage {
            Stage::Reconciling { .. } | Stage::Recovering { .. } | Stage::Ready => true,
            Stage::Negotiating { heard, .. } => heard,
            _ => false,
        };
        self.jobs.handle_event(event, sure);
        self.pump(now, acts);
    }

    fn handle_answer(
        &mut self,
        pending: Pending<T>,
        heard: &Heard<'_>,
        now: Now,
        acts: &mut Vec<Act<T>>,
    ) {
        if matches!(pending.purpose, Purpose::Command { .. }) {
            self.handle_response(pending, heard, now, acts);
        } else {
            self.handle_reply(pending, heard.result(), now, acts);
        }
        self.send_more(acts);
    }
}

/// What can be read of bytes that are no UTF-8, unless that is over the limit: each that is not may
/// become three.
fn readable(bytes: &[u8], limit: usize) -> Option<String> {
    let mark = |chunk: &Utf8Chunk<'_>| if chunk.invalid().is_empty() { "" } else { UNREADABLE };
    let len = bytes.utf8_chunks().map(|it| it.valid().len() + mark(&it).len()).sum();
    (len <= limit).then(|| {
        let mut text = String::with_capacity(len);
        for chunk in bytes.utf8_chunks() {
            text.extend([chunk.valid(), mark(&chunk)]);
        }
        text
    })
}

/// Stands for what is no UTF-8.
const UNREADABLE: &str = "\u{FFFD}";
/// What a message may cost beside itself: its text, and as much for what is read out of it.
const COPIES: usize = 2;
