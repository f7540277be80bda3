//! The sentence of the last failure of each thread: a fixed buffer without a destructor, so that it
//! can be asked for as long as the thread lives, also in the destructors of others.
//!
//! # Errors

use std::{cell::RefCell, ffi::c_char};

/// The sentence of the last call of this thread that failed: what was wanted, what came, from
/// which monitor, and what to do. Calls that succeed leave it alone, and so do callbacks: it is
/// saved and restored around them.
///
/// Returns: the sentence, "" when none has failed yet; never NULL. It is the library's, and holds
/// until the next failure in this thread.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn blockjob_last_error() -> *const c_char {
    // The buffer has no destructor, so a living thread always has it.
    LAST.try_with(|last| last.as_ptr().cast_const().cast()).unwrap_or(c"".as_ptr())
}

thread_local! {
    static LAST: RefCell<Sentence> = const { RefCell::new(Sentence([0; SIZE])) };
}

/// Ends in NUL.
#[repr(transparent)]
struct Sentence([u8; SIZE]);

/// Two paths and three lines of prose.
const SIZE: usize = 1024;

pub fn set(text: &str) {
    let mut end = text.len().min(SIZE - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    put(&text.as_bytes()[..end]);
}

/// The last error of before; put back on drop.
pub struct Saved(Vec<u8>);

pub fn save() -> Saved {
    LAST.with_borrow(|last| Saved(last.text().to_vec()))
}

impl Drop for Saved {
    fn drop(&mut self) {
        put(&self.0);
    }
}

fn put(text: &[u8]) {
    LAST.with_borrow_mut(|last| {
        last.0[..text.len()].copy_from_slice(text);
        last.0[text.len()] = 0;
    });
}

impl Sentence {
    fn text(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    fn last() -> String {
        // SAFETY: the pointer is to this thread's buffer, which ends in NUL.
        let text = unsafe { CStr::from_ptr(blockjob_last_error()) };
        text.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_long_sentence_is_cut_at_a_character() {
        assert_eq!(last(), "");
        set(&"é".repeat(SIZE));
        assert_eq!(last(), "é".repeat((SIZE - 1) / 2));
    }

    #[test]
    fn what_is_saved_comes_back() {
        set("one");
        let saved = save();
        set("another, longer one");
        drop(saved);
        assert_eq!(last(), "one");
    }
}
