//! The crate qapi, blocking: each line as it reads them, into its typed events.
//!
//!     qapi flood PATH WHAT COUNT ROUNDS [each]
//!     qapi latency PATH COUNT

use std::{
    io::{BufRead as _, BufReader},
    os::unix::net::UnixStream,
    time::Instant,
};

use blockjob_bench::{LAST, connect, cpu, flooded, send, since, timed};
use qapi::{
    Any,
    qmp::{Event, QmpMessage},
};

struct Reader {
    stream: BufReader<UnixStream>,
    buffer: Vec<u8>,
}

impl Reader {
    fn connect(path: &str) -> Self {
        let stream = BufReader::new(connect(path).expect("a monitor"));
        Self { stream, buffer: Vec::new() }
    }

    /// What `qapi::Qmp` does for each line.
    fn next(&mut self) -> Option<Event> {
        self.buffer.clear();
        let len = self.stream.read_until(b'\n', &mut self.buffer).expect("the monitor");
        assert!(len > 0, "the monitor has closed the connection");
        match serde_json::from_slice::<QmpMessage<Any>>(&self.buffer).ok()? {
            QmpMessage::Event(event) => Some(event),
            QmpMessage::Response(_) => None,
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().expect("a number");
    match words[..] {
        ["flood", path, what, events, rounds, ..] => {
            let mut reader = Reader::connect(path);
            let each = words.get(5).is_some();
            let order = format!(
                "{{\"execute\": \"x-flood\", \"arguments\": {{\"what\": \"{what}\", \"count\": \
                 {events}, \"each\": {each}}}}}"
            );
            let (begun, before) = (Instant::now(), cpu());
            let mut heard = 0;
            for _ in 0..number(rounds) {
                send(reader.stream.get_mut(), &order).expect("the monitor");
                loop {
                    let Some(event) = reader.next() else { continue };
                    heard += 1;
                    if matches!(&event, Event::BLOCK_JOB_COMPLETED { data, .. } if data.device == LAST)
                    {
                        break;
                    }
                }
            }
            flooded(heard, cpu() - before, begun.elapsed());
        }
        ["latency", path, events] => {
            let mut reader = Reader::connect(path);
            println!("ready");
            let mut times = Vec::new();
            while times.len() < number(events) {
                let at = match reader.next() {
                    Some(Event::BLOCK_JOB_COMPLETED { timestamp, .. }) => timestamp,
                    Some(Event::JOB_STATUS_CHANGE { data, timestamp }) if data.id == "lone" => {
                        timestamp
                    }
                    _ => continue,
                };
                // Its members are its own.
                let at = serde_json::to_value(at).expect("two numbers");
                let part = |name: &str| at[name].as_i64().expect("a number");
                times.push(since(part("seconds"), part("microseconds")));
            }
            timed(times);
        }
        _ => panic!("see the first lines of qapi.rs"),
    }
}
