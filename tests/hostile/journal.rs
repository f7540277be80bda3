//! A journal that is none, or is written by somebody who means it badly: what is wrong with it, and
//! how a job ends of which it alone could tell.

use std::ffi::{CStr, CString, c_char};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::Receiver;
use std::thread;

use crate::catalogue::Attack;
use crate::catalogue::peer::{Server, completed, status};
use crate::client::{Event, Line, number};
use crate::scene::{BOUND, Scene};
use crate::{eventually, one_at_a_time, usage};

/// The job that ended while nobody listened.
const JOB: &str = "missed";

pub struct JournalAttack {
    pub name: &'static str,
    /// Makes what is at the path.
    make: fn(&Path),
    /// What is looked at where nobody may make what was to be made.
    instead: Option<&'static str>,
    /// It is a terminal of its own, and not at the path.
    is_terminal: bool,
    /// What the log says of it; then it is never opened.
    refused: Option<&'static str>,
    /// Goes on while it is read, again and again.
    meanwhile: Option<fn(&Path)>,
    /// How the job may end, by what can be read.
    ends: fn(&Event) -> bool,
}

const LINK: &str = "is a symbolic link; it must be";

const QEMU: Attack = Attack::new("journal", |peer| peer.usable().done(), |_| ());

#[test]
fn a_journal_is_read_as_a_regular_file_within_bounds_or_not_at_all() {
    let _turn = one_at_a_time();
    let scene = Scene::new();
    let log = scene.listener.log(number::LOG_WARNING);
    let whole = JournalAttack::new("whole", |path| fs::write(path, end()).unwrap(), is_known);
    // So it is when all is well.
    for (at, attack) in std::iter::once(&whole).chain(ATTACKS).enumerate() {
        eprintln!("-- {}", attack.name);
        let directory = scene.directory.path().join(at.to_string());
        fs::create_dir(&directory).expect("a temporary directory is writable");
        attack.run(&scene, &log, &directory);
        fs::remove_dir_all(directory).expect("it can be removed");
    }
    scene.end();
}

pub const ATTACKS: &[JournalAttack] = &[
    JournalAttack::refused("journal-is-missing", |_| (), "cannot be opened: No such file"),
    JournalAttack::refused("journal-is-a-fifo", make_fifo, "is a FIFO; it must be a regular file"),
    JournalAttack::refused(
        "journal-is-a-directory",
        |path| fs::create_dir(path).unwrap(),
        "is a directory; it must be",
    ),
    JournalAttack::refused(
        "journal-is-a-socket",
        |path| drop(UnixListener::bind(path).unwrap()),
        "is a socket; it must be",
    ),
    JournalAttack::refused("journal-is-a-device", make_zeros, "is a device; it must be")
        .or("/dev/zero"),
    JournalAttack::refused("journal-is-a-terminal", |_| (), "is a device; it must be").terminal(),
    JournalAttack::refused(
        "journal-is-a-link",
        |path| {
            let other = path.with_extension("other");
            fs::write(&other, end()).unwrap();
            symlink(other, path).unwrap();
        },
        LINK,
    ),
    JournalAttack::refused(
        "journal-is-a-link-to-a-device",
        |path| symlink("/dev/zero", path).unwrap(),
        LINK,
    ),
    JournalAttack::refused(
        "journal-is-a-link-to-itself",
        |path| symlink(path, path).unwrap(),
        LINK,
    ),
    JournalAttack::new(
        "journal-with-an-endless-line",
        |path| {
            let mut file = File::create(path).unwrap();
            repeat(&mut file, "xyz, ", 8 << 20);
            file.write_all(b"\n").unwrap();
            file.write_all(end().as_bytes()).unwrap();
            // And one that has not ended.
            repeat(&mut file, "{\"event\": ", 3 << 20);
        },
        is_known,
    ),
    JournalAttack::new(
        "journal-of-one-endless-line",
        |path| repeat(&mut File::create(path).unwrap(), JOB, 8 << 20),
        is_lost,
    ),
    JournalAttack::new(
        "journal-of-binary-garbage",
        |path| {
            let mut file = File::create(path).unwrap();
            let mut number = 0x9E37_79B9_7F4A_7C15_u64;
            let garbage: Vec<u8> = (0..1 << 20)
                .flat_map(|_| {
                    number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (number >> 16).to_le_bytes()
                })
                .collect();
            file.write_all(&garbage).unwrap();
            file.write_all(b"\r\n").unwrap();
            file.write_all(end().as_bytes()).unwrap();
            file.write_all(&garbage).unwrap();
        },
        is_known,
    ),
    JournalAttack::new(
        "journal-of-holes",
        |path| {
            let file = File::create(path).unwrap();
            file.write_all_at(end().as_bytes(), 0).unwrap();
            file.set_len(256 << 20).unwrap();
        },
        is_known,
    ),
    JournalAttack::new(
        "journal-of-absurd-events",
        |path| {
            let mut file = File::create(path).unwrap();
            for error in [1 << 20, 8 << 20, 40 << 20] {
                let long = completed(JOB, ", \"error\": \"\"");
                let (before, after) = long.split_once("\"\"").unwrap();
                file.write_all(before.as_bytes()).unwrap();
                file.write_all(b"\"").unwrap();
                repeat(&mut file, "\\u0000", error / 6);
                file.write_all(b"\"").unwrap();
                file.write_all(after.as_bytes()).unwrap();
            }
            file.write_all(status(JOB, "created").as_bytes()).unwrap();
            file.write_all(end().as_bytes()).unwrap();
        },
        is_known,
    ),
    JournalAttack::new(
        "journal-of-other-jobs",
        |path| {
            let mut file = File::create(path).unwrap();
            file.write_all(end().as_bytes()).unwrap();
            let mut lines = String::new();
            for at in 0..200_000 {
                lines += &status(&format!("{JOB}{at}"), "running");
            }
            file.write_all(lines.as_bytes()).unwrap();
        },
        is_known,
    ),
    JournalAttack::new(
        "journal-of-one-job-for-ever",
        |path| {
            let mut file = File::create(path).unwrap();
            file.write_all(status(JOB, "created").as_bytes()).unwrap();
            let both = status(JOB, "paused") + &status(JOB, "running");
            repeat(&mut file, &both, 100_000);
            file.write_all(end().as_bytes()).unwrap();
        },
        is_known,
    ),
    JournalAttack::new(
        "journal-of-nesting",
        |path| {
            let mut file = File::create(path).unwrap();
            repeat(&mut file, "{\"missed\":[", 100_000);
            file.write_all(b"\r\n").unwrap();
            file.write_all(end().as_bytes()).unwrap();
        },
        is_known,
    ),
    JournalAttack::new(
        "journal-that-grows-without-end",
        |path| fs::write(path, end()).unwrap(),
        is_known,
    )
    .meanwhile(|path| {
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        repeat(&mut file, &status("other", "running"), 1000);
    }),
    JournalAttack::new("journal-truncated-while-it-is-read", make_long, is_either).meanwhile(
        |path| {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(0).unwrap();
            file.set_len(20 << 20).unwrap();
            file.write_all_at(end().as_bytes(), 10 << 20).unwrap();
        },
    ),
    JournalAttack::new("journal-replaced-while-it-is-read", make_long, is_either).meanwhile(
        |path| {
            let other = path.with_extension("other");
            let _ = fs::remove_file(&other);
            make_fifo(&other);
            fs::rename(&other, path).unwrap();
            symlink("/dev/zero", &other).unwrap();
            fs::rename(&other, path).unwrap();
            fs::write(&other, end()).unwrap();
            fs::rename(&other, path).unwrap();
        },
    ),
];

impl JournalAttack {
    const fn new(name: &'static str, make: fn(&Path), ends: fn(&Event) -> bool) -> Self {
        Self { name, make, instead: None, is_terminal: false, refused: None, meanwhile: None, ends }
    }

    /// It is none that is read, and the log says why.
    const fn refused(name: &'static str, make: fn(&Path), why: &'static str) -> Self {
        Self { refused: Some(why), ..Self::new(name, make, is_lost) }
    }

    const fn or(self, path: &'static str) -> Self {
        Self { instead: Some(path), ..self }
    }

    const fn terminal(self) -> Self {
        Self { is_terminal: true, ..self }
    }

    const fn meanwhile(self, meanwhile: fn(&Path)) -> Self {
        Self { meanwhile: Some(meanwhile), ..self }
    }

    fn run(&self, scene: &Scene, log: &Receiver<Line>, directory: &Path) {
        let (socket, mut journal) = (directory.join("qmp"), directory.join("journal"));
        let descriptors = usage::descriptors();
        (self.make)(&journal);
        let terminal = self.is_terminal.then(Terminal::open);
        if let Some(terminal) = &terminal {
            journal.clone_from(&terminal.path);
        }
        // What is everybody's may be opened by anybody.
        let is_ours = journal.symlink_metadata().is_ok();
        let watch = (is_ours && self.refused.is_some()).then(|| Watch::begin(&journal));
        if let Some(instead) = self.instead.filter(|_| !is_ours) {
            journal = instead.into();
        }
        usage::forget_peak();
        let before = usage::resident();
        let server = Server::start(&socket, &QEMU);
        let monitor = scene.listener.monitor(self.name, &socket);
        monitor.set_journal(&journal, None);
        let job = monitor.job(Some(JOB), number::JOB_EXISTS);

        let over = AtomicBool::new(false);
        thread::scope(|threads| {
            if let Some(meanwhile) = self.meanwhile {
                let (over, journal) = (&over, &journal);
                threads.spawn(move || {
                    while !over.load(SeqCst) {
                        meanwhile(journal);
                    }
                });
            }
            monitor.start();
            scene.run_jobs();
            let end = job.wait();
            over.store(true, SeqCst);
            assert!((self.ends)(&end), "{}: {end:?}", self.name);
        });
        eventually("the monitor is usable", || {
            (monitor.state() == number::STATE_CONNECTED).then_some(())
        });
        if let Some(why) = self.refused {
            let words = format!("the journal {} {why}", journal.display());
            eventually(&format!("the log says that {words}"), || {
                let mut lines = log.try_iter();
                let about = |line: &Line| line.monitor.as_deref() == Some(self.name);
                lines.find(|line| about(line) && line.text.contains(&words)).map(drop)
            });
        }
        assert!(!watch.is_some_and(Watch::was_opened), "{}: it was opened", self.name);
        drop(job);
        monitor.close();
        server.stop();
        drop(terminal);
        let grown = usage::peak().saturating_sub(before);
        eprintln!("   {} KiB", grown >> 10);
        assert!(grown <= BOUND, "{}: {grown} bytes at its peak, over {BOUND}", self.name);
        let what = format!("{}: descriptors are back at {descriptors}", self.name);
        eventually(&what, || (usage::descriptors() == descriptors).then_some(()));
    }
}

fn end() -> String {
    completed(JOB, "")
}

/// The journal was read to where it says so.
fn is_known(end: &Event) -> bool {
    (end.outcome, end.origin) == (number::OUTCOME_SUCCEEDED, number::ORIGIN_RECOVERED)
}

/// It was not read, or says nothing of the job.
fn is_lost(end: &Event) -> bool {
    (end.kind, end.loss) == (number::LOST, number::LOSS_GONE)
}

fn is_either(end: &Event) -> bool {
    is_known(end) || is_lost(end)
}

fn make_long(path: &Path) {
    let mut file = File::create(path).unwrap();
    repeat(&mut file, &status("other", "running"), 100_000);
    file.write_all(end().as_bytes()).unwrap();
}

fn repeat(file: &mut File, piece: &str, times: usize) {
    let pieces = (1 << 20) / piece.len() + 1;
    let block = piece.repeat(pieces.min(times));
    let mut left = times;
    while left > 0 {
        let now = left.min(pieces);
        file.write_all(&block.as_bytes()[..now * piece.len()]).unwrap();
        left -= now;
    }
}

fn make_fifo(path: &Path) {
    make_node(path, libc::S_IFIFO, 0);
}

/// The device that gives zeros for ever, for who may make one.
fn make_zeros(path: &Path) {
    make_node(path, libc::S_IFCHR, libc::makedev(1, 5));
}

#[expect(unsafe_code, reason = "the standard library makes neither")]
fn make_node(path: &Path, kind: libc::mode_t, device: libc::dev_t) {
    let name = CString::new(path.as_os_str().as_bytes()).expect("a path has no NUL");
    // SAFETY: the name ends in NUL and lives until the call has returned.
    let made = unsafe { libc::mknod(name.as_ptr(), kind | 0o600, device) };
    assert!(made == 0 || kind == libc::S_IFCHR, "{}", std::io::Error::last_os_error());
}

/// A terminal that is no process's yet: the first that leads a session without one and opens it,
/// and does not say otherwise, has it from then on, with its signals.
struct Terminal {
    /// Without it there is no terminal.
    _other_end: OwnedFd,
    path: PathBuf,
}

impl Terminal {
    #[expect(unsafe_code, reason = "the standard library makes none")]
    fn open() -> Self {
        // SAFETY: it takes a number.
        let other_end = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) };
        assert!(other_end >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: it was just opened, and nobody else has it.
        let other_end = unsafe { OwnedFd::from_raw_fd(other_end) };
        let mut name: [c_char; 64] = [0; 64];
        let fd = other_end.as_raw_fd();
        // SAFETY: the descriptor is open.
        let granted = unsafe { libc::grantpt(fd) };
        // SAFETY: the same.
        let unlocked = unsafe { libc::unlockpt(fd) };
        // SAFETY: the same, and the place is as large as it is said to be.
        let named = unsafe { libc::ptsname_r(fd, name.as_mut_ptr(), name.len()) };
        let results = [granted, unlocked, named];
        assert_eq!(results, [0; 3], "{}", std::io::Error::last_os_error());
        // SAFETY: it was written as a text that ends in NUL.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        Self { _other_end: other_end, path: name.to_str().expect("it is ASCII").into() }
    }
}

/// Whether somebody opens what is at a path; a look at it is no opening.
struct Watch(File);

impl Watch {
    #[expect(unsafe_code, reason = "the standard library watches no files")]
    fn begin(path: &Path) -> Self {
        let name = CString::new(path.as_os_str().as_bytes()).expect("a path has no NUL");
        // SAFETY: it takes a number.
        let watch = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
        assert!(watch >= 0, "{}", std::io::Error::last_os_error());
        let events = libc::IN_OPEN | libc::IN_DONT_FOLLOW;
        // SAFETY: the name ends in NUL and lives until the call has returned.
        let added = unsafe { libc::inotify_add_watch(watch, name.as_ptr(), events) };
        assert!(added >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: it was just opened, and nobody else has it.
        Self(unsafe { File::from_raw_fd(watch) })
    }

    fn was_opened(mut self) -> bool {
        match self.0.read(&mut [0; 4096]) {
            Ok(count) => count > 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    }
}
