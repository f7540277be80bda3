//! Parts of an event's way by themselves: what it takes to find where a message ends, to read it in one
//! pass or with every form considered, and to play a whole life of a job through the hub.

use std::{hint::black_box, sync::Arc, time::Duration};

use blockjob::{
    model::{MonitorId, Now, Timestamp},
    qmp::{
        decode::decode,
        event::plain,
        hub::Hub,
        line::Framer,
        message::{Message, parse},
        session::Ticket,
    },
};
use blockjob_bench::{GREETING, burst};

fn main() {
    divan::main();
}

fn lines(what: &str) -> Vec<u8> {
    burst(what, 700)
}

#[divan::bench(args = ["completed", "lives", "foreign"])]
fn framing(bencher: divan::Bencher, what: &str) {
    let text = lines(what);
    bencher.counter(divan::counter::ItemsCount::new(702_usize)).bench_local(|| {
        let (mut framer, mut rest) = (Framer::new(1 << 24), &text[..]);
        loop {
            let (used, frame) = framer.next(rest);
            if black_box(frame).is_none() {
                break;
            }
            rest = &rest[used..];
        }
    });
}

#[divan::bench(args = ["completed", "lives", "foreign"])]
fn reading_in_one_pass(bencher: divan::Bencher, what: &str) {
    let text = lines(what);
    bencher.counter(divan::counter::ItemsCount::new(702_usize)).bench_local(|| {
        let mut rest = &text[..];
        while let Some((used, event)) = plain(rest, 1 << 24) {
            black_box(event);
            rest = &rest[used..];
        }
    });
}

#[divan::bench(args = ["completed", "lives", "foreign"])]
fn reading_every_form(bencher: divan::Bencher, what: &str) {
    let text = String::from_utf8(lines(what)).expect("ASCII");
    bencher.counter(divan::counter::ItemsCount::new(702_usize)).bench_local(|| {
        for line in text.lines() {
            if let Ok(Message::Event { name, timestamp, data }) = parse(line) {
                black_box(decode(&name, timestamp, data, line));
            }
        }
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

#[divan::bench]
fn lives_of_jobs_through_the_hub(bencher: divan::Bencher) {
    let (id, text) = (MonitorId(1), lines("lives"));
    let wall = Timestamp { seconds: 0, microseconds: 0 };
    let now = Now { running: Duration::ZERO, wall };
    let mut hub = Hub::<Nobody>::new("n".into());
    hub.add(id, Arc::default);
    hub.start(id, None, now);
    hub.handle_connected(id, None, now);
    hub.handle_bytes(id, GREETING.as_bytes(), now);
    bencher.counter(divan::counter::ItemsCount::new(702_usize)).bench_local(|| {
        hub.handle_bytes(id, &text, now);
        black_box(hub.acts());
    });
}
