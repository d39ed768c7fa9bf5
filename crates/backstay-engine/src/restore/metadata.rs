//! Owners, attributes, modes and times of what was restored.
//!
//! Owner first, because a change of owner takes capabilities and setuid away; then attributes, of which an access list
//! has its say in the mode; then the mode; the modification last, which says that all is done.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::{Errno, Result};

use super::options::{Owners, Special};
use super::plan::{Entry, Extra};
use crate::format::node::{ExtendedAttribute, NodeKind};
use crate::format::time::FileTime;
use crate::system::{System, SystemCall};

/// Attributes that are the restored entry's own: one of these that the snapshot does not have is removed.
const OWN_ATTRIBUTES: [&[u8]; 3] = [b"user.", b"system.posix_acl_", b"security.capability"];

/// Bytes of the names of a file's attributes at the most, a limit of Linux.
const NAMES_BYTES_MAX: usize = 64 << 10;

/// Bytes of the names that are asked for first: most files have none, or a few.
const FEW_NAMES_BYTES: usize = 256;

/// What of the metadata is set.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    special: Special,
    owners: Owners,
    root: bool,
    system: System,
}

/// What could not be set, in words.
type Problems = Vec<String>;

impl Rules {
    pub(super) fn new(special: Special, owners: Owners, system: &System) -> Self {
        Self { special, owners, root: rustix::process::geteuid().is_root(), system: system.clone() }
    }

    fn mode(&self, entry: &Entry) -> Mode {
        let rights = if self.special == Special::Make { 0o7777 } else { 0o1777 };
        Mode::from_raw_mode(u32::from(entry.mode) & rights)
    }

    /// Returns the owners to set; none when whoever restores owns it.
    fn owner(&self, entry: &Entry) -> Option<(Option<Uid>, Option<Gid>)> {
        let known = |number: u32| number != u32::MAX;
        let (uid, gid) =
            (known(entry.uid).then(|| Uid::from_raw(entry.uid)), known(entry.gid).then(|| Gid::from_raw(entry.gid)));
        (self.owners != Owners::Own).then_some((uid, gid))
    }

    /// Judges the answer to a change of owner: who is not root may not give files away, and that is no news.
    fn owned(&self, done: Result<()>) -> Result<()> {
        match done {
            Err(Errno::PERM | Errno::ACCESS) if !self.root => Ok(()),
            done => done,
        }
    }

    /// Sets all metadata of an open file or folder whose name is told, and returns what could not be set.
    pub(super) fn set(
        &self,
        open: impl AsFd,
        name: &[u8],
        entry: &Entry,
        extra: Option<&Extra>,
    ) -> std::result::Result<(), String> {
        let may = || self.system.before(SystemCall::SetMetadata, name);
        let mut problems = Problems::new();
        if let Some((uid, gid)) = self.owner(entry) {
            note(&mut problems, "owner", self.owned(may().and_then(|()| rustix::fs::fchown(&open, uid, gid))));
        }
        let wanted = extra.map_or(&[][..], |extra| &extra.attributes);
        attributes(&mut problems, wanted, &Open(&open), &may);
        note(&mut problems, "mode", may().and_then(|()| rustix::fs::fchmod(&open, self.mode(entry))));
        note(&mut problems, "times", may().and_then(|()| rustix::fs::futimens(&open, &times(entry))));
        told(problems)
    }

    /// Sets all metadata of a link, FIFO, socket or device: what cannot be opened without a meaning of its own.
    pub(super) fn set_at(
        &self,
        folder: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        extra: Option<&Extra>,
    ) -> std::result::Result<(), String> {
        let may = || self.system.before(SystemCall::SetMetadata, name);
        let mut problems = Problems::new();
        if let Some((uid, gid)) = self.owner(entry) {
            let done = may().and_then(|()| rustix::fs::chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW));
            note(&mut problems, "owner", self.owned(done));
        }
        let wanted = extra.map_or(&[][..], |extra| &extra.attributes);
        let path = [format!("/proc/self/fd/{}/", folder.as_raw_fd()).as_bytes(), name].concat();
        match CString::new(path) {
            Ok(path) => attributes(&mut problems, wanted, &Named(path), &may),
            Err(_) => problems.push("its name holds a zero byte".to_owned()),
        }
        if entry.kind != NodeKind::Symlink {
            note(&mut problems, "mode", may().and_then(|()| chmod_at(folder, name, self.mode(entry))));
        }
        let done = may().and_then(|()| rustix::fs::utimensat(folder, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW));
        note(&mut problems, "times", done);
        told(problems)
    }
}

/// Sets the mode of what is at a name, and never of what a link leads to: through a handle on the thing itself.
pub(super) fn chmod_at(folder: &OwnedFd, name: &[u8], mode: Mode) -> Result<()> {
    let thing = rustix::fs::openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&thing)?.st_mode) == rustix::fs::FileType::Symlink {
        return Err(Errno::LOOP);
    }
    rustix::fs::chmod(format!("/proc/self/fd/{}", thing.as_raw_fd()), mode)
}

fn note(problems: &mut Problems, what: &str, done: Result<()>) {
    if let Err(error) = done {
        problems.push(format!("its {what} could not be set: {error}"));
    }
}

fn told(problems: Problems) -> std::result::Result<(), String> {
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

fn times(entry: &Entry) -> Timestamps {
    let time = |at: FileTime| Timespec { tv_sec: at.seconds, tv_nsec: i64::from(at.nanoseconds) };
    Timestamps { last_access: time(entry.accessed), last_modification: time(entry.modified) }
}

/// Something that has attributes.
trait Attributed {
    fn names(&self, buffer: &mut [u8]) -> Result<usize>;
    fn value(&self, name: &[u8], buffer: &mut [u8]) -> Result<usize>;
    fn set(&self, name: &[u8], value: &[u8]) -> Result<()>;
    fn remove(&self, name: &[u8]) -> Result<()>;
}

/// An open file or folder.
struct Open<'a, F>(&'a F);

impl<F: AsFd> Attributed for Open<'_, F> {
    fn names(&self, buffer: &mut [u8]) -> Result<usize> {
        rustix::fs::flistxattr(self.0, buffer)
    }

    fn value(&self, name: &[u8], buffer: &mut [u8]) -> Result<usize> {
        rustix::fs::fgetxattr(self.0, name, buffer)
    }

    fn set(&self, name: &[u8], value: &[u8]) -> Result<()> {
        rustix::fs::fsetxattr(self.0, name, value, XattrFlags::empty())
    }

    fn remove(&self, name: &[u8]) -> Result<()> {
        rustix::fs::fremovexattr(self.0, name)
    }
}

/// What is at a path, a link itself.
struct Named(CString);

impl Attributed for Named {
    fn names(&self, buffer: &mut [u8]) -> Result<usize> {
        rustix::fs::llistxattr(&self.0, buffer)
    }

    fn value(&self, name: &[u8], buffer: &mut [u8]) -> Result<usize> {
        rustix::fs::lgetxattr(&self.0, name, buffer)
    }

    fn set(&self, name: &[u8], value: &[u8]) -> Result<()> {
        rustix::fs::lsetxattr(&self.0, name, value, XattrFlags::empty())
    }

    fn remove(&self, name: &[u8]) -> Result<()> {
        rustix::fs::lremovexattr(&self.0, name)
    }
}

/// Gives a thing the attributes of the snapshot, and takes its own others away.
fn attributes(
    problems: &mut Problems,
    wanted: &[ExtendedAttribute],
    thing: &dyn Attributed,
    may: &dyn Fn() -> Result<()>,
) {
    for attribute in wanted {
        let shown = String::from_utf8_lossy(&attribute.name);
        match may().and_then(|()| thing.set(&attribute.name, &attribute.value)) {
            // What may not be set may be there: then there is nothing to tell.
            Err(_) if has(thing, attribute) => {}
            done => note(problems, &format!("attribute {shown}"), done),
        }
    }
    let mut few = [0; FEW_NAMES_BYTES];
    let names = match thing.names(&mut few) {
        Ok(bytes) => few[..bytes].to_vec(),
        Err(Errno::RANGE) => {
            let mut names = vec![0; NAMES_BYTES_MAX];
            let bytes = thing.names(&mut names).unwrap_or(0);
            names.truncate(bytes);
            names
        }
        // A file system without attributes has none of its own.
        Err(_) => return,
    };
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let own = OWN_ATTRIBUTES.iter().any(|prefix| name.starts_with(prefix));
        if own && !wanted.iter().any(|attribute| attribute.name == name) {
            let shown = String::from_utf8_lossy(name);
            match may().and_then(|()| thing.remove(name)) {
                // An access list that says no more than the mode is none.
                Err(Errno::NODATA) => {}
                done => note(problems, &format!("attribute {shown} (which the snapshot does not have)"), done),
            }
        }
    }
}

fn has(thing: &dyn Attributed, attribute: &ExtendedAttribute) -> bool {
    let mut found = vec![0; attribute.value.len() + 1];
    thing.value(&attribute.name, &mut found).is_ok_and(|bytes| found[..bytes] == attribute.value)
}
