//! What became of jobs by QEMU's event journal. Part of [`Jobs`].

use std::{collections::BTreeMap, sync::Arc};

use super::{
    job::{Inquiry, Job, Stage},
    jobs::Jobs,
    journal::{Findings, Request, Wanted},
    reading::{Said, digest_of},
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
                let (id, since) = (job.id.to_string(), job.since().map(|(since, _)| since));
                request.wanted.push(Wanted { job: *number, id, since });
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

    /// The journal must still tell of some.
    pub fn is_inquiring(&self) -> bool {
        self.asks_for_forgotten() || self.all.values().any(|job| job.inquiry != Inquiry::None)
    }

    /// Jobs that nobody remembers are still to be asked for, or are being.
    pub(super) fn asks_for_forgotten(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| reading.forgotten != Inquiry::None)
    }

    pub fn handle_findings(&mut self, findings: Findings) {
        let Some(reading) = &mut self.reading else { return };
        reading.is_under_way = false;
        let complete = findings.problem.is_none();
        // Jobs that nobody remembers are still to be looked for behind the former one.
        let moves = reading.forgotten != Inquiry::Wanted;
        for (number, events) in findings.jobs {
            self.handle_found(number, events);
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

    fn handle_found(&mut self, number: u64, events: Vec<Event>) {
        let asked = self.listing_asked;
        let Some(reading) = &mut self.reading else { return };
        let Some(job) = self.all.get_mut(&number) else { return };
        if !is_answered(job.inquiry) {
            // It is to be asked for once more, since more is known of it than when this was.
            return;
        }
        let was_outdated = job.settle_inquiry();
        let missing = match job.stage {
            Stage::Missing(loss) => Some(loss),
            Stage::Starting | Stage::Living => None,
            // It has come and gone, unless it is to begin yet or only seems to have.
            Stage::Expected { .. } if events.iter().any(is_over) => Some(Loss::Gone),
            Stage::Expected { .. } | Stage::Ended { .. } => return,
        };
        let (events, heir) = own(job, events, &reading.said);
        let held = job.held.as_deref().and_then(digest_of);
        let end = events.iter().find(|event| event.kind.is_final());
        let is_held = end.is_some_and(|end| held == digest_of(end));
        // The wire has told the former one, and will tell this one too.
        let comes =
            end.zip(job.held.as_ref()).is_some_and(|(end, it)| end.timestamp > it.timestamp);
        let before = |event: &Event| event.timestamp < asked;
        // One that was undone has no end of its own either.
        let undone = events.last().filter(|event| event.status == Status::Null);
        let was_over = heir.as_ref().or(undone).is_some_and(before);
        if comes || missing.is_none() && !was_over && (end.is_none() || is_held) {
            job.ran |= events.iter().any(|event| has_run(event.status));
            if !was_outdated {
                // It is the one that it was before the gap.
                (job.doubt, job.gap) = (false, None);
                self.release(number);
            }
            return;
        }
        // The list in which it does not stand is of a connection before this one, or older than it.
        let listed = job.missed == self.connection;
        let begins = |event: &Event| event.status == Status::Created && !before(event);
        job.awaited &= !events.first().is_some_and(begins);
        let begun = events.first().is_some_and(|first| !listed || begins(first));
        if missing == Some(Loss::Unheard) && begun && !events.iter().any(is_over) {
            return self.find_alive(number, &events, listed);
        }
        // What QEMU listed under this id may be the job that has ended since it was asked; else it
        // is one that began after the known one had ended.
        let ended = end.and_then(|end| end.timestamp);
        let is_seen = job.listed == self.connection || job.last_heard > ended;
        let was_over = was_over || end.is_some_and(before) && is_seen || job.held.is_some();
        let another = missing.is_none() && was_over;
        if !another {
            // The wire may still have it under way.
            reading.ends.extend(end.and_then(digest_of));
        }
        let later = another.then(|| {
            // It lived when it began, or when QEMU was asked and has said so; what came since may
            // be behind its end.
            let listed = asked.filter(|_| job.listed == self.connection);
            let heir = heir.as_ref().and_then(|heir| heir.timestamp);
            let mut later = job.later();
            later.last_heard = heir.or(listed).or(later.last_heard);
            later.only_listed = heir.is_none() && listed.is_some();
            if was_outdated {
                later.part(true);
            }
            later
        });
        let id = job.id.clone();
        (job.held, job.doubt) = (None, false);
        let until = events.last().and_then(|event| event.timestamp);
        self.end_by_journal(number, events, missing.unwrap_or(Loss::Gone));
        self.note_read(number, &id, until);
        match later {
            Some(later) => self.succeed(number, &id, later),
            None => self.let_go(number, missing, begun),
        }
    }

    /// It was taken to be gone without having been heard of, and has begun. `listed`: behind the
    /// list of this connection, so that the wire has the rest.
    fn find_alive(&mut self, number: u64, events: &[Event], listed: bool) {
        let (connection, awaited) = (self.connection, self.is_listing && !listed);
        let Some(job) = self.all.get_mut(&number) else { return };
        job.stage = Stage::Living;
        (job.connection, job.awaited) = (connection, awaited);
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
    fn succeed(&mut self, number: u64, id: &str, mut later: Job) {
        self.remove_number(number);
        if self.check_room().is_ok() {
            later.ours = self.is_owners(id);
            *self.add(id, Stage::Living) = later;
            self.release(self.last);
        }
    }

    /// What its id does from now on, another job does; but QEMU may still have it. `begun`: it did
    /// so behind the list in which it does not stand, or no list says so.
    fn let_go(&mut self, number: u64, missing: Option<Loss>, begun: bool) {
        let Some(job) = self.all.get_mut(&number) else { return };
        job.doubt = !job.once;
        if job.stage == (Stage::Ended { acknowledged: false, lost: true }) {
            return;
        }
        // Whose process that was of which nobody had heard the journal does not say.
        let may_be_there = missing == Some(Loss::NoConnection) || job.is_hope() && begun;
        if missing.is_some() && !may_be_there {
            return self.remove_number(number);
        }
        self.current.entry(Arc::clone(&job.id)).or_insert(number);
    }

    /// Plays what the journal holds of one incarnation.
    fn end_by_journal(&mut self, number: u64, events: Vec<Event>, mut loss: Loss) {
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
                event.origin = Origin::Recovered;
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
        if concluded && born && !ran {
            return self.end_undone(number);
        }
        // By which way it came to its end must be known, and that it has no event of its own there.
        let sure = concluded && matches!(way, Pending | Aborting) && (born || ran);
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
        let known = reading.known_until;
        let mut jobs = BTreeMap::<String, Vec<Event>>::new();
        for event in events {
            let Some(id) = event.text(Word::JobId).map(str::to_owned) else { continue };
            jobs.entry(id).or_default().push(event);
        }
        for (id, events) in jobs {
            // One that QEMU has, or that was told already, is known better than by its journal.
            let end = events.iter().find(|event| event.kind.is_final());
            let new = |end: &Event| known.is_none() || end.timestamp > known;
            if !end.is_some_and(new)
                || self.current.contains_key(id.as_str())
                || self.buried(&id).is_some()
            {
                continue;
            }
            if self.check_room().is_err() {
                self.told.push(super::jobs::Told::Dropped(1));
                continue;
            }
            self.add(&id, Stage::Living);
            let number = self.last;
            self.end_by_journal(number, events, Loss::Gone);
            self.remove_number(number);
        }
    }
}

/// What is a job's own of what the journal holds from the moment on at which it was last heard of,
/// and how another one of its id began behind that, which says that it had died with its QEMU.
fn own(job: &Job, mut events: Vec<Event>, said: &Said) -> (Vec<Event>, Option<Event>) {
    let creates = |event: &Event| event.status == Status::Created;
    if job.gone_by.is_some() {
        events.retain(|event| event.timestamp <= job.gone_by);
    }
    // One that was heard of before does not begin again.
    let lived = job.since().filter(|(_, lived)| *lived).map(|(since, _)| since);
    let later = |event: &Event| creates(event) && event.timestamp > lived;
    if lived.is_some() && events.first().is_some_and(later) {
        return (Vec::new(), Some(events.swap_remove(0)));
    }
    // What the wire told of another is not this one's.
    let held = job.held.as_deref().and_then(digest_of);
    let told =
        |event: &Event| digest_of(event).is_some_and(|it| Some(it) != held && said.contains(it));
    if events.iter().any(told) {
        return (Vec::new(), None);
    }
    let has_heir = events.len() > 1 && events.last().is_some_and(creates);
    let heir = if has_heir { events.pop() } else { None };
    (events, heir)
}

/// An answer to this is one of it.
fn is_answered(inquiry: Inquiry) -> bool {
    matches!(inquiry, Inquiry::Made | Inquiry::Outdated)
}

/// Nothing more comes of the job behind this.
fn is_over(event: &Event) -> bool {
    event.kind.is_final() || event.status == Status::Null
}

/// None comes to such a status without having run.
fn has_run(status: Status) -> bool {
    use Status::{Aborting, Concluded, Created, Null, Unknown};
    !matches!(status, Unknown | Created | Aborting | Concluded | Null)
}
