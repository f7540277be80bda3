//! Does a monitor's latency stay as it was while another one's journal of 2 GiB is read?
//!
//! `cargo bench --bench journal`. One scripted monitor sends an event every half millisecond, and
//! the time from its write to the callback is taken. Another one's connection is cut again and again
//! with a job that only its journal can know, so that the journal is read from end to beginning and
//! on. Both halves run one after the other, three times, in one process: what counts is their ratio.

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use blockjob::{
    engine::{Callback, Filter, Listener, Monitor, Report},
    model::{Kind, Kinds, Word},
};

const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \
                        \"major\": 7}, \"package\": \"\"}, \"capabilities\": []}}\r\n";
const EVENTS: usize = 8000;
const EVERY: Duration = Duration::from_micros(500);
const JOURNAL: u64 = 2 << 30;
const ROUNDS: usize = 3;

fn main() {
    let folder = tempfile::tempdir().expect("a folder for sockets and the journal");
    let journal = folder.path().join("journal");
    write_journal(&journal);

    let listener = Listener::new().expect("a listener");
    let shared = listener.shared();
    let steady = Steady::begin(&listener, &folder.path().join("steady"));

    let socket = folder.path().join("journaled");
    let server = UnixListener::bind(&socket).expect("a socket");
    let reads = Arc::new(AtomicUsize::new(0));
    let wanted = Arc::new(AtomicBool::new(false));
    let (tell, usable) = mpsc::channel();
    {
        let wanted = Arc::clone(&wanted);
        thread::spawn(move || serve_gaps(&server, &usable, &wanted));
    }
    let monitor = monitor(&listener, &socket);
    monitor.set_reconnect(Some((Duration::from_millis(1), Duration::from_millis(10)))).unwrap();
    monitor.set_journal(journal.to_str().expect("UTF-8"), None).unwrap();
    let count = Arc::clone(&reads);
    let tell = Mutex::new(tell);
    let note: Callback = Arc::new(move |_, report| match report.event.kind {
        Kind::Lost => drop(count.fetch_add(1, SeqCst)),
        Kind::Connected => drop(tell.lock().unwrap().send(())),
        _ => {}
    });
    let filter = Filter {
        monitor: Some(monitor.id()),
        job: None,
        kinds: Kinds::all(),
        name: None,
        observes: false,
    };
    shared.add_callback(filter, Some(&monitor), note).expect("a callback");
    monitor.connect(None).expect("a connection");

    println!("{EVENTS} events each, one every {} us; microseconds from write to callback", 500);
    println!("{:>28} {:>8} {:>8} {:>8} {:>8}", "", "p50", "p90", "p99", "max");
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let quiet = steady.measure();
        row("nothing is read", &quiet);
        wanted.store(true, SeqCst);
        let before = reads.load(SeqCst);
        let busy = steady.measure();
        wanted.store(false, SeqCst);
        row(&format!("{} journals are read", reads.load(SeqCst) - before), &busy);
        ratios.push([50, 90, 99].map(|part| at(&busy, part) / at(&quiet, part)));
    }
    for (place, part) in [50, 90, 99].into_iter().enumerate() {
        let mut of_part: Vec<f64> = ratios.iter().map(|ratio| ratio[place]).collect();
        of_part.sort_by(f64::total_cmp);
        println!(
            "p{part}: {:.2} times as much while a journal is read (median of {ROUNDS})",
            of_part[ROUNDS / 2]
        );
    }
    listener.free().expect("outside of callbacks");
}

fn monitor(listener: &Listener, socket: &Path) -> Arc<Monitor> {
    let address = format!("unix:{}", socket.display());
    listener.shared().new_monitor(&address).expect("a monitor")
}

/// A monitor that tells an event whenever it is asked to.
struct Steady {
    tell: mpsc::Sender<()>,
    /// When the callback had each event, by its number.
    heard: Arc<Mutex<mpsc::Receiver<Duration>>>,
}

impl Steady {
    fn begin(listener: &Listener, socket: &Path) -> Self {
        let server = UnixListener::bind(socket).expect("a socket");
        let (tell, told) = mpsc::channel::<()>();
        let begun = Instant::now();
        thread::spawn(move || {
            let (stream, _) = server.accept().expect("a client");
            let mut writer = stream.try_clone().expect("a second descriptor");
            thread::spawn(move || answer(&stream, "[]"));
            let mut number = 0;
            while told.recv().is_ok() {
                for _ in 0..EVENTS {
                    let sent = begun.elapsed().as_nanos();
                    status(&mut writer, &format!("n{number}-{sent}"), "created");
                    number += 1;
                    thread::sleep(EVERY);
                }
            }
        });
        let monitor = monitor(listener, socket);
        let (notes, heard) = mpsc::channel();
        let notes = Mutex::new(notes);
        let note: Callback = Arc::new(move |_, report: &Arc<Report>| {
            let Some((_, sent)) = report.event.text(Word::JobId).and_then(|id| id.split_once('-'))
            else {
                return;
            };
            let sent = Duration::from_nanos(sent.parse().expect("a number"));
            let took = begun.elapsed().saturating_sub(sent);
            let _ = notes.lock().unwrap().send(took);
        });
        let kinds = Kinds::from_mask(Kind::Status as u32).expect("a kind");
        let filter =
            Filter { monitor: Some(monitor.id()), job: None, kinds, name: None, observes: false };
        listener.shared().add_callback(filter, Some(&monitor), note).expect("a callback");
        // Each event begins a job of its own.
        monitor.set_job_limit(1 << 16).unwrap();
        monitor.connect(None).expect("a connection");
        Self { tell, heard: Arc::new(Mutex::new(heard)) }
    }

    fn measure(&self) -> Vec<f64> {
        self.tell.send(()).expect("it runs");
        let heard = self.heard.lock().unwrap();
        let wait = Duration::from_secs(60);
        let mut all: Vec<f64> = (0..EVENTS)
            .map(|_| heard.recv_timeout(wait).expect("an event").as_secs_f64() * 1e6)
            .collect();
        all.sort_by(f64::total_cmp);
        all
    }
}

/// Has a job, is cut, and has it no more; as long as that is wanted.
fn serve_gaps(server: &UnixListener, usable: &mpsc::Receiver<()>, wanted: &AtomicBool) {
    for round in 0.. {
        let Ok((stream, _)) = server.accept() else { return };
        let mut writer = stream.try_clone().expect("a second descriptor");
        let answers = thread::spawn(move || answer(&stream, "[]"));
        // The journal was read for the gap before.
        if usable.recv().is_err() {
            return;
        }
        while !wanted.load(SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        status(&mut writer, &format!("gone{round}"), "created");
        status(&mut writer, &format!("gone{round}"), "running");
        let _ = writer.shutdown(std::net::Shutdown::Both);
        let _ = answers.join();
    }
}

/// Greets, and answers every command with an empty list.
fn answer(stream: &UnixStream, value: &str) {
    let mut writer = stream.try_clone().expect("a second descriptor");
    let _ = writer.write_all(GREETING.as_bytes());
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let id = line.split("\"id\":").nth(1).and_then(|rest| rest.split('"').nth(1)).unwrap_or("");
        let value = if line.contains("capabilities") { "{}" } else { value };
        if writer
            .write_all(format!("{{\"return\": {value}, \"id\": \"{id}\"}}\r\n").as_bytes())
            .is_err()
        {
            return;
        }
    }
}

fn status(writer: &mut UnixStream, id: &str, status: &str) {
    let line = format!(
        "{{\"timestamp\": {{\"seconds\": 1, \"microseconds\": 0}}, \"event\": \
         \"JOB_STATUS_CHANGE\", \"data\": {{\"status\": \"{status}\", \"id\": \"{id}\"}}}}\r\n"
    );
    let _ = writer.write_all(line.as_bytes());
}

/// Events of other jobs, all later than the jobs that are looked for.
fn write_journal(path: &Path) {
    let mut block = String::new();
    for number in 0..100_000 {
        let seconds = 1_700_000_000 + number;
        let _ = writeln!(
            block,
            "{{\"timestamp\": {{\"seconds\": {seconds}, \"microseconds\": 417472}}, \"event\": \
             \"JOB_STATUS_CHANGE\", \"data\": {{\"status\": \"running\", \"id\": \"job{number}\"}}}}"
        );
    }
    let mut file = File::create(path).expect("a file");
    let mut written = 0;
    while written < JOURNAL {
        file.write_all(block.as_bytes()).expect("2 GiB of room");
        written += block.len() as u64;
    }
}

fn row(name: &str, sorted: &[f64]) {
    let [p50, p90, p99, max] = [50, 90, 99, 100].map(|part| at(sorted, part));
    println!("{name:>28} {p50:>8.0} {p90:>8.0} {p99:>8.0} {max:>8.0}");
}

fn at(sorted: &[f64], part: usize) -> f64 {
    sorted[(sorted.len() - 1) * part / 100]
}
