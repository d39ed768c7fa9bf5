//! Trees with some entries changed: children first, each folder in two passes, so that little of a wide one is held.
//!
//! The first pass asks the editor about each entry and notes the folders below; the second, when something changed, writes
//! the text anew. Folders that stay as they are are remembered with what they hold and looked into once: 36 bytes each, up to
//! a limit.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use backstay_storage::ReadCache;

use super::text::{with_content, with_tree};
use crate::browse::{DEPTH_MAX, join, tree_entries};
use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::compression::{Compressor, PieceCompressor};
use crate::format::id::{GrowingId, Id, IdSet};
use crate::format::index::Index;
use crate::format::node::{Node, NodeKind};
use crate::format::pack::BlobKind;
use crate::format::tree::{TreeReader, TreeWriter, read_node};
use crate::interrupt::Interrupt;
use crate::maintenance::repack::Repacker;
use crate::progress::EngineProgress;
use crate::repository::{BlobReader, Repository};

/// Text of a new tree that is held before it is hashed and compressed.
const PIECE_BYTES: usize = 1 << 20;

/// Most folders that are remembered as staying as they are, and most new trees as written: what a table of a million
/// places takes, 38 MiB. Of more folders those of later snapshots are looked into again, and a tree may be written twice.
const REMEMBERED_MAX: usize = 7 << 17;

/// What becomes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::maintenance) enum Edit {
    /// It stays; a folder is looked into.
    Keep,
    /// It goes, with all below it.
    Drop,
    /// A file gets these contents of so many bytes.
    Content(Vec<Id>, u64),
}

/// Who decides what changes, the same for the same entry whenever it is asked.
pub(in crate::maintenance) trait Editor {
    /// Comes before the entries of a folder, given by its path from the root on.
    fn enter(&mut self, folder: &[u8]);

    /// Decides on an entry of the folder that was entered last.
    fn edit(&self, node: &Node<'_>) -> Edit;

    /// Notes a change: `node` is an entry of a folder, and this becomes of it.
    fn note(&mut self, folder: &[u8], node: &Node<'_>, edit: &Edit);

    /// Decides on a folder whose tree cannot be read, or that names none: an empty one takes its place, or all ends with the error.
    ///
    /// # Errors
    /// The error that it is given, or another.
    fn unreadable(&mut self, path: &[u8], tree: Option<Id>, error: EngineError) -> Result<(), EngineError>;

    /// Says whether decisions depend on where a folder lies.
    fn minds_paths(&self) -> bool;
}

/// What a tree holds after the change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::maintenance) struct Held {
    /// Regular files.
    pub(in crate::maintenance) files: u64,
    /// Their bytes.
    pub(in crate::maintenance) bytes: u64,
}

/// A folder that is being looked at.
struct Frame {
    path: Vec<u8>,
    tree: Id,
    /// Its folders, with their trees; without a tree it is to become an empty one.
    folders: Vec<(Vec<u8>, Option<Id>)>,
    next: usize,
    /// Folders whose trees are others now.
    others: HashMap<Vec<u8>, Id>,
    is_changed: bool,
    held: Held,
}

/// Makes changed trees of a repository's trees.
pub(in crate::maintenance) struct TreeRewriter<'a> {
    pub(super) repository: &'a Repository,
    pub(super) interrupt: &'a Interrupt,
    /// Counts folders that were looked into.
    pub(super) progress: &'a EngineProgress,
    blobs: BlobReader<'a>,
    /// What stays as it is: by the place of its tree in the index, and by its path where that matters.
    same: HashMap<(u32, [u8; 16]), Held>,
    /// Trees that were written.
    written: IdSet,
}

impl<'a> TreeRewriter<'a> {
    pub(in crate::maintenance) fn new(
        repository: &'a Repository,
        index: &'a Index,
        progress: &'a EngineProgress,
        interrupt: &'a Interrupt,
    ) -> Self {
        let blobs = BlobReader::new(repository, index, ReadCache::Use, interrupt);
        Self { repository, interrupt, progress, blobs, same: HashMap::new(), written: IdSet::default() }
    }

    /// Returns the changed tree and what it holds; none when the root itself cannot be read. New trees go to `repacker`;
    /// without one nothing is written.
    ///
    /// # Errors
    /// [`EngineError`] when the storage does not answer, somebody asks to stop, or the editor says so.
    pub(in crate::maintenance) fn rewrite(
        &mut self,
        root: Id,
        editor: &mut dyn Editor,
        mut repacker: Option<&mut Repacker<'_>>,
    ) -> Result<Option<(Id, Held)>, EngineError> {
        let mut stack: Vec<Frame> = Vec::new();
        match self.begin(Vec::new(), Some(root), 0, editor)? {
            Begun::Same(held) => return Ok(Some((root, held))),
            Begun::Lost => return Ok(None),
            Begun::Below(frame) => stack.push(frame),
        }
        while let Some(frame) = stack.last_mut() {
            self.interrupt.check()?;
            if let Some((name, tree)) = frame.folders.get(frame.next) {
                frame.next += 1;
                let (name, tree, path) = (name.clone(), *tree, join(&frame.path, name));
                let begun = self.begin(path, tree, stack.len(), editor)?;
                match begun {
                    Begun::Below(below) => stack.push(below),
                    Begun::Same(held) => stack.last_mut().expect("it is there").add(held),
                    Begun::Lost => {
                        let empty = self.save(TreeWriter::new(Vec::new()).finish(), repacker.as_deref_mut())?;
                        stack.last_mut().expect("it is there").change(name, empty, Held::default());
                    }
                }
                continue;
            }
            let frame = stack.pop().expect("it is there");
            let new = self.end(&frame, editor, repacker.as_deref_mut())?;
            let Some(above) = stack.last_mut() else { return Ok(Some((new, frame.held))) };
            if new == frame.tree {
                above.add(frame.held);
            } else {
                let (name, _) = above.folders[above.next - 1].clone();
                above.change(name, new, frame.held);
            }
        }
        unreachable!("the root ends the loop")
    }

    /// Looks at the entries of a folder.
    fn begin(
        &mut self,
        path: Vec<u8>,
        tree: Option<Id>,
        depth: usize,
        editor: &mut dyn Editor,
    ) -> Result<Begun, EngineError> {
        let (path_shown, repository) = (path.clone(), self.repository);
        let wrong = |problem: &str| EngineError::Format {
            place: format!("the folder /{} in {}", String::from_utf8_lossy(&path_shown), repository.place()),
            source: FormatError::shape("tree", problem),
        };
        let Some(tree) = tree else {
            editor.unreadable(&path, None, wrong("a folder without a tree"))?;
            return Ok(Begun::Lost);
        };
        if depth > DEPTH_MAX {
            editor.unreadable(&path, Some(tree), wrong("it lies too deep"))?;
            return Ok(Begun::Lost);
        }
        if let Some(held) = self.key(&path, &tree, editor).and_then(|key| self.same.get(&key)) {
            return Ok(Begun::Same(*held));
        }
        let mut frame = Frame {
            path,
            tree,
            folders: Vec::new(),
            next: 0,
            others: HashMap::new(),
            is_changed: false,
            held: Held::default(),
        };
        editor.enter(&frame.path);
        self.progress.looked.fetch_add(1, Ordering::Relaxed);
        let mut listed = self.list(&mut frame, editor);
        // What is dropped is gone for good: a storage that gave nothing good is asked a second time.
        if listed.as_ref().is_err_and(EngineError::is_harm) && frame.is_untouched() {
            listed = self.list(&mut frame, editor);
        }
        match listed {
            Ok(()) => Ok(Begun::Below(frame)),
            Err(error) if error.is_harm() => editor.unreadable(&frame.path, Some(tree), error).map(|()| Begun::Lost),
            Err(error) => Err(error),
        }
    }

    /// Asks the editor about the entries of a folder.
    fn list(&mut self, frame: &mut Frame, editor: &mut dyn Editor) -> Result<(), EngineError> {
        let tree = frame.tree;
        tree_entries(self.repository, &mut self.blobs, &tree, |node| {
            let edit = editor.edit(node);
            if edit != Edit::Keep {
                frame.is_changed = true;
                editor.note(&frame.path, node, &edit);
            }
            match (&edit, node.kind) {
                (Edit::Keep, NodeKind::Dir) => frame.folders.push((node.name.to_vec(), node.subtree)),
                (Edit::Keep, NodeKind::File) => frame.add(Held { files: 1, bytes: node.metadata.size }),
                (Edit::Content(_, bytes), _) => frame.add(Held { files: 1, bytes: *bytes }),
                _ => {}
            }
            Ok(())
        })
    }

    /// Ends a folder whose folders are done, and returns its tree.
    fn end(
        &mut self,
        frame: &Frame,
        editor: &mut dyn Editor,
        repacker: Option<&mut Repacker<'_>>,
    ) -> Result<Id, EngineError> {
        if !frame.is_changed {
            if self.same.len() < REMEMBERED_MAX
                && let Some(key) = self.key(&frame.path, &frame.tree, editor)
            {
                self.same.insert(key, frame.held);
            }
            return Ok(frame.tree);
        }
        let place = || format!("tree {} in {}", frame.tree, self.repository.place());
        let told = |source| EngineError::Format { place: place(), source };
        let packed = match self.blobs.read_packed(BlobKind::Tree, &frame.tree)? {
            Some(packed) => packed,
            None => {
                let (plain, mut packed) = (self.blobs.read(BlobKind::Tree, &frame.tree)?, Vec::new());
                Compressor::default().compress(&plain, &mut packed);
                packed.into()
            }
        };
        let mut old = TreeReader::new(packed).map_err(told)?;
        editor.enter(&frame.path);
        let mut new = NewTree::default();
        new.write(|text| {
            while let Some(entry) = old.next_text().map_err(told)? {
                let node = read_node(entry).map_err(told)?;
                let changed = match editor.edit(&node) {
                    Edit::Drop => continue,
                    Edit::Content(content, bytes) => Some(with_content(entry, &content, bytes).map_err(told)?),
                    Edit::Keep => match frame.others.get(&*node.name).filter(|_| node.kind == NodeKind::Dir) {
                        Some(tree) => Some(with_tree(entry, tree).map_err(told)?),
                        None => None,
                    },
                };
                text(changed.as_deref().unwrap_or(entry));
            }
            Ok(())
        })?;
        self.take(new, repacker)
    }

    /// Saves a tree that is whole.
    fn save(&mut self, text: Vec<u8>, repacker: Option<&mut Repacker<'_>>) -> Result<Id, EngineError> {
        let mut packed = Vec::new();
        Compressor::default().compress(&text, &mut packed);
        self.take(NewTree { id: Id::of(&text), bytes: text.len() as u64, packed }, repacker)
    }

    fn take(&mut self, tree: NewTree, repacker: Option<&mut Repacker<'_>>) -> Result<Id, EngineError> {
        let NewTree { id, packed, bytes } = tree;
        if let Some(repacker) = repacker
            && !self.blobs.index().contains(BlobKind::Tree, &id)
            && !self.written.contains(&id)
        {
            if self.written.len() < REMEMBERED_MAX {
                self.written.insert(id);
            }
            let told = |source| EngineError::Format { place: format!("tree {id}"), source };
            let bytes = u32::try_from(bytes).map_err(|_| told(FormatError::shape("tree", "it is too long")))?;
            repacker.add(BlobKind::Tree, id, &packed, Some(bytes))?;
        }
        Ok(id)
    }

    /// Returns under which key a folder that stays is remembered; none for a tree that no index names.
    fn key(&self, path: &[u8], tree: &Id, editor: &dyn Editor) -> Option<(u32, [u8; 16])> {
        let place = u32::try_from(self.blobs.index().copies(BlobKind::Tree, tree).next()?).ok()?;
        let mut key = [0; 16];
        if editor.minds_paths() {
            key.copy_from_slice(&Id::of(path).0[..16]);
        }
        Some((place, key))
    }
}

impl Frame {
    /// Says whether no entry was noted yet.
    fn is_untouched(&self) -> bool {
        !self.is_changed && self.folders.is_empty() && self.held == Held::default()
    }

    fn add(&mut self, held: Held) {
        self.held.files += held.files;
        self.held.bytes += held.bytes;
    }

    fn change(&mut self, name: Vec<u8>, tree: Id, held: Held) {
        self.add(held);
        self.is_changed = true;
        self.others.insert(name, tree);
    }
}

/// How looking at a folder began.
enum Begun {
    /// It is known to stay as it is.
    Same(Held),
    /// It cannot be read.
    Lost,
    /// Its folders come next.
    Below(Frame),
}

/// A tree that is written anew: its compressed text is held, and little of the plain one.
struct NewTree {
    id: Id,
    packed: Vec<u8>,
    bytes: u64,
}

impl Default for NewTree {
    fn default() -> Self {
        Self { id: Id([0; 32]), packed: Vec::new(), bytes: 0 }
    }
}

impl NewTree {
    /// Writes the tree of the entries that `each` hands over.
    fn write(
        &mut self,
        each: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let (mut id, mut bytes) = (GrowingId::default(), 0);
        let mut out = PieceCompressor::new(&mut self.packed);
        let mut take = |piece: &[u8]| {
            id.push(piece);
            out.push(piece);
            bytes += piece.len() as u64;
        };
        let mut writer = TreeWriter::new(Vec::new());
        each(&mut |entry| {
            writer.push_text(entry);
            if writer.held_bytes() >= PIECE_BYTES {
                writer.hand_over(&mut take);
            }
        })?;
        take(&writer.finish());
        out.finish();
        (self.id, self.bytes) = (id.finish(), bytes);
        Ok(())
    }
}
