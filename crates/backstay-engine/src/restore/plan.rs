//! What a restore will do, entry by entry: made once, shown by a dry run, consumed by the restore.
//!
//! An entry takes 72 bytes besides its name, a blob of a file 64. Entries of one folder lie side by side, and those of a
//! folder behind the folder's own. `decide` fills it.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use backstay_core::domain::unread::Unread;

use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::id::{Id, IdMap};
use crate::format::index::BlobPlace;
use crate::format::node::{ExtendedAttribute, NodeKind};
use crate::format::pack::{BlobKind, judge_length};
use crate::format::time::FileTime;
use crate::repository::BadCopy;

/// What happens to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing is there: it is made.
    Create,
    /// What is there is replaced or brought to what the snapshot has.
    Overwrite,
    /// It is there already, as far as its kind, size and modification tell; its metadata is set.
    Unchanged,
    /// What is there stays, and this is not restored.
    Skip,
    /// What is there stays, and this is restored under the name that is told.
    Rename,
    /// It cannot be restored, and [`RestorePlan::unread`] says why.
    Fail,
}

/// How many entries meet each fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlanCounts {
    /// Entries to make.
    pub create: u64,
    /// Entries to replace.
    pub overwrite: u64,
    /// Entries that are there already.
    pub unchanged: u64,
    /// Entries that are left as they are there.
    pub skip: u64,
    /// Entries that are made under another name.
    pub rename: u64,
    /// Entries that cannot be restored.
    pub fail: u64,
    /// Regular files to write.
    pub files: u64,
    /// Their bytes; what lies right in the target already is not subtracted.
    pub bytes: u64,
}

/// One entry of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedEntry {
    /// Where it goes, below the target, without a leading `/`.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: NodeKind,
    /// What happens to it.
    pub action: Action,
    /// Bytes of a regular file.
    pub size_bytes: u64,
}

/// What a restore will do. [`super::plan`] makes it and changes nothing; [`super::apply`] consumes it.
#[derive(Debug, Default)]
pub struct RestorePlan {
    pub(super) entries: Vec<Entry>,
    pub(super) extras: Vec<Extra>,
    pub(super) parts: Vec<Part>,
    pub(super) packs: Packs,
    /// Names of the same inode, in the order of the snapshot.
    pub(super) links: Vec<Vec<u32>>,
    pub(super) rights_left_out: u64,
    names: Vec<u8>,
    /// Copies of blobs that were found to be bad, where another was good.
    pub bad_copies: Vec<BadCopy>,
    /// What cannot be restored, as far as it is known already.
    pub unread: Unread,
}

/// Index of the target itself, as a parent.
pub(super) const ROOT: u32 = u32::MAX;

/// Index of no extra.
pub(super) const PLAIN: u32 = u32::MAX;

/// An entry to restore.
#[derive(Debug)]
pub(super) struct Entry {
    name_at: u64,
    pub(super) size: u64,
    pub(super) modified: FileTime,
    pub(super) accessed: FileTime,
    name_bytes: u16,
    /// Permission bits with setuid, setgid and sticky.
    pub(super) mode: u16,
    pub(super) parent: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) extra: u32,
    /// Parts of a file that are not written yet.
    pub(super) parts_left: AtomicU32,
    pub(super) kind: NodeKind,
    pub(super) action: Action,
    /// It or something in it was asked for.
    pub(super) wanted: bool,
    /// What a restore has done with it.
    pub(super) state: AtomicU8,
}

/// What few entries have.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) attributes: Box<[ExtendedAttribute]>,
    /// Where a link leads.
    pub(super) target: Box<[u8]>,
    pub(super) device: u64,
    /// The number of its set of hard links, plus one.
    pub(super) links: u32,
}

/// Bits of [`Entry::state`].
pub(super) mod state {
    /// The file was opened for writing: what was there before is gone.
    pub(in super::super) const TOUCHED: u8 = 1;
    /// It cannot be restored.
    pub(in super::super) const FAILED: u8 = 2;
    /// Parts of it were right already and are not in the plan any more.
    pub(in super::super) const KEPT: u8 = 4;
    /// It is another name of an entry that is restored.
    pub(in super::super) const LINKED: u8 = 8;
    /// Everything of it is in its place.
    pub(in super::super) const DONE: u8 = 16;
    /// It was there already.
    pub(in super::super) const MATCHED: u8 = 32;
}

/// A blob to write at a place of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) id: Id,
    /// Where it goes in the file.
    pub(super) at: u64,
    pub(super) entry: u32,
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
    /// Zero when it is not compressed.
    plain_length: u32,
}

/// The packs of a plan, numbered as they were met.
#[derive(Debug, Default)]
pub(super) struct Packs {
    ids: Vec<Id>,
    numbers: IdMap<u32>,
}

impl Packs {
    fn number(&mut self, id: Id) -> u32 {
        let next = u32::try_from(self.ids.len()).expect("an index names fewer than 2^31 packs");
        *self.numbers.entry(id).or_insert_with(|| {
            self.ids.push(id);
            next
        })
    }

    pub(super) fn id(&self, part: &Part) -> Id {
        self.ids[part.pack as usize]
    }
}

impl Part {
    pub(super) fn new(packs: &mut Packs, id: Id, place: &BlobPlace, entry: u32, at: u64) -> Self {
        let (offset, length) = (place.offset, place.length);
        Self {
            id,
            at,
            entry,
            pack: packs.number(place.pack),
            offset,
            length,
            plain_length: place.plain_length.unwrap_or(0),
        }
    }

    pub(super) fn place(&self, packs: &Packs) -> BlobPlace {
        let plain_length = (self.plain_length > 0).then_some(self.plain_length);
        BlobPlace { pack: packs.id(self), offset: self.offset, length: self.length, plain_length }
    }

    pub(super) fn plain_bytes(&self, packs: &Packs) -> u64 {
        self.place(packs).plain_bytes()
    }

    /// Returns where it ends in its pack.
    pub(super) fn end(&self) -> u32 {
        self.offset.saturating_add(self.length)
    }

    /// Judges what the index says about its length.
    pub(super) fn judge_length(&self) -> Result<(), FormatError> {
        judge_length(BlobKind::Data, self.length, (self.plain_length > 0).then_some(self.plain_length))
    }

    /// Returns its sealed bytes out of what was read of its pack from a place on.
    pub(super) fn slice_of<'b>(&self, body: &'b [u8], begin: u32) -> Result<&'b [u8], EngineError> {
        let place = self.offset.checked_sub(begin).map(|from| from as usize);
        let slice = place.and_then(|from| body.get(from..from.checked_add(self.length as usize)?));
        // An index may say what no pack can hold.
        let beyond = || FormatError::shape("index", "a blob lies beyond what a pack can hold");
        slice.ok_or_else(|| EngineError::Format { place: format!("blob {}", self.id), source: beyond() })
    }

    pub(super) fn is_same_blob(&self, other: &Self) -> bool {
        (self.pack, self.offset) == (other.pack, other.offset)
    }
}

impl Entry {
    pub(super) fn has(&self, bits: u8) -> bool {
        self.state.load(Ordering::Acquire) & bits != 0
    }

    /// Sets bits; true when none of them was set.
    pub(super) fn set(&self, bits: u8) -> bool {
        self.state.fetch_or(bits, Ordering::AcqRel) & bits == 0
    }

    pub(super) fn clear(&self, bits: u8) {
        self.state.fetch_and(!bits, Ordering::AcqRel);
    }

    /// Says whether it is to be there at the end as the snapshot has it.
    pub(super) fn is_restored(&self) -> bool {
        self.wanted && !matches!(self.action, Action::Skip | Action::Fail)
    }

    /// Says whether it is a file whose content may be written.
    pub(super) fn is_written(&self) -> bool {
        self.kind == NodeKind::File && self.is_restored() && self.action != Action::Unchanged
    }
}

impl RestorePlan {
    /// Adds an entry and returns its index.
    pub(super) fn push(&mut self, name: &[u8], entry: NewEntry) -> u32 {
        let index = u32::try_from(self.entries.len()).expect("the caller counts");
        let NewEntry { size, modified, accessed, mode, parent, uid, gid, kind, action, wanted } = entry;
        let (name_at, name_bytes) = self.name_push(name);
        let (extra, parts_left, state) = (PLAIN, AtomicU32::new(0), AtomicU8::new(0));
        self.entries.push(Entry {
            name_at,
            size,
            modified,
            accessed,
            name_bytes,
            mode,
            parent,
            uid,
            gid,
            extra,
            parts_left,
            kind,
            action,
            wanted,
            state,
        });
        index
    }

    fn name_push(&mut self, name: &[u8]) -> (u64, u16) {
        let at = self.names.len() as u64;
        self.names.extend_from_slice(name);
        (at, u16::try_from(name.len()).expect("names are judged when they are taken in"))
    }

    pub(super) fn rename(&mut self, index: u32, name: &[u8]) {
        let (at, bytes) = self.name_push(name);
        let entry = &mut self.entries[index as usize];
        (entry.name_at, entry.name_bytes) = (at, bytes);
    }

    pub(super) fn entry(&self, index: u32) -> &Entry {
        &self.entries[index as usize]
    }

    pub(super) fn extra_of(&self, entry: &Entry) -> Option<&Extra> {
        self.extras.get(entry.extra as usize)
    }

    pub(super) fn name(&self, entry: &Entry) -> &[u8] {
        &self.names[entry.name_at as usize..][..usize::from(entry.name_bytes)]
    }

    /// Returns where an entry goes, below the target.
    pub(super) fn path(&self, index: u32) -> Vec<u8> {
        let mut above = Vec::new();
        let mut at = index;
        while at != ROOT {
            above.push(at);
            at = self.entry(at).parent;
        }
        let mut path = Vec::with_capacity(above.len() * 16);
        for at in above.into_iter().rev() {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(self.name(self.entry(at)));
        }
        path
    }

    /// Names an entry as one that cannot be restored.
    pub(super) fn fail(&mut self, index: u32, words: String) {
        let shown = super::target::shown(&self.path(index));
        self.unread.push(shown, words);
    }

    /// Hands every entry that was asked for to `each`, folders before what is in them.
    pub fn each(&self, mut each: impl FnMut(PlannedEntry)) {
        for (index, entry) in (0..).zip(&self.entries).filter(|(_, entry)| entry.wanted) {
            let (kind, action, size_bytes) = (entry.kind, entry.action, entry.size);
            each(PlannedEntry { path: self.path(index), kind, action, size_bytes });
        }
    }

    /// Returns how many entries meet each fate.
    pub fn counts(&self) -> PlanCounts {
        let mut counts = PlanCounts::default();
        for entry in self.entries.iter().filter(|entry| entry.wanted) {
            *match entry.action {
                Action::Create => &mut counts.create,
                Action::Overwrite => &mut counts.overwrite,
                Action::Unchanged => &mut counts.unchanged,
                Action::Skip => &mut counts.skip,
                Action::Rename => &mut counts.rename,
                Action::Fail => &mut counts.fail,
            } += 1;
            if entry.is_written() {
                counts.files += 1;
                counts.bytes += entry.size;
            }
        }
        counts
    }
}

/// What an entry is made of.
#[derive(Debug)]
pub(super) struct NewEntry {
    pub(super) size: u64,
    pub(super) modified: FileTime,
    pub(super) accessed: FileTime,
    pub(super) mode: u16,
    pub(super) parent: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) kind: NodeKind,
    pub(super) action: Action,
    pub(super) wanted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_and_a_part_take_what_is_promised() {
        assert_eq!((size_of::<Entry>(), size_of::<Part>()), (72, 64));
    }
}
