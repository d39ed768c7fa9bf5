//! Extended attributes as the system tells them: access lists and capabilities are some of them.
//!
//! Whatever the system lists is kept, in its order, as restic does. What it lists and does not give is counted by name.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::folder::Opened;
use crate::format::node::ExtendedAttribute;
use crate::system::{System, SystemCall};

/// Most bytes of a list of names, and of a value: the kernel's own bound (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

/// Room for lists and values, one a worker.
pub(super) struct AttributeReader {
    names: Vec<u8>,
    value: Vec<u8>,
}

/// What could not be read of an entry's attributes: names and words.
pub(super) type AttributesUnread = Vec<String>;

/// Something that has attributes.
pub(super) enum Bearer<'a> {
    /// An open file.
    Open(&'a OwnedFd),
    /// A path; its last name is not followed.
    Path(PathBuf),
    /// A folder on the way to a root: what its path leads to.
    Followed(PathBuf),
}

impl<'a> Bearer<'a> {
    /// Returns the entry of a folder. The system has no call for a name in an open folder that old kernels know; the
    /// folder's place in `/proc` stands for it, so that what is put in its place is not taken for it.
    pub(super) fn entry(folder: &Opened, name: &[u8], path: impl FnOnce() -> PathBuf) -> Self {
        match folder {
            Opened::Folder(fd) if has_proc() => {
                let mut place = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
                place.push(OsStr::from_bytes(name));
                Self::Path(place)
            }
            _ => Self::Path(path()),
        }
    }

    fn list(&self, names: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => rustix::fs::flistxattr(fd, names),
            Self::Path(path) => rustix::fs::llistxattr(&**path, names),
            Self::Followed(path) => rustix::fs::listxattr(&**path, names),
        }
    }

    fn get(&self, name: &CStr, value: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fgetxattr(fd, name, value),
            Self::Path(path) => rustix::fs::lgetxattr(&**path, name, value),
            Self::Followed(path) => rustix::fs::getxattr(&**path, name, value),
        }
    }
}

/// Says whether this process sees its open files in `/proc`.
fn has_proc() -> bool {
    static HAS_PROC: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *HAS_PROC.get_or_init(|| Path::new("/proc/self/fd").is_dir())
}

impl AttributeReader {
    pub(super) fn new() -> Self {
        Self { names: vec![0; ATTRIBUTE_BYTES_MAX], value: vec![0; ATTRIBUTE_BYTES_MAX] }
    }

    /// Returns the attributes of an entry, and what could not be read of them. A file system without attributes has
    /// none; one that was removed since it was listed is left out. The calls are told about as of `shown`.
    ///
    /// # Errors
    /// What the system says to the list of names.
    pub(super) fn read(
        &mut self,
        bearer: &Bearer<'_>,
        system: &System,
        shown: &[u8],
    ) -> Result<(Box<[ExtendedAttribute]>, AttributesUnread), Errno> {
        let listed = system.before(SystemCall::ReadAttribute, shown);
        let listed = match listed.and_then(|()| bearer.list(&mut self.names)) {
            Ok(0) | Err(Errno::NOTSUP) => return Ok(Default::default()),
            Ok(listed) => listed,
            Err(error) => return Err(error),
        };
        let (mut attributes, mut unread) = (Vec::new(), Vec::new());
        for name in self.names[..listed].split_inclusive(|byte| *byte == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            let called = name.to_string_lossy();
            if name.to_str().is_err() {
                unread.push(format!(
                    "its attribute `{called}` has a name that is no UTF-8, which the format cannot hold"
                ));
                continue;
            }
            let may = system.before(SystemCall::ReadAttribute, shown);
            match may.and_then(|()| bearer.get(name, &mut self.value)) {
                Ok(bytes) => {
                    let (name, value) = (name.to_bytes().to_vec(), self.value[..bytes].to_vec());
                    attributes.push(ExtendedAttribute { name, value });
                }
                Err(Errno::NODATA | Errno::NOTSUP) => {}
                Err(error) => unread.push(format!("its attribute `{called}` cannot be read: {error}")),
            }
        }
        Ok((attributes.into(), unread))
    }
}
