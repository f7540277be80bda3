//! One connection to a monitor, non-blocking.

#![forbid(unsafe_code)]

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
};

use mio::{Interest, Registry, Token, unix::SourceFd};

use super::{
    descriptor::{self, Descriptor},
    fork::Held,
    process,
    socket::{self, Received},
};
use crate::model::{Code, Error, Identity};

#[derive(Debug)]
pub struct Stream {
    socket: Held<OwnedFd>,
    /// What the socket did not take yet; as a rule there is nothing.
    unsent: Option<Box<Unsent>>,
    token: Token,
    /// The kernel says when it takes more. It is asked to only while there is something unsent, or
    /// it would wake the reader each time that QEMU has read a command.
    awaits_room: bool,
    /// The kernel has said that it ends, and says nothing more.
    pub ends: bool,
}

#[derive(Debug, Default)]
struct Unsent {
    bytes: Vec<u8>,
    /// What goes along with the byte that stands there; in their order.
    passed: VecDeque<(usize, Descriptor)>,
}

/// What a read found.
#[derive(Debug)]
pub enum Found {
    Bytes(Received),
    Nothing,
    End(Error),
}

impl Stream {
    /// Registers a socket that is connected.
    pub fn new(socket: Held<OwnedFd>, registry: &Registry, token: Token) -> Result<Self, Error> {
        Self::register(socket, registry, token, false)
    }

    /// Registers one that is being connected: it is ready for writing when that has ended, and from
    /// the next flush on as any other.
    pub fn dialling(
        socket: Held<OwnedFd>,
        registry: &Registry,
        token: Token,
    ) -> Result<Self, Error> {
        Self::register(socket, registry, token, true)
    }

    fn register(
        socket: Held<OwnedFd>,
        registry: &Registry,
        token: Token,
        awaits_room: bool,
    ) -> Result<Self, Error> {
        let fd = socket.as_raw_fd();
        registry
            .register(&mut SourceFd(&fd), token, interest(awaits_room))
            .map_err(|error| unwatched(&error))?;
        Ok(Self { socket, unsent: None, token, awaits_room, ends: false })
    }

    pub fn socket(&self) -> &Held<OwnedFd> {
        &self.socket
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Who holds the other end, where the kernel can tell.
    pub fn peer(&self) -> Option<Identity> {
        process::peer(self.socket.as_raw_fd())
    }

    /// Reads once.
    pub fn read(&mut self, buffer: &mut [u8]) -> Found {
        loop {
            return match socket::receive(self.fd(), buffer) {
                Ok(Received { count: 0, .. }) => Found::End(ended()),
                Ok(received) => Found::Bytes(received),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock => Found::Nothing,
                    // A QEMU that exits with a byte of ours unread ends like this; it is the end.
                    ErrorKind::ConnectionReset => Found::End(ended()),
                    _ => Found::End(Error::os("cannot read from QEMU", &error)),
                },
            };
        }
    }

    /// Sends, with the first of the bytes a descriptor if one is to go along, and keeps for later
    /// what the socket does not take now.
    pub fn send(
        &mut self,
        bytes: &[u8],
        luggage: Option<Descriptor>,
        registry: &Registry,
    ) -> Result<(), Error> {
        let unsent = self.unsent.get_or_insert_default();
        unsent.add(bytes)?;
        let at = unsent.bytes.len() - bytes.len();
        unsent.passed.extend(luggage.map(|luggage| (at, luggage)));
        self.flush(registry)
    }

    /// Sends what was kept.
    pub fn flush(&mut self, registry: &Registry) -> Result<(), Error> {
        while let Some(unsent) = self.unsent.as_mut().filter(|unsent| !unsent.bytes.is_empty()) {
            match unsent.send_some(self.socket.as_raw_fd()) {
                Ok(count) => unsent.take_off(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return self.await_room(true, registry);
                }
                // It is gone. Its last words are still to be read, and end with the end.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                    ) =>
                {
                    break;
                }
                Err(error) => return Err(Error::os("cannot write to QEMU", &error)),
            }
        }
        self.unsent = None;
        self.await_room(false, registry)
    }

    fn await_room(&mut self, awaits_room: bool, registry: &Registry) -> Result<(), Error> {
        if std::mem::replace(&mut self.awaits_room, awaits_room) == awaits_room {
            return Ok(());
        }
        let fd = self.fd();
        // If there is room by now, that is told as well.
        registry
            .reregister(&mut SourceFd(&fd), self.token, interest(awaits_room))
            .map_err(|error| unwatched(&error))
    }
}

fn interest(awaits_room: bool) -> Interest {
    if awaits_room { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE }
}

fn unwatched(error: &io::Error) -> Error {
    Error::os("cannot watch the connection", error)
}

impl Unsent {
    fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.bytes.len() + bytes.len() > UNSENT_MAX {
            let text = format!("QEMU has not read {} bytes of commands", self.bytes.len());
            return Err(Error::new(Code::NoBuffers, text));
        }
        if self.bytes.try_reserve(bytes.len()).is_err() {
            let text = format!("there is no memory for a command of {} bytes", bytes.len());
            return Err(Error::new(Code::NoMemory, text));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends up to where the next descriptor is passed, so that each goes with its own bytes.
    fn send_some(&self, socket: RawFd) -> io::Result<usize> {
        let mut places = self.passed.iter().map(|(at, _)| *at);
        let end = places.find(|at| *at > 0).unwrap_or(self.bytes.len());
        let here = self.passed.front().filter(|(at, _)| *at == 0).map(|(_, descriptor)| descriptor);
        descriptor::send(socket, &self.bytes[..end], here)
    }

    /// So many bytes are sent, and what went along with them is closed here.
    fn take_off(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.passed.retain(|(at, _)| *at >= count);
        self.passed.iter_mut().for_each(|(at, _)| *at -= count);
    }
}

fn ended() -> Error {
    Error::new(Code::Reset, "QEMU closed the connection")
}

/// Twice what the commands of a program may have. QEMU reads the others at once unless it hangs.
const UNSENT_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        os::unix::net::UnixStream,
        time::Duration,
    };

    use mio::{Events, Poll};

    use super::*;

    /// What the kernel says now of the one connection.
    fn news(poll: &mut Poll) -> (bool, bool) {
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        let writable = events.iter().any(mio::event::Event::is_writable);
        (!events.is_empty(), writable)
    }

    #[test]
    fn what_the_socket_does_not_take_follows_and_the_kernel_speaks_of_room_only_then() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let socket = Held::open(|| Ok::<_, ()>(OwnedFd::from(ours))).unwrap();
        let mut poll = Poll::new().unwrap();
        let mut stream = Stream::new(socket, poll.registry(), Token(4)).unwrap();
        assert_eq!(news(&mut poll), (false, false), "it is writable, and nobody has asked");
        let mut taken = [0; 6];
        stream.send(b"short\n", None, poll.registry()).unwrap();
        theirs.read_exact(&mut taken).unwrap();
        assert_eq!(news(&mut poll), (false, false), "a command was read");

        let long: Vec<u8> = (0..=250).cycle().take(UNSENT_MAX).collect();
        stream.send(&long, None, poll.registry()).unwrap();
        assert!(stream.unsent.is_some(), "no socket takes so much");
        let mut received = Vec::new();
        let mut part = vec![0; 64 << 10];
        while received.len() < long.len() {
            let count = theirs.read(&mut part).unwrap();
            received.extend_from_slice(&part[..count]);
            if news(&mut poll).1 {
                stream.flush(poll.registry()).unwrap();
            }
        }
        assert!(received == long, "in its order");
        assert!(stream.unsent.is_none());
        stream.send(b"short\n", None, poll.registry()).unwrap();
        theirs.read_exact(&mut taken).unwrap();
        assert_eq!(news(&mut poll), (false, false), "all was sent");
    }

    /// Closed with something of ours unread, the peer's end resets the connection, by a unix socket
    /// as by TCP: behind the last words the kernel has ECONNRESET, and a stream has the end.
    fn is_the_end_when_reset<T: Into<OwnedFd> + Write, U: Read + Write>(pair: impl Fn() -> (T, U)) {
        let reset_pair = || {
            let (mut ours, mut theirs) = pair();
            theirs.write_all(b"last words").unwrap();
            ours.write_all(b"unread").unwrap();
            // All of it is there.
            theirs.read_exact(&mut [0]).unwrap();
            ours.into()
        };
        let mut buffer = [0; 64];
        let plain: OwnedFd = reset_pair();
        let read = socket::receive(plain.as_raw_fd(), &mut buffer).unwrap();
        assert_eq!(&buffer[..read.count], b"last words");
        let error = socket::receive(plain.as_raw_fd(), &mut buffer).map(|read| read.count);
        assert_eq!(error.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));

        let socket = Held::open(|| Ok::<_, ()>(reset_pair())).unwrap();
        let poll = Poll::new().unwrap();
        let mut stream = Stream::new(socket, poll.registry(), Token(4)).unwrap();
        let Found::Bytes(read) = stream.read(&mut buffer) else { panic!("there are last words") };
        assert_eq!(&buffer[..read.count], b"last words");
        let Found::End(end) = stream.read(&mut buffer) else { panic!("nothing follows") };
        assert_eq!(end, ended());
    }

    #[test]
    fn a_connection_that_is_reset_has_ended_behind_its_last_words() {
        is_the_end_when_reset(|| UnixStream::pair().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        is_the_end_when_reset(|| {
            (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0)
        });
    }
}
