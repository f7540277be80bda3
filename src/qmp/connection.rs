//! Connections one after another: how one is tried for, who answers, and what its end leaves. Part
//! of [`Session`].

use std::time::Duration;

use super::{
    act::Act,
    session::{Session, Stage, Ticket, own},
};
use crate::model::{Code, Error, Identity, Kind, Link, Loss, Now, Process, State, Word};

impl<T: Ticket> Session<T> {
    /// The connection stands, with this process where that can be known.
    pub fn handle_connected(
        &mut self,
        identity: Option<Identity>,
        now: Now,
        acts: &mut Vec<Act<T>>,
    ) {
        if !matches!(self.stage, Stage::Connecting { .. }) {
            return;
        }
        self.framer.finish();
        self.stage = Stage::Greeting { stray: None, holder_sought: false };
        if self.settings.link == Link::Listen {
            self.limit_attempt(now);
        }
        let found = match (self.identity, identity) {
            _ if self.process_ended => Process::Restarted,
            (Some(before), Some(now)) if before == now => Process::Same,
            (Some(_), Some(_)) => Process::Restarted,
            _ => Process::Unknown,
        };
        (self.identity, self.process_ended) = (identity, false);
        self.note_process(found);
        if found == Process::Restarted {
            self.marker_left = false;
            self.jobs.handle_process_end(Loss::QemuRestarted, now);
            self.tell(now, acts);
        } else if found == Process::Unknown {
            self.jobs.handle_unknown_process(self.marker_left);
        }
    }

    /// So long there is no connection, and this is what it waits for.
    pub fn handle_awaited(&mut self, what: String) {
        if let Stage::Connecting { awaited } = &mut self.stage {
            *awaited = Some(what.into());
        }
    }

    /// Who holds the monitor, if that is known, when nothing has come from it: before the
    /// connection, because those who wait for it leave no room, or instead of a greeting.
    pub fn handle_holder(&mut self, holder: Option<&str>, now: Now, acts: &mut Vec<Act<T>>) {
        let greeting = match self.stage {
            Stage::Connecting { .. } => false,
            Stage::Greeting { stray: None, holder_sought: true } => true,
            _ => return,
        };
        let error = match holder {
            Some(holder) => {
                let others =
                    if greeting { "another client holds" } else { "other clients wait for" };
                let text = format!("{others} this monitor, which serves one at a time: {holder}");
                Error::new(Code::Busy, text)
            }
            None if greeting => self.silent(),
            None => Error::new(
                Code::TimedOut,
                "QEMU takes no connection, and others wait for it already: it may be stopped or \
                 hang, or a client that is not seen from here holds this monitor",
            ),
        };
        self.end(&error, now, acts);
    }

    /// The process that was connected has ended, as its pidfd says.
    pub fn handle_process_end(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        // While there is a connection it was somebody else's process.
        if matches!(self.stage, Stage::Down | Stage::Connecting { .. }) && self.identity.is_some() {
            self.process_ended = true;
            self.jobs.handle_process_end(Loss::QemuGone, now);
            self.inquire_of_the_missing(acts);
            self.tell(now, acts);
        }
    }

    pub(super) fn connect(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        self.timers.retry = None;
        // Whoever listens waits for as long as it takes.
        if self.settings.link != Link::Listen {
            self.limit_attempt(now);
        }
        self.stage = Stage::Connecting { awaited: None };
        acts.extend([Act::Stands(State::Connecting, None), Act::Connect]);
    }

    fn limit_attempt(&mut self, now: Now) {
        self.timers.attempt = self.settings.connect_timeout.map(|limit| now.running + limit);
    }

    /// One connection after another may find the process to be another one, and the program is
    /// told when it can use it: what is certain stays so, and a restart above all.
    pub(super) fn note_process(&mut self, found: Process) {
        self.process = match (self.process, found) {
            (Process::Restarted, _) | (_, Process::Restarted) => Process::Restarted,
            (Process::Unknown, _) => Process::Unknown,
            (_, found) => found,
        };
    }

    /// QEMU has agreed, so there is a connection; jobs are heard of, and not given up.
    pub(super) fn is_becoming_usable(&self) -> bool {
        matches!(self.stage, Stage::Reconciling { .. } | Stage::Recovering { .. })
    }

    /// From now on there should be a connection; without one for too long, jobs are given up.
    pub(super) fn expect_connection(&mut self, now: Now) {
        if self.timers.lost.is_none() {
            self.timers.lost = self.settings.lost_after.map(|limit| now.running + limit);
        }
    }

    /// The connection has ended; the next attempt is a matter of time.
    pub(super) fn end(&mut self, error: &Error, now: Now, acts: &mut Vec<Act<T>>) {
        let listened = self.settings.link == Link::Listen;
        // What cannot listen tries again later; after a connection, and after a stranger that was
        // refused, the next one may dial at once.
        let came = !matches!(self.stage, Stage::Connecting { .. }) || error.code == Code::Denied;
        let listens = listened && came;
        self.disconnect(error, now, acts);
        if self.settings.link == Link::Once {
            // There is no other connection to wait for, only the process's end, which says more.
            let grace = self.identity.map_or(Duration::ZERO, |_| PROCESS_END_WAIT);
            self.timers.lost = Some(now.running + grace);
            return;
        }
        let pause = self.backoff.next(self.settings.reconnect);
        let pause = if listens { pause.map(|_| Duration::ZERO) } else { pause };
        self.timers.retry = pause.map(|pause| now.running + pause);
    }

    pub(super) fn disconnect(&mut self, error: &Error, now: Now, acts: &mut Vec<Act<T>>) {
        self.stage = Stage::Down;
        self.unresponsive = false;
        (self.timers.attempt, self.timers.keepalive) = (None, None);
        self.expect_connection(now);
        self.framer.finish();
        acts.extend([Act::Disconnect, Act::Stands(State::Disconnected, None)]);
        self.handle_no_replies(acts);
        self.jobs.handle_gap();
        self.tell(now, acts);
        // Each reason once, and not each attempt.
        if self.told_reason.as_deref() != Some(&error.text) {
            self.told_reason = Some(error.text.as_str().into());
            let reason = &error.text;
            acts.push(Act::Tell(own(
                Kind::Disconnected,
                "DISCONNECTED",
                Word::Reason,
                reason,
                now,
            )));
        }
        for ticket in std::mem::take(&mut self.waiting) {
            acts.push(Act::Answer(ticket, Err(error.clone())));
        }
    }
}

/// A process that ends has closed its connections a little before the kernel says that it is gone.
pub(super) const PROCESS_END_WAIT: Duration = Duration::from_millis(200);
