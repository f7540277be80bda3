//! Threads for what may take long and comes seldom: looking a host up, and finding out who holds a
//! monitor. They exist only while there is something to do.
//!
//! Of a monitor one errand waits at most: a newer one takes its place, which is never answered. So
//! many are at work at a time; when all are, an errand waits for its turn.

#![forbid(unsafe_code)]

use std::{
    collections::VecDeque,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    dial,
    holder::{self, Whom},
    lock::Mutex,
    thread::{self, Threads},
};
use crate::model::{Code, Error, MonitorId};

/// Something to be found out.
pub trait Errand: Send + 'static {
    type Answer: Send;

    fn monitor(&self) -> MonitorId;

    fn run(&self) -> Self::Answer;

    /// It could not be run.
    fn fail(&self, error: Error) -> Self::Answer;

    /// While one is at work, a second of the same monitor would ask the same.
    const ONE_SERVES_ALL: bool;
}

/// The addresses of a host.
pub struct LookUp {
    pub monitor: MonitorId,
    pub host: String,
    pub port: u16,
}

/// Who holds a monitor that does not answer.
pub struct FindHolder {
    pub monitor: MonitorId,
    /// The attempt to connect that asks.
    pub attempt: u64,
    pub whom: Whom,
}

/// To whom answers are handed over, on the thread that found them. It must not wait.
type Tell<E> = Box<dyn Fn(MonitorId, <E as Errand>::Answer) + Send + Sync>;

pub struct Helpers<E: Errand>(Arc<Shared<E>>);

struct Shared<E: Errand> {
    name: &'static str,
    most: usize,
    state: Mutex<State<E>>,
    threads: Threads,
    tell: Tell<E>,
}

struct State<E> {
    waiting: VecDeque<E>,
    /// Whose errands are at work, one thread each.
    busy: Vec<MonitorId>,
    stopped: bool,
}

impl<E: Errand> Helpers<E> {
    /// At most `most` threads of this name.
    pub fn new(name: &'static str, most: usize, tell: Tell<E>) -> Self {
        let state = State { waiting: VecDeque::new(), busy: Vec::new(), stopped: false };
        Self(Arc::new(Shared {
            name,
            most,
            state: Mutex::new(state),
            threads: Threads::default(),
            tell,
        }))
    }

    /// Never waits; after `stop` it does nothing.
    pub fn submit(&self, errand: E) {
        let monitor = errand.monitor();
        let mut state = self.0.state.lock();
        if state.stopped || E::ONE_SERVES_ALL && state.busy.contains(&monitor) {
            return;
        }
        match state.waiting.iter_mut().find(|other| other.monitor() == monitor) {
            Some(other) => *other = errand,
            None => state.waiting.push_back(errand),
        }
        if state.busy.len() < self.0.most {
            let Some(errand) = state.waiting.pop_front() else { return };
            state.busy.push(errand.monitor());
            drop(state);
            self.start(errand);
        }
    }

    /// What waits is dropped. Answers may still be handed over until `join` has returned.
    pub fn stop(&self) {
        let mut state = self.0.state.lock();
        state.stopped = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    /// Waits for what is at work; to be called after `stop`.
    pub fn join(&self) {
        self.0.threads.join();
    }

    fn start(&self, errand: E) {
        let shared = Arc::clone(&self.0);
        // Handed over by a lock, for an errand that no thread can run is answered here.
        let parcel = Arc::new(Mutex::new(Some(errand)));
        let body = {
            let parcel = Arc::clone(&parcel);
            move || {
                let errand = parcel.lock().take();
                if let Some(errand) = errand {
                    shared.run(errand);
                }
            }
        };
        match thread::spawn(self.0.name, STACK, body) {
            Ok(thread) => self.0.threads.keep(thread),
            Err(error) => {
                let errand = parcel.lock().take();
                if let Some(errand) = errand {
                    self.0.done(errand.monitor());
                    (self.0.tell)(errand.monitor(), errand.fail(error));
                }
            }
        }
    }
}

impl<E: Errand> Shared<E> {
    /// Runs an errand, and then what waits.
    fn run(&self, first: E) {
        let mut next = Some(first);
        while let Some(errand) = next {
            let monitor = errand.monitor();
            let found = catch_unwind(AssertUnwindSafe(|| errand.run()));
            let answer = found.unwrap_or_else(|_| {
                errand.fail(Error::new(Code::Internal, "a fault inside libblockjob"))
            });
            // Before it is told, so that who asks again then is heard.
            next = self.done(monitor);
            (self.tell)(monitor, answer);
        }
    }

    /// One is done; the next one that waits is this thread's.
    fn done(&self, monitor: MonitorId) -> Option<E> {
        let mut state = self.state.lock();
        if let Some(at) = state.busy.iter().position(|busy| *busy == monitor) {
            state.busy.swap_remove(at);
        }
        let next = state.waiting.pop_front()?;
        state.busy.push(next.monitor());
        Some(next)
    }
}

impl Errand for LookUp {
    type Answer = Result<Vec<SocketAddr>, Error>;
    const ONE_SERVES_ALL: bool = true;

    fn monitor(&self) -> MonitorId {
        self.monitor
    }

    fn run(&self) -> Self::Answer {
        dial::look_up(&self.host, self.port)
    }

    fn fail(&self, error: Error) -> Self::Answer {
        Err(error)
    }
}

impl Errand for FindHolder {
    /// The attempt, and who it is, in words.
    type Answer = (u64, Option<String>);
    const ONE_SERVES_ALL: bool = false;

    fn monitor(&self) -> MonitorId {
        self.monitor
    }

    fn run(&self) -> Self::Answer {
        (self.attempt, holder::find(&self.whom))
    }

    fn fail(&self, _: Error) -> Self::Answer {
        (self.attempt, None)
    }
}

/// Modules of the C library that look hosts up are the host's choice, and some are hungry.
const STACK: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Waits until it is let go, and then is its number.
    struct Parcel<const ALL: bool> {
        monitor: u64,
        number: u32,
        begun: Sender<u32>,
        go: Mutex<Receiver<()>>,
    }

    impl<const ALL: bool> Errand for Parcel<ALL> {
        type Answer = Result<u32, Code>;
        const ONE_SERVES_ALL: bool = ALL;

        fn monitor(&self) -> MonitorId {
            MonitorId(self.monitor)
        }

        fn run(&self) -> Self::Answer {
            self.begun.send(self.number).unwrap();
            self.go.lock().recv().unwrap();
            assert_ne!(self.number, 13, "a fault, as this test wants it");
            Ok(self.number)
        }

        fn fail(&self, error: Error) -> Self::Answer {
            Err(error.code)
        }
    }

    struct World<const ALL: bool> {
        helpers: Helpers<Parcel<ALL>>,
        told: Receiver<(u64, Result<u32, Code>)>,
        begun: (Sender<u32>, Receiver<u32>),
    }

    impl<const ALL: bool> World<ALL> {
        fn new(most: usize) -> Self {
            let (tell, told) = channel();
            let tell = Box::new(move |MonitorId(monitor), answer| {
                tell.send((monitor, answer)).unwrap();
            });
            Self { helpers: Helpers::new("blockjob-test", most, tell), told, begun: channel() }
        }

        fn submit(&self, monitor: u64, number: u32) -> Sender<()> {
            let (go, wait) = channel();
            let begun = self.begun.0.clone();
            self.helpers.submit(Parcel { monitor, number, begun, go: Mutex::new(wait) });
            go
        }

        fn begins(&self) -> u32 {
            self.begun.1.recv().unwrap()
        }
    }

    #[test]
    fn what_hangs_keeps_nobody_waiting_until_all_hang() {
        let world = World::<true>::new(2);
        let _hangs = world.submit(1, 10);
        assert_eq!(world.begins(), 10);
        let second = world.submit(2, 20);
        assert_eq!(world.begins(), 20);
        let third = world.submit(3, 30);
        third.send(()).unwrap();
        assert!(world.begun.1.try_recv().is_err(), "it waits for its turn");
        second.send(()).unwrap();
        assert_eq!(world.told.recv().unwrap(), (2, Ok(20)));
        assert_eq!(world.told.recv().unwrap(), (3, Ok(30)));
    }

    #[test]
    fn of_a_monitor_one_waits_and_one_may_serve_all() {
        let world = World::<true>::new(1);
        let first = world.submit(1, 10);
        assert_eq!(world.begins(), 10);
        world.submit(1, 11);
        let _old = world.submit(2, 20);
        let newer = world.submit(2, 21);
        first.send(()).unwrap();
        newer.send(()).unwrap();
        assert_eq!(world.told.recv().unwrap(), (1, Ok(10)));
        assert_eq!(world.told.recv().unwrap(), (2, Ok(21)));
        let world = World::<false>::new(1);
        let first = world.submit(1, 10);
        let second = world.submit(1, 11);
        first.send(()).unwrap();
        second.send(()).unwrap();
        assert_eq!(world.told.recv().unwrap(), (1, Ok(10)));
        assert_eq!(world.told.recv().unwrap(), (1, Ok(11)));
    }

    #[test]
    fn a_fault_is_an_answer_and_after_the_end_there_is_none() {
        let world = World::<true>::new(1);
        world.submit(1, 13).send(()).unwrap();
        assert_eq!(world.told.recv().unwrap(), (1, Err(Code::Internal)));
        let last = world.submit(1, 1);
        assert_eq!(world.begins(), 13);
        assert_eq!(world.begins(), 1);
        world.submit(2, 2);
        world.helpers.stop();
        last.send(()).unwrap();
        world.helpers.join();
        assert_eq!(world.told.try_recv().unwrap(), (1, Ok(1)));
        assert!(world.told.try_recv().is_err());
    }
}
