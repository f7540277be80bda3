//! What the journal holds of one job, as far as that says by itself what became of it.

use super::{
    job::Job,
    reading::{Marks, digest_of},
};
use crate::model::{Event, Loss, Status, Timestamp};

/// What the journal holds of one job.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Found {
    /// Its own, from the moment on at which it was last heard of.
    pub events: Vec<Event>,
    /// How another one of its id began behind that.
    pub heir: Option<Event>,
    /// It is gone, for this reason, unless the journal knows better.
    pub missing: Option<Loss>,
    /// It was read before the latest gap, of which it says nothing.
    pub was_outdated: bool,
    /// The journal goes back to where it was last heard of, so this is the job.
    pub covered: bool,
    /// It begins behind the moment at which QEMU was asked for its jobs.
    pub begins_here: bool,
    /// The same, or the list in which it does not stand is of a connection before this one.
    pub begun: bool,
}

impl Found {
    /// `asked`: when QEMU was asked for its jobs.
    pub fn new(job: &Job, events: Vec<Event>, said: &Marks, asked: Option<Timestamp>) -> Self {
        let (events, heir) = own(job, events, said);
        let begins = |event: &Event| event.status == Status::Created && event.timestamp >= asked;
        let begins_here = events.first().is_some_and(begins);
        Self {
            events,
            heir,
            missing: None,
            was_outdated: false,
            covered: true,
            begins_here,
            begun: begins_here,
        }
    }

    pub fn end(&self) -> Option<&Event> {
        self.events.iter().find(|event| event.kind.is_final())
    }

    /// It was over by then without an end of its own: another one had begun, or it was undone.
    pub fn was_over(&self, asked: Option<Timestamp>) -> bool {
        let undone = self.events.last().filter(|event| event.status == Status::Null);
        self.heir.as_ref().or(undone).is_some_and(|event| event.timestamp < asked)
    }

    /// The one that QEMU has in its place. It lived when it began, or when QEMU was asked and has
    /// `listed` it; what came since may be behind its end.
    pub fn later(&self, job: &Job, listed: Option<Timestamp>) -> Job {
        let heir = self.heir.as_ref().and_then(|heir| heir.timestamp);
        let mut later = job.later();
        // It has another end than this one's.
        let ended = self.end().and_then(|end| end.timestamp).map(Timestamp::next);
        later.last_heard = heir.or(listed).or(later.last_heard).max(ended);
        later.only_listed = heir.is_none() && listed.is_some();
        if self.was_outdated {
            later.part(true);
        }
        later
    }
}

/// What is a job's own of what the journal holds from the moment on at which it was last heard of,
/// and how another one of its id began behind that, which says that it had died with its QEMU.
fn own(job: &Job, mut events: Vec<Event>, said: &Marks) -> (Vec<Event>, Option<Event>) {
    let creates = |event: &Event| event.status == Status::Created;
    if job.over_by.is_some() {
        events.retain(|event| event.timestamp <= job.over_by);
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

/// Nothing more comes of the job behind this.
pub fn is_over(event: &Event) -> bool {
    event.kind.is_final() || event.status == Status::Null
}

/// None comes to such a status without having run.
pub fn has_run(status: Status) -> bool {
    use Status::{Aborting, Concluded, Created, Null, Unknown};
    !matches!(status, Unknown | Created | Aborting | Concluded | Null)
}
