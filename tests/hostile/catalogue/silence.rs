//! A peer that says nothing, at each step, or reads nothing.

use std::sync::mpsc;

use serde_json::json;

use super::Attack;
use super::peer::{Peer, completed};
use crate::DEADLINE;
use crate::client::number;

fn silent(peer: &mut Peer) {
    peer.be_silent();
    peer.gone = true;
}

pub const ATTACKS: &[Attack] = &[
    // It stands in the kernel's queue.
    Attack::new(
        "silent-before-it-takes-the-connection",
        |_| (),
        |victim| {
            victim.ends("no greeting came");
        },
    )
    .soon()
    .times(0),
    Attack::new("silent-when-connected", silent, |victim| {
        victim.ends("no greeting came");
        victim.recovers();
    })
    .soon(),
    Attack::new(
        "silent-within-the-greeting",
        |peer| {
            peer.say("{\"QMP\": {\"version\": ");
            silent(peer);
        },
        |victim| {
            victim.ends("no greeting came");
            victim.recovers();
        },
    )
    .soon(),
    Attack::new(
        "silent-after-the-greeting",
        |peer| {
            peer.greet();
            silent(peer);
        },
        |victim| {
            victim.ends("did not answer qmp_capabilities");
            victim.recovers();
        },
    )
    .soon(),
    Attack::new(
        "silent-after-agreeing",
        |peer| {
            peer.greet();
            peer.answer("qmp_capabilities", "{}");
            silent(peer);
        },
        |victim| {
            victim.ends("did not say which jobs it has");
            victim.recovers();
        },
    )
    .soon(),
    Attack::new(
        "silent-between-the-two-lists",
        |peer| {
            peer.greet();
            peer.answer("qmp_capabilities", "{}");
            peer.answer("query-jobs", "[]");
            silent(peer);
        },
        |victim| {
            victim.ends("did not say which jobs it has");
            victim.recovers();
        },
    )
    .soon(),
    Attack::new(
        "silent-to-the-keepalive",
        |peer| {
            peer.usable();
            // Two are asked for in vain, and the answer comes late.
            let Some(command) = peer.command() else { return };
            std::thread::sleep(std::time::Duration::from_millis(150));
            peer.say(format!("{{\"return\": {{}}, \"id\": \"{}\"}}\r\n", command.id));
            peer.say(completed("late", ""));
        },
        |victim| {
            let reason = victim.until_kind(number::UNRESPONSIVE).reason.unwrap_or_default();
            assert!(reason.contains("has not answered within 20 ms"), "{reason}");
            victim.until_kind(number::RESPONSIVE);
            victim.end_of("late");
            victim.proves();
        },
    )
    .set(|monitor| monitor.set_keepalive(10, 20)),
    Attack::new(
        "silent-for-ever-with-a-job",
        |peer| {
            peer.usable_with(
                "[{\"id\": \"j\", \"status\": \"running\", \"type\": \"stream\"}]",
                "[]",
            );
            silent(peer);
        },
        |victim| {
            victim.until_kind(number::UNRESPONSIVE);
            assert_eq!(victim.monitor.state(), number::STATE_UNRESPONSIVE);
            assert_eq!(victim.ends_told(), 0, "silence is no outcome");
        },
    )
    .set(|monitor| {
        monitor.set_keepalive(10, 20);
        monitor.set_lost_after(30);
    }),
    Attack::new(
        "greeting-drop-by-drop",
        |peer| {
            for byte in super::peer::GREETING.bytes() {
                std::thread::sleep(std::time::Duration::from_millis(5));
                peer.say([byte]);
            }
            silent(peer);
        },
        |victim| {
            // Each byte is no reason to wait longer.
            victim.ends("not usable within 200 ms");
            victim.recovers();
        },
    )
    .soon(),
    Attack::new(
        "never-reading",
        |peer| {
            peer.usable();
            // It goes on to speak, and reads nothing until the library has hung up.
            while !peer.gone {
                peer.say(completed("spoken", ""));
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        },
        |victim| {
            victim.end_of("spoken");
            // Of commands that it does not read there is an end.
            let (sender, replies) = mpsc::channel();
            let arguments = json!({ "text": "x".repeat(60_000) });
            for _ in 0..100 {
                victim.monitor.submit("human-monitor-command", &arguments, &sender);
            }
            let reply = replies.recv_timeout(DEADLINE).expect("some are refused at once");
            assert_eq!(reply.result, -libc::ENOBUFS);
        },
    ),
];
