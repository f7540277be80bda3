//! The journal's reader: whatever stands in the file, and however it is cut into slices, a search
//! ends, asks for no more than the file has, holds bounded memory, and finds nothing but what the
//! file says of the job.
//!
//! The input: a byte for the size of slices, one for what is wanted, one for where the file is
//! appended to or truncated, the file. Jobs are `j0` and `j1`, those of a prefix begin with `own-`.

#![no_main]

use blockjob::{
    model::{Event, Kind, Timestamp, Word},
    qmp::journal::{Findings, Position, Request, Search, Want, Wanted},
};
use blockjob_fuzz::memory;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [slice, wanted, place, file @ ..] = input else { return };
    let slice = [1, 3, 16, 61, 200, 4096, 65536][usize::from(*slice) % 7];
    let place = file.len() * usize::from(*place) / 255;
    let request = request(*wanted, file);

    let whole = search(request.clone(), file, 256 << 10);
    let found = search(request.clone(), file, slice);
    check(&found, &request, file);
    // Where a moment is given the way back may end sooner or later by the times it meets.
    if request.wanted.iter().all(|one| one.since.is_none()) {
        assert_eq!(told(&found), told(&whole), "by slices of {slice} bytes");
    }
    goes_on_where_it_ended(&request, file, place, slice);
    shrinks(&request, file, place, slice);
});

fn request(bits: u8, file: &[u8]) -> Request {
    let seconds = i64::from(file.first().copied().unwrap_or(0));
    let since = (bits & 1 == 1).then_some(Timestamp { seconds, microseconds: 0 });
    let seconds = i64::from(file.last().copied().unwrap_or(0));
    let until = (bits & 64 == 64).then_some(Timestamp { seconds, microseconds: 0 });
    let wanted = |number: u64| Wanted { job: number, id: format!("j{number}"), since, until };
    let from = match bits >> 4 & 3 {
        0 => Some(Position::new(0, &[])),
        1 => Position::parse("1:7:0000000000000000"),
        _ => None,
    };
    Request {
        wanted: (0..u64::from(bits >> 1 & 3)).map(wanted).collect(),
        prefix: (bits & 8 == 8).then(|| "own-".to_owned()),
        from,
    }
}

/// A whole search, within its bounds.
fn search(request: Request, file: &[u8], slice: usize) -> Findings {
    let jobs = request.wanted.len() + 1;
    let (found, peak) = memory::peak(|| {
        let mut search = Search::with_slice(request, file.len() as u64, slice);
        let mut read = 0;
        while let Want::Read { offset, len } = search.next() {
            assert!(len > 0 && len <= slice.max(512), "a slice of {len} bytes");
            let offset = usize::try_from(offset).expect("within the file");
            search.handle_slice(offset as u64, &file[offset..offset + len]);
            read += len;
        }
        // Back, forwards, the last line, and two marks.
        assert!(read <= 3 * file.len() + 2 * 512, "{read} bytes of {} were read", file.len());
        search.finish()
    });
    assert!(peak <= 24 * file.len() * jobs + (64 << 10), "{peak} bytes for {}", file.len());
    found
}

fn check(found: &Findings, request: &Request, file: &[u8]) {
    assert_eq!(found.problem, None);
    assert!(request.from.is_some() || !found.restarted);
    let position = found.position.expect("it came to its end");
    assert!(position.offset() <= file.len() as u64);
    assert_eq!(Position::parse(&position.to_string()), Some(position));
    let jobs: Vec<u64> = found.jobs.iter().map(|(job, _)| *job).collect();
    assert_eq!(jobs, request.wanted.iter().map(|one| one.job).collect::<Vec<_>>());
    for (wanted, (_, events)) in request.wanted.iter().zip(&found.jobs) {
        assert!(events.len() <= 33, "{} events of a job", events.len());
        events.iter().for_each(|event| check_event(event, file));
        assert!(events.iter().all(|event| event.text(Word::JobId) == Some(&*wanted.id)));
        // An incarnation has one end, and begins once.
        let ends = events.iter().filter(|event| event.kind.is_final()).count();
        assert!(ends <= 1, "{ends} ends of one incarnation");
    }
    for event in &found.others {
        check_event(event, file);
        assert!(request.prefix.is_some() && request.from.is_some(), "nobody asked for others");
        assert!(event.text(Word::JobId).is_some_and(|id| id.starts_with("own-")));
    }
}

/// What was found is in the file, to the letter.
fn check_event(event: &Event, file: &[u8]) {
    assert!(matches!(event.kind, Kind::Completed | Kind::Cancelled | Kind::Status));
    let json = event.text(Word::Json).expect("its message");
    // What is no UTF-8 in the file was replaced, and then it is not looked for.
    let is_there = || file.windows(json.len()).any(|it| it == json.as_bytes());
    assert!(json.contains('\u{FFFD}') || is_there(), "{json}");
}

/// The findings as one text.
fn told(found: &Findings) -> String {
    let line = |event: &Event| event.text(Word::Json).unwrap_or_default().to_owned();
    let lines = |events: &[Event]| events.iter().map(line).collect::<Vec<_>>();
    let jobs: Vec<_> = found.jobs.iter().map(|(job, events)| (job, lines(events))).collect();
    let position = found.position.map(|it| it.to_string());
    format!("{jobs:?} {:?} {position:?} {}", lines(&found.others), found.restarted)
}

/// Read up to some place, and from there on, no end of the others is missed, nor told of a file
/// that is another one.
fn goes_on_where_it_ended(request: &Request, file: &[u8], place: usize, slice: usize) {
    let first = search(request.clone(), &file[..place], slice);
    let from = first.position;
    let next = Request { from, ..request.clone() };
    let second = search(next.clone(), file, slice);
    check(&second, &next, file);
    assert!(!second.restarted, "it is the same file");
    assert!(second.position.map(Position::offset) >= from.map(Position::offset));
    // With another byte before that place it is another file.
    let offset = usize::try_from(from.expect("it came to its end").offset()).expect("small");
    if let Some(last) = offset.checked_sub(1) {
        let mut other = file.to_vec();
        other[last] ^= 0x20;
        assert!(search(next, &other, slice).restarted, "it is another file");
    }
}

/// The file becomes shorter while it is read.
fn shrinks(request: &Request, file: &[u8], place: usize, slice: usize) {
    let mut search = Search::with_slice(request.clone(), file.len() as u64, slice);
    let mut len = file.len();
    let mut steps = 0;
    while let Want::Read { offset, len: wanted } = search.next() {
        let offset = usize::try_from(offset).expect("within the file");
        steps += 1;
        if len > place && steps % 3 == 2 {
            len = place.max(len / 2);
            search.handle_shrunk(len as u64);
            continue;
        }
        assert!(offset + wanted <= len, "behind the end");
        search.handle_slice(offset as u64, &file[offset..offset + wanted]);
    }
    let found = search.finish();
    assert!(found.position.is_none_or(|at| at.offset() <= len as u64));
}
