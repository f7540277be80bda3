//! What QEMU says, message by message, and whose matter each is. Part of [`Session`].

use super::{
    act::Act,
    command::Heard,
    decode::{self, decode},
    exchange::{Pending, Purpose},
    line::{Frame, Framer, Stray},
    message::{Message, parse},
    session::{Session, Stage, Ticket},
};
use crate::model::{Code, Error, Now, is_affordable};

impl<T: Ticket> Session<T> {
    /// QEMU said something.
    pub fn handle_bytes(&mut self, mut bytes: &[u8], now: Now, acts: &mut Vec<Act<T>>) {
        // Taken out for the loop, since a frame borrows it while the session acts.
        let mut framer = std::mem::replace(&mut self.framer, Framer::new(0));
        let mut starved = false;
        while !starved && !matches!(self.stage, Stage::Down | Stage::Closed) {
            let (used, frame) = framer.next(bytes);
            let Some(frame) = frame else {
                starved = framer.is_starved();
                break;
            };
            match frame {
                Frame::Message(message) if !is_affordable(COPIES * message.len()) => starved = true,
                Frame::Message(message) => {
                    self.handle_message(&String::from_utf8_lossy(message), now, acts);
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
                if self.raw.has(&name) {
                    acts.push(Act::Tell(decode::raw(&name, timestamp, text)));
                }
                // A QEMU before 6.2 completes ready mirrors when it is quit, without a pivot.
                if name == "SHUTDOWN"
                    && self.version.is_some_and(|it| (it.major, it.minor) < (6, 2))
                {
                    self.jobs.soft_shutdown = true;
                }
                // Also before the greeting: such events are genuine.
                if let Some(event) = decode(&name, timestamp, data, text) {
                    self.diary.job_event();
                    let sure = matches!(
                        self.stage,
                        Stage::Reconciling { .. } | Stage::Recovering { .. } | Stage::Ready
                    );
                    self.jobs.handle_event(event, sure);
                    self.pump(now, acts);
                }
            }
            Ok(Message::Greeting(version)) => self.handle_greeting(version, text, acts),
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

/// Of a message: its text for the program, and as much for what is read out of it.
const COPIES: usize = 2;
