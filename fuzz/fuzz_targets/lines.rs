//! The line buffer: a stream gives the same messages however it is cut into reads, none is over
//! its limit, and whatever came, the next line is found.
//!
//! The input: two bytes for the limit, one for how the stream is cut, the stream.

#![no_main]

use blockjob::qmp::line::{Frame, Framer};
use blockjob_fuzz::memory;
use libfuzzer_sys::fuzz_target;

/// What a frame was, its own.
#[derive(Debug, PartialEq)]
enum Found {
    Message(Vec<u8>),
    Stray(String, Vec<u8>),
}

fuzz_target!(|input: &[u8]| {
    let [low, high, cut, stream @ ..] = input else { return };
    let limit = usize::from(u16::from_le_bytes([*low, *high]));
    let whole = feed(limit, &[stream]);
    assert_eq!(feed(limit, &pieces(*cut, stream)), whole, "in pieces");
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(feed(limit, &bytes), whole, "byte by byte");
    check(limit, stream, &whole);
    the_next_line_is_found(stream);
    memory_is_bounded(limit, stream);
});

/// All frames, and how many bytes the end of the stream has lost.
fn feed(limit: usize, reads: &[&[u8]]) -> (Vec<Found>, usize) {
    let mut framer = Framer::new(limit);
    let mut found = Vec::new();
    for read in reads {
        let mut rest = *read;
        loop {
            let (used, frame) = framer.next(rest);
            assert!(used <= rest.len());
            let Some(frame) = frame else {
                assert_eq!(used, rest.len(), "without a frame all is used");
                break;
            };
            found.push(match frame {
                Frame::Message(bytes) => Found::Message(bytes.to_vec()),
                Frame::Stray(why, bytes) => Found::Stray(format!("{why:?}"), bytes.to_vec()),
            });
            rest = &rest[used..];
        }
    }
    let lost = framer.finish();
    assert_eq!(framer.finish(), 0, "nothing is lost twice");
    (found, lost)
}

/// Reads of sizes that depend on `cut`.
fn pieces(cut: u8, mut stream: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut state = u32::from(cut) | 1;
    while !stream.is_empty() {
        state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        let size = 1 + (state >> 24) as usize % (usize::from(cut) + 1);
        let (piece, rest) = stream.split_at(size.min(stream.len()));
        pieces.push(piece);
        // An empty read changes nothing.
        pieces.push(&[]);
        stream = rest;
    }
    pieces
}

fn check(limit: usize, stream: &[u8], (found, lost): &(Vec<Found>, usize)) {
    let mut sum = *lost;
    let mut rest = stream;
    for one in found {
        match one {
            Found::Message(bytes) => {
                assert!(bytes.len() <= limit, "a message is over the limit");
                assert!(bytes.starts_with(b"{"));
                assert!(bytes.ends_with(b"}") || bytes.ends_with(b"]"));
                let at = rest.windows(bytes.len()).position(|it| it == bytes);
                rest = &rest[at.expect("it was said, behind the one before") + bytes.len()..];
                sum += bytes.len();
            }
            Found::Stray(_, bytes) => assert!(bytes.len() <= 80, "an excerpt is one"),
        }
    }
    assert!(sum <= stream.len(), "more came out than went in");
}

/// Whatever has come before it.
fn the_next_line_is_found(stream: &[u8]) {
    let line = b"{\"a\": [{}], \"b\": \"}\"}";
    let mut all = stream.to_vec();
    all.push(b'\n');
    all.extend_from_slice(line);
    let (found, lost) = feed(usize::MAX, &[&all]);
    assert_eq!((found.last(), lost), (Some(&Found::Message(line.to_vec())), 0));
}

/// A line is held once, and twice while its buffer grows.
fn memory_is_bounded(limit: usize, stream: &[u8]) {
    let ((), peak) = memory::peak(|| {
        let mut framer = Framer::new(limit);
        for byte in stream.chunks(1) {
            let mut rest = byte;
            while let (used, Some(_)) = framer.next(rest) {
                rest = &rest[used..];
            }
        }
    });
    assert!(peak <= 3 * limit.max(256) + 1024, "{peak} bytes with a limit of {limit}");
}
