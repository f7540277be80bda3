//! Fake monitors, as many as wanted, in one thread: `fleet DIRECTORY COUNT`. They listen at
//! DIRECTORY/0, /1..., greet, and answer every command: `query-jobs` with an empty list, but at
//! monitors whose path ends in "old", which refuse it as a QEMU before 3.0 does. `x-flood` answers
//! with a burst of events.
//!
//! Standard input says what else they do, and each line is answered with one on standard output:
//!
//!     lone COUNT MICROSECONDS     one event each so often, at a monitor by chance
//!     flood N                     the first N monitors flood from now on
//!     calm                        they stop
//!     drop                        all connections end at once
//!     count                       how many are connected and usable

use std::{
    collections::HashMap,
    fs,
    io::{self, BufRead as _, ErrorKind, Read as _, Write as _},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use blockjob_bench::{GREETING, burst, now, raise_limit, status};
use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{UnixListener, UnixStream},
};

#[derive(Default)]
struct Peer {
    stream: Option<UnixStream>,
    heard: Vec<u8>,
    unsent: Vec<u8>,
    sent: usize,
    /// What is unsent goes in writes of one event.
    each: bool,
    usable: bool,
    floods: bool,
    old: bool,
    /// Counts the connections, so that a token is of one.
    life: usize,
}

enum Order {
    Lone,
    Flood(usize),
    Calm,
    Drop,
    Count,
}

struct Fleet {
    poll: Poll,
    doors: Vec<UnixListener>,
    peers: Vec<Peer>,
    bursts: HashMap<(String, usize), Vec<u8>>,
    chance: u64,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, names @ ..] = &arguments[..] else { panic!("fleet DIRECTORY COUNT|NAME...") };
    let names: Vec<String> = match names {
        [count] if count.parse::<usize>().is_ok() => {
            (0..count.parse().expect("a number")).map(|number: usize| number.to_string()).collect()
        }
        names => names.to_vec(),
    };
    raise_limit();
    let poll = Poll::new()?;
    let mut fleet = Fleet {
        poll,
        doors: Vec::new(),
        peers: Vec::new(),
        bursts: HashMap::new(),
        chance: 0x9E37_79B9_7F4A_7C15,
    };
    for (place, name) in names.iter().enumerate() {
        let path = format!("{directory}/{name}");
        let _ = fs::remove_file(&path);
        let mut door = UnixListener::bind(path)?;
        fleet.poll.registry().register(&mut door, Token(place * 2), Interest::READABLE)?;
        fleet.doors.push(door);
        fleet.peers.push(Peer { old: name.ends_with("old"), ..Peer::default() });
    }
    let waker = Waker::new(fleet.poll.registry(), Token(usize::MAX))?;
    let (post, orders) = mpsc::channel();
    thread::spawn(move || listen(&post, &waker));
    println!("ready");
    let mut ready = Events::with_capacity(1024);
    loop {
        fleet.poll.poll(&mut ready, None)?;
        for event in &ready {
            let token = event.token();
            if token == Token(usize::MAX) {
                fleet.obey(&orders);
            } else if token.0 % 2 == 0 {
                fleet.accept(token.0 / 2)?;
            } else {
                if event.is_readable() {
                    fleet.hear(token.0 / 2);
                }
                fleet.flush(token.0 / 2);
            }
        }
    }
}

/// Reads standard input; its end is ours.
fn listen(post: &Sender<Order>, waker: &Waker) {
    let tell = |order| {
        let _ = post.send(order);
        let _ = waker.wake();
    };
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let words: Vec<&str> = line.split(' ').collect();
        let number = |text: &str| text.parse::<u64>().expect("a number");
        match words[..] {
            ["lone", count, every] => {
                let mut next = Instant::now();
                for _ in 0..number(count) {
                    next += Duration::from_micros(number(every));
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                    tell(Order::Lone);
                }
                println!("ok");
            }
            ["flood", count] => tell(Order::Flood(number(count) as usize)),
            ["calm"] => tell(Order::Calm),
            ["drop"] => tell(Order::Drop),
            ["count"] => tell(Order::Count),
            _ => panic!("{line}"),
        }
    }
    std::process::exit(0);
}

impl Fleet {
    fn obey(&mut self, orders: &Receiver<Order>) {
        while let Ok(order) = orders.try_recv() {
            match order {
                Order::Lone => {
                    let calm: Vec<usize> =
                        (0..self.peers.len()).filter(|place| !self.peers[*place].floods).collect();
                    let place = calm[self.next_chance() as usize % calm.len()];
                    let (seconds, microseconds) = now();
                    let line = status("lone", "running", seconds, microseconds);
                    self.peers[place].unsent.extend_from_slice(line.as_bytes());
                    self.flush(place);
                    continue;
                }
                Order::Flood(count) => {
                    for place in 0..count {
                        self.peers[place].floods = true;
                        self.flush(place);
                    }
                }
                Order::Calm => self.peers.iter_mut().for_each(|peer| peer.floods = false),
                Order::Drop => self.peers.iter_mut().for_each(Peer::hang_up),
                Order::Count => {
                    println!("{}", self.peers.iter().filter(|peer| peer.usable).count());
                    continue;
                }
            }
            println!("ok");
        }
    }

    fn next_chance(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance
    }

    fn accept(&mut self, place: usize) -> io::Result<()> {
        while let Ok((mut stream, _)) = self.doors[place].accept() {
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(place * 2 + 1), both)?;
            let peer = &mut self.peers[place];
            peer.hang_up();
            peer.life += 1;
            peer.stream = Some(stream);
            let old =
                GREETING.replace("\"minor\": 0, \"major\": 10", "\"minor\": 11, \"major\": 2");
            let greeting = if peer.old { &old } else { GREETING };
            peer.unsent.extend_from_slice(greeting.as_bytes());
            self.flush(place);
        }
        Ok(())
    }

    fn hear(&mut self, place: usize) {
        let peer = &mut self.peers[place];
        let Some(stream) = &mut peer.stream else { return };
        let mut part = [0; 4096];
        loop {
            match stream.read(&mut part) {
                Ok(0) => return peer.hang_up(),
                Ok(count) => peer.heard.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return peer.hang_up(),
            }
        }
        // Not every client ends a command with a newline.
        let heard = std::mem::take(&mut self.peers[place].heard);
        let mut commands = serde_json::Deserializer::from_slice(&heard).into_iter();
        let mut used = 0;
        while let Some(Ok(command)) = commands.next() {
            used = commands.byte_offset();
            self.answer(place, &command);
        }
        self.peers[place].heard = heard[used..].to_vec();
    }

    fn answer(&mut self, place: usize, command: &serde_json::Value) {
        let id = command.get("id").map(|id| format!(", \"id\": {id}")).unwrap_or_default();
        let name = command["execute"].as_str().unwrap_or_default();
        let peer = &mut self.peers[place];
        peer.usable |= name == "qmp_capabilities";
        let value = match name {
            "query-jobs" if peer.old => {
                let refusal = "\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"The command \
                               query-jobs has not been found\"}";
                peer.unsent.extend_from_slice(format!("{{{refusal}{id}}}\r\n").as_bytes());
                return self.flush(place);
            }
            "query-jobs" | "query-block-jobs" => "[]",
            _ => "{}",
        };
        peer.unsent.extend_from_slice(format!("{{\"return\": {value}{id}}}\r\n").as_bytes());
        if name == "x-flood" {
            let arguments = &command["arguments"];
            let what = arguments["what"].as_str().expect("what").to_owned();
            let count = arguments["count"].as_u64().expect("how many") as usize;
            peer.each = arguments["each"].as_bool() == Some(true);
            let key = (what.clone(), count);
            let text = self.bursts.entry(key).or_insert_with(|| burst(&what, count));
            peer.unsent.extend_from_slice(text);
        }
        self.flush(place);
    }

    fn flush(&mut self, place: usize) {
        let peer = &mut self.peers[place];
        let Some(stream) = &mut peer.stream else { return };
        loop {
            if peer.sent == peer.unsent.len() {
                (peer.unsent, peer.sent) = (Vec::new(), 0);
                if !peer.floods {
                    return;
                }
                let key = ("lives".to_owned(), 7000);
                let text = self.bursts.entry(key).or_insert_with(|| burst("lives", 7000));
                peer.unsent.extend_from_slice(text);
            }
            let rest = &peer.unsent[peer.sent..];
            let mut len = rest.len().min(64 << 10);
            if peer.each {
                len = rest.iter().position(|byte| *byte == b'\n').map_or(len, |at| at + 1);
            }
            match stream.write(&rest[..len]) {
                Ok(count) => peer.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return peer.hang_up(),
            }
        }
    }
}

impl Peer {
    fn hang_up(&mut self) {
        *self = Self { old: self.old, floods: self.floods, life: self.life, ..Self::default() };
    }
}
