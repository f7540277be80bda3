//! What of a message may be shown in a bug report. Nothing unless it is known to be harmless: only
//! commands of a list show their arguments and replies, and of those, too, what is called like a
//! secret or looks like one is left out.

use std::borrow::Cow;

use super::{encode, message::string};

/// May the arguments and the reply of this command be shown? A newer QEMU's new command may not,
/// unless it is of a family that carries no secrets.
pub fn may_show(command: &str) -> bool {
    FAMILIES.iter().any(|family| command.starts_with(family)) || COMMANDS.contains(&command)
}

/// A message as one line of at most about `room` bytes: without its secrets, and without white
/// space between its parts. `event`: its own `data` is no secret. The text must be whole JSON.
pub fn without_secrets(text: &str, event: bool, room: usize) -> String {
    let mut shown = Shown { rest: text, text: String::new(), depth: 0, event };
    while shown.text.len() <= room && shown.step() {}
    if shown.text.len() > room {
        let mut end = room;
        while !shown.text.is_char_boundary(end) {
            end -= 1;
        }
        shown.text.truncate(end);
        return format!("{}... (cut, of {} bytes)", shown.text, text.len());
    }
    shown.text
}

struct Shown<'a> {
    rest: &'a str,
    text: String,
    depth: usize,
    event: bool,
}

impl<'a> Shown<'a> {
    /// Takes one token. False at the end.
    fn step(&mut self) -> bool {
        self.rest = self.rest.trim_start();
        let Some(first) = self.rest.chars().next() else { return false };
        match first {
            '"' => {
                let raw = self.take(string_len(self.rest));
                // Looking through a very long one would cost several of its length.
                let raw = if raw.len() > LOOKED_THROUGH_MAX { LEFT_OUT } else { raw };
                if self.rest.trim_start().starts_with(':') {
                    self.member(raw);
                } else {
                    self.text += &string_without_secret(raw);
                }
            }
            '{' | '[' => self.depth += 1,
            '}' | ']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if first != '"' {
            let one = self.take(first.len_utf8());
            self.text += one;
        }
        true
    }

    /// A member's name was read: its value follows, unless that is nobody's business.
    fn member(&mut self, raw: &str) {
        self.text += raw;
        self.rest = self.rest.trim_start();
        let colon = self.take(1);
        self.text += colon;
        let name = unquoted(raw);
        let own = self.event && self.depth == 1 && name == "data";
        if !own && is_secret(&name) {
            self.rest = self.rest.trim_start();
            self.take(value_len(self.rest));
            self.text += LEFT_OUT;
        }
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }
}

/// Is what bears this name a secret? Ids of secret objects are none.
fn is_secret(name: &str) -> bool {
    if name == HIDDEN {
        return true;
    }
    let name = name.to_ascii_lowercase().replace('_', "-");
    if name.ends_with("-secret") {
        return false;
    }
    let name = name.replace(['-', '.'], "");
    let has = |word: &&str| name.contains(*word);
    ["data", "auth"].contains(&name.as_str()) || name.ends_with("key") || WORDS.iter().any(has)
}

/// A string that may hold a secret in its midst, still quoted. What its escapes stand for counts,
/// and one that stands for no text is not shown.
fn string_without_secret(raw: &str) -> String {
    let text =
        if raw.contains('\\') { decoded(raw) } else { raw.get(1..raw.len() - 1).map(Cow::from) };
    text.map_or_else(|| LEFT_OUT.to_owned(), |text| encode::string(&text_without_secret(&text)))
}

/// A URL with somebody's password, a list of `key=value`, a whole description of an image.
fn text_without_secret(text: &str) -> String {
    let plain = text.to_ascii_lowercase();
    if plain.starts_with("json:") {
        return format!("json:{HIDDEN}");
    }
    let mut cut = text.len();
    for sign in SIGNS {
        if let Some(at) = plain.find(sign) {
            cut = cut.min(at + sign.len());
        }
    }
    let mut shown = String::new();
    let mut begin = 0;
    if let Some(at) = plain.find("://").map(|at| at + "://".len()) {
        cut = text[at..].find('?').map_or(cut, |query| cut.min(at + query + 1));
        if let Some(host) = text[at..].rfind('@').map(|user| at + user) {
            shown += &text[..at];
            shown += HIDDEN;
            (begin, cut) = (host, cut.max(host + 1));
        }
    }
    shown += &text[begin..cut];
    if cut < text.len() {
        shown += HIDDEN;
    }
    shown
}

fn unquoted(raw: &str) -> Cow<'_, str> {
    decoded(raw).unwrap_or(raw.into())
}

fn decoded(raw: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str(raw).ok().and_then(string)
}

/// From a `"` to the one that ends it.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// From the first byte of a value to its last.
fn value_len(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => {
                at += string_len(&text[at..]);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b',' | b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// More than is shown of a whole message.
const LOOKED_THROUGH_MAX: usize = 4 << 10;
const HIDDEN: &str = "***";
const LEFT_OUT: &str = "\"***\"";

/// What commands begin with whose arguments and replies are about disks and jobs.
const FAMILIES: [&str; 9] = [
    "query-",
    "block-",
    "blockdev-",
    "x-blockdev-",
    "job-",
    "drive-",
    "nbd-server-",
    "snapshot-",
    "block_set_",
];

const COMMANDS: [&str; 14] = [
    "qmp_capabilities",
    "qom-list",
    "quit",
    "stop",
    "cont",
    "system_powerdown",
    "system_reset",
    "system_wakeup",
    "block_resize",
    "change-backing-file",
    "transaction",
    "eject",
    "object-del",
    "device_del",
];

/// In the names of members.
const WORDS: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "cookie", "token", "credential", "private"];

/// In strings: all that follows them is left out.
const SIGNS: [&str; 9] = [
    "key=",
    "password=",
    "passwd=",
    "passphrase=",
    "secret=",
    "token=",
    "cookie=",
    "auth=",
    "json:{",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        without_secrets(text, false, 1 << 20)
    }

    #[test]
    fn commands_that_are_not_listed_show_nothing() {
        for shown in ["query-jobs", "block-stream", "blockdev-add", "job-dismiss", "drive-mirror"] {
            assert!(may_show(shown), "{shown}");
        }
        for hidden in [
            "object-add",
            "set_password",
            "expire_password",
            "block_passwd",
            "human-monitor-command",
            "qom-set",
            "qom-get",
            "chardev-add",
            "migrate",
            "change",
            "add_client",
            "a-newer-command",
            "",
        ] {
            assert!(!may_show(hidden), "{hidden}");
        }
    }

    #[test]
    fn members_that_are_called_like_a_secret_are_left_out_with_all_that_is_in_them() {
        let text = r#"{"a": 1, "password" : "x\"y", "b": {"Pass_Wd": [1, "]"], "c": "d"},
            "data": {"e": "}"}, "key": 7, "cookie": null}"#;
        let expected = r#"{"a":1,"password":"***","b":{"Pass_Wd":"***","c":"d"},"data":"***","#;
        assert_eq!(shown(text), format!("{expected}\"key\":\"***\",\"cookie\":\"***\"}}"));
        assert_eq!(shown(r#"{"pass\u0077ord":"x"}"#), r#"{"pass\u0077ord":"***"}"#);
    }

    #[test]
    fn ids_of_secrets_are_none() {
        let text = r#"{"key-secret":"sec0","password-secret":"sec1","driver":"luks"}"#;
        assert_eq!(shown(text), text);
    }

    #[test]
    fn the_data_of_an_event_is_shown_and_no_other() {
        let text = r#"{"event":"X","data":{"device":"j","data":"x","password":"y"}}"#;
        let expected = r#"{"event":"X","data":{"device":"j","data":"***","password":"***"}}"#;
        assert_eq!(without_secrets(text, true, 1 << 20), expected);
        assert_eq!(shown(text), r#"{"event":"X","data":"***"}"#);
    }

    #[test]
    fn a_secret_in_the_midst_of_a_string_is_left_out() {
        let one = |text: &str| shown(&format!("{{\"target\":\"{text}\"}}"));
        let is = |text: &str| format!("{{\"target\":\"{text}\"}}");
        assert_eq!(one("/images/vm.qcow2"), is("/images/vm.qcow2"));
        assert_eq!(one("nbd://host:10809/x"), is("nbd://host:10809/x"));
        assert_eq!(one("https://me:pw@host/x"), is("https://***@host/x"));
        assert_eq!(one("https://me:p/w@host/x"), is("https://***@host/x"));
        assert_eq!(one("https://me:p?w@host/x"), is("https://***@***"));
        assert_eq!(one("https://host/x?sig=pw"), is("https://host/x?***"));
        assert_eq!(one("HTTPS://host/x?sig=pw@y"), is("HTTPS://***@***"));
        assert_eq!(one("rbd:pool/image:id=admin:KEY=pw:x"), is("rbd:pool/image:id=admin:KEY=***"));
        assert_eq!(one(r#"json:{\"password\":\"pw\"}"#), is("json:***"));
        assert_eq!(one(r"x\\"), is(r"x\\"));
    }

    #[test]
    fn a_secret_is_left_out_however_the_string_is_escaped() {
        let one = |text: &str| shown(&format!("[\"{text}\"]"));
        let is = |text: &str| format!("[\"{text}\"]");
        assert_eq!(one(r"https:\/\/me:HIDDEN@host\/x"), is("https://***@host/x"));
        assert_eq!(one(r"pool:k\u0065y=HIDDEN"), is("pool:key=***"));
        assert_eq!(one(r"\u006ason:{'password':'HIDDEN'}"), is("json:***"));
        assert_eq!(one(r"\u0048\n"), is(r"H\n"));
        assert_eq!(one(r"key\ud800=HIDDEN"), is("***"));
    }

    #[test]
    fn no_cut_of_a_secret_text_shows_it() {
        let texts = [
            "https://me:HIDDEN@host/x?HIDDEN",
            "rbd:pool/image:key=HIDDEN:conf=x",
            "json:{'file':{'password':'HIDDEN'}}",
            "https://é:HIDDEN@é/é?é=HIDDEN",
        ];
        for text in texts {
            let text =
                format!(r#"{{"é":"é","cookie":"HIDDEN","x":["{text}"],"data":{{"k":"HIDDEN"}}}}"#);
            for room in 0..=text.len() {
                let shown = without_secrets(&text, false, room);
                assert!(!shown.contains("HIDDEN"), "{shown}");
            }
        }
    }

    #[test]
    fn what_is_too_long_to_look_through_is_not_shown() {
        let long = "x".repeat(LOOKED_THROUGH_MAX);
        let text = format!(r#"{{"x":"{long}","{long}":["HIDDEN"],"y":1}}"#);
        assert_eq!(without_secrets(&text, false, 1000), r#"{"x":"***","***":"***","y":1}"#);
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let text = format!(r#"{{"x":"{}"}}"#, "é".repeat(1000));
        let shown = without_secrets(&text, false, 100);
        assert!(shown.starts_with(r#"{"x":"é"#) && shown.len() < 140, "{shown}");
        assert!(shown.ends_with("... (cut, of 2008 bytes)"), "{shown}");
    }
}
