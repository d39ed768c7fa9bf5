//! The end of a folder: its tree is written by whoever finished its last part, and those of the folders above it whose
//! last part that was.

use std::io;

use super::counters::add;
use super::folder::{Folder, Origin, Saved};
use super::roots::unreadable;
use super::run::{Run, Worker};
use crate::error::EngineError;
use crate::format::compression::PieceCompressor;
use crate::format::id::{GrowingId, Id};
use crate::format::node::{Content, NewNode};
use crate::format::pack::BlobKind;
use crate::format::tree::{TREE_BYTES_MAX, TreeWriter};

/// Bytes of a tree's text that are held at once: more than the tree of any usual folder, which is written in one go.
pub(super) const TREE_PIECE_BYTES: usize = 4 << 20;

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
        let (mut id, mut bytes, mut is_large) = (GrowingId::default(), 0, false);
        self.run.push_entries(folder, &mut writer, &mut |piece| {
            is_large = true;
            id.push(piece);
            bytes += piece.len() as u64;
        });
        self.tree = writer.finish();
        bytes += self.tree.len() as u64;
        if bytes > TREE_BYTES_MAX {
            let problem =
                format!("its list of entries has {bytes} bytes; more than {TREE_BYTES_MAX} cannot be read back");
            return Err(unreadable(&folder.path(), io::Error::other(problem)));
        }
        if !is_large {
            return self.packer.save(BlobKind::Tree, &self.tree);
        }
        id.push(&self.tree);
        let id = id.finish();
        if self.packer.is_new_tree(&id) {
            // Written out a second time, so that its text is never held whole.
            let (run, text) = (self.run, &mut self.tree);
            self.packer.save_large_tree(id, bytes, |packed| {
                let mut writer = TreeWriter::new(std::mem::take(text));
                let mut compressor = PieceCompressor::new(packed);
                run.push_entries(folder, &mut writer, &mut |piece| compressor.push(piece));
                *text = writer.finish();
                compressor.push(text);
                compressor.finish();
            })?;
        }
        Ok(id)
    }
}

impl Run<'_> {
    /// Writes all entries of a folder; `full` takes the text whenever there is much of it.
    fn push_entries(&self, folder: &Folder, writer: &mut TreeWriter, full: &mut dyn FnMut(&[u8])) {
        for entry in folder.entries() {
            let mut metadata = entry.metadata.get();
            let content = match entry.saved.get() {
                None => continue,
                Some(Saved::File(content)) => {
                    metadata.size = content.bytes(metadata.size);
                    Content::File(content.blobs())
                }
                Some(Saved::Dir(tree)) => Content::Dir(*tree),
                Some(Saved::Symlink(target)) => Content::Symlink(target),
                Some(Saved::Fifo) => Content::Fifo,
                Some(Saved::Socket) => Content::Socket,
                Some(Saved::CharDevice) => Content::CharDevice,
                Some(Saved::BlockDevice) => Content::BlockDevice,
            };
            let user = self.owners.user(metadata.uid);
            let group = self.owners.group(metadata.gid);
            writer.push(&NewNode {
                name: folder.name_of(entry),
                metadata: &metadata,
                user: &user,
                group: &group,
                extended_attributes: entry.attributes(),
                content,
            });
            if writer.held_bytes() > TREE_PIECE_BYTES {
                writer.hand_over(&mut *full);
            }
        }
    }
}
