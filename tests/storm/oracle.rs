//! What was knowable, and whether the library told it: once, and truly. It computes from the wires,
//! QEMU's own truth and the journal, and shares nothing with the library.

use std::collections::{BTreeMap, BTreeSet};

use blockjob::{
    model::{Event, Kind, Loss, Origin, Outcome, Pivot, Status, Word},
    qmp::control::Control,
};
use serde_json::Value;

use crate::{
    machine::{Key, Machine},
    qemu::{
        truth::{self, Truth},
        version::Version,
    },
    tally::Tally,
};

/// What one life of the program was told.
#[derive(Default)]
pub struct Life {
    /// Whose end was told, and how.
    pub told: BTreeMap<(usize, Key), Kind>,
    /// Ids of which anything was told: at a machine.
    heard: BTreeSet<(usize, String)>,
    /// The library leaves a marker in each QEMU, and asks for it.
    pub marked: bool,
    /// The machines that are connected.
    connected: BTreeSet<usize>,
    /// Others' incarnations that were told to begin while connected. What is heard before the
    /// greeting is followed by a gap that nobody sees.
    begun: BTreeSet<(usize, Key)>,
    /// How many ends of an id were told that may be of another of its incarnations.
    unclear: BTreeMap<(usize, String), usize>,
    /// Ends that came over the wire as a whole, to the letter.
    arrived: BTreeSet<(usize, String)>,
    /// Ids that were said to have concluded as it happened, and ids that a list said it of.
    concluded: BTreeSet<(usize, String)>,
    listed: BTreeSet<(usize, String)>,
    /// Ids for which QEMU has accepted a command to complete, or one to cancel, of this life's.
    completed: BTreeSet<(usize, String)>,
    cancelled: BTreeSet<(usize, String)>,
    /// Ids that were lost.
    lost: BTreeSet<(usize, String)>,
    /// Those of them that QEMU may have all the same: their end may come and be passed over.
    given_up: BTreeSet<(usize, String)>,
    /// Ids that others use too, for which a handle was made.
    pub watched: BTreeSet<(usize, String)>,
    /// Handles that adopt their job.
    pub adopting: BTreeSet<u64>,
    /// Jobs whose ends were told for such a handle, and ends that the program took.
    pub adopted: BTreeSet<(usize, Key)>,
    taken: BTreeSet<(usize, Key)>,
    partial: BTreeMap<usize, Vec<u8>>,
    /// The place of the last event that was told of each machine, to be told in QEMU's order.
    place: BTreeMap<usize, u64>,
}

/// What is known over all lives.
#[derive(Default)]
pub struct Oracle {
    pub life: Life,
    /// Ends that the program took, in any life: these may be dismissed.
    taken: BTreeSet<(usize, Key)>,
    /// Ids of others' jobs that the program has adopted, in any life.
    pub adopted: BTreeSet<String>,
    /// Ids that others use too, by which the program asked for jobs, in any life.
    pub shared: BTreeSet<(usize, String)>,
    /// Ids of jobs that the program asked for and had no answer, in any life.
    pub assumed: BTreeSet<(usize, String)>,
    /// Ids that others use too, of which it took an end, in any life.
    taken_ids: BTreeSet<(usize, String)>,
    /// Ids that were told to be lost, in any life.
    pub lost_ever: BTreeSet<(usize, String)>,
    /// Ids that another client told to complete, so that nobody can say they did not pivot.
    pub foreign_completed: BTreeSet<String>,
    /// Ids that the program ever told to complete.
    completing: BTreeSet<String>,
    /// Ids that the program may dismiss.
    pub ours: BTreeSet<String>,
    /// Where each event stands in what QEMU said.
    places: BTreeMap<(usize, String), u64>,
    scanned: BTreeMap<(usize, usize), usize>,
    dismissals: BTreeSet<(usize, Key)>,
}

pub type Verdict = Result<(), String>;

impl Oracle {
    /// The program has taken an end.
    pub fn take(&mut self, index: usize, key: Option<Key>, id: &str) {
        if let Some(key) = key {
            self.taken.insert((index, key));
            self.life.taken.insert((index, key));
        } else if !is_unique(id) {
            self.taken_ids.insert((index, id.to_owned()));
        }
    }

    /// Another life of the program begins.
    pub fn reborn(&mut self) {
        self.life = Life::default();
    }

    /// Every QEMU is another one. Where that cannot be seen, what was given up may be there still,
    /// as far as the library knows.
    pub fn forget(&mut self) {
        let mut given_up = std::mem::take(&mut self.life.given_up);
        given_up.retain(|(_, id)| !is_unique(id));
        *self = Self { life: Life { given_up, ..Life::default() }, ..Self::default() };
    }

    /// Bytes have reached the library; whole messages are what it can know.
    pub fn arrived(&mut self, machine: usize, bytes: &[u8]) {
        let mut partial = self.life.partial.remove(&machine).unwrap_or_default();
        partial.extend_from_slice(bytes);
        while let Some(end) = partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = partial.drain(..=end).collect();
            self.note(machine, &line);
        }
        // Whole it is with its last brace.
        if partial.trim_ascii_end().ends_with(b"}") {
            self.note(machine, &partial);
        }
        self.life.partial.insert(machine, partial);
    }

    /// Takes down what a line says of jobs that are over.
    fn note(&mut self, machine: usize, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let Some(text) = message(line.trim_end()) else { return };
        if text.contains("BLOCK_JOB_COMPLETED") || text.contains("BLOCK_JOB_CANCELLED") {
            self.life.arrived.insert((machine, text.to_owned()));
            return;
        }
        if !text.contains("concluded") && !text.contains("\"null\"") {
            return;
        }
        let Ok(message) = serde_json::from_str::<Value>(text) else { return };
        if let Some(id) = message["data"]["id"].as_str() {
            self.life.concluded.insert((machine, id.to_owned()));
        }
        for listed in message["return"].as_array().into_iter().flatten() {
            let id = ["id", "device"].into_iter().find_map(|name| listed[name].as_str());
            if listed["status"] == "concluded" {
                self.life.listed.extend(id.map(|id| (machine, id.to_owned())));
            }
        }
    }

    /// The program asks something of a job.
    pub fn handle_asked(&mut self, id: &str, control: Control) {
        if control == Control::Complete {
            self.completing.insert(id.to_owned());
        }
    }

    /// QEMU has accepted it.
    pub fn handle_accepted(&mut self, index: usize, id: &str, control: Control) {
        let accepted = match control {
            Control::Complete => &mut self.life.completed,
            Control::Cancel { .. } => &mut self.life.cancelled,
            _ => return,
        };
        accepted.insert((index, id.to_owned()));
    }

    /// The connection is gone, and with it what had come of a line.
    pub fn gap(&mut self, machine: usize) {
        self.life.partial.remove(&machine);
    }

    /// An event that is no end was told.
    pub fn handle_told(&mut self, index: usize, machine: &Machine, event: &Event) -> Verdict {
        // Of a job of which only the last word is heard nothing was known.
        let id = event.text(Word::JobId).filter(|_| event.status != Status::Null);
        if let Some(id) = id {
            self.life.heard.insert((index, id.to_owned()));
        }
        match event.kind {
            Kind::Connected => _ = self.life.connected.insert(index),
            Kind::Disconnected => _ = self.life.connected.remove(&index),
            _ => {}
        }
        let begins = event.status == Status::Created && self.life.connected.contains(&index);
        if let Some(id) = id.filter(|id| begins && !id.starts_with("own-")) {
            let json = event.text(Word::Json);
            let all = machine.incarnations(id);
            let found = all.iter().find(|(_, truth)| truth.created.as_deref() == json);
            self.life.begun.extend(found.map(|(key, _)| (index, *key)));
        }
        self.check_order(index, event)
    }

    /// An end was told: is it true, and the first?
    pub fn handle_end(
        &mut self,
        index: usize,
        machine: &Machine,
        event: &Event,
        tally: &mut Tally,
    ) -> Result<Option<Key>, String> {
        let id = event.text(Word::JobId).ok_or("an end without an id")?.to_owned();
        let key = Self::identify(machine, &id, event)?;
        tally.count(format!("told {:?} {:?} {:?}", event.kind, event.outcome, event.origin));
        tally.count(format!("outcome {:?}", event.outcome));
        tally.count(format!("origin {:?}", event.origin));
        if let Some(loss) = event.loss {
            tally.count(format!("lost {loss:?}"));
        }
        if matches!(event.job_type_name(), Some("mirror" | "commit")) {
            tally.count(format!("pivoted {:?}", event.pivoted));
        }
        if event.loss == Some(Loss::Unheard) {
            // Of no job that anybody has heard of; it excuses nothing.
            return Ok(None);
        }
        // Neither by events nor by lists, and it was not started.
        let listed = event.text(Word::TypeName).is_some();
        let known = listed || self.life.heard.contains(&(index, id.clone()));
        let place = (index, id.clone());
        let asked_for = self.ours.contains(&id) || self.shared.contains(&place);
        if event.loss == Some(Loss::NoConnection) && !known && !asked_for {
            // The journal may have told of one.
            self.life.given_up.extend(machine.has_journal.then_some(place));
            return Ok(None);
        }
        if event.origin == Origin::Inferred && self.shared.contains(&place) {
            self.assumed.insert(place);
        }
        self.life.heard.insert((index, id.clone()));
        if event.kind == Kind::Lost {
            self.life.lost.insert((index, id.clone()));
            if matches!(event.loss, Some(Loss::NoConnection | Loss::NotStarted)) {
                self.life.given_up.insert((index, id.clone()));
            }
            self.lost_ever.insert((index, id.clone()));
            let loss = event.loss.ok_or("LOST without a loss")?;
            match key {
                Some(key) => self.check_loss(index, machine, key, loss)?,
                // Whoever watches it may wait for one that never comes.
                None if self.life.watched.contains(&(index, id.clone())) => {}
                None => self.check_loss_of_any(index, machine, &id, loss)?,
            }
        }
        self.check_origin(index, machine, &id, key, event)?;
        self.check_pivot(index, &id, event)?;
        let Some(key) = key else {
            *self.life.unclear.entry((index, id)).or_default() += 1;
            return Ok(None);
        };
        if event.origin == Origin::Inferred {
            *self.life.unclear.entry((index, id.clone())).or_default() += 1;
        }
        if let Some(before) = self.life.told.insert((index, key), event.kind) {
            return Err(format!("two ends of {id}: {before:?}, and now {event}"));
        }
        if event.kind == Kind::Lost {
            return Ok(Some(key));
        }
        let truth = &machine.processes[key.process].jobs()[key.number];
        self.check_outcome(machine, &id, truth, event)?;
        if event.get(Word::Json).is_some() && event.origin == Origin::Live && is_unique(&id) {
            // An end may have to wait for a reply, for the journal, or for the marker.
            let asks_for_marker =
                self.life.marked && !machine.has_identity && !self.life.connected.contains(&index);
            let for_reply = matches!(truth.type_name, "mirror" | "commit");
            let waits = machine.has_journal || asks_for_marker || for_reply;
            if !waits {
                self.check_order(index, event)?;
            }
        }
        Ok(Some(key))
    }

    /// QEMU has done something: is each dismissal one that was due?
    pub fn check_dismissals(&mut self, index: usize, machine: &Machine) -> Verdict {
        let process = machine.processes.len() - 1;
        for truth in machine.now().jobs() {
            let key = Key { process, number: truth.number };
            let is_ours = matches!(truth.starter, truth::Origin::Client(..));
            if is_ours && truth.dismissed == Some(truth::Dismissed::ByForeign) {
                // QEMU would have kept it, so what it has by the id is taken to be that.
                self.assumed.insert((index, truth.id.clone()));
            }
            if !matches!(truth.dismissed, Some(truth::Dismissed::ByClient(_)))
                || !self.dismissals.insert((index, key))
            {
                continue;
            }
            let (id, place) = (&truth.id, (index, truth.id.clone()));
            let assumed = self.adopted.contains(id) || self.assumed.contains(&place);
            if !is_ours && !assumed {
                return Err(format!("{id} was dismissed, and is another's"));
            }
            let taken = self.taken.contains(&(index, key)) || self.taken_ids.contains(&place);
            if !taken && !self.assumed.contains(&place) {
                return Err(format!("{} was dismissed before its end was taken", truth.id));
            }
        }
        Ok(())
    }

    /// Takes down in which order QEMU has said what it said.
    pub fn scan(&mut self, index: usize, machine: &Machine) {
        let process = machine.processes.len() - 1;
        let journal = machine.now().journal();
        let from = self.scanned.entry((index, process)).or_insert_with(|| {
            process.checked_sub(1).map_or(0, |before| machine.processes[before].journal().len())
        });
        for line in journal[*from..].split(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(line).trim_end().to_owned();
            if !line.is_empty() {
                let place = self.places.len() as u64;
                self.places.entry((index, line)).or_insert(place);
            }
        }
        *from = journal.len();
    }

    /// The storm is over, every connection stands and nothing is under way: nothing may be missing.
    pub fn check_rest(&self, index: usize, machine: &Machine, closed: bool) -> Verdict {
        for (_, line) in self.life.arrived.iter().filter(|(of, _)| *of == index) {
            let found = find(machine, line);
            let Some((key, truth)) = found else { continue };
            if !self.life.told.contains_key(&(index, key))
                && !self.life.given_up.contains(&(index, truth.id.clone()))
            {
                return Err(format!("the end of {} was read and never told: {line}", truth.id));
            }
        }
        for (_, id) in self.life.heard.iter().filter(|(of, id)| *of == index && is_unique(id)) {
            let Some((key, truth)) = machine.incarnations(id).pop() else { continue };
            let told = self.life.told.contains_key(&(index, key))
                || self.life.lost.contains(&(index, id.clone()));
            let lives = machine.is_listed(key) && truth.ended.is_none() && !closed;
            if !told && !lives && truth.ran {
                return Err(format!("{id} has gone without an end: {truth:?}"));
            }
        }
        self.check_begun(index, machine, closed)?;
        self.check_adopted(index, machine, closed)?;
        for (process, qemu) in machine.processes.iter().enumerate() {
            for truth in qemu.jobs().iter().filter(|truth| self.ours.contains(&truth.id)) {
                let key = Key { process, number: truth.number };
                let kept = !truth.auto_dismiss && truth.ran && qemu.is_alive();
                let taken = self.taken.contains(&(index, key));
                let lost = self.lost_ever.contains(&(index, truth.id.clone()));
                let robbed = truth.dismissed == Some(truth::Dismissed::ByForeign);
                if kept && truth.ended.is_some() && !taken && !lost && !robbed && !closed {
                    return Err(format!("nobody ever took the end of {}: {truth:?}", truth.id));
                }
                let lost_now = self.life.lost.contains(&(index, truth.id.clone()));
                if kept && taken && truth.dismissed.is_none() && !lost_now && !closed {
                    return Err(format!("{} was taken and never dismissed: {truth:?}", truth.id));
                }
            }
        }
        Ok(())
    }

    /// What was adopted and taken is dismissed.
    fn check_adopted(&self, index: usize, machine: &Machine, closed: bool) -> Verdict {
        let taken = self.life.taken.intersection(&self.life.adopted);
        for (_, key) in taken.filter(|(of, _)| *of == index && !closed) {
            let qemu = &machine.processes[key.process];
            let truth = &qemu.jobs()[key.number];
            let kept = !truth.auto_dismiss && truth.ran && qemu.is_alive();
            let lost = self.life.lost.contains(&(index, truth.id.clone()));
            if kept && truth.dismissed.is_none() && !lost {
                return Err(format!("{} was adopted and never dismissed: {truth:?}", truth.id));
            }
        }
        Ok(())
    }

    /// Each incarnation that was told to begin has an end of its own. One that was followed, in a
    /// gap, by another of its id that lives in the same status may be taken for that one: nothing
    /// that QEMU says then tells them apart.
    fn check_begun(&self, index: usize, machine: &Machine, closed: bool) -> Verdict {
        let mut open = BTreeMap::<&str, usize>::new();
        for (_, key) in self.life.begun.iter().filter(|(of, _)| *of == index) {
            let truth = &machine.processes[key.process].jobs()[key.number];
            let lives = machine.is_listed(*key) && truth.ended.is_none() && !closed;
            // The program asked for it and was refused.
            let place = (index, truth.id.clone());
            let by_us = matches!(truth.starter, truth::Origin::Client(..));
            // By a name that others use too: nobody can say who was refused.
            let refused = !truth.ran && (by_us || self.shared.contains(&place));
            // QEMU would have kept it, so what it has by the id is taken to be that.
            let robbed = by_us && truth.dismissed == Some(truth::Dismissed::ByForeign);
            if !lives && !refused && !robbed && !self.life.told.contains_key(&(index, *key)) {
                *open.entry(&truth.id).or_default() += 1;
            }
        }
        for (id, open) in open {
            let unclear = self.life.unclear.get(&(index, id.to_owned())).copied().unwrap_or(0);
            let taken_for = machine.incarnations(id).into_iter().filter(|(key, truth)| {
                let lives = machine.is_listed(*key) && truth.ended.is_none() && !closed;
                lives && !self.life.begun.contains(&(index, *key))
            });
            if unclear + taken_for.count() < open {
                return Err(format!("{id} was told to begin and never to end ({open}, {unclear})"));
            }
        }
        Ok(())
    }

    /// Which incarnation an end is of; `None` where that cannot be said.
    fn identify(machine: &Machine, id: &str, event: &Event) -> Result<Option<Key>, String> {
        if let Some(json) = event.text(Word::Json) {
            let found = find(machine, json).map(|(key, _)| Some(key));
            return found.ok_or_else(|| format!("QEMU never said this: {json}"));
        }
        let all = machine.incarnations(id);
        if is_unique(id) {
            return Ok(all.last().map(|(key, _)| *key));
        }
        // A name used again, and an end that no message tells: some incarnation ended so.
        let fits = |(_, truth): &(Key, &Truth)| {
            let outcome = truth.ended.as_ref().map(|ended| &ended.outcome);
            match event.outcome {
                Outcome::Succeeded => outcome == Some(&truth::Outcome::Completed),
                Outcome::Failed => matches!(outcome, Some(it) if *it != truth::Outcome::Completed),
                Outcome::Cancelled => outcome == Some(&truth::Outcome::Cancelled) || !truth.ran,
                Outcome::Unknown => true,
            }
        };
        if all.iter().any(fits) || event.kind == Kind::Lost {
            return Ok(None);
        }
        Err(format!("no job {id} ended so: {event}"))
    }

    /// Of one of those of this id whose end was not told: it must be wrong of each of them.
    fn check_loss_of_any(&self, index: usize, machine: &Machine, id: &str, loss: Loss) -> Verdict {
        // What the program asked for by a name that others use too may never have come to be.
        if self.shared.contains(&(index, id.to_owned())) {
            return Ok(());
        }
        let told = |key: &Key| self.life.told.contains_key(&(index, *key));
        let mut verdict = Ok(());
        for (key, _) in machine.incarnations(id).into_iter().filter(|(key, _)| !told(key)) {
            verdict = self.check_loss(index, machine, key, loss);
            if verdict.is_ok() {
                break;
            }
        }
        verdict
    }

    fn check_loss(&self, index: usize, machine: &Machine, key: Key, loss: Loss) -> Verdict {
        let process = &machine.processes[key.process];
        let truth = &process.jobs()[key.number];
        let event = truth.ended.as_ref().and_then(|ended| ended.event.as_ref());
        let id = &truth.id;
        let wrong = |why: &str| Err(format!("{id} lost ({loss:?}), but {why}: {truth:?}"));
        let read = event.is_some_and(|event| self.life.arrived.contains(&(index, event.clone())));
        if read {
            return wrong("its end was read");
        }
        match loss {
            // It does not list how.
            Loss::Gone if truth.ended.is_some() && process.version() == Version(2, 12, 0) => {}
            Loss::Gone | Loss::Dismissed | Loss::NotStarted if machine.is_listed(key) => {
                return wrong("QEMU has it");
            }
            Loss::QemuGone | Loss::QemuRestarted
                if process.is_alive() && key.process + 1 == machine.processes.len() =>
            {
                return wrong("its QEMU runs");
            }
            Loss::Dismissed if truth.auto_dismiss => return wrong("QEMU dismissed it by itself"),
            _ => {}
        }
        let written = event.is_some_and(|event| {
            machine.file().windows(event.len()).any(|part| part == event.as_bytes())
        });
        if machine.has_journal && written && !matches!(loss, Loss::Closed) {
            return wrong("its end stands in the journal");
        }
        Ok(())
    }

    /// Was it read as it happened, learned afterwards, or is it the best that anybody can say?
    fn check_origin(
        &self,
        index: usize,
        machine: &Machine,
        id: &str,
        key: Option<Key>,
        event: &Event,
    ) -> Verdict {
        let wrong = |why: &str| Err(format!("{id}: {why}: {event}"));
        let place = (index, id.to_owned());
        let json = event.text(Word::Json);
        let arrived = |line: &str| self.life.arrived.contains(&(index, line.to_owned()));
        match (event.origin, json) {
            (Origin::Inferred, _) if event.kind == Kind::Lost => {}
            (_, _) if event.kind == Kind::Lost => return wrong("no loss is certain"),
            (Origin::Live, Some(json)) if !arrived(json) => return wrong("it was not read"),
            (Origin::Live, None) if !self.life.concluded.contains(&place) => {
                return wrong("it was not said to conclude");
            }
            (Origin::Recovered, Some(_)) if !machine.has_journal => {
                return wrong("there is no journal");
            }
            (Origin::Recovered, None)
                if !machine.has_journal && !self.life.listed.contains(&place) =>
            {
                return wrong("it was not listed");
            }
            _ => {}
        }
        let truth = key.map(|key| &machine.processes[key.process].jobs()[key.number]);
        let line = truth.and_then(|truth| truth.ended.as_ref()?.event.as_deref());
        let known = id.starts_with("own-") && line.is_some_and(arrived);
        if known && (json != line || event.origin == Origin::Inferred) {
            return wrong("its end was read");
        }
        Ok(())
    }

    /// Did the disk move, as far as what the program asked and QEMU accepted says it?
    fn check_pivot(&self, index: usize, id: &str, event: &Event) -> Verdict {
        let place = (index, id.to_owned());
        let may = matches!(event.job_type_name(), Some("mirror" | "commit") | None);
        let completed = self.life.completed.contains(&place);
        let cancelled = self.life.cancelled.contains(&place) && !self.completing.contains(id);
        let due = match event.outcome {
            Outcome::Failed | Outcome::Cancelled => Pivot::No,
            Outcome::Succeeded if !may => Pivot::No,
            Outcome::Succeeded if completed && is_unique(id) => Pivot::Yes,
            Outcome::Succeeded if cancelled && is_unique(id) => Pivot::No,
            Outcome::Unknown | Outcome::Succeeded => return Ok(()),
        };
        if event.pivoted == due {
            Ok(())
        } else {
            Err(format!("{id} pivoted {due:?}, as far as can be known: {event}"))
        }
    }

    fn check_outcome(&self, machine: &Machine, id: &str, truth: &Truth, event: &Event) -> Verdict {
        let wrong = || Err(format!("told {event}, but the truth is {truth:?}"));
        let again = machine.incarnations(id).len() > 1;
        // What is only inferred of a name that was used again may be of the other one.
        let excused = event.origin == Origin::Inferred && again;
        let Some(ended) = &truth.ended else {
            let undone = event.outcome == Outcome::Cancelled && !truth.ran;
            return if undone || excused { Ok(()) } else { wrong() };
        };
        let text = event.text(Word::Error);
        let right = match (&ended.outcome, event.outcome) {
            (truth::Outcome::Completed, Outcome::Succeeded) => text.is_none(),
            (truth::Outcome::Failed(why), Outcome::Failed) => text.is_none_or(|text| text == why),
            (truth::Outcome::Cancelled, Outcome::Cancelled) => true,
            // QEMU's listing has one word for both, and so has the way of a job without events.
            (truth::Outcome::Cancelled, Outcome::Failed) => {
                let way = text.is_none() && event.origin == Origin::Inferred;
                event.get(Word::Json).is_none() && (way || text == Some("Operation canceled"))
            }
            // Undone, and so cancelled.
            (truth::Outcome::Failed(_), Outcome::Cancelled) => !truth.ran,
            _ => false,
        };
        if !right && !excused {
            return wrong();
        }
        let pivot = match event.pivoted {
            Pivot::Yes => truth.pivoted,
            Pivot::No => !truth.pivoted || self.foreign_completed.contains(id),
            Pivot::Unknown => true,
        };
        if pivot || excused { Ok(()) } else { wrong() }
    }

    /// The events of a machine are told in the order in which QEMU said them.
    fn check_order(&mut self, machine: usize, event: &Event) -> Verdict {
        let Some(json) = event.text(Word::Json) else { return Ok(()) };
        let Some(place) = self.places.get(&(machine, json.to_owned())).copied() else {
            return Ok(());
        };
        let last = self.life.place.entry(machine).or_default();
        if place < *last {
            return Err(format!("told out of order: {event}"));
        }
        *last = place;
        Ok(())
    }
}

/// Ids that are given to one job alone.
pub fn is_unique(id: &str) -> bool {
    id.starts_with("own-") || id.starts_with("f-")
}

/// Before it may stand the rest of what a former client did not read.
fn message(line: &str) -> Option<&str> {
    let begins = |word| line.rfind(word);
    let begin =
        begins("{\"timestamp\"").or(begins("{\"return\"")).or(begins("{\"id\": \"blockjob"));
    begin.map(|begin| &line[begin..])
}

/// The incarnation whose terminal event this is.
fn find<'a>(machine: &'a Machine, json: &str) -> Option<(Key, &'a Truth)> {
    for (process, qemu) in machine.processes.iter().enumerate() {
        for truth in qemu.jobs() {
            let event = truth.ended.as_ref().and_then(|ended| ended.event.as_deref());
            if event == Some(json) {
                return Some((Key { process, number: truth.number }, truth));
            }
        }
    }
    None
}

/// Small helper of readability.
trait TypeName {
    fn job_type_name(&self) -> Option<&str>;
}

impl TypeName for Event {
    fn job_type_name(&self) -> Option<&str> {
        self.text(Word::TypeName)
    }
}
