//! What the hub wants done is done here, and what is to be told goes to delivery. Part of
//! [`Reactor`].

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::{
    approach::Around,
    claims::Intake,
    descriptor::Descriptor,
    ledger::Key,
    monitor::Monitor,
    reactor::{Reactor, reach},
    reply::Reply,
    report::Report,
    ticket::Ticket,
};
use crate::{
    model::{Code, Error, Event, Kind, MonitorId, Now, Response, Stat},
    qmp::act::Act,
};

impl Reactor {
    /// Does what the hub wants done, until it wants nothing more.
    pub(super) fn carry_out(&mut self) {
        let mut acts = std::mem::take(&mut self.room);
        let roster = Arc::clone(&self.shared.roster);
        loop {
            acts = self.hub.acts_in(acts);
            if acts.is_empty() && self.batch.is_empty() {
                break;
            }
            let now = self.clock.now();
            // One for events that follow one another; everything else may want the roster itself.
            let mut intake = None;
            for (id, act) in acts.drain(..) {
                if !is_for_intake(&act) {
                    intake = None;
                }
                self.act(id, act, now, || intake.get_or_insert_with(|| roster.intake()));
            }
            drop(intake);
            for id in std::mem::take(&mut self.gone) {
                self.hub.handle_process_end(id, self.clock.now());
            }
            self.hand_over();
        }
        // When thousands of monitors begin at once, what that takes is not kept.
        acts.shrink_to(ROOM_KEPT);
        self.room = acts;
    }

    fn act<'a, 'b: 'a>(
        &mut self,
        id: MonitorId,
        act: Act<Ticket>,
        now: Now,
        intake: impl FnOnce() -> &'a mut Intake<'b>,
    ) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        match act {
            Act::Connect => {
                let (names, holders) = (&self.names, &self.holders);
                let around = Around { registry: self.poll.registry(), names, holders };
                reach(&mut self.hub, id, slot.connect(&around), now);
            }
            Act::FindHolder => slot.find_holder(&self.holders),
            Act::Send(bytes) => self.send(id, &bytes, None, now),
            Act::SendWith(bytes, luggage) => self.send(id, &bytes, Some(luggage), now),
            Act::Reply(ticket, response) => {
                let monitor = Arc::clone(&slot.monitor);
                self.reply(monitor, ticket, response, now);
            }
            Act::Disconnect => {
                if slot.disconnect(self.poll.registry()) {
                    self.gone.push(id);
                }
            }
            Act::Stands(state, version) => slot.monitor.stands(state, version),
            Act::Tell(event) if event.kind == Kind::Closed => self.tell_closed(id, event),
            Act::Tell(event) => {
                if intake().wants(&event, id) {
                    let monitor = Arc::clone(&slot.monitor);
                    self.batch.push(Report::new(monitor, event, self.tick));
                }
            }
            Act::End(end) => {
                self.batch.extend(intake().take_end(&slot.monitor, end, self.tick));
            }
            Act::Attach { handle, job } => {
                if !self.shared.roster.attach(handle, Key { monitor: id, job }) {
                    self.too_late = Some(handle);
                }
            }
            Act::Read(request) => {
                if let Some(path) = slot.monitor.journal() {
                    self.journals.submit(id, path, request);
                }
            }
            Act::Log(level, text) => self.shared.say(&slot.monitor, level, &text, now.wall),
            Act::Count(since) => slot.monitor.statistics().take(&since),
            Act::Answer(ticket, answer) => {
                let too_late = self.too_late.take().map(|_| Err(acknowledged()));
                ticket.answer(too_late.unwrap_or(answer));
            }
            Act::List(ticket, list) => ticket.answer(list),
        }
    }

    fn send(&mut self, id: MonitorId, bytes: &[u8], luggage: Option<Descriptor>, now: Now) {
        let Some(stream) = self.slots.get_mut(&id).and_then(|slot| slot.stream.as_mut()) else {
            return;
        };
        if let Err(error) = stream.send(bytes, luggage, self.poll.registry()) {
            self.hub.handle_end(id, &error, now);
        }
    }

    /// CLOSED goes to delivery whether anybody wants it or not, since it ends the registrations of
    /// its monitor.
    fn tell_closed(&mut self, id: MonitorId, event: Event) {
        if let Some(slot) = self.slots.remove(&id) {
            slot.monitor.statistics().set(Stat::Jobs, 0);
            slot.monitor.end();
            self.batch.push(Report::new(Arc::clone(&slot.monitor), event, self.tick));
        }
        self.hub.remove(id);
    }

    /// Who asked for raw events before something was read is told of those in it.
    pub(super) fn want_raw(&mut self) {
        let changes = self.shared.roster.raw.changes();
        if std::mem::replace(&mut self.raw, changes) != changes {
            self.hub.want_raw(&self.shared.roster.raw_names());
        }
    }

    /// Answers who waits for a command; where nobody does, delivery has its reply.
    pub(super) fn reply(
        &mut self,
        monitor: Arc<Monitor>,
        ticket: Ticket,
        response: Result<Response, Error>,
        now: Now,
    ) {
        if let Some(number) = ticket.number() {
            let response = response.unwrap_or_else(|error| Response::failed(number, &error));
            let response = self.shared.roster.replies.admit(response);
            self.batch.push(Report::of_reply(monitor, response, now, self.tick));
        } else {
            let reply = |response| Arc::new(Reply { monitor, response });
            ticket.reply(response.map(reply));
        }
    }

    /// One wake-up of delivery for all that a read has brought.
    fn hand_over(&mut self) {
        for monitor in self.shared.queue.push(self.batch.drain(..)) {
            let reason = "the program does not take its events: too many outcomes wait for it";
            self.hub.close(monitor.id(), reason, self.clock.now());
        }
    }
}

/// CLOSED ends a monitor, and what it leaves behind.
fn is_for_intake(act: &Act<Ticket>) -> bool {
    match act {
        Act::Tell(event) => event.kind != Kind::Closed,
        Act::End(_) => true,
        _ => false,
    }
}

/// As many acts as a read brings.
const ROOM_KEPT: usize = 512;

fn acknowledged() -> Error {
    let text = "the job of this id has ended, and its end was acknowledged";
    Error::new(Code::Already, text)
}
