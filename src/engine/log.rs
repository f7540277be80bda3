//! What the library says of itself, on its way to the program: which lines are wanted, and the
//! function of the program's that takes them. They are said by the reader, wait in the queue, and
//! are handed over where callbacks run. What no function asks for goes to standard error where the
//! environment wants that (`trace`), and else nowhere.

#![forbid(unsafe_code)]

use std::{collections::VecDeque, ffi::CString, sync::Arc};

use super::{
    inside,
    lock::{
        Condvar, Mutex,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
    mailbox::stopped,
    monitor::Monitor,
    report::Report,
    roster::Removed,
    trace,
};
use crate::model::{Error, Event, Kind, Level, Timestamp, Word, readable::Plain};

/// Takes a line. Dropping it frees what the program gave along.
pub type Sink = Box<dyn Fn(&Line) + Send + Sync>;

/// One line of the log: text without a character that could steer a terminal.
#[derive(Debug, Clone)]
pub struct Line {
    pub monitor: Arc<Monitor>,
    pub level: Level,
    pub text: CString,
    pub at: Timestamp,
}

/// Who takes lines, and which.
pub struct Log {
    /// Lines up to this level are wanted; 0 for none.
    level: AtomicI32,
    /// All that is not wanted goes to standard error.
    prints: bool,
    inner: Mutex<Inner>,
    /// The sink does not run any more.
    over: Condvar,
}

#[derive(Default)]
struct Inner {
    sink: Option<(u64, Arc<Sink>)>,
    last: u64,
    /// The sink that runs, and on which thread.
    running: Option<(u64, usize)>,
    stopped: bool,
}

/// Lines that wait. Bounded: the oldest are dropped, and one line says how many.
#[derive(Debug, Default)]
pub struct Lines {
    waiting: VecDeque<Line>,
    dropped: u64,
}

impl Log {
    pub fn new() -> Self {
        Self {
            level: AtomicI32::new(0),
            prints: trace::is_wanted(),
            inner: Mutex::default(),
            over: Condvar::default(),
        }
    }

    /// Does anybody want to see each message?
    pub fn traces(&self) -> bool {
        self.prints || self.wants(Level::Debug)
    }

    /// Does the program want lines of this level?
    pub fn wants(&self, level: Level) -> bool {
        level as i32 <= self.level.load(Relaxed)
    }

    /// What the program does not want is printed, if the environment says so.
    pub fn print(&self, monitor: &Monitor, level: Level, text: &str, at: Timestamp) {
        if self.prints {
            trace::print(&monitor.name(), level, text, at);
        }
    }

    /// From now on lines up to this level go to this sink, or to nobody. When it has returned the
    /// former sink does not run any more and is freed; but inside a callback or free function it
    /// does not wait for that. `pulls`: they are taken as events, and wanted without a sink.
    pub fn set(
        &self,
        level: Option<Level>,
        sink: Option<Sink>,
        pulls: bool,
    ) -> Result<Removed, Error> {
        let mut inner = self.inner.lock();
        if inner.stopped && sink.is_some() {
            drop(inner);
            drop(sink);
            return Err(stopped());
        }
        inner.last += 1;
        let number = inner.last;
        let taken = sink.is_some() || pulls;
        let level = level.filter(|_| taken).map_or(0, |level| level as i32);
        let new = sink.map(|sink| (number, Arc::new(sink)));
        let former = std::mem::replace(&mut inner.sink, new);
        self.level.store(level, Relaxed);
        let running = inner.running.filter(|(number, _)| is(former.as_ref(), *number));
        drop(inner);
        // Freed here unless it runs: then where it does, when it has returned.
        drop(former);
        match running {
            None => Ok(Removed::Now),
            Some((_, thread)) if thread == inside::thread_mark() => Ok(Removed::Now),
            Some(_) if inside::is_inside() => Ok(Removed::Later),
            Some(running) => {
                let runs = |inner: &mut Inner| inner.running == Some(running);
                drop(self.over.wait_while(self.inner.lock(), runs));
                Ok(Removed::Now)
            }
        }
    }

    /// Hands a line over, if it is still wanted.
    pub fn deliver(&self, line: &Line) {
        let mut inner = self.inner.lock();
        let wanted = !inner.stopped && self.wants(line.level);
        let Some((number, sink)) = inner.sink.clone().filter(|_| wanted) else { return };
        inner.running = Some((number, inside::thread_mark()));
        drop(inner);
        sink(line);
        // If it was replaced meanwhile this frees it, and whoever replaced it waits for that.
        drop(sink);
        self.inner.lock().running = None;
        self.over.notify_all();
    }

    /// A fault of ours has broken the sink's turn off: nobody waits for its end any more.
    pub fn break_off(&self) {
        self.inner.lock().running = None;
        self.over.notify_all();
    }

    /// No line is handed over any more.
    pub fn stop(&self) {
        self.inner.lock().stopped = true;
    }

    /// Frees the sink. Only when nothing is handed over any more.
    pub fn clear(&self) {
        let sink = self.inner.lock().sink.take();
        drop(sink);
    }
}

fn is(sink: Option<&(u64, Arc<Sink>)>, number: u64) -> bool {
    sink.is_some_and(|(other, _)| *other == number)
}

impl Line {
    pub fn new(monitor: &Arc<Monitor>, level: Level, text: &str, at: Timestamp) -> Self {
        // What QEMU says of an error may be long.
        let end = (0..=TEXT_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        let text = CString::new(Plain(&text[..end.unwrap_or_default()]).to_string());
        let text = text.expect("every control character is escaped");
        Self { monitor: Arc::clone(monitor), level, text, at }
    }

    /// The line as an event, for a program that takes what happens one by one.
    pub fn report(self) -> Arc<Report> {
        let text = self.text.to_string_lossy();
        let mut event = Event::new(Kind::Log, "LOG", Some(self.at), text.len() + 1);
        event.own_mut().level = Some(self.level);
        event.set(Word::Reason, &text);
        Report::new(self.monitor, event, 0)
    }
}

impl Lines {
    pub fn push(&mut self, line: Line) {
        if self.waiting.len() == LINES_MAX {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(line);
    }

    /// The oldest; that lines are missing is said where they stood.
    pub fn pop(&mut self) -> Option<Line> {
        let first = self.waiting.front()?;
        if self.dropped > 0 {
            let text = format!("{} lines of the log were dropped here", self.dropped);
            self.dropped = 0;
            return Some(Line::new(&first.monitor, Level::Warning, &text, first.at));
        }
        self.waiting.pop_front()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// A line is about a hundred bytes, one that shows a message up to four thousand.
const LINES_MAX: usize = 1024;
/// Of a line.
const TEXT_MAX: usize = 4 << 10;
