//! Where a file is cut into blobs: a Rabin fingerprint over 64 bytes, on restic's own boundaries.
//!
//! A fingerprint depends on the last 64 bytes alone, so a range can be searched in several places at once. [`Chunker::cut`]
//! does so in four lanes, because one chain of table look-ups keeps a core waiting; [`Chunker::cut_scalar`] is the rule
//! as it is written down, and the tests hold the two against each other.

use super::polynomial::{degree, remainder};

/// Smallest blob but for a file's last.
pub const CHUNK_BYTES_MIN: usize = 512 << 10;

/// Largest blob.
pub const CHUNK_BYTES_MAX: usize = 8 << 20;

/// A boundary is where these bits of the fingerprint are zero: on average once in a mebibyte.
const BOUNDARY_MASK: u64 = (1 << 20) - 1;

/// Bytes that a fingerprint covers.
const WINDOW_BYTES: usize = 64;

/// Lanes that are searched at once.
const LANES: usize = 4;

/// Bytes that each lane searches before all are compared.
const LANE_BYTES: usize = 2_048;

/// A block of zeros, to compare with.
const ZEROS: [u8; 4 << 10] = [0; 4 << 10];

/// The blob that a hole is cut into.
pub const HOLE: &[u8; CHUNK_BYTES_MIN] = &[0; CHUNK_BYTES_MIN];

/// Zeros behind any bytes among which there is a boundary: the smallest blob, and a window behind it.
pub const HOLE_ENDS_BLOB_BYTES: usize = CHUNK_BYTES_MIN + WINDOW_BYTES;

/// Says whether a blob is one of those that a hole is cut into: zeros have a boundary everywhere, so all are as short as can
/// be.
pub fn is_hole(plain: &[u8]) -> bool {
    plain.len() == CHUNK_BYTES_MIN && plain.chunks_exact(ZEROS.len()).all(|block| *block == ZEROS)
}

/// One lane's bytes, and those of the window before them.
type Lane = [u8; WINDOW_BYTES + LANE_BYTES];

/// Cuts by one polynomial. Its tables take 4 KiB and are made once a repository.
#[derive(Debug, Clone)]
pub struct Chunker {
    /// What a byte is worth that the step pushes out of the window: the remainder of the byte and as many zeros as a
    /// window has bytes. Remainders add up, so it can be taken away beside the step rather than before it, and does not make
    /// the chain of look-ups longer.
    leaving: [u64; 256],
    reducing: [u64; 256],
    shift: u32,
}

impl Chunker {
    /// Makes the tables of a polynomial, which must be of a degree from 16 to 55.
    pub fn new(polynomial: u64) -> Self {
        let k = degree(polynomial);
        let append = |hash: u64, byte: u8| remainder(u128::from(hash) << 8 | u128::from(byte), polynomial);
        let leaving =
            std::array::from_fn(|byte| (0..WINDOW_BYTES).fold(append(0, byte as u8), |hash, _| append(hash, 0)));
        let reducing = std::array::from_fn(|byte| {
            let high = (byte as u128) << k;
            remainder(high, polynomial) | high as u64
        });
        Self { leaving, reducing, shift: k - 8 }
    }

    /// Takes one byte into a fingerprint.
    #[inline(always)]
    fn append(&self, hash: u64, byte: u8) -> u64 {
        (hash << 8 | u64::from(byte)) ^ self.reducing[(hash >> self.shift) as usize & 255]
    }

    /// Moves a fingerprint by one byte.
    #[inline(always)]
    fn slide(&self, hash: u64, entering: u8, leaving: u8) -> u64 {
        self.append(hash, entering) ^ self.leaving[usize::from(leaving)]
    }

    /// Returns the fingerprint of a window.
    fn fingerprint(&self, window: &[u8]) -> u64 {
        window.iter().fold(0, |hash, byte| self.append(hash, *byte))
    }

    /// Returns how many bytes of `data` the next blob takes. `data` must reach to the end of the file, or be at least
    /// [`CHUNK_BYTES_MAX`] long.
    pub fn cut(&self, data: &[u8]) -> usize {
        let data = &data[..data.len().min(CHUNK_BYTES_MAX)];
        let mut base = CHUNK_BYTES_MIN;
        while base + LANES * LANE_BYTES <= data.len() {
            if let Some(at) = self.search_lanes(&data[base - WINDOW_BYTES..base + LANES * LANE_BYTES]) {
                return base + at;
            }
            base += LANES * LANE_BYTES;
        }
        self.search_chain(data, base)
    }

    /// Returns the same as [`Chunker::cut`], as the rule is written down.
    pub fn cut_scalar(&self, data: &[u8]) -> usize {
        self.search_chain(&data[..data.len().min(CHUNK_BYTES_MAX)], CHUNK_BYTES_MIN)
    }

    /// Returns the first boundary at or after `from`, or the end of `data`.
    fn search_chain(&self, data: &[u8], from: usize) -> usize {
        if data.len() <= from {
            return data.len();
        }
        let mut hash = self.fingerprint(&data[from - WINDOW_BYTES..from]);
        let windows = data[from - WINDOW_BYTES..].iter().zip(&data[from..]).enumerate();
        for (at, (leaving, entering)) in windows {
            if hash & BOUNDARY_MASK == 0 {
                return from + at;
            }
            hash = self.slide(hash, *entering, *leaving);
        }
        data.len()
    }

    /// Returns the first boundary in a stretch of [`LANES`] × [`LANE_BYTES`] bytes, counted from its beginning;
    /// `stretch` has one window's bytes before it.
    fn search_lanes(&self, stretch: &[u8]) -> Option<usize> {
        let lanes: [&Lane; LANES] = std::array::from_fn(|lane| {
            let begin = lane * LANE_BYTES;
            stretch[begin..].first_chunk().expect("a stretch has all lanes and a window")
        });
        let hashes = lanes.map(|lane| self.fingerprint(&lane[..WINDOW_BYTES]));
        // Four names rather than an array: they stay in registers, and one jump asks for all of them.
        let ([mut a, mut b, mut c, mut d], [in_a, in_b, in_c, in_d]) = (hashes, lanes);
        let is_boundary = |hash: u64| hash & BOUNDARY_MASK == 0;
        for at in 0..LANE_BYTES {
            if is_boundary(a) | is_boundary(b) | is_boundary(c) | is_boundary(d) {
                return self.first_in(stretch);
            }
            a = self.slide(a, in_a[at + WINDOW_BYTES], in_a[at]);
            b = self.slide(b, in_b[at + WINDOW_BYTES], in_b[at]);
            c = self.slide(c, in_c[at + WINDOW_BYTES], in_c[at]);
            d = self.slide(d, in_d[at + WINDOW_BYTES], in_d[at]);
        }
        None
    }

    /// Returns what [`Chunker::search_lanes`] does, by the rule: once a blob, when there is a boundary in some lane.
    #[cold]
    fn first_in(&self, stretch: &[u8]) -> Option<usize> {
        let at = self.search_chain(stretch, WINDOW_BYTES) - WINDOW_BYTES;
        (at < LANES * LANE_BYTES).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngCore, SeedableRng};

    use super::*;

    const POLYNOMIAL: u64 = 0x003D_A335_8B4D_C173;

    fn noise(seed: u64, bytes: usize) -> Vec<u8> {
        let mut data = vec![0; bytes];
        rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut data);
        data
    }

    #[test]
    fn tables_give_what_division_gives() {
        let chunker = Chunker::new(POLYNOMIAL);
        let data = noise(1, 200);
        let mut hash = chunker.fingerprint(&data[..WINDOW_BYTES]);
        for end in WINDOW_BYTES..data.len() {
            let window = &data[end - WINDOW_BYTES..end];
            let plain =
                window.iter().fold(0, |hash, byte| remainder(u128::from(hash) << 8 | u128::from(*byte), POLYNOMIAL));
            assert_eq!(hash, plain, "window that ends at {end}");
            hash = chunker.slide(hash, data[end], data[end - WINDOW_BYTES]);
        }
    }

    #[test]
    fn a_hole_is_cut_into_blobs_that_are_told() {
        let chunker = Chunker::new(POLYNOMIAL);
        let zeros = vec![0; CHUNK_BYTES_MAX];
        let cut = chunker.cut(&zeros);
        assert!(is_hole(&zeros[..cut]), "{cut}");
        assert!(!is_hole(&zeros[..cut - 1]) && !is_hole(&zeros[..cut + 1]));
        for at in [0, 4_095, 4_096, cut - 1] {
            let mut zeros = zeros[..cut].to_vec();
            zeros[at] = 1;
            assert!(!is_hole(&zeros), "byte {at}");
        }
    }

    #[test]
    fn a_short_file_is_one_blob_and_a_hole_is_cut_at_the_most() {
        let chunker = Chunker::new(POLYNOMIAL);
        assert_eq!(chunker.cut(&[]), 0);
        assert_eq!(chunker.cut(&[7; 1_000]), 1_000);
        assert_eq!(chunker.cut(&noise(2, CHUNK_BYTES_MIN)), CHUNK_BYTES_MIN);
        assert!(chunker.cut(&vec![1; CHUNK_BYTES_MAX + 5]) <= CHUNK_BYTES_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn lanes_cut_where_the_rule_cuts(seed: u64, bytes in 0usize..3_000_000) {
            let chunker = Chunker::new(POLYNOMIAL);
            let data = noise(seed, bytes);
            let mut rest = &data[..];
            while !rest.is_empty() {
                let cut = chunker.cut(rest);
                prop_assert_eq!(cut, chunker.cut_scalar(rest));
                rest = &rest[cut..];
            }
        }
    }
}
