//! What wakes the reader, or the program's loop: an eventfd.

#![allow(unsafe_code)]

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd},
};

use super::fork::Held;
use crate::model::Error;

#[derive(Debug)]
pub struct Wake(Held<File>);

impl Wake {
    pub fn new() -> Result<Self, Error> {
        let open = || {
            // SAFETY: no pointers are passed.
            let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
            if fd < 0 {
                return Err(Error::os("cannot make an eventfd", &io::Error::last_os_error()));
            }
            // SAFETY: the kernel has just given it to us.
            Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
        };
        Held::open(open).map(Self)
    }

    /// Wakes whoever watches it, now or when it next looks.
    pub fn ring(&self) {
        // It fails only when the bell has rung 2^64 times unheard: then it is ringing.
        let _ = (&*self.0).write(&1u64.to_ne_bytes());
    }

    /// It was heard.
    pub fn clear(&self) {
        let _ = (&*self.0).read(&mut [0; 8]);
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
