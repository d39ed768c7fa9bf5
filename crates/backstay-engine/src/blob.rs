//! Reading blobs: from any of their copies, opened and hashed.
//!
//! A blob may lie in several packs, when two backups wrote it at once or a prune died. A copy that cannot be had is noted
//! as bad, and the next one is tried: damage is named, and costs nothing that another copy has.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use backstay_core::managers::job::chain;
use backstay_storage::ReadCache;
use bytes::Bytes;
use futures::StreamExt;

use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::compression::{Decompressor, id_of_packed};
use crate::format::crypto::{NONCE_BYTES, SEAL_BYTES};
use crate::format::id::{Id, IdSet};
use crate::format::index::{BlobPlace, Index};
use crate::format::object::FileKind;
use crate::format::pack::{BlobKind, judge_length};
use crate::interrupt::Interrupt;
use crate::repository::Repository;

/// Trees that are fetched ahead at once: as many as lie in some megabytes of a pack of trees.
pub(crate) const TREES_AHEAD: usize = 256;

/// Trees of one folder's folders that are fetched ahead at the most.
const TREES_AHEAD_MAX: usize = 8_192;

/// Bytes that one request fetches ahead at the most, where it is for more than one blob.
const AHEAD_RUN_BYTES_MAX: u64 = 4 << 20;

/// Bytes of the largest blob that is fetched ahead, sealed.
const AHEAD_BLOB_BYTES_MAX: u32 = 1 << 20;

/// Bytes that are fetched ahead at the most, with what lies between.
const AHEAD_BYTES_MAX: u64 = 32 << 20;

/// Bytes between two blobs that are fetched with them rather than asked for around.
const AHEAD_GAP_BYTES_MAX: u64 = 32 << 10;

/// Requests that fetch ahead at once.
const AHEAD_REQUESTS: usize = 8;

/// Bad copies that one reader notes: as many as a person reads.
const BAD_COPIES_MAX: usize = 1_000;

/// Blobs that were fetched before anybody asked for them. Readers of several threads may share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ahead(Arc<Mutex<Fetched>>);

#[derive(Debug, Default)]
struct Fetched {
    /// Sealed blobs, by where they lie.
    sealed: HashMap<(Id, u32), Vec<u8>>,
    /// What went wrong where some were fetched, by where the first of them lies: told when a second try goes well.
    harm: HashMap<(Id, u32), EngineError>,
}

impl Fetched {
    /// Lets go what nobody asked for, when there is too much of it.
    fn make_room(&mut self) {
        let held: usize = self.sealed.values().map(Vec::len).sum();
        if held as u64 > AHEAD_BYTES_MAX {
            self.sealed.clear();
        }
        if self.harm.len() > BAD_COPIES_MAX {
            self.harm.clear();
        }
    }
}

impl Ahead {
    fn has(&self, place: &BlobPlace) -> bool {
        self.lock().sealed.contains_key(&(place.pack, place.offset))
    }

    fn lock(&self) -> MutexGuard<'_, Fetched> {
        self.0.lock().expect("no holder panics")
    }
}

/// A copy of a blob that could not be had. Another was read in its place, or an error tells of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCopy {
    /// The blob and its pack.
    pub place: String,
    /// What is wrong.
    pub problem: String,
}

/// Reads blobs one by one, with buffers and a zstd context that it keeps.
#[derive(Debug)]
pub struct BlobReader<'a> {
    repository: &'a Repository,
    index: &'a Index,
    cache: ReadCache,
    interrupt: Interrupt,
    decompressor: Decompressor,
    /// Packs of which this reader has had the caches emptied: once each, or every blob would be fetched again.
    emptied: IdSet,
    bad_copies: Vec<BadCopy>,
    ahead: Ahead,
    /// Sealed bytes that were fetched so far.
    pub bytes_fetched: u64,
}

impl<'a> BlobReader<'a> {
    /// Makes a reader. Its reads are given up when somebody asks to stop.
    pub fn new(repository: &'a Repository, index: &'a Index, cache: ReadCache, interrupt: &Interrupt) -> Self {
        Self {
            repository,
            index,
            cache,
            interrupt: interrupt.clone(),
            decompressor: Decompressor::default(),
            emptied: IdSet::default(),
            bad_copies: Vec::new(),
            ahead: Ahead::default(),
            bytes_fetched: 0,
        }
    }

    /// Has it share what is fetched ahead with others.
    pub(crate) fn sharing(self, ahead: &Ahead) -> Self {
        Self { ahead: ahead.clone(), ..self }
    }

    /// Returns the index that it looks blobs up in.
    pub fn index(&self) -> &'a Index {
        self.index
    }

    /// Returns where a blob lies.
    ///
    /// # Errors
    /// [`EngineError::NoBlob`].
    pub fn find(&self, kind: BlobKind, id: &Id) -> Result<BlobPlace, EngineError> {
        let missing = || EngineError::NoBlob { id: *id, place: self.repository.place() };
        self.index.find(kind, id).ok_or_else(missing)
    }

    /// Returns a blob, decrypted, decompressed and hashed: from the first copy that can be had.
    ///
    /// # Errors
    /// [`EngineError::NoBlob`], [`EngineError::Storage`]; [`EngineError::Format`] when no copy can be had;
    /// [`EngineError::Interrupted`].
    pub fn read(&mut self, kind: BlobKind, id: &Id) -> Result<Vec<u8>, EngineError> {
        self.first_good_copy(kind, id, |reader, place| reader.read_at(kind, place, id))
    }

    /// Returns the copy of a blob that lies at a place.
    ///
    /// # Errors
    /// As [`BlobReader::read`].
    pub(crate) fn read_at(&mut self, kind: BlobKind, place: &BlobPlace, id: &Id) -> Result<Vec<u8>, EngineError> {
        let mut sealed = self.fetch(kind, place)?;
        let mut plain = Vec::new();
        self.open(kind, place, id, &mut sealed, &mut plain)?;
        // A storage that gives half of what it has, and all of it when it is asked again, is none to rely on.
        let harm = self.ahead.lock().harm.remove(&(place.pack, place.offset));
        if let Some(error) = harm {
            self.note_bad(id, place, &error);
        }
        Ok(plain)
    }

    /// Returns a blob decrypted and as it was compressed, with its hash looked at, and never held whole; none when it is
    /// not compressed.
    ///
    /// # Errors
    /// As [`BlobReader::read`].
    pub(crate) fn read_packed(&mut self, kind: BlobKind, id: &Id) -> Result<Option<Bytes>, EngineError> {
        self.first_good_copy(kind, id, |reader, place| reader.read_packed_at(kind, place, id))
    }

    fn read_packed_at(&mut self, kind: BlobKind, place: &BlobPlace, id: &Id) -> Result<Option<Bytes>, EngineError> {
        let Some(length) = place.plain_length else { return Ok(None) };
        let mut sealed = self.fetch(kind, place)?;
        let told = |source| self.repository.told(FileKind::Pack, &place.pack, source);
        self.repository.key().open_in_place(&mut sealed, "blob").map_err(told)?;
        let end = sealed.len() - (SEAL_BYTES - NONCE_BYTES);
        let opened = Bytes::from(sealed).slice(NONCE_BYTES..end);
        match id_of_packed(&opened).map_err(told)? {
            (found, bytes) if found == *id && bytes == u64::from(length) => Ok(Some(opened)),
            (found, _) => Err(told(FormatError::Hash { what: "blob", wanted: *id, found })),
        }
    }

    /// Reads the copies of a blob until one can be had, and notes those before it as bad. An error that says no harm, as
    /// when the storage does not answer, ends it: it says nothing about any copy.
    fn first_good_copy<T>(
        &mut self,
        kind: BlobKind,
        id: &Id,
        read: impl Fn(&mut Self, &BlobPlace) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let mut first = None;
        let index = self.index;
        for place in index.places(kind, id) {
            match read(self, &place) {
                Err(error) if error.is_harm() => match first {
                    None => first = Some((place, error)),
                    Some(_) => self.note_bad(id, &place, &error),
                },
                Ok(found) => {
                    if let Some((place, error)) = first {
                        self.note_bad(id, &place, &error);
                    }
                    return Ok(found);
                }
                Err(error) => return Err(error),
            }
        }
        let missing = || EngineError::NoBlob { id: *id, place: self.repository.place() };
        Err(first.map_or_else(missing, |(_, error)| error))
    }

    fn note_bad(&mut self, id: &Id, place: &BlobPlace, error: &EngineError) {
        let place = format!("the copy of blob {id} in {}", FileKind::Pack.key(&place.pack));
        // One that is met again is no second finding.
        if self.bad_copies.len() < BAD_COPIES_MAX && self.bad_copies.iter().all(|bad| bad.place != place) {
            let bad = BadCopy { place, problem: chain(error) };
            tracing::warn!(place = %bad.place, problem = %bad.problem, "a copy of a blob cannot be had");
            self.bad_copies.push(bad);
        }
    }

    /// Returns the copies that were found to be bad since the last call, while others could be had.
    pub fn take_bad_copies(&mut self) -> Vec<BadCopy> {
        std::mem::take(&mut self.bad_copies)
    }

    /// Fetches the sealed bytes of a blob.
    fn fetch(&mut self, kind: BlobKind, place: &BlobPlace) -> Result<Vec<u8>, EngineError> {
        judge_length(kind, place.length, place.plain_length)
            .map_err(|source| self.repository.told(FileKind::Pack, &place.pack, source))?;
        let ahead = self.ahead.lock().sealed.remove(&(place.pack, place.offset));
        if let Some(sealed) = ahead.filter(|sealed| sealed.len() == place.length as usize) {
            return Ok(sealed);
        }
        let cache = self.cache_of(&place.pack);
        let sealed =
            Vec::from(self.repository.pack_read(&place.pack, range_of(place, place), cache, &self.interrupt)?);
        self.bytes_fetched += sealed.len() as u64;
        Ok(sealed)
    }

    fn cache_of(&mut self, pack: &Id) -> ReadCache {
        let first = self.cache == ReadCache::Bypass && self.emptied.insert(*pack);
        if first { ReadCache::Bypass } else { ReadCache::Use }
    }

    /// Fetches trees that are about to be read, in their order, up to the first that was fetched so before.
    ///
    /// # Errors
    /// As [`BlobReader::fetch_ahead`].
    pub(crate) fn fetch_trees_ahead<'i>(&mut self, trees: impl Iterator<Item = &'i Id>) -> Result<(), EngineError> {
        let places = trees.take(TREES_AHEAD).filter_map(|id| self.index.find(BlobKind::Tree, id));
        let places: Vec<BlobPlace> = places.take_while(|place| !self.ahead.has(place)).collect();
        self.fetch_ahead(BlobKind::Tree, places)
    }

    /// As [`BlobReader::fetch_trees_ahead`], for many that are read by whoever comes to them: all that were not fetched.
    ///
    /// # Errors
    /// As [`BlobReader::fetch_ahead`].
    pub(crate) fn fetch_new_trees_ahead<'i>(&mut self, trees: impl Iterator<Item = &'i Id>) -> Result<(), EngineError> {
        let places = trees.take(TREES_AHEAD_MAX).filter_map(|id| self.index.find(BlobKind::Tree, id));
        let places: Vec<BlobPlace> = places.filter(|place| !self.ahead.has(place)).collect();
        self.fetch_ahead(BlobKind::Tree, places)
    }

    /// Fetches blobs that are about to be read: those that lie together with one request, and several requests at once.
    /// When there is too much that was fetched so and not read, it is let go. Harm is no error here: whoever reads the blob
    /// hears of it. Large blobs are left to be read one by one, and so is one alone.
    ///
    /// # Errors
    /// [`EngineError::Storage`], [`EngineError::Interrupted`].
    pub(crate) fn fetch_ahead(&mut self, kind: BlobKind, mut places: Vec<BlobPlace>) -> Result<(), EngineError> {
        places.retain(|place| {
            place.length <= AHEAD_BLOB_BYTES_MAX && judge_length(kind, place.length, place.plain_length).is_ok()
        });
        if places.len() < 2 {
            return Ok(());
        }
        places.sort_unstable_by_key(|place| (place.pack, place.offset));
        self.ahead.lock().make_room();
        let mut left = AHEAD_BYTES_MAX;
        let mut runs = Vec::new();
        let gap = |a: &BlobPlace, b: &BlobPlace| u64::from(b.offset).saturating_sub(range_of(a, a).end);
        let mut rest = &places[..];
        while let Some(first) = rest.first() {
            let is_near = |a: &BlobPlace, b: &BlobPlace| a.pack == b.pack && gap(a, b) <= AHEAD_GAP_BYTES_MAX;
            let fits = |last: &BlobPlace| range_of(first, last).end - u64::from(first.offset) <= AHEAD_RUN_BYTES_MAX;
            let more = rest.windows(2).take_while(|pair| is_near(&pair[0], &pair[1]) && fits(&pair[1])).count();
            let (run, behind) = rest.split_at(1 + more);
            rest = behind;
            let range = range_of(&run[0], &run[run.len() - 1]);
            let Some(room) = u64::checked_sub(left, range.end - range.start) else { break };
            left = room;
            runs.push((run, range, self.cache_of(&run[0].pack)));
        }
        let repository = self.repository;
        let fetched = futures::stream::iter(runs).map(|(run, range, cache)| async move {
            (run, repository.pack_range(&run[0].pack, range, cache).await.map_err(EngineError::from))
        });
        let mut fetched = std::pin::pin!(fetched.buffer_unordered(AHEAD_REQUESTS));
        while let Some((run, fetched)) = self.interrupt.block_on(fetched.next())? {
            let fetched = match fetched {
                Err(error) if error.is_harm() => {
                    self.ahead.lock().harm.insert((run[0].pack, run[0].offset), error);
                    continue;
                }
                fetched => fetched?,
            };
            self.bytes_fetched += fetched.len() as u64;
            let mut ahead = self.ahead.lock();
            for place in run {
                let begin = (place.offset - run[0].offset) as usize;
                let end = begin + place.length as usize;
                // Blobs that overlap are in no honest index: the one that reaches beyond is read by itself.
                if let Some(sealed) = fetched.get(begin..end) {
                    // A part would hold on to all that was fetched with it.
                    ahead.sealed.insert((place.pack, place.offset), sealed.to_vec());
                }
            }
        }
        Ok(())
    }

    /// Opens a blob's sealed bytes into `plain`.
    ///
    /// # Errors
    /// [`EngineError::Format`].
    pub fn open(
        &mut self,
        kind: BlobKind,
        place: &BlobPlace,
        id: &Id,
        sealed: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), EngineError> {
        let told = |source| EngineError::Format {
            place: format!("blob {id} at {} in {}", place.offset, FileKind::Pack.key(&place.pack)),
            source,
        };
        judge_length(kind, place.length, place.plain_length).map_err(told)?;
        let opened = self.repository.key().open_in_place(sealed, "blob").map_err(told)?;
        match place.plain_length {
            Some(length) => self.decompressor.decompress(opened, length as usize, plain).map_err(told)?,
            None => {
                plain.clear();
                plain.extend_from_slice(opened);
            }
        }
        let found = Id::of(plain);
        if found == *id { Ok(()) } else { Err(told(FormatError::Hash { what: "blob", wanted: *id, found })) }
    }
}

/// Returns what lies in a pack from one blob to the end of another.
fn range_of(first: &BlobPlace, last: &BlobPlace) -> Range<u64> {
    u64::from(first.offset)..u64::from(last.offset) + u64::from(last.length)
}
