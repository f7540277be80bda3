//! A socket between the library and a monitor of QEMU's. It hands on what either says, and cuts
//! the connection when it was told to: after exactly so many bytes in one direction.
//!
//! As QEMU's own socket, it serves one client at a time and then the next. Its process is that of
//! the tests, so the library cannot tell by it whether QEMU is the one that it was.

use std::collections::VecDeque;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToLibrary,
    ToQemu,
}

pub const DIRECTIONS: [Direction; 2] = [Direction::ToLibrary, Direction::ToQemu];

/// A connection ends when this many of its bytes have gone this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub direction: Direction,
    pub after: usize,
}

/// All that has gone through one connection.
#[derive(Clone, Default)]
pub struct Passed {
    pub to_library: Vec<u8>,
    pub to_qemu: Vec<u8>,
    /// It was cut, and did not end otherwise.
    pub was_cut: bool,
}

impl Passed {
    pub fn towards(&self, direction: Direction) -> &[u8] {
        match direction {
            Direction::ToLibrary => &self.to_library,
            Direction::ToQemu => &self.to_qemu,
        }
    }

    /// For whoever reads what went wrong.
    pub fn text(&self) -> String {
        let [library, qemu] =
            [&self.to_library, &self.to_qemu].map(|bytes| String::from_utf8_lossy(bytes));
        format!("QEMU said {library}\nand was told {qemu}")
    }

    /// Where a message ends and the next may begin, counted in bytes.
    pub fn borders(&self, direction: Direction) -> Vec<usize> {
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        let mut borders = vec![0];
        for (at, &byte) in self.towards(direction).iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' if !quoted => depth += 1,
                b'}' if !quoted => {
                    depth -= 1;
                    if depth == 0 {
                        borders.push(at + 1);
                    }
                }
                b'\n' if depth == 0 => borders.push(at + 1),
                _ => {}
            }
        }
        borders
    }
}

pub struct Proxy {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Its own, for it must find its socket until the end.
    _directory: TempDir,
}

struct Shared {
    qemu: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of the connections to come, in their order; those behind the last are not cut.
    cuts: VecDeque<Cut>,
    passed: Vec<Passed>,
    /// Both ends of the connection that there is.
    ends: Option<[UnixStream; 2]>,
    /// Who comes is sent away at once.
    sends_away: bool,
    closed: bool,
}

impl Proxy {
    /// Listens in place of the socket of QEMU's.
    pub fn before(qemu: &Path) -> Self {
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        let path = directory.path().join("proxy.qmp");
        let listener = UnixListener::bind(&path).expect("a temporary directory is writable");
        let shared = Arc::new(Shared { qemu: qemu.to_owned(), state: Mutex::default() });
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.serve(&listener)
        });
        Self { path, shared, thread: Some(thread), _directory: directory }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When it returns, none of those that were made so far is left, and each of them has ended by
    /// itself. One that its client has made and closed may still have waited to be accepted, and
    /// would take the place of the first that is planned.
    pub fn settle(&self) {
        self.shared.state().sends_away = true;
        let mut last = UnixStream::connect(&self.path).expect("the proxy listens");
        assert_eq!(last.read(&mut [0]).expect("it is sent away"), 0);
        self.shared.state().sends_away = false;
    }

    /// The next connections will be cut so, and what passed before is forgotten.
    pub fn plan(&self, cuts: &[Cut]) {
        let mut state = self.shared.state();
        state.cuts = cuts.iter().copied().collect();
        state.passed.clear();
    }

    /// Each connection since `plan`, the first of them first.
    pub fn passed(&self) -> Vec<Passed> {
        self.shared.state().passed.clone()
    }

    /// Ends the connection that there is.
    pub fn cut(&self) {
        let mut state = self.shared.state();
        if let Some(ends) = state.ends.take() {
            if let Some(passed) = state.passed.last_mut() {
                passed.was_cut = true;
            }
            shut(&ends);
        }
    }

    /// From now on nobody listens here, until `admit`.
    pub fn refuse(&self) {
        fs::rename(&self.path, self.path.with_extension("away")).expect("the socket is there");
        self.cut();
    }

    pub fn admit(&self) {
        fs::rename(self.path.with_extension("away"), &self.path).expect("the socket is away");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.cut();
        for path in [self.path.clone(), self.path.with_extension("away")] {
            // It wakes who accepts; the one of them that is not there does nothing.
            let _ = UnixStream::connect(path);
        }
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the proxy's thread panicked");
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, listener: &UnixListener) {
        loop {
            let (library, _) = listener.accept().expect("a socket that listens accepts");
            let (closed, sends_away) = {
                let state = self.state();
                (state.closed, state.sends_away)
            };
            if closed {
                return;
            }
            if sends_away {
                continue;
            }
            // Without a QEMU behind it the connection ends as soon as it was made.
            let Ok(qemu) = UnixStream::connect(&self.qemu) else { continue };
            let cut = {
                let mut state = self.state();
                if state.closed {
                    return;
                }
                state.ends = Some([&library, &qemu].map(|end| end.try_clone().expect("a dup")));
                state.passed.push(Passed::default());
                state.cuts.pop_front()
            };
            let limit = |direction| cut.filter(|cut| cut.direction == direction);
            thread::scope(|scope| {
                scope.spawn(|| self.carry(Direction::ToQemu, &library, &qemu, limit));
                self.carry(Direction::ToLibrary, &qemu, &library, limit);
            });
            self.state().ends = None;
        }
    }

    /// Hands on what comes, up to the cut or the end.
    fn carry(
        &self,
        direction: Direction,
        mut from: &UnixStream,
        mut to: &UnixStream,
        limit: impl Fn(Direction) -> Option<Cut>,
    ) {
        let mut left = limit(direction).map(|cut| cut.after);
        let mut buffer = [0; 4096];
        self.note(direction, &[], left == Some(0));
        while left != Some(0) {
            let room = left.unwrap_or(buffer.len()).min(buffer.len());
            let Ok(read @ 1..) = from.read(&mut buffer[..room]) else { break };
            left = left.map(|left| left - read);
            self.note(direction, &buffer[..read], left == Some(0));
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        shut(&[from, to]);
    }

    /// `is_cut`: behind these bytes.
    fn note(&self, direction: Direction, bytes: &[u8], is_cut: bool) {
        let mut state = self.state();
        // A plan may have been made meanwhile.
        let Some(passed) = state.passed.last_mut() else { return };
        passed.was_cut |= is_cut;
        match direction {
            Direction::ToLibrary => passed.to_library.extend_from_slice(bytes),
            Direction::ToQemu => passed.to_qemu.extend_from_slice(bytes),
        }
    }
}

/// Both ways at once: a connection that is shut one way only would leave QEMU with what it has not
/// sent, for the next client.
fn shut<S: std::borrow::Borrow<UnixStream>>(ends: &[S; 2]) {
    for end in ends {
        // It may have ended already.
        let _ = end.borrow().shutdown(Shutdown::Both);
    }
}
