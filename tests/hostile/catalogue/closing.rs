//! A peer that hangs up, at each step, or comes and goes.

use std::io::Read as _;
use std::net::Shutdown;

use super::Attack;
use super::peer::{GREETING, Peer, completed, status};
use crate::client::number;

pub const ATTACKS: &[Attack] = &[
    Attack::new("closed-when-connected", Peer::close, |victim| {
        victim.ends("closed the connection, before it greeted");
        victim.recovers();
    }),
    Attack::new(
        "closed-within-the-greeting",
        |peer| peer.say(&GREETING[..40]).close(),
        |victim| {
            victim.ends("closed the connection, before it greeted");
            victim.recovers();
        },
    ),
    Attack::new(
        "closed-after-the-greeting",
        |peer| peer.greet().close(),
        |victim| {
            victim.ends("before it answered qmp_capabilities");
            victim.recovers();
        },
    ),
    Attack::new(
        "closed-after-agreeing",
        |peer| {
            peer.greet();
            peer.answer("qmp_capabilities", "{}");
            peer.close();
        },
        |victim| {
            victim.ends("before it said which jobs it has");
            victim.recovers();
        },
    ),
    Attack::new(
        "closed-between-the-two-lists",
        |peer| {
            peer.greet();
            peer.answer("qmp_capabilities", "{}");
            peer.answer("query-jobs", "[{\"id\": \"j\", \"status\": \"running\"}]");
            peer.close();
        },
        |victim| {
            victim.ends("before it said which jobs it has");
            victim.recovers();
            assert_eq!(victim.ends_told(), 0, "of what was half listed nothing is known");
        },
    ),
    Attack::new(
        "closed-when-usable",
        |peer| peer.usable().close(),
        |victim| {
            victim.ends("QEMU closed the connection");
            victim.recovers();
        },
    ),
    Attack::new(
        "closed-within-a-message",
        |peer| peer.usable().say(&completed("j", "")[..60]).close(),
        |victim| {
            victim.ends("60 bytes of an unfinished message are lost with it");
            victim.recovers();
            assert_eq!(victim.ends_told(), 0);
        },
    ),
    Attack::new(
        "closed-with-a-job",
        |peer| peer.usable().say(status("j", "created")).say(status("j", "running")).close(),
        |victim| {
            victim.ends("QEMU closed the connection");
            victim.recovers();
            // The next one does not have it.
            let end = victim.end_of("j");
            assert_eq!((end.kind, end.origin), (number::LOST, number::ORIGIN_INFERRED));
        },
    ),
    Attack::new(
        "half-closed-for-writing",
        |peer| {
            peer.usable();
            let _ = peer.stream.shutdown(Shutdown::Write);
            peer.be_silent();
            peer.gone = true;
        },
        |victim| {
            victim.ends("QEMU closed the connection");
            victim.recovers();
        },
    ),
    Attack::new(
        "half-closed-for-reading",
        |peer| {
            peer.usable().stop_reading();
            peer.say(completed("last", "")).prove().until_seen();
            // What was written meanwhile failed: otherwise it would be here.
            assert_eq!(peer.stream.read(&mut [0; 64]).expect("it does not wait"), 0);
            peer.close();
        },
        |victim| {
            assert_eq!(victim.end_of("last").outcome, number::OUTCOME_SUCCEEDED);
            victim.proves();
            // A question was written, and has no answer. The scene sees that no signal came of it.
            victim.until_kind(number::UNRESPONSIVE);
            assert_eq!(victim.told_of(number::DISCONNECTED), []);
            victim.recovers();
            victim.ends("QEMU closed the connection");
        },
    )
    .set(|monitor| monitor.set_keepalive(10, 100)),
    Attack::new(
        "reset",
        |peer| peer.usable().say(completed("last", "")).reset(),
        |victim| {
            assert_eq!(victim.end_of("last").outcome, number::OUTCOME_SUCCEEDED);
            victim.ends("QEMU closed the connection");
            victim.recovers();
        },
    )
    .set(|monitor| monitor.set_keepalive(10, 1000)),
    Attack::new("reconnect-storm", Peer::close, |victim| {
        victim.recovers();
        // One reason is told once, however often it is met.
        let told = victim.drain().iter().filter(|event| event.kind == number::DISCONNECTED).count();
        assert_eq!(told, 1);
    })
    .times(300)
    .set(|monitor| monitor.set_reconnect(1, 1)),
    Attack::new(
        "storm-of-usable-connections",
        |peer| peer.usable().close(),
        |victim| {
            victim.proves();
            // The first of each kind of news may be replaced by the latest, and the last is told.
            let last = victim.until_kind(number::CONNECTED);
            assert_eq!(last.reason, None);
        },
    )
    .times(100)
    .set(|monitor| monitor.set_reconnect(1, 1)),
    Attack::new(
        "jobs-that-come-and-go-with-connections",
        |peer| {
            let jobs: Vec<String> = (0..50)
                .map(|at| format!("{{\"id\": \"j{}-{at}\", \"status\": \"running\"}}", peer.turn))
                .collect();
            peer.usable_with(&format!("[{}]", jobs.join(",")), "[]").close();
        },
        |victim| {
            victim.proves();
            for turn in 0..20 {
                assert_eq!(victim.end_of(&format!("j{turn}-49")).kind, number::LOST);
            }
            assert_eq!(victim.ends_told(), 20 * 50);
        },
    )
    .times(20)
    .set(|monitor| monitor.set_reconnect(1, 1)),
];
