//! Laws, each tried on some hundred values by chance: what is cut comes together again, what is
//! written reads back, what is ordered stays so. The values are the same on every run;
//! `PROPTEST_CASES` takes more of them.

use std::{net::IpAddr, path::PathBuf};

use blockjob::{
    model::{Address, Code, Host, Kind, Outcome, Place, Timestamp, Word},
    qmp::{
        command::Command,
        cut::{Backward, Forward},
        decode::decode,
        encode,
        exchange::{Exchange, Next, Order, Purpose},
        line::{Frame, Framer, Stray},
        listing,
        message::{Message, parse},
        position::{Bookmark, Position},
        session::Ticket,
    },
};
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::Index,
    test_runner::{Config, RngSeed},
};
use serde_json::{Map, Value, json};

fn config() -> Config {
    Config { failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..Config::default() }
}

/// Nobody waits.
#[derive(Debug)]
enum Nobody {}

impl Ticket for Nobody {
    type Listing = ();
    type Luggage = ();

    fn is_void(&self) -> bool {
        match *self {}
    }
}

/// Text that QEMU takes: Unicode gives no character to some numbers.
fn text() -> impl Strategy<Value = String> {
    let is_none =
        |c: char| u32::from(c) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c);
    "\\PC{0,12}|[ -~\\n\\\\\"{}\\[\\]]{0,12}".prop_map(move |text| text.replace(is_none, "?"))
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            object_of(inner).prop_map(Value::from),
        ]
    })
}

fn object_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    btree_map(text(), inner, 0..4).prop_map(|members| members.into_iter().collect())
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    object_of(value())
}

/// What a plain monitor writes, or one with `pretty=on`.
fn written(members: &Map<String, Value>, pretty: bool) -> String {
    if pretty { format!("{:#}", json!(members)) } else { json!(members).to_string() }
}

/// The stream in pieces.
fn cut(stream: &[u8], cuts: &[Index]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| stream[pair[0]..pair[1]].to_vec()).collect()
}

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    vec(any::<Index>(), 0..8)
}

/// All messages, and how many lines are none.
fn read(pieces: &[Vec<u8>]) -> (Vec<String>, usize) {
    let mut framer = Framer::new(1 << 20);
    let (mut messages, mut garbage) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = piece.as_slice();
        while let (used, Some(frame)) = framer.next(rest) {
            rest = &rest[used..];
            match frame {
                Frame::Message(bytes) => messages.push(String::from_utf8(bytes.into()).unwrap()),
                Frame::Stray(why, _) => {
                    assert_eq!(why, Stray::Garbage);
                    garbage += 1;
                }
            }
        }
    }
    (messages, garbage)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn messages_are_found_however_the_stream_is_cut_and_whatever_stands_between_them(
        parts in vec((object(), any::<bool>(), "[^\\s{][^\\n]{0,9}"), 1..6),
        cuts in cuts(),
    ) {
        let (mut stream, mut expected) = (String::new(), Vec::new());
        for (members, pretty, noise) in &parts {
            let message = written(members, *pretty);
            stream.extend([&message, "\r\n", noise, "\n"]);
            expected.push(message);
        }
        let (messages, garbage) = read(&cut(stream.as_bytes(), &cuts));
        prop_assert_eq!(garbage, parts.len());
        prop_assert_eq!(messages, expected);
    }

    #[test]
    fn a_line_over_the_limit_costs_only_itself(
        before in object(), long in "[^\\\\\"\\n]{300,400}", after in object(), cuts in cuts(),
    ) {
        let limit = 299.max(json!(before).to_string().len()).max(json!(after).to_string().len());
        prop_assume!(long.len() + 9 > limit);
        let stream = format!("{}\n{{\"a\": \"{long}\"}}\n{}\n", json!(before), json!(after));
        let mut framer = Framer::new(limit);
        let mut found = Vec::new();
        for piece in cut(stream.as_bytes(), &cuts) {
            let mut rest = piece.as_slice();
            while let (used, Some(frame)) = framer.next(rest) {
                rest = &rest[used..];
                found.push(match frame {
                    Frame::Message(bytes) => String::from_utf8(bytes.into()).unwrap(),
                    Frame::Stray(why, _) => format!("{why:?}"),
                });
            }
        }
        let expected = [json!(before).to_string(), "TooLong".into(), json!(after).to_string()];
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_command_says_what_the_program_said_in_one_line(
        name in "[a-z_][a-zA-Z0-9_.-]{0,20}", arguments in object(), pretty: bool, oob: bool,
    ) {
        prop_assume!(name != "qmp_capabilities");
        let json = written(&arguments, pretty);
        let command = Command::<()>::new(1, &name, Some(&json)).unwrap();
        let line = encode::command(oob, &command.name, command.arguments.as_deref(), "b-1-7");
        prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        let said: Value = serde_json::from_slice(&line).unwrap();
        let verb = if oob { "exec-oob" } else { "execute" };
        prop_assert_eq!(said, json!({verb: name, "arguments": arguments, "id": "b-1-7"}));
    }

    #[test]
    fn any_text_is_written_as_json_that_reads_back(text: String) {
        let member = encode::member("id", &text);
        prop_assert_eq!(serde_json::from_str::<Value>(&member).unwrap(), json!({"id": text}));
    }

    #[test]
    fn an_event_says_what_was_written(
        id in text(), job_type in text(), len: i64, offset: i64, speed: i64,
        error in proptest::option::of(text()), cancelled: bool, seconds: i64, micros in 0..1_000_000_i64,
        others in object(),
    ) {
        let name = if cancelled { "BLOCK_JOB_CANCELLED" } else { "BLOCK_JOB_COMPLETED" };
        let mut data = others;
        let own = json!({"device": id, "type": job_type, "len": len, "offset": offset, "speed": speed});
        data.extend(own.as_object().unwrap().clone());
        data.remove("error");
        data.extend(error.clone().map(|error| ("error".to_owned(), Value::from(error))));
        let clock = json!({"seconds": seconds, "microseconds": micros});
        let line = json!({"event": name, "data": data, "timestamp": clock}).to_string();

        let Ok(Message::Event { name, timestamp, data }) = parse(&line) else { panic!("{line}") };
        let event = decode(&name, timestamp, data, &line).unwrap();
        prop_assert_eq!(event.timestamp, Some(Timestamp { seconds, microseconds: micros }));
        prop_assert_eq!(event.text(Word::JobId), Some(&*id));
        prop_assert_eq!(event.text(Word::TypeName), Some(&*job_type));
        prop_assert_eq!((event.len, event.offset, event.speed), (Some(len), Some(offset), Some(speed)));
        prop_assert_eq!(event.text(Word::Error), error.as_deref());
        prop_assert_eq!(event.text(Word::Json), Some(&*line));
        let expected = match (cancelled, &error) {
            (true, _) => (Kind::Cancelled, Outcome::Cancelled),
            (false, Some(_)) => (Kind::Completed, Outcome::Failed),
            (false, None) => (Kind::Completed, Outcome::Succeeded),
        };
        prop_assert_eq!((event.kind, event.outcome), expected);
    }

    #[test]
    fn a_list_of_jobs_has_each_that_says_its_id(
        entries in vec((proptest::option::of(text()), any::<i64>(), text(), object()), 0..5),
    ) {
        let entry = |(id, len, status, others): &(Option<String>, i64, String, Map<String, Value>)| {
            let mut entry = others.clone();
            entry.insert("total-progress".into(), (*len).into());
            entry.insert("status".into(), status.clone().into());
            entry.remove("id");
            entry.extend(id.clone().map(|id| ("id".to_owned(), Value::from(id))));
            Value::from(entry)
        };
        let reply: Vec<Value> = entries.iter().map(entry).collect();
        let reply = serde_json::value::to_raw_value(&reply).unwrap();
        let found: Vec<_> = listing::jobs(&reply).unwrap().into_iter()
            .map(|job| (job.id, job.len, job.status_name)).collect();
        let expected: Vec<_> = entries.into_iter()
            .filter_map(|(id, len, status, _)| Some((id?, Some(len), Some(status)))).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn an_address_is_read_as_it_was_written(place in place(), listens: bool) {
        let (text, place) = place;
        let text = if listens { format!("{text},server=on") } else { text };
        prop_assert_eq!(Address::parse(&text), Ok(Address { place, listens }), "{}", text);
    }

    #[test]
    fn what_is_no_address_is_refused_and_named(text: String) {
        if let Err(error) = Address::parse(&text) {
            prop_assert!(matches!(error.code, Code::Invalid | Code::TooLong));
            prop_assert!(error.text.contains(&text));
        }
    }

    #[test]
    fn a_reply_finds_its_command_once_in_whatever_order_they_come(
        count in 1..40_i64, order in vec(any::<Index>(), 40), limit in 1..9_usize,
    ) {
        let mut exchange = Exchange::<Nobody>::new("blockjob-n-1-".into());
        exchange.limit(limit);
        let mut at_qemu = Vec::new();
        for number in 1..=count {
            let sent = exchange.submit(Order {
                name: "stop",
                arguments: None,
                purpose: Purpose::Command { number, asks: None },
                ticket: None,
                oob: false,
                luggage: None,
                deadline: None,
            });
            at_qemu.extend(sent.map(|sent| sent.bytes));
        }
        prop_assert_eq!(at_qemu.len(), limit.min(usize::try_from(count).unwrap()));
        let mut answered = Vec::new();
        for index in &order {
            if at_qemu.is_empty() {
                break;
            }
            let command: Value =
                serde_json::from_slice(&at_qemu.remove(index.index(at_qemu.len()))).unwrap();
            let id = command["id"].as_str().unwrap();
            for other in [format!("{id}x"), id.replace("n-1-", "n-1-0"), id.replace("n-1", "n-2")] {
                let raw = serde_json::value::to_raw_value(&other).unwrap();
                prop_assert!(exchange.take(Some(&raw)).is_none(), "{} is nobody's", other);
            }
            let raw = serde_json::value::to_raw_value(id).unwrap();
            let Purpose::Command { number, .. } = exchange.take(Some(&raw)).unwrap().purpose else {
                panic!("another purpose")
            };
            prop_assert!(id.ends_with(&format!("-{number}")), "{}", id);
            prop_assert!(exchange.take(Some(&raw)).is_none(), "it was answered");
            answered.push(number);
            while let Some(next) = exchange.advance() {
                let Next::Send(sending) = next else { panic!("somebody is void") };
                at_qemu.push(sending.bytes);
            }
            prop_assert!(at_qemu.len() <= limit);
        }
        answered.sort_unstable();
        prop_assert_eq!(answered, (1..=count).collect::<Vec<_>>());
    }

    #[test]
    fn times_are_ordered_as_they_are_shown_and_as_they_are_stored(one in time(), two in time()) {
        let shown = |time: Timestamp| time.rfc_3339().unwrap();
        prop_assert_eq!(one.cmp(&two), shown(one).cmp(&shown(two)));
        prop_assert_eq!(one.cmp(&two), one.micros().cmp(&two.micros()));
    }

    #[test]
    fn a_bookmark_reads_back_and_no_other_text_is_one(
        offset in 0..1_u64 << 63, before: Vec<u8>, until in proptest::option::of(time()),
        place: Index, byte in "[ -~]",
    ) {
        let position = Position::new(offset, &before);
        let bookmark = Bookmark { position, until };
        let text = bookmark.to_string();
        prop_assert_eq!(Bookmark::parse(&text), Some(bookmark));
        let mut other = text.clone();
        let at = place.index(text.len());
        other.replace_range(at..=at, &byte);
        if let Some(read) = Bookmark::parse(&other) {
            prop_assert_eq!(read.to_string(), other);
        }
    }

    #[test]
    fn a_files_lines_are_the_same_forwards_and_backwards_by_any_slices(
        file in "[ab\\n\\x00]{0,60}", slice in 1..20_usize,
    ) {
        let file = file.as_bytes();
        let (mut forwards, mut backwards) = (Vec::new(), Vec::new());
        let mut cutter = Forward::new(0);
        for part in file.chunks(slice) {
            cutter.cut(part, |at, line| forwards.push((at, line.to_vec())));
        }
        let (at, line) = cutter.unfinished();
        forwards.extend((!line.is_empty()).then(|| (at, line.to_vec())));
        let mut cutter = Backward::new(file.len() as u64);
        for part in file.rchunks(slice) {
            cutter.cut(part, |at, line| backwards.push((at, line.to_vec())));
        }
        backwards.reverse();
        prop_assert_eq!(&forwards, &backwards);
        let lines = file.split(|byte| [b'\n', 0].contains(byte)).filter(|line| !line.is_empty());
        let found: Vec<_> = forwards.iter().map(|(_, line)| line.as_slice()).collect();
        prop_assert_eq!(found, lines.collect::<Vec<_>>());
    }
}

/// Of the years 1970 to 9999.
fn time() -> impl Strategy<Value = Timestamp> {
    let seconds = prop_oneof![0..253_402_300_800_i64, 1_700_000_000..1_700_000_003_i64];
    (seconds, 0..1_000_000_i64)
        .prop_map(|(seconds, microseconds)| Timestamp { seconds, microseconds })
}

/// An address without its option, and what it means.
fn place() -> impl Strategy<Value = (String, Place)> {
    let unix = "[^\\x00@][^\\x00]{0,20}".prop_map(|path| {
        (format!("unix:{}", path.replace(',', ",,")), Place::Unix(PathBuf::from(path)))
    });
    let name = "[^\\x00]{1,20}"
        .prop_map(|name| (format!("unix:@{}", name.replace(',', ",,")), Place::Abstract(name)));
    let port = || 1..=u16::MAX;
    let number = (any::<IpAddr>(), port()).prop_map(|(number, port)| {
        let shown = if number.is_ipv6() { format!("[{number}]") } else { number.to_string() };
        (format!("tcp:{shown}:{port}"), Place::Tcp(Host::Number(number), port))
    });
    let host = ("[a-z][a-z0-9.-]{0,30}", port()).prop_map(|(host, port)| {
        (format!("tcp:{host}:{port}"), Place::Tcp(Host::Name(host), port))
    });
    let fd = (0..=i32::MAX).prop_map(|fd| (format!("fd:{fd}"), Place::Descriptor(fd)));
    prop_oneof![unix, name, number, host, fd]
}
