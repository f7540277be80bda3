//! An event as one line for logs and terminals. What a peer says may hold anything: no text here
//! can steer a terminal, end the line, turn its direction or pass for another field.

use std::fmt::{self, Display, Formatter, Write as _};

use super::{
    event::{Event, Kind, Word},
    job::{JobType, Origin, Pivot},
    log::Level,
    monitor::Process,
};

/// The name and then each member that the event has, as `label=value`.
impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(Word::Name).unwrap_or_default())?;
        let words = [
            ("job", Word::JobId),
            ("type", Word::TypeName),
            ("status", Word::StatusName),
            ("action", Word::Action),
            ("operation", Word::Operation),
        ];
        for (label, word) in words {
            if let Some(text) = self.text(word) {
                write!(f, " {label}={}", Bare(text))?;
            }
        }
        if let Some(word) = self.outcome.word() {
            write!(f, " outcome={}", word.to_string_lossy())?;
        }
        // What goes without saying is not said.
        let origin = match self.origin {
            Origin::Live => None,
            Origin::Recovered => Some("recovered"),
            Origin::Inferred => Some("inferred"),
        };
        let moves = matches!(self.job_type, JobType::Mirror | JobType::Commit);
        let pivoted = match self.pivoted {
            Pivot::Yes => Some("yes"),
            Pivot::No if moves => Some("no"),
            Pivot::No | Pivot::Unknown => None,
        };
        let process = match self.own().process {
            Some(Process::Same) => Some("same"),
            Some(Process::Restarted) => Some("restarted"),
            Some(Process::Unknown | Process::First) | None => None,
        };
        let level = self.own().level.map(Level::word);
        for (label, word) in [("level", level), ("origin", origin), ("pivoted", pivoted)] {
            if let Some(word) = word {
                write!(f, " {label}={word}")?;
            }
        }
        let numbers = [
            ("len", self.len),
            ("offset", self.offset),
            ("speed", self.speed),
            ("dropped", self.own().dropped),
        ];
        for (label, number) in numbers {
            if let Some(number) = number {
                write!(f, " {label}={number}")?;
            }
        }
        for (label, word) in [("error", Word::Error), ("reason", Word::Reason)] {
            if let Some(text) = self.text(word) {
                write!(f, " {label}={}", Quoted(text))?;
            }
        }
        // What it says is QEMU's matter, so it is shown whole.
        if let Some(json) = self.text(Word::Json).filter(|_| self.kind == Kind::Raw) {
            write!(f, " json={}", Quoted(json))?;
        }
        if let Some(version) = self.own().version {
            write!(f, " qemu={}.{}.{}", version.major, version.minor, version.micro)?;
        }
        if let Some(word) = process {
            write!(f, " process={word}")?;
        }
        if let Some(number) = self.own().recovered.filter(|number| *number > 0) {
            write!(f, " recovered={number}")?;
        }
        Ok(())
    }
}

/// A word that stands bare if it can be taken for nothing but one word, and else in quotes.
pub struct Bare<'a>(pub &'a str);

impl Display for Bare<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:,+@".contains(c);
        if !self.0.is_empty() && self.0.chars().all(plain) {
            f.write_str(self.0)
        } else {
            Quoted(self.0).fmt(f)
        }
    }
}

/// Text in quotes, with escapes as in C and JSON.
pub struct Quoted<'a>(pub &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                _ if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                _ if steers(c) => write!(f, "\\u{:04x}", u32::from(c))?,
                _ => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Text as it is, but for what must not come through.
pub struct Plain<'a>(pub &'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                _ if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                _ if steers(c) => write!(f, "\\u{:04x}", u32::from(c))?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Controls of terminals, separators of lines, and what turns the direction of text.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Outcome, Version};

    #[test]
    fn each_member_that_the_event_has_is_one_field() {
        let mut event = Event::new(Kind::Completed, "BLOCK_JOB_COMPLETED", None, 0);
        event.set(Word::TypeName, "stream");
        event.set(Word::JobId, "j0");
        event.set(Word::Error, "No \"space\"");
        event.outcome = Outcome::Failed;
        (event.len, event.offset, event.speed) = (Some(7), Some(-1), Some(0));
        assert_eq!(
            event.to_string(),
            "BLOCK_JOB_COMPLETED job=j0 type=stream outcome=failed len=7 offset=-1 speed=0 \
             error=\"No \\\"space\\\"\""
        );
        let mut event = Event::new(Kind::Connected, "CONNECTED", None, 0);
        let own = event.own_mut();
        own.version = Some(Version { major: 7, minor: 2, micro: 22 });
        (own.process, own.recovered) = (Some(Process::First), Some(0));
        assert_eq!(event.to_string(), "CONNECTED qemu=7.2.22");
        let own = event.own_mut();
        (own.process, own.recovered) = (Some(Process::Restarted), Some(3));
        assert_eq!(event.to_string(), "CONNECTED qemu=7.2.22 process=restarted recovered=3");
        let mut event = Event::new(Kind::Lost, "LOST", None, 0);
        event.set(Word::Reason, "it is gone");
        (event.job_type, event.origin) = (JobType::Mirror, Origin::Inferred);
        assert_eq!(event.to_string(), "LOST origin=inferred reason=\"it is gone\"");
        (event.origin, event.pivoted) = (Origin::Recovered, Pivot::Yes);
        assert_eq!(event.to_string(), "LOST origin=recovered pivoted=yes reason=\"it is gone\"");
    }

    #[test]
    fn a_raw_event_shows_what_it_says() {
        let mut event = Event::new(Kind::Raw, "STOP", None, 0);
        event.set(Word::Json, "{\"event\": \"STOP\"}");
        assert_eq!(event.to_string(), "STOP json=\"{\\\"event\\\": \\\"STOP\\\"}\"");
    }

    #[test]
    fn nothing_that_steers_a_terminal_comes_through() {
        let text = "\u{1b}[2J\r\n\t\0\u{7f}\u{9b}31m\u{202e}x\u{2066}\u{2028}\u{61c}é\\";
        assert_eq!(
            Quoted(text).to_string(),
            "\"\\x1b[2J\\x0d\\x0a\\x09\\x00\\x7f\\u009b31m\\u202ex\\u2066\\u2028\\u061cé\\\\\""
        );
    }

    #[test]
    fn plain_text_keeps_its_quotes_and_loses_what_steers() {
        let text = "{\"a\\\\b\": 1}\u{1b}[2J\r\n\0\u{202e}";
        assert_eq!(Plain(text).to_string(), "{\"a\\\\b\": 1}\\x1b[2J\\x0d\\x0a\\x00\\u202e");
    }

    #[test]
    fn a_word_cannot_pass_for_two() {
        assert_eq!(Bare("vm-1/disk.0:x,y@z+_").to_string(), "vm-1/disk.0:x,y@z+_");
        for text in ["a b", "a=b", "", "é", "a\"b", "a\u{1b}b"] {
            assert!(Bare(text).to_string().starts_with('"'), "{text}");
        }
    }
}
