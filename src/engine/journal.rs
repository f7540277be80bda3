//! Reads event journals, so that the reader never waits for a disk. One thread a listener, which
//! exists only while there is something to read, and goes round its monitors slice by slice, so
//! that a large journal does not keep a small one waiting.
//!
//! Of a monitor one request is read at a time and one may wait. A newer one takes the place of the
//! one that waits, which is never answered: it asks for all that is still wanted. One that is being
//! read is finished first.

#![forbid(unsafe_code)]

use std::{
    collections::VecDeque,
    fs::{self, File, FileType, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    fork::Held,
    lock::Mutex,
    thread::{self, Threads},
};
use crate::{
    model::{MonitorId, is_affordable},
    qmp::{
        cut::LINE_MAX,
        journal::{Findings, Request, SLICE, Search, Want},
    },
};

/// To whom findings are handed over: on the helper's thread, or on the one that submits if there
/// can be no helper. It must not wait.
pub type Tell = Box<dyn Fn(MonitorId, Findings) + Send + Sync>;

/// The journals of a listener.
pub struct Journals(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// The present one, and former ones that may not have ended yet.
    threads: Threads,
    tell: Tell,
}

#[derive(Default)]
struct State {
    /// In the order in which they came; of each monitor at most one.
    waiting: VecDeque<Errand>,
    /// There is a thread that will look at `waiting` again.
    running: bool,
    stopped: bool,
}

struct Errand {
    monitor: MonitorId,
    path: PathBuf,
    request: Request,
}

/// A journal that is being read.
struct Reading {
    errand: Errand,
    file: Held<File>,
    search: Search,
}

impl Journals {
    pub fn new(tell: Tell) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), threads: Threads::default(), tell }))
    }

    /// Asks for a journal to be read. Never waits for a disk; after `stop` it does nothing.
    pub fn submit(&self, monitor: MonitorId, path: PathBuf, request: Request) {
        let errand = Errand { monitor, path, request };
        if self.0.state.lock().take_in(errand) {
            self.start();
        }
    }

    /// What waits is dropped, what is being read ends with its slice. Findings may still be handed
    /// over until `join` has returned.
    pub fn stop(&self) {
        let mut state = self.0.state.lock();
        state.stopped = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    /// Waits until there is no thread any more; to be called after `stop`, and when nobody can be
    /// in `submit` any more. A disk that does not answer keeps it waiting for as long as the kernel
    /// waits.
    pub fn join(&self) {
        self.0.threads.join();
    }

    fn start(&self) {
        let shared = Arc::clone(&self.0);
        match thread::spawn(THREAD, STACK, move || shared.run()) {
            Ok(thread) => self.0.threads.keep(thread),
            Err(error) => self.0.give_up(Vec::new(), &error.text),
        }
    }
}

impl State {
    /// Puts an errand into its place. Does it need a thread?
    fn take_in(&mut self, errand: Errand) -> bool {
        if self.stopped {
            return false;
        }
        match self.waiting.iter_mut().find(|other| other.monitor == errand.monitor) {
            Some(other) => *other = errand,
            None => self.waiting.push_back(errand),
        }
        !std::mem::replace(&mut self.running, true)
    }
}

impl Shared {
    fn run(&self) {
        let mut readings = VecDeque::new();
        let mut buffer = Vec::new();
        if buffer.try_reserve_exact(SLICE).is_err() {
            return self.give_up(Vec::new(), "there is no memory for it");
        }
        let turns = AssertUnwindSafe(|| {
            buffer.resize(SLICE, 0);
            while self.take_waiting(&mut readings) {
                if let Some(reading) = readings.front_mut() {
                    let done = reading.step(&mut buffer);
                    let Some(reading) = readings.pop_front() else { continue };
                    if done {
                        self.tell_all(reading);
                    } else {
                        readings.push_back(reading);
                    }
                }
            }
        });
        if catch_unwind(turns).is_err() {
            let problem = "a fault inside libblockjob stopped the reading; please report it";
            self.give_up(readings.into(), problem);
        }
    }

    fn tell_all(&self, reading: Reading) {
        let Reading { errand, search, .. } = reading;
        let mut findings = search.finish();
        findings.problem = findings.problem.map(|problem| named(&errand.path, &problem));
        (self.tell)(errand.monitor, findings);
    }

    /// Opens the journals that wait and whose monitor has none open. Is there anything to do? If
    /// not, this was the last look.
    fn take_waiting(&self, readings: &mut VecDeque<Reading>) -> bool {
        loop {
            let mut state = self.state.lock();
            if state.stopped {
                state.running = false;
                return false;
            }
            let is_free = |errand: &Errand| {
                readings.iter().all(|other| other.errand.monitor != errand.monitor)
            };
            let free = state.waiting.iter().position(is_free);
            let free = free.filter(|_| readings.len() < OPEN_MAX);
            let Some(errand) = free.and_then(|at| state.waiting.remove(at)) else {
                state.running = !readings.is_empty();
                return state.running;
            };
            drop(state);
            match open(&errand.path) {
                Ok((file, len)) => {
                    let search = Search::new(errand.request.clone(), len);
                    readings.push_back(Reading { errand, file, search });
                }
                Err(problem) => {
                    (self.tell)(errand.monitor, Findings::failed(&errand.request, problem));
                }
            }
        }
    }

    /// There is no thread, or it has failed: everybody is told so.
    fn give_up(&self, readings: Vec<Reading>, problem: &str) {
        let mut state = self.state.lock();
        state.running = false;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for errand in readings.into_iter().map(|reading| reading.errand).chain(waiting) {
            let problem = named(&errand.path, &format!("is not read: {problem}"));
            (self.tell)(errand.monitor, Findings::failed(&errand.request, problem));
        }
    }
}

impl Reading {
    /// Reads one slice. Is it done?
    fn step(&mut self, buffer: &mut [u8]) -> bool {
        let Want::Read { offset, len } = self.search.next() else { return true };
        if !is_affordable(LINE_COST) {
            self.search.fail("is not read: there is no memory for its lines".into());
            return true;
        }
        let slice = &mut buffer[..len];
        match self.file.read_exact_at(slice, offset) {
            Ok(()) => self.search.handle_slice(offset, slice),
            // The file was truncated; each search reads its end, so none can overlook it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let len = self.file.metadata().map_or(0, |metadata| metadata.len());
                self.search.handle_shrunk(len);
            }
            Err(error) => self.search.fail(format!("cannot be read: {error}")),
        }
        self.search.next() == Want::Done
    }
}

/// Opens a regular file, and says of anything else what it is. A FIFO or a device would be read
/// from somebody else, or wait; a link could lead to one, or into another machine's files.
fn open(path: &Path) -> Result<(Held<File>, u64), String> {
    let refuse = |what: &str| named(path, &format!("{what}; it must be a regular file"));
    let check = |metadata: &Metadata| match kind(metadata.file_type()) {
        Some(kind) => Err(refuse(kind)),
        None => Ok(metadata.len()),
    };
    let cannot = |error: io::Error| match error.raw_os_error() {
        Some(libc::ELOOP) => refuse(LINK),
        _ => named(path, &format!("cannot be opened: {error}")),
    };
    // To open a device or a FIFO may already do something to it, so a look comes first; what
    // counts is the second one, which nobody can exchange.
    check(&fs::symlink_metadata(path).map_err(cannot)?)?;
    let flags = libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    // Not within `Held::open`: a file system that does not answer would keep every fork waiting,
    // and the reader.
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(cannot)?;
    let len = check(&file.metadata().map_err(cannot)?)?;
    let file = Held::open(|| Ok(file)).map_err(cannot)?;
    Ok((file, len))
}

/// What is no regular file.
fn kind(file_type: FileType) -> Option<&'static str> {
    let kinds = [
        (file_type.is_symlink(), LINK),
        (file_type.is_dir(), "is a directory"),
        (file_type.is_fifo(), "is a FIFO"),
        (file_type.is_socket(), "is a socket"),
        (!file_type.is_file(), "is a device"),
    ];
    kinds.into_iter().find_map(|(is, kind)| is.then_some(kind))
}

fn named(path: &Path, problem: &str) -> String {
    format!("the journal {} {problem}", path.display())
}

const LINK: &str = "is a symbolic link";
/// What is open at once; the others wait for their turn.
const OPEN_MAX: usize = 16;
const THREAD: &str = "blockjob-file";
/// What the reader has; JSON nests no deeper here than there.
const STACK: usize = 256 << 10;
/// A line that is carried over to the next slice has room for twice of what there is of it, and is
/// then text, and what an event keeps of that.
const LINE_COST: usize = 4 * LINE_MAX;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::qmp::journal::Wanted;

    fn errand(monitor: u64, path: &Path) -> Errand {
        let wanted = vec![Wanted { job: 7, id: "j0".into(), since: None, until: None }];
        let request = Request { wanted, ..Request::default() };
        Errand { monitor: MonitorId(monitor), path: path.to_owned(), request }
    }

    fn journals() -> (Journals, Receiver<(u64, Findings)>) {
        let (tell, told) = channel();
        let journals = Journals::new(Box::new(move |MonitorId(monitor), findings| {
            tell.send((monitor, findings)).unwrap();
            assert_ne!(monitor, 13, "a fault, as this test wants it");
        }));
        (journals, told)
    }

    #[test]
    fn without_a_thread_each_request_is_answered_with_the_reason() {
        let (journals, told) = journals();
        let path = Path::new("/journal");
        assert!(journals.0.state.lock().take_in(errand(1, path)));
        // This one comes while the first one's thread is being started.
        assert!(!journals.0.state.lock().take_in(errand(2, path)));
        journals.0.give_up(Vec::new(), "no thread");
        for expected in [1, 2] {
            let (monitor, findings) = told.try_recv().unwrap();
            assert_eq!((monitor, findings.jobs.len()), (expected, 1));
            let problem = findings.problem.unwrap();
            assert_eq!(problem, "the journal /journal is not read: no thread");
        }
        // The next one tries again.
        assert!(journals.0.state.lock().take_in(errand(3, path)));
    }

    #[test]
    fn a_fault_is_told_to_everybody_and_the_next_request_is_served() {
        let (journals, told) = journals();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        std::fs::write(&path, "").unwrap();
        journals.0.state.lock().take_in(errand(1, &path));
        journals.0.state.lock().take_in(errand(13, Path::new("/missing")));
        journals.start();
        assert_eq!(told.recv().unwrap().0, 13);
        let (monitor, findings) = told.recv().unwrap();
        assert_eq!(monitor, 1);
        assert!(findings.problem.unwrap().contains("a fault inside libblockjob"));
        let Errand { monitor, path, request } = errand(1, &path);
        journals.submit(monitor, path, request);
        assert_eq!(told.recv().unwrap().1.problem, None);
        journals.stop();
        journals.join();
    }
}
