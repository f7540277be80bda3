//! What the kernel is asked of stream sockets, whatever they are of: making, dialling, listening.

#![allow(unsafe_code)]

use std::{
    ffi::c_int,
    io,
    mem::{MaybeUninit, size_of},
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    ptr,
};

use super::fork::Held;

/// A name as the kernel takes it.
pub enum Name {
    Unix(libc::sockaddr_un, libc::socklen_t),
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

impl Name {
    /// A path, or behind a NUL an abstract name; `None`: it is too long or empty.
    pub fn unix(bytes: &[u8]) -> Option<Self> {
        let mut name = libc::sockaddr_un { sun_family: family(libc::AF_UNIX), sun_path: [0; 108] };
        let abstract_name = bytes.first()? == &0;
        let room = name.sun_path.len() - usize::from(!abstract_name);
        if bytes.len() > room {
            return None;
        }
        for (to, from) in name.sun_path.iter_mut().zip(bytes) {
            *to = libc::c_char::from_ne_bytes([*from]);
        }
        let len = size_of::<libc::sa_family_t>() + bytes.len() + usize::from(!abstract_name);
        Some(Self::Unix(name, libc::socklen_t::try_from(len).ok()?))
    }

    pub fn inet(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(libc::sockaddr_in {
                sin_family: family(libc::AF_INET),
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(address) => Self::V6(libc::sockaddr_in6 {
                sin6_family: family(libc::AF_INET6),
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            }),
        }
    }

    fn domain(&self) -> c_int {
        match self {
            Self::Unix(..) => libc::AF_UNIX,
            Self::V4(_) => libc::AF_INET,
            Self::V6(_) => libc::AF_INET6,
        }
    }

    fn raw(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        match self {
            Self::Unix(name, len) => (ptr::from_ref(name).cast(), *len),
            Self::V4(name) => (ptr::from_ref(name).cast(), size::<libc::sockaddr_in>()),
            Self::V6(name) => (ptr::from_ref(name).cast(), size::<libc::sockaddr_in6>()),
        }
    }
}

/// A stream socket for names of this kind.
pub fn open(name: &Name) -> io::Result<Held<OwnedFd>> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let socket = Held::open(|| {
        // SAFETY: no pointers are passed.
        let fd = checked(unsafe { libc::socket(name.domain(), kind, 0) })?;
        // SAFETY: the kernel has just given it to us.
        above_standard(unsafe { OwnedFd::from_raw_fd(fd) })
    })?;
    if !matches!(name, Name::Unix(..)) {
        tune(&socket);
    }
    Ok(socket)
}

/// In a process without a standard error nothing that is written to it may reach QEMU.
fn above_standard(socket: OwnedFd) -> io::Result<OwnedFd> {
    // A clone is numbered from 3 on, and closed by exec as well.
    if socket.as_raw_fd() > libc::STDERR_FILENO { Ok(socket) } else { socket.try_clone() }
}

/// Dials. True when the connection stands, false when that is to come.
pub fn connect(socket: &Held<OwnedFd>, name: &Name) -> io::Result<bool> {
    let (raw, len) = name.raw();
    // SAFETY: `raw` is a name of `len` bytes, which lives as long as `name`.
    match checked(unsafe { libc::connect(socket.as_raw_fd(), raw, len) }) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives it its name. A file of the name can be opened by its owner alone, from its beginning.
pub fn bind(socket: &Held<OwnedFd>, name: &Name) -> io::Result<()> {
    let (raw, len) = name.raw();
    if let Name::Unix(..) = name {
        // The mode of the file is that of the socket, less the umask.
        // SAFETY: no pointers are passed.
        checked(unsafe { libc::fchmod(socket.as_raw_fd(), 0o600) })?;
    } else {
        // What is left of former connections is no obstacle.
        set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    }
    // SAFETY: `raw` is a name of `len` bytes, which lives as long as `name`.
    checked(unsafe { libc::bind(socket.as_raw_fd(), raw, len) }).map(drop)
}

pub fn listen(socket: &Held<OwnedFd>, queue: c_int) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    checked(unsafe { libc::listen(socket.as_raw_fd(), queue) }).map(drop)
}

/// The next who has dialled.
pub fn accept(socket: &Held<OwnedFd>) -> io::Result<Held<OwnedFd>> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let accepted = Held::open(|| {
        let fd = socket.as_raw_fd();
        // SAFETY: the kernel is not asked for a name, so the pointers may be null.
        let fd = checked(unsafe { libc::accept4(fd, ptr::null_mut(), ptr::null_mut(), flags) })?;
        // SAFETY: the kernel has just given it to us.
        above_standard(unsafe { OwnedFd::from_raw_fd(fd) })
    })?;
    tune(&accepted);
    Ok(accepted)
}

/// Takes a descriptor over that the program gives away, once `check` has seen that it is fit.
pub fn adopt<E>(fd: RawFd, check: impl FnOnce() -> Result<(), E>) -> Result<Held<OwnedFd>, E> {
    Held::open(|| {
        check()?;
        // SAFETY: no pointers are passed, and what is no descriptor is refused by the kernel.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        // SAFETY: the same.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
        // SAFETY: the same.
        unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) };
        // SAFETY: the header asks the program to give it away: from here on nobody else closes it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    })
}

/// The socket that asks the kernel about sockets.
pub fn diagnosis() -> io::Result<Held<OwnedFd>> {
    Held::open(|| {
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG) };
        // SAFETY: the kernel has just given it to us.
        checked(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
    })
}

/// What a read has brought.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    pub count: usize,
    /// There may be more; else it was all, and what comes behind it makes a new edge for a poll.
    pub more: bool,
}

pub fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<Received> {
    let len = buffer.len();
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: len };
    // SAFETY: all that a message has may be zero: no name, no parts, no room for control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    // SAFETY: the kernel writes at most `len` bytes to the buffer, which has as many, and flags.
    let count = unsafe { libc::recvmsg(socket, &raw mut message, 0) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // Descriptors that somebody sends are closed by the kernel, and end what one read brings.
    let more = count == len || message.msg_flags & libc::MSG_CTRUNC != 0;
    Ok(Received { count, more })
}

pub fn send(socket: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the bytes are there during the call, which only reads them.
    let sent =
        unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// How dialling has ended.
pub fn outcome(socket: RawFd) -> io::Result<()> {
    match option(socket, libc::SOL_SOCKET, libc::SO_ERROR)? {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// An option of the socket that is a number.
pub fn option(socket: RawFd, level: c_int, name: c_int) -> io::Result<c_int> {
    let (mut value, mut len) = (0, size::<c_int>());
    let to = (&raw mut value).cast();
    // SAFETY: the kernel writes at most `len` bytes to `value`, which has as many.
    checked(unsafe { libc::getsockopt(socket, level, name, to, &raw mut len) })?;
    Ok(value)
}

/// Has neither end a name?
pub fn is_pair(socket: RawFd) -> io::Result<bool> {
    let nameless = |name: &[u8]| name.len() <= size_of::<libc::sa_family_t>();
    // Whom we dialled has one.
    Ok(nameless(&name_by(libc::getpeername, socket)?)
        && nameless(&name_by(libc::getsockname, socket)?))
}

/// The names of both ends, as bytes: ours, and the other one's.
pub fn names(socket: RawFd) -> io::Result<[Vec<u8>; 2]> {
    Ok([name_by(libc::getsockname, socket)?, name_by(libc::getpeername, socket)?])
}

/// The same as addresses, of tcp.
pub fn addresses(socket: RawFd) -> Option<[SocketAddr; 2]> {
    let [ours, theirs] = names(socket).ok()?;
    Some([address_of(&ours)?, address_of(&theirs)?])
}

/// What the kernel wrote: the family, the port, and behind them what the family has.
fn address_of(name: &[u8]) -> Option<SocketAddr> {
    let family = libc::sa_family_t::from_ne_bytes(name.get(..2)?.try_into().ok()?);
    let port = u16::from_be_bytes(name.get(2..4)?.try_into().ok()?);
    let host: IpAddr = match libc::c_int::from(family) {
        libc::AF_INET => <[u8; 4]>::try_from(name.get(4..8)?).ok()?.into(),
        libc::AF_INET6 => <[u8; 16]>::try_from(name.get(8..24)?).ok()?.into(),
        _ => return None,
    };
    Some(SocketAddr::new(host, port))
}

type GetName = unsafe extern "C" fn(c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> c_int;

fn name_by(get: GetName, socket: RawFd) -> io::Result<Vec<u8>> {
    let mut name = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = size::<libc::sockaddr_storage>();
    // SAFETY: the kernel writes at most `len` bytes to `name`, which has as many.
    checked(unsafe { get(socket, name.as_mut_ptr().cast(), &raw mut len) })?;
    let len = usize::try_from(len).unwrap_or(0).min(size_of::<libc::sockaddr_storage>());
    // SAFETY: all of it was zeroed, and no more than that is read.
    Ok(unsafe { std::slice::from_raw_parts(name.as_ptr().cast::<u8>(), len) }.to_vec())
}

fn set_option(socket: RawFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let from = (&raw const value).cast();
    // SAFETY: the kernel reads the value, which has the size that is told.
    checked(unsafe { libc::setsockopt(socket, level, name, from, size::<c_int>()) }).map(drop)
}

/// What is no tcp knows no such options, and needs none. Commands are small and go at once; a host
/// that has gone is noticed, for nobody else may be connected before.
fn tune(socket: &Held<OwnedFd>) {
    let fd = socket.as_raw_fd();
    if option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY).is_ok() {
        let _ = set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
        let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
        for (name, value) in GONE_AFTER {
            let _ = set_option(fd, libc::IPPROTO_TCP, name, value);
        }
    }
}

fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn family(family: c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(family).expect("families are small numbers")
}

fn size<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).expect("names and options are small")
}

/// After a minute without a word six questions, ten seconds apart.
const GONE_AFTER: [(c_int, c_int); 3] =
    [(libc::TCP_KEEPIDLE, 60), (libc::TCP_KEEPINTVL, 10), (libc::TCP_KEEPCNT, 6)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_has_gone_is_noticed_and_commands_go_at_once() {
        for address in ["127.0.0.1:1", "[::1]:1"] {
            let socket = open(&Name::inet(address.parse().unwrap())).unwrap();
            let get = |level, name| option(socket.as_raw_fd(), level, name).unwrap();
            assert_eq!(get(libc::IPPROTO_TCP, libc::TCP_NODELAY), 1);
            assert_eq!(get(libc::SOL_SOCKET, libc::SO_KEEPALIVE), 1);
            assert_eq!(get(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE), 60);
        }
    }

    #[test]
    fn a_unix_name_is_no_longer_than_it_may_be() {
        assert!(Name::unix(&[b'x'; 107]).is_some());
        assert!(Name::unix(&[b'x'; 108]).is_none());
        assert!(Name::unix(&[b"\0".as_slice(), &[b'x'; 107]].concat()).is_some());
        assert!(Name::unix(&[b"\0".as_slice(), &[b'x'; 108]].concat()).is_none());
        assert!(Name::unix(b"").is_none());
    }
}
