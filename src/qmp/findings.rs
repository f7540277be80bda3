//! What became of jobs by QEMU's event journal. Part of [`Jobs`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    found::{Found, has_run, is_over},
    job::{Inquiry, Job, Stage},
    jobs::{Jobs, Told, digest},
    journal::{Findings, Request, Wanted},
    reading::digest_of,
};
use crate::model::{Event, JobType, Loss, Origin, Status, Timestamp, Word};

impl Jobs {
    /// What the journal is to be asked for now; `None` for nothing. One request at a time: what is
    /// wanted meanwhile is asked for when it is answered.
    pub fn inquire(&mut self) -> Option<Request> {
        // Without a journal nothing is wanted of one, and each message comes by here.
        let reading = self.reading.as_mut().filter(|reading| !reading.is_under_way)?;
        let mut request = Request::default();
        for (number, job) in &mut self.all {
            if job.inquiry == Inquiry::Wanted {
                job.inquiry = Inquiry::Made;
                let since = job.since().map(|(since, _)| since);
                let (job, id, until) = (*number, job.id.to_string(), job.over_by);
                request.wanted.push(Wanted { job, id, since, until });
            }
        }
        // Jobs that nobody remembers are looked for behind the position, others also before it.
        if request.wanted.is_empty() && reading.forgotten == Inquiry::Wanted {
            reading.forgotten = Inquiry::Made;
            if reading.position.is_some() {
                let owner = self.settings.owner.as_ref();
                request.prefix = owner.map(|owner| format!("{owner}-"));
            }
            request.from = reading.position;
        }
        reading.is_under_way = !request.wanted.is_empty() || reading.forgotten == Inquiry::Made;
        reading.is_under_way.then_some(request)
    }

    /// The journal is to be asked for some that are gone, and for no other: without a connection
    /// it can say nothing that counts of those that may live.
    pub fn misses_some(&self) -> bool {
        let mut wanted = self.all.values().filter(|job| job.inquiry == Inquiry::Wanted).peekable();
        wanted.peek().is_some() && wanted.all(|job| matches!(job.stage, Stage::Missing(_)))
    }

    /// The journal must still tell of some, or of jobs that nobody remembers.
    pub fn is_inquiring(&self) -> bool {
        let forgets = self.reading.as_ref().is_some_and(|it| it.forgotten != Inquiry::None);
        forgets || self.all.values().any(|job| job.waits_for_journal())
    }

    pub fn handle_findings(&mut self, mut findings: Findings) {
        let Some(reading) = &mut self.reading else { return };
        reading.is_under_way = false;
        let complete = findings.problem.is_none();
        // Jobs that nobody remembers are still to be looked for behind the former one.
        let moves = reading.forgotten != Inquiry::Wanted;
        settle_shared_ends(&mut findings.jobs, &findings.cut_off);
        for (number, events) in findings.jobs {
            let covered = !findings.cut_off.contains(&number);
            self.handle_found(number, events, complete, covered);
        }
        self.handle_forgotten(findings.others);
        // What was not spoken of was not found.
        let asked = |(number, job): (&u64, &Box<Job>)| is_answered(job.inquiry).then_some(*number);
        if let Some(reading) = self.reading.as_mut().filter(|_| self.usable == self.connection) {
            reading.said.clear();
        }
        let silent: Vec<u64> = self.all.iter().filter_map(asked).collect();
        for number in silent {
            let job = self.all.get_mut(&number).expect("it was there just now");
            let was_outdated = job.settle_inquiry();
            if let Stage::Missing(loss) = job.stage {
                self.lose(number, loss);
            } else if !was_outdated {
                if complete {
                    (job.doubt, job.gap) = (false, None);
                }
                self.release(number);
            }
        }
        // Not sooner: a program that stores it has been told of all before it.
        if let Some(reading) = self.reading.as_mut().filter(|_| moves) {
            reading.position = findings.position.or(reading.position);
        }
    }

    /// `complete`: all of the journal was read. `covered`: it goes back to where the job was last
    /// heard of.
    fn handle_found(&mut self, number: u64, events: Vec<Event>, complete: bool, covered: bool) {
        let Some(found) = self.sort_out(number, events, covered) else { return };
        let job = &self.all[&number];
        let (held, end) = (job.held.as_deref(), found.end());
        let is_held = end.is_some() && held.and_then(digest_of) == end.and_then(digest_of);
        // The wire has told the former one, and will tell this one too.
        let comes = held.zip(end).is_some_and(|(held, end)| end.timestamp > held.timestamp);
        let has_none = end.is_none() && !found.was_over(self.listing_asked);
        if comes || found.missing.is_none() && (has_none || is_held) {
            return self.find_same(number, &found, complete && covered);
        }
        if found.missing == Some(Loss::Unheard) && found.begun && !found.events.iter().any(is_over)
        {
            return self.find_alive(number, &found.events);
        }
        self.find_ended(number, found);
    }

    /// What it says of the job; `None` if that no longer matters.
    fn sort_out(&mut self, number: u64, events: Vec<Event>, covered: bool) -> Option<Found> {
        let reading = self.reading.as_ref()?;
        let job = self.all.get_mut(&number)?;
        if !is_answered(job.inquiry) {
            // It is to be asked for once more, since more is known of it than when this was.
            return None;
        }
        let was_outdated = job.settle_inquiry();
        let missing = match job.stage {
            Stage::Missing(loss) => Some(loss),
            Stage::Starting | Stage::Living => None,
            // It has come and gone, unless it is to begin yet or only seems to have.
            Stage::Expected { .. } if events.iter().any(is_over) => Some(Loss::Gone),
            Stage::Expected { .. } | Stage::Ended { .. } => return None,
        };
        let mut found = Found::new(job, events, &reading.said, self.listing_asked);
        (found.missing, found.was_outdated, found.covered) = (missing, was_outdated, covered);
        found.begun =
            found.begins_here || !found.events.is_empty() && job.missed != self.connection;
        Some(found)
    }

    /// It is the one that it was before the gap.
    fn find_same(&mut self, number: u64, found: &Found, sure: bool) {
        let Some(job) = self.all.get_mut(&number) else { return };
        job.ran |= found.events.iter().any(|event| has_run(event.status));
        if !found.was_outdated {
            if sure {
                (job.doubt, job.gap) = (false, None);
            }
            self.release(number);
        }
    }

    /// It was taken to be gone without having been heard of, and has begun.
    fn find_alive(&mut self, number: u64, events: &[Event]) {
        let (connection, is_listing) = (self.connection, self.is_listing);
        let Some(job) = self.all.get_mut(&number) else { return };
        // Behind the list of this connection, so that the wire has the rest.
        let listed = job.missed == connection;
        job.stage = Stage::Living;
        (job.connection, job.awaited) = (connection, is_listing && !listed);
        for event in events {
            job.note(event);
            job.born |= event.status == Status::Created;
            job.last_heard = job.last_heard.max(event.timestamp);
        }
        if listed {
            (job.whole, job.doubt, job.gap) = (true, false, None);
        } else {
            job.part(true);
        }
    }

    /// It has ended; and what QEMU seems to have of it may be another one.
    fn find_ended(&mut self, number: u64, found: Found) {
        let (asked, connection) = (self.listing_asked, self.connection);
        let Some(reading) = &mut self.reading else { return };
        let Some(job) = self.all.get_mut(&number) else { return };
        let end = found.end();
        let ended = end.and_then(|end| end.timestamp);
        // What QEMU listed under this id may be the job that has ended since it was asked; else it
        // is one that began after the known one had ended.
        let is_seen = job.listed == connection || job.last_heard > ended;
        let was_over = found.was_over(asked) || end.is_some() && ended < asked && is_seen;
        let is_another = found.missing.is_none() && (was_over || job.held.is_some());
        if !is_another {
            // The wire may still have it under way.
            reading.expect(end.and_then(digest_of));
        }
        let later =
            is_another.then(|| found.later(job, asked.filter(|_| job.listed == connection)));
        (job.held, job.doubt) = (None, false);
        job.awaited &= !found.begins_here;
        let id = job.id.clone();
        let Found { events, missing, begun, covered, .. } = found;
        let is_done = |event: &Event| is_over(event) || event.status == Status::Concluded;
        let until = events.last().filter(|_| events.iter().any(is_done));
        let until = until.and_then(|event| event.timestamp);
        self.end_by_journal(number, events, missing.unwrap_or(Loss::Gone), covered);
        self.note_read(number, &id, until);
        match later {
            Some(later) => self.succeed(number, &id, later),
            None => self.let_go(number, missing, begun),
        }
    }

    /// Up to then the wire may still bring what the journal has told of a job.
    fn note_read(&mut self, number: u64, id: &str, until: Option<Timestamp>) {
        let known = |job: &Box<Job>| matches!(job.stage, Stage::Ended { lost: false, .. });
        let Some(until) = until.filter(|_| self.all.get(&number).is_none_or(known)) else { return };
        let Some(reading) = &mut self.reading else { return };
        if reading.until.len() >= self.settings.job_limit {
            reading.until.pop_first();
        }
        reading.until.insert(id.to_owned(), (until, self.connection));
    }

    /// In its place QEMU has another one of its id.
    fn succeed(&mut self, number: u64, id: &str, later: Job) {
        self.remove_number(number);
        self.put(id, later);
    }

    /// What QEMU has by an id that is free.
    pub(super) fn put(&mut self, id: &str, mut later: Job) {
        if self.check_room().is_ok() {
            later.ours = self.is_owners(id);
            *self.add(id, Stage::Living) = later;
            self.release(self.last);
        }
    }

    /// What its id does from now on, another job does; but QEMU may still have it.
    fn let_go(&mut self, number: u64, missing: Option<Loss>, begun: bool) {
        let connection = self.connection;
        let Some(job) = self.all.get_mut(&number) else { return };
        job.doubt = !job.once;
        if job.stage == (Stage::Ended { acknowledged: false, lost: true }) {
            return;
        }
        // Whose process that was of which nobody had heard the journal does not say.
        // Of what has concluded an old QEMU's list alone says so.
        let is_listed = job.listed == connection
            || job.status == Status::Concluded && !self.version.has_status();
        let may_be_there =
            missing == Some(Loss::NoConnection) || is_listed || job.is_hope() && begun;
        if missing.is_some() && !may_be_there {
            return self.remove_number(number);
        }
        self.current.entry(Arc::clone(&job.id)).or_insert(number);
    }

    /// Plays what the journal holds of one incarnation, which is all of it if it is `covered`.
    fn end_by_journal(&mut self, number: u64, events: Vec<Event>, mut loss: Loss, covered: bool) {
        use Status::{Aborting, Concluded, Created, Null, Pending};
        let known = &self.all[&number];
        let (mut ran, mut born, mut way) = (known.ran, known.born, known.status);
        let mut concluded = false;
        if loss == Loss::Unheard && !events.is_empty() {
            loss = Loss::Gone;
        }
        for mut event in events {
            if event.kind.is_final() {
                let job = self.all.get_mut(&number).expect("it is there until its end");
                let sure = covered || job.once;
                event.origin = if sure { Origin::Recovered } else { Origin::Inferred };
                job.stage = Stage::Living;
                if event.job_type == JobType::Unknown {
                    event.job_type = job.job_type;
                }
                return self.end(number, event);
            }
            born |= event.status == Created;
            ran |= has_run(event.status);
            concluded |= matches!(event.status, Concluded | Null);
            if !concluded {
                way = event.status;
            }
        }
        let job = self.all.get_mut(&number).expect("it is there until its end");
        job.stage = Stage::Living;
        if concluded && born && !ran && covered {
            return self.end_undone(number);
        }
        // By which way it came to its end must be known, and that it has no event of its own there.
        let sure = concluded && covered && matches!(way, Pending | Aborting) && (born || ran);
        if !sure || job.is_block() {
            return self.lose(number, loss);
        }
        job.aborted = way == Aborting;
        let mut event = job.path_end();
        if event.origin == Origin::Live {
            event.origin = Origin::Recovered;
        }
        self.end(number, event);
    }

    /// Jobs of the owner's, of whom a former life of the program may have known.
    fn handle_forgotten(&mut self, events: Vec<Event>) {
        let Some(reading) = &mut self.reading else { return };
        if reading.forgotten != Inquiry::Made {
            return;
        }
        reading.forgotten = Inquiry::None;
        let over = std::mem::take(&mut reading.over);
        let known = reading.known_until;
        let here: BTreeSet<Arc<str>> = self.all.values().map(|job| Arc::clone(&job.id)).collect();
        let mut jobs = BTreeMap::<String, Vec<Event>>::new();
        for event in events {
            let Some(id) = event.text(Word::JobId).map(str::to_owned) else { continue };
            jobs.entry(id).or_default().push(event);
        }
        for (id, events) in jobs {
            // One that is known, or was told already, is known better than by this.
            let end = events.iter().find(|event| event.kind.is_final());
            let new = |end: &Event| known.is_none() || end.timestamp > known;
            if !end.is_some_and(new) || here.contains(id.as_str()) || over.contains(digest(&id)) {
                continue;
            }
            if self.check_room().is_err() {
                self.told.push(Told::Dropped(1));
                continue;
            }
            self.add(&id, Stage::Living);
            let number = self.last;
            self.end_by_journal(number, events, Loss::Gone, true);
            self.remove_number(number);
        }
    }
}

/// An end that a job has which is cut off, and a younger one of its id as well, is that one's.
fn settle_shared_ends(jobs: &mut [(u64, Vec<Event>)], cut_off: &BTreeSet<u64>) {
    if cut_off.is_empty() {
        return;
    }
    let end = |events: &[Event]| events.iter().find(|it| it.kind.is_final()).and_then(digest_of);
    let with_end = |(number, events): &(u64, Vec<Event>)| Some((end(events)?, *number));
    let mut ends: Vec<(u64, u64)> = jobs.iter().filter_map(with_end).collect();
    ends.sort_unstable();
    for (number, events) in jobs.iter_mut().filter(|(number, _)| cut_off.contains(number)) {
        let Some(end) = end(events) else { continue };
        if ends[ends.partition_point(|(other, _)| *other <= end) - 1].1 != *number {
            events.clear();
        }
    }
}

/// An answer to this is one of it.
fn is_answered(inquiry: Inquiry) -> bool {
    matches!(inquiry, Inquiry::Made | Inquiry::Outdated)
}
