//! Owners, modes and times of what was restored, and the links, which come last.
//!
//! Owners are set by root alone, as restic does. Bits that lend rights (setuid, setgid) are left out.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use backstay_core::domain::unread::Unread;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};

use super::plan::{Plan, split};
use super::{open_beneath, shown};
use crate::format::node::Metadata;
use crate::format::time::FileTime;

/// Bits of a mode that are restored.
const MODE_BITS: u32 = 0o1777;

/// Sets a file's metadata.
pub(super) fn file(open: &File, metadata: &Metadata) -> rustix::io::Result<()> {
    set(open, metadata)
}

fn set(open: impl AsFd, metadata: &Metadata) -> rustix::io::Result<()> {
    if rustix::process::geteuid().is_root() {
        rustix::fs::fchown(&open, Some(Uid::from_raw(metadata.uid)), Some(Gid::from_raw(metadata.gid)))?;
    }
    rustix::fs::fchmod(&open, Mode::from_raw_mode(metadata.mode & MODE_BITS))?;
    rustix::fs::futimens(&open, &times(metadata.modified))
}

fn times(at: FileTime) -> Timestamps {
    let time = Timespec { tv_sec: at.seconds, tv_nsec: i64::from(at.nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}

/// Makes the links of a plan.
pub(super) fn links(plan: &mut Plan, target: &OwnedFd) {
    for (path, leads_to, metadata) in std::mem::take(&mut plan.links) {
        note(&mut plan.unread, &path, link(target, &path, &leads_to, &metadata));
    }
}

fn link(target: &OwnedFd, path: &[u8], leads_to: &[u8], metadata: &Metadata) -> rustix::io::Result<()> {
    let (above, name) = split(path);
    let above = open_beneath(target, above, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    rustix::fs::symlinkat(leads_to, &above, name)?;
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
        rustix::fs::chownat(&above, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    rustix::fs::utimensat(&above, name, &times(metadata.modified), AtFlags::SYMLINK_NOFOLLOW)
}

/// Sets the metadata of the folders of a plan, deepest first: a folder that may not be written is closed last.
pub(super) fn folders(plan: &mut Plan, target: &OwnedFd) {
    for (path, metadata) in plan.folders.iter().rev() {
        let opened = open_beneath(target, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
        note(&mut plan.unread, path, opened.and_then(|folder| set(&folder, metadata)));
    }
}

fn note(unread: &mut Unread, path: &[u8], done: rustix::io::Result<()>) {
    if let Err(error) = done {
        unread.push(shown(path), format!("could not be restored as it was: {error}"));
    }
}
