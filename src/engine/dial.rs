//! Dialling: a path of any length, an abstract name, an address of the internet; and what to look
//! at when that fails.

#![forbid(unsafe_code)]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    net::{SocketAddr, ToSocketAddrs as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{
            ffi::OsStrExt as _,
            fs::{FileTypeExt as _, OpenOptionsExt as _},
        },
    },
    path::Path,
};

use super::{
    fork::Held,
    socket::{self, Name},
};
use crate::model::{Code, Error, address::SUN_PATH_MAX};

/// Dials a path. A long one by the way of its inode, for `/proc/self/fd/N` is short.
pub fn dial_path(path: &Path) -> io::Result<Held<OwnedFd>> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() <= SUN_PATH_MAX {
        return dial_name(&Name::unix(bytes).ok_or(ErrorKind::InvalidInput)?);
    }
    let found = open_path(path)?;
    let short = format!("/proc/self/fd/{}", found.as_raw_fd());
    dial_name(&Name::unix(short.as_bytes()).ok_or(ErrorKind::InvalidInput)?)
}

pub fn dial_abstract(name: &str) -> io::Result<Held<OwnedFd>> {
    let bytes = [b"\0", name.as_bytes()].concat();
    dial_name(&Name::unix(&bytes).ok_or(ErrorKind::InvalidInput)?)
}

/// A unix socket is connected at once or not at all.
pub fn dial_name(name: &Name) -> io::Result<Held<OwnedFd>> {
    let socket = socket::open(name)?;
    socket::connect(&socket, name)?;
    Ok(socket)
}

/// Begins to dial: the socket is ready for writing when that has ended.
pub fn dial_inet(address: SocketAddr) -> io::Result<Held<OwnedFd>> {
    let name = Name::inet(address);
    let socket = socket::open(&name)?;
    socket::connect(&socket, &name)?;
    Ok(socket)
}

/// How dialling has ended. The kernel may connect a port of this host with itself when nobody
/// listens there; that is nobody.
pub fn check_inet(socket: &Held<OwnedFd>) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    socket::outcome(fd)?;
    let [ours, theirs] = socket::names(fd)?;
    if ours == theirs { Err(ErrorKind::ConnectionRefused.into()) } else { Ok(()) }
}

/// Looks a host up. It may take as long as name servers take, so it is never done by the reader.
pub fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let unknown = |what: &dyn std::fmt::Display| {
        let text = format!("cannot connect: the host {host} is not known: {what}");
        Error::new(Code::Os(libc::EHOSTUNREACH), text)
    };
    match (host, port).to_socket_addrs() {
        Ok(found) => {
            let found: Vec<_> = found.take(ADDRESSES_MAX).collect();
            if found.is_empty() { Err(unknown(&"it has no address")) } else { Ok(found) }
        }
        Err(error) => Err(unknown(&error)),
    }
}

/// A file as a place: nothing of it is opened.
pub fn open_path(path: &Path) -> io::Result<Held<File>> {
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // Not within `Held::open`, for it may take its time.
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    Held::open(|| Ok(file))
}

/// Why a path could not be dialled, and what to look at.
pub fn refused_path(path: &Path, error: &io::Error) -> Error {
    let is_socket = || fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    let shown = path.display().to_string();
    match error.kind() {
        ErrorKind::NotFound if !is_socket() => {
            let text = format!("cannot connect: there is no {shown}; was QEMU started with it?");
            Error { text, ..Error::os("", error) }
        }
        ErrorKind::NotFound => {
            let text = format!("cannot connect to {shown}: so long a path needs /proc");
            Error { text, ..Error::os("", error) }
        }
        ErrorKind::ConnectionRefused if !is_socket() => {
            Error::new(Code::NotSocket, format!("cannot connect: {shown} is not a unix socket"))
        }
        _ => refused(&shown, error),
    }
}

/// The same of any other place.
pub fn refused(shown: &str, error: &io::Error) -> Error {
    if error.kind() == ErrorKind::ConnectionRefused {
        let text = format!("cannot connect: nobody listens on {shown}; does QEMU run?");
        return Error::new(Code::Os(libc::ECONNREFUSED), text);
    }
    Error::os(&format!("cannot connect to {shown}"), error)
}

/// More than any host has.
const ADDRESSES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_path_and_a_file_name_of_any_length_are_dialled() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("d".repeat(200));
        fs::create_dir(&deep).unwrap();
        let short = directory.path().join("short");
        let _listener = UnixListener::bind(&short).unwrap();
        let path = deep.join("f".repeat(200));
        fs::rename(&short, &path).unwrap();
        assert!(dial_path(&path).is_ok());
        let missing = deep.join("missing");
        let error = dial_path(&missing).unwrap_err();
        let error = refused_path(&missing, &error);
        assert_eq!(error.code, Code::Os(libc::ENOENT));
        assert!(error.text.contains("there is no"), "{error}");
        let file = deep.join("file");
        fs::write(&file, "").unwrap();
        let error = dial_path(&file).unwrap_err();
        assert_eq!(refused_path(&file, &error).code, Code::NotSocket);
    }

    #[test]
    fn a_port_that_is_connected_with_itself_is_nobody() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let name = Name::inet(address);
        let socket = socket::open(&name).unwrap();
        socket::bind(&socket, &name).unwrap();
        socket::connect(&socket, &name).unwrap();
        let error = check_inet(&socket).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = refused(&address.to_string(), &error);
        assert_eq!(error.code, Code::Os(libc::ECONNREFUSED));
    }

    #[test]
    fn an_unknown_host_is_said_to_be_so() {
        let error = look_up("host.invalid", 1).unwrap_err();
        assert_eq!(error.code, Code::Os(libc::EHOSTUNREACH));
        assert!(error.text.contains("the host host.invalid is not known"), "{error}");
    }
}
