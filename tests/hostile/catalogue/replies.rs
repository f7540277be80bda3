//! Replies that are not to what was asked, or not once, or not what was asked for.

use std::time::Duration;

use serde_json::json;

use super::peer::Peer;
use super::{Attack, LINE_LIMIT};
use crate::client::number;

pub const ATTACKS: &[Attack] = &[
    Attack::new(
        "replies-to-nobody",
        |peer| {
            peer.usable().say("{\"return\": {}}\r\n").say("{\"return\": {}, \"id\": \"x\"}\r\n");
            peer.say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\r\n");
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_REPLIES_UNASKED), 3);
        },
    ),
    Attack::new(
        "replies-with-ids-of-other-types",
        |peer| {
            peer.usable();
            for id in
                ["null", "1", "-1", "1.5", "true", "[]", "{}", "[\"x\"]", "\"\"", "\"\\u0000\""]
            {
                peer.say(format!("{{\"return\": {{}}, \"id\": {id}}}\r\n"));
            }
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_REPLIES_UNASKED), 10);
        },
    ),
    // An id of ours is written in one way; whatever is like it is another.
    Attack::new(
        "replies-with-ids-that-are-almost-ours",
        |peer| {
            peer.greet();
            let Some(command) = peer.command() else { return };
            let id = &command.id;
            let (prefix, number) = id.rsplit_once('-').expect("it ends in a number");
            for id in [
                format!("{prefix}-0{number}"),
                format!("{prefix}-+{number}"),
                format!("{prefix}-{number} "),
                format!("{prefix}-{number}.0"),
                format!("{prefix}-18446744073709551617"),
                format!("{prefix}-"),
                prefix.to_owned(),
                id.to_uppercase(),
                format!("{id}{id}"),
                "x".repeat(1 << 19),
            ] {
                peer.say(format!("{{\"return\": {{}}, \"id\": \"{id}\"}}\r\n"));
            }
            peer.say(format!("{{\"return\": {{}}, \"id\": \"{id}\"}}\r\n"));
            peer.answer("query-jobs", "[]");
            peer.answer("query-block-jobs", "[]");
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_REPLIES_UNASKED), 10);
            assert_eq!(victim.monitor.state(), number::STATE_CONNECTED);
        },
    ),
    Attack::new(
        "replies-twice",
        |peer| {
            peer.greet();
            for (name, json) in
                [("qmp_capabilities", "{}"), ("query-jobs", "[]"), ("query-block-jobs", "[]")]
            {
                let id = peer.answer(name, json);
                peer.say(format!("{{\"return\": {json}, \"id\": \"{id}\"}}\r\n"));
                peer.say(format!("{{\"error\": {{\"class\": \"X\"}}, \"id\": \"{id}\"}}\r\n"));
            }
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_REPLIES_UNASKED), 6);
            assert_eq!(victim.monitor.state(), number::STATE_CONNECTED);
        },
    ),
    // Their ids can be guessed from the first one.
    Attack::new(
        "replies-before-the-commands",
        |peer| {
            peer.greet();
            let id = peer.answer("qmp_capabilities", "{}");
            let (prefix, _) = id.rsplit_once('-').expect("it ends in a number");
            let list = "[{\"id\": \"forged\", \"status\": \"concluded\", \"type\": \"stream\"}]";
            peer.count(1000, |at| {
                format!("{{\"return\": {list}, \"id\": \"{prefix}-{}\"}}\r\n", at + 1000)
            });
            peer.answer("query-jobs", "[]");
            peer.answer("query-block-jobs", "[]");
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_REPLIES_UNASKED), 1000);
            assert_eq!(victim.ends_told(), 0);
        },
    ),
    Attack::new(
        "replies-before-the-greeting",
        |peer| {
            peer.say("{\"return\": {}, \"id\": \"blockjob-1\"}\r\n{\"error\": {}}\r\n").usable();
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_REPLIES_UNASKED), 2);
        },
    ),
    Attack::new(
        "return-and-error-in-one",
        |peer| {
            peer.greet();
            let Some(command) = peer.command() else { return };
            let error = "{\"class\": \"GenericError\", \"desc\": \"no\"}";
            peer.say(format!(
                "{{\"return\": {{}}, \"error\": {error}, \"id\": \"{}\"}}\r\n",
                command.id
            ));
            peer.answer("query-jobs", "[]");
            peer.answer("query-block-jobs", "[]");
        },
        |victim| victim.lives(0, 0),
    ),
    Attack::new(
        "capabilities-refused",
        |peer| {
            peer.greet();
            let Some(command) = peer.command() else { return };
            let error = format!("{{\"class\": \"No\", \"desc\": \"{}\"}}", "n".repeat(100));
            peer.say(format!("{{\"error\": {error}, \"id\": \"{}\"}}\r\n", command.id)).serve();
            peer.gone = true;
        },
        |victim| {
            victim.ends("refused qmp_capabilities: No: nnn");
            victim.recovers();
        },
    ),
    Attack::new(
        "errors-without-members",
        |peer| {
            peer.greet();
            peer.answer("qmp_capabilities", "{}");
            for error in ["{}", "{\"class\": 7, \"desc\": [], \"data\": {}}"] {
                let Some(command) = peer.command() else { return };
                peer.say(format!("{{\"error\": {error}, \"id\": \"{}\"}}\r\n", command.id));
            }
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.monitor.state(), number::STATE_CONNECTED);
        },
    ),
    Attack::new(
        "error-that-is-no-object",
        |peer| {
            peer.usable();
            for error in ["null", "7", "\"no\"", "[]"] {
                peer.say(format!("{{\"error\": {error}, \"id\": \"x\"}}\r\n"));
            }
        },
        |victim| victim.lives(4, 0),
    ),
    Attack::new(
        "lists-that-are-no-lists",
        |peer| {
            peer.usable_with("{\"id\": \"x\"}", "7");
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.monitor.state(), number::STATE_CONNECTED);
            assert_eq!(victim.stat(number::STAT_JOBS), 0);
        },
    ),
    Attack::new(
        "lists-of-what-is-no-job",
        |peer| {
            let list = "[7, null, \"x\", [], {}, {\"id\": 7}, {\"id\": null}, {\"id\": \"a\", \"id\": \
                        \"b\"}, {\"device\": {}}, {\"id\": \"one\", \"status\": 7, \"type\": [], \
                        \"current-progress\": \"x\", \"total-progress\": 1e9}]";
            peer.usable_with(list, list);
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_JOBS), 1);
        },
    ),
    Attack::new(
        "query-version-nonsense",
        |peer| {
            peer.usable();
            for json in ["null", "[]", "{\"qemu\": {\"major\": -1}}", "\"QEMU\""] {
                peer.answer("query-version", json);
            }
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.monitor.state(), number::STATE_CONNECTED);
        },
    )
    .set(|monitor| monitor.set_keepalive(10, 60_000)),
    Attack::new(
        "reply-as-long-as-the-limit",
        |peer| {
            peer.usable();
            let Some(command) = peer.command() else { return };
            let around = format!("{{\"return\": \"\", \"id\": \"{}\"}}", command.id).len();
            peer.say("{\"return\": \"").repeat("r", LINE_LIMIT - around);
            peer.say(format!("\", \"id\": \"{}\"}}\r\n", command.id));
        },
        |victim| {
            victim.until_kind(number::CONNECTED);
            let value = victim.monitor.execute("query-anything", &json!({}));
            assert!(value.as_str().is_some_and(|text| text.len() > LINE_LIMIT - 100));
            victim.lives(0, 0);
        },
    ),
    Attack::new(
        "error-as-long-as-the-limit",
        |peer| {
            peer.usable();
            let Some(command) = peer.command() else { return };
            peer.say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"");
            peer.repeat("\\n", LINE_LIMIT / 2 - 100);
            peer.say(format!("\"}}, \"id\": \"{}\"}}\r\n", command.id));
        },
        |victim| {
            victim.until_kind(number::CONNECTED);
            let reply = victim.monitor.reply("query-anything", &json!({}), 0);
            assert_eq!(reply.result, -libc::EREMOTEIO);
            assert_eq!(reply.class.as_deref(), Some("GenericError"));
            assert!(reply.text.is_some_and(|text| text.len() <= 64 << 10 && text.ends_with("...")));
            victim.lives(0, 0);
        },
    ),
    Attack::new(
        "replies-by-the-hundred-thousand",
        |peer| {
            peer.usable().repeat("{\"return\": [], \"id\": \"blockjob-0-0-1\"}\r\n", 300_000);
        },
        |victim| {
            victim.lives(0, 0);
            assert_eq!(victim.stat(number::STAT_REPLIES_UNASKED), 300_000);
        },
    ),
    Attack::new(
        "our-own-commands-back",
        |peer| {
            peer.usable();
            peer.say("{\"execute\": \"query-jobs\", \"id\": 1}\r\n{\"exec-oob\": \"x\"}\r\n");
        },
        |victim| victim.lives(2, 0),
    ),
    Attack::new("no-reply-to-a-command", Peer::usable_and_deaf, |victim| {
        victim.until_kind(number::CONNECTED);
        let (result, took) = victim.monitor.timed("query-anything", 50);
        assert_eq!(result, -libc::ETIMEDOUT);
        assert!(took >= Duration::from_millis(50), "{took:?}");
        assert_eq!(victim.monitor.state(), number::STATE_CONNECTED);
    }),
];

impl Peer {
    /// Agrees, and then says nothing more.
    fn usable_and_deaf(&mut self) {
        self.usable().be_silent();
        self.gone = true;
    }
}
