//! zstd with a context that is kept: making one for each blob costs more than compressing a small one.

use std::io::{Read, Write};

use bytes::Bytes;

use super::FormatError;
use super::id::{GrowingId, Id};

/// Level that restic calls "auto".
const LEVEL: i32 = 3;

/// Bytes that are decompressed at once where not all are held.
const PIECE_BYTES: usize = 256 << 10;

/// Blobs below are compressed without a sample: it would cost as much.
const SAMPLED_BYTES_MIN: usize = 128 << 10;

/// Places of a blob that a sample is taken from.
const SAMPLE_PLACES: usize = 16;

/// Bytes that are taken from each place.
const SAMPLE_PLACE_BYTES: usize = 1 << 10;

/// A sample that shrinks by no more than this part of it has nothing to win: noise, and what was compressed or encrypted.
const SAMPLE_WORTH: usize = 256;

/// Largest plain size of a file that is no pack: an index of a hundred thousand blobs has 20 MiB, a snapshot a few KiB.
/// Beyond it is a decompression bomb.
const FILE_BYTES_MAX: u64 = 128 << 20;

/// Compresses blobs.
pub struct Compressor {
    context: zstd::bulk::Compressor<'static>,
    sample: Vec<u8>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

impl Default for Compressor {
    fn default() -> Self {
        let context = zstd::bulk::Compressor::new(LEVEL).expect("the level is one of zstd's");
        Self { context, sample: Vec::new() }
    }
}

impl Compressor {
    /// Replaces `out` by the compressed bytes.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        self.context.compress_to_buffer(plain, out).expect("the room is as large as zstd asks for");
    }

    /// Replaces `out` by the compressed bytes if they are fewer; says whether they are. Of a large blob whose samples, from
    /// all over it, do not shrink, the rest is not tried.
    pub fn shrink(&mut self, plain: &[u8], out: &mut Vec<u8>) -> bool {
        if plain.len() >= SAMPLED_BYTES_MIN {
            let mut sample = std::mem::take(&mut self.sample);
            sample.clear();
            for place in plain.chunks(plain.len() / SAMPLE_PLACES).take(SAMPLE_PLACES) {
                sample.extend_from_slice(&place[..SAMPLE_PLACE_BYTES]);
            }
            self.compress(&sample, out);
            let is_worth = out.len() < sample.len() - sample.len() / SAMPLE_WORTH;
            self.sample = sample;
            if !is_worth {
                return false;
            }
        }
        self.compress(plain, out);
        out.len() < plain.len()
    }
}

/// Decompresses blobs.
pub struct Decompressor(zstd::bulk::Decompressor<'static>);

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decompressor")
    }
}

impl Default for Decompressor {
    fn default() -> Self {
        Self(zstd::bulk::Decompressor::new().expect("a context without a dictionary can be made"))
    }
}

impl Decompressor {
    /// Replaces `out` by the plain bytes, which must be exactly so many: no more is ever allocated.
    ///
    /// # Errors
    /// [`FormatError::Shape`].
    pub fn decompress(&mut self, packed: &[u8], plain_bytes: usize, out: &mut Vec<u8>) -> Result<(), FormatError> {
        out.clear();
        out.reserve_exact(plain_bytes);
        let found = self.0.decompress_to_buffer(packed, out).map_err(|error| FormatError::shape("blob", error))?;
        if found == plain_bytes {
            Ok(())
        } else {
            Err(FormatError::shape("blob", format!("{found} bytes instead of {plain_bytes} after decompression")))
        }
    }
}

/// Compresses bytes that come piece by piece, so that they need not be held at once.
pub struct PieceCompressor<'a>(zstd::stream::write::Encoder<'static, &'a mut Vec<u8>>);

impl std::fmt::Debug for PieceCompressor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PieceCompressor")
    }
}

impl<'a> PieceCompressor<'a> {
    /// Appends to `out` what it compresses.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self(zstd::stream::write::Encoder::new(out, LEVEL).expect("the level is one of zstd's"))
    }

    /// Takes the next bytes.
    pub fn push(&mut self, plain: &[u8]) {
        self.0.write_all(plain).expect("memory takes it");
    }

    /// Appends what is left.
    pub fn finish(self) {
        self.0.finish().expect("memory takes it");
    }
}

/// Decompresses bytes piece by piece.
pub struct PieceDecompressor(zstd::stream::read::Decoder<'static, std::io::BufReader<std::io::Cursor<Bytes>>>);

impl std::fmt::Debug for PieceDecompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PieceDecompressor")
    }
}

impl PieceDecompressor {
    /// Begins with compressed bytes.
    ///
    /// # Errors
    /// [`FormatError::Shape`].
    pub fn new(packed: Bytes) -> Result<Self, FormatError> {
        let decoder = zstd::stream::read::Decoder::new(std::io::Cursor::new(packed));
        decoder.map(Self).map_err(|error| FormatError::shape("blob", error))
    }

    /// Appends about so many bytes more; returns how many, none at the end.
    ///
    /// # Errors
    /// [`FormatError::Shape`].
    pub fn read(&mut self, bytes: usize, out: &mut Vec<u8>) -> Result<usize, FormatError> {
        let read = (&mut self.0).take(bytes as u64).read_to_end(out);
        read.map_err(|error| FormatError::shape("blob", error))
    }
}

/// Returns the id of what was compressed, and how many bytes it has, without holding it at once.
///
/// # Errors
/// [`FormatError::Shape`].
pub fn id_of_packed(packed: &[u8]) -> Result<(Id, u64), FormatError> {
    let shape = |error| FormatError::shape("blob", error);
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(shape)?;
    let (mut id, mut bytes, mut piece) = (GrowingId::default(), 0, vec![0; PIECE_BYTES]);
    loop {
        match decoder.read(&mut piece).map_err(shape)? {
            0 => return Ok((id.finish(), bytes)),
            read => {
                id.push(&piece[..read]);
                bytes += read as u64;
            }
        }
    }
}

/// Returns the bytes of a file that is no pack, as they are sealed: a 2, then zstd.
pub fn pack_file(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::default().compress(plain, &mut out);
    out.insert(0, 2);
    out
}

/// Returns the plain bytes of a file that is no pack: JSON as it stands, or a 2 and zstd (restic's design document,
/// "Unpacked Data Format").
///
/// # Errors
/// [`FormatError::Shape`], also when it would grow beyond a bound.
pub fn unpack_file(what: &'static str, stored: &[u8]) -> Result<Vec<u8>, FormatError> {
    match stored.first() {
        Some(b'{' | b'[') => Ok(stored.to_vec()),
        Some(2) => {
            let shape = |error| FormatError::shape(what, error);
            let mut plain = Vec::new();
            let decoder = zstd::stream::read::Decoder::with_buffer(&stored[1..]).map_err(shape)?;
            decoder.take(FILE_BYTES_MAX + 1).read_to_end(&mut plain).map_err(shape)?;
            if plain.len() as u64 > FILE_BYTES_MAX {
                return Err(FormatError::shape(what, format!("more than {FILE_BYTES_MAX} bytes after decompression")));
            }
            Ok(plain)
        }
        Some(other) => Err(FormatError::shape(what, format!("unknown encoding {other}"))),
        None => Err(FormatError::shape(what, "no byte")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compressed_comes_back() {
        let plain = b"the same the same the same the same".repeat(100);
        let (mut packed, mut out) = (Vec::new(), Vec::new());
        Compressor::default().compress(&plain, &mut packed);
        assert!(packed.len() < 100);
        Decompressor::default().decompress(&packed, plain.len(), &mut out).unwrap();
        assert_eq!(out, plain);
        assert!(Decompressor::default().decompress(&packed, plain.len() - 1, &mut out).is_err());
        assert!(Decompressor::default().decompress(&packed, plain.len() + 1, &mut out).is_err());
    }

    #[test]
    fn noise_is_not_tried_to_its_end_and_a_little_text_in_it_is_found() {
        let mut noise = vec![0; 1 << 20];
        rand::RngCore::fill_bytes(&mut rand::rng(), &mut noise);
        let (mut compressor, mut out) = (Compressor::default(), Vec::new());
        assert!(!compressor.shrink(&noise, &mut out));
        assert!(out.len() < SAMPLE_PLACES * SAMPLE_PLACE_BYTES * 2, "{} bytes were compressed", out.len());
        for bytes in [SAMPLED_BYTES_MIN - 1, 1, 0] {
            assert!(!compressor.shrink(&noise[..bytes], &mut out));
        }
        // As long as two places are apart, wherever it lies.
        let run = 2 * noise.len() / SAMPLE_PLACES;
        for start in [0, 12_345, 500_000, noise.len() - run] {
            let mut mixed = noise.clone();
            mixed[start..start + run].fill(b'x');
            assert!(compressor.shrink(&mixed, &mut out), "text at {start}");
            assert!(out.len() < mixed.len() - run / 2, "{} bytes", out.len());
        }
    }

    #[test]
    fn files_come_back_in_either_encoding() {
        assert_eq!(unpack_file("index", &pack_file(b"{}")).unwrap(), b"{}");
        assert_eq!(unpack_file("index", b"{}").unwrap(), b"{}");
        assert!(unpack_file("index", b"").is_err());
        assert!(unpack_file("index", b"\x01{}").is_err());
        assert!(unpack_file("index", b"\x02{}").is_err());
    }
}
