//! Memory that others decide the size of. Where Rust's own types find none the process ends, so it
//! is asked for before.

/// Is there memory for so many bytes, which are then taken bit by bit? A few are always thought to
/// be there.
pub fn is_affordable(bytes: usize) -> bool {
    bytes < SMALL || Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
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
