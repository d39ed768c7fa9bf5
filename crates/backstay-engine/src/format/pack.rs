//! Packs: sealed blobs one after another, then a sealed header that names them, then the header's length (restic's
//! design document, "Pack Format").

use super::FormatError;
use super::crypto::{NONCE_BYTES, SEAL_BYTES, SealKey};
use super::id::Id;

/// Bytes of a header without its entries: its seal and, after it, its length.
pub const HEADER_BYTES: u64 = SEAL_BYTES as u64 + 4;

/// Returns the bytes of a header's entry: kind, length, plain length when it is compressed, id.
pub const fn header_entry_bytes(compressed: bool) -> u64 {
    if compressed { 41 } else { 37 }
}

/// What a blob holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobKind {
    /// Bytes of files.
    Data,
    /// The entries of one folder.
    Tree,
}

/// Where a blob lies in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackedBlob {
    /// Hash of the plain blob.
    pub id: Id,
    /// What it holds.
    pub kind: BlobKind,
    /// Where it begins.
    pub offset: u32,
    /// Its sealed bytes.
    pub length: u32,
    /// Its bytes after decompression; none when it is not compressed.
    pub plain_length: Option<u32>,
}

impl PackedBlob {
    /// Returns what blobs are in order by in an index; copies of one blob have the same.
    pub(crate) fn order(&self) -> (Id, bool) {
        (self.id, self.kind == BlobKind::Tree)
    }
}

/// A pack that is being filled.
#[derive(Debug)]
pub struct PackWriter {
    buffer: Vec<u8>,
    blobs: Vec<PackedBlob>,
}

/// A pack that is complete.
#[derive(Debug)]
pub struct FinishedPack {
    /// Hash of all its bytes.
    pub id: Id,
    /// All its bytes.
    pub body: Vec<u8>,
    /// What it holds.
    pub blobs: Vec<PackedBlob>,
}

impl FinishedPack {
    /// Says whether it holds folders: packs that are read often.
    pub fn has_trees(&self) -> bool {
        self.blobs.iter().any(|blob| blob.kind == BlobKind::Tree)
    }
}

impl PackWriter {
    /// Begins a pack in an empty buffer.
    pub fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { buffer, blobs: Vec::new() }
    }

    /// Returns how many bytes it has so far.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Says whether it holds no blob.
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Returns how many blobs it holds.
    pub fn blob_count(&self) -> usize {
        self.blobs.len()
    }

    /// Seals a blob into the pack. `stored` is what is sealed: the plain blob, or its compressed bytes, and then
    /// `plain_length` says how many it has without.
    pub fn push(
        &mut self,
        key: &SealKey,
        kind: BlobKind,
        id: Id,
        stored: &[u8],
        plain_length: Option<u32>,
    ) -> PackedBlob {
        self.push_with(key, kind, id, plain_length, |buffer| buffer.extend_from_slice(stored))
    }

    /// As [`PackWriter::push`]; `fill` appends what is sealed, so that it is held nowhere else.
    pub fn push_with(
        &mut self,
        key: &SealKey,
        kind: BlobKind,
        id: Id,
        plain_length: Option<u32>,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> PackedBlob {
        let offset = self.buffer.len();
        self.buffer.resize(offset + NONCE_BYTES, 0);
        fill(&mut self.buffer);
        key.seal_tail(&mut self.buffer, offset);
        let number = |count: usize| u32::try_from(count).expect("a pack is far smaller than 4 GiB");
        let length = number(self.buffer.len() - offset);
        let blob = PackedBlob { id, kind, offset: number(offset), length, plain_length };
        self.blobs.push(blob);
        blob
    }

    /// Opens a blob that this pack holds where it lies, hands its plain bytes to `look`, and seals it as it was: what is
    /// sealed is held nowhere else.
    ///
    /// # Errors
    /// [`FormatError::Seal`] when it does not open, or is not the same when it is sealed again; what `look` returns. The
    /// pack is then worth nothing.
    pub fn look_at<T>(
        &mut self,
        key: &SealKey,
        blob: &PackedBlob,
        look: impl FnOnce(&[u8]) -> Result<T, FormatError>,
    ) -> Result<T, FormatError> {
        let sealed = &mut self.buffer[blob.offset as usize..][..blob.length as usize];
        let found = look(key.open_in_place(sealed, "blob")?)?;
        if key.seal_again(sealed) { Ok(found) } else { Err(FormatError::Seal { what: "blob" }) }
    }

    /// Returns the blob that was sealed last; none in an empty pack.
    #[cfg(test)]
    pub(crate) fn newest(&self) -> Option<PackedBlob> {
        self.blobs.last().copied()
    }

    /// Returns the sealed bytes of a blob that this pack holds.
    pub fn sealed(&self, blob: &PackedBlob) -> &[u8] {
        &self.buffer[blob.offset as usize..][..blob.length as usize]
    }

    /// Ends the pack with its header.
    pub fn finish(mut self, key: &SealKey) -> FinishedPack {
        let begin = self.buffer.len();
        self.buffer.resize(begin + NONCE_BYTES, 0);
        for blob in &self.blobs {
            let kind = match (blob.kind, blob.plain_length) {
                (BlobKind::Data, None) => 0,
                (BlobKind::Tree, None) => 1,
                (BlobKind::Data, Some(_)) => 2,
                (BlobKind::Tree, Some(_)) => 3,
            };
            self.buffer.push(kind);
            self.buffer.extend_from_slice(&blob.length.to_le_bytes());
            if let Some(plain_length) = blob.plain_length {
                self.buffer.extend_from_slice(&plain_length.to_le_bytes());
            }
            self.buffer.extend_from_slice(&blob.id.0);
        }
        key.seal_tail(&mut self.buffer, begin);
        let header = u32::try_from(self.buffer.len() - begin).expect("a header has some bytes a blob");
        self.buffer.extend_from_slice(&header.to_le_bytes());
        FinishedPack { id: Id::of(&self.buffer), body: self.buffer, blobs: self.blobs }
    }
}

/// Most bytes of a blob of a file: restic cuts them at 8 MiB, and whoever cuts larger ones stays far below. Beyond it is a
/// decompression bomb.
pub const DATA_BYTES_MAX: u64 = 64 << 20;

/// Judges what an index says about how long a blob is, before any memory is asked for it.
///
/// # Errors
/// [`FormatError::Shape`] when it is longer than any of its kind.
pub fn judge_length(kind: BlobKind, length: u32, plain_length: Option<u32>) -> Result<(), FormatError> {
    let (what, most) = match kind {
        BlobKind::Data => ("blob", DATA_BYTES_MAX),
        BlobKind::Tree => ("tree", super::tree::TREE_BYTES_MAX),
    };
    // What does not shrink is stored as it is, so no honest blob is much longer sealed than plain.
    let longest = length.max(plain_length.unwrap_or(0));
    if u64::from(longest) <= most + SEAL_BYTES as u64 {
        return Ok(());
    }
    Err(FormatError::shape(what, format!("{longest} bytes are more than any has")))
}

/// Returns what the header of a whole pack names.
///
/// # Errors
/// [`FormatError`] when the header is not where its length says, does not authenticate, or does not fit the pack.
pub fn read_header(key: &SealKey, pack: &[u8]) -> Result<Vec<PackedBlob>, FormatError> {
    read_header_at_end(key, pack.len() as u64, pack)
}

/// Returns how many of the last bytes of a pack its header takes, with its length, by the end of the pack.
///
/// # Errors
/// [`FormatError::Shape`] when it is longer than the pack.
pub fn header_bytes(pack_bytes: u64, end: &[u8]) -> Result<u64, FormatError> {
    let shape = |problem: &str| FormatError::shape("pack header", problem);
    let length = end.last_chunk::<4>().ok_or_else(|| shape("the pack is too short"))?;
    let bytes = u64::from(u32::from_le_bytes(*length)) + 4;
    if bytes <= pack_bytes { Ok(bytes) } else { Err(shape("it is longer than the pack")) }
}

/// Returns what the header of a pack of so many bytes names, by the end of the pack, which holds all of it.
///
/// # Errors
/// As [`read_header`].
pub fn read_header_at_end(key: &SealKey, pack_bytes: u64, end: &[u8]) -> Result<Vec<PackedBlob>, FormatError> {
    let shape = |problem: &str| FormatError::shape("pack header", problem);
    let header = header_bytes(pack_bytes, end)?;
    let begin = usize::try_from(header).ok().and_then(|header| end.len().checked_sub(header));
    let begin = begin.ok_or_else(|| shape("it is longer than what was read"))?;
    let mut sealed = end[begin..end.len() - 4].to_vec();
    let mut entries = &*key.open_in_place(&mut sealed, "pack header")?;
    let mut blobs = Vec::new();
    let mut offset = 0u32;
    while let Some((&kind, after)) = entries.split_first() {
        let (kind, compressed) = match kind {
            0 => (BlobKind::Data, false),
            1 => (BlobKind::Tree, false),
            2 => (BlobKind::Data, true),
            3 => (BlobKind::Tree, true),
            _ => return Err(shape("an unknown blob kind")),
        };
        let cut = |bytes: &'_ [u8]| {
            bytes.split_first_chunk::<4>().map(|(head, tail)| (u32::from_le_bytes(*head), tail.len()))
        };
        let (length, left) = cut(after).ok_or_else(|| shape("an entry is cut short"))?;
        let mut tail = &after[after.len() - left..];
        let mut plain_length = None;
        if compressed {
            let (plain, left) = cut(tail).ok_or_else(|| shape("an entry is cut short"))?;
            plain_length = Some(plain);
            tail = &tail[tail.len() - left..];
        }
        let (id, tail) = tail.split_first_chunk::<32>().ok_or_else(|| shape("an entry is cut short"))?;
        blobs.push(PackedBlob { id: Id(*id), kind, offset, length, plain_length });
        offset = offset.checked_add(length).ok_or_else(|| shape("blobs go beyond the pack"))?;
        entries = tail;
    }
    if u64::from(offset) == pack_bytes - header { Ok(blobs) } else { Err(shape("blobs do not fill the pack")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_was_put_in() {
        let key = SealKey::random();
        let mut writer = PackWriter::new(Vec::new());
        for (kind, body, plain) in [
            (BlobKind::Data, &b"one"[..], None),
            (BlobKind::Tree, b"two", Some(30)),
            (BlobKind::Data, b"", Some(0)),
            (BlobKind::Tree, b"four", None),
        ] {
            writer.push(&key, kind, Id::of(body), body, plain);
        }
        let pack = writer.finish(&key);
        assert_eq!(read_header(&key, &pack.body).unwrap(), pack.blobs);
        assert_eq!(pack.id, Id::of(&pack.body));
        for at in [0, 1, 2, 3, 4, 30].map(|back| pack.body.len() - 1 - back) {
            let mut changed = pack.body.clone();
            changed[at] ^= 0x40;
            assert!(read_header(&key, &changed).is_err(), "byte {at}");
        }
        assert!(read_header(&key, &pack.body[1..]).is_err());
        assert!(read_header(&key, b"abc").is_err());
    }
}
