//! The library under test as a value: the real hub with its sessions and trackers, without the
//! reader's sockets. What it wants of the world outside comes out as a list.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use blockjob::{
    model::{Code, Error, Event, Identity, MonitorId, Now, Settings, State, Timestamp},
    qmp::{
        act::Act,
        control::Control,
        hub::Hub,
        jobs::{End, Watch},
        journal::{Findings, Request},
        session,
    },
};

/// How each ticket was answered; `None`: not yet.
pub type Book = Rc<RefCell<BTreeMap<u64, Option<Result<(), Error>>>>>;

#[derive(Debug)]
pub struct Ticket {
    number: u64,
    book: Book,
}

impl session::Ticket for Ticket {
    type Listing = ();
    type Luggage = ();

    fn is_void(&self) -> bool {
        false
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let error = Error::new(Code::Shutdown, "dropped");
        self.book.borrow_mut().entry(self.number).or_default().get_or_insert(Err(error));
    }
}

/// What the world outside is asked for, by machine.
#[derive(Debug)]
pub enum Out {
    Connect,
    Send(Vec<u8>),
    Disconnect,
    Read(Request),
    Stands(State),
    Tell(Event),
    End(End),
    Attach { handle: u64, job: u64 },
}

pub struct Library {
    hub: Hub<Ticket>,
    pub book: Book,
    tickets: u64,
    purposes: Vec<(u64, &'static str)>,
    /// What was answered twice: nothing ever.
    pub answered_twice: Vec<u64>,
}

impl Library {
    pub fn new(nonce: &str, machines: usize, settings: impl Fn(usize) -> Settings) -> Self {
        let mut hub = Hub::new(nonce.to_owned());
        for machine in 0..machines {
            hub.add(id(machine), || settings(machine).into());
        }
        Self {
            hub,
            book: Book::default(),
            tickets: 0,
            purposes: Vec::new(),
            answered_twice: Vec::new(),
        }
    }

    pub fn start(&mut self, machine: usize, now_us: u64) {
        self.hub.start(id(machine), None, now(now_us));
    }

    pub fn close(&mut self, machine: usize, now_us: u64) {
        self.hub.close(id(machine), "the program closed the monitor", now(now_us));
    }

    pub fn connected(&mut self, machine: usize, identity: Option<Identity>, now_us: u64) {
        self.hub.handle_connected(id(machine), identity, now(now_us));
    }

    pub fn bytes(&mut self, machine: usize, bytes: &[u8], now_us: u64) {
        self.hub.handle_bytes(id(machine), bytes, now(now_us));
    }

    pub fn ended(&mut self, machine: usize, refused: bool, now_us: u64) {
        let error = if refused {
            Error::new(Code::Os(111), "nobody listens")
        } else {
            Error::new(Code::Reset, "QEMU closed the connection")
        };
        self.hub.handle_end(id(machine), &error, now(now_us));
    }

    pub fn process_ended(&mut self, machine: usize, now_us: u64) {
        self.hub.handle_process_end(id(machine), now(now_us));
    }

    pub fn findings(&mut self, machine: usize, findings: Findings, now_us: u64) {
        self.hub.handle_findings(id(machine), findings, now(now_us));
    }

    pub fn timeouts(&mut self, now_us: u64) {
        self.hub.handle_timeouts(now(now_us));
    }

    /// When something is due, in microseconds.
    pub fn deadline_us(&self) -> Option<u64> {
        let micros = |at: Duration| u64::try_from(at.as_micros()).expect("a storm is short");
        self.hub.deadline().map(micros)
    }

    pub fn watch(&mut self, machine: usize, watch: &Watch, now_us: u64) -> u64 {
        let ticket = self.ticket("watch");
        let number = ticket.number;
        self.hub.watch(id(machine), watch, ticket, now(now_us));
        number
    }

    pub fn unwatch(&mut self, machine: usize, handle: u64) {
        self.hub.unwatch(id(machine), handle);
    }

    pub fn start_job(
        &mut self,
        machine: usize,
        handle: u64,
        command: &str,
        arguments: &str,
        now_us: u64,
    ) -> u64 {
        let ticket = self.ticket("start");
        let number = ticket.number;
        self.hub.start_job(id(machine), handle, command, arguments, ticket, now(now_us));
        number
    }

    pub fn leave_start(&mut self, machine: usize, handle: u64, now_us: u64) {
        self.hub.leave_start(id(machine), handle, now(now_us));
    }

    pub fn ask_job(&mut self, machine: usize, handle: u64, control: Control) -> u64 {
        let ticket = self.ticket("ask");
        let number = ticket.number;
        self.hub.ask_job(id(machine), handle, control, ticket);
        number
    }

    pub fn acknowledge(&mut self, machine: usize, job: u64, early: bool, now_us: u64) {
        let ticket = early.then(|| self.ticket("acknowledge"));
        self.hub.acknowledge(id(machine), job, ticket, now(now_us));
    }

    /// How a ticket was answered, if it was.
    pub fn answer(&self, ticket: u64) -> Option<Result<(), Error>> {
        self.book.borrow().get(&ticket).cloned().flatten()
    }

    /// What was answered is over.
    pub fn forget(&mut self) {
        let book = Rc::clone(&self.book);
        self.purposes.retain(|(number, _)| book.borrow().get(number).is_none_or(Option::is_none));
        self.purposes.shrink_to_fit();
        self.book.borrow_mut().retain(|_, answer| answer.is_none());
    }

    /// The tickets that were never answered, and what they were for.
    pub fn unanswered(&self) -> Vec<(u64, &'static str)> {
        let book = self.book.borrow();
        let open = |(number, _): &(u64, _)| book.get(number).is_none_or(Option::is_none);
        self.purposes.iter().copied().filter(open).collect()
    }

    /// What is to be done, oldest first.
    pub fn outs(&mut self) -> Vec<(usize, Out)> {
        let mut outs = Vec::new();
        for (monitor, act) in self.hub.acts() {
            let out = match act {
                Act::Connect => Out::Connect,
                // Nobody finds out here, and the session does without.
                Act::Send(bytes) => Out::Send(bytes),
                Act::Disconnect => Out::Disconnect,
                Act::Stands(state, _) => Out::Stands(state),
                Act::Tell(event) => Out::Tell(event),
                Act::End(end) => Out::End(end),
                Act::Attach { handle, job } => Out::Attach { handle, job },
                Act::Read(request) => Out::Read(request),
                Act::List((), _) => unreachable!("the storm looks at no list"),
                Act::SendWith(..) | Act::Reply(..) => unreachable!("nobody executes here"),
                Act::Answer(ticket, answer) => {
                    self.settle(&ticket, answer);
                    continue;
                }
                Act::FindHolder | Act::Log(..) | Act::Count(_) => continue,
            };
            outs.push((usize::try_from(monitor.0 - 1).expect("few machines"), out));
        }
        outs
    }

    fn ticket(&mut self, purpose: &'static str) -> Ticket {
        self.tickets += 1;
        self.purposes.push((self.tickets, purpose));
        self.book.borrow_mut().insert(self.tickets, None);
        Ticket { number: self.tickets, book: Rc::clone(&self.book) }
    }

    fn settle(&mut self, ticket: &Ticket, answer: Result<(), Error>) {
        let mut book = self.book.borrow_mut();
        let entry = book.entry(ticket.number).or_default();
        if entry.is_some() {
            self.answered_twice.push(ticket.number);
        }
        *entry = Some(answer);
    }
}

fn id(machine: usize) -> MonitorId {
    MonitorId(machine as u64 + 1)
}

pub fn now(us: u64) -> Now {
    let micros = |number| i64::try_from(number).expect("a storm is short");
    Now {
        running: Duration::from_micros(us),
        wall: Timestamp { seconds: micros(us / 1_000_000), microseconds: micros(us % 1_000_000) },
    }
}
