//! Snapshot files: which tree, of what, when, by whom.

use serde::{Deserialize, Serialize};

use super::FormatError;
use super::id::Id;

/// A snapshot file. Fields are restic's; those that we do not write are read over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// When reading began, RFC 3339.
    pub time: String,
    /// The snapshot that unchanged files were taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Id>,
    /// Its root.
    pub tree: Id,
    /// What was read, absolute paths.
    pub paths: Vec<String>,
    /// Name of the machine that read.
    #[serde(default)]
    pub hostname: String,
    /// Name of the user who read.
    #[serde(default)]
    pub username: String,
    /// Words that people find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_version: Option<String>,
    /// What making it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// Counts of a backup, as restic names them since 0.17.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// When it began, RFC 3339.
    pub backup_start: String,
    /// When it ended, RFC 3339.
    pub backup_end: String,
    /// Files that the parent did not have.
    pub files_new: u64,
    /// Files that differ from the parent's.
    pub files_changed: u64,
    /// Files that were taken from the parent.
    pub files_unmodified: u64,
    /// Folders that the parent did not have.
    pub dirs_new: u64,
    /// Folders that differ from the parent's.
    pub dirs_changed: u64,
    /// Folders that are as the parent's.
    pub dirs_unmodified: u64,
    /// New blobs of files.
    pub data_blobs: u64,
    /// New blobs of folders.
    pub tree_blobs: u64,
    /// Plain bytes of new blobs.
    pub data_added: u64,
    /// Sealed bytes of new blobs.
    pub data_added_packed: u64,
    /// Regular files, read or not.
    pub total_files_processed: u64,
    /// Their bytes.
    pub total_bytes_processed: u64,
}

impl SnapshotFile {
    /// Reads it from JSON.
    ///
    /// # Errors
    /// [`FormatError::Shape`].
    pub fn read(plain: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(plain).map_err(|error| FormatError::shape("snapshot", error))
    }

    /// Returns it as JSON.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a snapshot is JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_we_do_not_know_are_read_over() {
        let tree = Id::of(b"t");
        let text = format!(
            r#"{{"time":"2024-01-01T00:00:00Z","tree":"{tree}","paths":["/a"],"hostname":"h","username":"u","uid":7,"original":"x"}}"#
        );
        let snapshot = SnapshotFile::read(text.as_bytes()).unwrap();
        assert_eq!((snapshot.tree, snapshot.parent, &*snapshot.paths), (tree, None, &["/a".to_owned()][..]));
        assert_eq!(SnapshotFile::read(&snapshot.write()).unwrap(), snapshot);
    }
}
