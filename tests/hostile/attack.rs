//! What an attack is: its name, what the peer does, and what the library promises for it.

use crate::client::Monitor;
use crate::peer::Peer;
use crate::scene::Victim;

pub struct Attack {
    /// As docs/robustness.md calls it.
    pub name: &'static str,
    pub set: fn(&Monitor),
    /// So many connections are attacked; those after them meet a well-behaved QEMU.
    pub times: usize,
    /// Which events the program keeps; others it has not asked for.
    pub kinds: u32,
    pub script: fn(&mut Peer),
    pub promise: fn(&mut Victim<'_>),
}

impl Attack {
    pub const fn new(
        name: &'static str,
        script: fn(&mut Peer),
        promise: fn(&mut Victim<'_>),
    ) -> Self {
        let kinds = crate::client::number::ALL;
        Self { name, set: |_| {}, times: 1, kinds, script, promise }
    }

    /// With a monitor that is set otherwise before it is started.
    pub const fn set(self, set: fn(&Monitor)) -> Self {
        Self { set, ..self }
    }

    pub const fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    pub const fn kinds(self, kinds: u32) -> Self {
        Self { kinds, ..self }
    }
}
