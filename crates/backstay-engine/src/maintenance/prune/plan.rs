//! What becomes of each pack: decided here, nothing is changed.

use std::time::{Duration, Instant};

use backstay_storage::ReadCache;
use jiff::{SignedDuration, Timestamp};

use super::PruneOptions;
use crate::browse::tree_entries;
use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::id::Id;
use crate::format::node::NodeKind;
use crate::format::object::FileKind;
use crate::format::pack::{BlobKind, PackedBlob};
use crate::interrupt::Interrupt;
use crate::lock::{LockGuard, LockMode};
use crate::maintenance::bits::Bits;
use crate::maintenance::ledger::{Ledger, Pack, PackCopy};
use crate::maintenance::repack::{Opener, runs_with_gaps};
use crate::maintenance::repair::index::{blobs_within, header_read};
use crate::maintenance::tree_queue::TreeQueue;
use crate::repository::{BlobReader, Repository};

/// A mark may lie so far ahead of the storage's clock: no clock that is right is further from it.
const MARK_AHEAD_MAX: SignedDuration = SignedDuration::from_hours(24);

/// Index files with fewer blobs are written anew together with others, or they would grow in number for ever.
const INDEX_SMALL_BLOBS: usize = 10_000;

/// What becomes of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays.
    Keep,
    /// What is needed of it is copied, and it is marked.
    Rewrite,
    /// Nothing of it is needed: it is marked.
    Mark,
    /// It was marked, and the grace is not over.
    Wait,
    /// It was marked, and is needed again.
    Recover,
    /// It was marked, and the grace is over: it goes.
    Remove,
    /// It is not in the storage, and nothing of it is needed: index files need not name it.
    Forget,
}

/// What a prune would do, for a person and for programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunePreview {
    /// Snapshots that were looked at.
    pub snapshots: u64,
    /// Packs that stay as they are.
    pub packs_kept: u64,
    /// Packs of which the needed part is copied.
    pub packs_rewritten: u64,
    /// Packs that are marked, without those that are rewritten.
    pub packs_marked: u64,
    /// Packs that no index file names, and that are marked too: litter of backups that were cut short.
    pub packs_unnamed: u64,
    /// Packs that were marked before and wait for the end of the grace.
    pub packs_waiting: u64,
    /// Packs that were marked before and are needed again.
    pub packs_recovered: u64,
    /// Packs that are removed now.
    pub packs_removed: u64,
    /// Sealed bytes of needed blobs, each once.
    pub bytes_used: u64,
    /// Sealed bytes of other blobs in packs that are not about to go.
    pub bytes_unused: u64,
    /// Those of them that stay.
    pub bytes_unused_after: u64,
    /// Bytes that are copied.
    pub bytes_rewritten: u64,
    /// Bytes of the storage that are free at the end.
    pub bytes_freed: u64,
    /// Bytes of packs that are marked now: free when a prune comes after the grace.
    pub bytes_freed_later: u64,
    /// Bytes of all packs that are there at the end: kept, about to go, and those written anew, without their headers.
    pub bytes_left: u64,
    /// Index files that are replaced.
    pub index_files_replaced: u64,
}

/// What a prune would do. It is worth something only as long as the lock that it was made under.
#[derive(Debug)]
pub struct PrunePlan {
    /// What it comes to.
    pub preview: PrunePreview,
    /// Bytes of trees that were fetched to make it.
    pub bytes_fetched: u64,
    /// How long that took, with reading them: how fast the storage is.
    pub fetching_took: Duration,
    pub(super) ledger: Ledger,
    pub(super) fates: Vec<Fate>,
    /// The copy of each needed blob that is to serve it.
    pub(super) chosen: Bits,
    /// Index files that are replaced, by their place in the ledger.
    pub(super) replaced: Vec<usize>,
    /// The moment of marks that are made.
    pub(super) now: Timestamp,
    pub(super) lock: u64,
}

/// Decides what becomes of each pack. `guard` is a lock of any mode for a preview, and an exclusive one when the plan is
/// to be applied.
///
/// # Errors
/// [`EngineError`] when a snapshot, a tree or an index file cannot be read, a list is not complete, a needed pack is not
/// there whole, or no copy of a needed blob that would be dropped can be read: nothing is ever removed from a repository
/// that is not known completely.
pub fn plan(
    repository: &Repository,
    options: &PruneOptions,
    guard: &LockGuard,
    interrupt: &Interrupt,
) -> Result<PrunePlan, EngineError> {
    // A mark is as old as it was when snapshots were listed: what was published since is not among them.
    let now = guard.storage_now();
    let snapshots = repository.file_list(FileKind::Snapshot, interrupt)?;
    let mut ledger = Ledger::read(repository, interrupt)?;
    let began = Instant::now();
    let (used, bytes_fetched) = used_blobs(repository, &ledger, &snapshots, interrupt)?;
    let fetching_took = began.elapsed();
    let mut copies = Copies::new(&ledger);
    let (chosen, fates) = loop {
        let chosen = choose(&mut ledger, &used, &mut copies, interrupt)?;
        let (mut fates, candidates) = decide(repository, &ledger, options, now, interrupt)?;
        choose_rewrites(&ledger, options, candidates, &mut fates);
        // Who only looks drops nothing, and need not read what would be copied.
        let only_looks = guard.mode() != LockMode::Exclusive;
        if only_looks || copies.prove(repository, &ledger, (&used, &chosen), &fates, interrupt)? {
            break (chosen, fates);
        }
    };
    let replaced = replaced(&ledger, &fates);
    let mut preview = sum(&ledger, &fates);
    preview.snapshots = snapshots.len() as u64;
    preview.index_files_replaced = replaced.len() as u64;
    Ok(PrunePlan { preview, bytes_fetched, fetching_took, ledger, fates, chosen, replaced, now, lock: guard.number() })
}

/// Returns a bit for each blob that a snapshot needs, at the first of its copies; and the bytes that were fetched.
fn used_blobs(
    repository: &Repository,
    ledger: &Ledger,
    snapshots: &[Id],
    interrupt: &Interrupt,
) -> Result<(Bits, u64), EngineError> {
    let index = &ledger.index;
    let mut used = Bits::new(index.blob_count());
    // Returns the place of what was not met before: of trees that wait, four bytes are held.
    let mut mark = |kind: BlobKind, id: &Id| match index.copies(kind, id).next() {
        Some(place) => Ok(used.set(place).then_some(place as u32)),
        None => Err(EngineError::NoBlob { id: *id, place: repository.place() }),
    };
    let mut trees = TreeQueue::default();
    repository.each_file(FileKind::Snapshot, snapshots, interrupt, |id, plain| {
        trees.extend(mark(BlobKind::Tree, &repository.snapshot_parse(id, plain)?.tree)?);
        Ok(())
    })?;
    let mut blobs = BlobReader::new(repository, index, ReadCache::Use, interrupt);
    while let Some(tree) = trees.next(&mut blobs)? {
        interrupt.check()?;
        tree_entries(repository, &mut blobs, &tree, |node| {
            // Whatever names blobs needs them, of whatever kind it says it is.
            for id in &node.content {
                mark(BlobKind::Data, id)?;
            }
            match node.subtree {
                Some(subtree) => trees.extend(mark(BlobKind::Tree, &subtree)?),
                None if node.kind == NodeKind::Dir => {
                    let source = FormatError::shape("tree", "a folder without a tree");
                    return Err(EngineError::Format { place: format!("tree {tree}"), source });
                }
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok((used, blobs.bytes_fetched))
}

/// Chooses one copy of each needed blob, and counts in each pack what it gives.
fn choose(ledger: &mut Ledger, used: &Bits, known: &mut Copies, interrupt: &Interrupt) -> Result<Bits, EngineError> {
    let mut chosen = Bits::new(ledger.index.blob_count());
    let mut sums = vec![Sum::default(); ledger.packs.len()];
    known.are_several = false;
    for (first, copies) in ledger.copies_of_each() {
        interrupt.check()?;
        match (used.has(first), &copies[..]) {
            (true, [copy]) => {
                chosen.set(copy.place);
                sums[copy.pack].used_bytes += copy.bytes;
            }
            (true, _) => known.are_several = true,
            (false, _) => copies.iter().for_each(|copy| sums[copy.pack].unused_bytes += copy.bytes),
        }
    }
    for copies in several(ledger, used, known.are_several) {
        interrupt.check()?;
        // From a pack that stays anyway, if there is one: what a prune that was cut short has copied is not copied again.
        let best = copies.iter().copied().max_by_key(|copy| {
            let (pack, sum) = (&ledger.packs[copy.pack], &sums[copy.pack]);
            let is_whole = pack.there_bytes == pack.named_bytes;
            let is_needed_whole = sum.unused_bytes == 0;
            (!known.bad.has(copy.place), is_whole, pack.is_known, is_needed_whole, sum.used_bytes)
        });
        for copy in copies {
            if Some(copy) == best {
                chosen.set(copy.place);
                sums[copy.pack].used_bytes += copy.bytes;
            } else {
                sums[copy.pack].unused_bytes += copy.bytes;
            }
        }
    }
    for (pack, sum) in ledger.packs.iter_mut().zip(sums) {
        (pack.used_bytes, pack.unused_bytes) = (sum.used_bytes, sum.unused_bytes);
    }
    Ok(chosen)
}

/// What a pack gives: sealed bytes of needed blobs, and of others.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    used_bytes: u64,
    unused_bytes: u64,
}

/// Returns the copies of each needed blob of which there are several, if there are any: nothing is held of them, whatever
/// they are.
fn several(ledger: &Ledger, used: &Bits, are_several: bool) -> impl Iterator<Item = Vec<PackCopy>> {
    let each = are_several.then(|| ledger.copies_of_each()).into_iter().flatten();
    each.filter(|(first, copies)| copies.len() > 1 && used.has(*first)).map(|(_, copies)| copies)
}

/// What is known of needed blobs of which there are several copies.
struct Copies {
    are_several: bool,
    /// Copies that were read, by their places.
    good: Bits,
    bad: Bits,
}

impl Copies {
    fn new(ledger: &Ledger) -> Self {
        let count = ledger.index.blob_count();
        Self { are_several: false, good: Bits::new(count), bad: Bits::new(count) }
    }

    /// Reads each copy that is to serve where another is dropped, or that is to be copied, once: the one that is dropped
    /// might be the only good one. What lies together in a pack is fetched together. False when some are bad, and must be
    /// chosen anew.
    fn prove(
        &mut self,
        repository: &Repository,
        ledger: &Ledger,
        (used, chosen): (&Bits, &Bits),
        fates: &[Fate],
        interrupt: &Interrupt,
    ) -> Result<bool, EngineError> {
        let (mut wanted, mut packs) = (Bits::new(ledger.index.blob_count()), Bits::new(ledger.packs.len()));
        for copies in several(ledger, used, self.are_several) {
            interrupt.check()?;
            let dropped = |pack: usize| matches!(fates[pack], Fate::Rewrite | Fate::Mark | Fate::Remove);
            let Some(own) = copies.iter().find(|copy| chosen.has(copy.place)) else { continue };
            let is_dropped = |copy: &PackCopy| copy.pack != own.pack && dropped(copy.pack);
            let lasts = fates[own.pack] != Fate::Rewrite && !copies.iter().any(is_dropped);
            if !lasts && !self.good.has(own.place) {
                wanted.set(own.place);
                packs.set(own.pack);
            }
        }
        let (mut opener, mut all_good) = (Opener::new(repository), true);
        for place in (0..ledger.packs.len()).filter(|place| packs.has(*place)) {
            let blobs = ledger.blobs(place).into_iter().filter(|(blob, _)| wanted.has(*blob));
            let (places, blobs): (Vec<usize>, Vec<PackedBlob>) = blobs.unzip();
            all_good &= self.prove_in(&ledger.packs[place].id, (&places, &blobs), &mut opener, interrupt)?;
        }
        Ok(all_good)
    }

    /// Reads these blobs of a pack, which are in order, and notes which are good. False when some are bad that were not
    /// known to be.
    fn prove_in(
        &mut self,
        pack: &Id,
        (places, blobs): (&[usize], &[PackedBlob]),
        opener: &mut Opener<'_>,
        interrupt: &Interrupt,
    ) -> Result<bool, EngineError> {
        let (mut all_good, mut begin) = (true, 0);
        for run in runs_with_gaps(blobs) {
            let places = &places[begin..begin + run.len()];
            let mut read = 0;
            begin += run.len();
            let fetched = opener.each_of_run(pack, run, interrupt, |_, stored| {
                let place = places[read];
                read += 1;
                match stored {
                    Ok(_) => _ = self.good.set(place),
                    // It was bad before, and was chosen all the same: there is no better one.
                    Err(error) if error.is_harm() && self.bad.set(place) => all_good = false,
                    Err(error) => return Err(error),
                }
                Ok(())
            });
            match fetched {
                // The pack is gone or short: nothing of the run can be had there.
                Err(error) if error.is_harm() && read == 0 => {
                    if places.iter().filter(|place| self.bad.set(**place)).count() == 0 {
                        return Err(error);
                    }
                    all_good = false;
                }
                answer => answer?,
            }
        }
        Ok(all_good)
    }
}

/// Decides on all packs but those that might be rewritten, which stay for now and are returned.
fn decide(
    repository: &Repository,
    ledger: &Ledger,
    options: &PruneOptions,
    now: Timestamp,
    interrupt: &Interrupt,
) -> Result<(Vec<Fate>, Vec<usize>), EngineError> {
    let grace = i128::try_from(options.grace.as_nanos()).unwrap_or(i128::MAX);
    let mut candidates = Vec::new();
    let mut fates = Vec::with_capacity(ledger.packs.len());
    for (place, pack) in ledger.packs.iter().enumerate() {
        let needed = pack.used_bytes > 0;
        if needed && pack.there_bytes != pack.named_bytes {
            let found = pack.there_bytes.map_or("is not in the storage".to_owned(), |bytes| {
                format!("has {bytes} bytes instead of {}", pack.named_bytes.unwrap_or(0))
            });
            let source = FormatError::shape("pack", format!("it {found}; nothing is pruned before that is mended"));
            return Err(repository.told(FileKind::Pack, &pack.id, source));
        }
        // A storage that counts whole seconds may seem to go back by one: no grace means none.
        let waited = |at: Timestamp| grace == 0 || now.as_nanosecond() - at.as_nanosecond() >= grace;
        let is_to_come = |at: Timestamp| at.duration_since(now) > MARK_AHEAD_MAX;
        fates.push(match (pack.is_known, needed, pack.there_bytes) {
            (true, true, _) => {
                if pack.unused_bytes > 0 {
                    candidates.push(place);
                }
                Fate::Keep
            }
            (false, true, bytes) => {
                // A repair marks what cannot be read: such a pack must not be believed again because it has its size.
                let header = header_read(repository, &pack.id, bytes.unwrap_or(0), interrupt)?;
                let named = blobs_within(ledger, place, u64::MAX);
                if !named.iter().all(|blob| header.contains(blob)) {
                    let problem =
                        "its header does not name what the index does; nothing is pruned before that is mended";
                    return Err(repository.told(FileKind::Pack, &pack.id, FormatError::shape("pack", problem)));
                }
                Fate::Recover
            }
            (_, false, None) => Fate::Forget,
            (true, false, _) => Fate::Mark,
            // A mark without a time is made anew, and so is one of a time to come: a clock was wrong, and would keep it.
            (false, false, _) if pack.marked_at.is_none_or(is_to_come) => Fate::Mark,
            (false, false, _) if pack.marked_at.is_some_and(waited) => Fate::Remove,
            (false, false, _) => Fate::Wait,
        });
    }
    Ok((fates, candidates))
}

/// Rewrites packs, those with the largest unused part first, until no more unused bytes stay than allowed.
fn choose_rewrites(ledger: &Ledger, options: &PruneOptions, mut candidates: Vec<usize>, fates: &mut [Fate]) {
    let used_bytes: u64 = ledger.packs.iter().map(|pack| pack.used_bytes).sum();
    let mut unused_bytes: u64 = candidates.iter().map(|place| ledger.packs[*place].unused_bytes).sum();
    let (allowed, mut left) = (options.unused.bytes(used_bytes), options.rewrite_bytes_max.unwrap_or(u64::MAX));
    // By unused against used bytes, multiplied out.
    candidates.sort_unstable_by(|a, b| {
        let (a, b) = (&ledger.packs[*a], &ledger.packs[*b]);
        let share = |one: &Pack, other: &Pack| u128::from(one.unused_bytes) * u128::from(other.used_bytes);
        share(b, a).cmp(&share(a, b)).then(a.id.cmp(&b.id))
    });
    for place in candidates {
        let pack = &ledger.packs[place];
        if unused_bytes <= allowed {
            return;
        }
        if pack.used_bytes <= left {
            left -= pack.used_bytes;
            unused_bytes -= pack.unused_bytes;
            fates[place] = Fate::Rewrite;
        }
    }
}

/// Returns the index files that are no longer true, and small ones with them.
fn replaced(ledger: &Ledger, fates: &[Fate]) -> Vec<usize> {
    use crate::format::index::PackNumber::{Known, Pending};
    let is_true = |place: &usize| {
        let part = &ledger.parts[*place];
        part.known.clone().all(|number| fates[ledger.pack_of(Known(number))] == Fate::Keep)
            && part.pending.clone().all(|number| fates[ledger.pack_of(Pending(number))] == Fate::Wait)
    };
    let all = 0..ledger.parts.len();
    if all.clone().all(|place| is_true(&place)) {
        return Vec::new();
    }
    all.filter(|place| !is_true(place) || ledger.parts[*place].blob_count < INDEX_SMALL_BLOBS).collect()
}

fn sum(ledger: &Ledger, fates: &[Fate]) -> PrunePreview {
    let mut sum = PrunePreview::default();
    for (pack, fate) in ledger.packs.iter().zip(fates) {
        sum.bytes_used += pack.used_bytes;
        let bytes = pack.there_bytes.unwrap_or(0);
        if !matches!(fate, Fate::Remove | Fate::Forget) {
            sum.bytes_left += bytes;
        }
        if pack.is_known {
            sum.bytes_unused += pack.unused_bytes;
        }
        match fate {
            Fate::Keep => {
                sum.packs_kept += 1;
                sum.bytes_unused_after += pack.unused_bytes;
            }
            Fate::Rewrite => {
                sum.packs_rewritten += 1;
                sum.bytes_rewritten += pack.used_bytes;
                sum.bytes_freed_later += bytes;
            }
            Fate::Mark => {
                sum.packs_marked += 1;
                sum.bytes_freed_later += bytes;
            }
            Fate::Wait => sum.packs_waiting += 1,
            Fate::Recover => {
                sum.packs_recovered += 1;
                sum.bytes_unused_after += pack.unused_bytes;
            }
            Fate::Remove => {
                sum.packs_removed += 1;
                sum.bytes_freed += bytes;
            }
            Fate::Forget => {}
        }
    }
    sum.packs_unnamed = ledger.unnamed.len() as u64;
    let unnamed = ledger.unnamed.iter().map(|(_, bytes)| bytes).sum::<u64>();
    sum.bytes_freed_later += unnamed;
    sum.bytes_left += unnamed + sum.bytes_rewritten;
    sum
}
