//! Chance from a seed: the same seed gives the same world, on every machine.

/// Splitmix64: small, well spread from any seed, and not for secrets.
#[derive(Clone, Debug)]
pub struct Chance(u64);

#[allow(dead_code, reason = "the storm uses what the transcripts do not")]
impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is above 0. The bias of the remainder is of no account here.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A place in something of this length, which is above 0.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("it is below a usize")
    }

    /// True once in `n` times; never where `n` is 0, and then nothing is drawn.
    pub fn one_in(&mut self, n: u64) -> bool {
        n != 0 && self.below(n) == 0
    }

    /// A stream of its own, so that what is drawn there changes nothing here.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }
}
