//! The folder that is restored to. Everything in it is opened beneath it and through no link.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, Result};

use crate::error::EngineError;
use crate::system::{System, SystemCall};

/// Bytes of a path that one call may take: the kernel refuses 4,096.
const STEP_BYTES_MAX: usize = 4_000;

/// The target, open.
#[derive(Debug)]
pub(super) struct Target {
    folder: OwnedFd,
    system: System,
}

impl Target {
    /// Opens the target; none when it is not there.
    pub(super) fn open(path: &Path, system: &System) -> std::result::Result<Option<Self>, EngineError> {
        let may = system.before(SystemCall::Open, path.as_os_str().as_bytes());
        match may.and_then(|()| rustix::fs::openat(CWD, path, FOLDER, Mode::empty())) {
            Ok(folder) => Ok(Some(Self { folder, system: system.clone() })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR) => {
                let problem = "is not a folder; name a new or an empty one".to_owned();
                Err(EngineError::Target { path: path.display().to_string(), problem })
            }
            Err(error) => Err(EngineError::Write { path: path.display().to_string(), source: error.into() }),
        }
    }

    /// Opens the target, and makes it when it is not there.
    pub(super) fn make(path: &Path, system: &System) -> std::result::Result<Self, EngineError> {
        let failed = |source| EngineError::Write { path: path.display().to_string(), source };
        if let Some(target) = Self::open(path, system)? {
            return Ok(target);
        }
        system.before(SystemCall::Make, path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
        std::fs::create_dir_all(path).map_err(failed)?;
        Self::open(path, system)?.ok_or_else(|| failed(Errno::NOENT.into()))
    }

    /// Opens something below the target; an empty path is the target itself.
    pub(super) fn at(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        self.system.before(SystemCall::Open, path)?;
        let mut rest = path;
        let mut folder: Option<OwnedFd> = None;
        while rest.len() > STEP_BYTES_MAX {
            let cut = rest[..STEP_BYTES_MAX].iter().rposition(|byte| *byte == b'/').ok_or(Errno::NAMETOOLONG)?;
            let from = folder.as_ref().map_or(self.folder.as_fd(), AsFd::as_fd);
            let next = beneath(from, &rest[..cut], FOLDER, Mode::empty())?;
            folder = Some(next);
            rest = &rest[cut + 1..];
        }
        beneath(folder.as_ref().map_or(self.folder.as_fd(), AsFd::as_fd), rest, flags, mode)
    }

    /// Says whether the target holds nothing.
    pub(super) fn is_empty(&self) -> Result<bool> {
        self.holds_nothing(&self.folder, b"")
    }

    /// Returns the file system that it lies on.
    pub(super) fn system(&self) -> &System {
        &self.system
    }

    /// Opens a folder below the target.
    pub(super) fn folder(&self, path: &[u8]) -> Result<OwnedFd> {
        self.at(path, FOLDER, Mode::empty())
    }

    /// Opens the folder that an entry lies in, and returns it with the entry's name.
    pub(super) fn above<'p>(&self, path: &'p [u8]) -> Result<(OwnedFd, &'p [u8])> {
        let (above, name) = split(path);
        Ok((self.folder(above)?, name))
    }

    /// Returns what is at a name of a folder, a link itself; none when nothing is.
    pub(super) fn look(&self, folder: &OwnedFd, name: &[u8]) -> Result<Option<Stat>> {
        self.system.before(SystemCall::Stat, name)?;
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes what is at a name: never a folder that holds anything.
    pub(super) fn remove(&self, folder: &OwnedFd, name: &[u8]) -> Result<()> {
        self.system.before(SystemCall::Remove, name)?;
        match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR),
            Err(Errno::NOENT) => Ok(()),
            done => done,
        }
    }

    /// Says whether a folder below another holds nothing.
    pub(super) fn holds_nothing(&self, folder: &OwnedFd, name: &[u8]) -> Result<bool> {
        self.system.before(SystemCall::List, name)?;
        let opened = beneath(folder.as_fd(), name, FOLDER, Mode::empty())?;
        for entry in rustix::fs::Dir::read_from(opened)? {
            if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn beneath(folder: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(folder, path, flags | OFlags::CLOEXEC, mode, resolve)
}

/// Splits a path into its folder and its name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// Returns a path below the target for a person.
pub(super) fn shown(path: &[u8]) -> String {
    PathBuf::from("/").join(OsStr::from_bytes(path)).to_string_lossy().into_owned()
}

/// Says whether an error is the target's as a whole: it is full, or takes nothing. The restore ends with it.
pub(super) fn is_whole(error: &std::io::Error) -> bool {
    let whole = [Errno::NOSPC, Errno::DQUOT, Errno::ROFS].map(|errno| errno.raw_os_error());
    error.raw_os_error().is_some_and(|errno| whole.contains(&errno))
}
