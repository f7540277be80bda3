//! What a hostile peer may do: each attack with its name, what the peer says, and what the library
//! promises for it. Whoever has a listener can play it: `hostile` does so one by one, and measures;
//! the soak does while everything else goes on.
//!
//! Another attack is an entry of its kind, and a row of docs/robustness.md.

mod closing;
mod descriptors;
mod floods;
mod greeting;
mod jobs;
mod members;
mod numbers;
pub mod peer;
mod replies;
mod silence;
mod text;
mod victim;

use std::ffi::c_int;
use std::path::Path;

use crate::client::{Listener, Monitor, number};

use peer::{Peer, Server};
use victim::Victim;

/// By their kinds, as docs/robustness.md names them.
pub const KINDS: [(&str, &[Attack]); 10] = [
    ("text", text::ATTACKS),
    ("numbers", numbers::ATTACKS),
    ("members", members::ATTACKS),
    ("replies", replies::ATTACKS),
    ("greeting", greeting::ATTACKS),
    ("silence", silence::ATTACKS),
    ("closing", closing::ATTACKS),
    ("floods", floods::ATTACKS),
    ("jobs", jobs::ATTACKS),
    ("descriptors", descriptors::ATTACKS),
];

/// The limit of a line, unless an attack has set another.
pub const LINE_LIMIT: usize = 1 << 20;

/// Every connection is attacked until the promise wants a good one.
const UNTIL_RECOVERY: usize = usize::MAX;

/// What the ids of the listener's own jobs begin with. Some attacks forge them.
pub const OWNER: &str = "ours";

pub struct Attack {
    /// As docs/robustness.md calls it.
    pub name: &'static str,
    set: fn(&Monitor),
    /// So many connections are attacked; those after them meet a well-behaved QEMU.
    times: usize,
    /// Which events the program keeps; others it has not asked for.
    kinds: u32,
    /// Which kind of event the program takes slowly; 0: none.
    slow: c_int,
    /// How many bytes of memory wait for the program beyond what any attack may cost.
    #[allow(dead_code, reason = "the soak measures at rest alone")]
    pub costs: usize,
    script: fn(&mut Peer),
    promise: fn(&mut Victim),
}

impl Attack {
    pub const fn new(name: &'static str, script: fn(&mut Peer), promise: fn(&mut Victim)) -> Self {
        Self { name, set: |_| {}, times: 1, kinds: number::ALL, slow: 0, costs: 0, script, promise }
    }

    /// With a monitor that is set otherwise before it is started.
    const fn set(self, set: fn(&Monitor)) -> Self {
        Self { set, ..self }
    }

    pub const fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Each attempt to connect is given up soon, and is attacked until one came so far in its time.
    const fn soon(self) -> Self {
        self.times(UNTIL_RECOVERY).set(|monitor| monitor.set_connect_timeout(200))
    }

    const fn kinds(self, kinds: u32) -> Self {
        Self { kinds, ..self }
    }

    /// The program is busy with the first event of this kind (of RAW: of the name FLOOD) until the
    /// peer has said what it says `meanwhile`, or the monitor is closed.
    const fn slow(self, kind: c_int) -> Self {
        Self { slow: kind, ..self }
    }

    const fn costs(self, costs: usize) -> Self {
        Self { costs, ..self }
    }

    /// Attacks a monitor of the listener's, whose socket is to be at this path. The promise must hold
    /// while this goes on beside it.
    pub fn play(&'static self, listener: &Listener, path: &Path, meanwhile: impl FnOnce()) {
        let server = Server::start(path, self);
        let mut victim = Victim::new(listener, self, path, &server.behaves);
        victim.monitor.start();
        meanwhile();
        (self.promise)(&mut victim);
        victim.close();
        server.stop();
    }
}
