//! The tcp connections of this network namespace, as `/proc` lists them: which of a listening port
//! were taken from its queue, and which wait there.

#![forbid(unsafe_code)]

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Who was taken from the queue of `theirs`, where the connection from `ours` waits: its address,
/// and its socket if that is here.
pub fn holder(ours: SocketAddr, theirs: SocketAddr) -> Option<(SocketAddr, Option<u32>)> {
    holder_in(&connections(theirs), ours, theirs)
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    local: SocketAddr,
    remote: SocketAddr,
    /// 0 for one that waits in a queue, and one that nobody has any more.
    inode: u32,
}

fn holder_in(
    ends: &[End],
    ours: SocketAddr,
    theirs: SocketAddr,
) -> Option<(SocketAddr, Option<u32>)> {
    let (ours, theirs) = (plain(ours), plain(theirs));
    let of_theirs = || ends.iter().filter(move |end| end.local == theirs);
    of_theirs().find(|end| end.remote == ours && end.inode == 0)?;
    let taken = of_theirs().find(|end| end.remote != ours && end.inode != 0)?.remote;
    let other = ends.iter().find(|end| end.local == taken && end.remote == theirs);
    Some((taken, other.map(|end| end.inode).filter(|inode| *inode != 0)))
}

/// The established connections of an address.
fn connections(of: SocketAddr) -> Vec<End> {
    let of = plain(of);
    let files =
        ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|it| File::open(it).ok());
    let lines = files.flat_map(|file| BufReader::new(file).lines().take(LINES_MAX));
    let ends = lines.map_while(Result::ok).filter_map(|line| end(&line));
    ends.filter(|end| end.local == of || end.remote == of).collect()
}

/// One line, if it is of an established connection: its number, both addresses, the state, and as
/// the tenth field the inode.
fn end(line: &str) -> Option<End> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
    let established = fields.next()? == "01";
    let inode = fields.nth(5)?.parse().ok()?;
    established.then_some(End { local, remote, inode })
}

/// Words of the host's byte order as hexadecimal numbers, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let words: Option<Vec<[u8; 4]>> = (0..host.len() / 8)
        .map(|at| u32::from_str_radix(host.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect();
    let host = match *words?.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(word)),
        [a, b, c, d] => {
            let bytes: [u8; 16] = [a, b, c, d].concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(plain(SocketAddr::new(host, u16::from_str_radix(port, 16).ok()?)))
}

/// A socket for both versions names the older one's addresses in the newer one's words.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// More connections than that are not looked through.
const LINES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn a_line_is_read_and_what_is_none_is_passed_over() {
        let line = "   1: 0100007F:115C 0100007F:A3B2 01 00000000:00000000 00:00000000 00000000  \
                    1000        0 12345 1 0000000000000000 20 4 30 10 -1";
        let found = end(line).unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(found.local, "127.0.0.1:4444".parse().unwrap());
            assert_eq!(found.remote, "127.0.0.1:41906".parse().unwrap());
        }
        assert_eq!(found.inode, 12345);
        assert_eq!(end(&line.replace(" 01 ", " 0A ")), None, "it listens");
        for length in 0..line.find("12345").unwrap() {
            assert_eq!(end(&line[..length]), None, "{length}");
        }
        let mapped = "0000000000000000FFFF00000100007F:115C";
        if cfg!(target_endian = "little") {
            assert_eq!(address(mapped), Some("127.0.0.1:4444".parse().unwrap()));
        }
        assert_eq!(address("0100007F00:1"), address("0100007F:1"), "half a word is none");
        assert_eq!(address("x:1"), None);
    }

    #[test]
    fn only_what_was_taken_from_the_queue_is_evidence() {
        for host in ["127.0.0.1:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
            let listener = TcpListener::bind(host).unwrap();
            let theirs = listener.local_addr().unwrap();
            let first = TcpStream::connect(plain(theirs)).unwrap();
            let second = TcpStream::connect(plain(theirs)).unwrap();
            let ours = second.local_addr().unwrap();
            assert_eq!(holder(ours, theirs), None, "nobody was served: {host}");
            let served = listener.accept().unwrap();
            let (taken, inode) = holder(ours, theirs).unwrap();
            assert_eq!(taken, plain(first.local_addr().unwrap()));
            assert!(inode.is_some());
            assert_eq!(holder(first.local_addr().unwrap(), theirs), None, "it is served itself");
            drop((first, served));
            // Both ends of it are closed once the kernel has come to that.
            let end = Instant::now() + Duration::from_secs(10);
            while holder(ours, theirs).is_some() {
                assert!(Instant::now() < end, "who was served is gone");
                thread::yield_now();
            }
        }
    }
}
