//! The seam between the engine and the file system: a look before each call of a backup or a restore.
//!
//! Every such call has a word here, [`SystemCall`]. Usually nobody listens, and a look is one branch. A test listens, and
//! lets the n-th call fail or do less than it was asked. Absent on purpose: the calls themselves, which stay where they
//! are needed; the estimate beside a first backup, which is no part of it.

use std::fmt;
use std::sync::Arc;

use rustix::io::Errno;

/// A call of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SystemCall {
    /// Something is opened, made by that or not.
    Open,
    /// A folder's entries are listed: the beginning, and each entry.
    List,
    /// It is asked what is at a name, or open.
    Stat,
    /// It is asked where a symbolic link leads.
    ReadLink,
    /// Bytes of a file are read.
    Read,
    /// Names of extended attributes, or the value of one, are read.
    ReadAttribute,
    /// A folder, link or special file is made.
    Make,
    /// Bytes of a file are written, or its size is set.
    Write,
    /// An entry gets an owner, a mode, times or an attribute.
    SetMetadata,
    /// A file gets another name beside its own.
    Link,
    /// A file gets another name instead of its own.
    Rename,
    /// An entry is removed.
    Remove,
}

/// What a call suffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemFault {
    /// It is not made, and this is its answer.
    Fails(Errno),
    /// It does half of what it was asked; a call that has no half is made whole.
    Short,
}

/// Who listens: called before each call with the last name of what it is about, from many threads at once.
pub type SystemListener = dyn Fn(SystemCall, &[u8]) -> Option<SystemFault> + Send + Sync;

/// The file system as a backup or a restore meets it.
#[derive(Clone, Default)]
pub struct System(Option<Arc<SystemListener>>);

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "System(heard)" } else { "System" })
    }
}

impl System {
    /// Returns the file system with somebody who listens.
    pub fn heard(listener: Arc<SystemListener>) -> Self {
        Self(Some(listener))
    }

    /// Says that a call comes next.
    pub(crate) fn before(&self, call: SystemCall, name: &[u8]) -> Result<(), Errno> {
        self.room(call, name, 0).map(drop)
    }

    /// Says that a call comes next that moves so many bytes, and returns how many it may move.
    pub(crate) fn room(&self, call: SystemCall, name: &[u8], bytes: usize) -> Result<usize, Errno> {
        let Some(listener) = &self.0 else { return Ok(bytes) };
        match listener(call, last_name(name)) {
            None => Ok(bytes),
            Some(SystemFault::Fails(errno)) => Err(errno),
            Some(SystemFault::Short) => Ok(bytes.div_ceil(2)),
        }
    }
}

fn last_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}
