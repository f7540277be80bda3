//! What became of jobs while there was no connection, by what QEMU lists, and by what can no more
//! be heard. Part of [`Jobs`].

use std::collections::BTreeSet;

use super::{
    diary::listed_late,
    job::{Hope, Inquiry, Job, Refusal, Stage},
    jobs::{Jobs, Told, Wish},
    listing::Listed,
};
use crate::model::{Kind, Loss, Now, Origin, Status};

impl Jobs {
    /// The connection has ended. What lives goes on living, unheard.
    pub fn handle_gap(&mut self) {
        self.connection += 1;
        if let Some(reading) = &mut self.reading {
            reading.ends.clear();
        }
        let numbers: Vec<u64> = self.all.keys().copied().collect();
        for number in numbers {
            let Some(job) = self.all.get_mut(&number) else { continue };
            job.refusal = Refusal::None;
            job.complete.handle_gap();
            job.cancel.handle_gap();
            if job.is_undone() {
                self.end_undone(number);
                continue;
            }
            job.doubt |= std::mem::take(&mut job.unmet);
            self.part(number);
            let Some(job) = self.all.get_mut(&number) else { continue };
            job.unanswered = false;
            if let Stage::Expected { hope, made: false } = &mut job.stage {
                *hope = (*hope).max(Hope::Unheard);
            }
        }
        self.recovered = 0;
        self.soft_shutdown = None;
    }

    /// QEMU greets, or has written behind its greeting what it was about to write before. What
    /// happens from here on until it has agreed it says to nobody.
    pub fn handle_unheard(&mut self) {
        let heard = |(number, job): (&u64, &Box<Job>)| {
            (!matches!(job.stage, Stage::Expected { .. })).then_some(*number)
        };
        let numbers: Vec<u64> = self.all.iter().filter_map(heard).collect();
        for number in numbers {
            self.part(number);
        }
    }

    /// What it holds is told, unless its process is in question: whatever comes may be another
    /// job's end.
    fn part(&mut self, number: u64) {
        if self.all.get(&number).is_some_and(|job| !job.unmet) {
            self.release(number);
        }
        let has_journal = self.reading.is_some();
        if let Some(job) = self.all.get_mut(&number) {
            job.part(has_journal);
        }
    }

    /// The monitor is usable: what is known now is of the process that answers.
    pub fn handle_usable(&mut self) {
        self.usable = self.connection;
        // The listing has been believed, and the journal as well.
        self.end_listing();
        if let Some(reading) = self.reading.as_mut().filter(|reading| !reading.is_under_way) {
            reading.said.clear();
        }
    }

    /// Nobody can hear of its jobs any more, for this reason.
    pub fn give_up(&mut self, loss: Loss) {
        // Nobody waits for the journal of a monitor that is closed.
        if loss == Loss::Closed {
            self.reading = None;
        }
        let numbers: Vec<u64> = self.all.keys().copied().collect();
        for number in numbers {
            match self.all[&number].stage {
                // Nobody was asked to start it yet; the next process may be, or may have it.
                Stage::Expected { hope: Hope::ToCome, .. } if loss == Loss::QemuGone => {}
                Stage::Expected { .. } if loss == Loss::QemuRestarted => {}
                Stage::Expected { .. } | Stage::Starting | Stage::Living => self.miss(number, loss),
                Stage::Missing(_) if loss == Loss::Closed => self.lose(number, loss),
                Stage::Missing(Loss::NoConnection) if !self.all[&number].is_hope() => {
                    // It was given up, and is gone.
                    let job = self.all.get_mut(&number).expect("its number was just found");
                    job.stage = Stage::Missing(loss);
                }
                Stage::Missing(_) | Stage::Ended { .. } => {}
            }
        }
    }

    /// A listing is being asked for: it must speak of what lives now.
    pub fn handle_listing_asked(&mut self, now: Now) {
        self.listing_asked = Some(now.wall);
        self.begin_listing();
        for job in self.all.values_mut() {
            job.awaited = !matches!(job.stage, Stage::Expected { hope: Hope::ToCome, .. });
        }
    }

    /// What QEMU has, after a gap: whatever it does not have is gone.
    /// `same`: it is the process of before, for certain.
    pub fn handle_listing(&mut self, listing: &[Listed], same: bool) {
        let connection = self.connection;
        self.last_listing = connection;
        for job in self.all.values_mut().filter(|job| !same && job.connection < connection) {
            // Another process keeps other jobs.
            let may_live = matches!(job.stage, Stage::Starting | Stage::Living);
            job.doubt |= may_live && !job.once;
        }
        for listed in listing {
            self.handle_listed(listed, Origin::Recovered);
        }
        self.ask_for_expected();
        let ids: BTreeSet<_> = listing.iter().map(|listed| listed.id.as_str()).collect();
        let gone: Vec<u64> =
            self.all.iter().filter(|(_, job)| job.awaited).map(|(number, _)| *number).collect();
        for number in gone {
            let Some(job) = self.all.get_mut(&number) else { continue };
            if ids.contains(&*job.id) && self.current.get(&job.id) == Some(&number) {
                job.awaited = false;
                continue;
            }
            let loss = match job.stage {
                Stage::Starting if job.is_unheard() => Loss::NotStarted,
                Stage::Expected { hope: Hope::Unheard, .. } => Loss::Unheard,
                Stage::Missing(_) if job.is_hope() => Loss::Unheard,
                _ if job.stays == Some(true) && same => Loss::Dismissed,
                _ => Loss::Gone,
            };
            match job.stage {
                Stage::Ended { .. } => self.remove_number(number),
                // It was given up, and is gone.
                Stage::Missing(Loss::NoConnection) => job.stage = Stage::Missing(loss),
                Stage::Missing(_) => {}
                _ => self.miss(number, loss),
            }
        }
        let missed =
            |job: &&mut Box<Job>| matches!(job.stage, Stage::Missing(_) | Stage::Expected { .. });
        for job in self.all.values_mut().filter(missed) {
            job.missed = self.connection;
        }
    }

    /// A handle was made while nobody could hear of its job, which may be yet to come, or have come
    /// and gone: a journal knows.
    fn ask_for_expected(&mut self) {
        let to_come = Stage::Expected { hope: Hope::ToCome, made: false };
        let has_journal = self.reading.is_some();
        for job in self.all.values_mut().filter(|job| has_journal && job.stage == to_come) {
            job.inquiry = Inquiry::Wanted;
        }
    }

    /// A listing is being asked for because a job concluded without a word of how, or because of
    /// one that exists and was not heard of.
    pub fn handle_conclusions_asked(&mut self) {
        self.begin_listing();
        for job in self.all.values_mut() {
            job.awaited |= is_sought(job);
            if job.refusal == Refusal::Heard {
                job.refusal = Refusal::Asked;
            }
        }
    }

    /// It was asked for a job that exists and was not heard of.
    pub fn seeks(&self, id: &str) -> bool {
        self.current.get(id).is_some_and(|number| is_sought(&self.all[number]))
    }

    /// QEMU has refused to forget it.
    pub fn handle_no_dismissal(&mut self, number: u64) {
        if let Some(job) = self.all.get_mut(&number) {
            job.refusal = Refusal::Heard;
            self.wishes.insert(Wish::List);
        }
    }

    /// QEMU was asked whether it has a job that it refused to dismiss, and has it.
    pub fn is_kept(&self, number: u64) -> bool {
        self.all.get(&number).is_some_and(|job| job.refusal == Refusal::Kept)
    }

    /// `None`: QEMU has not said.
    pub fn handle_conclusions(&mut self, listing: Option<&[Listed]>) {
        let has_status = self.version.has_status();
        for listed in listing.unwrap_or_default() {
            if self.seeks(&listed.id) {
                self.handle_listed(listed, Origin::Recovered);
            } else if has_status && listed.status == Status::Concluded {
                self.handle_listed(listed, Origin::Live);
            }
        }
        let sought = |(number, job): (&u64, &Box<Job>)| {
            let asked = job.refusal == Refusal::Asked || job.awaited && is_sought(job);
            asked.then_some(*number)
        };
        let sought: Vec<u64> = self.all.iter().filter_map(sought).collect();
        for number in sought {
            let job = self.all.get_mut(&number).expect("it was there just now");
            job.awaited = false;
            let refused = job.refusal == Refusal::Asked;
            if refused {
                job.refusal = Refusal::Kept;
            }
            let has = |list: &[Listed]| list.iter().any(|listed| *listed.id == *job.id);
            if listing.is_none_or(has) || self.is_flooded() {
                continue;
            }
            if refused {
                self.remove_number(number);
            } else {
                self.miss(number, Loss::Gone);
            }
        }
        if self.is_flooded() {
            self.wish_again();
        }
        self.end_listing();
    }

    /// There is one at a time. What ended before it is asked for is not in it, but may be in the
    /// journal.
    fn begin_listing(&mut self) {
        self.is_listing = true;
        self.graves.clear();
    }

    /// What ends from now on needs no grave; and those that were needed are no longer.
    fn end_listing(&mut self) {
        self.is_listing = false;
        self.graves.clear();
    }

    /// So many that QEMU has were not worth keeping, for more jobs run than may be known.
    pub fn handle_left_out(&mut self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.told.extend((count > 0).then_some(Told::Dropped(count)));
    }

    /// A job that waits for the program since nobody listened: it must be told so.
    fn tell_missed(&mut self, number: u64, before: Status, was_ready: bool) {
        let job = &self.all[&number];
        let (kind, name) = match job.status {
            Status::Ready | Status::Standby if !was_ready => (Kind::Ready, "BLOCK_JOB_READY"),
            Status::Pending if before != Status::Pending => (Kind::Pending, "BLOCK_JOB_PENDING"),
            _ => return,
        };
        let mut event = job.told(kind, name);
        event.origin = Origin::Recovered;
        self.told.push(Told::Event(event));
    }

    fn handle_listed(&mut self, listed: &Listed, origin: Origin) {
        let grave = self.buried(&listed.id);
        let known = self.current.get(listed.id.as_str()).map(|number| (*number, &self.all[number]));
        let has_begun = known.is_some_and(|(_, job)| !matches!(job.stage, Stage::Expected { .. }));
        let is_news = match grave {
            None => true,
            // How it ended, unless that is not said, or another one of its id has begun since.
            Some(false) => listed.status == Status::Concluded && !has_begun,
            Some(true) => false,
        };
        if !is_news {
            return;
        }
        let fresh = match known {
            None => true,
            Some((_, job)) => match job.stage {
                Stage::Expected { .. } if job.behind && listed.status == Status::Concluded => {
                    return;
                }
                Stage::Expected { .. } => false,
                _ if job.is_not(listed, self.version) => true,
                Stage::Ended { lost: true, .. } => {
                    // Once a connection.
                    if origin == Origin::Recovered {
                        self.told.push(Told::Late(listed_late(listed)));
                    }
                    return;
                }
                Stage::Ended { acknowledged, .. } if listed.status == Status::Concluded => {
                    let number = self.current[listed.id.as_str()];
                    self.all
                        .get_mut(&number)
                        .expect("current names what is there")
                        .note_listed(listed);
                    // One that was heard to conclude has been asked for; once a connection.
                    if acknowledged && origin == Origin::Recovered {
                        self.acknowledge(number);
                    }
                    return;
                }
                Stage::Ended { .. } => true,
                _ => false,
            },
        };
        if fresh {
            // It lived when this was asked, and an old QEMU tells no more of the two than an end.
            let asked = self
                .listing_asked
                .filter(|_| listed.status != Status::Concluded && !self.version.has_status());
            self.hear_of_another(&listed.id, asked);
            if self.check_room().is_err() {
                self.told.push(Told::Dropped(1));
                return;
            }
            // Of one that had ended by then it is no moment at which it lived.
            let asked = self.listing_asked.filter(|_| listed.status != Status::Concluded);
            let job = self.add(&listed.id, Stage::Living);
            (job.last_heard, job.only_listed) = (asked, true);
        }
        let number = self.current[listed.id.as_str()];
        let job = self.all.get_mut(&number).expect("current names what is there");
        // When its handle was made is no moment at which it lived.
        job.only_listed |= job.is_unheard();
        // It never ran, and QEMU still keeps it: what is undone is cancelled.
        let undone = job.whole && !job.ran && listed.error.is_some();
        job.stage = Stage::Living;
        job.listed = self.connection;
        let (before, was_ready) = (job.status, job.was_ready);
        // What was heard since it was asked for is newer than the listing.
        let news = fresh || job.awaited || job.is_unheard() || listed.status == Status::Concluded;
        if news {
            job.note_listed(listed);
            self.tell_missed(number, before, was_ready);
        } else {
            job.note_kept(listed);
        }
        if listed.status != Status::Concluded || self.all[&number].held.is_some() {
            return;
        }
        if undone {
            return self.end_undone(number);
        }
        if listed.error.is_none() && !self.version.lists_errors() {
            return self.miss(number, Loss::Gone);
        }
        let mut event = self.all[&number].listed_end(listed.error.as_deref());
        if event.origin != Origin::Inferred {
            event.origin = if self.all[&number].doubt { Origin::Inferred } else { origin };
        }
        self.end(number, event);
        if grave.is_some() {
            // QEMU has forgotten it since.
            self.remove_number(number);
            self.bury(&listed.id, true);
        }
    }
}

/// It is said to exist, and was not heard of.
fn is_sought(job: &Job) -> bool {
    matches!(job.stage, Stage::Expected { hope: Hope::Started, .. })
}
