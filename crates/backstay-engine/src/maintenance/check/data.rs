//! Reading packs, every byte of them: by rotating parts, so that all is read within so many checks.

use backstay_storage::ReadCache;

use super::Checked;
use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::compression::Decompressor;
use crate::format::id::{Id, IdMap};
use crate::format::index::{Index, PackNumber};
use crate::format::object::FileKind;
use crate::format::pack::{PackedBlob, judge_length, read_header};
use crate::interrupt::Interrupt;
use crate::maintenance::bits::Bits;
use crate::repository::Repository;

/// How much data is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadData {
    /// None: structure alone.
    None,
    /// All of it.
    All,
    /// The n-th of so many parts, from 1 on. A pack is always of the same part, so after all of them all is read,
    /// whatever was added meanwhile.
    Part {
        /// Which part.
        part: u64,
        /// Of how many.
        of: u64,
    },
    /// About so many bytes, going round all packs in the order of their names.
    Bytes {
        /// How many; at least one pack is read.
        limit: u64,
        /// The last pack that was read by the check before ([`Checked::read_up_to`]).
        after: Option<Id>,
    },
}

impl ReadData {
    /// Returns the packs that are to be read.
    fn chosen<'a>(&self, packs: &'a [(Id, u64)]) -> Vec<&'a (Id, u64)> {
        match self {
            Self::None => Vec::new(),
            Self::All => packs.iter().collect(),
            Self::Part { part, of } => {
                let of = (*of).max(1);
                let number = |id: &Id| id.0[..8].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
                packs.iter().filter(|(id, _)| number(id) % of == (part.max(&1) - 1) % of).collect()
            }
            Self::Bytes { limit, after } => {
                let first = after.map_or(0, |after| packs.partition_point(|(id, _)| *id <= after));
                let (mut left, mut chosen) = (*limit, Vec::new());
                for pack in packs[first..].iter().chain(&packs[..first]) {
                    if !chosen.is_empty() && pack.1 > left {
                        break;
                    }
                    left = left.saturating_sub(pack.1);
                    chosen.push(pack);
                }
                chosen
            }
        }
    }
}

/// Reads packs and marks the blobs that are not what they should be.
pub(super) fn check(
    repository: &Repository,
    index: &Index,
    read: &ReadData,
    packs: &[(Id, u64)],
    broken: &mut Bits,
    checked: &mut Checked,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    let chosen = read.chosen(packs);
    let mut named = blobs_of(index, &chosen);
    let mut decompressor = Decompressor::default();
    for (id, bytes) in chosen {
        interrupt.check()?;
        let named = named.remove(id).unwrap_or_default();
        checked.packs_read += 1;
        checked.read_up_to = Some(*id);
        let body = match repository.pack_read(id, 0..*bytes, ReadCache::Bypass, interrupt) {
            Ok(body) => body,
            Err(error) => {
                checked.harm(format!("pack {id}"), error)?;
                for place in named {
                    broken.set(place as usize);
                }
                continue;
            }
        };
        checked.bytes_read += body.len() as u64;
        let found = Id::of(&body);
        if found != *id {
            let source = FormatError::Hash { what: "pack", wanted: *id, found };
            checked.harm(format!("pack {id}"), repository.told(FileKind::Pack, id, source))?;
        }
        header_check(repository, index, id, &body, &named, checked)?;
        for place in named {
            let (blob, _) = index.blob(place as usize);
            if let Err(source) = blob_check(repository, &body, &blob, &mut decompressor) {
                broken.set(place as usize);
                checked.harm(format!("blob {}", blob.id), repository.told(FileKind::Pack, id, source))?;
            }
        }
    }
    Ok(())
}

/// Returns the places of the blobs that the index names in these packs.
fn blobs_of(index: &Index, chosen: &[&(Id, u64)]) -> IdMap<Vec<u32>> {
    let mut named: IdMap<Vec<u32>> = chosen.iter().map(|(id, _)| (*id, Vec::new())).collect();
    if named.is_empty() {
        return named;
    }
    for place in 0..index.blob_count() {
        let (_, pack) = index.blob(place);
        if let (PackNumber::Known(_), Some(places)) = (pack, named.get_mut(&index.pack_id(pack))) {
            places.push(u32::try_from(place).expect("an index of 2^32 blobs does not fit in memory"));
        }
    }
    named
}

/// Looks whether the pack's own header and the index name the same blobs.
fn header_check(
    repository: &Repository,
    index: &Index,
    id: &Id,
    body: &[u8],
    named: &[u32],
    checked: &mut Checked,
) -> Result<(), EngineError> {
    let header = match read_header(repository.key(), body) {
        Ok(header) => header,
        Err(source) => return checked.harm(format!("pack {id}"), repository.told(FileKind::Pack, id, source)),
    };
    let mut indexed: Vec<PackedBlob> = named.iter().map(|place| index.blob(*place as usize).0).collect();
    indexed.sort_unstable_by_key(|blob| blob.offset);
    indexed.dedup();
    if indexed != header {
        let problem = format!("its header names {} blobs, the index {} or others", header.len(), indexed.len());
        checked.found(format!("pack {id}"), problem);
    }
    Ok(())
}

fn blob_check(
    repository: &Repository,
    body: &[u8],
    blob: &PackedBlob,
    decompressor: &mut Decompressor,
) -> Result<(), FormatError> {
    let begin = blob.offset as usize;
    let sealed = body.get(begin..begin.saturating_add(blob.length as usize));
    let sealed = sealed.ok_or_else(|| FormatError::shape("blob", "it lies beyond the pack's end"))?;
    let mut sealed = sealed.to_vec();
    let opened = repository.key().open_in_place(&mut sealed, "blob")?;
    judge_length(blob.kind, blob.length, blob.plain_length)?;
    let mut plain = Vec::new();
    let plain = match blob.plain_length {
        Some(length) => {
            decompressor.decompress(opened, length as usize, &mut plain)?;
            &plain[..]
        }
        None => opened,
    };
    let found = Id::of(plain);
    if found == blob.id { Ok(()) } else { Err(FormatError::Hash { what: "blob", wanted: blob.id, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packs(count: u64) -> Vec<(Id, u64)> {
        let mut packs: Vec<(Id, u64)> = (0..count).map(|number| (Id::of(&number.to_be_bytes()), 10)).collect();
        packs.sort_unstable();
        packs
    }

    #[test]
    fn the_parts_are_all_and_none_is_in_two() {
        let packs = packs(100);
        let mut seen: Vec<Id> =
            (1..=7).flat_map(|part| ReadData::Part { part, of: 7 }.chosen(&packs)).map(|(id, _)| *id).collect();
        seen.sort_unstable();
        assert_eq!(seen, packs.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    }

    #[test]
    fn by_bytes_it_goes_round() {
        let packs = packs(10);
        let (mut after, mut seen) = (None, Vec::new());
        for _ in 0..4 {
            let read = ReadData::Bytes { limit: 35, after };
            let chosen = read.chosen(&packs);
            assert_eq!(chosen.len(), 3);
            after = chosen.last().map(|(id, _)| *id);
            seen.extend(chosen.iter().map(|(id, _)| *id));
        }
        assert_eq!(seen[..10], packs.iter().map(|(id, _)| *id).collect::<Vec<_>>()[..]);
        assert_eq!(seen[10..], seen[..2]);
        assert_eq!(ReadData::Bytes { limit: 1, after: None }.chosen(&packs).len(), 1);
        assert!(ReadData::Bytes { limit: 1, after: None }.chosen(&[]).is_empty());
    }
}
