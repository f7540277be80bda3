//! Numbers that are none of QEMU's.

use super::Attack;
use super::peer::{Peer, event};
use super::victim::Victim;
use crate::client::{Event, number};

pub const ATTACKS: &[Attack] = &[
    Attack::new(
        "huge-numbers",
        |peer| {
            peer.usable();
            say_number(peer, "edge", "9223372036854775807");
            say_number(peer, "over", "9223372036854775808");
            say_number(peer, "far", &"9".repeat(400));
        },
        |victim| {
            assert_eq!(victim.end_of("edge").len, i64::MAX);
            assert_absent(&victim.end_of("over"));
            assert_absent(&victim.end_of("far"));
            victim.lives(0, 0);
        },
    ),
    Attack::new(
        "number-of-a-million-digits",
        |peer| {
            peer.usable();
            say_number(peer, "long", &"9".repeat(300_000));
        },
        |victim| {
            assert_absent(&victim.end_of("long"));
            victim.lives(0, 0);
        },
    ),
    Attack::new(
        "negative-numbers",
        |peer| {
            peer.usable();
            say_number(peer, "below", "-9223372036854775808");
            say_number(peer, "under", "-9223372036854775809");
            say_number(peer, "zero", "-0");
        },
        |victim| {
            let end = victim.end_of("below");
            assert_eq!((end.len, end.outcome), (i64::MIN, number::OUTCOME_SUCCEEDED));
            assert_absent(&victim.end_of("under"));
            assert_eq!(victim.end_of("zero").len, 0);
            victim.lives(0, 0);
        },
    ),
    Attack::new(
        "fractions-and-exponents",
        |peer| {
            peer.usable();
            for (at, number) in
                ["1.0", "1.5", "1e3", "1E+3", "-1e-3", "1e999999"].iter().enumerate()
            {
                say_number(peer, &format!("f{at}"), number);
            }
        },
        |victim| {
            for at in 0..6 {
                assert_absent(&victim.end_of(&format!("f{at}")));
            }
            victim.lives(0, 0);
        },
    ),
    // QEMU itself can write the first of these.
    Attack::new(
        "infinity-and-no-number",
        |peer| {
            peer.usable();
            for number in ["inf", "-inf", "nan", "NaN", "Infinity", "1.#INF"] {
                peer.say(format!("{{\"return\": {{}}, \"id\": {number}}}\r\n"));
                say_number(peer, "never", number);
            }
        },
        |victim| {
            victim.lives(12, 0);
            assert_eq!(victim.ends_told(), 0);
        },
    ),
    Attack::new(
        "numbers-in-other-notations",
        |peer| {
            peer.usable();
            for number in ["007", "+7", "0x7", "7_000", "7.", ".7", "1e", "--7", "7n"] {
                say_number(peer, "never", number);
            }
        },
        |victim| {
            victim.lives(9, 0);
            assert_eq!(victim.ends_told(), 0);
        },
    ),
    Attack::new(
        "timestamps-out-of-this-world",
        |peer| {
            peer.usable();
            for (id, timestamp) in [
                ("negative", "{\"seconds\": -1, \"microseconds\": -1}"),
                ("future", "{\"seconds\": 9223372036854775807, \"microseconds\": 999999999999}"),
                ("over", "{\"seconds\": 9223372036854775808, \"microseconds\": 0}"),
                ("fraction", "{\"seconds\": 1.5, \"microseconds\": 0}"),
                ("text", "\"2026-01-01\""),
                ("half", "{\"seconds\": 1}"),
                ("twice", "{\"seconds\": 1, \"seconds\": 2, \"microseconds\": 0}"),
                ("null", "null"),
            ] {
                let whole = event("BLOCK_JOB_COMPLETED", &format!("{{\"device\": \"{id}\"}}"));
                let time = "{\"seconds\": 1700000000, \"microseconds\": 5}";
                peer.say(whole.replace(time, timestamp));
            }
        },
        |victim| {
            // So an old QEMU says that it has no clock.
            assert_eq!(time_of(victim, "negative"), None);
            assert_eq!(time_of(victim, "future"), Some((i64::MAX, 999_999_999_999)));
            for id in ["over", "fraction", "text", "half", "twice", "null"] {
                assert_eq!(time_of(victim, id), None, "{id}");
            }
            victim.lives(0, 0);
        },
    ),
];

fn say_number(peer: &mut Peer, id: &str, number: &str) {
    let data = format!(
        "{{\"device\": \"{id}\", \"len\": {number}, \"offset\": {number}, \"speed\": {number}}}"
    );
    peer.say(event("BLOCK_JOB_COMPLETED", &data));
}

fn assert_absent(end: &Event) {
    assert_eq!((end.len, end.offset, end.speed), (-1, -1, -1), "{end:?}");
    assert_eq!(end.members, [number::MEMBER_TIMESTAMP], "{end:?}");
    assert_eq!(end.outcome, number::OUTCOME_SUCCEEDED);
}

fn time_of(victim: &mut Victim, id: &str) -> Option<(i64, i64)> {
    victim.end_of(id).timestamp
}
