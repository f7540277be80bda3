//! How an end is told: by one function, once a job, with what else is to be said of it. Part of
//! [`Jobs`].

use std::sync::Arc;

use super::{
    job::{Inquiry, Job, Stage},
    jobs::{End, Jobs, Told, digest},
};
use crate::model::{Error, Event, Kind, Loss, Origin, Outcome, Status, Word};

impl Jobs {
    /// It never ran: QEMU cancels what it undoes, and says nothing of it.
    pub(super) fn end_undone(&mut self, number: u64) {
        let mut event = self.told_end(number, Kind::Cancelled, Outcome::Cancelled);
        event.origin = Origin::Inferred;
        event.set(Word::Reason, "it was undone before it ran");
        self.end(number, event);
    }

    /// The same of another's, whose id the one has that is being started now.
    pub(super) fn end_undone_of_another(&mut self, id: &str) {
        self.last += 1;
        let job = Job::new(id.into(), Stage::Living, false);
        self.all.insert(self.last, Box::new(job));
        self.end_undone(self.last);
    }

    /// It is gone, and QEMU does not say how. The journal may know.
    pub(super) fn miss(&mut self, number: u64, loss: Loss) {
        let has_journal = self.reading.is_some();
        let Some(job) = self.all.get_mut(&number) else { return };
        if job.held.is_some() {
            return self.release(number);
        }
        if has_journal {
            job.stage = Stage::Missing(loss);
            job.inquiry = Inquiry::Wanted;
        } else {
            self.lose(number, loss);
        }
    }

    pub(super) fn lose(&mut self, number: u64, loss: Loss) {
        self.lose_because(number, loss, loss.text());
    }

    /// It was not started for this reason, and the program does not know.
    pub(super) fn end_refused(&mut self, number: u64, refusal: &Error) {
        let reason = format!("it was not started: {}", refusal.text);
        self.lose_because(number, Loss::NotStarted, &reason);
    }

    fn lose_because(&mut self, number: u64, loss: Loss, reason: &str) {
        let mut event = self.told_end(number, Kind::Lost, Outcome::Unknown);
        event.origin = Origin::Inferred;
        event.loss = Some(loss);
        event.set(Word::Reason, reason);
        self.end(number, event);
    }

    /// An end that no message of QEMU's tells as a whole.
    pub(super) fn told_end(&self, number: u64, kind: Kind, outcome: Outcome) -> Event {
        self.all[&number].told_end(kind, outcome)
    }

    /// The only place where an end is told.
    pub(super) fn end(&mut self, number: u64, mut event: Event) {
        let ended = matches!(self.all[&number].stage, Stage::Ended { .. });
        debug_assert!(!ended, "an end was told already");
        self.mark(number, &mut event);
        let job = self.all.get_mut(&number).expect("who ends it has found it");
        event.pivoted = job.pivot(&event, self.soft_shutdown);
        self.recovered += i64::from(event.origin == Origin::Recovered);
        let lost = event.kind == Kind::Lost;
        job.outcome = event.outcome;
        job.len = event.len.or(job.len);
        let gone = job.status == Status::Null;
        job.stage = Stage::Ended { acknowledged: false, lost };
        job.inquiry = Inquiry::None;
        let handles = job.handles.clone();
        // An old QEMU has forgotten it by now, unless it was told to keep it.
        let stays = job.stays.unwrap_or(job.is_ours() || self.version.keeps_jobs());
        let forgotten = !self.version.has_status() && !stays && !lost;
        // QEMU has said that it does not have it, or nobody has said that there was one: what its
        // id does from now on, another job does.
        let unlisted = matches!(
            event.loss,
            Some(Loss::Gone | Loss::Dismissed | Loss::NotStarted | Loss::Unheard)
        ) && job.listed != self.last_listing;
        let (id, is_hope) = (Arc::clone(&job.id), job.is_hope());
        let was_hope = lost && is_hope;
        // Nor can QEMU mean it any more by its id.
        let nameless = !is_hope && self.current.get(&id) != Some(&number);
        self.told.push(Told::End(End { job: number, handles, was_hope, event }));
        if !was_hope {
            self.note_over(&id);
        }
        if gone || forgotten || unlisted || was_hope || nameless {
            self.remove_number(number);
        }
        self.forget_some(number);
    }

    /// An old QEMU does not say when it has forgotten a job: of others' the latest few are
    /// remembered, as many as leave room.
    fn forget_some(&mut self, number: u64) {
        let unsure = |job: &Box<Job>| job.may_be_forgotten();
        if self.version.has_status() || !self.all.get(&number).is_some_and(unsure) {
            return;
        }
        self.unsure.push_back(number);
        if self.unsure.len() > UNSURE_MAX.min(self.settings.job_limit / 2) {
            let oldest = self.unsure.pop_front();
            if let Some(oldest) = oldest.filter(|it| self.all.get(it).is_some_and(unsure)) {
                self.remove_number(oldest);
            }
        }
    }

    /// Its end was told in this life: it is none of those that nobody remembers.
    fn note_over(&mut self, id: &str) {
        if let Some(reading) = self.reading.as_mut().filter(|it| it.forgotten != Inquiry::None) {
            reading.over.insert(digest(id));
        }
    }

    /// Says how far the program has come with this end: past all before it, unless the journal is
    /// still asked for others.
    fn mark(&mut self, number: u64, event: &mut Event) {
        let Some(reading) = &mut self.reading else { return };
        let others = |(other, job): (&u64, &Box<Job>)| *other != number && job.waits_for_journal();
        if reading.forgotten == Inquiry::None && !self.all.iter().any(others) {
            let at = event.timestamp.filter(|_| event.get(Word::Json).is_some());
            reading.told_until = reading.told_until.max(at);
        }
        if let Some(bookmark) = reading.bookmark() {
            event.set(Word::Position, &bookmark);
        }
    }

    /// What the program may store, to be told of what comes after it when it begins anew.
    pub fn bookmark(&self) -> Option<String> {
        self.reading.as_ref()?.bookmark()
    }
}

/// More jobs than others keep in one QEMU, by a command that few knew then.
const UNSURE_MAX: usize = 64;
