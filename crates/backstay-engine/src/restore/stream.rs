//! A snapshot to a stream: one file as its bytes, a folder as a tar archive.
//!
//! A stream cannot take back what it said: a file of some megabytes is read before its header is written, and named when
//! it cannot be; when a longer one breaks off, the stream ends with an error. Sockets have no place in a tar archive and
//! are named. Nothing is buffered but one range of a pack.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::sync::atomic::Ordering;

use backstay_core::domain::unread::Unread;
use backstay_core::managers::job::chain;
use backstay_storage::ReadCache;

use super::plan::{Packs, Part};
use super::tar::{self, TarEntry, TarKind, head, padding};
use super::target::shown;
use super::write::ranges_of;
use crate::browse::{DEPTH_MAX, find, join, tree_entries};
use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::id::Id;
use crate::format::index::Index;
use crate::format::node::{ExtendedAttribute, Metadata, Node, NodeKind};
use crate::format::object::FileKind;
use crate::format::pack::BlobKind;
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;
use crate::repository::{BadCopy, BlobReader, Repository};

/// Bytes of a file that is read before its header is written.
const AHEAD_BYTES_MAX: u64 = 16 << 20;

/// What to stream.
#[derive(Debug, Clone, Copy)]
pub struct DumpOptions<'a> {
    /// The snapshot's id: all 64 digits.
    pub snapshot: &'a str,
    /// A folder of the snapshot that paths begin at; empty for its root.
    pub sub_path: &'a [u8],
    /// The file or the folder, below `sub_path`; empty for all of it. Paths in an archive are whole below `sub_path`, as
    /// restic's are.
    pub path: &'a [u8],
}

/// What was streamed.
#[derive(Debug, Default)]
pub struct Dumped {
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Copies of blobs that were found to be bad and cost nothing, because another copy was good.
    pub bad_copies: Vec<BadCopy>,
    /// Entries that are not in the archive.
    pub unread: Unread,
}

/// Streams a file's bytes, or a folder as a tar archive.
///
/// # Errors
/// [`EngineError::NoPath`] when it is neither; [`EngineError::Write`] when the stream does not take it; the errors of
/// reading a file of which a part is sent already. What was sent is then worth nothing.
pub fn dump(
    repository: &Repository,
    options: &DumpOptions<'_>,
    out: &mut dyn Write,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Dumped, EngineError> {
    let index = repository.index_load(interrupt)?;
    let mut trees = BlobReader::new(repository, &index, ReadCache::Use, interrupt);
    let (_, snapshot) = repository.snapshot_read(options.snapshot, interrupt)?;
    let found = find(repository, &mut trees, snapshot.tree, &join(options.sub_path, options.path))?;
    let blobs = BlobReader::new(repository, &index, ReadCache::Use, interrupt);
    let mut stream = Stream { repository, blobs, index: &index, out, progress, interrupt, done: Dumped::default() };
    match (found.kind, found.subtree) {
        (NodeKind::File, _) => {
            let content = Content::of(&index, repository, &found.content)?;
            stream.send(&content, 0)?;
            stream.file_done(content.bytes);
        }
        (_, Some(tree)) => stream.archive(&mut trees, tree, options.path)?,
        _ => {
            let path = String::from_utf8_lossy(options.path).into_owned();
            return Err(EngineError::NoPath { path, wanted: "file or folder" });
        }
    }
    stream.out.flush().map_err(broken)?;
    stream.done.bad_copies = stream.blobs.take_bad_copies();
    stream.done.bad_copies.append(&mut trees.take_bad_copies());
    Ok(stream.done)
}

fn broken(source: io::Error) -> EngineError {
    EngineError::Write { path: "the stream".to_owned(), source }
}

/// The blobs of a file, in order.
struct Content {
    packs: Packs,
    parts: Vec<Part>,
    bytes: u64,
}

impl Content {
    fn of(index: &Index, repository: &Repository, ids: &[Id]) -> Result<Self, EngineError> {
        let mut content = Self { packs: Packs::default(), parts: Vec::with_capacity(ids.len()), bytes: 0 };
        for id in ids {
            let missing = || EngineError::NoBlob { id: *id, place: repository.place() };
            let place = index.find(BlobKind::Data, id).ok_or_else(missing)?;
            content.parts.push(Part::new(&mut content.packs, *id, &place, 0, content.bytes));
            content.bytes += place.plain_bytes();
        }
        Ok(content)
    }
}

struct Stream<'a> {
    repository: &'a Repository,
    blobs: BlobReader<'a>,
    index: &'a Index,
    out: &'a mut dyn Write,
    progress: &'a EngineProgress,
    interrupt: &'a Interrupt,
    done: Dumped,
}

impl Stream<'_> {
    fn file_done(&mut self, bytes: u64) {
        self.done.files += 1;
        self.done.bytes += bytes;
        self.progress.done(1, 0);
    }

    /// Reads the blobs of a file from one on, range by range, and hands each to `each`.
    fn read(
        &mut self,
        content: &Content,
        from: usize,
        mut each: impl FnMut(&mut Self, &[u8]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let mut plain = Vec::new();
        for range in ranges_of(&content.parts[from..]) {
            let (Some(first), Some(end)) = (range.first(), range.iter().map(Part::end).max()) else { continue };
            let (bytes, pack) = (u64::from(first.offset)..u64::from(end), content.packs.id(first));
            let judged = first.judge_length().map_err(|source| self.repository.told(FileKind::Pack, &pack, source));
            let read = judged.and_then(|()| self.repository.pack_read(&pack, bytes, ReadCache::Use, self.interrupt));
            let body = match read {
                Ok(body) => Some(body),
                Err(error) if error.is_harm() => None,
                Err(error) => return Err(error),
            };
            for part in range {
                self.interrupt.check()?;
                let place = part.place(&content.packs);
                let opened = body.as_ref().is_some_and(|body| {
                    let sealed = part.slice_of(body, first.offset).map(<[u8]>::to_vec);
                    sealed.is_ok_and(|mut sealed| {
                        self.blobs.open(BlobKind::Data, &place, &part.id, &mut sealed, &mut plain).is_ok()
                    })
                });
                if !opened {
                    // Any copy that can be had; where the file's other blobs go was told by this one's length.
                    plain = self.blobs.read(BlobKind::Data, &part.id)?;
                    if plain.len() as u64 != place.plain_bytes() {
                        let source = FormatError::shape("blob", "the index gives it two lengths");
                        return Err(EngineError::Format { place: format!("blob {}", part.id), source });
                    }
                }
                each(self, &plain)?;
            }
        }
        Ok(())
    }

    /// Sends the blobs of a file from one on.
    fn send(&mut self, content: &Content, from: usize) -> Result<(), EngineError> {
        self.read(content, from, |stream, plain| {
            stream.out.write_all(plain).map_err(broken)?;
            stream.progress.done(0, plain.len() as u64);
            Ok(())
        })
    }

    fn archive(&mut self, trees: &mut BlobReader<'_>, tree: Id, path: &[u8]) -> Result<(), EngineError> {
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let above = names.join(&b'/');
        let mut links = HashMap::new();
        let repository = self.repository;
        // A folder is sent when it is looked into: what is in it comes next, as tar programs want it, which set a
        // folder's times when they leave it.
        let mut folders = vec![Folder { path: above, depth: 0, tree, node: None }];
        while let Some(folder) = folders.pop() {
            self.interrupt.check()?;
            self.progress.looked.fetch_add(1, Ordering::Relaxed);
            if let Some(node) = &folder.node {
                let sent = node.entry(&folder.path);
                self.out.write_all(&head(&sent)).map_err(broken)?;
            }
            let (mut deeper, mut is_broken_off) = (Vec::new(), false);
            let listed = tree_entries(repository, trees, &folder.tree, |node| {
                let path = join(&folder.path, &node.name);
                match (node.kind, node.subtree) {
                    (NodeKind::Dir, Some(tree)) if folder.depth < DEPTH_MAX => {
                        let node = Some(Box::new(FolderNode::from(node)));
                        deeper.push(Folder { path, depth: folder.depth + 1, tree, node });
                    }
                    (NodeKind::Dir, _) => {
                        self.done.unread.push(shown(&path), format!("it lies deeper than {DEPTH_MAX} folders"));
                    }
                    _ => self.entry(&path, node, &mut links).inspect_err(|_| is_broken_off = true)?,
                }
                Ok(())
            });
            match listed {
                Ok(()) => {}
                // The folder's own tree; what breaks off in the middle of a file ends the stream, which cannot take it back.
                Err(error) if error.is_harm() && !is_broken_off => {
                    self.done.unread.push(shown(&folder.path), chain(&error));
                }
                Err(error) => return Err(error),
            }
            folders.extend(deeper.into_iter().rev());
        }
        self.out.write_all(&tar::END).map_err(broken)
    }

    /// Sends one entry that is no folder. `links` has the first path of each inode that has several.
    fn entry(&mut self, path: &[u8], node: &Node<'_>, links: &mut Links) -> Result<(), EngineError> {
        let kind = match node.kind {
            NodeKind::File => TarKind::File,
            NodeKind::Symlink => TarKind::Symlink,
            NodeKind::Fifo => TarKind::Fifo,
            NodeKind::CharDevice => TarKind::CharDevice,
            NodeKind::BlockDevice => TarKind::BlockDevice,
            NodeKind::Dir | NodeKind::Socket | NodeKind::Other => {
                self.done.unread.push(shown(path), "a tar archive has no place for its kind".to_owned());
                return Ok(());
            }
        };
        let mut sent = TarEntry {
            path,
            kind,
            metadata: &node.metadata,
            size_bytes: 0,
            target: &node.target,
            user: &node.user,
            group: &node.group,
            attributes: &node.extended_attributes,
        };
        let set = (node.metadata.links > 1).then(|| links.entry(set_of(node)));
        if let Some(Entry::Occupied(first)) = &set {
            (sent.kind, sent.target) = (TarKind::HardLink, first.get());
            return self.out.write_all(&head(&sent)).map_err(broken);
        }
        let sent = match kind {
            TarKind::File => self.file(sent, &node.content)?,
            _ => self.out.write_all(&head(&sent)).map(|()| true).map_err(broken)?,
        };
        if let (true, Some(Entry::Vacant(first))) = (sent, set) {
            first.insert(path.to_vec());
        }
        Ok(())
    }

    /// Sends a file; false when it was named instead.
    fn file(&mut self, mut sent: TarEntry<'_>, ids: &[Id]) -> Result<bool, EngineError> {
        let mut ahead = Vec::new();
        let read = Content::of(self.index, self.repository, ids).and_then(|content| {
            if content.bytes <= AHEAD_BYTES_MAX {
                self.read(&content, 0, |_, plain| {
                    ahead.extend_from_slice(plain);
                    Ok(())
                })?;
            }
            Ok(content)
        });
        let content = match read {
            Ok(content) => content,
            Err(error) if error.is_harm() => {
                self.done.unread.push(shown(sent.path), chain(&error));
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        sent.size_bytes = content.bytes;
        self.out.write_all(&head(&sent)).map_err(broken)?;
        if content.bytes <= AHEAD_BYTES_MAX {
            self.out.write_all(&ahead).map_err(broken)?;
            self.progress.done(0, content.bytes);
        } else {
            self.send(&content, 0)?;
        }
        self.out.write_all(&[0; tar::BLOCK_BYTES][..padding(content.bytes)]).map_err(broken)?;
        self.file_done(content.bytes);
        Ok(true)
    }
}

/// A folder to look into.
struct Folder {
    path: Vec<u8>,
    depth: usize,
    tree: Id,
    /// What is sent of it; none of the folder that the archive is of.
    node: Option<Box<FolderNode>>,
}

/// What a header says of a folder.
struct FolderNode {
    metadata: Metadata,
    user: String,
    group: String,
    attributes: Vec<ExtendedAttribute>,
}

impl From<&Node<'_>> for FolderNode {
    fn from(node: &Node<'_>) -> Self {
        let (user, group) = (node.user.to_string(), node.group.to_string());
        Self { metadata: node.metadata, user, group, attributes: node.extended_attributes.clone() }
    }
}

impl FolderNode {
    fn entry<'a>(&'a self, path: &'a [u8]) -> TarEntry<'a> {
        TarEntry {
            path,
            kind: TarKind::Dir,
            metadata: &self.metadata,
            size_bytes: 0,
            target: b"",
            user: &self.user,
            group: &self.group,
            attributes: &self.attributes,
        }
    }
}

/// First paths of inodes that have several, by device, inode and a hash of the content.
type Links = HashMap<(u64, u64, u64), Vec<u8>>;

fn set_of(node: &Node<'_>) -> (u64, u64, u64) {
    let mut hasher = DefaultHasher::new();
    (node.kind, &node.content, &node.target).hash(&mut hasher);
    (node.metadata.device_id, node.metadata.inode, hasher.finish())
}
