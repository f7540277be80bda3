//! What happens to us when the process forks: in the child there are no threads, and locks may be
//! held for ever. So the child closes our descriptors (or QEMU would not see its parent's death)
//! and every call on an inherited handle is refused before it takes a lock.

#![allow(unsafe_code)]

use std::{
    cell::UnsafeCell,
    io,
    ops::{Deref, DerefMut},
    os::fd::{AsRawFd, RawFd},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
};

use super::inside;
use crate::model::{Code, Error};

/// How many forks lie between this process and the one that loaded the library.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Our open descriptors, a bit each; blocks are made as needed and never freed. Without a lock,
/// because the child of a fork must be able to read it.
static OPEN: [AtomicPtr<Block>; BLOCKS] = [const { AtomicPtr::new(ptr::null_mut()) }; BLOCKS];

type Block = [AtomicU64; WORDS];

const WORDS: usize = 64;
const BITS: usize = WORDS * 64;
/// Descriptors up to 4 million; the kernel gives out the lowest free number.
const BLOCKS: usize = 1024;

/// The process in which a handle was made.
#[derive(Debug, Clone, Copy)]
pub struct Birth(u32);

impl Birth {
    /// Here and now; from the first call on, forks are watched.
    pub fn here() -> Result<Self, Error> {
        static WATCH: OnceLock<i32> = OnceLock::new();
        // SAFETY: in the child `handle_fork` touches atomics and its thread's own, and calls
        // close(2), as it must; the library is linked with -z nodelete, so its code stays.
        let watch = || unsafe {
            libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(handle_fork))
        };
        match *WATCH.get_or_init(watch) {
            0 => Ok(Self(GENERATION.load(SeqCst))),
            error => Err(Error::os("cannot watch forks", &io::Error::from_raw_os_error(error))),
        }
    }

    /// Refuses in a child of the process in which the handle was made.
    pub fn check(self) -> Result<(), Error> {
        if self.0 == GENERATION.load(SeqCst) {
            return Ok(());
        }
        let text = "this handle was made before fork(); it works in the parent only: \
                    make a listener of the child's own";
        Err(Error::new(Code::Forked, text))
    }
}

/// A descriptor that is marked as ours from its opening to its closing: no fork comes between.
#[derive(Debug)]
pub struct Held<T: AsRawFd>(Option<T>);

impl<T: AsRawFd> Held<T> {
    pub fn open<E>(open: impl FnOnce() -> Result<T, E>) -> Result<Self, E> {
        let _gate = Gate::enter();
        let opened = open()?;
        if let Some((word, bit)) = place(opened.as_raw_fd(), true) {
            word.fetch_or(bit, SeqCst);
        }
        Ok(Self(Some(opened)))
    }
}

/// Is this descriptor the library's?
pub fn is_ours(fd: RawFd) -> bool {
    place(fd, false).is_some_and(|(word, bit)| word.load(SeqCst) & bit != 0)
}

impl<T: AsRawFd> Drop for Held<T> {
    fn drop(&mut self) {
        let _gate = Gate::enter();
        if let Some((word, bit)) = place(self.as_raw_fd(), false) {
            word.fetch_and(!bit, SeqCst);
        }
        self.0.take();
    }
}

impl<T: AsRawFd> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl<T: AsRawFd> DerefMut for Held<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is there until it is dropped")
    }
}

/// While one is held, no fork begins. Only for opening and closing: a fork waits for it.
struct Gate(());

/// Locked by `Gate`, and through each fork. POSIX lets the child unlock what the parent's thread
/// locked; a lock of Rust does not promise that.
struct Lock(UnsafeCell<libc::pthread_mutex_t>);

static GATE: Lock = Lock(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));

// SAFETY: it is used through pthread_mutex_lock and pthread_mutex_unlock alone.
unsafe impl Sync for Lock {}

impl Gate {
    fn enter() -> Self {
        before_fork();
        Self(())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        after_fork();
    }
}

extern "C" fn before_fork() {
    // SAFETY: the mutex is initialised and never destroyed, and no thread locks it twice: neither
    // opening nor closing a descriptor forks.
    unsafe { libc::pthread_mutex_lock(GATE.0.get()) };
}

extern "C" fn after_fork() {
    // SAFETY: this thread locked it in `before_fork`; in the child it is that thread's image.
    unsafe { libc::pthread_mutex_unlock(GATE.0.get()) };
}

/// Where the bit of a descriptor stands.
fn place(fd: RawFd, make: bool) -> Option<(&'static AtomicU64, u64)> {
    let fd = usize::try_from(fd).ok()?;
    let slot = OPEN.get(fd / BITS)?;
    let mut block = slot.load(SeqCst);
    if block.is_null() && make {
        let fresh = Box::into_raw(Box::new([const { AtomicU64::new(0) }; WORDS]));
        block = match slot.compare_exchange(ptr::null_mut(), fresh, SeqCst, SeqCst) {
            Ok(_) => fresh,
            Err(theirs) => {
                // SAFETY: `fresh` came from `Box::into_raw` above and was given to nobody.
                drop(unsafe { Box::from_raw(fresh) });
                theirs
            }
        };
    }
    // SAFETY: a block in OPEN came from `Box::into_raw` and is never freed.
    let block = unsafe { block.as_ref() }?;
    Some((&block[fd % BITS / 64], 1 << (fd % 64)))
}

/// Runs in the child, after fork. Only what is async-signal-safe.
extern "C" fn handle_fork() {
    after_fork();
    inside::forget();
    GENERATION.fetch_add(1, SeqCst);
    for (i, slot) in OPEN.iter().enumerate() {
        // SAFETY: as in `place`.
        let Some(block) = (unsafe { slot.load(SeqCst).as_ref() }) else { continue };
        for (j, word) in block.iter().enumerate() {
            let mut bits = word.swap(0, SeqCst);
            while bits != 0 {
                let fd = i * BITS + j * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                // SAFETY: the descriptor is ours, and nothing of ours is ever used again in the
                // child. close() and not shutdown(), which would reach the parent's connection.
                let _ = RawFd::try_from(fd).map(|fd| unsafe { libc::close(fd) });
            }
        }
    }
}
