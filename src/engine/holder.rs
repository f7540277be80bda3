//! Who holds a monitor that does not answer? A QEMU takes one connection of a socket at a time, and
//! the others wait in the socket's queue. The kernel tells who waits in which queue, and which
//! connections were taken from it: only that is evidence. It tells nothing of other namespaces.
//! What it tells of tcp is read in `inet`.

#![forbid(unsafe_code)]

use std::{
    fs, io,
    net::SocketAddr,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::PathBuf,
};

use super::{inet, socket};

/// Whose connection waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// That of this socket, by its inode.
    Connected(u32),
    /// One that found no room in the queue of the socket at this path,
    Path(PathBuf),
    /// or of this abstract name.
    Abstract(String),
    /// That of this address with that one, by tcp.
    Inet(SocketAddr, SocketAddr),
}

/// The process that holds the monitor, in words; `None`: there is no evidence that one does.
pub fn find(whom: &Whom) -> Option<String> {
    if let Whom::Inet(ours, theirs) = whom {
        let (address, inode) = inet::holder(*ours, *theirs)?;
        let process = inode.map_or_else(|| NOT_SEEN.to_owned(), named);
        return Some(format!("{process}, at {address}"));
    }
    let sockets = sockets().ok()?;
    let (inode, is_served) = holder(&sockets, whom)?;
    // One that waits, and that nobody has, may have given up since: it is no evidence.
    Some(named(inode)).filter(|name| is_served || name != NOT_SEEN)
}

/// A unix socket, as the kernel describes it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Socket {
    listens: bool,
    inode: u32,
    name: Vec<u8>,
    /// The inode and the device of its file.
    file: Option<(u32, u32)>,
    /// Of the socket at the other end; 0 when that is closed.
    peer: u32,
    /// Of those that wait in its queue.
    queue: Vec<u32>,
}

/// The inode of the client's socket, and whether it is served; else it waits before us.
fn holder(sockets: &[Socket], whom: &Whom) -> Option<(u32, bool)> {
    let listening = sockets.iter().filter(|socket| socket.listens).find(|socket| match whom {
        Whom::Connected(inode) => socket.queue.contains(inode),
        Whom::Path(path) => {
            // By its inode alone: what the device is called differs. Its name is looked at, too.
            let file = path.file_name().map(std::ffi::OsStr::as_encoded_bytes);
            let name = socket.name.split(|byte| *byte == b'/').next_back();
            let name = name.map(|name| name.strip_suffix(b"\0").unwrap_or(name));
            let found = fs::metadata(path).ok();
            // The kernel tells half of it.
            let inode = found.and_then(|found| u32::try_from(found.ino() & 0xffff_ffff).ok());
            inode.is_some() && socket.file.map(|(inode, _)| inode) == inode && file == name
        }
        Whom::Inet(..) => false,
        Whom::Abstract(name) => socket.name.strip_prefix(b"\0") == Some(name.as_bytes()),
    })?;
    let taken = sockets.iter().find(|socket| {
        !socket.listens
            && socket.peer != 0
            && (&socket.name, socket.file) == (&listening.name, listening.file)
    });
    let taken = taken.map(|socket| (socket.peer, true));
    // Where there is no room, those who wait are before us.
    let first = || listening.queue.iter().find(|inode| **inode != 0);
    let waits = || first().map(|inode| (*inode, false));
    taken.or_else(|| (!matches!(whom, Whom::Connected(_))).then(waits).flatten())
}

/// All unix sockets of this namespace that are connected or listen.
fn sockets() -> io::Result<Vec<Socket>> {
    let diagnosis = socket::diagnosis()?;
    socket::send(diagnosis.as_raw_fd(), &request())?;
    let mut buffer = vec![0; 64 << 10];
    let mut sockets = Vec::new();
    loop {
        let count = socket::receive(diagnosis.as_raw_fd(), &mut buffer)?.count;
        let mut messages = &buffer[..count];
        while let Some(length) = word(messages, 0).map(|length| length as usize) {
            let kind = half(messages, 4).zip(messages.get(HEADER..length));
            let (kind, message) = kind.ok_or(io::ErrorKind::InvalidData)?;
            match kind {
                DONE => return Ok(sockets),
                BY_FAMILY => sockets.extend(socket_of(message)),
                // It is an error: the kernel does without this.
                _ => return Err(io::ErrorKind::Unsupported.into()),
            }
            messages = messages.get(aligned(length)..).unwrap_or_default();
        }
        if count == 0 || sockets.len() > SOCKETS_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// A netlink message: of all unix sockets in two states, what is read below.
fn request() -> Vec<u8> {
    let mut request = Vec::new();
    let flags: u16 = 0x301; // NLM_F_REQUEST | NLM_F_DUMP
    request.extend(40_u32.to_ne_bytes());
    request.extend(BY_FAMILY.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend([0; 8]); // the number and the port
    request.extend([1, 0, 0, 0]); // AF_UNIX
    let states: u32 = 1 << ESTABLISHED | 1 << LISTEN;
    let show: u32 = 0b1111; // name, file, peer, queue
    for field in [states, 0, show, 0, 0] {
        request.extend(field.to_ne_bytes());
    }
    request
}

/// One socket: what is always there, and behind it attributes, each with its length and kind.
fn socket_of(message: &[u8]) -> Option<Socket> {
    let listens = *message.get(2)? == LISTEN;
    let mut socket = Socket { listens, inode: word(message, 4)?, ..Socket::default() };
    let mut attributes = message.get(16..)?;
    while let Some(length) = half(attributes, 0).map(usize::from) {
        let value = attributes.get(4..length)?;
        match half(attributes, 2)? {
            0 => socket.name = value.to_vec(),
            1 => socket.file = word(value, 0).zip(word(value, 4)),
            2 => socket.peer = word(value, 0)?,
            3 => socket.queue = (0..value.len() / 4).filter_map(|at| word(value, at * 4)).collect(),
            _ => {}
        }
        attributes = attributes.get(aligned(length)..).unwrap_or_default();
    }
    Some(socket)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// The process that has a socket, where we may look.
fn named(inode: u32) -> String {
    let link = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut looks = LOOKS_MAX;
    for pid in pids {
        for fd in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            if fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == link.as_str()) {
                let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                return format!("process {pid}, {:?}", program.trim_end());
            }
            looks -= 1;
            if looks == 0 {
                return NOT_SEEN.to_owned();
            }
        }
    }
    NOT_SEEN.to_owned()
}

const NOT_SEEN: &str = "a process that may not be looked into";
const HEADER: usize = 16;
const DONE: u16 = 3;
const BY_FAMILY: u16 = 20;
const ESTABLISHED: u8 = 1;
const LISTEN: u8 = 10;
/// As much as a host with a hundred thousand descriptors has.
const SOCKETS_MAX: usize = 1 << 20;
/// Half a second, on a busy host.
const LOOKS_MAX: usize = 1 << 17;

#[cfg(test)]
mod tests {
    use std::os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    };

    use super::*;

    fn inode(stream: &UnixStream) -> u32 {
        let link = fs::read_link(format!("/proc/self/fd/{}", stream.as_raw_fd())).unwrap();
        let link = link.to_str().unwrap();
        link.trim_start_matches("socket:[").trim_end_matches(']').parse().unwrap()
    }

    #[test]
    fn only_what_was_taken_from_the_queue_is_evidence() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        let first = UnixStream::connect(&path).unwrap();
        let second = UnixStream::connect(&path).unwrap();
        let whom = Whom::Connected(inode(&second));
        assert_eq!(find(&whom), None, "nobody was served");
        let served = listener.accept().unwrap();
        let found = find(&whom).unwrap();
        let us = format!("process {}, ", std::process::id());
        assert!(found.starts_with(&us), "{found}");
        assert_eq!(find(&Whom::Connected(inode(&first))), None, "it is served itself");
        // Of those who find no room, and of other sockets.
        assert!(find(&Whom::Path(path.clone())).is_some());
        assert_eq!(find(&Whom::Path(directory.path().join("other"))), None);
        drop(first);
        assert_eq!(find(&whom), None, "who was served is gone");
        drop(served);
        assert!(find(&Whom::Path(path.clone())).is_some(), "the second waits before us");
        drop(second);
        assert_eq!(find(&Whom::Path(path)), None);
    }

    #[test]
    fn another_socket_that_had_the_path_is_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp");
        let old = UnixListener::bind(&path).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        let _served = old.accept().unwrap();
        fs::rename(&path, directory.path().join("old")).unwrap();
        let _new = UnixListener::bind(&path).unwrap();
        let waits = UnixStream::connect(&path).unwrap();
        assert_eq!(find(&Whom::Connected(inode(&waits))), None);
    }

    #[test]
    fn an_abstract_name_is_found() {
        let name = format!("blockjob-holder-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let whom = Whom::Abstract(name);
        assert_eq!(find(&whom), None);
        let _first = UnixStream::connect_addr(&address).unwrap();
        let _served = listener.accept().unwrap();
        assert!(find(&whom).is_some());
        let second = UnixStream::connect_addr(&address).unwrap();
        assert!(find(&Whom::Connected(inode(&second))).is_some());
    }

    #[test]
    fn half_a_message_is_no_socket() {
        let message = [&[1, 1, LISTEN, 0, 7, 0, 0, 0][..], &[0; 8]].concat();
        let socket = socket_of(&message).unwrap();
        assert_eq!((socket.listens, socket.inode), (true, u32::from_ne_bytes([7, 0, 0, 0])));
        for length in 0..16 {
            assert_eq!(socket_of(&message[..length]), None, "{length}");
        }
        let attribute = [&message[..], &200_u16.to_ne_bytes(), &[0, 0, 1, 2]].concat();
        assert_eq!(socket_of(&attribute), None);
        let empty = [&message[..], &[0, 0, 0, 0]].concat();
        assert_eq!(socket_of(&empty), None, "an attribute is no shorter than its head");
    }
}
