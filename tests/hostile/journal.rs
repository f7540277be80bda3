//! A journal that is none, or is written by somebody who means it badly: what is wrong with it, and
//! how a job ends of which it alone could tell.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use crate::catalogue::Attack;
use crate::catalogue::peer::{Server, completed, status};
use crate::client::{Event, number};
use crate::scene::{BOUND, Scene};
use crate::{eventually, one_at_a_time, usage};

/// The job that ended while nobody listened.
const JOB: &str = "missed";

pub struct JournalAttack {
    pub name: &'static str,
    /// Makes what is at the path.
    make: fn(&Path),
    /// Goes on while it is read, again and again.
    meanwhile: Option<fn(&Path)>,
    /// How the job may end, by what can be read.
    ends: fn(&Event) -> bool,
}

const QEMU: Attack = Attack::new("journal", |peer| peer.usable().done(), |_| ());

#[test]
fn a_journal_is_read_as_a_regular_file_within_bounds_or_not_at_all() {
    let _turn = one_at_a_time();
    let scene = Scene::new();
    let whole = JournalAttack::new("whole", |path| fs::write(path, end()).unwrap(), is_known);
    // So it is when all is well.
    for (at, attack) in std::iter::once(&whole).chain(ATTACKS).enumerate() {
        eprintln!("-- {}", attack.name);
        let directory = scene.directory.path().join(at.to_string());
        fs::create_dir(&directory).expect("a temporary directory is writable");
        attack.run(&scene, &directory);
        fs::remove_dir_all(directory).expect("it can be removed");
    }
    scene.end();
}

pub const ATTACKS: &[JournalAttack] = &[
    JournalAttack::new("journal-is-missing", |_| (), is_lost),
    JournalAttack::new("journal-is-a-fifo", make_fifo, is_lost),
    JournalAttack::new("journal-is-a-directory", |path| fs::create_dir(path).unwrap(), is_lost),
    JournalAttack::new(
        "journal-is-a-socket",
        |path| drop(UnixListener::bind(path).unwrap()),
        is_lost,
    ),
    JournalAttack::new("journal-is-a-device", |path| make_device(path, 1, 5), is_lost),
    JournalAttack::new("journal-is-a-terminal", |path| make_device(path, 5, 0), is_lost),
    JournalAttack::new(
        "journal-is-a-link",
        |path| {
            let other = path.with_extension("other");
            fs::write(&other, end()).unwrap();
            symlink(other, path).unwrap();
        },
        is_lost,
    ),
    JournalAttack::new(
        "journal-is-a-link-to-a-device",
        |path| symlink("/dev/zero", path).unwrap(),
        is_lost,
    ),
    JournalAttack::new("journal-is-a-link-to-itself", |path| symlink(path, path).unwrap(), is_lost),
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
        Self { name, make, meanwhile: None, ends }
    }

    const fn meanwhile(self, meanwhile: fn(&Path)) -> Self {
        Self { meanwhile: Some(meanwhile), ..self }
    }

    fn run(&self, scene: &Scene, directory: &Path) {
        let (socket, journal) = (directory.join("qmp"), directory.join("journal"));
        (self.make)(&journal);
        let descriptors = usage::descriptors();
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
        drop(job);
        monitor.close();
        server.stop();
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

fn make_device(path: &Path, major: u32, minor: u32) {
    make_node(path, libc::S_IFCHR, libc::makedev(major, minor));
}

#[expect(unsafe_code, reason = "the standard library makes neither")]
fn make_node(path: &Path, kind: libc::mode_t, device: libc::dev_t) {
    let name = CString::new(path.as_os_str().as_bytes()).expect("a path has no NUL");
    // SAFETY: the name ends in NUL and lives until the call has returned.
    let made = unsafe { libc::mknod(name.as_ptr(), kind | 0o600, device) };
    if made != 0 && kind == libc::S_IFCHR {
        // Who may not make devices finds one that is there, which is no regular file either way.
        symlink("/dev/zero", path).unwrap();
    }
}
