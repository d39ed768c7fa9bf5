//! Looking into a snapshot: walk its trees, find a path, read a range of a file.

use backstay_storage::ReadCache;

use std::sync::atomic::Ordering;

use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::id::Id;
use crate::format::node::{Metadata, Node, NodeKind};
use crate::format::object::FileKind;
use crate::format::pack::BlobKind;
use crate::format::tree::{self, TreeReader};
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;
use crate::repository::{BlobReader, Repository};

/// Deepest folder that is looked into: a crafted snapshot may name a tree in itself.
pub(crate) const DEPTH_MAX: usize = 8_192;

/// Bytes of a tree that is read as a whole; the entries of a larger one are never all held.
pub(crate) const WHOLE_TREE_BYTES_MAX: u64 = 4 << 20;

/// An entry by itself, without the tree that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: NodeKind,
    /// Its metadata.
    pub metadata: Metadata,
    /// The blobs of a regular file.
    pub content: Vec<Id>,
    /// The tree of a folder.
    pub subtree: Option<Id>,
}

impl From<&Node<'_>> for Found {
    fn from(node: &Node<'_>) -> Self {
        Self {
            name: node.name.to_vec(),
            kind: node.kind,
            metadata: node.metadata,
            content: node.content.clone(),
            subtree: node.subtree,
        }
    }
}

/// Reads a tree and hands its entries to `each`.
///
/// # Errors
/// [`EngineError`] when the tree cannot be read, or what `each` returns.
pub fn tree_entries<'r>(
    repository: &Repository,
    blobs: &mut BlobReader<'r>,
    id: &Id,
    mut each: impl FnMut(&Node<'_>) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    if blobs.find(BlobKind::Tree, id)?.plain_bytes() > WHOLE_TREE_BYTES_MAX
        && let Some(packed) = blobs.read_packed(BlobKind::Tree, id)?
        && let Ok(mut judged) = TreeReader::new(packed.clone())
    {
        // All of it is judged before the first entry is handed out.
        judged.each(|_| Ok(())).map_err(|source: FormatError| told(repository, blobs, id, source))?;
        let mut tree = TreeReader::new(packed).map_err(|source| told(repository, blobs, id, source))?;
        let handed = tree.each(|node| each(node).map_err(Handed::Each));
        return handed.map_err(|error| match error {
            Handed::Each(error) => error,
            Handed::Tree(source) => told(repository, blobs, id, source),
        });
    }
    let text = blobs.read(BlobKind::Tree, id)?;
    let nodes = tree::read(&text).map_err(|source| told(repository, blobs, id, source))?;
    nodes.iter().try_for_each(&mut each)
}

/// Why handing out the entries of a tree ended early.
enum Handed {
    Each(EngineError),
    Tree(FormatError),
}

impl From<FormatError> for Handed {
    fn from(error: FormatError) -> Self {
        Self::Tree(error)
    }
}

/// Says which tree is damaged.
fn told(repository: &Repository, blobs: &BlobReader<'_>, id: &Id, source: FormatError) -> EngineError {
    match blobs.find(BlobKind::Tree, id) {
        Ok(place) => repository.told(FileKind::Pack, &place.pack, source),
        Err(error) => error,
    }
}

/// What a walk met.
#[derive(Debug)]
pub enum Met<'a, 'n> {
    /// A folder that is looked into now, with its path and its tree. Its entries follow.
    Folder(&'a [u8], Id),
    /// An entry, with its path: names joined by `/`, from the root on, without a leading one.
    Entry(&'a [u8], &'a Node<'n>),
    /// A folder whose tree cannot be read.
    Unreadable(&'a [u8], EngineError),
}

/// Walks all entries below a tree, a folder's own entries before those of its folders.
///
/// # Errors
/// [`EngineError::Interrupted`], or what `each` returns.
pub fn walk(
    repository: &Repository,
    blobs: &mut BlobReader<'_>,
    root: Id,
    progress: &EngineProgress,
    interrupt: &Interrupt,
    each: &mut dyn FnMut(Met<'_, '_>) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let places = BlobReader::new(repository, blobs.index(), ReadCache::Use, interrupt);
    let mut folders = vec![(Vec::new(), 0usize, root)];
    while let Some((path, depth, tree)) = folders.pop() {
        interrupt.check()?;
        progress.looked.fetch_add(1, Ordering::Relaxed);
        let next = folders.iter().rev().map(|(_, _, tree)| tree);
        blobs.fetch_trees_ahead(std::iter::once(&tree).chain(next))?;
        each(Met::Folder(&path, tree))?;
        let listed = tree_entries(repository, blobs, &tree, |node| {
            let below = join(&path, &node.name);
            each(Met::Entry(&below, node))?;
            match (node.kind, node.subtree) {
                (NodeKind::Dir, Some(subtree)) if depth < DEPTH_MAX => folders.push((below, depth + 1, subtree)),
                (NodeKind::Dir, Some(_)) => {
                    let source = FormatError::shape("tree", format!("it lies deeper than {DEPTH_MAX} folders"));
                    each(Met::Unreadable(&below, told(repository, &places, &tree, source)))?;
                }
                _ => {}
            }
            Ok(())
        });
        match listed {
            Ok(()) => {}
            Err(error) if error.is_harm() => each(Met::Unreadable(&path, error))?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns a path below a folder.
pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    path.extend_from_slice(folder);
    if !folder.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Returns the entry at a path; the root has an empty name.
///
/// # Errors
/// [`EngineError::NoPath`], or that a tree cannot be read.
pub fn find(repository: &Repository, blobs: &mut BlobReader<'_>, root: Id, path: &[u8]) -> Result<Found, EngineError> {
    let mut found = Found {
        name: Vec::new(),
        kind: NodeKind::Dir,
        metadata: Metadata { mode: 0o755, ..Metadata::default() },
        content: Vec::new(),
        subtree: Some(root),
    };
    let missing = |wanted| EngineError::NoPath { path: String::from_utf8_lossy(path).into_owned(), wanted };
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let tree = found.subtree.ok_or_else(|| missing("folder"))?;
        let mut next = None;
        tree_entries(repository, blobs, &tree, |node| {
            if *node.name == *name {
                next = Some(Found::from(node));
            }
            Ok(())
        })?;
        found = next.ok_or_else(|| missing("entry"))?;
    }
    Ok(found)
}

/// Returns those entries of the folder at a path that are wanted. `takes` is asked in the order of names, with how many were
/// taken before; of the others nothing is held.
///
/// # Errors
/// [`EngineError::NoPath`], also when it is no folder; or that a tree cannot be read.
pub fn list(
    repository: &Repository,
    blobs: &mut BlobReader<'_>,
    root: Id,
    path: &[u8],
    takes: impl Fn(&[u8], usize) -> bool,
) -> Result<Vec<Found>, EngineError> {
    let folder = find(repository, blobs, root, path)?;
    let wrong = || EngineError::NoPath { path: String::from_utf8_lossy(path).into_owned(), wanted: "folder" };
    let tree = folder.subtree.ok_or_else(wrong)?;
    let mut entries = Vec::new();
    tree_entries(repository, blobs, &tree, |node| {
        if takes(&node.name, entries.len()) {
            entries.push(Found::from(node));
        }
        Ok(())
    })?;
    Ok(entries)
}

/// Returns a range of a regular file: shorter than asked at its end, empty beyond it. Blobs before the range are not
/// fetched where the index says how long they are.
///
/// # Errors
/// [`EngineError::NoPath`] when it is no regular file; or that a blob cannot be read.
pub fn read_range(
    blobs: &mut BlobReader<'_>,
    file: &Found,
    offset: u64,
    length: usize,
) -> Result<Vec<u8>, EngineError> {
    if file.kind != NodeKind::File {
        let path = String::from_utf8_lossy(&file.name).into_owned();
        return Err(EngineError::NoPath { path, wanted: "file" });
    }
    let mut out = Vec::new();
    let mut begin = 0u64;
    for id in &file.content {
        if out.len() == length {
            break;
        }
        let blob_bytes = blobs.find(BlobKind::Data, id)?.plain_bytes();
        let end = begin + blob_bytes;
        if end > offset {
            let plain = blobs.read(BlobKind::Data, id)?;
            let from = usize::try_from(offset.saturating_sub(begin)).unwrap_or(plain.len()).min(plain.len());
            let take = (plain.len() - from).min(length - out.len());
            out.extend_from_slice(&plain[from..from + take]);
        }
        begin = end;
    }
    Ok(out)
}
