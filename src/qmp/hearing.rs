//! What QEMU says of jobs as it happens, from an incarnation's `created` to its `null`. Part of
//! [`Jobs`].

use super::{
    diary::heard_late,
    job::{Hope, Inquiry, Stage},
    jobs::{Jobs, Told, Wish},
    reading::digest_of,
};
use crate::model::{Event, Kind, Loss, Origin, Status, Timestamp, Word};

impl Jobs {
    /// QEMU said something of a job. `sure`: in a session that hears everything.
    pub fn handle_event(&mut self, event: Event, sure: bool) {
        // One string serves all of them.
        let mut id = std::mem::take(&mut self.heard_id);
        id.clear();
        if let Some(text) = event.text(Word::JobId) {
            id.push_str(text);
            self.handle_event_of(&id, event, sure);
        }
        self.heard_id = id;
    }

    fn handle_event_of(&mut self, id: &str, event: Event, sure: bool) {
        if matches!(event.kind, Kind::Completed | Kind::Cancelled) {
            return self.handle_end(id, event);
        }
        if self.was_read(id, &event) {
            if event.status == Status::Null {
                self.bury(id, true);
                self.forget_end(id);
                self.settle_reading(id, event.timestamp);
            } else if let Some(number) = self.ended(id) {
                self.note(number, &event);
            }
            self.begin_behind(id, event.timestamp);
            self.told.push(Told::Event(event));
            return;
        }
        let known = if event.status == Status::Created {
            self.create(id, event.timestamp, sure)
        } else {
            true
        };
        if event.status == Status::Null {
            let at = event.timestamp;
            self.told.push(Told::Event(event));
            self.settle_reading(id, at);
            return self.handle_null(id, at);
        }
        if event.status != Status::Concluded {
            self.renew(id, event.status, event.timestamp, false);
        }
        let Some(number) = self.heard(id, &event, sure).filter(|_| known) else {
            self.told.push(Told::Dropped(1));
            return;
        };
        let ask = self.note(number, &event);
        self.told.push(Told::Event(event));
        if ask {
            self.wishes.insert(Wish::List);
        }
    }

    /// The journal was faster than the wire, and told how this ended. Its last words follow, unless
    /// another job of its id has begun.
    fn was_read(&self, id: &str, event: &Event) -> bool {
        let Some((until, connection)) = self.reading.as_ref().and_then(|it| it.until.get(id))
        else {
            return false;
        };
        let is_last = matches!(event.status, Status::Concluded | Status::Null);
        let another = self.current.get(id).is_some_and(|number| !self.all[number].is_unheard());
        let is_its = *connection == self.connection && !another;
        is_last && is_its || event.timestamp <= Some(*until)
    }

    /// A `created` was heard: an incarnation begins. False when there is no room for it.
    fn create(&mut self, id: &str, at: Option<Timestamp>, sure: bool) -> bool {
        match self.current.get(id).and_then(|number| self.all.get_mut(number)) {
            Some(job) if job.may_begin(sure) => {
                let another = job.is_undone();
                (job.whole, job.born, job.doubt) = (true, true, false);
                job.connection = self.connection;
                // What the journal holds from before is not this one's.
                (job.gap, job.inquiry, job.over_by) = (None, Inquiry::None, None);
                if another {
                    self.end_undone_of_another(id);
                }
                return true;
            }
            // Given up, and heard of too late.
            Some(job) if job.once && matches!(job.stage, Stage::Ended { .. }) => return true,
            // Heard twice: nothing that QEMU does.
            Some(job) if job.lives_here() && sure => return true,
            Some(_) => self.hear_of_another(id, at),
            None => {}
        }
        self.check_room().is_ok() && {
            let job = self.add(id, Stage::Living);
            (job.whole, job.born) = (true, true);
            true
        }
    }

    /// What is heard is another job's than the one that is known: that one is over.
    fn renew(&mut self, id: &str, status: Status, at: Option<Timestamp>, ends: bool) {
        let Some(number) = self.current.get(id).copied() else { return };
        if self.all[&number].is_over_before(status, ends, self.version) {
            self.release(number);
            self.hear_of_another(id, at);
        }
    }

    /// The id means another job now, and what happens from `at` on is that one's.
    pub(super) fn hear_of_another(&mut self, id: &str, at: Option<Timestamp>) {
        let number = self.current.get(id);
        if let Some(job) = number.and_then(|number| self.all.get_mut(number)) {
            job.over_by = job.over_by.or(at.map(Timestamp::previous));
        }
        self.supersede(id);
    }

    /// The id means another job now: the one before is gone.
    pub(super) fn supersede(&mut self, id: &str) {
        let Some(number) = self.current.remove(id) else { return };
        let job = self.all.get_mut(&number).expect("current names what is there");
        match job.stage {
            Stage::Ended { .. } => drop(self.all.remove(&number)),
            Stage::Missing(_) => {}
            Stage::Starting if job.is_unheard() => self.miss(number, Loss::NotStarted),
            Stage::Expected { .. } | Stage::Starting | Stage::Living => {
                self.miss(number, Loss::Gone);
            }
        }
    }

    /// The job that QEMU means, which it has now; adopted if it is new to us.
    fn heard(&mut self, id: &str, event: &Event, sure: bool) -> Option<u64> {
        let known = self.current.get(id).copied();
        if known.is_none() {
            self.check_room().ok()?;
            self.add(id, Stage::Living);
        }
        let number = known.unwrap_or(self.last);
        let job = self.all.get_mut(&number)?;
        if matches!(job.stage, Stage::Expected { .. } | Stage::Missing(_)) {
            job.stage = Stage::Living;
            if job.is_unheard() {
                job.connection = self.connection;
            }
        }
        job.awaited &= !sure;
        // Of one that has concluded, and whose end was not heard, the end was before that.
        let unheard_end = job.held.is_none() && !matches!(job.stage, Stage::Ended { .. });
        if event.status == Status::Concluded && unheard_end {
            job.over_by = event.timestamp;
        } else {
            job.last_heard = event.timestamp.or(job.last_heard);
            job.only_listed = false;
        }
        Some(number)
    }

    /// Takes down what an event says. True when QEMU must be asked how the job ended.
    fn note(&mut self, number: u64, event: &Event) -> bool {
        let Some(job) = self.all.get_mut(&number) else { return false };
        job.note(event);
        if event.status != Status::Concluded {
            return false;
        }
        match job.stage {
            Stage::Ended { acknowledged, .. } => {
                if acknowledged {
                    self.acknowledge(number);
                }
                false
            }
            _ => job.held.is_none(),
        }
    }

    /// `BLOCK_JOB_COMPLETED` or _CANCELLED.
    fn handle_end(&mut self, id: &str, event: Event) {
        let reading = self.reading.as_mut();
        if let Some((reading, said)) = reading.and_then(|it| Some((it, digest_of(&event)?))) {
            if reading.ends.remove(&said) {
                return self.settle_read(id, event.timestamp);
            }
            if reading.is_under_way || self.usable < self.connection {
                reading.said.insert(said);
            }
        }
        // Behind it a job has concluded.
        self.renew(id, Status::Aborting, event.timestamp, true);
        // QEMU tells an end once: this is another's, whose beginning was not heard.
        let known = self.current.get(id).copied();
        if let Some(number) = known.filter(|number| self.all[number].held.is_some()) {
            self.release(number);
            self.remove_number(number);
        }
        let number = self.current.get(id).copied();
        let number = match number.map(|number| (number, self.all[&number].stage)) {
            Some((number, Stage::Ended { lost, .. }))
                if !self.all[&number].is_of_another(&event) =>
            {
                if self.version.has_status() || lost {
                    // Heard again, or too late: one end was told, and there is no other.
                    self.told.extend(lost.then(|| Told::Late(heard_late(&event))));
                    return;
                }
                self.all.remove(&number);
                None
            }
            Some((number, Stage::Ended { .. })) => {
                self.remove_number(number);
                None
            }
            Some((number, _)) => Some(number),
            None => None,
        };
        let number = match number {
            Some(number) => number,
            None if self.check_room().is_err() => {
                self.told.push(Told::Dropped(1));
                return;
            }
            None => {
                self.add(id, Stage::Living);
                self.last
            }
        };
        self.bury(id, true);
        self.note(number, &event);
        let job = self.all.get_mut(&number).expect("it was found or made above");
        if matches!(job.stage, Stage::Expected { .. } | Stage::Missing(_)) {
            job.stage = Stage::Living;
        }
        if job.holds(&event) {
            job.held = Some(Box::new(event));
            if self.holds_too_much() {
                self.release(number);
            }
        } else {
            self.end_heard(number, event);
        }
    }

    /// What is expected under an id begins behind this, which is a former job's.
    fn begin_behind(&mut self, id: &str, at: Option<Timestamp>) {
        let job = self.current.get(id).and_then(|number| self.all.get_mut(number));
        if let Some(job) = job.filter(|job| matches!(job.stage, Stage::Expected { .. })) {
            job.last_heard = job.last_heard.max(at.map(Timestamp::next));
        }
    }

    /// The journal was faster than the wire: this end was told. What seemed to live meanwhile was
    /// the same job; who watches that waits for the next one.
    fn settle_read(&mut self, id: &str, at: Option<Timestamp>) {
        self.bury(id, true);
        let Some(job) = self.current.get(id).and_then(|number| self.all.get_mut(number)) else {
            return;
        };
        if !matches!(job.stage, Stage::Living | Stage::Missing(_)) {
            return;
        }
        let (handles, ours) = (std::mem::take(&mut job.handles), job.ours);
        self.remove(id);
        if !handles.is_empty() {
            let next = self.add(id, Stage::Expected { hope: Hope::ToCome, made: false });
            (next.handles, next.ours) = (handles, ours);
            self.begin_behind(id, at);
        }
    }

    /// Tells the end that was held, unless something is still to come.
    pub(super) fn release_if_due(&mut self, number: u64) {
        let job = self.all.get(&number);
        if job.is_some_and(|job| !job.held.as_ref().is_some_and(|end| job.holds(end)))
            || self.holds_too_much()
        {
            self.release(number);
        }
    }

    /// What is held for a reply or for the journal has a bound: over it nothing waits any more.
    fn holds_too_much(&self) -> bool {
        let held = self.all.values().filter_map(|job| job.held.as_deref());
        held.map(Event::weight).sum::<usize>() > HELD_BYTES_MAX
    }

    /// Tells the end that was held.
    pub(super) fn release(&mut self, number: u64) {
        let Some(job) = self.all.get_mut(&number) else { return };
        if let Some(event) = job.held.take() {
            self.end_heard(number, *event);
        }
    }

    fn end_heard(&mut self, number: u64, mut event: Event) {
        if self.all[&number].doubt || self.all[&number].unmet {
            event.origin = Origin::Inferred;
        }
        self.end(number, event);
    }

    /// QEMU has forgotten a job, and said so.
    fn handle_null(&mut self, id: &str, at: Option<Timestamp>) {
        let number = self.current.get(id).copied();
        let expected = |number| matches!(self.all[&number].stage, Stage::Expected { .. });
        // How one has ended that was not heard of, a list may say.
        self.bury(id, number.is_some_and(|number| !expected(number)));
        let Some(number) = number else { return };
        let job = self.all.get_mut(&number).expect("current names what is there");
        match job.stage {
            Stage::Expected { .. } => return,
            Stage::Starting if job.whole && !job.ran => {
                // Undone. Its reply says whether it was refused.
                job.status = Status::Null;
                job.last_heard = at.or(job.last_heard);
                return;
            }
            Stage::Living if job.whole && !job.ran => self.end_undone(number),
            Stage::Ended { .. } | Stage::Missing(_) => {}
            Stage::Starting | Stage::Living if job.held.is_some() => {
                // Told when the reply has come, and then nothing of it is left in QEMU.
                job.status = Status::Null;
                return;
            }
            Stage::Starting | Stage::Living => {
                job.over_by = job.over_by.or(at);
                self.end_by_path(number);
            }
        }
        self.forget_in_qemu(id);
    }

    /// Nothing of it is in QEMU any more.
    fn forget_in_qemu(&mut self, id: &str) {
        self.forget_end(id);
        self.current.remove(id);
    }

    /// The same of one whose end was told.
    fn forget_end(&mut self, id: &str) {
        if self.ended(id).is_some() {
            self.remove(id);
        }
    }

    /// The job that QEMU means by an id, if its end was told.
    pub(super) fn ended(&self, id: &str) -> Option<u64> {
        let ended = |number: &u64| matches!(self.all[number].stage, Stage::Ended { .. });
        self.current.get(id).copied().filter(ended)
    }

    /// QEMU has said its last word of a job.
    fn settle_reading(&mut self, id: &str, at: Option<Timestamp>) {
        if let Some(reading) = &mut self.reading {
            reading.settle(id, at);
        }
    }

    /// A job without events of its own is gone before it could be asked for: which statuses it
    /// went through tells. QEMU never reaches `concluded` by `aborting` unless the job failed.
    fn end_by_path(&mut self, number: u64) {
        let job = &self.all[&number];
        if job.is_block() || job.status != Status::Concluded || job.doubt || !job.whole {
            return self.miss(number, Loss::Gone);
        }
        let event = job.path_end();
        self.end(number, event);
    }
}

/// The ends of as many jobs as may be known, as QEMU tells them.
const HELD_BYTES_MAX: usize = 8 << 20;
