//! Repair of the index: it names what the packs that are there hold by their own headers, and nothing else.
//!
//! A pack that an index file names with the size that it has is believed, unless all packs are to be read. One whose
//! header cannot be read is left where it is. What a sound index file said of such a pack, as far as it lies within it,
//! is named as about to go: a restore and `packs` still find it, and no backup takes it for known.

use backstay_storage::ReadCache;
use jiff::Timestamp;

use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::id::{Id, IdSet};
use crate::format::index::{BlobCopy, Index, IndexFile, PackNumber};
use crate::format::object::FileKind;
use crate::format::pack::{HEADER_BYTES, PackedBlob, header_bytes, read_header_at_end};
use crate::interrupt::Interrupt;
use crate::lock::LockGuard;
use crate::maintenance::in_order::in_order;
use crate::maintenance::ledger::{IndexPart, Ledger, Pack};
use crate::maintenance::repack::{IndexWriter, held_alone, remove};
use crate::progress::EngineProgress;
use crate::repository::Repository;

/// Bytes that are fetched of a pack's end at first: the header of a thousand blobs.
const END_BYTES: u64 = 48 << 10;

/// Headers that are read at once: each is a short request, so waiting is most of it.
const READERS: usize = 8;

/// Which packs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacksRead {
    /// Those that the index does not name, or not with the size that they have.
    Doubtful,
    /// All.
    All,
}

/// A file of the repository that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its id.
    pub id: Id,
    /// What is wrong.
    pub problem: String,
}

/// What a repair of the index would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexPreview {
    /// Index files that are there.
    pub index_files: u64,
    /// Those of them that are replaced, or removed because they cannot be read.
    pub index_files_replaced: u64,
    /// Those that cannot be read.
    pub index_files_unreadable: Vec<Unreadable>,
    /// Packs that are there.
    pub packs: u64,
    /// Packs whose headers were read.
    pub packs_read: u64,
    /// Packs that the index did not name.
    pub packs_added: u64,
    /// Packs of which the index said something else than their headers.
    pub packs_corrected: u64,
    /// Packs that the index names and that are not there.
    pub packs_missing: Vec<Id>,
    /// Packs that are there and cannot be read: they are left.
    pub packs_unreadable: Vec<Unreadable>,
    /// Blobs that are named now and were not.
    pub blobs_added: u64,
    /// Blobs that the index named and that no pack has.
    pub blobs_lost: u64,
}

impl IndexPreview {
    /// Says whether the index is right as it is.
    pub fn is_idle(&self) -> bool {
        self.index_files_replaced == 0 && self.packs_added == 0 && self.packs_corrected == 0
    }
}

/// What a repair of the index would do. It is worth something only as long as the lock that it was made under.
#[derive(Debug)]
pub struct IndexPlan {
    /// What it comes to.
    pub preview: IndexPreview,
    ledger: Ledger,
    fates: Vec<Fate>,
    /// Packs whose headers say what is named from now on.
    found: Ledger,
    /// Index files that are no longer true, by their places in the ledger.
    replaced: Vec<usize>,
    unreadable: Vec<Id>,
    now: Timestamp,
    lock: u64,
}

/// What becomes of a pack that the index names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is named as before.
    Keep,
    /// It is named as its header says.
    Correct,
    /// It is not there: nobody names it.
    Drop,
    /// Its header cannot be read: what lies within it is named as about to go.
    Mark,
}

/// Decides what the index is to name. `guard` is a lock of any mode for a preview, and an exclusive one when the plan is
/// to be applied. `progress` counts packs as files.
///
/// # Errors
/// [`EngineError::Storage`] when a list is not complete or the storage does not answer; [`EngineError::Interrupted`].
/// Harm is no error.
pub fn plan(
    repository: &Repository,
    read: PacksRead,
    guard: &LockGuard,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<IndexPlan, EngineError> {
    let (ledger, unreadable) = Ledger::read_what_can_be(repository, interrupt)?;
    let mut preview = IndexPreview {
        index_files: (ledger.parts.len() + unreadable.len()) as u64,
        packs: ledger.packs.iter().filter(|pack| pack.there_bytes.is_some()).count() as u64
            + ledger.unnamed.len() as u64,
        ..IndexPreview::default()
    };
    let mut fates = vec![Fate::Keep; ledger.packs.len()];
    let mut to_read: Vec<ToRead> = ledger.unnamed.iter().map(|(id, bytes)| ToRead(*id, *bytes, None)).collect();
    for (place, pack) in ledger.packs.iter().enumerate() {
        match pack.there_bytes {
            None => {
                fates[place] = Fate::Drop;
                preview.packs_missing.push(pack.id);
            }
            Some(bytes) if read == PacksRead::All || pack.named_bytes != Some(bytes) => {
                to_read.push(ToRead(pack.id, bytes, Some(place)));
            }
            Some(_) => {}
        }
    }
    let found = found_in_headers(repository, &ledger, &to_read, (&mut fates, &mut preview), progress, interrupt)?;
    let replaced: Vec<usize> = (0..ledger.parts.len()).filter(|part| !is_true(&ledger, *part, &fates)).collect();
    count_blobs(&ledger, &fates, &found, &mut preview, interrupt)?;
    preview.index_files_replaced = (replaced.len() + unreadable.len()) as u64;
    let named = |(id, error): &(Id, EngineError)| Unreadable { id: *id, problem: chain(error) };
    preview.index_files_unreadable = unreadable.iter().map(named).collect();
    preview.packs_missing.sort_unstable();
    preview.packs_unreadable.sort_unstable_by_key(|pack| pack.id);
    let unreadable = unreadable.into_iter().map(|(id, _)| id).collect();
    let (now, lock) = (guard.storage_now(), guard.number());
    Ok(IndexPlan { preview, ledger, fates, found, replaced, unreadable, now, lock })
}

/// Does what the plan says, and returns what was done. It may be repeated, after a failure too.
///
/// # Errors
/// [`EngineError::LockLost`] when the lock is not the exclusive one that the plan was made under, or is gone;
/// [`EngineError`] as soon as anything goes wrong: no index file is removed after that.
pub fn apply(
    repository: &Repository,
    mut plan: IndexPlan,
    guard: &LockGuard,
    interrupt: &Interrupt,
) -> Result<IndexPreview, EngineError> {
    held_alone(repository, guard, plan.lock)?;
    plan.now = guard.storage_now_at_most();
    let index = IndexWriter::new(repository, guard, interrupt);
    name_old(&plan, &index)?;
    name_found(&plan, &index)?;
    index.flush()?;
    let replaced = plan.replaced.iter().map(|part| plan.ledger.parts[*part].id);
    let gone: Vec<Id> = replaced.chain(plan.unreadable.iter().copied()).collect();
    remove(repository, FileKind::Index, &gone, guard, interrupt)?;
    Ok(plan.preview)
}

/// Names what replaced index files name and what is not known better.
fn name_old(plan: &IndexPlan, index: &IndexWriter<'_>) -> Result<(), EngineError> {
    let ledger = &plan.ledger;
    let mut named = IdSet::default();
    for place in plan.replaced.iter().flat_map(|part| packs_of(ledger, *part)) {
        let pack = &ledger.packs[place];
        let blobs = match plan.fates[place] {
            Fate::Keep => blobs_within(ledger, place, u64::MAX),
            Fate::Mark => blobs_within(ledger, place, pack.there_bytes.unwrap_or(0)),
            Fate::Correct | Fate::Drop => continue,
        };
        if !named.insert(pack.id) || blobs.is_empty() {
            continue;
        }
        let bytes = pack.there_bytes.unwrap_or(0);
        match plan.fates[place] {
            Fate::Keep if pack.is_known => index.push(pack.id, &blobs)?,
            _ => index.push_pending(pack.id, &blobs, bytes, pack.marked_at.unwrap_or(plan.now))?,
        }
    }
    Ok(())
}

/// Names what headers say. A pack that was about to go still is.
fn name_found(plan: &IndexPlan, index: &IndexWriter<'_>) -> Result<(), EngineError> {
    let correct = (0..plan.ledger.packs.len()).filter(|place| plan.fates[*place] == Fate::Correct);
    let marked: crate::format::id::IdMap<Option<Timestamp>> = correct
        .map(|place| &plan.ledger.packs[place])
        .filter(|pack| !pack.is_known)
        .map(|pack| (pack.id, pack.marked_at))
        .collect();
    for (place, pack) in plan.found.packs.iter().enumerate() {
        let blobs = blobs_within(&plan.found, place, u64::MAX);
        match marked.get(&pack.id) {
            Some(at) => {
                let bytes = pack.there_bytes.unwrap_or(0);
                index.push_pending(pack.id, &blobs, bytes, at.unwrap_or(plan.now))?;
            }
            None => index.push(pack.id, &blobs)?,
        }
    }
    Ok(())
}

/// A pack whose header is read: its id, its bytes, and its place in the ledger.
struct ToRead(Id, u64, Option<usize>);

/// What headers say.
struct Found<'a> {
    ledger: &'a Ledger,
    fates: &'a mut [Fate],
    preview: &'a mut IndexPreview,
    /// What is to be named by them.
    index: Index,
    there: Vec<(Id, u64)>,
}

impl Found<'_> {
    /// Takes in what the header of a pack says, or why it cannot be read.
    fn take(&mut self, pack: &ToRead, header: Result<Vec<PackedBlob>, EngineError>) -> Result<(), EngineError> {
        let ToRead(id, bytes, place) = *pack;
        self.preview.packs_read += 1;
        match header {
            Ok(blobs) if place.is_some_and(|place| is_same(self.ledger, place, &blobs)) => {}
            Ok(blobs) => {
                match place {
                    Some(place) => {
                        self.fates[place] = Fate::Correct;
                        self.preview.packs_corrected += 1;
                    }
                    None => self.preview.packs_added += 1,
                }
                let mut file = IndexFile::default();
                file.push(id, &blobs);
                self.index.take(file);
                self.there.push((id, bytes));
            }
            Err(error) if error.is_harm() => {
                self.preview.packs_unreadable.push(Unreadable { id, problem: chain(&error) });
                if let Some(place) = place.filter(|place| !is_marked_within(self.ledger, *place)) {
                    self.fates[place] = Fate::Mark;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Reads headers, several at once, and returns what is to be named by them.
fn found_in_headers(
    repository: &Repository,
    ledger: &Ledger,
    to_read: &[ToRead],
    (fates, preview): (&mut [Fate], &mut IndexPreview),
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Ledger, EngineError> {
    let mut found = Found { ledger, fates, preview, index: Index::default(), there: Vec::new() };
    let work = |_: &mut (), pack: &ToRead| {
        interrupt.check()?;
        header_read(repository, &pack.0, pack.1, interrupt)
    };
    let mut packs = to_read.iter();
    let mut tell = |header| {
        progress.done(1, 0);
        packs.next().map_or(Ok(()), |pack| found.take(pack, header))
    };
    progress.set_totals(to_read.len() as u64, 0);
    in_order(READERS.min(to_read.len()), "reads packs", to_read.iter(), || (), work, &mut tell)?;
    let Found { mut index, there, .. } = found;
    index.sort();
    Ledger::new(index, Vec::new(), there, interrupt)
}

/// Returns what the header of a pack names. Only the end of the pack is fetched.
///
/// # Errors
/// [`EngineError::Format`], [`EngineError::Storage`], [`EngineError::Interrupted`].
pub(in crate::maintenance) fn header_read(
    repository: &Repository,
    id: &Id,
    bytes: u64,
    interrupt: &Interrupt,
) -> Result<Vec<PackedBlob>, EngineError> {
    let told = |source| repository.told(FileKind::Pack, id, source);
    // Nothing can be asked of a pack that is empty.
    if bytes < HEADER_BYTES {
        return Err(told(FormatError::shape("pack header", "the pack is too short")));
    }
    let fetch = |count: u64| repository.pack_read(id, bytes - count..bytes, ReadCache::Bypass, interrupt);
    let mut end = fetch(bytes.min(END_BYTES))?;
    let needed = header_bytes(bytes, &end).map_err(told)?;
    if needed > end.len() as u64 {
        end = fetch(needed)?;
    }
    read_header_at_end(repository.key(), bytes, &end).map_err(told)
}

fn chain(error: &EngineError) -> String {
    backstay_core::managers::job::chain(error)
}

/// Returns the blobs of a pack that lie within so many bytes.
pub(in crate::maintenance) fn blobs_within(ledger: &Ledger, place: usize, bytes: u64) -> Vec<PackedBlob> {
    let end = |blob: &PackedBlob| u64::from(blob.offset) + u64::from(blob.length);
    ledger.blobs(place).into_iter().map(|(_, blob)| blob).filter(|blob| end(blob) <= bytes).collect()
}

/// Returns the places of the packs that an index file names.
pub(super) fn packs_of(ledger: &Ledger, part: usize) -> impl Iterator<Item = usize> {
    let IndexPart { known, pending, .. } = &ledger.parts[part];
    let numbers = known.clone().map(PackNumber::Known).chain(pending.clone().map(PackNumber::Pending));
    numbers.map(|number| ledger.pack_of(number))
}

/// Says whether the index names of a pack what its header does.
fn is_same(ledger: &Ledger, place: usize, header: &[PackedBlob]) -> bool {
    blobs_within(ledger, place, u64::MAX) == header
}

/// Says whether a pack is named already as one whose header cannot be read.
fn is_marked_within(ledger: &Ledger, place: usize) -> bool {
    let Pack { is_known, there_bytes, .. } = ledger.packs[place];
    !is_known && blobs_within(ledger, place, there_bytes.unwrap_or(0)).len() == ledger.blobs(place).len()
}

/// Says whether an index file is true.
fn is_true(ledger: &Ledger, part: usize, fates: &[Fate]) -> bool {
    packs_of(ledger, part).all(|place| fates[place] == Fate::Keep)
}

/// Counts blobs that come and that go.
fn count_blobs(
    ledger: &Ledger,
    fates: &[Fate],
    found: &Ledger,
    preview: &mut IndexPreview,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    let stays = |copy: &BlobCopy| {
        let pack = ledger.pack_of(copy.pack);
        match fates[pack] {
            Fate::Keep => true,
            Fate::Mark => {
                let end = u64::from(copy.blob.offset) + u64::from(copy.blob.length);
                end <= ledger.packs[pack].there_bytes.unwrap_or(0)
            }
            Fate::Correct | Fate::Drop => false,
        }
    };
    // Both are in the same order: one pass over each.
    let mut old = ledger.index.copies_of_each().peekable();
    let mut new = found.index.copies_of_each().peekable();
    loop {
        interrupt.check()?;
        let order = |copies: &Vec<BlobCopy>| copies[0].blob.order();
        let (before, after) = (old.peek().map(order), new.peek().map(order));
        let Some(next) = before.into_iter().chain(after).min() else { return Ok(()) };
        let was = old.next_if(|copies| order(copies) == next);
        let is = new.next_if(|copies| order(copies) == next);
        match (was, is) {
            (Some(was), None) => preview.blobs_lost += u64::from(!was.iter().any(stays)),
            (None, Some(_)) => preview.blobs_added += 1,
            _ => {}
        }
    }
}
