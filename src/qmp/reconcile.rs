//! What became of jobs while there was no connection: from QEMU's listing, from its journal, and
//! when neither can tell. Part of [`Jobs`].

use super::{
    job::{Asked, Inquiry, Stage},
    jobs::{Jobs, digest},
    journal::{Findings, Request, Wanted},
    listing::Listed,
};
use crate::model::{Event, JobType, Kind, Loss, Now, Origin, Outcome, Status, Word};

impl Jobs {
    /// The connection has ended. What lives goes on living, unheard.
    pub fn handle_gap(&mut self) {
        let numbers: Vec<u64> = self.all.keys().copied().collect();
        for number in numbers {
            let Some(job) = self.all.get_mut(&number) else { continue };
            for asked in [&mut job.complete, &mut job.cancel] {
                if *asked == Asked::Sent {
                    *asked = Asked::Unknown;
                }
            }
            if job.stage == Stage::Starting && job.status == Status::Null {
                self.end_undone(number);
                continue;
            }
            // Ids that are made once cannot mean another job, nor one that waits for dismissal.
            let once =
                job.stays == Some(true) || matches!(job.stage, Stage::Expected { made: true, .. });
            let doubt = !once && !self.is_owners(&self.all[&number].id);
            let job = self.all.get_mut(&number).expect("it was there just now");
            if job.held.is_some() && job.inquiry == Inquiry::None {
                self.release(number);
                continue;
            }
            job.whole = false;
            if matches!(job.stage, Stage::Living | Stage::Starting) {
                job.doubt = doubt;
                if doubt && self.has_journal && job.inquiry == Inquiry::None {
                    job.inquiry = Inquiry::Wanted;
                }
            }
            if let Stage::Expected { exists, made: false } = &mut job.stage {
                // It may have come and gone meanwhile.
                *exists = true;
            }
        }
        self.recovered = 0;
        self.soft_shutdown = false;
    }

    /// The process is gone, or another one answers: nothing of the former's lives.
    pub fn handle_process_end(&mut self, loss: Loss) {
        self.give_up(loss);
        let numbers: Vec<(u64, String)> =
            self.all.iter().map(|(number, job)| (*number, job.id.clone())).collect();
        for (number, id) in numbers {
            match self.all[&number].stage {
                Stage::Ended { .. } => self.remove_number(number, &id),
                Stage::Missing(_) if self.current.get(&id) == Some(&number) => {
                    self.current.remove(&id);
                }
                _ => {}
            }
        }
    }

    /// Nobody can hear of its jobs any more, for this reason.
    pub fn give_up(&mut self, loss: Loss) {
        let numbers: Vec<u64> = self.all.keys().copied().collect();
        for number in numbers {
            match self.all[&number].stage {
                // Its process is gone, but the next one may be asked to start it.
                Stage::Expected { made: true, .. }
                    if matches!(loss, Loss::QemuRestarted | Loss::QemuGone) => {}
                Stage::Expected { .. } | Stage::Starting | Stage::Living => self.miss(number, loss),
                Stage::Missing(_) if loss == Loss::Closed => self.lose(number, loss),
                Stage::Missing(_) | Stage::Ended { .. } => {}
            }
        }
    }

    /// A listing is being asked for: it must speak of what lives now.
    pub fn handle_listing_asked(&mut self) {
        self.graves.clear();
        for job in self.all.values_mut() {
            job.awaited = match job.stage {
                Stage::Expected { exists, .. } => exists,
                Stage::Starting | Stage::Living | Stage::Ended { .. } => true,
                Stage::Missing(_) => false,
            };
        }
    }

    /// What QEMU has, after a gap: whatever it does not have is gone.
    pub fn handle_listing(&mut self, listing: &[Listed], now: Now) {
        for listed in listing {
            self.handle_listed(listed, now, Origin::Recovered);
        }
        let gone: Vec<u64> =
            self.all.iter().filter(|(_, job)| job.awaited).map(|(number, _)| *number).collect();
        for number in gone {
            let Some(job) = self.all.get_mut(&number) else { continue };
            if listing
                .iter()
                .any(|listed| listed.id == job.id && self.current.get(&job.id) == Some(&number))
            {
                job.awaited = false;
                continue;
            }
            let loss = match job.stage {
                Stage::Starting => Loss::NotStarted,
                _ if job.stays == Some(true) => Loss::Dismissed,
                _ => Loss::Gone,
            };
            match job.stage {
                Stage::Ended { .. } => {
                    let id = job.id.clone();
                    self.remove_number(number, &id);
                }
                _ => self.miss(number, loss),
            }
        }
    }

    /// What QEMU has, asked for because a job concluded without a word of how.
    pub fn handle_conclusions(&mut self, listing: &[Listed], now: Now) {
        for listed in listing.iter().filter(|listed| listed.status == Status::Concluded) {
            self.handle_listed(listed, now, Origin::Live);
        }
    }

    fn handle_listed(&mut self, listed: &Listed, now: Now, origin: Origin) {
        if self.is_buried(&listed.id) {
            return;
        }
        let known = self.current.get(&listed.id).map(|number| (*number, &self.all[number]));
        let fresh = match known {
            None => true,
            Some((_, job)) => match job.stage {
                Stage::Ended { lost: true, .. } => return,
                Stage::Ended { acknowledged, .. } if listed.status == Status::Concluded => {
                    let number = self.current[&listed.id];
                    self.all
                        .get_mut(&number)
                        .expect("current names what is there")
                        .note_listed(listed);
                    if acknowledged {
                        self.acknowledge(number);
                    }
                    return;
                }
                Stage::Ended { .. } => true,
                Stage::Expected { .. } => false,
                _ => job.is_not(listed),
            },
        };
        if fresh {
            self.supersede(&listed.id);
            if self.check_room().is_err() {
                self.told.push(super::jobs::Told::Dropped);
                return;
            }
            self.add(&listed.id, Stage::Living).last_heard = Some(now.wall);
        }
        let number = self.current[&listed.id];
        let job = self.all.get_mut(&number).expect("current names what is there");
        // It never ran, and QEMU still keeps it: what is undone is cancelled.
        let undone = job.whole && !job.ran && listed.error.is_some();
        job.stage = Stage::Living;
        self.all.get_mut(&number).expect("current names what is there").note_listed(listed);
        if listed.status != Status::Concluded || self.all[&number].held.is_some() {
            return;
        }
        if undone {
            return self.end_undone(number);
        }
        let cancelled = self.all[&number].cancel == Asked::Accepted;
        let mut event = match &listed.error {
            None => self.told_end(number, Kind::Completed, Outcome::Succeeded),
            Some(_) if cancelled => self.told_end(number, Kind::Cancelled, Outcome::Cancelled),
            Some(error) => {
                let mut event = self.told_end(number, Kind::Completed, Outcome::Failed);
                event.set(Word::Error, error);
                event
            }
        };
        event.origin = if self.all[&number].doubt { Origin::Inferred } else { origin };
        self.end(number, event);
    }

    // --- The journal ---------------------------------------------------------------------

    /// What the journal is to be asked for now; `None` for nothing.
    pub fn inquire(&mut self) -> Option<Request> {
        let mut wanted = Vec::new();
        for (number, job) in &mut self.all {
            if job.inquiry == Inquiry::Wanted {
                job.inquiry = Inquiry::Made;
                let (id, since) = (job.id.clone(), job.last_heard);
                wanted.push(Wanted { job: *number, id, since });
            }
        }
        (!wanted.is_empty()).then_some(Request { wanted, prefix: None, from: None })
    }

    /// The journal, or a listing, must still tell of some.
    pub fn is_inquiring(&self) -> bool {
        self.all.values().any(|job| job.inquiry != Inquiry::None)
    }

    pub fn handle_findings(&mut self, findings: Findings) {
        let complete = findings.problem.is_none();
        for (number, events) in findings.jobs {
            self.handle_found(number, events);
        }
        // What was not spoken of was not found.
        let asked: Vec<u64> = self
            .all
            .iter()
            .filter(|(_, job)| job.inquiry == Inquiry::Made)
            .map(|(number, _)| *number)
            .collect();
        for number in asked {
            let job = self.all.get_mut(&number).expect("it was there just now");
            job.inquiry = Inquiry::None;
            if let Stage::Missing(loss) = job.stage {
                self.lose(number, loss);
            } else {
                job.doubt &= !complete;
                self.release(number);
            }
        }
    }

    fn handle_found(&mut self, number: u64, events: Vec<Event>) {
        let Some(job) = self.all.get_mut(&number) else { return };
        if std::mem::take(&mut job.inquiry) != Inquiry::Made {
            return;
        }
        let ends = |event: &&Event| event.kind.is_final();
        let end = events.iter().find(ends).and_then(|event| event.text(Word::Json)).map(digest);
        let missing = match job.stage {
            Stage::Missing(loss) => Some(loss),
            Stage::Starting | Stage::Living => None,
            Stage::Expected { .. } | Stage::Ended { .. } => return,
        };
        let held = job.held.as_ref().and_then(|event| event.text(Word::Json)).map(digest);
        if missing.is_none() && (end.is_none() || end == held) {
            // It is the one that it was before the gap.
            job.doubt = false;
            return self.release(number);
        }
        // What lives under this id now began after the one that was known has ended.
        let id = job.id.clone();
        let mut later = missing.is_none().then(|| job.later(end));
        job.held = None;
        job.doubt = false;
        self.end_by_journal(number, events, missing.unwrap_or(Loss::Gone));
        self.remove_number(number, &id);
        if let Some(mut later) = later.take_if(|_| self.check_room().is_ok()) {
            let held = later.held.is_some();
            later.ours = self.is_owners(&id);
            *self.add(&id, Stage::Living) = later;
            if held {
                let number = self.current[&id];
                self.release(number);
            }
        }
    }

    /// Plays what the journal holds of one incarnation.
    fn end_by_journal(&mut self, number: u64, events: Vec<Event>, loss: Loss) {
        let mut ran = self.all[&number].ran;
        let (mut aborted, mut concluded, mut whole) = (false, false, false);
        for mut event in events {
            if event.kind.is_final() {
                let job = self.all.get_mut(&number).expect("it is there until its end");
                event.origin = Origin::Recovered;
                job.stage = Stage::Living;
                if event.job_type == JobType::Unknown {
                    event.job_type = job.job_type;
                }
                return self.end(number, event);
            }
            whole |= event.status == Status::Created;
            ran |= !matches!(
                event.status,
                Status::Created | Status::Aborting | Status::Concluded | Status::Null
            );
            aborted |= event.status == Status::Aborting;
            concluded |= matches!(event.status, Status::Concluded | Status::Null);
        }
        let job = self.all.get_mut(&number).expect("it is there until its end");
        job.stage = Stage::Living;
        if concluded && whole && !ran {
            return self.end_undone(number);
        }
        if !concluded || job.is_block() {
            return self.lose(number, loss);
        }
        // A job that has no event of its own at its end.
        job.aborted |= aborted;
        let mut event = job.path_end();
        event.origin = Origin::Recovered;
        self.end(number, event);
    }
}
