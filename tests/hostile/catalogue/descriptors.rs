//! Descriptors that the peer sends along, which nobody has asked for.
#![expect(unsafe_code, reason = "the standard library sends no descriptors")]

use std::fs::File;
use std::mem::{size_of, zeroed};
use std::os::fd::AsRawFd as _;
use std::ptr;

use super::Attack;
use super::peer::{GREETING, Peer, event};

pub const ATTACKS: &[Attack] = &[
    Attack::new(
        "descriptor-with-the-greeting",
        |peer| pass(peer, GREETING.as_bytes()),
        |victim| {
            victim.lives(0, 0);
        },
    ),
    Attack::new(
        "descriptors-by-the-thousand",
        |peer| {
            peer.usable();
            let stop = event("STOP", "{}");
            for _ in 0..2000 {
                pass(peer, stop.as_bytes());
            }
        },
        |victim| victim.lives(0, 0),
    ),
    Attack::new(
        "descriptor-with-each-byte",
        |peer| {
            peer.usable();
            for byte in event("STOP", "{}").bytes() {
                pass(peer, &[byte]);
            }
        },
        |victim| victim.lives(0, 0),
    ),
];

/// Sends bytes, and a descriptor with them.
fn pass(peer: &mut Peer, bytes: &[u8]) {
    let file = File::open("/dev/null").expect("there is /dev/null");
    let fd = file.as_raw_fd();
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut room = [0_u64; 4];
    // SAFETY: all zeros is a message of nothing.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = room.as_mut_ptr().cast();
    let size = u32::try_from(size_of::<libc::c_int>()).expect("an int is small");
    // SAFETY: it computes a number.
    let space = unsafe { libc::CMSG_SPACE(size) };
    message.msg_controllen = space.try_into().expect("it fits into the room");
    // SAFETY: the room is there and large enough for one header with an int.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: the same, and nobody else has it.
    let header = unsafe { &mut *header };
    (header.cmsg_level, header.cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
    // SAFETY: it computes a number.
    let len = unsafe { libc::CMSG_LEN(size) };
    header.cmsg_len = len.try_into().expect("it fits into the room");
    // SAFETY: the data of that header is in the room, which has space for an int.
    let data = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: the same.
    unsafe { ptr::write_unaligned(data.cast(), fd) };
    // SAFETY: what the message points to lives until the call has returned.
    let sent =
        unsafe { libc::sendmsg(peer.stream.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    peer.gone |= usize::try_from(sent) != Ok(bytes.len());
}
