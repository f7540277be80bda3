//! What comes instead of a greeting, before it and after it.

use super::Attack;
use super::peer::{GREETING, Peer, completed, event};
use super::victim::Victim;
use crate::client::{Monitor, number};

/// The attempt has ended with what came, and what comes next is used.
fn is_not_qmp(victim: &mut Victim, came: &str) {
    victim.ends("wanted a QMP greeting, got \"");
    victim.ends(came);
    victim.recovers();
}

/// Says this and hangs up, as a server does that was not greeted in its own tongue.
fn stranger(peer: &mut Peer, bytes: impl AsRef<[u8]>) {
    peer.say(bytes).close();
}

pub const ATTACKS: &[Attack] = &[
    Attack::new(
        "second-greetings",
        |peer| {
            peer.usable().repeat(GREETING, 1000);
            peer.say(GREETING.replace("\"major\": 7", "\"major\": 1"));
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.monitor.qemu_version(), [7, 2, 22]);
            let kinds = victim.drain().iter().filter(|event| event.kind == number::CONNECTED);
            assert_eq!(kinds.count(), 1);
        },
    ),
    Attack::new(
        "second-greeting-while-agreeing",
        |peer| {
            peer.greet().greet();
            peer.answer("qmp_capabilities", "{}");
            peer.greet();
            peer.answer("query-jobs", "[]");
            peer.greet();
            peer.answer("query-block-jobs", "[]");
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.monitor.state(), number::STATE_CONNECTED);
        },
    ),
    Attack::new(
        "events-before-the-greeting",
        |peer| {
            peer.repeat(&event("STOP", "{}"), 10_000).say(completed("early", "")).usable();
        },
        |victim| {
            assert_eq!(victim.end_of("early").outcome, number::OUTCOME_SUCCEEDED);
            victim.lives(0, 0);
            assert_eq!(victim.monitor.state(), number::STATE_CONNECTED);
        },
    ),
    Attack::new(
        "events-and-no-greeting",
        |peer| {
            peer.repeat(&event("STOP", "{}"), 1000).be_silent();
            peer.gone = true;
        },
        |victim| {
            victim.ends("no greeting came");
            victim.recovers();
        },
    )
    .soon(),
    Attack::new(
        "replies-and-no-greeting",
        |peer| {
            peer.repeat("{\"return\": {}, \"id\": \"x\"}\r\n", 1000).be_silent();
            peer.gone = true;
        },
        |victim| {
            victim.ends("no greeting came");
            victim.recovers();
        },
    )
    .soon(),
    Attack::new(
        "greetings-of-other-shapes",
        |peer| {
            for qmp in [
                "null",
                "true",
                "[]",
                "\"7.2\"",
                "{}",
                "{\"version\": 7}",
                "{\"version\": {\"qemu\": \"7.2.22\"}}",
                "{\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2}}}",
                "{\"version\": {\"qemu\": {\"major\": 7.0, \"minor\": 2, \"micro\": 2}}}",
                "{\"version\": {\"qemu\": {\"major\": \"7\", \"minor\": 2, \"micro\": 2}}}",
                "{\"version\": {\"qemu\": {\"major\": 2147483648, \"minor\": 2, \"micro\": 2}}}",
            ] {
                peer.say(format!("{{\"QMP\": {qmp}}}\r\n"));
            }
            peer.usable();
        },
        |victim| victim.lives(11, 0),
    ),
    Attack::new(
        "greeting-of-a-version-that-is-none",
        |peer| {
            peer.say(GREETING.replace("\"major\": 7", "\"major\": -2147483648"));
            peer.answer("qmp_capabilities", "{}");
            peer.answer("query-block-jobs", "[]");
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.monitor.qemu_version(), [i32::MIN, 2, 22]);
        },
    ),
    Attack::new(
        "capabilities-that-are-none",
        |peer| {
            let greeting =
                GREETING.replace("[\"oob\"]", "[7, null, \"oobb\", {\"oob\": 1}, [\"oob\"]]");
            peer.say(greeting);
            let Some(command) = peer.command() else { return };
            assert_eq!(command.arguments, serde_json::Value::Null, "nothing was offered");
            peer.say(format!("{{\"return\": {{}}, \"id\": \"{}\"}}\r\n", command.id));
            peer.answer("query-jobs", "[]");
            peer.answer("query-block-jobs", "[]");
        },
        |victim| victim.lives(0, 0),
    )
    .set(Monitor::set_oob),
    Attack::new(
        "capabilities-by-the-million",
        |peer| {
            let (before, after) = GREETING.split_once("\"oob\"").expect("it offers one");
            peer.say(before).repeat("\"c\",", 1_000_000).say("\"oob\"").say(after).close();
        },
        |victim| {
            is_not_qmp(victim, "{\\\"QMP\\\": {\\\"version\\\"");
            victim.passed_over(1, 0);
        },
    )
    .set(|monitor| monitor.set_line_limit(16 << 20)),
    Attack::new(
        "greeting-over-the-limit",
        |peer| {
            let (before, after) = GREETING.split_once("\"oob\"").expect("it offers one");
            peer.say(before).repeat("\"c\",", 1_000_000).say("\"oob\"").say(after).close();
        },
        |victim| {
            victim.ends("");
            victim.recovers();
            victim.passed_over(0, 1);
        },
    ),
    Attack::new(
        "http",
        |peer| stranger(peer, "HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n<html></html>"),
        |victim| is_not_qmp(victim, "HTTP/1.1 400 Bad Request"),
    ),
    Attack::new(
        "tls",
        |peer| {
            let hello = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03\xde\xad\xbe\xef\x00\x20";
            stranger(peer, hello);
        },
        |victim| is_not_qmp(victim, "\\u{16}\\u{3}\\u{1}"),
    ),
    Attack::new(
        "gzip",
        |peer| stranger(peer, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56\x0a\x04\x00"),
        |victim| is_not_qmp(victim, "\\u{1f}\u{FFFD}"),
    ),
    Attack::new(
        "ssh",
        |peer| stranger(peer, "SSH-2.0-OpenSSH_9.2p1\r\n"),
        |victim| is_not_qmp(victim, "SSH-2.0-OpenSSH_9.2p1"),
    ),
    Attack::new(
        "banner-without-end",
        |peer| {
            peer.repeat("220 mail.example.org ESMTP ", 100_000).be_silent();
            peer.gone = true;
        },
        |victim| is_not_qmp(victim, "220 mail.example.org"),
    )
    .soon(),
    // What a guest agent says, and another client of the same monitor.
    Attack::new(
        "another-protocol-of-json",
        |peer| {
            stranger(
                peer,
                "{\"jsonrpc\": \"2.0\", \"id\": 1}\r\n{\"execute\": \"guest-sync\"}\r\n",
            );
        },
        |victim| is_not_qmp(victim, "jsonrpc"),
    ),
    Attack::new(
        "human-monitor",
        |peer| stranger(peer, "QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) "),
        |victim| is_not_qmp(victim, "QEMU 7.2.22 monitor"),
    ),
];
