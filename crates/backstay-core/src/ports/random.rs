//! Random bytes, for ids and seeds. A simulation gives them from a seed of its own.

/// Gives random bytes.
pub trait Random: Send + Sync {
    /// Fills `bytes`; good enough for names, and for keys only where the adapter says so.
    fn fill(&self, bytes: &mut [u8]);
}

/// Returns ten random bytes, as an id needs them.
pub fn ten_bytes(random: &dyn Random) -> [u8; 10] {
    let mut bytes = [0; 10];
    random.fill(&mut bytes);
    bytes
}

/// Returns a random number, as a seed.
pub fn seed(random: &dyn Random) -> u64 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
