//! How events come to the program, by its choice: on a thread of ours, which runs its callbacks; on
//! a thread of its own, which does so when its loop finds that there is something; or one by one,
//! without a callback. What is next to be delivered is `queue`'s matter, to whom the roster's.

#![forbid(unsafe_code)]

use std::{
    os::fd::RawFd,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    clock::Clock, lock::Mutex, log::Line, pull::Taken, queue::Next, report::Report, shared::Shared,
    thread, thread::JoinHandle,
};
use crate::model::{Code, Error, Kind, Level, Stat};

/// Who takes events from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// A thread of ours.
    #[default]
    Thread = 1,
    /// The program, which calls [`dispatch`].
    Loop = 2,
    /// The program, which calls [`next_event`].
    Pull = 3,
}

/// The choice, and what follows from it.
#[derive(Debug, Default)]
pub struct Delivery {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    mode: Mode,
    /// Somebody counts on it.
    settled: bool,
    thread: Option<JoinHandle<()>>,
}

impl Delivery {
    /// Chooses, while there is neither a monitor nor a registration.
    pub fn choose(&self, shared: &Shared, mode: Mode) -> Result<(), Error> {
        let mut inner = self.inner.lock();
        shared.mailbox.check()?;
        if inner.settled {
            let text = "a monitor or a callback was made already; choose before the first one";
            return Err(Error::new(Code::Busy, text));
        }
        // A program that pulls may never ask for it, and then nobody rings.
        if mode == Mode::Loop {
            shared.queue.hang_bell()?;
        }
        inner.mode = mode;
        shared.life.pull(mode == Mode::Pull);
        Ok(())
    }

    /// A registration with or without a callback is to be made.
    pub fn settle(&self, has_callback: bool) -> Result<(), Error> {
        let mut inner = self.inner.lock();
        let text = match inner.mode {
            Mode::Pull if has_callback => {
                "callback is not NULL; the listener's events are pulled, so wanted is none"
            }
            Mode::Thread | Mode::Loop if !has_callback => {
                "callback is NULL; wanted a function to call"
            }
            _ => {
                inner.settled = true;
                return Ok(());
            }
        };
        Err(Error::new(Code::Invalid, text))
    }

    /// There is a monitor: if events are delivered on a thread of ours, it is needed now.
    pub fn start(&self, shared: &Arc<Shared>) -> Result<(), Error> {
        let mut inner = self.inner.lock();
        // Under the lock, so that `join`, which comes after the stop, finds every thread.
        shared.mailbox.check()?;
        if inner.mode == Mode::Thread && inner.thread.is_none() {
            let shared = Arc::clone(shared);
            let call = thread::spawn("blockjob-call", CALLER_STACK, move || {
                // Nobody is left to hear of a fault but by the stop.
                let _ = catch_unwind(AssertUnwindSafe(|| or_fail(&shared, || run(&shared))));
            })?;
            inner.thread = Some(call);
        }
        inner.settled = true;
        Ok(())
    }

    /// Waits until our thread has ended; the listener was stopped.
    pub fn join(&self) {
        let thread = self.inner.lock().thread.take();
        // A thread that panicked has ended as well.
        let _ = thread.map(JoinHandle::join);
    }

    /// What the program's loop watches.
    pub fn fd(&self, shared: &Shared) -> Result<RawFd, Error> {
        self.check(&[Mode::Loop, Mode::Pull])?;
        shared.queue.hang_bell()
    }

    fn check(&self, wanted: &[Mode]) -> Result<(), Error> {
        let mode = self.inner.lock().mode;
        if wanted.contains(&mode) {
            return Ok(());
        }
        let text =
            format!("the listener's delivery is {mode:?}; wanted one of {wanted:?} for this");
        Err(Error::new(Code::Invalid, text))
    }
}

/// Delivers. A fault in it, which is our own, since the program's callbacks cannot unwind into
/// this, stops the listener; whoever has called hears of it.
fn or_fail<R>(shared: &Shared, delivers: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(delivers)).unwrap_or_else(|fault| {
        shared.fail();
        resume_unwind(fault)
    })
}

/// Runs until the listener is stopped.
fn run(shared: &Shared) {
    let mut some = Vec::new();
    while shared.queue.pop_some(&mut some).is_ok() {
        for next in some.drain(..) {
            deliver(shared, next);
        }
    }
}

/// Runs the callbacks for at most [`DISPATCH_MAX`] events, on this thread. Returns for how many.
pub fn dispatch(shared: &Shared) -> Result<usize, Error> {
    shared.delivery.check(&[Mode::Loop])?;
    let _waiting = shared.life.wait();
    let _attendance = shared.queue.attend()?;
    Ok(or_fail(shared, || {
        let (mut some, mut count) = (Vec::new(), 0);
        while count < DISPATCH_MAX {
            // Each is one event, or brings along those that somebody had missed.
            shared.queue.try_pop_some(&mut some, DISPATCH_MAX - count);
            if some.is_empty() {
                break;
            }
            count += some.drain(..).map(|next| deliver(shared, next)).sum::<usize>();
        }
        count
    }))
}

/// The next event that somebody has subscribed to; waits for it for at most this long.
pub fn next_event(shared: &Shared, timeout: Option<Duration>) -> Result<Arc<Report>, Error> {
    shared.delivery.check(&[Mode::Pull])?;
    let _waiting = shared.life.wait();
    let _attendance = shared.queue.attend()?;
    // A time beyond the clock's is for ever.
    let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let limit = end.map(|end| end.saturating_duration_since(Instant::now()));
        let Some(next) = shared.queue.pop(limit)? else { break };
        if let Some(report) = or_fail(shared, || give_out(shared, next)) {
            return Ok(report);
        }
    }
    let limit = timeout.unwrap_or_default().as_millis();
    Err(Error::new(Code::TimedOut, format!("no event came within {limit} ms")))
}

/// Runs the callbacks for what is next, on this thread. Returns for how many events.
pub fn deliver(shared: &Shared, mut next: Next) -> usize {
    catch_unwind(AssertUnwindSafe(|| tell(shared, &mut next))).unwrap_or_else(|fault| {
        say_fault(shared, &next);
        resume_unwind(fault)
    })
}

/// The last line of the log; behind it the listener is stopped.
fn say_fault(shared: &Shared, next: &Next) {
    let monitor = match next {
        Next::Report(report) => &report.monitor,
        Next::Log(line) => &line.monitor,
        Next::Late => return,
    };
    let text = "a fault inside libblockjob has stopped the delivery of events; please report it \
                with what is on standard error";
    let line = Line::new(monitor, Level::Error, text, Clock::start().now().wall);
    // It may be the log that has the fault.
    let _ = catch_unwind(AssertUnwindSafe(|| shared.log.deliver(&line)));
}

fn tell(shared: &Shared, next: &mut Next) -> usize {
    match next {
        Next::Report(report) if report.reply.is_some() => {
            // It may have been taken from the queue before the stop.
            if !shared.roster.is_stopped() {
                shared.roster.replies.deliver(report);
            }
            1
        }
        Next::Log(line) => {
            shared.log.deliver(line);
            1
        }
        Next::Late => {
            let told = shared.roster.deliver_late();
            if told {
                // One at a time; there may be more.
                shared.queue.nudge();
            }
            usize::from(told)
        }
        Next::Report(report) => {
            taken(report);
            let count = shared.roster.deliver(report);
            finish(shared, report);
            count
        }
    }
}

/// What is next as an event for a program that pulls; `None` when nobody has subscribed to it.
pub fn give_out(shared: &Shared, next: Next) -> Option<Arc<Report>> {
    match next {
        Next::Log(line) => Some(line.report()),
        Next::Report(report) if report.reply.is_some() => {
            shared.roster.replies.deliver(&report);
            Some(report)
        }
        Next::Late => {
            let report = shared.roster.take_late()?;
            shared.queue.nudge();
            Some(report)
        }
        Next::Report(report) => match shared.roster.take(&report) {
            Taken::Wanted => {
                taken(&report);
                finish(shared, &report);
                Some(report)
            }
            Taken::Unwanted => {
                taken(&report);
                finish(shared, &report);
                None
            }
            Taken::TooEarly => {
                shared.queue.put_back(Next::Report(report));
                None
            }
        },
    }
}

/// It waits no more.
fn taken(report: &Report) {
    report.monitor.statistics().change(Stat::Queued, -1);
}

/// Everybody was told. CLOSED is the last event of a monitor.
fn finish(shared: &Shared, report: &Report) {
    if report.event.kind == Kind::Closed {
        shared.roster.retire(&report.monitor);
    }
}

/// So many events a call, that the program's loop comes to its other matters.
const DISPATCH_MAX: usize = 64;
/// The program's code runs here.
const CALLER_STACK: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{Callback, Filter, Monitor},
        model::{Event, Kinds, Word},
        qmp::jobs::End,
    };

    /// A listener without a reader, whose program pulls: the test reads.
    struct World {
        shared: Shared,
        monitor: Arc<Monitor>,
        jobs: u64,
    }

    impl World {
        fn new() -> Self {
            let shared = Shared::new().unwrap();
            shared.delivery.choose(&shared, Mode::Pull).unwrap();
            let monitor = Arc::new(shared.monitor("unix:/nowhere").unwrap());
            Self { shared, monitor, jobs: 0 }
        }

        /// The end of a job comes to the queue.
        fn ends(&mut self, id: &str) {
            self.jobs += 1;
            let (tick, ()) = self.shared.roster.tick(|| {});
            let mut event = Event::new(Kind::Completed, "BLOCK_JOB_COMPLETED", None, 0);
            event.set(Word::JobId, id);
            let end = End { job: self.jobs, handles: Vec::new(), was_hope: false, event };
            let report = self.shared.roster.intake().take_end(&self.monitor, end, tick);
            assert!(self.shared.queue.push(report).is_empty());
        }

        /// A subscription to all ends, of which delivery is not told yet.
        fn subscribe(&self) -> (i64, bool) {
            let kinds = Kinds::all();
            let filter = Filter { monitor: None, job: None, kinds, name: None, observes: false };
            let never: Callback = Arc::new(|_, _| panic!("it is a subscription"));
            self.shared.roster.add(filter, None, never).unwrap()
        }

        fn pull(&self) -> Result<String, Code> {
            let event = next_event(&self.shared, Some(Duration::ZERO)).map_err(|e| e.code)?;
            Ok(event.event.text(Word::JobId).unwrap_or_default().to_owned())
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            self.shared.stop();
            self.shared.roster.clear();
        }
    }

    #[test]
    fn what_a_subscription_has_missed_comes_first_before_delivery_is_told_of_it() {
        let mut world = World::new();
        world.ends("1");
        world.ends("2");
        assert_eq!(world.pull(), Err(Code::TimedOut));
        let (_, missed) = world.subscribe();
        assert!(missed);
        world.ends("3");
        for id in ["1", "2", "3"] {
            assert_eq!(world.pull().as_deref(), Ok(id));
        }
        world.shared.queue.nudge();
        assert_eq!(world.pull(), Err(Code::TimedOut));
    }

    #[test]
    fn what_was_put_back_is_not_lost_when_who_missed_something_has_left() {
        let mut world = World::new();
        world.subscribe();
        world.ends("1");
        let next = world.shared.queue.try_pop().unwrap();
        world.shared.queue.put_back(next);
        world.ends("2");
        assert_eq!(world.pull().as_deref(), Ok("1"));
        assert_eq!(world.pull().as_deref(), Ok("2"));
    }

    #[test]
    fn what_was_put_back_goes_with_the_stop() {
        let mut world = World::new();
        world.subscribe();
        world.ends("1");
        let next = world.shared.queue.try_pop().unwrap();
        world.shared.stop();
        world.shared.queue.put_back(next);
        assert!(world.shared.queue.try_pop().is_none());
        assert_eq!(world.pull(), Err(Code::Shutdown));
    }

    #[test]
    fn one_thread_at_a_time_attends_to_the_queue() {
        let world = World::new();
        let attendance = world.shared.queue.attend().unwrap();
        assert_eq!(world.pull(), Err(Code::Deadlock));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| world.pull());
            assert_eq!(other.join().unwrap(), Err(Code::Busy));
        });
        drop(attendance);
        assert_eq!(world.pull(), Err(Code::TimedOut));
    }

    #[test]
    fn nothing_is_said_of_a_time_that_no_clock_reaches() {
        let mut world = World::new();
        world.subscribe();
        world.ends("1");
        assert!(next_event(&world.shared, Some(Duration::MAX)).is_ok());
    }

    #[test]
    fn a_descriptor_that_is_asked_for_late_is_ready_for_what_waits() {
        let mut world = World::new();
        world.subscribe();
        world.ends("1");
        let fd = world.shared.delivery.fd(&world.shared).unwrap();
        let mut poll = mio::Poll::new().unwrap();
        let mut ready = mio::Events::with_capacity(1);
        let token = mio::Token(0);
        let source = &mut mio::unix::SourceFd(&fd);
        poll.registry().register(source, token, mio::Interest::READABLE).unwrap();
        poll.poll(&mut ready, Some(Duration::ZERO)).unwrap();
        assert_eq!(ready.iter().count(), 1);
        assert_eq!(world.pull().as_deref(), Ok("1"));
        assert_eq!(world.shared.delivery.fd(&world.shared), Ok(fd));
    }
}
