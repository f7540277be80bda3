//! Something that happened at a monitor, as the program is told.

use std::ffi::CStr;

use super::{
    job::{JobType, Loss, Origin, Outcome, Pivot, Status},
    log::Level,
    monitor::{Process, Version},
    text::{Place, Texts},
    time::Timestamp,
};

/// What happened. A plain value; its strings can be handed to C as they stand.
#[derive(Debug, Clone)]
pub struct Event {
    pub kind: Kind,
    pub timestamp: Option<Timestamp>,
    pub outcome: Outcome,
    pub origin: Origin,
    /// Of a final event: did the guest's disk move to the job's target?
    pub pivoted: Pivot,
    /// Why a `Lost` could not be known.
    pub loss: Option<Loss>,
    pub job_type: JobType,
    pub status: Status,
    pub len: Option<i64>,
    pub offset: Option<i64>,
    pub speed: Option<i64>,
    /// Boxed, for most events are of jobs.
    own: Option<Box<Own>>,
    texts: Texts,
    words: [Option<Place>; Word::COUNT],
}

/// What only the library's own events have.
#[derive(Debug, Clone, Copy, Default)]
pub struct Own {
    /// How many events an `Overflow` stands for.
    pub dropped: Option<i64>,
    /// Whom a `Connected` has connected to.
    pub version: Option<Version>,
    /// Whether a `Connected` has met the process of before.
    pub process: Option<Process>,
    /// How many outcomes were recovered before a `Connected`.
    pub recovered: Option<i64>,
    /// Of a line of the log.
    pub level: Option<Level>,
}

/// The kinds, one bit each, so that they make a mask. C has seen these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Completed = 0x0001,
    Cancelled = 0x0002,
    Lost = 0x0004,
    Ready = 0x0008,
    Pending = 0x0010,
    Error = 0x0020,
    Status = 0x0040,
    Connected = 0x0080,
    Disconnected = 0x0100,
    Closed = 0x0200,
    Overflow = 0x0400,
    Unresponsive = 0x0800,
    Responsive = 0x1000,
    Progress = 0x2000,
    /// Any event of QEMU's, asked for by its name.
    Raw = 0x4000,
    /// The reply to a command that nobody waited for.
    Reply = 0x8000,
    /// A line of the log, where the program takes it as an event. No callback asks for it.
    Log = 0x1_0000,
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u32);

/// The strings that an event may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// QEMU's name of the event, or the library's for its own.
    Name,
    JobId,
    TypeName,
    Error,
    StatusName,
    Action,
    Operation,
    /// Why a connection ended.
    Reason,
    /// How far the journal was taken note of when this was told.
    Position,
    /// QEMU's message, to the letter.
    Json,
}

impl Event {
    /// An event with a name and no more; `room` is what its other strings may take.
    pub fn new(kind: Kind, name: &str, timestamp: Option<Timestamp>, room: usize) -> Self {
        let mut event = Self {
            kind,
            timestamp,
            outcome: Outcome::Unknown,
            origin: Origin::Live,
            pivoted: Pivot::Unknown,
            loss: None,
            job_type: JobType::Unknown,
            status: Status::Unknown,
            len: None,
            offset: None,
            speed: None,
            own: None,
            texts: Texts::with_capacity(name.len() + 1 + room),
            words: [None; Word::COUNT],
        };
        event.set(Word::Name, name);
        event
    }

    pub fn set(&mut self, word: Word, text: &str) {
        self.words[word as usize] = Some(self.texts.push(text));
    }

    pub fn get(&self, word: Word) -> Option<&CStr> {
        self.words[word as usize].map(|place| self.texts.get(place))
    }

    /// The same for Rust.
    pub fn text(&self, word: Word) -> Option<&str> {
        self.words[word as usize].map(|place| self.texts.text(place))
    }

    /// The same, to be compared.
    pub fn bytes(&self, word: Word) -> Option<&[u8]> {
        self.text(word).map(str::as_bytes)
    }

    pub fn own(&self) -> Own {
        self.own.as_deref().copied().unwrap_or_default()
    }

    pub fn own_mut(&mut self) -> &mut Own {
        self.own.get_or_insert_default()
    }

    /// Bytes that it holds, about.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.texts.weight()
    }
}

impl Kind {
    /// Those that a program asks for by a mask.
    const ALL: [Self; 14] = [
        Self::Completed,
        Self::Cancelled,
        Self::Lost,
        Self::Ready,
        Self::Pending,
        Self::Error,
        Self::Status,
        Self::Connected,
        Self::Disconnected,
        Self::Closed,
        Self::Overflow,
        Self::Unresponsive,
        Self::Responsive,
        Self::Progress,
    ];

    /// Does it say how a job ended?
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Lost)
    }

    /// May it be dropped when the program is too slow? How a job ended never is, nor what asks the
    /// program to act.
    pub fn may_be_dropped(self) -> bool {
        matches!(self, Self::Error | Self::Status | Self::Progress | Self::Raw)
    }

    /// Does only the latest of its kind and job matter?
    pub fn latest_counts(self) -> bool {
        matches!(
            self,
            Self::Ready
                | Self::Pending
                | Self::Connected
                | Self::Disconnected
                | Self::Unresponsive
                | Self::Responsive
                | Self::Progress
        )
    }
}

impl Kinds {
    /// Reads a mask; `None` when it has bits that mean nothing here. Who asks for an end that QEMU
    /// tells asks for LOST too: no silence.
    pub fn from_mask(mask: u32) -> Option<Self> {
        let told = Kind::Completed as u32 | Kind::Cancelled as u32;
        let lost = if mask & told == 0 { 0 } else { Kind::Lost as u32 };
        (mask & !Self::all().0 == 0).then_some(Self(mask | lost))
    }

    pub fn all() -> Self {
        Self(Kind::ALL.iter().fold(0, |mask, &kind| mask | kind as u32))
    }

    /// One alone, also of those that no mask asks for.
    pub fn only(kind: Kind) -> Self {
        Self(kind as u32)
    }

    pub fn mask(self) -> u32 {
        self.0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn contains(self, kind: Kind) -> bool {
        self.0 & kind as u32 != 0
    }
}

impl Word {
    const COUNT: usize = Self::Json as usize + 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_apart_and_absent_ones_are_none() {
        let mut event = Event::new(Kind::Ready, "BLOCK_JOB_READY", None, 0);
        event.set(Word::JobId, "j0");
        assert_eq!(event.text(Word::Name), Some("BLOCK_JOB_READY"));
        assert_eq!(event.text(Word::JobId), Some("j0"));
        assert_eq!(event.text(Word::Error), None);
    }

    #[test]
    fn a_mask_with_an_unknown_bit_is_no_set_of_kinds() {
        assert!(Kinds::from_mask(Kind::Completed as u32 | Kind::Overflow as u32).is_some());
        assert!(Kinds::from_mask(0x8000_0000).is_none());
        assert!(Kinds::from_mask(Kind::Raw as u32).is_none());
        assert!(Kinds::from_mask(Kind::Reply as u32).is_none());
        assert!(Kinds::from_mask(0).unwrap().is_empty());
    }

    #[test]
    fn outcomes_are_never_dropped() {
        let dropped: Vec<_> = Kind::ALL.into_iter().filter(|kind| kind.may_be_dropped()).collect();
        assert_eq!(dropped, [Kind::Error, Kind::Status, Kind::Progress]);
    }
}
