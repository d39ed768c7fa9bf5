//! Entries of a source that a backup could not read: counted all, named up to a limit.

/// Names kept in full; the count goes on beyond it. A thousand paths are more than a person reads and fit a row.
pub const UNREAD_NAMED_MAX: usize = 1_000;

/// One entry that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadEntry {
    /// The path as it was met, non-UTF-8 bytes replaced for display.
    pub path: String,
    /// What the system said.
    pub reason: String,
}

/// What could not be read in one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread {
    /// How many entries could not be read, named or not.
    pub count: u64,
    /// The first [`UNREAD_NAMED_MAX`] of them.
    pub entries: Vec<UnreadEntry>,
}

impl Unread {
    /// Counts one more entry, and names it while there is room.
    pub fn push(&mut self, path: String, reason: String) {
        self.count += 1;
        if self.entries.len() < UNREAD_NAMED_MAX {
            self.entries.push(UnreadEntry { path, reason });
        }
    }

    /// Says whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
