//! Memory that others decide the size of. Where Rust's own types find none the process ends, so it
//! is asked for before.

use std::hint::black_box;

/// Is there memory for so many bytes, which are then taken bit by bit? A few are always thought to
/// be there.
pub fn is_affordable(bytes: usize) -> bool {
    if bytes < SMALL {
        return true;
    }
    let mut room = Vec::<u8>::new();
    let found = room.try_reserve_exact(bytes);
    // What is given back unused a compiler may not take at all.
    black_box(&room);
    found.is_ok()
}

/// What anything takes.
const SMALL: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_not_affordable() {
        assert!(is_affordable(0));
        assert!(is_affordable(1 << 20));
        assert!(!is_affordable(usize::MAX / 2));
        assert!(!is_affordable(usize::MAX));
    }
}
