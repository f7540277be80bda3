//! The monitor that is attacked, and what can be asked of it.

use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::Receiver;

use super::{Attack, LINE_LIMIT};
use crate::DEADLINE;
use crate::client::{Counted, Event, Listener, Monitor, number};

pub struct Victim {
    pub monitor: Monitor,
    /// What was told of it so far.
    pub told: Vec<Event>,
    events: Receiver<Event>,
    /// How many ends were told.
    pub counted: Arc<Counted>,
    /// Of events of the name FLOOD.
    pub floods: Arc<Counted>,
    proofs: Receiver<Event>,
    /// The peer's.
    behaves: Arc<AtomicBool>,
    name: &'static str,
}

impl Victim {
    pub(super) fn new(
        listener: &Listener,
        attack: &Attack,
        path: &Path,
        behaves: &Arc<AtomicBool>,
    ) -> Self {
        let name = attack.name;
        let monitor = listener.monitor(name, path);
        monitor.set_line_limit(i64::try_from(LINE_LIMIT).expect("a limit is no large number"));
        monitor.set_reconnect(5, 50);
        (attack.set)(&monitor);
        if ![0, number::RAW].contains(&attack.slow) {
            let kinds = u32::try_from(attack.slow).expect("it is a mask");
            listener.count_slowly(&monitor, kinds);
        }
        let events = listener.events_of(&monitor, attack.kinds);
        let finals = u32::try_from(number::FINAL).expect("it is a mask");
        let counted = listener.count(&monitor, finals);
        let floods = if attack.slow == number::RAW {
            listener.count_raw_slowly(&monitor, "FLOOD")
        } else {
            listener.count_raw(Some(&monitor), "FLOOD")
        };
        let proofs = listener.raw(Some(&monitor), Some("PROOF"));
        Self {
            monitor,
            told: Vec::new(),
            events,
            counted,
            floods,
            proofs,
            behaves: Arc::clone(behaves),
            name,
        }
    }

    /// The session goes on: what follows the attack is told, and so much was passed over.
    pub fn lives(&mut self, malformed: i64, too_long: i64) {
        self.proves();
        self.passed_over(malformed, too_long);
    }

    /// A good message that followed the attack was told.
    pub fn proves(&mut self) {
        self.proofs.recv_timeout(DEADLINE).unwrap_or_else(|error| {
            let told: Vec<_> = self.events.try_iter().chain(self.told.drain(..)).collect();
            panic!("{}: the session should live: {error}, {told:#?}", self.name)
        });
    }

    /// The same, if the program is not too slow even for what is never dropped.
    pub fn proves_or_is_closed(&mut self) {
        crate::eventually("a good message, or the monitor is closed", || {
            let closed = self.monitor.state() == number::STATE_CLOSED;
            (closed || self.proofs.try_recv().is_ok()).then_some(())
        });
    }

    pub fn passed_over(&mut self, malformed: i64, too_long: i64) {
        assert_eq!(self.stat(number::STAT_MALFORMED), malformed, "{}: malformed", self.name);
        assert_eq!(self.stat(number::STAT_LINES_TOO_LONG), too_long, "{}: too long", self.name);
    }

    /// The connection ends, or is ended, for a reason that says what came.
    pub fn ends(&mut self, reason: &str) {
        self.until(&format!("the end of the connection by {reason:?}"), |event| {
            let said = event.reason.as_deref().unwrap_or_default();
            event.kind == number::DISCONNECTED && said.contains(reason)
        });
    }

    /// The next connection, which is a good one, is used.
    pub fn recovers(&mut self) {
        self.behaves.store(true, SeqCst);
        self.until_kind(number::CONNECTED);
        self.proves();
    }

    pub fn until_kind(&mut self, kind: c_int) -> Event {
        self.until(&format!("an event of kind {kind:#06x}"), |event| event.kind == kind)
    }

    /// How a job ended.
    pub fn end_of(&mut self, id: &str) -> Event {
        self.until(&format!("the end of {id}"), |event| {
            event.kind & number::FINAL != 0 && event.job_id.as_deref() == Some(id)
        })
    }

    pub fn until(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut known = 0;
        loop {
            if let Some(event) = self.told[known..].iter().find(|event| wanted(event)) {
                return event.clone();
            }
            known = self.told.len();
            let event = self.events.recv_timeout(DEADLINE);
            self.told.push(event.unwrap_or_else(|error| {
                panic!("{}: {what} was not told, {error}: {:#?}", self.name, self.told)
            }));
        }
    }

    /// What was told by now.
    pub fn drain(&mut self) -> &[Event] {
        self.told.extend(self.events.try_iter());
        &self.told
    }

    /// What was told by now of this kind.
    pub fn told_of(&mut self, kind: c_int) -> Vec<Event> {
        self.drain().iter().filter(|event| event.kind == kind).cloned().collect()
    }

    /// So many events were dropped, and each of them stands in an OVERFLOW.
    pub fn dropped(&mut self, count: i64) {
        self.dropped_of(count, 0);
    }

    /// The same where somebody else may have asked for so many others, and be too slow for them.
    pub fn dropped_of(&mut self, count: i64, others: i64) {
        let stand: i64 = self.told_of(number::OVERFLOW).iter().map(|event| event.dropped).sum();
        let counted = self.stat(number::STAT_DROPPED);
        assert_eq!(counted, stand, "{}: dropped", self.name);
        let expected = count..=count + others;
        assert!(expected.contains(&counted), "{}: {counted} of {expected:?}", self.name);
    }

    /// The ends that were told by now, of whatever job.
    pub fn ends_told(&mut self) -> usize {
        self.told_ends().count()
    }

    pub fn told_ends(&mut self) -> impl Iterator<Item = &Event> {
        self.drain().iter().filter(|event| event.kind & number::FINAL != 0)
    }

    pub fn stat(&self, which: c_int) -> i64 {
        self.monitor.stat(which)
    }

    /// CLOSED comes last, and with it the registration is freed. Nothing was told of another's.
    pub(super) fn close(mut self) {
        self.monitor.close();
        self.until_kind(number::CLOSED);
        assert!(self.events.recv_timeout(DEADLINE).is_err(), "{}: after CLOSED", self.name);
        let strange = self.told.iter().find(|event| event.monitor != self.name);
        assert_eq!(strange, None, "{} speaks for another monitor", self.name);
    }
}
