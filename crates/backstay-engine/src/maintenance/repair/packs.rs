//! Repair of packs: what is intact in damaged packs goes into new ones, and the damaged ones go.
//!
//! The bytes of each damaged pack are saved to a file of this machine before anything is written: whoever knows better
//! tools than this one loses nothing. Where blobs lie is known from the index, and from the pack's header as far as it can
//! be read; so this comes before the index forgets, or with what it kept of an unreadable pack.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use backstay_storage::ReadCache;
use jiff::Timestamp;

use super::index::{blobs_within, header_read, packs_of};
use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::id::{Id, IdSet};
use crate::format::object::FileKind;
use crate::format::pack::{BlobKind, PackedBlob};
use crate::interrupt::Interrupt;
use crate::lock::LockGuard;
use crate::maintenance::ledger::{Ledger, Pack};
use crate::maintenance::repack::{IndexWriter, Opener, PACKS_UNNAMED_MAX, Repacker, held_alone, remove, runs};
use crate::progress::EngineProgress;
use crate::repository::{BlobReader, Repository};

/// Bytes that are fetched at once where a pack is saved.
const PIECE_BYTES: u64 = 8 << 20;

/// Files of one pack's bytes that may lie beside each other: each holds something else than the others.
const FILES_MAX: u32 = 100;

/// A blob that cannot be had any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostBlob {
    /// What it holds.
    pub kind: BlobKind,
    /// Its id.
    pub id: Id,
}

/// What would become of a damaged pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedPack {
    /// Its id.
    pub id: Id,
    /// Its bytes in the storage; none when it is not there.
    pub bytes: Option<u64>,
    /// Blobs that are saved.
    pub blobs_saved: u64,
    /// Blobs that another pack has too.
    pub blobs_elsewhere: u64,
    /// Blobs that cannot be had.
    pub lost: Vec<LostBlob>,
}

/// What a repair of packs would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PacksPreview {
    /// The packs.
    pub packs: Vec<DamagedPack>,
    /// Sealed bytes that are saved.
    pub bytes_saved: u64,
    /// Index files that are replaced.
    pub index_files_replaced: u64,
}

/// What a repair of packs would do. It is worth something only as long as the lock that it was made under.
#[derive(Debug)]
pub struct PacksPlan {
    /// What it comes to.
    pub preview: PacksPreview,
    ledger: Ledger,
    /// What is saved of each pack, in the order of its preview.
    saved: Vec<Vec<PackedBlob>>,
    replaced: Vec<usize>,
    now: Timestamp,
    lock: u64,
}

/// Decides what can be saved of these packs. `guard` is a lock of any mode for a preview, and an exclusive one when the
/// plan is to be applied. `progress` counts packs as files.
///
/// # Errors
/// [`EngineError::Format`] when an index file is damaged, or neither the storage nor the index knows a pack;
/// [`EngineError::Storage`], [`EngineError::Interrupted`].
pub fn plan(
    repository: &Repository,
    packs: &[Id],
    guard: &LockGuard,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<PacksPlan, EngineError> {
    let ledger = Ledger::read(repository, interrupt)?;
    let wanted: IdSet = packs.iter().copied().collect();
    // A pack that is about to go is no other place: plain restic does not look there.
    let stays = |pack: &&Pack| pack.is_known && !wanted.contains(&pack.id);
    let kept: IdSet = ledger.packs.iter().filter(stays).map(|pack| pack.id).collect();
    let mut taken = IdSet::default();
    let (mut preview, mut all_saved) = (PacksPreview::default(), Vec::new());
    let mut others = BlobReader::new(repository, &ledger.index, ReadCache::Use, interrupt);
    // What one of them saves, another need not.
    let mut saved_before: HashSet<(BlobKind, Id)> = HashSet::new();
    progress.set_totals(wanted.len() as u64, 0);
    for id in packs.iter().filter(|id| taken.insert(**id)) {
        interrupt.check()?;
        let place = ledger.packs.iter().position(|pack| pack.id == *id);
        let unnamed = ledger.unnamed.iter().find(|(other, _)| other == id).map(|(_, bytes)| *bytes);
        let bytes = place.map_or(unnamed, |place| ledger.packs[place].there_bytes);
        if place.is_none() && bytes.is_none() {
            let source = FormatError::shape("pack", "neither the storage nor the index has it");
            return Err(repository.told(FileKind::Pack, id, source));
        }
        let blobs = blobs_of(repository, &ledger, place, id, bytes, interrupt)?;
        let good = good_blobs(repository, id, &blobs, bytes.unwrap_or(0), interrupt)?;
        let mut pack = DamagedPack { id: *id, bytes, blobs_saved: 0, blobs_elsewhere: 0, lost: Vec::new() };
        let mut saved = Vec::new();
        for (blob, is_good) in blobs.into_iter().zip(good) {
            let known = saved_before.contains(&(blob.kind, blob.id));
            if known || is_elsewhere(&mut others, &kept, &blob)? {
                pack.blobs_elsewhere += 1;
            } else if is_good {
                preview.bytes_saved += u64::from(blob.length);
                pack.blobs_saved += 1;
                saved_before.insert((blob.kind, blob.id));
                saved.push(blob);
            } else {
                pack.lost.push(LostBlob { kind: blob.kind, id: blob.id });
            }
        }
        preview.packs.push(pack);
        progress.done(1, 0);
        all_saved.push(saved);
    }
    // A blob that a later pack saves is not lost to an earlier one.
    for pack in &mut preview.packs {
        let before = pack.lost.len();
        pack.lost.retain(|blob| !saved_before.contains(&(blob.kind, blob.id)));
        pack.blobs_elsewhere += (before - pack.lost.len()) as u64;
    }
    let names = |part: &usize| packs_of(&ledger, *part).any(|place| wanted.contains(&ledger.packs[place].id));
    let replaced: Vec<usize> = (0..ledger.parts.len()).filter(names).collect();
    preview.index_files_replaced = replaced.len() as u64;
    let (now, lock) = (guard.storage_now_at_most(), guard.number());
    Ok(PacksPlan { preview, ledger, saved: all_saved, replaced, now, lock })
}

/// Does what the plan says, and returns the files that the packs were saved to, in a folder that is there. It may be
/// repeated, after a failure too.
///
/// # Errors
/// [`EngineError::LockLost`] when the lock is not the exclusive one that the plan was made under, or is gone;
/// [`EngineError::Write`] when a pack cannot be saved; [`EngineError`] as soon as anything goes wrong: nothing is removed
/// after that.
pub fn apply(
    repository: &Repository,
    plan: &PacksPlan,
    folder: &Path,
    guard: &LockGuard,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Vec<PathBuf>, EngineError> {
    held_alone(repository, guard, plan.lock)?;
    let mut files = Vec::new();
    let bytes: u64 = plan.preview.packs.iter().filter_map(|pack| pack.bytes).sum();
    progress.set_totals(plan.preview.packs.len() as u64, bytes + plan.preview.bytes_saved);
    for pack in &plan.preview.packs {
        if let Some(bytes) = pack.bytes {
            files.push(save(repository, &pack.id, bytes, folder, interrupt)?);
            progress.done(0, bytes);
        }
    }
    let index = IndexWriter::new(repository, guard, interrupt).each(PACKS_UNNAMED_MAX);
    let mut repacker = Repacker::new(repository, &index);
    let copied = copy_saved(repository, plan, &mut repacker, progress, interrupt);
    repacker.end(copied)?;
    progress.publishing.store(true, Ordering::Relaxed);
    let index = index.whole();
    name_others(plan, &index)?;
    index.flush()?;
    let gone: Vec<Id> = plan.replaced.iter().map(|part| plan.ledger.parts[*part].id).collect();
    remove(repository, FileKind::Index, &gone, guard, interrupt)?;
    let packs: Vec<Id> = plan.preview.packs.iter().filter(|pack| pack.bytes.is_some()).map(|pack| pack.id).collect();
    remove(repository, FileKind::Pack, &packs, guard, interrupt)?;
    Ok(files)
}

/// Copies what is saved into new packs.
fn copy_saved(
    repository: &Repository,
    plan: &PacksPlan,
    repacker: &mut Repacker<'_>,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    let mut opener = Opener::new(repository);
    for (pack, saved) in plan.preview.packs.iter().zip(&plan.saved) {
        for run in runs(saved) {
            opener.each_of_run(&pack.id, run, interrupt, |blob, stored| {
                progress.done(0, u64::from(blob.length));
                repacker.add(blob.kind, blob.id, stored?, blob.plain_length)
            })?;
        }
        progress.done(1, 0);
    }
    Ok(())
}

/// Names in new index files what the replaced ones name, without the damaged packs.
fn name_others(plan: &PacksPlan, index: &IndexWriter<'_>) -> Result<(), EngineError> {
    let ledger = &plan.ledger;
    let mut named: IdSet = plan.preview.packs.iter().map(|pack| pack.id).collect();
    for place in plan.replaced.iter().flat_map(|part| packs_of(ledger, *part)) {
        let pack = &ledger.packs[place];
        if !named.insert(pack.id) {
            continue;
        }
        let blobs = blobs_within(ledger, place, u64::MAX);
        if pack.is_known {
            index.push(pack.id, &blobs)?;
        } else {
            let bytes = pack.there_bytes.unwrap_or(0);
            index.push_pending(pack.id, &blobs, bytes, pack.marked_at.unwrap_or(plan.now))?;
        }
    }
    Ok(())
}

/// Returns all blobs that the index or the pack's own header names in it, in the order of their places.
fn blobs_of(
    repository: &Repository,
    ledger: &Ledger,
    place: Option<usize>,
    id: &Id,
    bytes: Option<u64>,
    interrupt: &Interrupt,
) -> Result<Vec<PackedBlob>, EngineError> {
    let mut blobs = place.map_or(Vec::new(), |place| blobs_within(ledger, place, u64::MAX));
    if let Some(bytes) = bytes {
        match header_read(repository, id, bytes, interrupt) {
            Ok(header) => {
                let known: HashSet<PackedBlob> = blobs.iter().copied().collect();
                blobs.extend(header.into_iter().filter(|blob| !known.contains(blob)));
            }
            Err(error) if error.is_harm() => {}
            Err(error) => return Err(error),
        }
    }
    blobs.sort_by_key(|blob| blob.offset);
    Ok(blobs)
}

/// Says of each blob of a pack whether it can be had.
fn good_blobs(
    repository: &Repository,
    pack: &Id,
    blobs: &[PackedBlob],
    pack_bytes: u64,
    interrupt: &Interrupt,
) -> Result<Vec<bool>, EngineError> {
    let is_within = |blob: &PackedBlob| u64::from(blob.offset) + u64::from(blob.length) <= pack_bytes;
    let within: Vec<PackedBlob> = blobs.iter().copied().filter(is_within).collect();
    let mut opener = Opener::new(repository);
    let mut good = Vec::with_capacity(within.len());
    let mut is_good = |run: &[PackedBlob], good: &mut Vec<bool>| {
        opener.each_of_run(pack, run, interrupt, |_, stored| match stored {
            Err(error) if !error.is_harm() => Err(error),
            stored => {
                good.push(stored.is_ok());
                Ok(())
            }
        })
    };
    for run in runs(&within) {
        let before = good.len();
        match is_good(run, &mut good) {
            Err(error) if error.is_harm() => {
                // The storage does not give all of it: perhaps it gives parts.
                good.truncate(before);
                for blob in run {
                    let before = good.len();
                    match is_good(std::slice::from_ref(blob), &mut good) {
                        Err(error) if error.is_harm() => {
                            good.truncate(before);
                            good.push(false);
                        }
                        answer => answer?,
                    }
                }
            }
            answer => answer?,
        }
    }
    let mut good = good.into_iter();
    Ok(blobs.iter().map(|blob| is_within(blob) && good.next().unwrap_or(false)).collect())
}

/// Says whether a pack that is not among the damaged ones has a blob, and it can be had there.
fn is_elsewhere(others: &mut BlobReader<'_>, kept: &IdSet, blob: &PackedBlob) -> Result<bool, EngineError> {
    let index = others.index();
    for place in index.places(blob.kind, &blob.id) {
        if !kept.contains(&place.pack) {
            continue;
        }
        match others.read_at(blob.kind, &place, &blob.id) {
            Ok(_) => return Ok(true),
            Err(error) if error.is_harm() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Saves the bytes of a pack to a file, durably, and returns it. A file that holds the same is left; one that holds
/// something else too, and the next name is taken.
fn save(
    repository: &Repository,
    id: &Id,
    bytes: u64,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<PathBuf, EngineError> {
    let partial = folder.join(format!("pack-{id}.partial"));
    let failed = |path: &Path, source| EngineError::Write { path: path.display().to_string(), source };
    let mut file = File::create(&partial).map_err(|source| failed(&partial, source))?;
    let mut begin = 0;
    while begin < bytes {
        interrupt.check()?;
        let end = bytes.min(begin + PIECE_BYTES);
        let piece = repository.pack_read(id, begin..end, ReadCache::Bypass, interrupt)?;
        file.write_all(&piece).map_err(|source| failed(&partial, source))?;
        begin = end;
    }
    file.sync_all().map_err(|source| failed(&partial, source))?;
    for number in 0..FILES_MAX {
        let suffix = if number == 0 { String::new() } else { format!(".{number}") };
        let path = folder.join(format!("pack-{id}{suffix}"));
        // The name is taken first, so that nobody's file is replaced.
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_) => {
                std::fs::rename(&partial, &path).map_err(|source| failed(&path, source))?;
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| failed(folder, source))?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed(&path, source)),
        }
        if is_same(&partial, &path).map_err(|source| failed(&path, source))? {
            std::fs::remove_file(&partial).map_err(|source| failed(&partial, source))?;
            return Ok(path);
        }
    }
    let source = io::Error::other(format!("there are {FILES_MAX} files of this pack already"));
    Err(failed(&partial, source))
}

/// Says whether two files hold the same.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    use std::io::{BufRead, BufReader};
    let (mut one, mut other) = (BufReader::new(File::open(one)?), BufReader::new(File::open(other)?));
    loop {
        let (a, b) = (one.fill_buf()?, other.fill_buf()?);
        let count = a.len().min(b.len());
        if count == 0 {
            return Ok(a.is_empty() && b.is_empty());
        }
        if a[..count] != b[..count] {
            return Ok(false);
        }
        one.consume(count);
        other.consume(count);
    }
}
