//! The kinds of files in a repository and where each lies, in restic's default layout.

use backstay_storage::{ObjectKey, StorageError};

use super::id::Id;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Blobs, many in one.
    Pack,
    /// Where blobs lie in packs.
    Index,
    /// A state of a source.
    Snapshot,
    /// The master key, sealed by a password.
    Key,
    /// Who uses the repository.
    Lock,
}

impl FileKind {
    /// Returns the folder that holds the files of this kind.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Pack => "data",
            Self::Index => "index",
            Self::Snapshot => "snapshots",
            Self::Key => "keys",
            Self::Lock => "locks",
        }
    }

    /// Returns the word for a person.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pack => "pack",
            Self::Index => "index",
            Self::Snapshot => "snapshot",
            Self::Key => "key",
            Self::Lock => "lock",
        }
    }

    /// Returns where the file of this id lies.
    pub fn key(self, id: &Id) -> ObjectKey {
        let hex = id.to_hex();
        let key = match self {
            Self::Pack => format!("data/{}/{hex}", &hex[..2]),
            _ => format!("{}/{hex}", self.folder()),
        };
        ObjectKey::new(key).expect("folders and digits make a key")
    }
}

/// Returns where the config lies.
pub fn config_key() -> Result<ObjectKey, StorageError> {
    ObjectKey::new("config")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_where_restic_looks_for_them() {
        let id = Id::of(b"abc");
        assert_eq!(FileKind::Pack.key(&id).as_str(), format!("data/ba/{id}"));
        assert_eq!(FileKind::Snapshot.key(&id).as_str(), format!("snapshots/{id}"));
    }
}
