//! What the programs of the benchmarks share: the events, as a QEMU 10.0.2 has written them
//! (tests/data/transcripts), and how a client begins and measures.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Of QEMU 10.0.2.
pub const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \
     \"major\": 10}, \"package\": \"Debian 1:10.0.2+ds-2+deb13u1~bpo12+1\"}, \"capabilities\": \
     [\"oob\"]}}\r\n";

/// The end of a burst is the end of a job with this id.
pub const LAST: &str = "bench-end";

pub fn completed(job: &str, seconds: u64, microseconds: u32) -> String {
    format!(
        "{{\"timestamp\": {{\"seconds\": {seconds}, \"microseconds\": {microseconds}}}, \
         \"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {{\"device\": \"{job}\", \"len\": \
         107374182400, \"offset\": 107374182400, \"speed\": 0, \"type\": \"stream\"}}}}\r\n"
    )
}

pub fn status(job: &str, status: &str, seconds: u64, microseconds: u32) -> String {
    format!(
        "{{\"timestamp\": {{\"seconds\": {seconds}, \"microseconds\": {microseconds}}}, \
         \"event\": \"JOB_STATUS_CHANGE\", \"data\": {{\"status\": \"{status}\", \"id\": \
         \"{job}\"}}}}\r\n"
    )
}

/// No event of a job: what a guest's serial port does, again and again.
pub fn foreign(port: usize, seconds: u64, microseconds: u32) -> String {
    format!(
        "{{\"timestamp\": {{\"seconds\": {seconds}, \"microseconds\": {microseconds}}}, \
         \"event\": \"VSERPORT_CHANGE\", \"data\": {{\"open\": {}, \"id\": \"channel{port}\"}}}}\r\n",
        port % 2 == 0
    )
}

/// So many events of a kind of flood, and the mark behind them.
pub fn burst(what: &str, count: usize) -> Vec<u8> {
    let mut text = String::new();
    let at = |number: usize| 100_000 + u32::try_from(number % 800_000).unwrap_or(0);
    let seconds = 1_795_408_814;
    for number in 0..count {
        let job = format!("job{}", number % 4000);
        match what {
            "completed" => text += &completed(&job, seconds, at(number)),
            "foreign" => text += &foreign(number % 10, seconds, at(number)),
            // The life of a job, over and over: seven events each.
            "lives" => {
                let job = format!("job{}", number / 7 % 4000);
                text += &match number % 7 {
                    0 => status(&job, "created", seconds, at(number)),
                    1 => status(&job, "running", seconds, at(number)),
                    2 => status(&job, "waiting", seconds, at(number)),
                    3 => status(&job, "pending", seconds, at(number)),
                    4 => completed(&job, seconds, at(number)),
                    5 => status(&job, "concluded", seconds, at(number)),
                    _ => status(&job, "null", seconds, at(number)),
                };
            }
            // Lines of so many bytes.
            _ if what.starts_with("line") => {
                let long = what["line".len()..].parse().unwrap_or(200);
                // In the error's text: an id of over 1,024 bytes is no job's, and is passed over.
                let error = "x".repeat(usize::saturating_sub(long, 175));
                let end = format!(", \"error\": \"{error}\"}}}}\r\n");
                text += &completed(&job, seconds, at(number)).replace("}}\r\n", &end);
            }
            // Of one job of so many that run: it is paused and runs again.
            _ => {
                let jobs = what.strip_prefix("jobs").and_then(|n| n.parse().ok()).unwrap_or(1);
                let job = format!("job{}", number % jobs);
                let word = if number / jobs % 2 == 0 { "running" } else { "paused" };
                text += &status(&job, word, seconds, at(number));
            }
        }
    }
    text += &completed(LAST, seconds, 999_998);
    text += &status(LAST, "null", seconds, 999_999);
    text.into_bytes()
}

pub fn now() -> (u64, u32) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_secs(), now.subsec_micros())
}

/// A client's command.
pub fn send(stream: &mut UnixStream, command: &str) -> io::Result<()> {
    stream.write_all(format!("{command}\n").as_bytes())
}

/// Connects and negotiates, byte by byte, so that nothing behind it is read.
pub fn connect(path: &str) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    line(&mut stream)?;
    send(&mut stream, "{\"execute\": \"qmp_capabilities\"}")?;
    while !line(&mut stream)?.contains("\"return\"") {}
    Ok(stream)
}

fn line(stream: &mut UnixStream) -> io::Result<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while byte[0] != b'\n' {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    String::from_utf8(line).map_err(io::Error::other)
}

/// The CPU time of this process so far.
pub fn cpu() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the kernel fills it in, and cannot fail for the process itself.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |time: libc::timeval| {
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_usec.unsigned_abs() as u32 * 1000)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// As many descriptors as may be.
pub fn raise_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel reads and writes the one that is lent to it.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
}

/// Microseconds since this moment of the wall clock.
pub fn since(seconds: i64, microseconds: i64) -> f64 {
    let (now_seconds, now_microseconds) = now();
    let seconds = now_seconds as i64 - seconds;
    seconds as f64 * 1e6 + f64::from(now_microseconds) - microseconds as f64
}

/// What `bench.py` reads of a client that was flooded.
pub fn flooded(events: usize, cpu: Duration, wall: Duration) {
    println!("events {events}\ncpu_ns {}\nwall_ns {}", cpu.as_nanos(), wall.as_nanos());
}

/// What it reads of one that took times.
pub fn timed(mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let all: Vec<String> = times.iter().map(|time| format!("{time:.0}")).collect();
    println!("times {}", all.join(" "));
}
