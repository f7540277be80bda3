//! What the program asks of a monitor's jobs, and what QEMU replies. Part of [`Session`].

use serde_json::value::RawValue;

use super::{
    act::Act,
    encode::member,
    exchange::{Pending, Purpose},
    jobs::Watch,
    listing::{self, Listed},
    session::{Session, Stage, Ticket},
    start::start,
};
use crate::model::{Code, Error, Link, Now, Status};

/// What QEMU answered: the value, or how it refused.
type Reply<'a> = Result<&'a RawValue, Error>;

impl<T: Ticket> Session<T> {
    /// A handle was made; its ticket is answered when it watches.
    pub fn watch(&mut self, watch: &Watch, ticket: T, now: Now, acts: &mut Vec<Act<T>>) {
        let watches = if matches!(self.stage, Stage::Closed) {
            Err(Error::new(Code::Shutdown, "it was closed; make a new one for this address"))
        } else {
            self.jobs.watch(watch, now)
        };
        if let Ok(Some(job)) = watches {
            acts.push(Act::Attach { handle: watch.handle, job });
        }
        if watches.is_ok() {
            self.expect_end(watch, now, acts);
        }
        acts.push(Act::Answer(ticket, watches.map(|_| ())));
    }

    /// A wait for it must end: what exists is asked for, and without a connection its time runs.
    fn expect_end(&mut self, watch: &Watch, now: Now, acts: &mut Vec<Act<T>>) {
        if self.is_ready() && self.jobs.seeks(&watch.id) {
            self.jobs.wish_again();
            self.pump(now, acts);
        }
        let was_started = self.jobs.connection > 1;
        match self.stage {
            Stage::Down if was_started && self.settings.link == Link::Once => {
                self.timers.lost.get_or_insert(now.running);
            }
            Stage::Down if was_started => self.expect_connection(now),
            Stage::Connecting { .. } => self.expect_connection(now),
            _ => {}
        }
    }

    pub fn unwatch(&mut self, handle: u64) {
        self.jobs.unwatch(handle);
    }

    /// Starts the job of a handle; the ticket is answered by QEMU's reply.
    pub fn start_job(
        &mut self,
        handle: u64,
        command: &str,
        arguments: &str,
        ticket: T,
        now: Now,
        acts: &mut Vec<Act<T>>,
    ) {
        match self.prepare(handle, command, arguments, now) {
            Ok((job, arguments)) => {
                let purpose = Purpose::Start { job };
                self.send(command, Some(&arguments), purpose, Some(ticket), acts);
            }
            Err(error) => {
                self.jobs.not_sent(handle, &error);
                acts.push(Act::Answer(ticket, Err(error)));
            }
        }
    }

    /// Nobody waits any more for the answer to the start of a handle's job.
    pub fn leave_start(&mut self, handle: u64, now: Now, acts: &mut Vec<Act<T>>) {
        self.jobs.leave_start(handle);
        self.pump(now, acts);
    }

    /// Is this job still known?
    pub fn has_job(&self, job: u64) -> bool {
        self.jobs.id(job).is_some()
    }

    /// The program has taken an end; a ticket is answered when QEMU has dismissed the job, or has
    /// nothing to dismiss.
    pub fn acknowledge(&mut self, job: u64, ticket: Option<T>, now: Now, acts: &mut Vec<Act<T>>) {
        let follows = self.jobs.acknowledge(job);
        match ticket {
            Some(ticket) if !follows => acts.push(Act::Answer(ticket, Ok(()))),
            Some(ticket) if !matches!(self.stage, Stage::Ready) => {
                acts.push(Act::Answer(ticket, Err(not_dismissed())));
            }
            Some(ticket) => {
                self.dismissing.retain(|(_, ticket)| !ticket.is_void());
                self.dismissing.push((job, ticket));
            }
            None => {}
        }
        self.pump(now, acts);
    }

    /// A reply that was waited for.
    pub(super) fn handle_reply(
        &mut self,
        mut pending: Pending<T>,
        reply: Reply<'_>,
        now: Now,
        acts: &mut Vec<Act<T>>,
    ) {
        let mut answer = reply.as_ref().map(|_| ()).map_err(Clone::clone);
        match pending.purpose {
            Purpose::Capabilities { oob } => match answer {
                Ok(()) => self.reconcile(oob, now, acts),
                Err(ref error) => {
                    let what = format!("QEMU refused qmp_capabilities: {}", error.text);
                    let class = error.class.clone();
                    self.end(&Error { class, ..Error::new(Code::Remote, what) }, now, acts);
                }
            },
            Purpose::Marker => {
                let name = self.marker.as_deref().map(super::encode::string);
                let has = |value: &RawValue| name.is_some_and(|name| value.get().contains(&name));
                let found = reply.is_ok_and(has);
                self.handle_marker(found, now, acts);
            }
            Purpose::LeaveMarker => self.marker_left |= answer.is_ok(),
            Purpose::Jobs => {
                let wanted = self.jobs.wanted();
                let list = reply.ok().and_then(|value| listing::jobs(value, wanted).ok());
                self.handle_list(pending.purpose, list, now, acts);
            }
            Purpose::BlockJobs => {
                let wanted = self.jobs.wanted();
                let list = reply.ok().and_then(|value| listing::block_jobs(value, wanted).ok());
                self.handle_list(pending.purpose, list, now, acts);
            }
            Purpose::Conclusions => {
                let list = {
                    let mut wanted = self.jobs.wanted();
                    let wants = |listed: &Listed| {
                        let counts = listed.status == Status::Concluded;
                        (counts || self.jobs.seeks(&listed.id)) && wanted(listed)
                    };
                    let new = self.jobs.version.has_status();
                    let read = |value| {
                        if new {
                            listing::jobs(value, wants)
                        } else {
                            listing::block_jobs(value, wants)
                        }
                    };
                    reply.ok().and_then(|value| read(value).ok())
                };
                self.jobs.handle_conclusions(list.as_ref().map(|list| list.jobs.as_slice()));
            }
            Purpose::Start { job } => self.jobs.started(job, &answer),
            Purpose::Ask { job, control, again } => {
                let asked = (job, control, again);
                match self.handle_asked(asked, answer, &mut pending.ticket, acts) {
                    Some(answered) => answer = answered,
                    None => return,
                }
            }
            Purpose::Dismiss { job } => {
                self.diary.dismissed(self.jobs.id(job), &answer, acts);
                match &answer {
                    Ok(()) => self.jobs.dismissed(job),
                    Err(_) => self.jobs.handle_no_dismissal(job),
                }
            }
            Purpose::Keepalive => self.handle_alive(now, acts),
            Purpose::Progress => {
                let known = |listed: &Listed| self.jobs.current.contains_key(listed.id.as_str());
                let list = reply.ok().and_then(|value| listing::block_jobs(value, known).ok());
                let list = list.map(|list| list.jobs).unwrap_or_default();
                self.handle_progress(&list, now);
            }
            Purpose::Look { number, blocks } => self.handle_look(number, blocks, reply, acts),
            // `handle_response` is for these.
            Purpose::Command { .. } => {}
        }
        self.pump(now, acts);
        if let Some(ticket) = pending.ticket {
            acts.push(Act::Answer(ticket, answer));
        }
    }

    /// The connection has ended, and with it what was waited for.
    pub(super) fn handle_no_replies(&mut self, acts: &mut Vec<Act<T>>) {
        self.oob = false;
        for pending in self.exchange.take_all() {
            if matches!(pending.purpose, Purpose::Command { .. }) {
                Self::handle_no_response(pending, acts);
                continue;
            }
            let Some(ticket) = pending.ticket else { continue };
            let what = match pending.purpose {
                Purpose::Start { .. } => {
                    "the connection ended before QEMU replied: whether the job was started will \
                     show; its handle goes on watching"
                }
                _ => NO_REPLY,
            };
            acts.push(Act::Answer(ticket, Err(Error::new(Code::Reset, what))));
        }
        self.handle_no_lists(&Error::new(Code::Reset, NO_REPLY), acts);
        for (_, ticket) in std::mem::take(&mut self.dismissing) {
            acts.push(Act::Answer(ticket, Err(not_dismissed())));
        }
    }

    /// Asks QEMU to forget a job whose end was acknowledged.
    pub(super) fn dismiss(&mut self, job: u64, acts: &mut Vec<Act<T>>) {
        let purpose = Purpose::Dismiss { job };
        if self.exchange.awaits(purpose) {
            return;
        }
        let Some(id) = self.jobs.id(job) else { return };
        let name = if self.jobs.version.has_status() { "job-dismiss" } else { "block-job-dismiss" };
        self.send(name, Some(&member("id", id)), purpose, None, acts);
    }

    /// Answers those whose job QEMU has no more, or keeps all the same.
    pub(super) fn answer_dismissed(&mut self, acts: &mut Vec<Act<T>>) {
        for (job, ticket) in std::mem::take(&mut self.dismissing) {
            if !self.jobs.is_to_be_dismissed(job) {
                acts.push(Act::Answer(ticket, Ok(())));
            } else if self.jobs.is_kept(job) {
                acts.push(Act::Answer(ticket, Err(kept())));
            } else {
                self.dismissing.push((job, ticket));
            }
        }
    }

    fn prepare(
        &mut self,
        handle: u64,
        command: &str,
        arguments: &str,
        now: Now,
    ) -> Result<(u64, String), Error> {
        self.check_ready()?;
        let version = self.version.expect("a monitor that is ready has been greeted");
        let ended =
            || Error::new(Code::Already, "its end was told; make a new handle for another job");
        let (job, id) = self.jobs.watched(handle).ok_or_else(ended)?;
        let start = start(version, command, arguments, id)?;
        self.jobs.starting(job, start.stays, now)?;
        Ok((job, start.arguments))
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready)
    }

    pub(super) fn check_ready(&self) -> Result<(), Error> {
        if !self.is_ready() {
            let text = "it is not connected: wait for CONNECTED; nothing was sent";
            return Err(Error::new(Code::NotConnected, text));
        }
        self.exchange.check_room()
    }
}

fn kept() -> Error {
    let text = "QEMU refused to dismiss the job, and has it still: dismiss it once more when \
                nothing is in its way (the log has QEMU's words)";
    Error::new(Code::Remote, text)
}

fn not_dismissed() -> Error {
    let text = "acknowledged, but there is no connection: the job is dismissed when there is one";
    Error::new(Code::NotConnected, text)
}

const NO_REPLY: &str = "the connection ended before QEMU replied";
