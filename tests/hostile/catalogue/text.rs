//! What is badly written: bytes that are no message, or no text, or no end.

use super::peer::{Peer, event};
use super::{Attack, LINE_LIMIT};
use crate::client::number;

pub const ATTACKS: &[Attack] = &[
    Attack::new(
        "line-without-brace",
        |peer| peer.usable().say("no message\r\n").done(),
        |victim| {
            victim.lives(1, 0);
        },
    ),
    Attack::new(
        "message-cut-off",
        |peer| peer.usable().say("{\"event\": \"ST\r\n").done(),
        |victim| {
            victim.lives(1, 0);
        },
    ),
    Attack::new(
        "line-over-the-limit",
        |peer| {
            peer.usable().say("{\"event\": \"").repeat("x", LINE_LIMIT).say("\"}\r\n");
        },
        |victim| victim.lives(0, 1),
    ),
    Attack::new(
        "line-at-the-limit",
        |peer| {
            let around = event("STOP", "{\"x\": \"\"}").trim_end().len();
            let [before, after] = ["{\"x\": \"", "\"}"];
            let whole =
                event("STOP", &format!("{before}{}{after}", "y".repeat(LINE_LIMIT - around)));
            assert_eq!(whole.trim_end().len(), LINE_LIMIT);
            peer.usable().say(whole);
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_EVENTS), 2);
        },
    ),
    Attack::new(
        "endless-line",
        |peer| peer.usable().say("{\"event\": \"").repeat("xyz, ", 13 << 20).done(),
        |victim| victim.lives(0, 1),
    ),
    Attack::new(
        "endless-garbage",
        |peer| peer.usable().repeat("xyz, ", 13 << 20).done(),
        |victim| victim.lives(1, 0),
    ),
    Attack::new(
        "endless-white-space",
        |peer| peer.usable().repeat(" \t", 8 << 20).done(),
        |victim| victim.lives(0, 0),
    ),
    Attack::new(
        "deep-nesting-of-lists",
        |peer| {
            peer.usable().say("{\"a\":").repeat("[", 100_000).repeat("]", 100_000).say("}").done();
        },
        |victim| victim.lives(1, 0),
    ),
    Attack::new(
        "deep-nesting-of-objects",
        |peer| {
            let peer = peer.usable().repeat("{\"a\":", 100_000).say("1").repeat("}", 100_000);
            peer.say("\r\n");
        },
        |victim| victim.lives(1, 0),
    ),
    // As deep as QEMU itself goes, which is deeper than a parser of ours follows.
    Attack::new(
        "nesting-at-the-limit",
        |peer| peer.usable().say("{\"a\":").repeat("[", 1023).repeat("]", 1023).say("}").done(),
        |victim| victim.lives(1, 0),
    ),
    Attack::new(
        "brackets-that-close-nothing",
        |peer| peer.usable().repeat("]}", 100_000).done(),
        |victim| victim.lives(1, 0),
    ),
    Attack::new(
        "brackets-that-do-not-match",
        |peer| peer.usable().say("{\"a\": [}]\r\n{\"a\": {]}\r\n{\"a\": [1}\r\n").done(),
        |victim| victim.lives(3, 0),
    ),
    Attack::new(
        "broken-utf-8",
        |peer| {
            peer.usable();
            say_job(peer, b"broken", b"a\xff\xc3b");
            // Overlong, a surrogate, beyond the last character, cut short.
            for text in [&b"\xc0\x80"[..], b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x98"] {
                say_job(peer, b"other", text);
            }
        },
        |victim| {
            let end = victim.end_of("broken");
            assert_eq!(end.error.as_deref(), Some("a\u{FFFD}\u{FFFD}b"));
            victim.lives(0, 0);
        },
    ),
    Attack::new(
        "broken-utf-8-everywhere",
        |peer| {
            // Each of them would become three.
            peer.usable();
            say_job(peer, b"broken", &vec![0xff; LINE_LIMIT / 2]);
        },
        |victim| victim.lives(0, 1),
    ),
    Attack::new(
        "nul-bytes-between-messages",
        |peer| peer.usable().say("\0\0\0\r\n\0").say(event("STOP", "{}")).done(),
        |victim| victim.lives(2, 0),
    ),
    Attack::new(
        "nul-bytes-in-a-string",
        |peer| {
            peer.usable();
            say_job(peer, b"nul", b"a\0b");
        },
        |victim| victim.lives(1, 0),
    ),
    Attack::new(
        "escaped-nuls",
        |peer| {
            peer.usable();
            say_job(peer, br"a\u0000b", br"x\u0000y");
        },
        |victim| {
            let end = victim.end_of("a\u{FFFD}b");
            assert_eq!(end.error.as_deref(), Some("x\u{FFFD}y"));
            victim.lives(0, 0);
        },
    ),
    Attack::new(
        "lone-surrogates",
        |peer| {
            peer.usable();
            // As an id it is none; as a text for people it is shown as it was written.
            say_job(peer, br"\ud800", b"x");
            say_job(peer, b"lone", br"\udc00");
            peer.say("{\"\\ud800\": 1}\r\n");
        },
        |victim| {
            let end = victim.end_of("lone");
            assert_eq!(end.error.as_deref(), Some(r#""\udc00""#));
            victim.lives(2, 0);
        },
    ),
    Attack::new(
        "control-characters-in-strings",
        |peer| {
            peer.usable();
            for text in [b"\x01", b"\t", b"\x1f", b"\r"] {
                say_job(peer, b"j", text);
            }
        },
        |victim| victim.lives(4, 0),
    ),
    Attack::new(
        "byte-order-mark",
        |peer| peer.usable().say(b"\xef\xbb\xbf").say(event("STOP", "{}")).done(),
        |victim| victim.lives(1, 0),
    ),
    Attack::new(
        "utf-16",
        |peer| {
            let text: Vec<u8> =
                event("STOP", "{}").encode_utf16().flat_map(u16::to_be_bytes).collect();
            peer.usable().say(text);
        },
        // Its first byte is no brace, and its newline ends it.
        |victim| victim.lives(1, 0),
    ),
    Attack::new(
        "json-of-other-dialects",
        |peer| {
            peer.usable();
            for text in [
                "{'event': 'STOP'}",
                "{event: \"STOP\"}",
                "{\"event\": \"STOP\",}",
                "{\"event\": \"STOP\" /* stopped */}",
                "{\"event\": True}",
                "{\"event\"= \"STOP\"}",
                "{\"event\" \"STOP\"}",
                "{}",
            ] {
                peer.say(text).say("\r\n");
            }
        },
        |victim| victim.lives(8, 0),
    ),
    Attack::new(
        "a-thousand-messages-on-one-line",
        |peer| {
            let stop = event("STOP", "{}");
            peer.usable().repeat(stop.trim_end(), 1000);
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_EVENTS), 1001);
        },
    ),
    Attack::new(
        "carriage-returns-alone",
        |peer| {
            let stop = event("STOP", "{}").replace('\n', "");
            peer.usable().repeat(&stop, 10);
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_EVENTS), 11);
        },
    ),
    Attack::new(
        "bytes-one-by-one",
        |peer| {
            peer.usable();
            for byte in super::peer::completed("slow", "").bytes() {
                peer.say([byte]);
            }
        },
        |victim| {
            assert_eq!(victim.end_of("slow").outcome, number::OUTCOME_SUCCEEDED);
            victim.lives(0, 0);
        },
    ),
    Attack::new(
        "key-of-a-megabyte",
        |peer| {
            // With an escape it must be read to be compared.
            peer.usable().say("{\"\\u0061").repeat("\\u0061", 150_000).say("\": 1}\r\n");
        },
        |victim| victim.lives(1, 0),
    ),
    Attack::new(
        "binary-garbage",
        |peer| {
            let mut number = 0x9E37_79B9_7F4A_7C15_u64;
            let garbage: Vec<u8> = (0..1 << 20)
                .map(|_| {
                    number ^= number << 13;
                    number ^= number >> 7;
                    number ^= number << 17;
                    number.to_le_bytes()[3]
                })
                .collect();
            peer.usable().say(garbage);
        },
        |victim| {
            victim.proves();
            assert!(victim.stat(number::STAT_MALFORMED) > 1000);
            assert_eq!(victim.ends_told(), 0);
        },
    ),
];

/// The end of a job, in bytes of whatever kind.
fn say_job(peer: &mut Peer, id: &[u8], error: &[u8]) {
    let parts: [&[u8]; 5] = [
        b"{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"BLOCK_JOB_COMPLETED\", \
          \"data\": {\"device\": \"",
        id,
        b"\", \"error\": \"",
        error,
        b"\"}}\r\n",
    ];
    peer.say(parts.concat());
}
