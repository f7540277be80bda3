//! From QEMU's greeting until the monitor is usable: capabilities are agreed on, and what became of
//! the jobs meanwhile is asked of QEMU and, where it does not know, of its journal. Part of
//! [`Session`].

use std::time::Duration;

use serde_json::value::RawValue;

use super::{
    act::Act,
    command::OOB_IN_BAND_MAX,
    encode,
    exchange::Purpose,
    listing::{self, Listing},
    message::{members, word},
    session::{List, Lists, Session, Stage, Ticket, own},
};
use crate::model::{Code, Error, Kind, Link, Now, Process, State, Version, Word};

impl<T: Ticket> Session<T> {
    pub(super) fn handle_greeting(
        &mut self,
        version: Version,
        text: &str,
        now: Now,
        acts: &mut Vec<Act<T>>,
    ) {
        if !matches!(self.stage, Stage::Greeting { .. }) {
            return;
        }
        self.version = Some(version);
        self.jobs.version = version;
        let oob = self.settings.oob && offers(text, "oob");
        let enable = oob.then_some("{\"enable\":[\"oob\"]}");
        let purpose = Purpose::Capabilities { oob };
        self.send("qmp_capabilities", enable, purpose, None, acts);
        self.stage = Stage::Negotiating { greeting: text.into(), heard: false };
        self.jobs.handle_unheard();
        self.tell(now, acts);
    }

    /// QEMU has agreed: what became of the jobs meanwhile?
    pub(super) fn reconcile(&mut self, oob: bool, now: Now, acts: &mut Vec<Act<T>>) {
        self.oob = oob;
        if oob {
            self.exchange.limit(OOB_IN_BAND_MAX);
        }
        let Stage::Negotiating { greeting, .. } = std::mem::replace(&mut self.stage, Stage::Down)
        else {
            unreachable!("only a session that negotiates awaits that reply")
        };
        let new = self.jobs.version.has_status();
        let jobs = if new { List::Awaited } else { List::Absent };
        let lists = Box::new(Lists { jobs, block_jobs: List::Awaited });
        self.stage = Stage::Reconciling { greeting, lists };
        if self.marker.is_some() {
            self.ask_for_marker(acts);
        }
        self.jobs.handle_listing_asked(now);
        if new {
            self.send("query-jobs", None, Purpose::Jobs, None, acts);
        }
        self.send("query-block-jobs", None, Purpose::BlockJobs, None, acts);
    }

    /// One of the two lists has come, or is not to be had.
    pub(super) fn handle_list(
        &mut self,
        purpose: Purpose,
        list: Option<Listing>,
        now: Now,
        acts: &mut Vec<Act<T>>,
    ) {
        let Stage::Reconciling { greeting, lists } = &mut self.stage else { return };
        let Lists { jobs, block_jobs } = &mut **lists;
        // Block jobs stand in both lists.
        let left_out = list.as_ref().map_or(0, |list| list.left_out);
        if matches!(purpose, Purpose::Jobs) || matches!(jobs, List::Absent) {
            self.jobs.handle_left_out(left_out);
        }
        let list = list.map_or(List::Absent, |list| List::Came(list.jobs));
        match purpose {
            Purpose::Jobs => *jobs = list,
            _ => *block_jobs = list,
        }
        if matches!(jobs, List::Awaited) || matches!(block_jobs, List::Awaited) {
            return;
        }
        let greeting = std::mem::take(greeting);
        let (jobs, block_jobs) = (std::mem::take(jobs).came(), std::mem::take(block_jobs).came());
        self.timers.attempt = None;
        // Where neither could be had nothing is known, and nothing given up.
        if jobs.is_some() || block_jobs.is_some() {
            let listing = listing::merge(jobs, block_jobs.unwrap_or_default());
            let same = self.process == Process::Same;
            self.jobs.handle_listing(&listing, same);
        }
        self.stage = Stage::Recovering { greeting };
        self.pump(now, acts);
    }

    pub(super) fn handle_marker(&mut self, found: bool, now: Now, acts: &mut Vec<Act<T>>) {
        // Only where one was left for certain its absence says something.
        if std::mem::replace(&mut self.marker_left, found) {
            // It knows more than the kernel could tell.
            self.process = Process::Same;
            self.note_process(if found { Process::Same } else { Process::Restarted });
            self.jobs.handle_marker(found);
            self.tell(now, acts);
        }
        if !found {
            self.leave_marker(acts);
        }
    }

    pub(super) fn ready(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        let Stage::Recovering { greeting } = std::mem::replace(&mut self.stage, Stage::Ready)
        else {
            unreachable!("only what was asked for is recovered")
        };
        self.timers.lost = None;
        self.backoff.reset();
        self.told_reason = None;
        self.jobs.handle_usable();
        let met = std::mem::replace(&mut self.met, true);
        let process = std::mem::replace(&mut self.process, Process::Same);
        acts.push(Act::Stands(State::Connected, self.version));
        let mut event = own(Kind::Connected, "CONNECTED", Word::Json, &greeting, now);
        if let Some(bookmark) = self.jobs.bookmark() {
            event.set(Word::Position, &bookmark);
        }
        let own = event.own_mut();
        own.version = self.version;
        own.process = Some(if met { process } else { Process::First });
        own.recovered = Some(std::mem::take(&mut self.jobs.recovered));
        acts.push(Act::Tell(event));
        acts.extend(self.waiting.drain(..).map(|ticket| Act::Answer(ticket, Ok(()))));
        self.expect_answer(now);
        self.grant_wishes(acts);
    }

    /// Before the greeting it is kept, to say what answers there if it is not QEMU. After it, one
    /// bad line is passed over: QEMU itself can write `"id": inf`.
    pub(super) fn handle_stray(&mut self, excerpt: &[u8]) {
        if let Stage::Greeting { stray: stray @ None, .. } = &mut self.stage {
            let text = String::from_utf8_lossy(excerpt);
            *stray = Some(text.trim_end().chars().take(STRAY_SHOWN).collect());
        }
    }

    /// A banner without a newline is as little a greeting as one with it.
    pub(super) fn take_unfinished_stray(&mut self) {
        if let Some(excerpt) = self.framer.unfinished_garbage().map(<[u8]>::to_vec) {
            self.handle_stray(&excerpt);
        }
    }

    /// It has taken too long.
    pub(super) fn give_up_attempt(&mut self, now: Now, acts: &mut Vec<Act<T>>) {
        self.take_unfinished_stray();
        let error = match &self.stage {
            Stage::Greeting { stray: Some(stray), .. } => not_qmp(stray),
            Stage::Connecting { awaited } => {
                self.timed_out(awaited.as_deref().unwrap_or("it did not take the connection"))
            }
            Stage::Greeting { stray: None, holder_sought: false }
                if self.settings.link != Link::Listen =>
            {
                self.stage = Stage::Greeting { stray: None, holder_sought: true };
                self.timers.attempt = Some(now.running + HOLDER_WAIT);
                acts.push(Act::FindHolder);
                return;
            }
            Stage::Greeting { stray: None, .. } => self.silent(),
            Stage::Negotiating { .. } => self.timed_out(
                "it greeted, but did not answer qmp_capabilities: QEMU may be stopped or hang",
            ),
            _ => self.timed_out("it did not say which jobs it has: QEMU may be stopped or hang"),
        };
        self.end(&error, now, acts);
    }

    /// Why no greeting may have come.
    pub(super) fn silent(&self) -> Error {
        self.timed_out(match self.settings.link {
            Link::Dial | Link::Once => {
                "no greeting came: QEMU may be stopped or hang, another client that is not seen \
                 from here may hold this monitor (it serves one at a time), or this is no QMP \
                 monitor"
            }
            Link::Listen => {
                "no greeting came: QEMU may be stopped or hang, or this is no QMP monitor"
            }
        })
    }

    fn timed_out(&self, what: &str) -> Error {
        let limit = self.settings.connect_timeout.unwrap_or_default().as_millis();
        Error::new(Code::TimedOut, format!("not usable within {limit} ms: {what}"))
    }

    fn ask_for_marker(&mut self, acts: &mut Vec<Act<T>>) {
        let path = encode::member("path", "/objects");
        self.send("qom-list", Some(&path), Purpose::Marker, None, acts);
    }

    fn leave_marker(&mut self, acts: &mut Vec<Act<T>>) {
        let Some(marker) = &self.marker else { return };
        let id = encode::string(marker);
        // Its members moved out of `props` in 6.0.
        let flat = self.version.is_some_and(|version| version.major >= 6);
        let data = if flat { "\"data\":\"-\"" } else { "\"props\":{\"data\":\"-\"}" };
        let arguments = format!("{{\"qom-type\":\"secret\",\"id\":{id},{data}}}");
        let purpose = Purpose::LeaveMarker;
        self.send("object-add", Some(&arguments), purpose, None, acts);
    }
}

/// Does this greeting offer a capability?
fn offers(greeting: &str, capability: &str) -> bool {
    let list = || {
        let [qmp] = members(greeting, ["QMP"]).ok()?;
        let [list] = members(qmp?.get(), ["capabilities"]).ok()?;
        serde_json::from_str::<Vec<&RawValue>>(list?.get()).ok()
    };
    list().is_some_and(|list| list.into_iter().any(|it| word(it).as_deref() == Some(capability)))
}

pub(super) fn not_qmp(stray: &str) -> Error {
    let text = format!(
        "wanted a QMP greeting, got {stray:?}: this socket does not speak QMP (QEMU offers it with \
         -qmp, or with -mon mode=control)"
    );
    Error::new(Code::Protocol, text)
}

/// To find out who holds a monitor takes milliseconds; this is for a host that is very busy.
const HOLDER_WAIT: Duration = Duration::from_secs(3);
/// As much of what is no greeting as helps to recognise what answers.
const STRAY_SHOWN: usize = 60;
