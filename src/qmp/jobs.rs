//! The jobs of one QEMU: which incarnations there are, and how each ends, once. Told are the events
//! as QEMU said them; an end is told only in `ends`, and never twice.
//!
//! An incarnation is one life of a job. QEMU has at most one job of an id at a time, and an id may
//! be used again. What QEMU says as it happens is taken down in `hearing`; what was away while
//! there was no connection is settled in `reconcile` and `findings`.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use super::{
    asked::{Asked, Verb},
    job::{Hope, Job, Refusal, Stage},
    listing::Listed,
    reading::Reading,
};
use crate::model::{Code, Error, Event, Now, Settings, Status, Timestamp, Version};

/// What is to be told, in this order.
#[allow(clippy::large_enum_variant, reason = "few at a time, and gone in the same turn")]
#[derive(Debug)]
pub enum Told {
    Event(Event),
    End(End),
    /// So many job events of others' were left out, for more jobs run than may be known.
    Dropped(i64),
    /// What was learned of a job that was told as LOST. It is no second end.
    Late(String),
}

/// How an incarnation ended: the only one of its kind.
#[derive(Debug)]
pub struct End {
    /// The incarnation's number at its monitor.
    pub job: u64,
    /// The handles that watch it.
    pub handles: Vec<u64>,
    /// It is not known to have been a job: a handle waited for one.
    pub was_hope: bool,
    pub event: Event,
}

/// What the jobs want from QEMU.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// Dismiss this one, which was acknowledged.
    Dismiss(u64),
    /// Ask how those ended that have concluded without a word.
    List,
}

#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub struct Jobs {
    /// By their numbers. Boxed, or room for eleven would come and go with the first.
    pub(super) all: BTreeMap<u64, Box<Job>>,
    /// Which incarnation QEMU means by an id.
    pub(super) current: BTreeMap<Arc<str>, u64>,
    pub(super) last: u64,
    /// Room for the id that is heard now.
    pub(super) heard_id: String,
    pub(super) settings: Arc<Settings>,
    pub(super) told: Vec<Told>,
    pub(super) wishes: BTreeSet<Wish>,
    /// A listing was asked for, and what it says is still to be believed or not.
    pub(super) is_listing: bool,
    /// The ids that came to their end since the listing was asked for, which may be staler than
    /// that, and whether the end was known. At most `GRAVES_MAX`; one more and nothing is believed
    /// to live by that listing. None without a listing.
    pub(super) graves: BTreeMap<u64, bool>,
    /// Counts the connections, and which of them was usable last.
    pub(super) connection: u64,
    pub(super) usable: u64,
    /// In which connection QEMU said last which jobs it has.
    pub(super) last_listing: u64,
    /// When the listing was asked for: what it says is no older.
    pub(super) listing_asked: Option<Timestamp>,
    /// Of the QEMU that has greeted.
    pub(super) version: Version,
    /// What can't be known from QEMU may stand in a journal.
    pub(super) reading: Option<Box<Reading>>,
    /// Since when the machine is being shut down, by a QEMU that then cancels ready mirrors softly.
    pub(super) soft_shutdown: Option<Timestamp>,
    /// Jobs of others' that have ended and that an old QEMU may keep, the oldest first.
    pub(super) unsure: VecDeque<u64>,
    /// How many ends were recovered since the connection ended.
    pub(super) recovered: i64,
}

/// A handle, and the job that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    pub handle: u64,
    pub id: String,
    /// The job was started before: if QEMU does not know it, it is lost.
    pub exists: bool,
    /// The library made the id, so nobody else knows it.
    pub made: bool,
    /// To be dismissed when its end was acknowledged, whoever started it.
    pub adopt: bool,
    /// The latest end of that id that still waits to be acknowledged.
    pub ended: Option<u64>,
}

impl Jobs {
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            all: BTreeMap::new(),
            current: BTreeMap::new(),
            last: 0,
            heard_id: String::new(),
            told: Vec::new(),
            wishes: BTreeSet::new(),
            is_listing: false,
            graves: BTreeMap::new(),
            connection: 1,
            usable: 0,
            last_listing: 0,
            listing_asked: None,
            version: Version::latest(),
            reading: Reading::new(&settings),
            soft_shutdown: None,
            unsure: VecDeque::new(),
            recovered: 0,
            settings,
        }
    }

    pub fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    pub fn wishes(&mut self) -> BTreeSet<Wish> {
        std::mem::take(&mut self.wishes)
    }

    /// What has concluded is to be asked for once more.
    pub fn wish_again(&mut self) {
        self.wishes.insert(Wish::List);
    }

    /// Binds a handle to the job that QEMU has by this id, or to the next one. Returns the number
    /// of one that has ended.
    pub fn watch(&mut self, watch: &Watch, now: Now) -> Result<Option<u64>, Error> {
        let &Watch { handle, ref id, exists, made, adopt, ended } = watch;
        let hoped = if exists { Hope::Started } else { Hope::ToCome };
        // Whether QEMU keeps the one before nobody has said: this one is the next.
        let before = self.ended(id).filter(|it| self.all[it].may_be_forgotten());
        let before = before.filter(|_| !self.version.has_status());
        let number = self.current.get(id.as_str()).filter(|_| before.is_none());
        if let Some(job) = number.and_then(|number| self.all.get_mut(number)) {
            job.ours |= adopt;
            job.started |= exists;
            if let Stage::Expected { hope, .. } = &mut job.stage {
                *hope = (*hope).max(hoped);
            }
            job.handles.push(handle);
            let ended = matches!(job.stage, Stage::Ended { .. });
            return Ok(ended.then(|| self.current[id.as_str()]));
        }
        if ended.is_some() {
            return Ok(ended);
        }
        self.check_room()?;
        // QEMU has said of the one before that it is gone, and its list may not know of that yet.
        let is_over = self.buried(id).is_some();
        if let Some(number) = before {
            self.remove_number(number);
        }
        let job = self.add(id, Stage::Expected { hope: hoped, made });
        job.handles.push(handle);
        job.behind = before.is_some() || is_over;
        job.ours |= adopt;
        job.started = exists;
        job.last_heard = (!exists).then_some(now.wall);
        Ok(None)
    }

    /// A handle was freed.
    pub fn unwatch(&mut self, handle: u64) {
        let holds = |job: &&mut Box<Job>| job.handles.contains(&handle);
        let Some(job) = self.all.values_mut().find(holds) else { return };
        job.handles.retain(|other| *other != handle);
        if job.handles.is_empty() && matches!(job.stage, Stage::Expected { .. }) {
            let id = job.id.clone();
            self.remove(&id);
        }
    }

    /// The incarnation that a handle watches, and its id. One whose end was told is not watched.
    pub fn watched(&self, handle: u64) -> Option<(u64, &str)> {
        let holds = |(_, job): &(&u64, &Box<Job>)| {
            job.handles.contains(&handle) && !matches!(job.stage, Stage::Ended { .. })
        };
        self.all.iter().find(holds).map(|(number, job)| (*number, &*job.id))
    }

    /// The incarnation of a handle, ended or not, which QEMU means by its id.
    pub fn current_of(&self, handle: u64) -> Option<u64> {
        let holds = |(_, job): &(&u64, &Box<Job>)| job.handles.contains(&handle);
        let (number, job) = self.all.iter().find(holds)?;
        (self.current.get(&job.id) == Some(number)).then_some(*number)
    }

    pub fn id(&self, number: u64) -> Option<&str> {
        self.all.get(&number).map(|job| &*job.id)
    }

    /// The incarnation that QEMU means by an id, unless its end was told.
    pub fn living(&self, id: &str) -> Option<u64> {
        let number = *self.current.get(id)?;
        (!matches!(self.all[&number].stage, Stage::Ended { .. })).then_some(number)
    }

    /// A command for it is under way.
    pub fn asking(&mut self, number: u64, verb: Verb) {
        if let Some(asked) = self.asked(number, verb) {
            asked.pending += 1;
        }
    }

    /// The command's reply has come.
    pub fn answered(&mut self, number: u64, verb: Verb, accepted: bool) {
        if let Some(asked) = self.asked(number, verb) {
            asked.handle_reply(accepted);
            let job = self.all.get_mut(&number).expect("it was asked");
            match verb {
                Verb::Cancel { force } => {
                    job.abandoned |= accepted && (force || !job.was_ready);
                }
                // Somebody else may have been sooner.
                Verb::Complete => job.complete.unknown |= !accepted && job.was_ready,
            }
            self.release_if_due(number);
        }
    }

    fn asked(&mut self, number: u64, verb: Verb) -> Option<&mut Asked> {
        let job = self.all.get_mut(&number)?;
        Some(match verb {
            Verb::Complete => &mut job.complete,
            Verb::Cancel { .. } => &mut job.cancel,
        })
    }

    /// The program has taken an end. Returns whether a dismissal will follow.
    pub fn acknowledge(&mut self, number: u64) -> bool {
        let Some(job) = self.all.get_mut(&number) else { return false };
        let Stage::Ended { acknowledged, lost } = &mut job.stage else { return false };
        *acknowledged = true;
        // What was lost and is found again is left to its owner.
        let dismisses = !*lost && job.is_ours() && job.stays != Some(false);
        let has_concluded = job.status == Status::Concluded || !self.version.has_status();
        if dismisses && has_concluded && !job.is_in_question() {
            job.refusal = Refusal::None;
            self.wishes.insert(Wish::Dismiss(number));
        }
        dismisses
    }

    /// QEMU may have it still, and is to forget it.
    pub fn is_to_be_dismissed(&self, number: u64) -> bool {
        self.all.get(&number).is_some_and(|job| job.is_ours())
    }

    /// QEMU has forgotten it, as it was asked to.
    pub fn dismissed(&mut self, number: u64) {
        if let Some(id) = self.all.get(&number).map(|job| job.id.clone()) {
            self.bury(&id, true);
            self.all.remove(&number);
            if self.current.get(&id) == Some(&number) {
                self.current.remove(&id);
            }
        }
    }

    pub(super) fn add(&mut self, id: &str, stage: Stage) -> &mut Job {
        self.last += 1;
        let ours = self.is_owners(id);
        let id: Arc<str> = id.into();
        self.current.insert(Arc::clone(&id), self.last);
        let job = self.all.entry(self.last).or_insert_with(|| Box::new(Job::new(id, stage, ours)));
        job.connection = self.connection;
        job
    }

    /// Ids that begin with the owner's name are made once.
    pub(super) fn is_owners(&self, id: &str) -> bool {
        let rest = self.settings.owner.as_ref().and_then(|owner| id.strip_prefix(owner));
        rest.is_some_and(|rest| rest.starts_with('-'))
    }

    pub(super) fn check_room(&self) -> Result<(), Error> {
        if self.all.len() < self.settings.job_limit {
            return Ok(());
        }
        let limit = self.settings.job_limit;
        let text = format!("{limit} jobs are known already, which is the limit");
        Err(Error::new(Code::NoBuffers, text))
    }

    /// An id has come to its end. `known`: also how.
    pub(super) fn bury(&mut self, id: &str, known: bool) {
        if self.is_listing && self.graves.len() <= GRAVES_MAX {
            *self.graves.entry(digest(id)).or_default() |= known;
        }
    }

    /// Whether an id has come to its end, and if so whether it is known how.
    pub(super) fn buried(&self, id: &str) -> Option<bool> {
        if self.is_flooded() {
            return Some(true);
        }
        self.graves.get(&digest(id)).copied()
    }

    /// Who of a list is worth keeping: those that are known, and as many others as may be known.
    pub(super) fn wanted(&self) -> impl FnMut(&Listed) -> bool {
        let mut room = self.settings.job_limit;
        move |listed| {
            let known = self.current.contains_key(listed.id.as_str());
            let kept = known || room > 0;
            room -= usize::from(kept && !known);
            kept
        }
    }

    /// More has ended since the listing was asked for than can be known.
    pub(super) fn is_flooded(&self) -> bool {
        self.graves.len() > GRAVES_MAX
    }

    pub(super) fn remove(&mut self, id: &str) {
        if let Some(number) = self.current.remove(id) {
            self.all.remove(&number);
        }
    }

    pub(super) fn remove_number(&mut self, number: u64) {
        let Some(job) = self.all.remove(&number) else { return };
        if self.current.get(&job.id) == Some(&number) {
            self.current.remove(&job.id);
        }
    }
}

pub(super) fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Ends in the time of one listing. A QEMU that reaches it is flooding.
const GRAVES_MAX: usize = 1 << 16;
