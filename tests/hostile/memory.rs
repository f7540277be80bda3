//! What a message may cost: three times the limit of a line, whatever it is made of. Asserted in a
//! process of its own, which the kernel gives no more address space.

use std::env;
use std::ffi::c_int;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::catalogue::Attack;
use crate::catalogue::peer::{Peer, Server};
use crate::client::{Listener, number};
use crate::{eventually, one_at_a_time, usage};

/// Names the limit of a line to the process that is given no more than thrice as much.
const LIMIT: &str = "BLOCKJOB_HOSTILE_LIMIT";
/// Beside the messages: a stack that grows, what the allocator leaves between two blocks, and 64
/// jobs.
const BESIDE: usize = 1 << 20;
/// What may wait for a program, of what can be dropped.
const WAITING: usize = 16 << 20;

#[test]
fn a_message_costs_three_times_the_limit_of_a_line_at_most() {
    let _turn = one_at_a_time();
    if let Some(limit) = env::var_os(LIMIT) {
        let limit = limit.to_str().and_then(|limit| limit.parse().ok()).expect("a number of bytes");
        return cost(limit);
    }
    for limit in [16 << 20, 1 << 20, 64 << 10] {
        let itself = env::current_exe().expect("a program knows where it is");
        let mut command = Command::new(itself);
        let name = "memory::a_message_costs_three_times_the_limit_of_a_line_at_most";
        command.args(["--exact", name, "--nocapture"]).env(LIMIT, limit.to_string());
        // Address space that the allocator of the C library would keep for later is not counted.
        command.env("MALLOC_ARENA_MAX", "1").env("MALLOC_MMAP_THRESHOLD_", "65536");
        command.env("MALLOC_TRIM_THRESHOLD_", "65536");
        let output = command.output().expect("it can be run once more");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "with a limit of {limit}: {}\n{said}", output.status);
        eprintln!("{said}");
    }
}

type Say = fn(&mut Peer, usize);

/// The messages, each about as long as it may be.
const MESSAGES: &[(&str, Say)] = &[
    ("an event that is wanted as it is", |peer, limit| {
        fill(peer, limit, "{\"event\": \"FLOOD\", \"data\": \"", "x", "\"}");
    }),
    ("the same with escapes", |peer, limit| {
        fill(peer, limit, "{\"event\": \"FLOOD\", \"data\": \"", "\\u00e9", "\"}");
    }),
    ("the same of a tree", |peer, limit| {
        fill(peer, limit, "{\"event\": \"FLOOD\", \"data\": [1", ",[]", "]}");
    }),
    ("the same that is no UTF-8", |peer, limit| {
        // Each of these becomes three bytes.
        let before = "{\"event\": \"FLOOD\", \"data\": \"";
        let rest = limit - before.len() - 2;
        peer.say(before);
        for _ in 0..rest / 3 / 1000 {
            peer.say([0xff; 1000]);
        }
        peer.say("\"}");
    }),
    ("an end with a long error", |peer, limit| {
        let before =
            "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"j\", \"error\": \"";
        fill(peer, limit, before, "x", "\"}}");
    }),
    ("the same with escapes", |peer, limit| {
        let before =
            "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"k\", \"error\": \"";
        fill(peer, limit, before, "\\u0000", "\"}}");
    }),
    ("an end with an error that is a tree", |peer, limit| {
        let before =
            "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"l\", \"error\": [1";
        fill(peer, limit, before, ",{}", "]}}");
    }),
    ("an event of a long name", |peer, limit| {
        fill(peer, limit, "{\"event\": \"", "\\u0061", "\"}");
    }),
    ("a job of a long name", |peer, limit| {
        let before =
            "{\"event\": \"JOB_STATUS_CHANGE\", \"data\": {\"status\": \"running\", \"id\": \"";
        fill(peer, limit, before, "\\u0061", "\"}}");
    }),
    ("a long key", |peer, limit| fill(peer, limit, "{\"", "\\u0061", "\": 1}")),
    ("many keys", |peer, limit| fill(peer, limit, "{\"a\": 1", ",\"b\":1", "}")),
    ("a reply to nobody", |peer, limit| {
        fill(peer, limit, "{\"id\": 1, \"return\": [1", ",{}", "]}");
    }),
    ("a reply with a long id", |peer, limit| {
        fill(peer, limit, "{\"return\": {}, \"id\": \"", "\\u0061", "\"}");
    }),
    ("an error to nobody", |peer, limit| {
        fill(peer, limit, "{\"error\": {\"class\": \"C\", \"desc\": \"", "\\n", "\"}, \"id\": 1}");
    }),
    ("another greeting", |peer, limit| {
        fill(peer, limit, "{\"QMP\": {\"capabilities\": [1", ",\"\"", "]}}");
    }),
    ("no JSON", |peer, limit| fill(peer, limit, "{", "x", "}")),
    ("a line that does not end", |peer, limit| {
        peer.say("{\"event\": \"").repeat("0123456789", limit);
    }),
    ("garbage that does not end", |peer, limit| peer.repeat("0123456789", limit).done()),
    ("many of them at once", |peer, limit| {
        for _ in 0..8 {
            fill(peer, limit, "{\"event\": \"FLOOD\", \"data\": \"", "x", "\"}\r\n");
        }
    }),
];

/// Which message is to be sent; the script waits for it.
static NEXT: AtomicUsize = AtomicUsize::new(0);
static LINE_LIMIT: AtomicUsize = AtomicUsize::new(0);

const ATTACK: Attack = Attack::new(
    "memory",
    |peer| {
        let limit = LINE_LIMIT.load(SeqCst);
        if peer.turn > 0 {
            // With the lists, and a greeting, as long as they may be.
            fill(peer, limit, "{\"QMP\": {\"capabilities\": [1", ",\"\"", "]}}\r\n");
            peer.greet();
            peer.answer("qmp_capabilities", "{}");
            answer_long(peer, limit, "[", "{\"id\":\"\"},", "7]");
            answer_long(peer, limit, "[", "{\"device\":\"a\"},", "7]");
            peer.prove();
            // What the program asks is answered at such length too.
            answer_long(peer, limit, "[1", ",{}", "]");
            answer_long(peer, limit, "\"", "\\u0061", "\"");
            answer_long(peer, limit, "[", "{\"id\":\"\"},", "7]");
            answer_long(peer, limit, "[", "{\"device\":\"a\"},", "7]");
            return;
        }
        peer.usable().prove();
        for (at, (_, say)) in MESSAGES.iter().enumerate() {
            while NEXT.load(SeqCst) <= at {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            say(peer, limit);
            peer.prove();
        }
        while NEXT.load(SeqCst) <= MESSAGES.len() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        peer.close();
    },
    |_| (),
)
.times(2);

fn cost(limit: usize) {
    LINE_LIMIT.store(limit, SeqCst);
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let path = directory.path().join("qmp");
    let server = Server::start(&path, &ATTACK);
    let listener = Listener::new();
    let monitor = listener.monitor("memory", &path);
    monitor.set_line_limit(i64::try_from(limit).expect("a limit is no large number"));
    monitor.set_job_limit(64);
    monitor.set_reconnect(1, 1);
    let counted = listener.count(&monitor, number::ALL);
    let floods = listener.count_raw(None, "FLOOD");
    let proofs = listener.count_raw(None, "PROOF");
    let prove = |many: u64, what: &str| {
        eventually(what, || (proofs.events.load(SeqCst) >= many).then_some(()));
    };
    monitor.connect();
    prove(1, "the first message");

    let base = usage::address_space();
    let mut proved = 1;
    for (at, (what, _)) in MESSAGES.iter().enumerate() {
        let waiting = if what.starts_with("many of") { WAITING } else { 0 };
        set_limit(base + 3 * limit + BESIDE + waiting);
        let resident = usage::resident();
        usage::forget_peak();
        NEXT.store(at + 1, SeqCst);
        proved += 1;
        prove(proved, what);
        let most = usage::peak().saturating_sub(resident);
        eprintln!("{limit:>9} bytes, {what}: {most} bytes at the peak");
    }
    assert!(floods.events.load(SeqCst) >= 4);
    assert_eq!(counted.ends.load(SeqCst), 3);

    set_limit(base + 3 * limit + BESIDE);
    NEXT.store(MESSAGES.len() + 1, SeqCst);
    prove(proved + 1, "the second connection");
    assert_eq!(monitor.timed("query-one", 60_000).0, 0);
    assert_eq!(monitor.timed("query-two", 60_000).0, 0);
    // One job of each list has an id, and the first of them is as empty as many.
    let listed = monitor.jobs();
    assert_eq!(listed.len(), 1);
    eprintln!("{limit:>9} bytes, as lists and replies: no more either");
    monitor.close();
    server.stop();
}

/// A message of about the limit: this, the piece as often as it fits, and that.
fn fill(peer: &mut Peer, limit: usize, before: &str, piece: &str, after: &str) {
    let times = (limit - before.len() - after.len()) / piece.len();
    peer.say(before).repeat(piece, times).say(after);
}

fn answer_long(peer: &mut Peer, limit: usize, before: &str, piece: &str, after: &str) {
    let Some(command) = peer.command() else { return };
    let before = format!("{{\"id\": \"{}\", \"return\": {before}", command.id);
    fill(peer, limit, &before, piece, &format!("{after}}}"));
}

#[expect(unsafe_code, reason = "the standard library sets no limits")]
fn set_limit(bytes: usize) {
    let limit = libc::rlimit { rlim_cur: bytes as u64, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: it reads the limit during the call.
    let result: c_int = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
