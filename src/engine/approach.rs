//! On the way to a connection: how an address becomes a stream, step by step, while the reader does
//! other things. Part of [`Slot`].

#![forbid(unsafe_code)]

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
};

use mio::Registry;

use super::{
    dial,
    door::Door,
    fork::{self, Held},
    helpers::{FindHolder, Helpers, LookUp},
    holder::Whom,
    process,
    slot::{Slot, Source},
    socket,
    stream::Stream,
};
use crate::model::{Address, Code, Error, Host, Identity, Place};

/// What is waited for.
#[derive(Debug)]
pub enum Approach {
    /// Nothing: there is a connection, or none is sought.
    None,
    /// The addresses of a host.
    Names,
    /// One address of a host takes the connection.
    Inet(Box<Dialled>),
    /// Somebody dials.
    Dialler,
    /// It was asked who holds the monitor, whose queue is full.
    Queue,
}

/// The addresses of a host, in the order in which they are dialled.
#[derive(Debug)]
pub struct Dialled {
    /// To the one that is being dialled.
    stream: Stream,
    addresses: Vec<SocketAddr>,
    /// So many are left after it.
    left: usize,
}

/// How far an attempt to connect has come.
#[derive(Debug)]
pub enum Reached {
    /// There is a connection, with this process where that can be known.
    Connected(Option<Identity>),
    /// This is still waited for, in words that say what may be wrong when it does not come.
    NotYet(String),
}

/// Who must hold the other end; `None`: anybody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peer {
    pub user: Option<u32>,
    pub process: Option<i32>,
}

/// What an approach may ask of others.
pub struct Around<'a> {
    pub registry: &'a Registry,
    pub names: &'a Helpers<LookUp>,
    pub holders: &'a Helpers<FindHolder>,
}

impl Slot {
    /// Begins an attempt to connect. What it waits for comes by `handle_ready`, `handle_addresses`
    /// or an answer of the helpers.
    pub fn connect(&mut self, around: &Around) -> Result<Reached, Error> {
        self.attempt += 1;
        let monitor = self.monitor.clone();
        let Address { place, listens } = monitor.address();
        match place {
            _ if listens && self.door.is_some() => self.take_dialler(around.registry),
            Place::Unix(path) if listens => self.open(around.registry, || Door::at_path(&path)),
            Place::Abstract(name) if listens => {
                self.open(around.registry, || Door::at_abstract(&name))
            }
            Place::Unix(path) => match dial::dial_path(&path) {
                Ok(socket) => self.take(socket, around.registry),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    Ok(self.find_who_waits(around, Whom::Path(path)))
                }
                Err(error) => Err(dial::refused_path(&path, &error)),
            },
            Place::Abstract(name) => match dial::dial_abstract(&name) {
                Ok(socket) => self.take(socket, around.registry),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    Ok(self.find_who_waits(around, Whom::Abstract(name)))
                }
                Err(error) => Err(dial::refused(&format!("@{name}"), &error)),
            },
            Place::Tcp(Host::Number(host), port) => {
                self.approach = Approach::Names;
                self.take_addresses(vec![SocketAddr::new(host, port)], around.registry)
            }
            Place::Tcp(Host::Name(host), port) => {
                self.approach = Approach::Names;
                let monitor = monitor.id();
                let awaited = format!("the host {host} was not looked up in time");
                around.names.submit(LookUp { monitor, host, port });
                Ok(Reached::NotYet(awaited))
            }
            Place::Descriptor(_) => {
                let socket = monitor.take_descriptor().ok_or_else(|| {
                    let text = "the connection that was handed over has ended, and there is no \
                                other; make a new monitor for a new one";
                    Error::new(Code::NotConnected, text)
                })?;
                if listens {
                    self.open(around.registry, || Ok(Door::adopted(socket)))
                } else {
                    self.take(socket, around.registry)
                }
            }
        }
    }

    /// A socket that is waited for is ready, or somebody has dialled.
    pub fn handle_ready(&mut self, registry: &Registry) -> Option<Result<Reached, Error>> {
        match std::mem::replace(&mut self.approach, Approach::None) {
            Approach::Inet(dialled) => Some(match dial::check_inet(dialled.stream.socket()) {
                Ok(()) => Ok(self.arrive(dialled.stream)),
                // It stands among those that are ready for another reason.
                Err(error) if error.kind() == ErrorKind::NotConnected => {
                    self.approach = Approach::Inet(dialled);
                    return None;
                }
                Err(error) if dialled.left == 0 => {
                    Err(dial::refused(&dialled.address().to_string(), &error))
                }
                Err(_) => {
                    let Dialled { stream, addresses, left } = *dialled;
                    drop(stream);
                    self.dial(addresses, left, registry)
                }
            }),
            Approach::Dialler => Some(self.take_dialler(registry)),
            other => {
                self.approach = other;
                None
            }
        }
    }

    /// The host was looked up. Whoever asks again meanwhile is served by this answer as well.
    pub fn handle_addresses(
        &mut self,
        found: Result<Vec<SocketAddr>, Error>,
        registry: &Registry,
    ) -> Option<Result<Reached, Error>> {
        if !matches!(self.approach, Approach::Names) {
            return None;
        }
        Some(found.and_then(|found| self.take_addresses(found, registry)))
    }

    /// Asks who holds a monitor that has taken the connection, and does not greet.
    pub fn find_holder(&self, holders: &Helpers<FindHolder>) {
        let (monitor, attempt) = (self.monitor.id(), self.attempt);
        let Some(fd) = self.stream.as_ref().map(Stream::fd) else { return };
        let inet = socket::addresses(fd).map(|[ours, theirs]| Whom::Inet(ours, theirs));
        if let Some(whom) = inet.or_else(|| inode(fd).map(Whom::Connected)) {
            holders.submit(FindHolder { monitor, attempt, whom });
        }
    }

    /// What was waited for comes no more. An address that has not answered is the last one to be
    /// tried next time.
    pub fn give_up(&mut self) {
        if let Approach::Inet(dialled) = std::mem::replace(&mut self.approach, Approach::None) {
            self.last_silent = Some(Box::new(dialled.address()));
        }
    }

    fn take_addresses(
        &mut self,
        mut found: Vec<SocketAddr>,
        registry: &Registry,
    ) -> Result<Reached, Error> {
        if self.monitor.address().listens {
            let mut opened = Err(Error::new(Code::NotFound, "the host has no address"));
            for address in found {
                opened = self.open(registry, || Door::at_inet(address));
                if opened.is_ok() {
                    break;
                }
            }
            return opened;
        }
        let silent = self.last_silent.as_deref();
        if let Some(silent) = silent.and_then(|silent| found.iter().position(|it| it == silent)) {
            let after = (silent + 1) % found.len();
            found.rotate_left(after);
        }
        let left = found.len();
        self.dial(found, left, registry)
    }

    /// Dials the first of the last `left` addresses that takes it.
    fn dial(
        &mut self,
        addresses: Vec<SocketAddr>,
        mut left: usize,
        registry: &Registry,
    ) -> Result<Reached, Error> {
        let mut failed = Error::new(Code::NotFound, "the host has no address");
        while left > 0 {
            let address = addresses[addresses.len() - left];
            left -= 1;
            match dial::dial_inet(address) {
                Ok(socket) => {
                    let token = Source::Connection(self.monitor.id()).token();
                    let stream = Stream::dialling(socket, registry, token)?;
                    let dialled = Dialled { stream, addresses, left };
                    self.approach = Approach::Inet(Box::new(dialled));
                    return Ok(Reached::NotYet(format!("{address} did not answer")));
                }
                Err(error) => failed = dial::refused(&address.to_string(), &error),
            }
        }
        Err(failed)
    }

    /// Opens a door, and looks whether anybody stands before it.
    fn open(
        &mut self,
        registry: &Registry,
        open: impl FnOnce() -> Result<Door, Error>,
    ) -> Result<Reached, Error> {
        let door = open()?;
        door.register(registry, Source::Door(self.monitor.id()).token())?;
        self.door = Some(Box::new(door));
        self.take_dialler(registry)
    }

    fn take_dialler(&mut self, registry: &Registry) -> Result<Reached, Error> {
        if let Some(socket) = self.door.as_ref().map_or(Ok(None), |door| door.accept())? {
            return self.take(socket, registry);
        }
        self.approach = Approach::Dialler;
        Ok(Reached::NotYet("QEMU has not dialled".into()))
    }

    fn find_who_waits(&mut self, around: &Around, whom: Whom) -> Reached {
        self.approach = Approach::Queue;
        let (monitor, attempt) = (self.monitor.id(), self.attempt);
        around.holders.submit(FindHolder { monitor, attempt, whom });
        Reached::NotYet("others wait for it already".into())
    }

    fn take(&mut self, socket: Held<OwnedFd>, registry: &Registry) -> Result<Reached, Error> {
        self.monitor.peer().check(|| process::credentials(socket.as_raw_fd()))?;
        let token = Source::Connection(self.monitor.id()).token();
        let stream = Stream::new(socket, registry, token)?;
        Ok(self.arrive(stream))
    }

    fn arrive(&mut self, stream: Stream) -> Reached {
        self.process = stream.peer();
        self.watched = None;
        self.approach = Approach::None;
        self.last_silent = None;
        self.stream = Some(stream);
        Reached::Connected(self.process)
    }
}

impl Dialled {
    /// The one that is being dialled.
    fn address(&self) -> SocketAddr {
        self.addresses[self.addresses.len() - 1 - self.left]
    }
}

impl Peer {
    /// Is it they?
    fn check(self, find: impl FnOnce() -> Option<(i32, u32)>) -> Result<(), Error> {
        if self == Self::default() {
            return Ok(());
        }
        let wanted = match (self.process, self.user) {
            (Some(process), Some(user)) => format!("process {process} of user {user}"),
            (Some(process), None) => format!("process {process}"),
            (None, user) => format!("user {}", user.unwrap_or_default()),
        };
        let Some((process, user)) = find() else {
            let text = format!("nobody can tell who holds the other end; wanted {wanted}");
            return Err(Error::new(Code::Denied, text));
        };
        let same = self.process.is_none_or(|wanted| wanted == process)
            && self.user.is_none_or(|wanted| wanted == user);
        if same {
            return Ok(());
        }
        let text = format!("process {process} of user {user} holds the other end; wanted {wanted}");
        Err(Error::new(Code::Denied, text))
    }
}

/// Takes over the descriptor of an address that has one, if it is fit for it.
pub fn adopt(address: &Address) -> Result<Option<Held<OwnedFd>>, Error> {
    let Place::Descriptor(fd) = address.place else { return Ok(None) };
    let refuse = |code, what: &str| Err(Error::new(code, format!("descriptor {fd} {what}")));
    let option = |name| socket::option(fd, libc::SOL_SOCKET, name);
    let check = || {
        if fork::is_ours(fd) {
            return refuse(Code::Busy, "is the library's already");
        }
        let listens = match option(libc::SO_ACCEPTCONN) {
            Ok(listens) => listens == 1,
            Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => {
                return refuse(Code::NotSocket, "is not a socket");
            }
            Err(error) => return Err(Error::os(&format!("descriptor {fd} is not fit"), &error)),
        };
        if !matches!(option(libc::SO_TYPE), Ok(libc::SOCK_STREAM)) {
            return refuse(Code::Os(libc::EPROTOTYPE), "is not a stream socket");
        }
        match (listens, address.listens) {
            (true, false) => refuse(Code::Invalid, "is listened on; say fd:N,server=on"),
            (false, true) => refuse(Code::Invalid, "is not listened on; say fd:N alone"),
            (false, false) if socket::names(fd).is_err() => {
                refuse(Code::NotConnected, "is not connected")
            }
            _ => Ok(()),
        }
    };
    socket::adopt(fd, check).map(Some)
}

/// The number that the kernel knows a socket of ours by.
fn inode(fd: RawFd) -> Option<u32> {
    let link = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_the_other_end_is_compared_where_that_is_wanted() {
        let peer = |user, process| Peer { user, process };
        let found = Some((70, 1000));
        for good in [(None, None), (Some(1000), None), (None, Some(70)), (Some(1000), Some(70))] {
            assert_eq!(peer(good.0, good.1).check(|| found), Ok(()));
        }
        for bad in [(Some(0), None), (None, Some(71)), (Some(1000), Some(71)), (Some(0), Some(70))]
        {
            let error = peer(bad.0, bad.1).check(|| found).unwrap_err();
            assert_eq!(error.code, Code::Denied);
            assert!(error.text.starts_with("process 70 of user 1000 holds"), "{error}");
        }
        assert_eq!(peer(None, None).check(|| None), Ok(()));
        let error = peer(Some(0), None).check(|| None).unwrap_err();
        assert!(error.text.contains("nobody can tell"), "{error}");
    }
}
