//! A descriptor of the program's on its way to QEMU: ours from the moment it is given, a duplicate,
//! closed when it was sent or given up.

#![allow(unsafe_code)]

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    ptr,
};

use super::fork::Held;
use crate::model::Error;

#[derive(Debug)]
pub struct Descriptor(Held<OwnedFd>);

impl Descriptor {
    /// Another one for what the program has open; the program keeps its own.
    pub fn duplicate(fd: RawFd) -> Result<Self, Error> {
        let open = || {
            // SAFETY: no pointers are passed, and a number that names nothing is refused.
            let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
            if copy < 0 {
                let error = io::Error::last_os_error();
                return Err(Error::os(&format!("cannot duplicate the descriptor {fd}"), &error));
            }
            // SAFETY: the kernel has just given it to us.
            Ok(unsafe { OwnedFd::from_raw_fd(copy) })
        };
        Held::open(open).map(Self)
    }
}

/// Sends what the socket takes now, and the descriptor with the first byte of it. Never raises
/// SIGPIPE, which not every std's write promises.
pub fn send(socket: RawFd, bytes: &[u8], passed: Option<&Descriptor>) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: a msghdr of zeros is one that carries nothing.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    let mut control = Control([0; SPACE]);
    if let Some(descriptor) = passed {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = SPACE as _;
        // SAFETY: the message has room for one header, which the pointer is to.
        let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        debug_assert!(!header.is_null());
        // SAFETY: as above; nobody else has a reference to it.
        let header = unsafe { &mut *header };
        (header.cmsg_level, header.cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
        header.cmsg_len = LENGTH as _;
        // SAFETY: the header stands in `control`, which has room for one descriptor behind it.
        let place = unsafe { libc::CMSG_DATA(header) };
        // SAFETY: as above; the place need not be aligned for it.
        unsafe { ptr::write_unaligned(place.cast::<RawFd>(), descriptor.0.as_raw_fd()) };
    }
    // SAFETY: all that the message points to is ours and stays during the call, which only reads.
    let sent = unsafe { libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Room for one descriptor, aligned as the kernel's header wants it.
#[repr(align(8))]
struct Control([u8; SPACE]);

const FD_SIZE: u32 = 4;
// SAFETY: both compute a size from a size.
const SPACE: usize = unsafe { libc::CMSG_SPACE(FD_SIZE) } as usize;
// SAFETY: as above.
const LENGTH: u32 = unsafe { libc::CMSG_LEN(FD_SIZE) };
