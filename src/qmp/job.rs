//! One incarnation of a job, as far as it is known. The rules that need no other job stand here.

use std::sync::Arc;

use super::{asked::Asked, listing::Listed, progress::Shown};
use crate::model::{Error, Event, JobType, Kind, Loss, Outcome, Status, Timestamp, Word};

/// One incarnation.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub struct Job {
    pub id: Arc<str>,
    pub stage: Stage,
    pub handles: Vec<u64>,
    /// To be dismissed when its end was acknowledged, whoever started it.
    pub ours: bool,
    /// The command that starts it was sent by us, and not refused: it is to be dismissed as well.
    pub by_us: bool,
    /// That command has not been answered, so that it may be refused yet.
    pub unanswered: bool,
    /// Nobody waits for that reply: a refusal is its end.
    pub left: bool,
    /// Why QEMU did not start it, when that was asked last.
    pub refused: Option<Box<Error>>,
    pub job_type: JobType,
    /// QEMU's word for its type where that is a newer QEMU's.
    pub(super) newer_type: Option<Box<str>>,
    pub status: Status,
    /// In which connection it was first heard of or watched.
    pub connection: u64,
    /// Whether QEMU has refused to dismiss it.
    pub refusal: Refusal,
    /// In which connection QEMU listed it last.
    pub listed: u64,
    /// In which connection it did not stand in the list.
    pub missed: u64,
    /// Its id is given to no other job.
    pub once: bool,
    /// QEMU keeps it when it has concluded.
    pub stays: Option<bool>,
    /// `created` was heard, and all since.
    pub whole: bool,
    /// `created` was heard, and all until there was no connection.
    pub born: bool,
    pub ran: bool,
    pub aborted: bool,
    /// The program says that it was started.
    pub started: bool,
    /// It was ready once: a commit that was is an active one.
    pub was_ready: bool,
    /// There was a gap, and the id may mean another job since.
    pub doubt: bool,
    /// There is a marker, and whether it is still there, and so the process of this one, was not
    /// answered: what is heard under the id may be another job's.
    pub unmet: bool,
    /// The one before it has ended, as was told, and QEMU may keep that.
    pub behind: bool,
    /// A listing must speak of it, or it is gone.
    pub awaited: bool,
    /// What the journal is to be asked: not, to be, is being.
    pub inquiry: Inquiry,
    pub complete: Asked,
    pub cancel: Asked,
    /// A cancel was accepted by which it can't end well: whatever it fails with, it is cancelled.
    pub abandoned: bool,
    /// How it ended, as that was told.
    pub outcome: Outcome,
    /// Its end, which must wait for a reply or for the journal.
    pub held: Option<Box<Event>>,
    /// When QEMU was last heard to speak of it, or when we began to watch it.
    pub last_heard: Option<Timestamp>,
    /// It stands in a list and was not heard to speak: it may have begun behind that moment, which
    /// is when the list was asked for, or its handle made.
    pub only_listed: bool,
    /// The same when the earliest gap began that the journal has not closed, and whether it lived
    /// then, for certain.
    pub gap: Option<(Timestamp, bool)>,
    /// When its process was found to have ended, or it was heard to have concluded or to be
    /// forgotten, with its end unheard: what happens later is another job's.
    pub over_by: Option<Timestamp>,
    pub len: Option<i64>,
    pub offset: Option<i64>,
    pub speed: Option<i64>,
    /// What was told of its progress last.
    pub shown: Option<Shown>,
}

/// Where a job is that nobody has heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hope {
    /// Yet to be started.
    ToCome,
    /// The same when a connection ended: it may have come and gone meanwhile. If QEMU does not have
    /// it, nobody waits on.
    Unheard,
    /// Started before: if QEMU does not have it, it is lost.
    Started,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A handle waits for it; nobody has heard of it yet.
    Expected {
        hope: Hope,
        /// Nobody else knows its id.
        made: bool,
    },
    /// The command that starts it is under way.
    Starting,
    Living,
    /// It is gone, and only the journal may know how.
    Missing(Loss),
    /// Its end was told.
    Ended {
        acknowledged: bool,
        lost: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inquiry {
    #[default]
    None,
    Wanted,
    Made,
    /// Made, and there was a gap since: of that the answer says nothing.
    Outdated,
}

/// As a rule a job that QEMU does not dismiss is gone already: its list says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refusal {
    #[default]
    None,
    /// Heard, and QEMU is to be asked for its jobs.
    Heard,
    /// It was asked.
    Asked,
    /// It has the job all the same.
    Kept,
}

impl Job {
    pub fn new(id: Arc<str>, stage: Stage, ours: bool) -> Self {
        Self {
            id,
            stage,
            handles: Vec::new(),
            ours,
            by_us: false,
            unanswered: false,
            left: false,
            refused: None,
            job_type: JobType::Unknown,
            newer_type: None,
            status: Status::Unknown,
            connection: 0,
            refusal: Refusal::None,
            listed: 0,
            missed: 0,
            once: ours || matches!(stage, Stage::Expected { made: true, .. }),
            stays: None,
            whole: false,
            born: false,
            ran: false,
            aborted: false,
            started: false,
            was_ready: false,
            doubt: false,
            unmet: false,
            behind: false,
            awaited: false,
            inquiry: Inquiry::None,
            complete: Asked::default(),
            cancel: Asked::default(),
            abandoned: false,
            outcome: Outcome::Unknown,
            held: None,
            last_heard: None,
            only_listed: false,
            gap: None,
            over_by: None,
            len: None,
            offset: None,
            speed: None,
            shown: None,
        }
    }

    /// From when on the journal may know more than we, and whether it lived then, for certain.
    pub fn since(&self) -> Option<(Timestamp, bool)> {
        let lived = !self.is_unheard() && !self.only_listed;
        self.gap.or(self.last_heard.map(|at| (at, lived)))
    }

    /// QEMU was never heard to speak of it.
    pub fn is_unheard(&self) -> bool {
        !self.born && !self.ran && self.status == Status::Unknown
    }

    /// Nobody knows that there was such a job: a handle waited for it, and that is all.
    pub fn is_hope(&self) -> bool {
        self.is_unheard() && self.listed == 0 && !self.started && !self.by_us
    }

    /// To be dismissed when its end was acknowledged.
    pub fn is_ours(&self) -> bool {
        self.ours || self.by_us
    }

    /// Whether it is ours or another's the reply to its start will say.
    pub fn is_in_question(&self) -> bool {
        self.unanswered && !self.once && !self.ours
    }

    /// It has ended, and whether QEMU keeps it nobody has said.
    pub fn may_be_forgotten(&self) -> bool {
        let ended = matches!(self.stage, Stage::Ended { lost: false, .. });
        ended && self.stays.is_none() && !self.is_ours()
    }

    /// Its start was refused: what was heard of it is over, and it may be started again. What was
    /// asked of it meanwhile will be answered.
    pub fn withdraw(&mut self, refusal: &Error) {
        let stage = Stage::Expected { hope: Hope::ToCome, made: self.once };
        *self = Self {
            handles: std::mem::take(&mut self.handles),
            connection: self.connection,
            last_heard: self.last_heard.map(Timestamp::next),
            once: self.once,
            refused: Some(Box::new(refusal.clone())),
            complete: self.complete.renewed(),
            cancel: self.cancel.renewed(),
            ..Self::new(Arc::clone(&self.id), stage, self.ours)
        };
    }

    /// It has gone while it was being started, and had no end.
    pub fn is_undone(&self) -> bool {
        self.stage == Stage::Starting && self.status == Status::Null && self.held.is_none()
    }

    /// The journal was read for it. True when that was before a gap: it is to be asked again.
    pub fn settle_inquiry(&mut self) -> bool {
        let was_outdated = self.inquiry == Inquiry::Outdated;
        self.inquiry = if was_outdated { Inquiry::Wanted } else { Inquiry::None };
        was_outdated
    }

    /// How it ended, or whether it is the one that was known, only the journal can tell.
    pub fn waits_for_journal(&self) -> bool {
        self.inquiry != Inquiry::None
    }

    /// The types that QEMU sends `BLOCK_JOB_COMPLETED` or _CANCELLED for.
    pub fn is_block(&self) -> bool {
        use JobType::{Backup, Commit, Mirror, Stream};
        matches!(self.job_type, Stream | Commit | Mirror | Backup)
    }

    /// It is of one of the other types, for certain: no `block-job-` command finds it.
    pub fn is_no_block(&self) -> bool {
        self.job_type != JobType::Unknown && !self.is_block()
    }

    /// In QEMU's words.
    pub(super) fn type_name(&self) -> Option<&str> {
        self.job_type.word().or(self.newer_type.as_deref())
    }

    fn note_type(&mut self, word: &str) {
        self.job_type = JobType::from_word(word);
        self.newer_type = (self.job_type == JobType::Unknown).then(|| word.into());
    }

    /// Takes down what an event says of it.
    pub fn note(&mut self, event: &Event) {
        if let Some(word) = event.text(Word::TypeName) {
            self.note_type(word);
        }
        self.len = event.len.or(self.len);
        self.offset = event.offset.or(self.offset);
        self.speed = event.speed.or(self.speed);
        // An error of its input or output says so, and no status.
        self.ran |= event.kind == Kind::Error;
        self.enter(match event.kind {
            Kind::Ready => Status::Ready,
            Kind::Pending => Status::Pending,
            _ => event.status,
        });
    }

    /// Takes down what a listing says of it.
    pub fn note_listed(&mut self, listed: &Listed) {
        if let Some(word) = &listed.type_name {
            self.note_type(word);
        }
        self.enter(if listed.ready == Some(true) { Status::Ready } else { listed.status });
        if listed.status != Status::Unknown {
            self.status = listed.status;
        }
        self.note_kept(listed);
        self.len = listed.len.or(self.len);
        self.offset = listed.offset.or(self.offset);
        self.speed = listed.speed.or(self.speed);
    }

    /// Of that what never changes.
    pub fn note_kept(&mut self, listed: &Listed) {
        self.stays = listed.auto_dismiss.map(|auto| !auto).or(self.stays);
    }

    fn enter(&mut self, status: Status) {
        use Status::{Aborting, Concluded, Created, Null, Ready, Standby, Unknown};
        if status == Unknown {
            return;
        }
        self.status = status;
        self.ran |= !matches!(status, Created | Aborting | Concluded | Null);
        self.aborted |= status == Aborting;
        self.was_ready |= matches!(status, Ready | Standby);
    }
}
