//! Lock files: who uses a repository, since when, alone or beside others (what restic 0.14 and 0.19 write).

use serde::{Deserialize, Serialize};

use super::FormatError;

/// A lock file: sealed JSON, as snapshots are. Fields are restic's, but for `backstay`, which restic reads over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockFile {
    /// When it was taken or last refreshed, RFC 3339, by its holder's clock.
    pub time: String,
    /// Whether its holder wants to be alone.
    pub exclusive: bool,
    /// Name of the holder's machine.
    #[serde(default)]
    pub hostname: String,
    /// Name of the holder's user.
    #[serde(default)]
    pub username: String,
    /// The holder's process.
    #[serde(default)]
    pub pid: i64,
    /// Its user.
    #[serde(default)]
    pub uid: u32,
    /// Its group.
    #[serde(default)]
    pub gid: u32,
    /// What we alone write; none in restic's own locks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backstay: Option<LockMark>,
}

/// What lets the next of us prove that a holder is dead: a name of a machine and a number prove nothing between
/// containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockMark {
    /// Id of the boot of the holder's kernel; empty when it cannot be read.
    pub boot: String,
    /// Name of the space that its process number counts in; empty when it cannot be read.
    pub process_space: String,
    /// When its process was started, in the kernel's ticks since boot; 0 when it cannot be read.
    pub process_start: u64,
    /// The lease that its holder works under; empty without a control plane.
    pub lease: String,
}

impl LockFile {
    /// Reads it from JSON.
    ///
    /// # Errors
    /// [`FormatError::Shape`].
    pub fn read(plain: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(plain).map_err(|error| FormatError::shape("lock", error))
    }

    /// Returns it as JSON.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a lock is JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_of_restic_is_read_and_ours_is_read_back() {
        let text = r#"{"time":"2026-01-02T03:04:05.6Z","exclusive":true,"hostname":"h","username":"root","pid":7}"#;
        let lock = LockFile::read(text.as_bytes()).unwrap();
        assert_eq!((lock.exclusive, lock.pid, lock.uid, &lock.backstay), (true, 7, 0, &None));
        let ours = LockFile { backstay: Some(LockMark { lease: "l".to_owned(), ..LockMark::default() }), ..lock };
        assert_eq!(LockFile::read(&ours.write()).unwrap(), ours);
        assert!(LockFile::read(b"{}").is_err());
    }
}
