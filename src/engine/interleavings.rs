//! The engine's threads in every order, or many thousand of them: what two threads share runs on
//! shuttle's locks here (see `lock`), and each story is told again and again with another order.
//! Nobody may wait for ever, and what is promised must hold in each. `make check-shuttle`; the
//! schedule that it prints for a failure tells that story again by `shuttle::replay`.
//!
//! There is no reader: threads of the stories do its part.

#![forbid(unsafe_code)]

use std::{
    env, fs,
    os::fd::{AsRawFd as _, RawFd},
    sync::Arc,
    time::Duration,
};

use super::{
    delivery::{self, Mode},
    inside,
    job::{Job, Purpose},
    lock::{
        Condvar, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        thread::{self, JoinHandle},
    },
    log::Line,
    mailbox::Mailbox,
    monitor::{Monitor, Post},
    report::Report,
    roster::{Callback, Filter, Removed},
    shared::Shared,
    ticket::{Ticket, ticket},
};
use crate::{
    model::{Code, Event, Kind, Kinds, Level, Timestamp, Word},
    qmp::jobs::End,
};

/// Tells a story in many orders: by chance, and with few changes of threads at the worst moments.
fn tell(story: impl Fn() + Send + Sync + Clone + 'static) {
    let orders = env::var("ORDERS").ok().and_then(|orders| orders.parse().ok()).unwrap_or(2000);
    shuttle::check_random(story.clone(), orders);
    shuttle::check_pct(story, orders, 3);
}

/// A listener without a reader.
#[derive(Clone)]
struct World {
    shared: Arc<Shared>,
    monitor: Arc<Monitor>,
    callbacks: Arc<Callbacks>,
}

/// What has become of the program's callbacks.
#[derive(Debug, Default)]
struct Callbacks {
    running: AtomicUsize,
    freed: AtomicUsize,
    heard: Mutex<Vec<String>>,
    more: Condvar,
}

/// What a program gave along with a callback.
struct Opaque(Arc<Callbacks>);

impl World {
    fn new(mode: Mode) -> Self {
        let shared = Arc::new(Shared::new().unwrap());
        shared.delivery.choose(&shared, mode).unwrap();
        let monitor = shared.new_monitor("unix:/nowhere").unwrap();
        Self { shared, monitor, callbacks: Arc::default() }
    }

    fn spawn<T: Send + 'static>(
        &self,
        part: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let world = self.clone();
        thread::spawn(move || part(&world))
    }

    /// A registration for all events, whose callback does this.
    fn register(
        &self,
        observes: bool,
        act: impl Fn(&Shared, i64) + Send + Sync + 'static,
    ) -> Result<i64, Code> {
        let (opaque, shared) = (Opaque(Arc::clone(&self.callbacks)), Arc::clone(&self.shared));
        let callback: Callback = Arc::new(move |id, report| {
            opaque.run(|| {
                opaque.0.hear(format!("{id}: {}", job_of(report)));
                act(&shared, id);
            });
        });
        self.add(observes, callback)
    }

    /// One without a callback.
    fn subscribe(&self) {
        self.add(false, Arc::new(|_, _| panic!("it is a subscription"))).unwrap();
    }

    fn add(&self, observes: bool, callback: Callback) -> Result<i64, Code> {
        let kinds = Kinds::all();
        let filter = Filter { monitor: None, job: None, kinds, name: None, observes };
        self.shared.add_callback(filter, None, callback).map_err(|error| error.code)
    }

    /// The reader reads a job's end.
    fn read_end(&self, job: u64, handles: &[u64]) {
        let (tick, ()) = self.shared.roster.tick(thread::yield_now);
        let mut event = Event::new(Kind::Completed, "BLOCK_JOB_COMPLETED", None, 0);
        event.set(Word::JobId, &job.to_string());
        let end = End { job, handles: handles.to_vec(), was_hope: false, event };
        let report = self.shared.roster.intake().take_end(&self.monitor, end, tick);
        assert!(self.shared.queue.push(report).is_empty());
    }

    /// How many ends the reader was asked to dismiss.
    fn acknowledged(&self) -> usize {
        let posts = self.shared.mailbox.take().unwrap();
        posts.iter().filter(|post| matches!(post, Post::Acknowledge(..))).count()
    }

    /// The end of a listener, but for its reader.
    fn end(&self) {
        self.shared.stop();
        self.shared.delivery.join();
        self.shared.life.wait_for_quiet();
        self.shared.roster.clear();
        self.shared.log.clear();
    }

    fn pull(&self, timeout: Option<Duration>) -> Result<String, Code> {
        let event = delivery::next_event(&self.shared, timeout).map_err(|error| error.code)?;
        Ok(job_of(&event))
    }
}

impl Callbacks {
    fn hear(&self, what: String) {
        self.heard.lock().push(what);
        self.more.notify_all();
    }

    /// Waits until so much was heard. Returns it, sorted.
    fn heard(&self, count: usize) -> Vec<String> {
        let heard = self.more.wait_while(self.heard.lock(), |heard| heard.len() < count);
        let mut heard = heard.clone();
        heard.sort();
        heard
    }

    /// None runs, and so many were freed.
    fn assert_over(&self, freed: usize) {
        assert_eq!((self.running.load(SeqCst), self.freed.load(SeqCst)), (0, freed));
    }
}

impl Opaque {
    fn run(&self, act: impl FnOnce()) {
        let _inside = inside::enter();
        self.0.running.fetch_add(1, SeqCst);
        act();
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Drop for Opaque {
    fn drop(&mut self) {
        let _inside = inside::enter();
        thread::yield_now();
        self.0.freed.fetch_add(1, SeqCst);
    }
}

fn job_of(report: &Report) -> String {
    report.event.text(Word::JobId).unwrap_or("-").to_owned()
}

/// Does a loop that watches this descriptor find it readable?
fn rings(fd: RawFd) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let count = info.lines().find_map(|line| line.strip_prefix("eventfd-count:")).unwrap();
    count.trim() != "0"
}

/// Ends at any moment.
const SOME_TIME: Option<Duration> = Some(Duration::from_millis(1));

#[cfg(test)]
mod stories {
    use super::*;

    #[test]
    fn a_ticket_is_answered_whatever_becomes_of_it() {
        tell(|| {
            for (is_answered, timeout) in
                [(true, None), (false, None), (true, SOME_TIME), (false, SOME_TIME)]
            {
                let (ticket, stub) = ticket();
                let reader = thread::spawn(move || {
                    if is_answered {
                        ticket.answer(Ok(()));
                    }
                });
                let answer = stub.wait(timeout).map(|answer| answer.map_err(|error| error.code));
                let wanted = if is_answered { Ok(()) } else { Err(Code::Shutdown) };
                assert!(answer == Some(wanted) || (answer.is_none() && timeout.is_some()));
                reader.join().unwrap();
            }
        });
    }

    #[test]
    fn whoever_posts_is_answered_though_the_listener_stops() {
        tell(|| {
            let mailbox = Arc::new(Mailbox::<Ticket>::new().unwrap());
            let posts = Arc::clone(&mailbox);
            let reader = thread::spawn(move || {
                while let Some(tickets) = posts.take() {
                    tickets.into_iter().for_each(|ticket| ticket.answer(Ok(())));
                    thread::yield_now();
                }
            });
            let call = |mailbox: Arc<Mailbox<Ticket>>| {
                let (ticket, stub) = ticket();
                mailbox.post(ticket).map_err(|error| error.code)?;
                stub.wait(None).expect("it waits for ever").map_err(|error| error.code)
            };
            let callers = [(); 2].map(|()| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || call(mailbox))
            });
            mailbox.stop();
            for caller in callers {
                assert!(matches!(caller.join().unwrap(), Ok(()) | Err(Code::Shutdown)));
            }
            reader.join().unwrap();
            assert_eq!(call(mailbox), Err(Code::Shutdown));
        });
    }

    #[test]
    fn whoever_posts_while_the_reader_falls_asleep_wakes_it() {
        tell(|| {
            let mailbox = Arc::new(Mailbox::new().unwrap());
            let posts = Arc::clone(&mailbox);
            let reader = thread::spawn(move || {
                let dozes = posts.doze();
                // Where it sleeps it is woken by the descriptor; else it takes what there is.
                (!dozes).then(|| posts.take().unwrap().len())
            });
            let callers = [(); 2].map(|()| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || mailbox.post(()).unwrap())
            });
            callers.into_iter().for_each(|caller| caller.join().unwrap());
            let taken = reader.join().unwrap();
            let left = mailbox.take().unwrap().len();
            assert_eq!(taken.unwrap_or_default() + left, 2);
            assert!(taken != Some(0), "it stayed awake for nothing");
            assert_eq!(rings(mailbox.wake().as_raw_fd()), taken.is_none(), "it was woken");
        });
    }

    #[test]
    fn each_registration_is_told_each_end_once_and_in_order_whenever_it_comes() {
        tell(|| {
            let world = World::new(Mode::Thread);
            // It claims nothing, so all is kept for the other one.
            world.register(true, |_, _| {}).unwrap();
            let reader = world.spawn(|world| [1, 2].map(|job| world.read_end(job, &[])));
            let program = world.spawn(|world| world.register(false, |_, _| {}).unwrap());
            assert_eq!(world.callbacks.heard(4), ["1: 1", "1: 2", "2: 1", "2: 2"]);
            let later = |id: &str| {
                let heard = world.callbacks.heard.lock();
                let at = |job| heard.iter().position(|what| *what == format!("{id}: {job}"));
                at(1) < at(2)
            };
            assert!(later("1") && later("2"));
            let mut acknowledged = 0;
            while acknowledged < 2 {
                acknowledged += world.acknowledged();
                thread::yield_now();
            }
            program.join().unwrap();
            reader.join().unwrap();
            world.end();
            assert_eq!(acknowledged, 2);
            assert_eq!(world.callbacks.heard(4).len(), 4);
            world.callbacks.assert_over(2);
        });
    }

    #[test]
    fn who_registers_when_all_was_delivered_is_told_as_well() {
        tell(|| {
            let world = World::new(Mode::Thread);
            world.register(true, |_, _| {}).unwrap();
            world.read_end(1, &[]);
            world.callbacks.heard(1);
            world.register(false, |_, _| {}).unwrap();
            assert_eq!(world.callbacks.heard(2), ["1: 1", "2: 1"]);
            world.end();
            world.callbacks.assert_over(2);
        });
    }

    #[test]
    fn what_is_read_after_a_registration_is_told() {
        tell(|| {
            let world = World::new(Mode::Thread);
            let registered = Arc::new(AtomicUsize::new(0));
            let known = Arc::clone(&registered);
            let reader = world.spawn(move |world| {
                let (tick, seen) = world.shared.roster.tick(|| known.load(SeqCst));
                let event = Event::new(Kind::Ready, "BLOCK_JOB_READY", None, 0);
                let report = Report::new(Arc::clone(&world.monitor), event, tick);
                assert!(world.shared.queue.push(vec![report]).is_empty());
                seen
            });
            world.register(false, |_, _| {}).unwrap();
            registered.store(1, SeqCst);
            // What QEMU sent before may be told as well.
            assert!(world.callbacks.heard(reader.join().unwrap()).len() <= 1);
            world.end();
            world.callbacks.assert_over(1);
        });
    }

    #[test]
    fn after_a_removal_nothing_runs_and_all_is_freed() {
        tell(|| {
            let world = World::new(Mode::Thread);
            let id = world.register(false, |_, _| thread::yield_now()).unwrap();
            let reader = world.spawn(|world| [1, 2].map(|job| world.read_end(job, &[])));
            let remove = move |world: &World| {
                let removed = world.shared.remove_callback(id, true).map_err(|error| error.code);
                assert!(matches!(removed, Ok(Removed::Now) | Err(Code::NotFound)));
                world.callbacks.assert_over(1);
            };
            let other = world.spawn(remove);
            remove(&world);
            other.join().unwrap();
            reader.join().unwrap();
            world.end();
            world.callbacks.assert_over(1);
        });
    }

    #[test]
    fn a_callback_may_remove_itself_while_another_thread_does() {
        tell(|| {
            let world = World::new(Mode::Thread);
            let removes = |shared: &Shared, id: i64| {
                let removed = shared.remove_callback(id, true).map_err(|error| error.code);
                assert!(matches!(removed, Ok(Removed::Now) | Err(Code::NotFound)));
            };
            let id = world.register(false, removes).unwrap();
            let reader = world.spawn(|world| [1, 2].map(|job| world.read_end(job, &[])));
            let _ = world.shared.remove_callback(id, true);
            world.callbacks.assert_over(1);
            reader.join().unwrap();
            world.end();
            assert!(world.callbacks.heard(0).len() <= 1);
        });
    }

    #[test]
    fn who_waits_for_a_job_is_told_its_end_or_that_the_time_is_over() {
        tell(|| {
            for timeout in [None, SOME_TIME] {
                let world = World::new(Mode::Thread);
                world.shared.roster.open_handle(7).unwrap();
                let reader = world.spawn(|world| world.read_end(1, &[7]));
                let told = world.shared.roster.wait(7, timeout).unwrap();
                assert!(told.is_some() || timeout.is_some());
                let is_taken = usize::from(told.is_some());
                drop(told);
                world.shared.roster.close_handle(7);
                reader.join().unwrap();
                let mut acknowledged = 0;
                while acknowledged < is_taken {
                    acknowledged += world.acknowledged();
                    thread::yield_now();
                }
                acknowledged += world.acknowledged();
                assert_eq!(acknowledged, is_taken);
                world.end();
            }
        });
    }

    #[test]
    fn a_stop_ends_every_wait() {
        tell(|| {
            let world = World::new(Mode::Pull);
            world.shared.roster.open_handle(7).unwrap();
            let waits = [
                world.spawn(|world| {
                    let _waiting = world.shared.life.wait();
                    world.shared.roster.wait(7, None).map(drop).map_err(|error| error.code)
                }),
                world.spawn(|world| world.pull(None).map(drop)),
                world.spawn(|world| {
                    let job = Job::new(&world.monitor, Some("job"), Purpose::default());
                    job.map(drop).map_err(|error| error.code)
                }),
            ];
            world.end();
            for wait in waits {
                assert_eq!(wait.join().unwrap(), Err(Code::Shutdown));
            }
        });
    }

    #[test]
    fn who_pulls_is_given_each_event_once() {
        tell(|| {
            let world = World::new(Mode::Pull);
            world.subscribe();
            let reader = world.spawn(|world| [1, 2].map(|job| world.read_end(job, &[])));
            let other = world.spawn(World::subscribe);
            let pullers = [None, SOME_TIME].map(|timeout| {
                world.spawn(move |world| {
                    loop {
                        match world.pull(timeout) {
                            Ok(job) => world.callbacks.hear(job),
                            Err(Code::Busy | Code::TimedOut) => thread::yield_now(),
                            Err(Code::Shutdown) => break,
                            Err(code) => panic!("{code:?}"),
                        }
                    }
                })
            });
            world.callbacks.heard(2);
            reader.join().unwrap();
            other.join().unwrap();
            let mut acknowledged = 0;
            while acknowledged < 2 {
                acknowledged += world.acknowledged();
                thread::yield_now();
            }
            world.end();
            for puller in pullers {
                puller.join().unwrap();
            }
            assert_eq!(world.callbacks.heard(2), ["1", "2"]);
        });
    }

    #[test]
    fn the_bell_rings_while_something_is_left() {
        tell(|| {
            let world = World::new(Mode::Loop);
            world.register(false, |_, _| {}).unwrap();
            let bell = world.shared.delivery.fd(&world.shared).unwrap();
            let reader = world.spawn(|world| [1, 2].map(|job| world.read_end(job, &[])));
            while world.callbacks.heard(0).len() < 2 {
                if rings(bell) {
                    delivery::dispatch(&world.shared).unwrap();
                }
                thread::yield_now();
            }
            reader.join().unwrap();
            world.end();
            assert!(rings(bell), "a loop that waits is woken by the stop");
            world.callbacks.assert_over(1);
        });
    }

    #[test]
    fn a_log_function_that_was_replaced_does_not_run_any_more() {
        tell(|| {
            let world = World::new(Mode::Thread);
            let opaque = Opaque(Arc::clone(&world.callbacks));
            let sink = move |_: &Line| opaque.run(thread::yield_now);
            world.shared.set_log(Some(Level::Debug), Some(Box::new(sink))).unwrap();
            let reader = world.spawn(|world| {
                let at = Timestamp { seconds: 0, microseconds: 0 };
                for text in ["one", "two"] {
                    world.shared.say(&world.monitor, Level::Info, text, at);
                }
            });
            assert_eq!(world.shared.set_log(None, None).unwrap(), Removed::Now);
            world.callbacks.assert_over(1);
            reader.join().unwrap();
            world.end();
        });
    }

    #[test]
    fn the_end_of_a_listener_waits_for_what_runs_and_frees_all_once() {
        tell(|| {
            let world = World::new(Mode::Thread);
            world.register(false, |_, _| thread::yield_now()).unwrap();
            let reader = world.spawn(|world| [1, 2].map(|job| world.read_end(job, &[])));
            let program = world.spawn(|world| world.register(false, |_, _| {}).map(drop));
            world.end();
            assert_eq!(world.callbacks.running.load(SeqCst), 0);
            assert!(matches!(program.join().unwrap(), Ok(()) | Err(Code::Shutdown)));
            reader.join().unwrap();
            world.callbacks.assert_over(2);
        });
    }
}
