//! What a restore is told.

use std::path::Path;

use crate::pattern::Patterns;
use crate::system::System;

/// What to restore, where to, and how it meets what is there.
///
/// [`RestoreOptions::new`] restores a whole snapshot to a new or empty folder; the fields say what differs from that.
#[derive(Debug, Clone)]
pub struct RestoreOptions<'a> {
    /// The snapshot's id: all 64 digits.
    pub snapshot: &'a str,
    /// A folder of the snapshot whose content comes to lie in the target; empty for all of it.
    pub sub_path: &'a [u8],
    /// The folder that is restored to; made when it is not there.
    pub target: &'a Path,
    /// What is restored; all when there is no pattern. Paths begin at the sub-path.
    pub include: Patterns,
    /// What is left out, also of what `include` takes. Paths begin at the sub-path.
    pub exclude: Patterns,
    /// How it meets what is there.
    pub reconcile: Reconcile,
    /// A word that only this restore uses, as its job's id: a folder that an interrupted restore of the same word and
    /// snapshot was writing counts as empty and is finished. None to finish nothing.
    pub resume: Option<&'a str>,
    /// Devices, and bits that lend rights.
    pub special: Special,
    /// Who owns what is restored.
    pub owners: Owners,
    /// Runs of zeros take no room on the disk.
    pub sparse: bool,
    /// Every file is read back at the end and compared with the snapshot's hashes.
    pub verify: bool,
    /// Threads that write; at least one.
    pub workers: usize,
    /// The file system that is written.
    pub system: System,
}

impl<'a> RestoreOptions<'a> {
    /// Returns the options that restore a whole snapshot to a new or empty folder, with two workers.
    pub fn new(snapshot: &'a str, target: &'a Path) -> Self {
        Self {
            snapshot,
            sub_path: b"",
            target,
            include: Patterns::default(),
            exclude: Patterns::default(),
            reconcile: Reconcile::Fail,
            resume: None,
            special: Special::LeaveOut,
            owners: Owners::Number,
            sparse: false,
            verify: false,
            workers: 2,
            system: System::default(),
        }
    }
}

/// How a restore meets what is there. Folders are joined: a folder that is there stays, with its other entries, and gets
/// the metadata of the snapshot's, as restic does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconcile {
    /// A target that holds anything is an error, before a byte is written.
    Fail,
    /// What is there stays as it is.
    Skip,
    /// What is there is replaced. Of a file, blobs that are right already are neither fetched nor written.
    Overwrite,
    /// As [`Reconcile::Overwrite`], but a file of the same size and modification is taken to be right.
    OverwriteIfChanged,
    /// What is there is replaced when the snapshot's is newer, and stays otherwise.
    OverwriteIfNewer,
    /// What is there stays, and what is restored gets another name: `.restored` is put behind it, then `.restored-2`
    /// and so on, the name being cut to make room. A file of the same size and modification is taken to be right.
    Rename,
}

/// Whether what may lend rights is made: device nodes, setuid and setgid bits, capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// It is, as restic does.
    Make,
    /// Device nodes are named as not restored; bits and capabilities are left out and counted.
    LeaveOut,
}

/// Who owns what is restored. Who is not root and may not give a file away keeps it, as restic does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// The numbers of the snapshot.
    Number,
    /// Who has the snapshot's names on this machine, and its numbers where nobody has.
    Name,
    /// Who restores.
    Own,
}
