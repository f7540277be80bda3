//! How much memory a thread has taken and not given back, to the byte. A world is played on one
//! thread, so that what it and the library under test hold is all that is counted there.
#![expect(unsafe_code, reason = "an allocator is nothing else")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// Neither made late nor dropped, for the allocator may be called at any time.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// Bytes of this thread.
pub fn live() -> isize {
    LIVE.get()
}

fn count(bytes: usize, sign: isize) {
    let bytes = isize::try_from(bytes).expect("a layout is no larger");
    LIVE.set(LIVE.get() + sign * bytes);
}

// SAFETY: it is the system's own allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: what the caller promises to this function, it promises to that one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the same.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
