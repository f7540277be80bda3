//! Parts of an event's way by themselves, each in one thread: what it takes to find where a message
//! ends, to read it in one pass or with every form considered, to say how jobs end, to play their
//! whole lives through the hub, and to find among registrations those that want an event.
//!
//! Items are events, but at `registrations`, where each is a report that is delivered. That
//! everything was really done is asserted before it is measured.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use blockjob::{
    engine::{Filter, Report, Shared},
    model::{Event, Kinds, MonitorId, Now, Settings, Timestamp},
    qmp::{
        act::Act,
        decode::{decode, event},
        event::plain,
        hub::Hub,
        jobs::{Jobs, Told},
        line::Framer,
        message::{Message, parse},
        session::Ticket,
    },
};
use blockjob_bench::{GREETING, burst};
use divan::{Bencher, counter::ItemsCount};

fn main() {
    divan::main();
}

/// Those of a burst, and the two of its mark.
const EVENTS: usize = 702;
const WHATS: [&str; 3] = ["completed", "lives", "foreign"];

fn lines(what: &str) -> Vec<u8> {
    burst(what, EVENTS - 2)
}

/// Measures what takes all events of a burst, and returns how many it took.
fn measure(bencher: Bencher, mut deed: impl FnMut() -> usize) {
    assert_eq!(deed(), EVENTS);
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(deed);
}

#[divan::bench(args = WHATS)]
fn framing(bencher: Bencher, what: &str) {
    let text = lines(what);
    measure(bencher, || {
        let (mut framer, mut rest, mut frames) = (Framer::new(1 << 24), &text[..], 0);
        loop {
            let (used, frame) = framer.next(rest);
            if black_box(frame).is_none() {
                break frames;
            }
            frames += 1;
            rest = &rest[used..];
        }
    });
}

#[divan::bench(args = WHATS)]
fn reading_in_one_pass(bencher: Bencher, what: &str) {
    let text = lines(what);
    measure(bencher, || {
        let (mut rest, mut events) = (&text[..], 0);
        while let Some((used, plain)) = plain(rest, 1 << 24) {
            black_box(plain);
            events += 1;
            rest = &rest[used..];
        }
        events
    });
}

/// In one pass, and into the event that is handed on, where it is one of a job.
#[divan::bench(args = WHATS)]
fn reading_into_an_event(bencher: Bencher, what: &str) {
    let text = lines(what);
    measure(bencher, || {
        let (mut rest, mut events) = (&text[..], 0);
        while let Some((used, plain)) = plain(rest, 1 << 24) {
            if let Some((kind, fields)) = &plain.job {
                black_box(event(*kind, plain.timestamp, fields, plain.text));
            }
            events += 1;
            rest = &rest[used..];
        }
        events
    });
}

/// The same of what is not written as plainly.
#[divan::bench(args = WHATS)]
fn reading_every_form(bencher: Bencher, what: &str) {
    let text = String::from_utf8(lines(what)).expect("it is ASCII");
    measure(bencher, || {
        let parsed = text.lines().filter(|line| {
            let Ok(Message::Event { name, timestamp, data }) = parse(line) else { return false };
            black_box(decode(&name, timestamp, data, line));
            true
        });
        parsed.count()
    });
}

const NOW: Now = Now { running: Duration::ZERO, wall: Timestamp { seconds: 0, microseconds: 0 } };

fn events(what: &str) -> Vec<Event> {
    let text = String::from_utf8(lines(what)).expect("it is ASCII");
    let decoded = text.lines().map(|line| match parse(line) {
        Ok(Message::Event { name, timestamp, data }) => decode(&name, timestamp, data, line),
        _ => None,
    });
    decoded.map(|event| event.expect("it is an event of a job")).collect()
}

/// What is known of each job, from its first word to its end, which is acknowledged at once. The
/// copies of the events that it is fed are measured as well: see `copying_an_event`.
#[divan::bench(args = ["completed", "lives"])]
fn tracking(bencher: Bencher, what: &str) {
    let events = events(what);
    let mut jobs = Jobs::new(Arc::new(Settings::default()));
    measure(bencher, || {
        let mut told = 0;
        for event in &events {
            jobs.handle_event(event.clone(), true);
            for news in jobs.told() {
                if let Told::End(end) = &news {
                    jobs.acknowledge(end.job);
                }
                black_box(news);
                told += 1;
            }
        }
        told
    });
}

#[divan::bench(args = ["completed", "lives"])]
fn copying_an_event(bencher: Bencher, what: &str) {
    let events = events(what);
    measure(bencher, || {
        events.iter().for_each(|event| drop(black_box(event.clone())));
        events.len()
    });
}

#[derive(Debug)]
struct Nobody;

impl Ticket for Nobody {
    type Listing = ();
    type Luggage = ();

    fn is_void(&self) -> bool {
        false
    }
}

const MONITOR: MonitorId = MonitorId(1);

/// One monitor that is usable: what it asks is answered.
fn usable(greeting: &str) -> Hub<Nobody> {
    let mut hub = Hub::new("n".into());
    hub.add(MONITOR, Arc::default);
    hub.start(MONITOR, None, NOW);
    hub.handle_connected(MONITOR, None, NOW);
    hub.handle_bytes(MONITOR, greeting.as_bytes(), NOW);
    loop {
        let mut answers = String::new();
        for (_, act) in hub.acts() {
            let Act::Send(bytes) = act else { continue };
            let command = String::from_utf8(bytes).expect("it is ASCII");
            let (_, id) = command.trim_end().rsplit_once("\"id\":").expect("each has one");
            let result = if command.contains("\"query-") { "[]" } else { "{}" };
            answers += &format!("{{\"return\": {result}, \"id\": {id}\r\n");
        }
        if answers.is_empty() {
            return hub;
        }
        hub.handle_bytes(MONITOR, answers.as_bytes(), NOW);
    }
}

/// From bytes to what is to be told. Ends are acknowledged at once.
#[divan::bench(args = WHATS)]
fn the_hub(bencher: Bencher, what: &str) {
    let text = lines(what);
    // Ends alone are what QEMUs before 3.0 send.
    let old = GREETING.replace("\"minor\": 0, \"major\": 10", "\"minor\": 5, \"major\": 2");
    let mut hub = usable(if what == "completed" { &old } else { GREETING });
    let mut deed = || {
        let mut told = 0;
        hub.handle_bytes(MONITOR, &text, NOW);
        for (_, act) in hub.acts() {
            match &act {
                Act::Tell(_) => told += 1,
                Act::End(end) => {
                    told += 1;
                    hub.acknowledge(MONITOR, end.job, None, NOW);
                }
                _ => {}
            }
            black_box(act);
        }
        black_box(hub.acts());
        told
    };
    // Of events of no job only the mark is told, but they are read all the same.
    assert_eq!(deed(), if what == "foreign" { 2 } else { EVENTS });
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(deed);
}

/// An event meets registrations, of which one wants it: `for_jobs` of this many jobs, `for_all` of
/// another kind. Calling the one that wants it is measured as well.
#[divan::bench(args = [1, 10, 100, 1000, 10000])]
fn registrations_for_jobs(bencher: Bencher, count: usize) {
    registrations(bencher, count, |number| Some(format!("other{number}")));
}

#[divan::bench(args = [1, 10, 100, 1000])]
fn registrations_for_all(bencher: Bencher, count: usize) {
    registrations(bencher, count, |_| None);
}

fn registrations(bencher: Bencher, count: usize, job: impl Fn(usize) -> Option<String>) {
    let shared = Shared::new().expect("an eventfd");
    let monitor = Arc::new(shared.monitor("unix:/nowhere").expect("an address"));
    let called = Arc::new(AtomicUsize::new(0));
    let event = events("lives").swap_remove(0);
    let own = Kinds::only(event.kind);
    let other = Kinds::from_mask(Kinds::all().mask() & !own.mask()).expect("all of them exist");
    for number in 0..count {
        let (job, kinds) = match number + 1 == count {
            true => (None, own),
            false => (job(number), other),
        };
        let filter = Filter { monitor: None, job, kinds, name: None, observes: false };
        let called = Arc::clone(&called);
        let callback = move |_, _: &_| {
            called.fetch_add(1, Relaxed);
        };
        shared.roster.add(filter, None, Arc::new(callback)).expect("it is not stopped");
    }
    let (tick, ()) = shared.roster.tick(|| {});
    let mut report = Report::new(monitor, event, tick);
    let mut deed = || shared.roster.deliver(&mut report);
    assert_eq!(deed(), 1);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(&mut deed);
    assert!(called.load(Relaxed) > 1);
    shared.stop();
    shared.roster.clear();
}
