//! Goes through a tree by name, each folder's entries right behind the folder.

use super::entry::{Entries, Entry, read_tree};
use crate::browse::join;
use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::id::Id;
use crate::interrupt::Interrupt;
use crate::repository::{BlobReader, Repository};

/// Deepest folder that is looked into: a crafted snapshot may name a tree in itself.
const DEPTH_MAX: usize = 8_192;

/// What the walk met.
#[derive(Debug)]
pub enum Step<'a> {
    /// An entry.
    Entry {
        /// Names joined by `/`, without a leading one.
        path: &'a [u8],
        /// The entry.
        entry: &'a Entry,
        /// The tree that it stands in.
        tree: &'a Id,
    },
    /// A folder whose tree cannot be read.
    Unreadable {
        /// Its path.
        path: &'a [u8],
        /// Why.
        error: EngineError,
    },
}

/// How a walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Into the folder, if it is one.
    Into,
    /// Past it.
    Past,
    /// Not at all.
    Stop,
}

/// One folder on the way from the root.
struct Level {
    path: Vec<u8>,
    tree: Id,
    entries: Entries,
}

/// Walks all entries below a tree.
///
/// # Errors
/// [`EngineError::Interrupted`], what `each` returns, and what is no harm but keeps the storage from answering.
pub fn walk(
    repository: &Repository,
    blobs: &mut BlobReader<'_>,
    root: Id,
    interrupt: &Interrupt,
    each: &mut dyn FnMut(Step<'_>) -> Result<Flow, EngineError>,
) -> Result<(), EngineError> {
    let mut levels: Vec<Level> = Vec::new();
    let mut next = Some((Vec::new(), root));
    loop {
        if let Some((path, tree)) = next.take() {
            interrupt.check()?;
            let listed =
                if levels.len() < DEPTH_MAX { read_tree(repository, blobs, &tree) } else { Err(too_deep(&path)) };
            match listed {
                Ok(entries) => levels.push(Level { path, tree, entries }),
                Err(error) if error.is_harm() => {
                    if each(Step::Unreadable { path: &path, error })? == Flow::Stop {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let Some(level) = levels.last_mut() else { return Ok(()) };
        let Some(entry) = level.entries.next().transpose()? else {
            levels.pop();
            continue;
        };
        let path = join(&level.path, &entry.name);
        match (each(Step::Entry { path: &path, entry: &entry, tree: &level.tree })?, entry.subtree) {
            (Flow::Stop, _) => return Ok(()),
            (Flow::Into, Some(subtree)) if entry.is_dir() => next = Some((path, subtree)),
            _ => {}
        }
    }
}

fn too_deep(path: &[u8]) -> EngineError {
    let source = FormatError::shape("tree", format!("it lies deeper than {DEPTH_MAX} folders"));
    EngineError::Format { place: String::from_utf8_lossy(path).into_owned(), source }
}
