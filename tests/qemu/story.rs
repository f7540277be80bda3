//! One QEMU, one listener and all that the listener tells of it, from CONNECTED to CLOSED.

use std::ffi::c_int;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use serde_json::{Value, json};

use crate::client::{Event, Listener, Monitor, number};
use crate::expected::assert_told;
use crate::machine::{Host, Layout, Machine};
use crate::{DEADLINE, eventually};

/// The name of the monitor in each event of a story.
pub const MONITOR: &str = "vm1";

/// The job of a story that has one.
pub const JOB: &str = "job0";

/// A rate, in bytes per second, that holds no job of these tests up.
pub const SPEED: i64 = 1 << 30;

/// The rate that holds a job after the first piece it copies, for longer than any test lasts.
pub const STANDSTILL: i64 = 1;

pub struct Story {
    pub machine: Machine,
    pub monitor: Monitor,
    pub told: Told,
    _listener: Listener,
}

impl Story {
    /// Starts a QEMU and connects to it, with a callback for every kind of event.
    pub fn begin(host: Host) -> Self {
        Self::begin_with(host, Layout::Plain)
    }

    pub fn begin_with(host: Host, layout: Layout) -> Self {
        Self::begin_on(Machine::start_with(host, layout), |_| {})
    }

    /// With a monitor that is set otherwise before it connects.
    pub fn begin_set(host: Host, set: impl Fn(&Monitor)) -> Self {
        Self::begin_on(Machine::start(host), set)
    }

    fn begin_on(machine: Machine, set: impl Fn(&Monitor)) -> Self {
        let listener = Listener::new();
        let monitor = listener.monitor(MONITOR, &machine.library_socket());
        set(&monitor);
        let mut told = Told::from(listener.events(Some(&monitor)));
        monitor.connect();
        told.until("CONNECTED", |event| event.kind == number::CONNECTED);
        Self { machine, monitor, told, _listener: listener }
    }

    /// Starts the job of this story.
    pub fn start(&mut self, command: &str, mut arguments: Value) {
        arguments["job-id"] = json!(JOB);
        self.machine.execute(command, &arguments);
    }

    /// Tells QEMU what to do with the job of this story.
    pub fn steer(&mut self, command: &str) {
        self.machine.execute(command, &json!({"device": JOB}));
    }

    /// Waits until the job has copied something.
    pub fn until_progress(&mut self) {
        eventually("the job makes progress", || {
            let jobs = self.machine.execute("query-jobs", &json!({}));
            let job = jobs.as_array()?.iter().find(|job| job["id"] == JOB)?;
            (job["current-progress"].as_i64()? > 0).then_some(())
        });
    }

    /// The first event of this kind, of the job of this story.
    pub fn until_kind(&mut self, kind: c_int) -> Event {
        self.told.until(&format!("an event of kind {kind:#06x}"), |event| {
            event.kind == kind && event.job_id.as_deref() == Some(JOB)
        })
    }

    /// The final event of a job, once QEMU has forgotten the job.
    pub fn end_of(&mut self, job_id: &str) -> Event {
        self.told.until_status(MONITOR, job_id, "null");
        let ends: Vec<_> =
            self.told.ends().filter(|end| end.job_id.as_deref() == Some(job_id)).collect();
        assert_eq!(ends.len(), 1, "{job_id} should have ended once: {ends:#?}");
        ends[0].clone()
    }

    /// Closes the monitor, and compares everything that was told with what QEMU wrote.
    pub fn close(mut self) -> Told {
        // With this reply the tests' own client has every event of jobs that are gone. What
        // the library was sent as well may still be on its way.
        let jobs = self.machine.execute("query-jobs", &json!({}));
        assert_eq!(jobs, json!([]), "a story ends when its jobs have");
        let seen = self.machine.qmp().events().iter();
        let forgotten = seen.filter(|seen| seen.value["data"]["status"] == "null").count();
        self.told.until_many(forgotten, |event| event.status_name.as_deref() == Some("null"));
        self.close_as_it_is()
    }

    /// The same, of a QEMU that is gone or about to go.
    pub fn close_after_qemu(mut self) -> Told {
        self.machine.qmp().read_to_end();
        self.told.until("DISCONNECTED", |event| event.kind == number::DISCONNECTED);
        self.close_as_it_is()
    }

    fn close_as_it_is(mut self) -> Told {
        self.monitor.close();
        self.told.until("CLOSED", |event| event.kind == number::CLOSED);
        assert_eq!(
            self.told.events.recv_timeout(DEADLINE),
            Err(RecvTimeoutError::Disconnected),
            "CLOSED is the last event, and the registration is freed after it"
        );
        assert_eq!(self.monitor.state(), number::STATE_CLOSED);
        // No real QEMU says what the library would pass over.
        assert_eq!(self.monitor.stat(number::STAT_MALFORMED), 0);
        assert_eq!(self.monitor.stat(number::STAT_LINES_TOO_LONG), 0);
        let qemus = |event: &&Event| event.json.is_some() && event.kind != number::CONNECTED;
        let told = self.told.so_far.iter().filter(qemus).count();
        assert_eq!(self.monitor.stat(number::STAT_JOB_EVENTS), i64::try_from(told).unwrap());
        assert!(
            self.monitor.stat(number::STAT_EVENTS) >= self.monitor.stat(number::STAT_JOB_EVENTS)
        );

        let connected = &self.told.so_far[0];
        assert_eq!(connected.kind, number::CONNECTED);
        assert_eq!(connected.json.as_deref(), Some(self.machine.qmp().greeting()));
        assert_told(&self.told.so_far, MONITOR, self.machine.qmp().events());
        self.told
    }
}

/// What a callback was told, kept so that a story can look back as well as wait.
pub struct Told {
    /// Oldest first.
    pub so_far: Vec<Event>,
    events: Receiver<Event>,
}

impl From<Receiver<Event>> for Told {
    fn from(events: Receiver<Event>) -> Self {
        Self { so_far: Vec::new(), events }
    }
}

impl Told {
    /// The first event that is `wanted`, told already or yet to come.
    pub fn until(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut known = 0;
        loop {
            if let Some(event) = self.so_far[known..].iter().find(|event| wanted(event)) {
                return event.clone();
            }
            known = self.so_far.len();
            let event = self.events.recv_timeout(DEADLINE);
            self.so_far.push(event.unwrap_or_else(|error| {
                panic!("{what} was not told, {error}, after {:#?}", self.so_far)
            }));
        }
    }

    /// What was told by now.
    pub fn drain(&mut self) -> &[Event] {
        self.so_far.extend(self.events.try_iter());
        &self.so_far
    }

    /// So many events that are `wanted`, told already or yet to come.
    pub fn until_many(&mut self, many: usize, wanted: impl Fn(&Event) -> bool) {
        while self.so_far.iter().filter(|event| wanted(event)).count() < many {
            let event = self.events.recv_timeout(DEADLINE);
            self.so_far.push(event.unwrap_or_else(|error| {
                panic!("{many} events were not told, {error}, but {:#?}", self.so_far)
            }));
        }
    }

    pub fn until_status(&mut self, monitor: &str, job_id: &str, status: &str) {
        self.until(&format!("{job_id} of {monitor} {status}"), |event| {
            event.monitor == monitor
                && event.job_id.as_deref() == Some(job_id)
                && event.status_name.as_deref() == Some(status)
        });
    }

    pub fn has_kind(&self, kind: c_int) -> bool {
        self.so_far.iter().any(|event| event.kind == kind)
    }

    /// Everything after which nothing more is told of a job.
    pub fn finals(&self) -> impl Iterator<Item = &Event> {
        self.so_far.iter().filter(|event| event.kind & number::FINAL != 0)
    }

    /// Everything that says how a job ended.
    pub fn ends(&self) -> impl Iterator<Item = &Event> {
        self.so_far.iter().filter(|event| event.outcome != number::OUTCOME_UNKNOWN)
    }
}
