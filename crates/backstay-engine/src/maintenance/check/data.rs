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
use crate::maintenance::by_pack::BlobsByPack;
use crate::maintenance::in_order::in_order;
use crate::repository::Repository;

/// Most packs that are read at once: each is held whole, and few storages are faster with more.
const READERS_MAX: usize = 4;

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

/// What reading one pack told.
#[derive(Debug, Default)]
struct PackRead {
    /// Bytes that were read.
    bytes: u64,
    /// What is wrong, in the order in which it was found: with the pack, with its header, with its blobs.
    wrong: Vec<Wrong>,
    /// The places in the index of the blobs that are not what they should be.
    broken: Vec<usize>,
}

#[derive(Debug)]
enum Wrong {
    /// Harm, or an error that ends the check.
    Error(String, EngineError),
    /// Harm, in words.
    Words(String, String),
}

/// Reads packs, several at once, and marks the blobs that are not what they should be. What is found is told in the
/// order of the packs, whoever read them.
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
    if chosen.is_empty() {
        return Ok(());
    }
    let named = blobs_of(index, &chosen, interrupt)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(READERS_MAX).min(chosen.len());
    let work = |opener: &mut Opener, number: usize| {
        let (id, bytes) = chosen[number];
        pack_check(repository, (id, *bytes), &named.of(number), opener, interrupt)
    };
    let mut ids = chosen.iter().map(|(id, _)| *id);
    let mut tell = |read: PackRead| {
        checked.packs_read += 1;
        checked.read_up_to = ids.next();
        checked.bytes_read += read.bytes;
        read.broken.iter().for_each(|place| _ = broken.set(*place));
        read.wrong.into_iter().try_for_each(|wrong| match wrong {
            Wrong::Error(place, error) => checked.harm(place, error),
            Wrong::Words(place, problem) => {
                checked.found(place, problem);
                Ok(())
            }
        })
    };
    in_order(threads, "reads packs", 0..chosen.len(), Opener::default, work, &mut tell)
}

/// What a reader keeps from blob to blob: asking the system for fresh memory would cost more than copying.
#[derive(Default)]
struct Opener {
    decompressor: Decompressor,
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

/// Reads one pack and all that the index names in it.
fn pack_check(
    repository: &Repository,
    (id, bytes): (&Id, u64),
    named: &[(usize, PackedBlob)],
    opener: &mut Opener,
    interrupt: &Interrupt,
) -> PackRead {
    let mut read = PackRead::default();
    let pack = || format!("pack {id}");
    let told = |source| repository.told(FileKind::Pack, id, source);
    let body = interrupt.check().and_then(|()| repository.pack_read(id, 0..bytes, ReadCache::Bypass, interrupt));
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            read.wrong.push(Wrong::Error(pack(), error));
            read.broken.extend(named.iter().map(|(place, _)| *place));
            return read;
        }
    };
    read.bytes = body.len() as u64;
    let found = Id::of(&body);
    if found != *id {
        read.wrong.push(Wrong::Error(pack(), told(FormatError::Hash { what: "pack", wanted: *id, found })));
    }
    match header_check(repository, &body, named) {
        Ok(None) => {}
        Ok(Some(problem)) => read.wrong.push(Wrong::Words(pack(), problem)),
        Err(source) => read.wrong.push(Wrong::Error(pack(), told(source))),
    }
    for (place, blob) in named {
        if let Err(source) = blob_check(repository, &body, blob, opener) {
            read.broken.push(*place);
            read.wrong.push(Wrong::Error(format!("blob {}", blob.id), told(source)));
        }
    }
    read
}

/// Returns the blobs that the index names in these packs, by their numbers in the list.
fn blobs_of(index: &Index, chosen: &[&(Id, u64)], interrupt: &Interrupt) -> Result<BlobsByPack, EngineError> {
    let numbers: IdMap<u32> = (0..).zip(chosen).map(|(number, (id, _))| (*id, number)).collect();
    let numbers: Vec<Option<u32>> = index.packs().iter().map(|pack| numbers.get(&pack.id).copied()).collect();
    let number_of = |pack| match pack {
        PackNumber::Known(pack) => numbers[pack as usize],
        PackNumber::Pending(_) => None,
    };
    BlobsByPack::new(index, chosen.len(), number_of, interrupt)
}

/// Returns what differs between the pack's own header and what the index names in it.
fn header_check(
    repository: &Repository,
    body: &[u8],
    named: &[(usize, PackedBlob)],
) -> Result<Option<String>, FormatError> {
    let header = read_header(repository.key(), body)?;
    let mut indexed: Vec<PackedBlob> = named.iter().map(|(_, blob)| *blob).collect();
    indexed.dedup();
    let differs = indexed != header;
    Ok(differs.then(|| format!("its header names {} blobs, the index {} or others", header.len(), indexed.len())))
}

fn blob_check(repository: &Repository, body: &[u8], blob: &PackedBlob, opener: &mut Opener) -> Result<(), FormatError> {
    let begin = blob.offset as usize;
    let sealed = body.get(begin..begin.saturating_add(blob.length as usize));
    let sealed = sealed.ok_or_else(|| FormatError::shape("blob", "it lies beyond the pack's end"))?;
    // A copy: two index files may name the same blob, and the pack is opened once.
    let Opener { decompressor, sealed: copy, plain } = opener;
    copy.clear();
    copy.extend_from_slice(sealed);
    let opened = repository.key().open_in_place(copy, "blob")?;
    judge_length(blob.kind, blob.length, blob.plain_length)?;
    let plain = match blob.plain_length {
        Some(length) => {
            decompressor.decompress(opened, length as usize, plain)?;
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
