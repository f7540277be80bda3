//! Chance that can be had again: everything that a story draws follows from its seed, which it
//! prints. `BLOCKJOB_SEED` gives another.

use std::env;

/// Splitmix64, by Sebastiano Vigna.
pub struct Chance(u64);

impl Chance {
    /// Each story has a number of its own, so that none draws what another does.
    pub fn of(story: u64) -> Self {
        let seed = env::var("BLOCKJOB_SEED").map_or(1, |seed| {
            seed.parse().unwrap_or_else(|error| panic!("BLOCKJOB_SEED is {seed:?}: {error}"))
        });
        println!("BLOCKJOB_SEED={seed}");
        Self(u64::wrapping_mul(seed, 1 << 32).wrapping_add(story))
    }

    /// One for somebody else, who draws at his own time.
    #[allow(dead_code, reason = "a story is one thread; the soak is not")]
    pub fn another(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }

    /// A number from 0 up to, and not including, `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
