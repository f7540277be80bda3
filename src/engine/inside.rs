//! Is this thread inside a callback or a free function of the program? Then nothing here may wait
//! for one, or it would wait for itself.

#![forbid(unsafe_code)]

use std::cell::Cell;

use super::lock::thread_local;

thread_local! {
    // Without a destructor, so that a thread of the program may end in any order with us.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Lasts as long as the program's code runs.
#[derive(Debug)]
pub struct Inside(());

pub fn enter() -> Inside {
    DEPTH.with(|depth| depth.set(depth.get() + 1));
    Inside(())
}

pub fn is_inside() -> bool {
    DEPTH.with(Cell::get) > 0
}

/// In the child of a fork the callback that forked is the parent's matter: what the child makes of
/// its own may be waited for.
pub fn forget() {
    DEPTH.with(|depth| depth.set(0));
}

/// Tells this thread from every other one that lives.
pub fn thread_mark() -> usize {
    DEPTH.with(|depth| std::ptr::from_ref(depth).addr())
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}
