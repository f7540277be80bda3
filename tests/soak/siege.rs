//! Hostile peers: a monitor of the one listener's, whose other end attacks it in one way after the
//! other, whenever the library connects again.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::attacks::CATALOGUE;
use crate::chance::Chance;
use crate::client::number;
use crate::run::Run;
use crate::{DEADLINE, eventually};

/// No real monitor has such a name.
pub const NAMES: [&str; 2] = ["hostile 1", "hostile 2"];

/// After so many attacks its monitor is closed and another one made.
const ATTACKS: usize = 40;

/// The longest line that is taken; some attack with a longer one.
pub const LINE_LIMIT: i64 = 1 << 20;

pub fn besiege(run: &Run, name: &str, mut chance: Chance) {
    while !run.is_over() {
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        let path = directory.path().join("hostile.qmp");
        let door = UnixListener::bind(&path).expect("a temporary directory is writable");
        door.set_nonblocking(true).expect("a socket can be");
        let monitor = run.listener.monitor(name, &path);
        monitor.set_reconnect(1, 5);
        monitor.set_connect_timeout(1000);
        monitor.set_line_limit(LINE_LIMIT);
        // It claims what it is told, so that the library dismisses what it takes for ours.
        let told = run.listener.events(Some(&monitor));
        monitor.start();
        for _ in 0..ATTACKS {
            if run.is_over() {
                break;
            }
            let mut peer = accept(&door);
            let drawn = usize::try_from(chance.below(CATALOGUE.len() as u64));
            let attack = &CATALOGUE[drawn.expect("it is below their number")];
            // The library may have had enough of it first.
            let _ = (attack.deed)(&mut peer);
            let _ = peer.shutdown(Shutdown::Both);
            *run.figures().attacks.entry(attack.name).or_default() += 1;
            // Whatever it said, it was said by this one.
            let stranger = told.try_iter().find(|event| event.monitor != name);
            assert_eq!(stranger, None, "{} speaks for another monitor", attack.name);
        }
        monitor.close();
        let last = told.iter().last();
        assert_eq!(last.map(|event| event.kind), Some(number::CLOSED));
        run.figures().monitors += 1;
    }
}

fn accept(door: &UnixListener) -> UnixStream {
    let peer = eventually("the library connects to a hostile peer", || match door.accept() {
        Ok((peer, _)) => Some(peer),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("accept: {error}"),
    });
    peer.set_nonblocking(false).expect("a socket can be");
    peer.set_write_timeout(Some(DEADLINE)).expect("it is no zero");
    peer.set_read_timeout(Some(Duration::from_millis(100))).expect("it is no zero");
    peer
}
