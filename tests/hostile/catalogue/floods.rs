//! More of it than anybody can use.

use std::iter;
use std::sync::atomic::Ordering::SeqCst;

use super::Attack;
use super::peer::{completed, event, status};
use crate::client::{Event, number};

/// The kinds that no flood of these attacks is of.
const CALM: u32 = number::ALL & !(number::STATUS as u32) & !(number::ERROR as u32);
/// Without the ends of jobs.
const CALMER: u32 = CALM & !(number::FINAL as u32);
/// How many jobs a monitor knows, unless it is set otherwise.
const JOBS: i64 = 4096;
/// How many events wait for a program of what can be dropped, and of what never is.
const WAITING: i64 = 1024;
const KEPT: i64 = 8192;
/// The bytes of a text that is long.
const LONG: usize = 500_000;
const TOO_SLOW: &str = "the program does not take its events: too many outcomes wait for it";
/// What is read at once.
const READ: usize = 8 << 10;

/// An event that says which one it is.
fn numbered(at: usize, name: &str, data: &str) -> String {
    format!(
        "{{\"timestamp\": {{\"seconds\": 1, \"microseconds\": {at}}}, \"event\": \"{name}\", \
         \"data\": {data}}}\r\n"
    )
}

fn number_of(event: &Event) -> Option<i64> {
    event.timestamp.map(|(_, number)| number)
}

fn figure(count: impl TryInto<i64>) -> i64 {
    count.try_into().ok().expect("a test counts no further")
}

/// All of a job, which nobody could have heard more of.
fn life(at: usize) -> String {
    let id = format!("j{at}");
    status(&id, "created") + &status(&id, "null")
}

pub const ATTACKS: &[Attack] = &[
    Attack::new(
        "events-by-the-hundred-thousand",
        |peer| peer.usable().repeat(&event("NIC_RX_FILTER_CHANGED", "{}"), 300_000).done(),
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_EVENTS), 300_001);
        },
    ),
    Attack::new(
        "status-changes-by-the-hundred-thousand",
        |peer| {
            let say = |at| {
                let status = if at % 2 == 0 { "running" } else { "paused" };
                let data = format!("{{\"status\": \"{status}\", \"id\": \"one\"}}");
                numbered(at, "JOB_STATUS_CHANGE", &data)
            };
            peer.usable().say(say(0)).meanwhile(|peer| {
                peer.count(200_000, |at| say(at + 1)).say(completed("one", ""));
            });
        },
        |victim| {
            assert_eq!(victim.end_of("one").outcome, number::OUTCOME_SUCCEEDED);
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_JOB_EVENTS), 200_002);
            // The first one was taken. Of those behind it the oldest are gone, in whose place one
            // OVERFLOW stands, and the latest wait, among them the proof.
            let mut kinds: Vec<_> = victim.drain().iter().map(|event| event.kind).collect();
            kinds.dedup();
            let expected = [number::CONNECTED, number::STATUS, number::OVERFLOW, number::STATUS];
            assert_eq!(kinds, [&expected[..], &[number::COMPLETED]].concat());
            let waiting = 200_000 - WAITING + 2..=200_000;
            let statuses =
                victim.told_of(number::STATUS).into_iter().map(|event| number_of(&event));
            assert!(statuses.eq(iter::once(0).chain(waiting).map(Some)));
            victim.dropped(200_000 - WAITING + 1);
        },
    )
    .slow(number::STATUS),
    Attack::new(
        "readiness-by-the-hundred-thousand",
        |peer| {
            let ready =
                |at| numbered(at, "BLOCK_JOB_READY", "{\"device\": \"one\", \"type\": \"mirror\"}");
            peer.usable().say(ready(0)).meanwhile(|peer| {
                peer.count(100_000, |at| ready(at + 1));
            });
        },
        |victim| {
            victim.lives(0, 0);
            let told: Vec<_> = victim.told_of(number::READY).iter().map(number_of).collect();
            assert_eq!(told, [Some(0), Some(100_000)]);
            victim.dropped(0);
        },
    )
    .slow(number::READY),
    Attack::new(
        "raw-events-by-the-hundred-thousand",
        |peer| {
            let flood = event("FLOOD", "{\"x\": 1}");
            peer.usable().say(&flood).meanwhile(|peer| peer.repeat(&flood, 100_000).done());
        },
        |victim| {
            victim.lives(0, 0);
            // The first one was taken, and the proof is one of those that wait.
            assert_eq!(figure(victim.floods.events.load(SeqCst)), WAITING);
            victim.dropped(100_000 - (WAITING - 1));
        },
    )
    .slow(number::RAW),
    Attack::new(
        "long-raw-events-by-the-hundred",
        |peer| {
            let flood = event("FLOOD", &format!("\"{}\"", "x".repeat(LONG)));
            peer.usable().say(&flood).meanwhile(|peer| peer.repeat(&flood, 200).done());
        },
        |victim| {
            victim.lives(0, 0);
            let told = figure(victim.floods.events.load(SeqCst));
            assert_eq!(told, 1 + (16 << 20) / figure(LONG));
            victim.dropped(201 - told);
        },
    )
    .slow(number::RAW),
    Attack::new(
        "ids-by-the-hundred-thousand",
        |peer| {
            peer.usable().count(200_000, |at| status(&format!("j{at}"), "running"));
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_JOBS), JOBS);
            victim.dropped_of(200_000 - JOBS, JOBS);
        },
    )
    .kinds(CALMER),
    Attack::new(
        "long-ids-by-the-hundred-thousand",
        |peer| {
            let long = "j".repeat(1000);
            peer.usable().count(20_000, |at| status(&format!("{long}{at}"), "running"));
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_JOBS), JOBS);
            victim.dropped_of(20_000 - JOBS, JOBS);
        },
    )
    .kinds(CALMER),
    // Each of them lives and ends, and leaves nothing.
    Attack::new(
        "lives-of-jobs-by-the-thousand",
        |peer| peer.usable().count(8000, life).done(),
        |victim| {
            victim.lives(0, 0);
            let mut ended: Vec<_> = victim.told_ends().map(|end| end.job_id.clone()).collect();
            assert_eq!(ended.len(), 8000);
            ended.sort_unstable();
            ended.dedup();
            assert_eq!(ended.len(), 8000, "each has one end");
            assert_eq!(victim.stat(number::STAT_JOBS), 0);
        },
    )
    .kinds(CALM),
    Attack::new(
        "lives-of-jobs-by-the-hundred-thousand",
        |peer| {
            peer.usable().say(life(0)).meanwhile(|peer| {
                peer.count(100_000, |at| life(at + 1)).done();
            });
        },
        |victim| {
            let closed = victim.until_kind(number::CLOSED);
            assert_eq!(closed.reason.as_deref(), Some(TOO_SLOW));
            let told = figure(victim.told_ends().count());
            // The first one was taken, and those of a read are in line before it is found too long.
            let least = 1 + KEPT + 1;
            let most = least + figure(READ / life(0).len());
            assert!((least..=most).contains(&told), "{told} of {least} to {most}");
        },
    )
    .kinds(CALM)
    .slow(number::FINAL),
    Attack::new(
        "ends-by-the-hundred-thousand",
        |peer| peer.usable().count(200_000, |at| completed(&format!("j{at}"), "")).done(),
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_JOBS), JOBS);
            let ends = || i64::try_from(victim.counted.ends.load(SeqCst)).unwrap();
            crate::eventually("the ends of those that are known", || {
                (ends() == JOBS).then_some(())
            });
            victim.dropped_of(200_000 - JOBS, JOBS);
        },
    )
    .kinds(CALMER),
    Attack::new(
        "long-ends-by-the-thousand",
        |peer| {
            let error = format!(", \"error\": \"{}\"", "e".repeat(LONG));
            let end = |at| completed(&format!("j{at}"), &error);
            peer.usable().say(end(0)).meanwhile(|peer| {
                peer.count(200, |at| end(at + 1)).done();
            });
        },
        |victim| {
            let closed = victim.until_kind(number::CLOSED);
            assert_eq!(closed.reason.as_deref(), Some(TOO_SLOW));
            // The first one was taken, and the last one was too much. Each has its text once more
            // as the error, as far as that is shown, and a little beside.
            let waited = usize::try_from(victim.counted.ends.load(SeqCst)).unwrap() - 1;
            let each = LONG + (64 << 10);
            assert!((waited - 1) * each <= 64 << 20, "{waited} of {each} bytes");
            assert!(waited * (each + 1000) > 64 << 20, "{waited} of {each} bytes");
        },
    )
    .kinds(CALMER)
    .costs(64 << 20)
    .slow(number::FINAL),
    Attack::new(
        "a-hundred-thousand-jobs-in-a-list",
        |peer| {
            peer.greet();
            peer.answer("qmp_capabilities", "{}");
            for (name, id) in [("query-jobs", "id"), ("query-block-jobs", "device")] {
                let Some(command) = peer.command() else { return };
                assert_eq!(command.name, name);
                peer.say(format!("{{\"id\": \"{}\", \"return\": [", command.id));
                peer.count(100_000, |at| {
                    format!("{{\"{id}\": \"j{at}\", \"status\": \"running\"}},")
                });
                peer.say("7]}\r\n");
            }
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_JOBS), JOBS);
            victim.dropped_of(100_000 - JOBS, JOBS);
            let connected = victim.drain().iter().any(|event| event.kind == number::CONNECTED);
            assert!(connected);
        },
    )
    .kinds(CALMER)
    .set(|monitor| monitor.set_line_limit(16 << 20)),
    Attack::new(
        "a-million-of-nothing-in-a-list",
        |peer| {
            peer.greet();
            peer.answer("qmp_capabilities", "{}");
            for _ in 0..2 {
                let Some(command) = peer.command() else { return };
                peer.say(format!("{{\"id\": \"{}\", \"return\": [", command.id));
                peer.repeat("1,", 400_000).say("{}]}\r\n");
            }
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_JOBS), 0);
        },
    ),
    Attack::new(
        "garbage-by-the-hundred-thousand",
        |peer| peer.usable().repeat("{}\r\nx\r\n{\"a\r\n", 100_000).done(),
        |victim| victim.lives(300_000, 0),
    ),
    Attack::new(
        "connections-with-a-flood-each",
        |peer| peer.usable().count(5000, |at| status(&format!("j{at}"), "running")).close(),
        |victim| {
            victim.proves_or_is_closed();
            assert!(victim.stat(number::STAT_JOBS) <= JOBS);
        },
    )
    .times(10)
    .kinds(CALMER & !(number::LOST as u32))
    .set(|monitor| monitor.set_reconnect(1, 1)),
];
