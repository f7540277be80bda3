//! One connection to a monitor, non-blocking.

#![allow(unsafe_code)]

use std::{
    io::{self, ErrorKind},
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
};

use mio::{Interest, Registry, Token, unix::SourceFd};

use super::{fork::Held, process, socket};
use crate::model::{Code, Error, Identity};

#[derive(Debug)]
pub struct Stream {
    socket: Held<OwnedFd>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
}

/// What a read found.
#[derive(Debug)]
pub enum Found {
    /// So many bytes; there may be more.
    Bytes(usize),
    Nothing,
    End(Error),
}

impl Stream {
    /// Registers a socket that is connected, or about to be.
    pub fn new(socket: Held<OwnedFd>, registry: &Registry, token: Token) -> Result<Self, Error> {
        let fd = socket.as_raw_fd();
        registry
            .register(&mut SourceFd(&fd), token, Interest::READABLE | Interest::WRITABLE)
            .map_err(|error| Error::os("cannot watch the connection", &error))?;
        Ok(Self { socket, unsent: Vec::new() })
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
                Ok(0) => Found::End(ended()),
                Ok(count) => Found::Bytes(count),
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

    /// Sends, and keeps for later what the socket does not take now.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.unsent.len() + bytes.len() > UNSENT_MAX {
            let text = format!("QEMU has not read {} bytes of commands", self.unsent.len());
            return Err(Error::new(Code::NoBuffers, text));
        }
        self.unsent.extend_from_slice(bytes);
        self.flush()
    }

    /// Sends what was kept.
    pub fn flush(&mut self) -> Result<(), Error> {
        while !self.unsent.is_empty() {
            match self.send_some() {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // It is gone. Its last words are still to be read, and end with the end.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.unsent.clear(),
                Err(error) => return Err(Error::os("cannot write to QEMU", &error)),
            }
        }
        Ok(())
    }

    /// A write that never raises SIGPIPE, which not every std's write promises.
    fn send_some(&self) -> io::Result<usize> {
        let (start, length) = (self.unsent.as_ptr(), self.unsent.len());
        let socket = self.socket.as_raw_fd();
        // SAFETY: the bytes are ours and stay during the call, which only reads them.
        let sent = unsafe { libc::send(socket, start.cast(), length, libc::MSG_NOSIGNAL) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

fn ended() -> Error {
    Error::new(Code::Reset, "QEMU closed the connection")
}

/// Commands are small, and QEMU reads them at once unless it hangs.
const UNSENT_MAX: usize = 1 << 20;
