//! The storm's fake QEMU behind a real socket, one client after the other.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use crate::{
    chance::Chance,
    qemu::{
        Qemu,
        odds::Odds,
        truth,
        version::{Kind, Version},
        wire::ConnectionId,
    },
};

pub struct Fake {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    closed: AtomicBool,
}

struct State {
    qemu: Qemu,
    chance: Chance,
    now_us: u64,
    client: Option<(ConnectionId, UnixStream)>,
}

impl Fake {
    pub fn listen(path: &Path, mut chance: Chance) -> Self {
        let listener = UnixListener::bind(path).expect("a temporary directory is writable");
        let qemu = boot(&mut chance);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
        let now_us = u64::try_from(now.as_micros()).expect("it is not much later");
        let state = Mutex::new(State { qemu, chance, now_us, client: None });
        let shared = Arc::new(Shared { state, closed: AtomicBool::new(false) });
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.serve(&listener)
        });
        Self { path: path.to_owned(), shared, thread: Some(thread) }
    }

    /// The connection that there is ends.
    pub fn cut(&self) {
        self.shared.state().hang_up();
    }

    /// Another QEMU comes in its place, without jobs and without a past.
    pub fn renew(&self) {
        let mut state = self.shared.state();
        state.hang_up();
        let state = &mut *state;
        state.qemu = boot(&mut state.chance);
    }

    pub fn has_client(&self) -> bool {
        self.shared.state().client.is_some()
    }

    pub fn is_idle(&self) -> bool {
        self.shared.state().qemu.living().next().is_none()
    }

    /// How the job of this id has ended; `None`: there was none.
    pub fn truth(&self, id: &str) -> Option<truth::Outcome> {
        let state = self.shared.state();
        let truth = state.qemu.jobs().iter().rfind(|truth| truth.id == id)?;
        let ended = truth.ended.as_ref();
        Some(ended.unwrap_or_else(|| panic!("its end was told: {truth:?}")).outcome.clone())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.closed.store(true, Relaxed);
        self.cut();
        // It wakes who accepts.
        let _ = UnixStream::connect(&self.path);
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the fake's thread panicked");
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, listener: &UnixListener) {
        loop {
            let (mut stream, _) = listener.accept().expect("a socket that listens accepts");
            if self.closed.load(Relaxed) {
                return;
            }
            stream.set_read_timeout(Some(POLL)).expect("it is no zero");
            let connection = {
                let mut state = self.state();
                let own = stream.try_clone().expect("a dup");
                let connection = state.qemu.connect().expect("it lives and has no other client");
                state.client = Some((connection, own));
                connection
            };
            let mut bytes = [0; 4096];
            while self.state().answer(connection) {
                match stream.read(&mut bytes) {
                    Ok(read @ 1..) => self.state().hear(connection, &bytes[..read]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    _ => break,
                }
            }
            self.state().part(connection);
        }
    }
}

impl State {
    fn is_client(&self, connection: ConnectionId) -> bool {
        self.client.as_ref().is_some_and(|client| client.0 == connection)
    }

    fn hear(&mut self, connection: ConnectionId, bytes: &[u8]) {
        if self.is_client(connection) {
            self.qemu.receive(connection, bytes);
        }
    }

    /// All that there is to do is done, and said. False: this client is none any more.
    fn answer(&mut self, connection: ConnectionId) -> bool {
        if !self.is_client(connection) {
            return false;
        }
        for _ in 0..STEPS {
            if !self.qemu.step(self.now_us) {
                let Some(due) = self.qemu.next_due_us() else { break };
                self.now_us = self.now_us.max(due);
            }
        }
        let said = self.qemu.take_output(connection);
        let Some((_, stream)) = &mut self.client else { return false };
        stream.write_all(&said).is_ok()
    }

    fn hang_up(&mut self) {
        if let Some((connection, stream)) = self.client.take() {
            let _ = stream.shutdown(Shutdown::Both);
            self.qemu.disconnect(connection);
        }
    }

    /// The client is gone, unless that was noticed before.
    fn part(&mut self, connection: ConnectionId) {
        if self.is_client(connection) {
            self.hang_up();
        }
    }
}

fn boot(chance: &mut Chance) -> Qemu {
    let odds = Odds { late_reply: 6, shuffle: 10, fault: 6, instant: 3, ..Odds::default() };
    let mut qemu = Qemu::new(Kind::System, Version(7, 2, 0), odds, chance.fork());
    qemu.add_device("drive");
    qemu.add_node("target");
    qemu
}

/// Between two looks at whether it is over.
const POLL: Duration = Duration::from_millis(1);

/// A bound for what a QEMU does before it reads again.
const STEPS: usize = 2000;
