//! What a listener shares with all its handles, which may outlive it: in which process it was made,
//! the names and numbers that it gives, and how many calls wait, which must end before it does.

#![forbid(unsafe_code)]

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst},
};

use super::{
    fork::Birth,
    lock::{Condvar, Mutex},
    process,
};
use crate::model::{Code, Error, MonitorId, Settings};

#[derive(Debug)]
pub struct Life {
    birth: Birth,
    /// Differs from listener to listener, in this process and in others.
    nonce: String,
    names: Mutex<Names>,
    handles: AtomicU64,
    commands: AtomicI64,
    /// The program takes all that is for it as events, and none of its functions is called.
    pulls: AtomicBool,
    waiting: Mutex<usize>,
    /// Nobody waits any more.
    quiet: Condvar,
}

#[derive(Debug, Default)]
struct Names {
    /// How many monitors were made; with the first the owner is settled.
    monitors: u64,
    /// What monitors begin with, the owner of their jobs among it. Those that change nothing share
    /// it.
    settings: Arc<Settings>,
    /// How many ids of jobs were made.
    jobs: u64,
}

/// A call that may wait, as long as it lasts.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Life);

impl Life {
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            birth: Birth::here()?,
            nonce: nonce(),
            names: Mutex::default(),
            handles: AtomicU64::new(0),
            commands: AtomicI64::new(0),
            pulls: AtomicBool::new(false),
            waiting: Mutex::default(),
            quiet: Condvar::default(),
        })
    }

    /// Refuses in a child of the process in which the listener was made.
    pub fn check_process(&self) -> Result<(), Error> {
        self.birth.check()
    }

    /// Chosen before there is anything to take.
    pub fn pull(&self, pulls: bool) {
        self.pulls.store(pulls, SeqCst);
    }

    pub fn pulls(&self) -> bool {
        self.pulls.load(SeqCst)
    }

    /// Refuses a function of the program's by this name where none is called.
    pub fn check_function(&self, name: &str, has_function: bool) -> Result<(), Error> {
        if !has_function || !self.pulls() {
            return Ok(());
        }
        let text =
            format!("{name} is not NULL; the listener's events are pulled, so wanted is none");
        Err(Error::new(Code::Invalid, text))
    }

    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// A new monitor's number, and what it begins with.
    pub fn next_monitor(&self) -> (MonitorId, Arc<Settings>) {
        let mut names = self.names.lock();
        names.monitors += 1;
        (MonitorId(names.monitors), Arc::clone(&names.settings))
    }

    /// A new handle's number.
    pub fn next_handle(&self) -> u64 {
        self.handles.fetch_add(1, SeqCst) + 1
    }

    /// The number of a command of the program's.
    pub fn next_command(&self) -> i64 {
        self.commands.fetch_add(1, SeqCst) + 1
    }

    /// An id for a job, which no other one has or had.
    pub fn next_job_id(&self) -> String {
        let mut names = self.names.lock();
        names.jobs += 1;
        let owner = names.settings.owner.as_deref().unwrap_or(NOBODY);
        format!("{owner}-{}-{}", self.nonce, names.jobs)
    }

    pub fn set_owner(&self, owner: &str) -> Result<(), Error> {
        let starts = owner.starts_with(|c: char| c.is_ascii_alphabetic());
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !starts || !owner.chars().all(plain) || owner.len() > OWNER_MAX {
            let text = format!(
                "owner is {owner:?}; wanted a letter and then letters, digits, '.', '_' or '-', at \
                 most {OWNER_MAX} in all, as QEMU's ids are made"
            );
            return Err(Error::new(Code::Invalid, text));
        }
        let mut names = self.names.lock();
        if names.monitors > 0 {
            let text = "a monitor was made already; set the owner before the first one";
            return Err(Error::new(Code::Busy, text));
        }
        Arc::make_mut(&mut names.settings).owner = Some(owner.to_owned());
        Ok(())
    }

    pub fn wait(&self) -> Waiting<'_> {
        *self.waiting.lock() += 1;
        Waiting(self)
    }

    /// Returns when no call waits; the listener was stopped, so that each ends.
    pub fn wait_for_quiet(&self) {
        drop(self.quiet.wait_while(self.waiting.lock(), |waiting| *waiting > 0));
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *self.0.waiting.lock() -= 1;
        self.0.quiet.notify_all();
    }
}

/// By the kernel's chance: the standard library's is kept by each thread, and the children of a
/// fork have it in common. Two of them may have one number, one after the other or in containers.
fn nonce() -> String {
    format!("{}-{:016x}", std::process::id(), process::chance())
}

/// What made ids begin with where no owner is named.
const NOBODY: &str = "blockjob";
/// Leaves room for the rest of an id in QEMU's messages, and is longer than any name of a program.
const OWNER_MAX: usize = 64;
