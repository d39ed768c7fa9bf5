//! Chance from a seed: the same seed throws the same dice.

use std::time::Duration;

use backstay_core::ports::random::Random;
use backstay_testkit::fakes::random::SeededRandom;

/// Dice of one year.
#[derive(Debug)]
pub struct Dice(SeededRandom);

impl Dice {
    /// Begins a sequence.
    pub const fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    /// Returns a number from zero to below `sides`.
    pub fn below(&self, sides: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % sides.max(1)
    }

    /// Says yes in so many of a million throws.
    pub fn chance(&self, of_million: u64) -> bool {
        self.below(1_000_000) < of_million
    }

    /// Returns a length between two, to the second.
    pub fn between(&self, from: Duration, until: Duration) -> Duration {
        from + Duration::from_secs(self.below(until.saturating_sub(from).as_secs() + 1))
    }

    /// Returns one of several.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}
