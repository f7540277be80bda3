//! Lies about jobs. What a QEMU says of its own jobs is told as it says it, once; of another's it
//! can say nothing.

use serde_json::json;

use super::Attack;
use super::peer::{Peer, completed, event, status};
use crate::client::number;

pub const ATTACKS: &[Attack] = &[
    Attack::new(
        "forged-end-of-a-job-that-we-started",
        |peer| {
            peer.usable();
            let Some(command) = peer.command() else { return };
            let job = command.arguments["job-id"].as_str().expect("it has an id").to_owned();
            // Before the reply, with an end that another one contradicts.
            peer.say(status(&job, "created")).say(completed(&job, ""));
            peer.say(completed(&job, ", \"error\": \"forged\""));
            peer.say(event("BLOCK_JOB_CANCELLED", &format!("{{\"device\": \"{job}\"}}")));
            peer.say(format!("{{\"return\": {{}}, \"id\": \"{}\"}}\r\n", command.id));
        },
        |victim| {
            victim.until_kind(number::CONNECTED);
            let job = victim.monitor.job(None, 0);
            job.start("block-stream", &json!({"device": "d"}));
            assert_eq!(job.wait().outcome, number::OUTCOME_SUCCEEDED);
            victim.proves();
            victim.end_of(&job.id());
            assert_eq!(victim.ends_told(), 1);
        },
    ),
    Attack::new(
        "end-of-a-job-whose-start-is-refused",
        |peer| {
            peer.usable();
            let Some(command) = peer.command() else { return };
            let job = command.arguments["job-id"].as_str().expect("it has an id").to_owned();
            peer.say(completed(&job, ""));
            let error = "{\"class\": \"GenericError\", \"desc\": \"no\"}";
            peer.say(format!("{{\"error\": {error}, \"id\": \"{}\"}}\r\n", command.id));
            peer.say(completed(&job, ""));
        },
        |victim| {
            victim.until_kind(number::CONNECTED);
            let job = victim.monitor.job(None, 0);
            let refused = job.try_start("block-stream", &json!({"device": "d"}));
            assert_eq!(refused.unwrap_err().0, -libc::EREMOTEIO);
            victim.proves();
            assert_eq!(victim.ends_told(), 1);
        },
    ),
    Attack::new(
        "ends-that-contradict-each-other",
        |peer| {
            let cancelled = event("BLOCK_JOB_CANCELLED", "{\"device\": \"j\"}");
            let failed = completed("j", ", \"error\": \"no\"");
            peer.usable().say(status("j", "created")).say(&cancelled).say(&failed).say(cancelled);
            peer.say(completed("j", "")).say(failed).say(status("j", "null"));
        },
        |victim| {
            assert_eq!(victim.end_of("j").outcome, number::OUTCOME_CANCELLED);
            victim.lives(0, 0);
            assert_eq!(victim.ends_told(), 1);
        },
    ),
    // Other QEMUs run jobs of such names meanwhile. That all was told of this one is asked after each
    // attack.
    Attack::new(
        "ends-of-another-qemus-jobs",
        |peer| {
            peer.usable();
            for at in 1..200 {
                for id in [format!("ours-{at}"), format!("other-{at}")] {
                    peer.say(completed(&id, ", \"error\": \"forged\""));
                }
            }
            peer.say(completed("standing", "")).say(completed("disk", ""));
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.ends_told(), 2 * 199 + 2);
        },
    ),
    Attack::new(
        "ids-of-the-owners-that-nobody-made",
        |peer| {
            let concluded =
                "{\"id\": \"ours-forged\", \"status\": \"concluded\", \"type\": \"mirror\"}";
            peer.usable_with(&format!("[{concluded}]"), "[]");
            // It is taken for ours, and is dismissed there and nowhere else.
            peer.answer("job-dismiss", "{}");
        },
        |victim| {
            let end = victim.end_of("ours-forged");
            assert_eq!(
                (end.outcome, end.origin),
                (number::OUTCOME_SUCCEEDED, number::ORIGIN_RECOVERED)
            );
            // That it pivoted is nothing that a list says.
            assert_eq!(end.pivoted, number::PIVOTED_UNKNOWN);
            victim.lives(0, 0);
        },
    ),
    Attack::new(
        "concluded-and-never-listed",
        |peer| {
            peer.usable();
            // Each is asked for, once at a time, and no answer has it.
            for at in 0..50 {
                let id = format!("j{at}");
                peer.say(
                    status(&id, "created") + &status(&id, "running") + &status(&id, "concluded"),
                );
            }
        },
        |victim| {
            victim.proves();
            victim.passed_over(0, 0);
            assert_eq!(victim.ends_told(), 0, "nobody said how they ended");
            assert_eq!(victim.stat(number::STAT_JOBS), 50);
            assert!(victim.stat(number::STAT_COMMANDS) < 3 + 60);
        },
    ),
    Attack::new(
        "statuses-in-an-impossible-order",
        |peer| {
            let statuses = ["null", "concluded", "ready", "created", "null", "pending", "running"];
            peer.usable();
            for at in 0..20 {
                for word in statuses {
                    peer.say(status(&format!("j{}", at % 2), word));
                }
            }
            peer.say(completed("j0", "")).say(completed("j1", ""));
        },
        |victim| {
            victim.lives(0, 0);
            // No job goes back, so that what is said each time may be of another one: each of
            // them has one end.
            let said = victim.drain().iter();
            let said = said.filter(|event| event.status_name.is_some()).count();
            assert!(victim.ends_told() <= said, "{}", victim.ends_told());
        },
    ),
    Attack::new(
        "lists-with-ids-that-stand-there-twice",
        |peer| {
            let twice = "[{\"id\": \"j\", \"status\": \"running\", \"type\": \"stream\"}, {\"id\": \"j\", \
                         \"status\": \"concluded\", \"type\": \"stream\", \"error\": \"forged\"}, \
                         {\"id\": \"j\", \"status\": \"concluded\"}]";
            peer.usable_with(twice, "[{\"device\": \"j\"}, {\"device\": \"j\"}]");
            peer.say(completed("j", ""));
        },
        |victim| {
            // The first counts.
            assert_eq!(victim.end_of("j").outcome, number::OUTCOME_SUCCEEDED);
            victim.lives(0, 0);
            assert_eq!(victim.ends_told(), 1);
        },
    ),
    Attack::new(
        "lists-with-errors-of-a-megabyte",
        |peer| {
            let error = "e".repeat(900_000);
            let job =
                format!("[{{\"id\": \"j\", \"status\": \"concluded\", \"error\": \"{error}\"}}]");
            peer.usable_with(&job, "[]");
        },
        |victim| {
            let end = victim.end_of("j");
            assert_eq!(end.outcome, number::OUTCOME_FAILED);
            assert!(end.error.is_some_and(|error| error.len() <= 64 << 10));
            victim.lives(0, 0);
        },
    ),
    Attack::new(
        "list-that-contradicts-what-was-heard",
        |peer| {
            peer.greet();
            peer.answer("qmp_capabilities", "{}");
            // It ends and is forgotten, and is listed all the same.
            peer.say(status("j", "created") + &completed("j", "") + &status("j", "null"));
            let job = "[{\"id\": \"j\", \"status\": \"concluded\", \"error\": \"forged\"}]";
            peer.answer("query-jobs", job);
            peer.answer("query-block-jobs", "[]");
        },
        |victim| {
            assert_eq!(victim.end_of("j").outcome, number::OUTCOME_SUCCEEDED);
            victim.lives(0, 0);
            assert_eq!(victim.ends_told(), 1);
        },
    ),
    Attack::new(
        "old-qemu-with-new-events",
        |peer| {
            peer.say(super::peer::GREETING.replace("\"major\": 7", "\"major\": 1"));
            peer.answer("qmp_capabilities", "{}");
            peer.answer("query-block-jobs", "[]");
            for id in ["a", "b"] {
                peer.say(status(id, "created") + &status(id, "null") + &completed(id, ""));
            }
        },
        |victim| victim.lives(0, 0),
    ),
    Attack::new(
        "a-list-of-jobs-that-is-longer-than-the-limit",
        |peer| {
            peer.usable();
            for _ in 0..2 {
                let Some(command) = peer.command() else { return };
                let key = if command.name == "query-jobs" { "id" } else { "device" };
                peer.say(format!("{{\"id\": \"{}\", \"return\": [", command.id));
                peer.count(5000, |at| format!("{{\"{key}\": \"j{at}\"}},")).say("7]}\r\n");
            }
        },
        |victim| {
            victim.until_kind(number::CONNECTED);
            // A part of it would look like all.
            assert_eq!(victim.monitor.fails_to_list(), -libc::ENOBUFS);
            victim.lives(0, 0);
        },
    ),
    Attack::new("shutdowns-that-do-not-come", Peer::announce_shutdowns, |victim| {
        victim.lives(0, 0);
        assert_eq!(victim.monitor.state(), number::STATE_CONNECTED);
        assert_eq!(victim.ends_told(), 0);
    }),
];

impl Peer {
    fn announce_shutdowns(&mut self) {
        self.usable().repeat(&event("SHUTDOWN", "{\"guest\": true, \"reason\": \"x\"}"), 1000);
    }
}
