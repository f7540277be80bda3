//! What a monitor's jobs keep for the sake of a journal: how far it was read, and what both it and
//! the wire may tell. Without a journal there is none of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    job::Inquiry,
    jobs::digest,
    position::{Bookmark, Position},
};
use crate::model::{Event, Settings, Timestamp, Word};

#[derive(Debug)]
pub struct Reading {
    /// How far the journal was taken note of.
    pub position: Option<Position>,
    /// Up to when a former life of the program was told of ends, and this one.
    pub known_until: Option<Timestamp>,
    pub told_until: Option<Timestamp>,
    /// The journal is being read for us.
    pub is_under_way: bool,
    /// Whether the journal is asked how far it goes, and with that for jobs of the owner's that
    /// nobody remembers.
    pub forgotten: Inquiry,
    /// Jobs whose ends were told since the program began, as long as those are asked for that
    /// nobody remembers.
    pub over: Marks,
    /// Ends that the journal told and that may still be on the wire. At most [`MARKS_MAX`]; what is
    /// more is told twice.
    pub ends: BTreeSet<u64>,
    /// By the ids of jobs whose ends the journal told: up to when what the wire says is theirs, and
    /// in which connection that was. At most as many as jobs may be known.
    pub until: BTreeMap<String, (Timestamp, u64)>,
    /// Ends that the wire told while the journal may be asked, which are not another job's.
    pub said: Marks,
}

impl Reading {
    /// `None` for a monitor without a journal.
    pub fn new(settings: &Settings) -> Option<Box<Self>> {
        let bookmark = settings.journal_position.as_deref().and_then(Bookmark::parse);
        settings.journal.then(|| {
            Box::new(Self {
                position: bookmark.map(|bookmark| bookmark.position),
                known_until: bookmark.and_then(|bookmark| bookmark.until),
                told_until: None,
                is_under_way: false,
                forgotten: Inquiry::Wanted,
                over: Marks::default(),
                ends: BTreeSet::new(),
                until: BTreeMap::new(),
                said: Marks::default(),
            })
        })
    }

    /// The wire may still have this end, which the journal told.
    pub fn expect(&mut self, end: Option<u64>) {
        if self.ends.len() < MARKS_MAX {
            self.ends.extend(end);
        }
    }

    /// The wire has had the last word of a job: what comes of its id from now on is another's.
    pub fn settle(&mut self, id: &str, at: Option<Timestamp>) {
        if self.until.get(id).is_some_and(|(until, _)| at >= Some(*until)) {
            self.until.remove(id);
        }
    }

    /// What the program may store, to be told of what comes after it when it begins anew.
    pub fn bookmark(&self) -> Option<String> {
        let until = self.told_until;
        self.position.map(|position| Bookmark { position, until }.to_string())
    }
}

/// What was told, by its digest. At most [`MARKS_MAX`]; one more and nothing is believed to be
/// untold.
#[derive(Debug, Default)]
pub struct Marks(BTreeSet<u64>);

impl Marks {
    pub fn insert(&mut self, mark: u64) {
        if self.0.len() <= MARKS_MAX {
            self.0.insert(mark);
        }
    }

    pub fn contains(&self, mark: u64) -> bool {
        self.0.len() > MARKS_MAX || self.0.contains(&mark)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// By what an end is known again.
pub(super) fn digest_of(event: &Event) -> Option<u64> {
    event.text(Word::Json).map(digest)
}

/// Ends before a connection is usable, or while a journal is read. A QEMU that reaches it is
/// flooding.
const MARKS_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qmp::{decode::decode, jobs::Jobs, message::members};

    #[test]
    fn a_flood_of_ends_before_a_connection_is_usable_is_held_in_bounded_memory() {
        let mut settings = Settings::default();
        (settings.journal, settings.job_limit) = (true, 4);
        let mut jobs = Jobs::new(settings.into());
        for number in 0..MARKS_MAX + 100 {
            let json = format!("{{\"data\": {{\"device\": \"j{number}\"}}}}");
            let [data] = members(&json, ["data"]).unwrap();
            let event = decode("BLOCK_JOB_COMPLETED", None, data, &json).unwrap();
            jobs.handle_event(event, false);
            jobs.told();
        }
        let said = |jobs: &Jobs| {
            let said = &jobs.reading.as_ref().unwrap().said;
            (said.0.len(), said.contains(digest("an end that was never told")))
        };
        assert_eq!(jobs.all.len(), 4);
        // Nobody can say any more which ends were told, so none is taken for another job's.
        assert_eq!(said(&jobs), (MARKS_MAX + 1, true));
        jobs.handle_usable();
        assert_eq!(said(&jobs), (0, false));
    }
}
