//! One thing of a source that is backed up by itself.

use jiff::Timestamp;

use super::id::{ItemId, SourceId};

/// An item: a folder, a volume, a realm. A folder's source has one item, named like the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: ItemId,
    /// The source that it belongs to.
    pub source_id: SourceId,
    /// How the source calls it, unique in the source: an absolute path, a volume's id.
    pub name: String,
    /// When a discovery did not find it any more; none while it is there. Its retention lives on.
    pub vanished_at: Option<Timestamp>,
}
