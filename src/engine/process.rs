//! Who holds the other end of a connection, and whether it still lives. Where the kernel cannot
//! tell, nobody claims to know.

#![allow(unsafe_code)]

use std::{
    fs::File,
    hash::{BuildHasher as _, RandomState},
    io::{self, ErrorKind, Read as _},
    mem::size_of,
    os::fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd},
    time::SystemTime,
};

use libc::GRND_NONBLOCK;

use super::{fork::Held, socket};
use crate::model::Identity;

/// The process that listens at the other end of a connected unix socket, or that has dialled us.
/// Not our own, which would have made the socket for QEMU: its end would say nothing of QEMU's. And
/// not the one that made a pair of sockets, which have no names: QEMU makes none.
pub fn peer(socket: RawFd) -> Option<Identity> {
    if socket::is_pair(socket).ok()? {
        return None;
    }
    let (pid, _) = credentials(socket)?;
    let own = i32::try_from(std::process::id()).ok();
    Some(Identity { pid, started: started((Some(pid) != own).then_some(pid)?)? })
}

/// The process and the user that hold the other end, where the kernel can tell.
pub fn credentials(socket: RawFd) -> Option<(i32, u32)> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = libc::socklen_t::try_from(size_of::<libc::ucred>()).ok()?;
    // SAFETY: the kernel writes at most `size` bytes to `peer`, which has as many.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut size,
        )
    };
    // A process of another namespace that is not seen from here has number 0, as has tcp.
    (result == 0 && peer.pid > 0).then_some((peer.pid, peer.uid))
}

/// A number that nobody else has, as far as chance goes.
pub fn chance() -> u64 {
    let mut bytes = [0; size_of::<u64>()];
    // SAFETY: the kernel writes at most as many bytes as there are.
    let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), GRND_NONBLOCK) };
    if usize::try_from(count) == Ok(bytes.len()) {
        return u64::from_ne_bytes(bytes);
    }
    // The machine has just begun, or may not ask. A fork leaves this to both, so time is added.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    RandomState::new().hash_one(now.as_nanos())
}

/// A process that is to be heard of when it ends.
#[derive(Debug)]
pub struct Watched(Held<OwnedFd>);

/// What became of a process.
#[derive(Debug)]
pub enum Found {
    /// Its descriptor becomes readable when it ends.
    Lives(Watched),
    Gone,
    /// The kernel is too old, or forbids it.
    Unknown,
}

pub fn watch(process: Identity) -> Found {
    let open = || {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, process.pid, 0) };
        let fd = RawFd::try_from(fd).unwrap_or(-1);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given it to us; it is close-on-exec.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    match Held::open(open) {
        // Only now is it sure that its number is not given to another one after this look. Where
        // there is nothing to be seen, for want of a descriptor or of /proc, the process tells its
        // own end; one that has its number since is watched in vain, which proves nothing.
        Ok(fd) if started(process.pid).is_none_or(|started| started == process.started) => {
            Found::Lives(Watched(fd))
        }
        Ok(_) => Found::Gone,
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Found::Gone,
        Err(_) => Found::Unknown,
    }
}

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// When a process began, in the kernel's ticks since it booted.
fn started(pid: i32) -> Option<u64> {
    let mut file = loop {
        match File::open(format!("/proc/{pid}/stat")) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            file => break file.ok()?,
        }
    };
    // The kernel writes all of it at once.
    let mut text = [0; STAT_MAX];
    let count = loop {
        match file.read(&mut text) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            count => break count.ok()?,
        }
    };
    start_time(&String::from_utf8_lossy(&text[..count]))
}

/// Some fifty numbers and a name.
const STAT_MAX: usize = 2048;

/// The 22nd field. The second is the program's name in parentheses, and may hold anything, spaces
/// and parentheses too: the last parenthesis ends it.
fn start_time(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        os::{
            fd::AsRawFd as _,
            unix::net::{UnixListener, UnixStream},
        },
        process::Command,
    };

    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654 20 21";
        for name in ["qemu-system-x86", "a b", "((1) 2)", ") R 1 2"] {
            assert_eq!(start_time(&format!("42 ({name}) {fields}\n")), Some(987_654), "{name}");
        }
        assert_eq!(start_time("42 (a) S 1 2"), None);
        assert_eq!(start_time(""), None);
    }

    #[test]
    fn a_process_that_listens_itself_is_not_its_own_peer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let stream = UnixStream::connect(&path).unwrap();
        assert_eq!(peer(stream.as_raw_fd()), None);
    }

    #[test]
    fn a_process_lives_until_it_has_ended_and_its_successor_is_another() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let process = Identity { pid, started: started(pid).unwrap() };
        assert!(!matches!(watch(process), Found::Gone));
        let other = Identity { started: process.started + 1, ..process };
        assert!(!matches!(watch(other), Found::Lives(_)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!matches!(watch(process), Found::Lives(_)));
        assert_eq!(started(pid), None);
    }
}
