//! Files that have several names: their content is read under the first and taken for the others.

use std::collections::HashMap;
use std::sync::Mutex;

use super::folder::{Entry, Saved};
use crate::format::node::{ExtendedAttribute, Metadata};

/// What was read of inodes of which more names are to come.
#[derive(Debug, Default)]
pub(super) struct HardLinks(Mutex<HashMap<(u64, u64), Linked>>);

#[derive(Debug)]
struct Linked {
    metadata: Metadata,
    attributes: Box<[ExtendedAttribute]>,
    saved: Saved,
    /// Names that may still come.
    names_left: u64,
}

impl HardLinks {
    /// Returns what was read of the same inode under another name, when it is still as it was then.
    pub(super) fn take(&self, entry: &Entry) -> Option<(Saved, Box<[ExtendedAttribute]>)> {
        let metadata = entry.metadata.get();
        if metadata.links < 2 {
            return None;
        }
        let mut known = self.0.lock().expect("no holder panics");
        let key = (metadata.device_id, metadata.inode);
        let linked = known.get_mut(&key).filter(|linked| linked.metadata == metadata)?;
        let found = (linked.saved.clone(), linked.attributes.clone());
        linked.names_left -= 1;
        if linked.names_left == 0 {
            known.remove(&key);
        }
        Some(found)
    }

    /// Keeps what was read of an inode for its other names.
    pub(super) fn keep(&self, entry: &Entry, saved: &Saved, attributes: &[ExtendedAttribute]) {
        let metadata = entry.metadata.get();
        if metadata.links > 1 {
            let linked = Linked {
                metadata,
                attributes: attributes.into(),
                saved: saved.clone(),
                names_left: metadata.links - 1,
            };
            self.0.lock().expect("no holder panics").insert((metadata.device_id, metadata.inode), linked);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::archive::folder::FileContent;
    use crate::format::id::Id;
    use crate::format::node::NodeKind;

    fn entry(links: u64, inode: u64, size: u64) -> Entry {
        let metadata = Metadata { links, inode, size, ..Metadata::default() };
        Entry::new(NodeKind::File, metadata.into(), OnceLock::new())
    }

    #[test]
    fn content_is_kept_until_the_last_name_and_for_the_same_state_alone() {
        let links = HardLinks::default();
        let saved = Saved::File(FileContent::new(vec![Id::of(b"x")], 1, 1));
        links.keep(&entry(1, 1, 1), &saved, &[]);
        assert!(links.take(&entry(1, 1, 1)).is_none(), "it has one name");
        links.keep(&entry(3, 2, 1), &saved, &[]);
        assert!(links.take(&entry(3, 2, 2)).is_none() && links.take(&entry(3, 3, 1)).is_none());
        assert!(links.take(&entry(3, 2, 1)).is_some() && links.take(&entry(3, 2, 1)).is_some());
        assert!(links.take(&entry(3, 2, 1)).is_none());
        assert!(links.0.lock().unwrap().is_empty());
    }
}
