//! The sentence of the last failure of each thread, and QEMU's class of it: fixed buffers without
//! destructors, so that they can be asked for as long as the thread lives, also in the destructors
//! of others.
//!
//! # Errors

use std::{cell::RefCell, ffi::c_char, ptr};

use crate::model::Error;

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

/// QEMU's class of its refusal, such as "GenericError" or "DeviceNotFound", when that is why the
/// last call of this thread that failed did: a word that programs may compare.
///
/// Returns: the class; NULL when the call failed for another reason, or none has failed yet. It is
/// the library's, and holds until the next failure in this thread.
///
/// Threads: any, also inside callbacks. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn blockjob_last_error_class() -> *const c_char {
    CLASS
        .try_with(|class| {
            // Nobody borrows it while C asks.
            let is_none = class.borrow().text().is_empty();
            if is_none { ptr::null() } else { class.as_ptr().cast_const().cast() }
        })
        .unwrap_or(ptr::null())
}

thread_local! {
    static LAST: RefCell<Buffer<SIZE>> = const { RefCell::new(Buffer([0; SIZE])) };
    static CLASS: RefCell<Buffer<CLASS_SIZE>> = const { RefCell::new(Buffer([0; CLASS_SIZE])) };
}

/// Text that ends in NUL.
#[repr(transparent)]
struct Buffer<const N: usize>([u8; N]);

/// Two paths and three lines of prose.
const SIZE: usize = 1024;
/// The longest of QEMU's has 22 bytes.
const CLASS_SIZE: usize = 128;

pub fn set(error: &Error) {
    LAST.with_borrow_mut(|last| last.set(&error.text));
    CLASS.with_borrow_mut(|class| class.set(error.class.as_deref().unwrap_or_default()));
}

/// The last error of before; put back on drop.
pub struct Saved(Vec<u8>, Vec<u8>);

pub fn save() -> Saved {
    let last = LAST.with_borrow(|last| last.text().to_vec());
    Saved(last, CLASS.with_borrow(|class| class.text().to_vec()))
}

impl Drop for Saved {
    fn drop(&mut self) {
        LAST.with_borrow_mut(|last| last.put(&self.0));
        CLASS.with_borrow_mut(|class| class.put(&self.1));
    }
}

impl<const N: usize> Buffer<N> {
    /// Cuts what is too long at a character, and a NUL, which a peer may have sent, ends it.
    fn set(&mut self, text: &str) {
        let mut end = text.len().min(N - 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.put(&text.as_bytes()[..end]);
    }

    fn put(&mut self, text: &[u8]) {
        self.0[..text.len()].copy_from_slice(text);
        self.0[text.len()] = 0;
    }

    fn text(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;
    use crate::model::Code;

    fn last() -> String {
        // SAFETY: the pointer is to this thread's buffer, which ends in NUL.
        let text = unsafe { CStr::from_ptr(blockjob_last_error()) };
        text.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_long_sentence_is_cut_at_a_character() {
        assert_eq!(last(), "");
        set(&Error::new(Code::Invalid, "é".repeat(SIZE)));
        assert_eq!(last(), "é".repeat((SIZE - 1) / 2));
    }

    #[test]
    fn what_is_saved_comes_back() {
        set(&Error::refused("GenericError", "one"));
        let saved = save();
        set(&Error::new(Code::Invalid, "another, longer one"));
        assert!(blockjob_last_error_class().is_null());
        drop(saved);
        assert_eq!(last(), "GenericError: one");
        // SAFETY: as above.
        let class = unsafe { CStr::from_ptr(blockjob_last_error_class()) };
        assert_eq!(class, c"GenericError");
    }
}
