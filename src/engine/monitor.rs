//! The handle of a monitor, shared by its holders, the reader and the events that came from it.

#![forbid(unsafe_code)]

use std::{
    ffi::{CStr, CString},
    fmt,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    approach::{self, Peer},
    descriptor::Descriptor,
    fork::Held,
    life::Life,
    lock::Mutex,
    mailbox::Mailbox,
    roster::Roster,
    statistics::Statistics,
    ticket::{ListTicket, Ticket, ticket},
};
use crate::{
    model::{Address, Code, Error, MonitorId, Settings, Stat, State, Version},
    qmp::{command::Command, control::Control, jobs::Watch, journal::Findings},
};

/// One QMP endpoint of one QEMU.
pub struct Monitor {
    id: MonitorId,
    life: Arc<Life>,
    pub(super) mailbox: Arc<Mailbox<Post>>,
    roster: Arc<Roster>,
    /// As it was given, for C.
    address: CString,
    statistics: Statistics,
    pub(super) inner: Mutex<Inner>,
}

/// What the reader is asked to do with a monitor.
#[derive(Debug)]
pub enum Post {
    Start(Arc<Monitor>, Option<Ticket>),
    Close(Arc<Monitor>),
    Watch(Arc<Monitor>, Watch, Ticket),
    Unwatch(MonitorId, u64),
    StartJob {
        monitor: MonitorId,
        handle: u64,
        command: String,
        arguments: String,
        ticket: Ticket,
    },
    /// The time of who waited for the answer to that is over.
    LeaveStart(MonitorId, u64),
    AskJob {
        monitor: MonitorId,
        handle: u64,
        control: Control,
        ticket: Ticket,
    },
    /// An end was taken, and its job is to be dismissed.
    DismissJob(MonitorId, u64, Ticket),
    /// The job of a handle is to be looked at, or all jobs.
    Look(Arc<Monitor>, Option<u64>, ListTicket),
    /// An end was taken, or the program says so.
    Acknowledge(MonitorId, u64, Option<Ticket>),
    /// A journal was read.
    Journal(MonitorId, Findings),
    /// A host was looked up.
    Addresses(MonitorId, Result<Vec<SocketAddr>, Error>),
    /// It was looked who holds a monitor that does not answer this attempt to connect.
    Holder(MonitorId, u64, Option<String>),
    /// A command of the program's is to be sent.
    Execute(Arc<Monitor>, Command<Descriptor>, Ticket),
}

pub(super) struct Inner {
    /// The reader shares them from the start on, and other monitors as long as none is changed.
    pub(super) settings: Arc<Settings>,
    /// What messages and events call it, for C; `None`: by its address. Replaced before the start
    /// only.
    pub(super) name: Option<CString>,
    /// QEMU's journal.
    pub(super) journal: Option<Box<Path>>,
    /// Who must hold the other end.
    pub(super) peer: Peer,
    /// The descriptor that was handed over, until it is used.
    descriptor: Option<Held<OwnedFd>>,
    pub(super) state: State,
    /// The reader knows it, with these settings.
    pub(super) settled: bool,
    /// Its last event was told; the reader has forgotten it.
    ended: bool,
    version: Option<Version>,
}

impl Monitor {
    pub fn new(
        life: &Arc<Life>,
        mailbox: &Arc<Mailbox<Post>>,
        roster: &Arc<Roster>,
        address: &str,
    ) -> Result<Self, Error> {
        let parsed = Address::parse(address)?;
        let text = c_text(address)?;
        let (id, mut settings) = life.next_monitor();
        if settings.link != parsed.link() {
            Arc::make_mut(&mut settings).link = parsed.link();
        }
        let inner = Inner {
            settings,
            name: None,
            journal: None,
            peer: Peer::default(),
            // Last, for from here on it is ours.
            descriptor: approach::adopt(&parsed)?,
            state: State::New,
            settled: false,
            ended: false,
            version: None,
        };
        Ok(Self {
            id,
            life: Arc::clone(life),
            mailbox: Arc::clone(mailbox),
            roster: Arc::clone(roster),
            address: text,
            statistics: Statistics::default(),
            inner: Mutex::new(inner),
        })
    }

    pub fn id(&self) -> MonitorId {
        self.id
    }

    /// Refuses in a child of the process in which it was made.
    pub fn check_process(&self) -> Result<(), Error> {
        self.life.check_process()
    }

    /// Does this mailbox's listener read it?
    pub fn posts_to(&self, mailbox: &Arc<Mailbox<Post>>) -> bool {
        Arc::ptr_eq(&self.mailbox, mailbox)
    }

    pub fn life(&self) -> &Life {
        &self.life
    }

    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// A figure of it, as it is now.
    pub fn stat(&self, which: Stat) -> i64 {
        match which {
            Stat::Unacknowledged => {
                i64::try_from(self.roster.unacknowledged(self.id)).unwrap_or(i64::MAX)
            }
            _ => self.statistics.get(which),
        }
    }

    /// Posts what must come through.
    pub fn post(&self, post: Post) -> Result<(), Error> {
        self.mailbox.post(post)
    }

    /// Posts what may be refused, with so many bytes of the caller's.
    pub fn request(&self, post: Post, bytes: usize) -> Result<(), Error> {
        self.mailbox.request(post, bytes)
    }

    /// Read from its text each time, which is once an attempt to connect.
    pub fn address(&self) -> Address {
        let parsed = self.address.to_str().ok().and_then(|text| Address::parse(text).ok());
        parsed.expect("a monitor was made of it")
    }

    pub fn address_text(&self) -> &CStr {
        &self.address
    }

    /// The name as C reads it. The pointer holds until the name is set anew.
    pub fn with_name<R>(&self, use_it: impl FnOnce(&CStr) -> R) -> R {
        use_it(self.inner.lock().name.as_deref().unwrap_or(&self.address))
    }

    pub fn name(&self) -> String {
        self.with_name(|name| name.to_string_lossy().into_owned())
    }

    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.inner.lock().settings)
    }

    pub fn job_limit(&self) -> usize {
        self.inner.lock().settings.job_limit
    }

    pub fn peer(&self) -> Peer {
        self.inner.lock().peer
    }

    /// The descriptor that was handed over; once.
    pub fn take_descriptor(&self) -> Option<Held<OwnedFd>> {
        self.inner.lock().descriptor.take()
    }

    pub fn journal(&self) -> Option<PathBuf> {
        self.inner.lock().journal.as_deref().map(Path::to_owned)
    }

    pub fn state(&self) -> State {
        if self.mailbox.check().is_err() { State::Closed } else { self.inner.lock().state }
    }

    pub fn version(&self) -> Option<Version> {
        self.inner.lock().version
    }

    /// Begins to connect, and returns at once.
    pub fn start(self: &Arc<Self>) -> Result<(), Error> {
        if !self.begin()? {
            return Err(Error::new(Code::Already, "it was started, and has not ended since"));
        }
        self.mailbox.post(Post::Start(Arc::clone(self), None))
    }

    /// Begins to connect unless that was done, and waits until the monitor is usable.
    pub fn connect(self: &Arc<Self>, timeout: Option<Duration>) -> Result<(), Error> {
        let begins = self.begin()?;
        if !begins && self.state() == State::Connected {
            return Ok(());
        }
        let _waiting = self.life.wait();
        let (ticket, stub) = ticket();
        let post = Post::Start(Arc::clone(self), Some(ticket));
        // What was begun must be gone on with.
        if begins { self.post(post) } else { self.request(post, 0) }?;
        stub.wait(timeout).unwrap_or_else(|| {
            let limit = timeout.unwrap_or_default().as_millis();
            let text = format!(
                "not usable within {limit} ms; the attempt goes on, and CONNECTED or DISCONNECTED \
                 will tell how it ends"
            );
            Err(Error::new(Code::TimedOut, text))
        })
    }

    /// Ends it for good, and returns at once: CLOSED is its last event.
    pub fn close(self: &Arc<Self>) -> Result<(), Error> {
        if std::mem::replace(&mut self.inner.lock().state, State::Closed) == State::Closed {
            return Ok(());
        }
        self.mailbox.post(Post::Close(Arc::clone(self)))
    }

    /// The reader will know it, with the settings that it has now.
    pub fn settle(&self) {
        self.inner.lock().settled = true;
    }

    /// How the reader finds it. What is closed stays so.
    pub fn stands(&self, state: State, version: Option<Version>) {
        let mut inner = self.inner.lock();
        if inner.state != State::Closed {
            inner.state = state;
        }
        inner.version = version.or(inner.version);
    }

    /// The reader forgets it.
    pub fn end(&self) {
        self.inner.lock().ended = true;
    }

    /// Refuses when the reader has forgotten it.
    pub fn check_not_ended(&self) -> Result<(), Error> {
        if self.inner.lock().ended { Err(closed()) } else { Ok(()) }
    }

    /// Refuses when it was closed. Nobody registers for it any more from then on, so that CLOSED
    /// finds all who are to be removed.
    pub fn check_open(&self) -> Result<(), Error> {
        let closed_now = self.inner.lock().state == State::Closed;
        if closed_now { Err(self.named(closed())) } else { Ok(()) }
    }

    /// Refuses when nothing can be sent, as far as callers know.
    pub fn check_connected(&self) -> Result<(), Error> {
        self.mailbox.check()?;
        match self.inner.lock().state {
            State::Connected | State::Unresponsive => Ok(()),
            State::Closed => Err(closed()),
            State::New | State::Connecting | State::Disconnected => {
                let text = "it is not connected: wait for CONNECTED; nothing was sent";
                Err(Error::new(Code::NotConnected, text))
            }
        }
    }

    /// Says which monitor an error is about.
    pub fn named(&self, mut error: Error) -> Error {
        let name = format!("monitor {}: ", self.name());
        error.text.insert_str(0, &name);
        error
    }

    /// Marks it as connecting; false when it was started already.
    fn begin(&self) -> Result<bool, Error> {
        self.mailbox.check()?;
        let mut inner = self.inner.lock();
        match inner.state {
            State::New | State::Disconnected => {
                inner.state = State::Connecting;
                Ok(true)
            }
            State::Connecting | State::Connected | State::Unresponsive => Ok(false),
            State::Closed => Err(closed()),
        }
    }
}

pub(super) fn c_text(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::new(Code::Invalid, "U+0000 stands in the text"))
}

pub fn closed() -> Error {
    Error::new(Code::Shutdown, "it was closed; make a new one for this address")
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("id", &self.id).finish_non_exhaustive()
    }
}
