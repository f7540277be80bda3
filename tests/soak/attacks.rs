//! What a hostile peer does with a connection of the library's. More of them: an [`Attack`] in
//! [`CATALOGUE`], which is all that the siege knows.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use crate::siege::LINE_LIMIT;

pub struct Attack {
    pub name: &'static str,
    /// Returns when it is over; then the connection ends. An error is no fault: the library may
    /// have hung up.
    pub deed: fn(&mut UnixStream) -> io::Result<()>,
}

pub const CATALOGUE: [Attack; 9] = [
    Attack { name: "garbage", deed: garbage },
    Attack { name: "a line without an end", deed: endless_line },
    Attack { name: "a flood of events", deed: flood },
    Attack { name: "silence", deed: silence },
    Attack { name: "forged ends of jobs", deed: forged_ends },
    Attack { name: "closing at once", deed: |_| Ok(()) },
    Attack { name: "half a greeting", deed: half_a_greeting },
    Attack { name: "byte by byte", deed: byte_by_byte },
    Attack { name: "replies to nobody", deed: replies_to_nobody },
];

const GREETING: &[u8] = b"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \
    \"major\": 7}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n";

/// So many events, of which no two are alike.
const EVENTS: usize = 3000;

fn garbage(peer: &mut UnixStream) -> io::Result<()> {
    let mut state = 1_u32;
    for _ in 0..64 {
        let mut bytes = [0; 1024];
        bytes.fill_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        peer.write_all(&bytes)?;
    }
    Ok(())
}

fn endless_line(peer: &mut UnixStream) -> io::Result<()> {
    let piece = [b'['; 1 << 14];
    for _ in 0..2 * LINE_LIMIT / (1 << 14) {
        peer.write_all(&piece)?;
    }
    peer.write_all(b"\n")?;
    peer.write_all(GREETING)
}

fn flood(peer: &mut UnixStream) -> io::Result<()> {
    agree(peer)?;
    for number in 0..EVENTS {
        let event =
            event("JOB_STATUS_CHANGE", &format!(r#"{{"id": "j{number}", "status": "ready"}}"#));
        peer.write_all(event.as_bytes())?;
    }
    Ok(())
}

fn silence(peer: &mut UnixStream) -> io::Result<()> {
    peer.write_all(GREETING)?;
    thread::sleep(Duration::from_millis(300));
    Ok(())
}

/// Of jobs with the names that others give theirs, again and again.
fn forged_ends(peer: &mut UnixStream) -> io::Result<()> {
    agree(peer)?;
    for number in 0..EVENTS {
        let id = ["other", "soak", "soak-1-"][number % 3];
        for status in ["created", "running", "concluded"] {
            let data = format!(r#"{{"id": "{id}-{number}", "status": "{status}"}}"#);
            peer.write_all(event("JOB_STATUS_CHANGE", &data).as_bytes())?;
        }
        let data = format!(
            r#"{{"device": "{id}-{number}", "type": "mirror", "len": 1, "offset": 1, "speed": 0}}"#
        );
        peer.write_all(event("BLOCK_JOB_COMPLETED", &data).as_bytes())?;
    }
    Ok(())
}

fn half_a_greeting(peer: &mut UnixStream) -> io::Result<()> {
    peer.write_all(&GREETING[..GREETING.len() / 2])
}

fn byte_by_byte(peer: &mut UnixStream) -> io::Result<()> {
    for byte in GREETING {
        peer.write_all(&[*byte])?;
    }
    Ok(())
}

fn replies_to_nobody(peer: &mut UnixStream) -> io::Result<()> {
    agree(peer)?;
    for number in 0..EVENTS {
        peer.write_all(format!("{{\"return\": [{{}}], \"id\": \"{number}\"}}\r\n").as_bytes())?;
    }
    Ok(())
}

/// Greets, and says yes to whatever is asked first, by the id that it was asked with.
fn agree(peer: &mut UnixStream) -> io::Result<()> {
    peer.write_all(GREETING)?;
    let mut asked = [0; 4096];
    let read = peer.read(&mut asked)?;
    let asked = String::from_utf8_lossy(&asked[..read]);
    let first = asked.lines().next().unwrap_or_default();
    let asked: serde_json::Value = serde_json::from_str(first).unwrap_or_default();
    let reply = serde_json::json!({"return": {}, "id": asked["id"]});
    peer.write_all(format!("{reply}\r\n").as_bytes())
}

fn event(name: &str, data: &str) -> String {
    let timestamp = r#"{"seconds": 1795400000, "microseconds": 0}"#;
    format!("{{\"timestamp\": {timestamp}, \"event\": \"{name}\", \"data\": {data}}}\r\n")
}
