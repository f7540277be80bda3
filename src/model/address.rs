//! Where a monitor is reached, in QEMU's own syntax: `unix:PATH`, `unix:@NAME`, `tcp:HOST:PORT` or
//! `fd:N`, and `,server=on` behind it when QEMU dials and we listen.

use core::net::IpAddr;
use std::path::{Path, PathBuf};

use super::error::{Code, Error};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub place: Place,
    /// QEMU dials us, and not we it.
    pub listens: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Unix(PathBuf),
    /// A name of the kernel's own, without a file.
    Abstract(String),
    Tcp(Host, u16),
    /// A socket that the program has made.
    Descriptor(i32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Number(IpAddr),
    /// To be looked up first.
    Name(String),
}

/// How connections come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// We dial, and again when it is over.
    Dial,
    /// QEMU dials, and again when it is over.
    Listen,
    /// There is one, and no other.
    Once,
}

impl Address {
    /// Reads an address. As in QEMU's options, `,,` stands for one comma.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let invalid = |what: &str| {
            let text = format!(
                "address \"{text}\" {what}; wanted unix:PATH, unix:@NAME, tcp:HOST:PORT or fd:N, \
                 with ,server=on behind it if QEMU dials"
            );
            Error::new(Code::Invalid, text)
        };
        let too_long = |what: &str, bytes: usize, most: usize| {
            let text = format!("{what} of \"{text}\" has {bytes} bytes; at most {most} are taken");
            Error::new(Code::TooLong, text)
        };
        let Some((kind, rest)) = text.split_once(':') else {
            return Err(invalid("has no kind"));
        };
        let rest = rest.replace(",,", "\0");
        let mut parts = rest.split(',').map(|part| part.replace('\0', ","));
        let place = parts.next().unwrap_or_default();
        let mut listens = false;
        for option in parts {
            match option.as_str() {
                "server=on" | "server" => listens = true,
                "server=off" => listens = false,
                _ => {
                    let what = format!(
                        "has the option \"{option}\", which is for QEMU's command line or unknown \
                         (a comma of the path is written ,,)"
                    );
                    return Err(invalid(&what));
                }
            }
        }
        let place = match kind {
            "unix" => match place.strip_prefix('@') {
                Some("") => return Err(invalid("has no name behind the @")),
                Some(name) if name.len() > SUN_PATH_MAX => {
                    return Err(too_long("the name", name.len(), SUN_PATH_MAX));
                }
                Some(name) => Place::Abstract(name.to_owned()),
                None if place.is_empty() => return Err(invalid("has no path")),
                None => {
                    let file = place.rsplit('/').next().unwrap_or_default().len();
                    if listens && place.len() > SUN_PATH_MAX && file > LISTENING_FILE_MAX {
                        return Err(too_long("the file's name", file, LISTENING_FILE_MAX));
                    }
                    Place::Unix(place.into())
                }
            },
            "tcp" => {
                let (host, port) = host_and_port(&place).map_err(&invalid)?;
                Place::Tcp(host, port)
            }
            "fd" => {
                let number = number(&place).and_then(|number| i32::try_from(number).ok());
                Place::Descriptor(number.ok_or_else(|| invalid("has no number behind fd:"))?)
            }
            _ => return Err(invalid("is of no known kind")),
        };
        Ok(Self { place, listens })
    }

    pub fn link(&self) -> Link {
        match self.place {
            _ if self.listens => Link::Listen,
            Place::Descriptor(_) => Link::Once,
            _ => Link::Dial,
        }
    }
}

impl Place {
    /// The directory of a path, and the file's name there.
    pub fn directory(path: &Path) -> (&Path, &Path) {
        let file = path.file_name().map_or(path, Path::new);
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        (directory.unwrap_or(Path::new(".")), file)
    }
}

fn host_and_port(place: &str) -> Result<(Host, u16), &'static str> {
    let Some((host, port)) = place.rsplit_once(':') else { return Err("has no port") };
    let port = number(port).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
    let port = port.ok_or("has no port from 1 to 65535 behind the last colon")?;
    if let Some(bare) = host.strip_prefix('[') {
        let bare = bare.strip_suffix(']').ok_or("has a bracket that is not closed")?;
        let inner = match bare.parse() {
            Ok(number @ IpAddr::V6(_)) => Host::Number(number),
            // The interface of a link-local one is a matter of this host, which is asked for it.
            Err(_) if bare.contains(':') && bare.contains('%') => Host::Name(bare.to_owned()),
            _ => return Err("has no IPv6 address between its brackets"),
        };
        return Ok((inner, port));
    }
    match host.parse() {
        Ok(number @ IpAddr::V4(_)) => Ok((Host::Number(number), port)),
        _ if host.is_empty() => Err("has no host"),
        _ if host.contains(':') => Err("has an IPv6 address without brackets"),
        _ if host.len() > HOST_MAX => Err("has a host's name of more than 253 bytes"),
        _ => Ok((Host::Name(host.to_owned()), port)),
    }
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `sun_path` has 108 bytes, one of them a NUL.
pub(crate) const SUN_PATH_MAX: usize = 107;
/// Behind `/proc/self/fd/4194303/`, which stands for the directory of a longer path.
const LISTENING_FILE_MAX: usize = SUN_PATH_MAX - 22;
/// What DNS allows.
const HOST_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (Code, String) {
        let error = Address::parse(text).unwrap_err();
        (error.code, error.text)
    }

    fn place(text: &str) -> Place {
        let address = Address::parse(text).unwrap();
        assert!(!address.listens, "{text}");
        assert_eq!(Address::parse(&format!("{text},server=off")).as_ref(), Ok(&address));
        for server in ["server=on", "server"] {
            let listening = Address::parse(&format!("{text},{server}")).unwrap();
            assert_eq!((&listening.place, listening.listens), (&address.place, true), "{text}");
            assert_eq!(listening.link(), Link::Listen);
        }
        address.place
    }

    #[test]
    fn a_unix_path_is_taken_as_it_is() {
        for (text, path) in [
            ("unix:/run/vm.qmp", "/run/vm.qmp"),
            ("unix:relative:with spaces", "relative:with spaces"),
            ("unix:/a,,b", "/a,b"),
            ("unix:./@file", "./@file"),
        ] {
            assert_eq!(place(text), Place::Unix(path.into()));
            assert_eq!(Address::parse(text).unwrap().link(), Link::Dial);
        }
    }

    #[test]
    fn each_kind_is_known() {
        assert_eq!(place("unix:@vm.qmp"), Place::Abstract("vm.qmp".into()));
        assert_eq!(place("unix:@a,,b"), Place::Abstract("a,b".into()));
        let number = |text: &str| Host::Number(text.parse().unwrap());
        assert_eq!(place("tcp:127.0.0.1:4444"), Place::Tcp(number("127.0.0.1"), 4444));
        assert_eq!(place("tcp:[::1]:65535"), Place::Tcp(number("::1"), 65535));
        let name = |text: &str| Host::Name(text.into());
        assert_eq!(place("tcp:localhost:1"), Place::Tcp(name("localhost"), 1));
        assert_eq!(place("tcp:[fe80::1%eth0]:1"), Place::Tcp(name("fe80::1%eth0"), 1));
        assert_eq!(place("fd:7"), Place::Descriptor(7));
        assert_eq!(Address::parse("fd:7").unwrap().link(), Link::Once);
        assert_eq!(Address::parse("tcp:localhost:1").unwrap().link(), Link::Dial);
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_address_and_the_way_out() {
        for text in [
            "",
            "/run/vm.qmp",
            "UNIX:/a",
            "vsock:3:4",
            "unix:",
            "unix:,server=on",
            "unix:@",
            "unix:/a,b",
            "unix:/a,wait=off",
            "unix:/a,server=yes",
            "tcp:",
            "tcp:localhost",
            "tcp::4444",
            "tcp:localhost:",
            "tcp:localhost:0",
            "tcp:localhost:+1",
            "tcp:localhost:65536",
            "tcp:localhost:qmp",
            "tcp:::1:4444",
            "tcp:[::1:4444",
            "tcp:[localhost]:4444",
            "tcp:[127.0.0.1]:4444",
            "fd:",
            "fd:-1",
            "fd:x",
            "fd:4294967295",
        ] {
            let (code, message) = refused(text);
            assert_eq!(code, Code::Invalid, "{text}");
            assert!(message.contains(&format!("\"{text}\"")), "{message}");
            assert!(message.contains("wanted unix:PATH, unix:@NAME, tcp:"), "{message}");
        }
        let long = format!("tcp:{}:1", "x".repeat(254));
        assert!(refused(&long).1.contains("253"));
    }

    #[test]
    fn a_path_may_be_long_but_not_each_name() {
        assert!(Address::parse(&format!("unix:/{}", "x".repeat(200))).is_ok());
        let listening = |path: &str| Address::parse(&format!("unix:{path},server=on"));
        let deep = "directory/".repeat(20);
        assert!(listening(&format!("{deep}{}", "x".repeat(85))).is_ok());
        let error = listening(&format!("{deep}{}", "x".repeat(86))).unwrap_err();
        assert_eq!(error.code, Code::TooLong);
        assert!(listening(&"x".repeat(107)).is_ok());
        assert!(Address::parse(&format!("unix:@{}", "x".repeat(107))).is_ok());
        assert_eq!(refused(&format!("unix:@{}", "x".repeat(108))).0, Code::TooLong);
    }

    #[test]
    fn a_path_has_a_directory_and_a_file() {
        let parts = |path: &'static str| Place::directory(Path::new(path));
        assert_eq!(parts("/run/vm.qmp"), (Path::new("/run"), Path::new("vm.qmp")));
        assert_eq!(parts("vm.qmp"), (Path::new("."), Path::new("vm.qmp")));
        assert_eq!(parts("/vm.qmp"), (Path::new("/"), Path::new("vm.qmp")));
    }
}
