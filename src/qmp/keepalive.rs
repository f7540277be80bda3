//! Is QEMU still there? A stopped or hanging one keeps its connection. It is asked now and then,
//! and not answering is a state: never an outcome, never taken for death. Part of [`Session`].

use super::{
    act::Act,
    exchange::Purpose,
    session::{Session, Stage, Ticket, own},
};
use crate::model::{Kind, Now, State, Word};

impl<T: Ticket> Session<T> {
    /// Asks QEMU whether it answers, or finds that it has not.
    pub(super) fn keep_alive(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        let Some((_, limit)) = self.settings.keepalive else { return };
        if !matches!(self.stage, Stage::Ready) {
            return;
        }
        if self.exchange.awaits(Purpose::Keepalive) {
            // It is not taken for dead, and not asked again: the answer may still come.
            self.unresponsive = true;
            let reason = format!("QEMU has not answered within {} ms", limit.as_millis());
            acts.push(Act::Stands(State::Unresponsive, None));
            let name = "UNRESPONSIVE";
            acts.push(Act::Tell(own(Kind::Unresponsive, name, Word::Reason, &reason, now)));
            return;
        }
        self.send("query-version", None, Purpose::Keepalive, None, acts);
        self.timers.keepalive = Some(now.running + limit);
    }

    /// It answers; the next time it is asked is a while from now.
    pub(super) fn expect_answer(&mut self, now: Now) {
        self.timers.keepalive = self.settings.keepalive.map(|(every, _)| now.running + every);
    }

    pub(super) fn handle_alive(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        self.expect_answer(now);
        if std::mem::take(&mut self.unresponsive) {
            acts.push(Act::Stands(State::Connected, None));
            let text = "QEMU answers again";
            acts.push(Act::Tell(own(Kind::Responsive, "RESPONSIVE", Word::Reason, text, now)));
        }
    }
}
