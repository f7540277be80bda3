//! Messages whose members are not what they should be.

use super::Attack;
use super::peer::{completed, event, status};
use crate::client::number;

/// The events of jobs, with the members that QEMU gives them; the first one names the job.
const EVENTS: [(&str, &[&str]); 6] = [
    ("BLOCK_JOB_COMPLETED", &["device", "type", "len", "offset", "speed", "error"]),
    ("BLOCK_JOB_CANCELLED", &["device", "type", "len", "offset", "speed"]),
    ("BLOCK_JOB_READY", &["device", "type", "len", "offset", "speed"]),
    ("BLOCK_JOB_PENDING", &["id", "type"]),
    ("BLOCK_JOB_ERROR", &["device", "operation", "action"]),
    ("JOB_STATUS_CHANGE", &["id", "status"]),
];

/// One of each type of JSON.
const VALUES: [&str; 9] = [
    "null",
    "true",
    "0",
    "-1.5",
    "1e999",
    "\"\"",
    "\"word\"",
    "[\"word\"]",
    "{\"word\": \"word\"}",
];

pub const ATTACKS: &[Attack] = &[
    Attack::new(
        "wrong-types-of-every-member",
        |peer| {
            peer.usable();
            for (name, members) in EVENTS {
                for wrong in members {
                    for value in VALUES {
                        let of = |member: &&str| {
                            let good = if *member == members[0] { "\"job\"" } else { "1" };
                            let value = if member == wrong { value } else { good };
                            format!("\"{member}\": {value}")
                        };
                        let members: Vec<String> = members.iter().map(of).collect();
                        peer.say(event(name, &format!("{{{}}}", members.join(", "))));
                    }
                }
            }
        },
        |victim| {
            // Without a text that names it, it is no event of a job.
            let texts = VALUES.iter().filter(|value| value.starts_with('"')).count();
            victim.lives(i64::try_from(EVENTS.len() * (VALUES.len() - texts)).unwrap(), 0);
        },
    ),
    Attack::new(
        "wrong-types-around-the-members",
        |peer| {
            peer.usable();
            for value in VALUES.into_iter().filter(|value| !value.starts_with('"')) {
                peer.say(format!("{{\"event\": {value}, \"data\": {{\"device\": \"j\"}}}}\r\n"));
                for (name, _) in EVENTS {
                    peer.say(event(name, value));
                }
            }
        },
        |victim| {
            victim.lives(7 * 7, 0);
            assert_eq!(victim.ends_told(), 0);
        },
    ),
    Attack::new(
        "members-that-stand-there-twice",
        |peer| {
            peer.usable();
            let id = "\"device\": \"twice\"";
            peer.say(event("BLOCK_JOB_COMPLETED", &format!("{{{id}, {id}}}")));
            peer.say(event(
                "BLOCK_JOB_COMPLETED",
                &format!("{{{id}, \"error\": 1, \"error\": 2}}"),
            ));
            // Written in another way it is the same.
            let escaped = format!("{{{id}, \"\\u0064evice\": \"other\"}}");
            peer.say(event("BLOCK_JOB_COMPLETED", &escaped));
            peer.say("{\"event\": \"STOP\", \"event\": \"RESUME\"}\r\n");
            peer.say("{\"return\": {}, \"return\": {}, \"id\": 1}\r\n");
            peer.say("{\"return\": {}, \"id\": 1, \"id\": 2}\r\n");
        },
        |victim| {
            victim.lives(6, 0);
            assert_eq!(victim.ends_told(), 0);
        },
    ),
    Attack::new(
        "members-that-are-missing",
        |peer| {
            peer.usable();
            for (name, members) in EVENTS {
                peer.say(event(name, "{}"));
                peer.say(format!("{{\"event\": \"{name}\"}}\r\n"));
                // All but the one that says which job it is.
                let rest = members[1..].iter().map(|member| format!("\"{member}\": 1"));
                peer.say(event(name, &format!("{{{}}}", rest.collect::<Vec<_>>().join(", "))));
            }
            peer.say(event("BLOCK_JOB_COMPLETED", "{\"device\": \"alone\"}"));
            peer.say("{\"data\": {\"device\": \"j\"}}\r\n");
        },
        |victim| {
            let end = victim.end_of("alone");
            assert_eq!((end.outcome, end.type_name), (number::OUTCOME_SUCCEEDED, None));
            victim.lives(3 * 6 + 1, 0);
        },
    ),
    Attack::new(
        "the-other-members-name",
        |peer| {
            peer.usable();
            // The one is of some events, the other of the others.
            peer.say(event("BLOCK_JOB_COMPLETED", "{\"id\": \"j\"}"));
            peer.say(event("JOB_STATUS_CHANGE", "{\"device\": \"j\", \"status\": \"null\"}"));
        },
        |victim| victim.lives(2, 0),
    ),
    Attack::new(
        "members-by-the-ten-thousand",
        |peer| {
            let more: Vec<String> = (0..50_000).map(|at| format!(", \"m{at}\": {at}")).collect();
            let more = more.concat();
            peer.usable().say(completed("many", &more));
        },
        |victim| {
            assert_eq!(victim.end_of("many").outcome, number::OUTCOME_SUCCEEDED);
            victim.lives(0, 0);
        },
    ),
    Attack::new(
        "words-that-nobody-knows",
        |peer| {
            peer.usable().say(status("strange", "dozing"));
            let data = "{\"device\": \"strange\", \"type\": \"transmute\", \"error\": {\"a\": 1}}";
            peer.say(event("BLOCK_JOB_COMPLETED", data));
        },
        |victim| {
            let end = victim.end_of("strange");
            assert_eq!((end.job_type, end.outcome), (0, number::OUTCOME_FAILED));
            assert_eq!(end.type_name.as_deref(), Some("transmute"));
            assert_eq!(end.error.as_deref(), Some("{\"a\": 1}"));
            victim.lives(0, 0);
            let dozes =
                |event: &&crate::client::Event| event.status_name.as_deref() == Some("dozing");
            assert_eq!(victim.drain().iter().filter(dozes).count(), 1);
        },
    ),
    Attack::new(
        "error-of-ten-megabytes",
        |peer| {
            let start = completed("long", ", \"error\": \"");
            let start = start.trim_end().strip_suffix("}}").expect("an error was begun").to_owned();
            peer.usable().say(start).repeat("\\u00e9", 10 << 18).say("\"}}\r\n");
        },
        |victim| {
            let end = victim.end_of("long");
            assert_eq!(end.outcome, number::OUTCOME_FAILED);
            let error = end.error.expect("it has failed");
            assert!(error.starts_with("éé") && error.ends_with("é..."));
            assert!(error.len() <= 64 << 10);
            assert!(end.json.is_some_and(|json| json.len() > 10 << 20));
            victim.lives(0, 0);
        },
    )
    .set(|monitor| monitor.set_line_limit(16 << 20)),
    Attack::new(
        "id-of-a-megabyte",
        |peer| {
            let id = "j".repeat(1 << 19);
            peer.usable().say(status(&id, "created")).say(completed(&id, ""));
            let longest = "j".repeat(1024);
            peer.say(completed(&longest, "")).say(completed(&(longest + "j"), ""));
        },
        |victim| {
            victim.end_of(&"j".repeat(1024));
            victim.lives(3, 0);
            assert_eq!(victim.ends_told(), 1);
        },
    ),
    Attack::new(
        "words-of-a-megabyte",
        |peer| {
            let word = "w".repeat(1 << 19);
            peer.usable().say(event(&word, "{}"));
            peer.say(event(
                "BLOCK_JOB_COMPLETED",
                &format!("{{\"device\": \"j\", \"type\": \"{word}\"}}"),
            ));
        },
        |victim| {
            assert_eq!(victim.end_of("j").type_name, None);
            victim.lives(1, 0);
        },
    ),
    Attack::new(
        "ids-that-are-none-of-qemus",
        |peer| {
            peer.usable();
            for id in ["", " ", "../../x", "%s%n", "a\\nb", "\\u202e", "1", "-", "\\\"'; drop"] {
                peer.say(completed(id, ""));
            }
        },
        |victim| {
            for id in ["", " ", "../../x", "%s%n", "a\nb", "\u{202e}", "1", "-", "\"'; drop"] {
                assert_eq!(victim.end_of(id).outcome, number::OUTCOME_SUCCEEDED, "{id:?}");
            }
            victim.lives(0, 0);
        },
    ),
];
