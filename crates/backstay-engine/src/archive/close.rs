//! The end of a folder: its tree is written by whoever finished its last part, and those of the folders above it whose
//! last part that was.

use std::io;

use super::counters::add;
use super::folder::{Folder, Origin, Saved};
use super::roots::unreadable;
use super::run::Worker;
use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::node::{Content, NewNode};
use crate::format::pack::BlobKind;
use crate::format::tree::{TREE_BYTES_MAX, TreeWriter};

impl Worker<'_> {
    /// Writes the tree of a folder whose last part is done, and of those above it whose last part that was.
    pub(super) fn close(&mut self, folder: &Folder) {
        let mut folder = folder;
        loop {
            let tree = match self.save_folder(folder) {
                Ok(tree) => tree,
                Err(error) => return self.run.fail(error),
            };
            let Some((above, place)) = &folder.above else {
                self.run.root.set(tree).expect("the root is closed once");
                return;
            };
            if !folder.is_gone() {
                above.entries()[*place].saved.set(Saved::Dir(tree)).expect("a folder is closed once");
            }
            if !above.part_done() {
                return;
            }
            folder = above;
        }
    }

    /// Writes a folder's tree and counts it.
    fn save_folder(&mut self, folder: &Folder) -> Result<Id, EngineError> {
        let tree = self.write_tree(folder)?;
        // A folder on the way to a root is none that was read.
        if matches!(folder.origin, Origin::Told(_)) {
            return Ok(tree);
        }
        let counters = self.run.counters;
        let counter = match folder.parent_tree {
            None => &counters.dirs_new,
            Some(before) if before == tree => &counters.dirs_unmodified,
            Some(_) => &counters.dirs_changed,
        };
        add(counter, 1);
        Ok(tree)
    }

    fn write_tree(&mut self, folder: &Folder) -> Result<Id, EngineError> {
        let mut writer = TreeWriter::new(std::mem::take(&mut self.tree));
        for entry in folder.entries() {
            let mut metadata = entry.metadata;
            let content = match entry.saved.get() {
                None => continue,
                Some(Saved::File(blobs, size)) => {
                    metadata.size = *size;
                    Content::File(blobs)
                }
                Some(Saved::Dir(tree)) => Content::Dir(*tree),
                Some(Saved::Symlink(target)) => Content::Symlink(target),
                Some(Saved::Fifo) => Content::Fifo,
                Some(Saved::Socket) => Content::Socket,
                Some(Saved::CharDevice) => Content::CharDevice,
                Some(Saved::BlockDevice) => Content::BlockDevice,
            };
            let user = self.run.owners.user(metadata.uid);
            let group = self.run.owners.group(metadata.gid);
            writer.push(&NewNode {
                name: &entry.name,
                metadata: &metadata,
                user: &user,
                group: &group,
                extended_attributes: entry.attributes.get().map_or(&[], |attributes| attributes),
                content,
            });
        }
        self.tree = writer.finish();
        if self.tree.len() as u64 > TREE_BYTES_MAX {
            let problem = format!(
                "its list of entries has {} bytes; more than {TREE_BYTES_MAX} cannot be read back",
                self.tree.len()
            );
            return Err(unreadable(&folder.path(), io::Error::other(problem)));
        }
        self.packer.save(BlobKind::Tree, &self.tree)
    }
}
