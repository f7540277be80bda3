//! Chance as the storm wants it, from the fuzzer's input: a byte for a small decision, more for a
//! larger one. Behind the input's end all is drawn from a seed that the input makes.

use std::cell::RefCell;

thread_local! {
    static TAPE: RefCell<Tape> = const { RefCell::new(Tape { rest: Vec::new(), seed: 0 }) };
}

struct Tape {
    /// The last byte is the next.
    rest: Vec<u8>,
    seed: u64,
}

/// All of them read the same input.
#[derive(Clone, Debug)]
pub struct Chance(());

/// What is drawn from now on.
pub fn set(input: &[u8]) {
    let rest = input.iter().rev().copied().collect();
    let seed = input
        .iter()
        .fold(0, |seed: u64, byte| (seed ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    TAPE.with_borrow_mut(|tape| *tape = Tape { rest, seed });
}

impl Tape {
    fn take(&mut self, bytes: u32) -> u64 {
        if self.rest.is_empty() {
            return self.draw();
        }
        (0..bytes).fold(0, |number, _| number << 8 | u64::from(self.rest.pop().unwrap_or(0)))
    }

    /// Splitmix64.
    fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.seed;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Chance {
    pub fn new(_seed: u64) -> Self {
        Self(())
    }

    pub fn next(&mut self) -> u64 {
        TAPE.with_borrow_mut(|tape| tape.take(8))
    }

    pub fn below(&mut self, n: u64) -> u64 {
        let bytes = (n.ilog2() + 7) / 8;
        TAPE.with_borrow_mut(|tape| tape.take(bytes.max(1))) % n
    }

    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("it is below a usize")
    }

    /// A byte of zeros says "no" too, so that an empty input is a calm world.
    pub fn one_in(&mut self, n: u64) -> bool {
        n != 0 && self.below(n) == n - 1
    }

    pub fn fork(&mut self) -> Self {
        Self(())
    }
}
