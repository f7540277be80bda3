//! Where QEMU dials us: a listening socket, and the file that bears its name.

#![forbid(unsafe_code)]

use std::{
    fs,
    io::{self, ErrorKind},
    net::SocketAddr,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{
            ffi::OsStrExt as _,
            fs::{FileTypeExt as _, MetadataExt as _},
        },
    },
    path::{Path, PathBuf},
};

use mio::{Interest, Registry, Token, unix::SourceFd};

use super::{
    dial,
    fork::Held,
    socket::{self, Name},
};
use crate::model::{Error, address::SUN_PATH_MAX};

#[derive(Debug)]
pub struct Door {
    socket: Held<OwnedFd>,
    /// The file that we made, by its device and inode: at its path there may be another one later.
    file: Option<(PathBuf, (u64, u64))>,
}

impl Door {
    /// Listens at a path. A socket that was left there, and on which nobody listens, makes way.
    pub fn at_path(path: &Path) -> Result<Self, Error> {
        let cannot = |error: io::Error| cannot_listen(&path.display().to_string(), &error);
        let directory;
        let bytes = path.as_os_str().as_bytes();
        let name = if bytes.len() <= SUN_PATH_MAX {
            Name::unix(bytes)
        } else {
            let (place, file) = crate::model::Place::directory(path);
            directory = dial::open_path(place).map_err(cannot)?;
            let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
            Name::unix(short.join(file).as_os_str().as_bytes())
        };
        // Its length was looked at when the address was read.
        let name = name.ok_or_else(|| cannot(ErrorKind::InvalidInput.into()))?;
        let socket = socket::open(&name).map_err(cannot)?;
        match socket::bind(&socket, &name) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && clear(path) => {
                socket::bind(&socket, &name).map_err(cannot)?;
            }
            bound => bound.map_err(cannot)?,
        }
        let file = identity(path).map(|identity| (path.to_owned(), identity));
        let door = Self { socket, file };
        socket::listen(&door.socket, QUEUE).map_err(cannot)?;
        Ok(door)
    }

    pub fn at_abstract(name: &str) -> Result<Self, Error> {
        let shown = format!("@{name}");
        let bytes = [b"\0", name.as_bytes()].concat();
        let name = Name::unix(&bytes)
            .ok_or_else(|| cannot_listen(&shown, &ErrorKind::InvalidInput.into()))?;
        Self::at_name(&name).map_err(|error| cannot_listen(&shown, &error))
    }

    pub fn at_inet(address: SocketAddr) -> Result<Self, Error> {
        let listening = Self::at_name(&Name::inet(address));
        listening.map_err(|error| cannot_listen(&address.to_string(), &error))
    }

    /// A socket that the program has made, and on which it listens already.
    pub fn adopted(socket: Held<OwnedFd>) -> Self {
        Self { socket, file: None }
    }

    pub fn register(&self, registry: &Registry, token: Token) -> Result<(), Error> {
        let fd = self.socket.as_raw_fd();
        let watched = registry.register(&mut SourceFd(&fd), token, Interest::READABLE);
        watched.map_err(|error| Error::os("cannot watch the listening socket", &error))
    }

    /// The next who has dialled, if anybody has.
    pub fn accept(&self) -> Result<Option<Held<OwnedFd>>, Error> {
        loop {
            return match socket::accept(&self.socket) {
                Ok(accepted) => Ok(Some(accepted)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                // That one is gone again.
                Err(error)
                    if [ErrorKind::Interrupted, ErrorKind::ConnectionAborted]
                        .contains(&error.kind()) =>
                {
                    continue;
                }
                Err(error) => Err(Error::os("cannot take a connection", &error)),
            };
        }
    }

    fn at_name(name: &Name) -> io::Result<Self> {
        let socket = socket::open(name)?;
        socket::bind(&socket, name)?;
        socket::listen(&socket, QUEUE)?;
        Ok(Self { socket, file: None })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some((path, ours)) = &self.file {
            if identity(path) == Some(*ours) {
                // It may be gone already, and that is as good.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Removes a socket on which nobody listens. Did it?
fn clear(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let found = identity(path);
    let refused = is_socket
        && dial::dial_path(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    refused && found == identity(path) && fs::remove_file(path).is_ok()
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn cannot_listen(place: &str, error: &io::Error) -> Error {
    let what = match error.kind() {
        ErrorKind::AddrInUse => {
            let text =
                format!("cannot listen on {place}: another program does, or it is no socket");
            return Error { text, ..Error::os("", error) };
        }
        _ => format!("cannot listen on {place}"),
    };
    Error::os(&what, error)
}

/// One QEMU dials; whoever comes while it is connected waits, and a few may.
const QUEUE: i32 = 4;

#[cfg(test)]
mod tests {
    use std::{
        os::unix::{
            fs::PermissionsExt as _,
            net::{UnixListener, UnixStream},
        },
        thread,
    };

    use super::*;
    use crate::model::Code;

    #[test]
    fn what_was_left_makes_way_and_what_lives_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp");
        drop(UnixListener::bind(&path).unwrap());
        let door = Door::at_path(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = Door::at_path(&path).unwrap_err();
        assert_eq!(refused.code, Code::Os(libc::EADDRINUSE), "{refused}");
        // The look has dialled.
        assert!(door.accept().unwrap().is_some());
        assert!(door.accept().unwrap().is_none());
        drop(door);
        assert!(!path.exists());
        fs::write(&path, "a file").unwrap();
        assert!(Door::at_path(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"a file");
    }

    #[test]
    fn only_its_own_file_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp");
        let door = Door::at_path(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop(door);
        assert!(path.exists());
    }

    #[test]
    fn a_long_path_is_listened_on_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let path = deep.join("qmp");
        let door = Door::at_path(&path).unwrap();
        assert!(dial::dial_path(&path).is_ok());
        assert!(door.accept().unwrap().is_some());
        drop(door);
        assert!(!path.exists());
    }

    #[test]
    fn an_abstract_name_and_a_port_are_listened_on() {
        let name = format!("blockjob-door-{:?}-{}", thread::current().id(), std::process::id());
        let door = Door::at_abstract(&name).unwrap();
        let bytes = [b"\0", name.as_bytes()].concat();
        assert!(dial::dial_name(&Name::unix(&bytes).unwrap()).is_ok());
        assert!(door.accept().unwrap().is_some());
        assert!(Door::at_abstract(&name).unwrap_err().text.contains("another program"));
        drop(door);
        assert!(Door::at_abstract(&name).is_ok());

        let door = Door::at_inet("127.0.0.1:0".parse().unwrap()).unwrap();
        let [ours, _] = [socket::option(door.socket.as_raw_fd(), 1, 4).unwrap(), 0];
        assert_eq!(ours, 0, "no error");
    }

    #[test]
    fn an_adopted_socket_is_accepted_from() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let socket = Held::open(|| Ok::<_, ()>(OwnedFd::from(listener))).unwrap();
        let door = Door::adopted(socket);
        let _dialled = UnixStream::connect(&path).unwrap();
        assert!(door.accept().unwrap().is_some());
        drop(door);
        assert!(path.exists(), "it was not ours to remove");
    }
}
