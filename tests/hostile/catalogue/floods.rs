//! More of it than anybody can use.

use std::sync::atomic::Ordering::SeqCst;

use super::Attack;
use super::peer::{completed, event, status};
use crate::client::number;

/// The kinds that no flood of these attacks is of.
const CALM: u32 = number::ALL & !(number::STATUS as u32) & !(number::ERROR as u32);
/// Without the ends of jobs.
const CALMER: u32 = CALM & !(number::FINAL as u32);
/// How many jobs a monitor knows, unless it is set otherwise.
const JOBS: i64 = 4096;

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
            let both = status("one", "paused") + &status("one", "running");
            peer.usable().say(status("one", "created")).repeat(&both, 100_000);
            peer.say(completed("one", ""));
        },
        |victim| {
            // They may be dropped, and are counted then; the end is not.
            assert_eq!(victim.end_of("one").outcome, number::OUTCOME_SUCCEEDED);
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_JOB_EVENTS), 200_002);
        },
    )
    .kinds(CALM),
    Attack::new(
        "readiness-by-the-hundred-thousand",
        |peer| {
            let ready = event("BLOCK_JOB_READY", "{\"device\": \"one\", \"type\": \"mirror\"}");
            peer.usable().repeat(&ready, 100_000);
        },
        |victim| victim.lives(0, 0),
    )
    .kinds(CALM & !(number::READY as u32)),
    Attack::new(
        "raw-events-by-the-hundred-thousand",
        |peer| peer.usable().repeat(&event("FLOOD", "{\"x\": 1}"), 100_000).done(),
        |victim| {
            victim.proves();
            victim.passed_over(0, 0);
            // Where the program is slower than the flood, some are dropped, and counted.
            crate::eventually("each of them is told or counted", || {
                let told = victim.floods.events.load(SeqCst);
                let told = i64::try_from(told).expect("they can be counted");
                (told + victim.stat(number::STAT_DROPPED) == 100_000).then_some(())
            });
        },
    ),
    Attack::new(
        "ids-by-the-hundred-thousand",
        |peer| {
            peer.usable().count(200_000, |at| status(&format!("j{at}"), "running"));
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_JOBS), JOBS);
            assert!(victim.stat(number::STAT_DROPPED) >= 200_000 - JOBS);
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
        },
    )
    .kinds(CALMER),
    // Each of them lives and ends, and leaves nothing.
    Attack::new(
        "lives-of-jobs-by-the-hundred-thousand",
        |peer| {
            peer.usable().count(100_000, |at| {
                let id = format!("j{at}");
                status(&id, "created") + &status(&id, "null")
            });
        },
        |victim| {
            let ends = || i64::try_from(victim.counted.ends.load(SeqCst)).unwrap();
            crate::eventually("each job has its end, or the monitor is closed", || {
                let closed = victim.monitor.state() == number::STATE_CLOSED;
                (closed || ends() == 100_000).then_some(())
            });
            assert!(ends() <= 100_000);
            assert!(victim.stat(number::STAT_JOBS) <= JOBS);
        },
    )
    .kinds(CALMER),
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
        },
    )
    .kinds(CALMER),
    Attack::new(
        "long-ends-by-the-thousand",
        |peer| {
            let error = format!(", \"error\": \"{}\"", "e".repeat(500_000));
            peer.usable().count(200, |at| completed(&format!("j{at}"), &error));
        },
        |victim| {
            // A program that is too slow for them loses the monitor, and is told so.
            crate::eventually("each job has its end, or the monitor is closed", || {
                let closed = victim.monitor.state() == number::STATE_CLOSED;
                (closed || victim.counted.ends.load(SeqCst) == 200).then_some(())
            });
        },
    )
    .kinds(CALMER),
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
            assert!(victim.stat(number::STAT_DROPPED) >= 100_000 - JOBS);
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
