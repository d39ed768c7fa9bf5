//! What is in work lies beside its place under a name of its own, where what is at the place decides for the next run.
//!
//! *Never*, *if newer* and *rename* take whatever has the name for done. A run that was cut short must leave nothing there
//! that is not: files and special files are made under a name that only this snapshot's restore uses, and renamed when all
//! of them is right. *Overwrite* and *if changed* write in place (decision 0010) and need no such name.

use std::os::fd::OwnedFd;

use rustix::fs::RenameFlags;
use rustix::io::{Errno, Result};

use super::options::{Reconcile, RestoreOptions};
use super::plan::Action;
use super::target::{Target, split};
use crate::format::id::Id;
use crate::system::SystemCall;

/// What the names begin with.
const PREFIX: &str = ".backstay-part-";

/// Says whether a restore keeps what is in work apart.
pub(super) const fn is_staged(options: &RestoreOptions<'_>) -> bool {
    matches!(options.reconcile, Reconcile::Skip | Reconcile::OverwriteIfNewer | Reconcile::Rename)
}

/// Returns where an entry lies while it is in work: beside its place, under a name that another snapshot, or another
/// entry, does not lead to. The next run of the same restore finds what this one left.
pub(super) fn work_path(options: &RestoreOptions<'_>, path: &[u8]) -> Vec<u8> {
    let (above, _) = split(path);
    let made_of = [options.snapshot.as_bytes(), options.sub_path, path].join(&0);
    let own = format!("{PREFIX}{}", &Id::of(&made_of).to_hex()[..16]);
    if above.is_empty() { own.into_bytes() } else { [above, b"/", own.as_bytes()].concat() }
}

/// Puts what is finished in its place: in the place of what is there where the plan says so, else only where nothing is.
pub(super) fn settle(target: &Target, above: &OwnedFd, work: &[u8], name: &[u8], action: Action) -> Result<()> {
    target.system().before(SystemCall::Rename, name)?;
    if action == Action::Overwrite {
        return match rustix::fs::renameat(above, work, above, name) {
            // The plan saw that the folder is empty, and only such a one goes.
            Err(Errno::ISDIR) => {
                target.remove(above, name)?;
                rustix::fs::renameat(above, work, above, name)
            }
            done => done,
        };
    }
    match rustix::fs::renameat_with(above, work, above, name, RenameFlags::NOREPLACE) {
        // A file system that cannot look and rename at once.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match target.look(above, name)? {
            Some(_) => Err(Errno::EXIST),
            None => rustix::fs::renameat(above, work, above, name),
        },
        done => done,
    }
}
