//! The program's side of the library: the real roster, ledger and queue, with registrations whose
//! callbacks only take down what they were called for. What each end is claimed by, and whether it
//! may be dismissed, is computed here once more, from DESIGN's sentences alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use blockjob::{
    engine::{Callback, Filter, Key, Mode, Monitor, Next, Post, Report, Shared, delivery},
    model::{Event, Kinds, MonitorId},
    qmp::jobs::End,
};

use crate::chance::Chance;

pub struct Delivery {
    shared: Arc<Shared>,
    monitors: Vec<Arc<Monitor>>,
    registrations: Vec<Registration>,
    /// What callbacks were called for, since it was last looked at.
    calls: Arc<Mutex<Calls>>,
    ends: BTreeMap<Id, Claims>,
    /// Those of them that may not be acknowledged yet.
    open: BTreeSet<Id>,
    /// Reports that the program holds.
    held: Vec<(Id, Arc<Report>)>,
    tick: u64,
    /// The program has no callbacks: it is given one event after another.
    pulls: bool,
    /// How many ends it was given.
    given: u64,
}

/// An end, by its machine and job number.
pub type Id = (usize, u64);

struct Registration {
    id: i64,
    observes: bool,
    /// `None`: all machines.
    machine: Option<usize>,
    freed: Arc<AtomicU64>,
    removed: bool,
    served: BTreeSet<Id>,
}

#[derive(Default)]
struct Calls {
    made: Vec<(i64, Id)>,
    /// The program dies in the callback after so many more.
    dies_in: Option<u64>,
    dead: bool,
}

#[derive(Default)]
struct Claims {
    waiting: BTreeSet<Claimant>,
    served: bool,
    references: u64,
    acknowledged: bool,
    handles: BTreeSet<u64>,
    /// A program that pulls has it.
    given: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claimant {
    Registration(i64),
    Handle(u64),
}

impl Delivery {
    pub fn new(machines: usize, pulls: bool) -> Self {
        let shared = Arc::new(Shared::new().expect("there are descriptors"));
        if pulls {
            shared.delivery.choose(&shared, Mode::Pull).expect("there is no monitor yet");
        }
        let monitors = (0..machines)
            .map(|machine| {
                let monitor = shared.monitor(&format!("unix:/vm{machine}"));
                Arc::new(monitor.expect("the address is one"))
            })
            .collect();
        Self {
            shared,
            monitors,
            registrations: Vec::new(),
            calls: Arc::default(),
            ends: BTreeMap::new(),
            open: BTreeSet::new(),
            held: Vec::new(),
            tick: 0,
            pulls,
            given: 0,
        }
    }

    /// Registers for ends: of one machine or all, to look on or to claim.
    pub fn add(&mut self, machine: Option<usize>, observes: bool) {
        let freed = Arc::new(AtomicU64::new(0));
        let (calls, opaque) = (Arc::clone(&self.calls), Freed(Arc::clone(&freed)));
        let callback: Callback = Arc::new(move |id, report| {
            let _ = &opaque;
            let mut calls = calls.lock().unwrap();
            if calls.dead {
                return;
            }
            match calls.dies_in {
                Some(0) => calls.dead = true,
                Some(more) => calls.dies_in = Some(more - 1),
                None => {}
            }
            if !calls.dead {
                if let Some(key) = report.key {
                    calls.made.push((id, id_of(key)));
                }
            }
        });
        let filter = Filter {
            monitor: machine.map(|machine| self.monitors[machine].id()),
            job: None,
            kinds: Kinds::from_mask(7).expect("these are the ends"),
            name: None,
            observes,
        };
        let of = machine.map(|machine| self.monitors[machine].as_ref());
        // A machine that was closed takes no more of its own.
        let Ok(id) = self.shared.add_callback(filter, of, callback) else { return };
        for (end, claims) in &mut self.ends {
            let kept = !claims.acknowledged || !claims.handles.is_empty();
            let to_be_had = kept && !claims.acknowledged && !claims.given;
            if to_be_had && !observes && machine.is_none_or(|it| it == end.0) {
                claims.waiting.insert(Claimant::Registration(id));
            }
        }
        let served = BTreeSet::new();
        self.registrations.push(Registration {
            id,
            observes,
            machine,
            freed,
            removed: false,
            served,
        });
    }

    /// Removes some registration, but not the last.
    pub fn remove(&mut self, chance: &mut Chance) -> bool {
        let living: Vec<usize> =
            (0..self.registrations.len()).filter(|at| !self.registrations[*at].removed).collect();
        if living.len() < 2 {
            return false;
        }
        let registration = &mut self.registrations[living[chance.index(living.len())]];
        registration.removed = true;
        let id = registration.id;
        if self.shared.remove_callback(id, true).is_ok() {
            for claims in self.ends.values_mut() {
                claims.waiting.remove(&Claimant::Registration(id));
            }
        }
        true
    }

    pub fn open_handle(&self, handle: u64) {
        self.shared.roster.open_handle(handle).expect("it was not stopped");
    }

    pub fn close_handle(&mut self, handle: u64) {
        self.shared.roster.close_handle(handle);
        for claims in self.ends.values_mut() {
            claims.waiting.remove(&Claimant::Handle(handle));
            claims.handles.remove(&handle);
        }
    }

    pub fn latest_end(&self, machine: usize, id: &str) -> Option<u64> {
        self.shared.roster.latest_end(self.monitors[machine].id(), id)
    }

    /// False: that end was acknowledged, and is no longer to be had.
    pub fn attach(&mut self, machine: usize, handle: u64, job: u64) -> bool {
        let key = Key { monitor: self.monitors[machine].id(), job };
        let found = self.shared.roster.attach(handle, key);
        if found {
            let claims = self.ends.entry((machine, job)).or_default();
            claims.handles.insert(handle);
            if !claims.acknowledged {
                claims.waiting.insert(Claimant::Handle(handle));
            }
        }
        found
    }

    /// An end was told: it is queued, and whoever wants it claims it.
    pub fn take_end(&mut self, machine: usize, end: End) {
        let id = (machine, end.job);
        let mut claims = Claims::default();
        for registration in self.registrations.iter().filter(|it| !it.removed && !it.observes) {
            if registration.machine.is_none_or(|it| it == machine) {
                claims.waiting.insert(Claimant::Registration(registration.id));
            }
        }
        for handle in &end.handles {
            claims.waiting.insert(Claimant::Handle(*handle));
            claims.handles.insert(*handle);
        }
        self.ends.insert(id, claims);
        self.open.insert(id);
        self.tick = self.shared.roster.tick(|| {}).0;
        let report = self.shared.roster.intake().take_end(&self.monitors[machine], end, self.tick);
        if let Some(claims) = self.ends.get_mut(&id).filter(|_| report.is_some()) {
            claims.references = 1;
        }
        self.shared.queue.push(report);
    }

    /// Any other event: queued if somebody wants it.
    pub fn tell(&mut self, machine: usize, event: Event) {
        let monitor = &self.monitors[machine];
        if self.shared.roster.intake().wants(&event, monitor.id()) {
            let report = Report::new(Arc::clone(monitor), event, self.tick);
            self.shared.queue.push(vec![report]);
        }
    }

    /// One turn of the delivery thread. `Ok(None)`: nothing waits. `dies`: the program dies in the
    /// callback, which this says by `true`.
    pub fn deliver(&mut self, dies: bool) -> Result<Option<bool>, String> {
        let Some(next) = self.shared.queue.try_pop() else { return Ok(None) };
        if self.pulls {
            return self.give_out(next, dies);
        }
        self.calls.lock().unwrap().dies_in = dies.then_some(0);
        let end = match &next {
            Next::Report(report) => report.key.map(id_of),
            _ => None,
        };
        delivery::deliver(&self.shared, next);
        let mut calls = self.calls.lock().unwrap();
        calls.dies_in = None;
        if calls.dead {
            return Ok(Some(true));
        }
        let made = std::mem::take(&mut calls.made);
        drop(calls);
        for (registration, end) in made {
            self.served(registration, end)?;
        }
        if let Some(claims) = end.and_then(|end| self.ends.get_mut(&end)) {
            claims.references -= 1;
        }
        Ok(Some(false))
    }

    /// The same for a program that pulls; it dies with the event in hand. Of what it is given it
    /// keeps one in three for a while.
    fn give_out(&mut self, next: Next, dies: bool) -> Result<Option<bool>, String> {
        let queued = match &next {
            Next::Report(report) => report.key.map(id_of),
            Next::Late | Next::Log(_) => None,
        };
        let report = delivery::give_out(&self.shared, next);
        let given = report.as_ref().and_then(|report| report.key).map(id_of);
        // The queue's reference is gone, or the program's; for one that comes late one was made.
        let (Some(report), Some(id)) = (report, given) else {
            if let Some(claims) = queued.and_then(|end| self.ends.get_mut(&end)) {
                claims.references -= 1;
            }
            return Ok(Some(false));
        };
        if dies {
            return Ok(Some(true));
        }
        let claims = self.ends.get_mut(&id).ok_or("an end that was never told")?;
        if queued.is_none() {
            claims.references += 1;
        }
        if claims.given {
            return Err(format!("{id:?} was given out again"));
        }
        let wants = |it: &Registration| !it.removed && it.machine.is_none_or(|it| it == id.0);
        if !self.registrations.iter().any(wants) {
            return Err(format!("{id:?} was given out, and nobody had subscribed to it"));
        }
        let before = claims.waiting.len();
        claims.waiting.retain(|claimant| matches!(claimant, Claimant::Handle(_)));
        claims.given = claims.waiting.len() < before;
        claims.served |= claims.given;
        self.given += 1;
        if self.given % 3 == 0 {
            self.held.push((id, report));
        } else {
            claims.references -= 1;
        }
        Ok(Some(false))
    }

    fn served(&mut self, id: i64, end: Id) -> Result<(), String> {
        let registration = self.registrations.iter_mut().find(|it| it.id == id);
        let registration = registration.ok_or("a callback that was never registered")?;
        if registration.removed {
            return Err(format!("callback {id} was called after it was removed"));
        }
        if !registration.served.insert(end) {
            return Err(format!("callback {id} was called twice for {end:?}"));
        }
        let claims = self.ends.get_mut(&end).ok_or("an end that was never told")?;
        if claims.waiting.remove(&Claimant::Registration(id)) {
            claims.served = true;
        }
        Ok(())
    }

    /// A wait of no time on a handle; true if it gave an end.
    pub fn wait(&mut self, handle: u64) -> Result<Option<Id>, String> {
        let found = self.shared.roster.wait(handle, Some(Duration::ZERO));
        let Some(report) = found.map_err(|error| error.text)? else { return Ok(None) };
        let id = report.key.map(id_of).ok_or("a wait gave what is no end")?;
        let claims = self.ends.get_mut(&id).ok_or("a wait gave an end that was never told")?;
        claims.references += 1;
        if claims.waiting.remove(&Claimant::Handle(handle)) {
            claims.served = true;
        }
        self.held.push((id, report));
        Ok(Some(id))
    }

    /// The program releases one of the events that it holds.
    pub fn release(&mut self, chance: &mut Chance) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let (id, report) = self.held.swap_remove(chance.index(self.held.len()));
        drop(report);
        if let Some(claims) = self.ends.get_mut(&id) {
            claims.references -= 1;
        }
        true
    }

    /// The program acknowledges an end that it holds, before everybody has.
    pub fn acknowledge_early(&mut self, chance: &mut Chance) -> Option<Id> {
        if self.held.is_empty() {
            return None;
        }
        let (id, report) = &self.held[chance.index(self.held.len())];
        self.shared.roster.acknowledge(report.key?);
        let claims = self.ends.get_mut(id)?;
        let first = !std::mem::replace(&mut claims.acknowledged, true);
        first.then_some(*id)
    }

    /// The ends that are acknowledged since this was last asked, by the sentences of DESIGN.
    pub fn due(&mut self) -> Vec<Id> {
        let mut due = Vec::new();
        self.open.retain(|id| {
            let claims = self.ends.get_mut(id).expect("it was told");
            let all = claims.served && claims.waiting.is_empty() && claims.references == 0;
            if all && !claims.acknowledged {
                claims.acknowledged = true;
                due.push(*id);
            }
            !claims.acknowledged
        });
        due
    }

    /// What the real ledger has acknowledged.
    pub fn acknowledged(&self) -> Vec<Id> {
        let posts = self.shared.mailbox.take().unwrap_or_default();
        let acknowledged = |post| match post {
            Post::Acknowledge(monitor, job, _) => Some(id_of(Key { monitor, job })),
            _ => None,
        };
        posts.into_iter().filter_map(acknowledged).collect()
    }

    /// The program has taken all there was: nothing may be owed to anybody.
    pub fn check_owed(&self, closed: &[usize]) -> Result<(), String> {
        for registration in self.registrations.iter().filter(|it| !it.removed) {
            for (id, claims) in &self.ends {
                let wants = registration.machine.is_none_or(|it| it == id.0);
                let owed = claims.waiting.contains(&Claimant::Registration(registration.id))
                    && !claims.acknowledged;
                // A monitor that was closed keeps nothing for those who come later.
                if wants && owed && !closed.contains(&id.0) {
                    return Err(format!("callback {} is owed the end of {id:?}", registration.id));
                }
            }
        }
        Ok(())
    }

    /// The same, in the end: all that was given is given back.
    pub fn check_rest(&mut self, closed: &[usize]) -> Result<(), String> {
        self.check_owed(closed)?;
        self.held.clear();
        self.shared.roster.stop();
        self.shared.roster.clear();
        for registration in &self.registrations {
            let frees = registration.freed.load(Relaxed);
            if frees != 1 {
                return Err(format!("callback {} was freed {frees} times", registration.id));
            }
        }
        Ok(())
    }

    /// What is over is no longer known here. The last registration stays, which is for all.
    pub fn forget(&mut self) -> Result<(), String> {
        let last = self.registrations.len().saturating_sub(1);
        for registration in &mut self.registrations[..last] {
            if !registration.removed {
                registration.removed = true;
                let id = registration.id;
                self.shared.remove_callback(id, true).map_err(|error| error.text)?;
            }
        }
        self.registrations[last].served.clear();
        let removed = self.registrations.drain(..last);
        for Registration { id, freed, .. } in removed {
            if freed.load(Relaxed) != 1 {
                return Err(format!("callback {id} was removed and not freed"));
            }
        }
        self.registrations.shrink_to(1);
        let open = self.ends.values().filter(|claims| !claims.acknowledged).count();
        if open > 0 || !self.held.is_empty() {
            return Err(format!("{open} ends are not acknowledged, {} held", self.held.len()));
        }
        self.ends.clear();
        self.open.clear();
        self.held = Vec::new();
        Ok(())
    }

    pub fn registrations(&self) -> usize {
        self.registrations.iter().filter(|it| !it.removed).count()
    }
}

/// As a listener does.
impl Drop for Delivery {
    fn drop(&mut self) {
        self.shared.stop();
        self.shared.roster.clear();
    }
}

fn id_of(key: Key) -> Id {
    let MonitorId(number) = key.monitor;
    (usize::try_from(number - 1).expect("few machines"), key.job)
}

/// Counts when it is dropped.
struct Freed(Arc<AtomicU64>);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}
