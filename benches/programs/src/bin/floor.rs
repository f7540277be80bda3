//! The floor: what a program must do that reads QEMU's events and calls C for each. One thread, 64
//! KiB at a time, newlines by memchr, each event parsed whole by serde_json into borrowed fields, a
//! C function pointer. It knows nothing of jobs, and loses what it must not.
//!
//!     floor flood PATH WHAT COUNT ROUNDS [each]
//!     floor latency PATH COUNT
//!     floor start PATH [COMMAND...]    (each is answered before the program is usable)
//!     floor many DIRECTORY MONITORS    (with epoll, a shared buffer, and no state of a session)

use std::{
    borrow::Cow,
    ffi::c_void,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::mpsc,
    thread,
    time::Instant,
};

use blockjob_bench::{LAST, connect, cpu, flooded, raise_limit, send, since, timed};
use mio::{Events, Interest, Poll, Token, Waker};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    event: Option<Text<'a>>,
    timestamp: Option<Moment>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
struct Moment {
    seconds: i64,
    microseconds: i64,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    device: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<Text<'a>>,
    len: Option<i64>,
    offset: Option<i64>,
    speed: Option<i64>,
}

/// serde borrows a `Cow` only where it stands alone.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What C is given.
#[repr(C)]
pub struct Told {
    name: Words,
    job: Words,
    kind: Words,
    status: Words,
    error: Words,
    seconds: i64,
    microseconds: i64,
    len: i64,
    offset: i64,
    speed: i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Words {
    text: *const u8,
    len: usize,
}

type Callback = extern "C" fn(*const Told, *mut c_void);

fn words(text: Option<&Text<'_>>) -> Words {
    text.map_or(Words { text: std::ptr::null(), len: 0 }, |text| Words {
        text: text.0.as_ptr(),
        len: text.0.len(),
    })
}

struct Reader {
    stream: UnixStream,
    buffer: Vec<u8>,
    filled: usize,
    callback: Callback,
    opaque: *mut c_void,
}

impl Reader {
    fn new(stream: UnixStream, callback: Callback, opaque: *mut c_void) -> Self {
        Self { stream, buffer: vec![0; 64 << 10], filled: 0, callback, opaque }
    }

    /// Reads once, and tells each event that is whole.
    fn turn(&mut self) {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.filled * 2, 0);
        }
        let count = self.stream.read(&mut self.buffer[self.filled..]).expect("the monitor");
        assert!(count > 0, "the monitor has closed the connection");
        self.filled += count;
        let mut begin = 0;
        while let Some(len) = memchr::memchr(b'\n', &self.buffer[begin..self.filled]) {
            tell(&self.buffer[begin..begin + len], self.callback, self.opaque);
            begin += len + 1;
        }
        self.buffer.copy_within(begin..self.filled, 0);
        self.filled -= begin;
    }
}

#[inline(never)]
fn tell(line: &[u8], callback: Callback, opaque: *mut c_void) {
    let Ok(message) = serde_json::from_slice::<Message<'_>>(line) else { return };
    let (Some(name), Some(data)) = (&message.event, &message.data) else { return };
    let moment = message.timestamp.unwrap_or(Moment { seconds: -1, microseconds: -1 });
    let told = Told {
        name: words(Some(name)),
        job: words(data.device.as_ref().or(data.id.as_ref())),
        kind: words(data.kind.as_ref()),
        status: words(data.status.as_ref()),
        error: words(data.error.as_ref()),
        seconds: moment.seconds,
        microseconds: moment.microseconds,
        len: data.len.unwrap_or(-1),
        offset: data.offset.unwrap_or(-1),
        speed: data.speed.unwrap_or(-1),
    };
    callback(&told, opaque);
}

/// What the callback counts.
#[derive(Default)]
struct Heard {
    events: usize,
    ended: bool,
    times: Vec<f64>,
}

fn heard<'a>(told: *const Told, opaque: *mut c_void) -> (&'a Told, &'a mut Heard) {
    // SAFETY: `tell` was given a Heard, which outlives the reader, and lends what it tells.
    unsafe { (&*told, &mut *opaque.cast()) }
}

extern "C" fn count(told: *const Told, opaque: *mut c_void) {
    let (told, heard) = heard(told, opaque);
    heard.events += 1;
    heard.ended |= is(told.job, LAST) && told.len >= 0;
}

extern "C" fn time(told: *const Told, opaque: *mut c_void) {
    let (told, heard) = heard(told, opaque);
    if is(told.name, "BLOCK_JOB_COMPLETED") || is(told.job, "lone") {
        heard.times.push(since(told.seconds, told.microseconds));
    }
}

fn is(words: Words, text: &str) -> bool {
    // SAFETY: they are a `&str`'s, or of no length.
    words.len == text.len()
        && unsafe { std::slice::from_raw_parts(words.text, words.len) } == text.as_bytes()
}

/// Connects, negotiates and asks what it is told to ask. As with libblockjob, no command waits for
/// the answer to another; each answer is parsed.
fn start(path: &str, commands: &[&str]) {
    let mut stream = UnixStream::connect(path).expect("a monitor");
    let (mut buffer, mut filled, mut awaited) = (vec![0; 64 << 10], 0, 1);
    let asked: String =
        commands.iter().map(|name| format!("{{\"execute\": \"{name}\"}}\n")).collect();
    let mut asked = Some(asked);
    while awaited > 0 {
        let count = stream.read(&mut buffer[filled..]).expect("the monitor");
        assert!(count > 0, "the monitor has closed the connection");
        filled += count;
        let mut begin = 0;
        while let Some(len) = memchr::memchr(b'\n', &buffer[begin..filled]) {
            let line: Value = serde_json::from_slice(&buffer[begin..begin + len]).expect("JSON");
            begin += len + 1;
            if line.get("QMP").is_some() {
                send(&mut stream, "{\"execute\": \"qmp_capabilities\"}").expect("the monitor");
            } else if line.get("return").is_some() {
                awaited -= 1;
                if let Some(asked) = asked.take().filter(|asked| !asked.is_empty()) {
                    stream.write_all(asked.as_bytes()).expect("the monitor");
                    awaited = commands.len();
                }
            }
        }
        buffer.copy_within(begin..filled, 0);
        filled -= begin;
    }
}

/// Connects to all, asks each which jobs it has, and says how long that took; then each line of standard input asks for the times
/// since the last one.
fn many(directory: &str, monitors: usize) {
    let mut poll = Poll::new().expect("an epoll");
    let (post, asked) = mpsc::channel();
    let waker = Waker::new(poll.registry(), Token(usize::MAX)).expect("an eventfd");
    println!("begun");
    let _ = std::io::stdin().read_line(&mut String::new());
    thread::spawn(move || {
        while std::io::stdin().read_line(&mut String::new()).is_ok_and(|len| len > 0) {
            let _ = post.send(());
            let _ = waker.wake();
        }
        std::process::exit(0);
    });
    let begun = Instant::now();
    let mut heard = Heard::default();
    let opaque = std::ptr::from_mut(&mut heard).cast();
    let mut streams = Vec::with_capacity(monitors);
    for place in 0..monitors {
        let mut stream =
            mio::net::UnixStream::connect(format!("{directory}/{place}")).expect("a monitor");
        poll.registry().register(&mut stream, Token(place), Interest::READABLE).expect("a socket");
        streams.push(stream);
    }
    // What is still to be answered: the capabilities, and two lists of jobs.
    let mut awaited = vec![3_u8; monitors];
    let (mut usable, mut buffer) = (0, vec![0; 64 << 10]);
    let mut ready = Events::with_capacity(1024);
    loop {
        poll.poll(&mut ready, None).expect("the epoll");
        for event in &ready {
            if event.token() == Token(usize::MAX) {
                while asked.try_recv().is_ok() {
                    timed(std::mem::take(&mut heard.times));
                }
                continue;
            }
            let place = event.token().0;
            let stream = &mut streams[place];
            // What comes in these benchmarks comes in whole lines.
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                for line in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
                    if line.starts_with(b"{\"QMP\"") {
                        let _ = stream.write_all(b"{\"execute\": \"qmp_capabilities\"}\n");
                    } else if line.starts_with(b"{\"return\"") {
                        if awaited[place] == 3 {
                            let _ = stream.write_all(b"{\"execute\": \"query-jobs\"}\n");
                            let _ = stream.write_all(b"{\"execute\": \"query-block-jobs\"}\n");
                        }
                        awaited[place] -= 1;
                        usable += usize::from(awaited[place] == 0);
                        if usable == monitors && awaited[place] == 0 {
                            println!("connected_ns {}", begun.elapsed().as_nanos());
                        }
                    } else {
                        tell(line, time, opaque);
                    }
                }
            }
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().expect("a number");
    raise_limit();
    let mut heard = Heard::default();
    let opaque = std::ptr::from_mut(&mut heard).cast();
    match words[..] {
        ["flood", path, what, events, rounds, ..] => {
            let mut reader = Reader::new(connect(path).expect("a monitor"), count, opaque);
            let each = words.get(5).is_some();
            let order = format!(
                "{{\"execute\": \"x-flood\", \"arguments\": {{\"what\": \"{what}\", \"count\": \
                 {events}, \"each\": {each}}}}}"
            );
            let (begun, before) = (Instant::now(), cpu());
            for _ in 0..number(rounds) {
                send(&mut reader.stream, &order).expect("the monitor");
                while !std::mem::take(&mut heard.ended) {
                    reader.turn();
                }
            }
            flooded(heard.events, cpu() - before, begun.elapsed());
        }
        ["latency", path, events] => {
            let mut reader = Reader::new(connect(path).expect("a monitor"), time, opaque);
            println!("ready");
            while heard.times.len() < number(events) {
                reader.turn();
            }
            timed(heard.times);
        }
        ["start", path, ref commands @ ..] => {
            let begun = Instant::now();
            start(path, commands);
            println!("ready_ns {}", begun.elapsed().as_nanos());
        }
        ["many", directory, monitors] => many(directory, number(monitors)),
        _ => panic!("see the first lines of floor.rs"),
    }
}
