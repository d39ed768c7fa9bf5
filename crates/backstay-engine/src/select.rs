//! Which snapshot is meant: `latest`, an id or the beginning of one, with `:FOLDER` behind it, and filters by host, tag
//! and path.
//!
//! The rules are restic's. What cannot be read is named, never left out in silence: a caller that deletes must refuse to
//! go on from a list that has holes. Who comes in: the verbs of `backstay engine`.

use crate::browse;
use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::object::FileKind;
use crate::format::snapshot::SnapshotFile;
use crate::format::time::FileTime;
use crate::interrupt::Interrupt;
use crate::repository::{BlobReader, Repository};

/// Digits of an id that are shown to people.
pub const SHORT_DIGITS: usize = 8;

/// A snapshot that was read.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its id.
    pub id: Id,
    /// When reading began.
    pub time: FileTime,
    /// What it says.
    pub file: SnapshotFile,
    /// The same as it was stored: JSON, also with fields that this program does not know.
    pub plain: Vec<u8>,
}

/// All snapshots of a repository.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Those that could be read, oldest first.
    pub read: Vec<Snapshot>,
    /// Those that could not.
    pub unreadable: Vec<(Id, EngineError)>,
}

/// Which snapshots are looked at. A part that is empty lets all pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Any of these machines.
    pub hosts: Vec<String>,
    /// All tags of any of these lists; the list with nothing but an empty tag means snapshots without tags.
    pub tags: Vec<Vec<String>>,
    /// All of these paths.
    pub paths: Vec<String>,
}

/// What somebody called a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// `latest`, an id, or the beginning of one.
    pub word: String,
    /// A folder in it; empty for its root.
    pub folder: Vec<u8>,
}

/// Why a word names no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// No id begins like this.
    #[error("no snapshot's id begins with `{word}`")]
    Unknown {
        /// What was asked for.
        word: String,
    },
    /// No snapshot passes the filter.
    #[error("there is no snapshot that fits")]
    NoneFits,
    /// More than one id begins like this.
    #[error("{count} snapshots have ids that begin with `{word}`")]
    Ambiguous {
        /// What was asked for.
        word: String,
        /// How many.
        count: usize,
    },
    /// A folder was named where the whole snapshot is meant.
    #[error("`{word}:…` names a folder, and here whole snapshots are meant")]
    Folder {
        /// What was asked for.
        word: String,
    },
    /// The repository did not answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Filter {
    /// Says whether it lets everything pass.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Says whether a snapshot passes.
    pub fn takes(&self, file: &SnapshotFile) -> bool {
        let host = self.hosts.is_empty() || self.hosts.contains(&file.hostname);
        let paths = self.paths.iter().all(|path| file.paths.contains(path));
        host && paths && (self.tags.is_empty() || self.tags.iter().any(|list| has_tags(file, list)))
    }
}

/// Says whether a snapshot has all of these tags; an empty tag means that it has none.
fn has_tags(file: &SnapshotFile, list: &[String]) -> bool {
    list.iter().all(|tag| if tag.is_empty() { file.tags.is_empty() } else { file.tags.contains(tag) })
}

impl Wanted {
    /// Cuts `WORD:FOLDER` in two.
    pub fn read(text: &str) -> Self {
        let (word, folder) = text.split_once(':').unwrap_or((text, ""));
        Self { word: word.to_owned(), folder: folder.as_bytes().to_vec() }
    }
}

/// Reads one snapshot.
///
/// # Errors
/// [`EngineError::NoSnapshot`], [`EngineError::Format`], [`EngineError::Storage`], [`EngineError::Interrupted`].
pub fn read(repository: &Repository, id: Id, interrupt: &Interrupt) -> Result<Snapshot, EngineError> {
    parse(repository, id, repository.file_read(FileKind::Snapshot, &id, interrupt))
}

fn parse(repository: &Repository, id: Id, plain: Result<Vec<u8>, EngineError>) -> Result<Snapshot, EngineError> {
    use backstay_storage::StorageError::Missing;
    let plain = match plain {
        Err(EngineError::Storage(Missing { .. })) => return Err(EngineError::NoSnapshot { id: id.to_hex() }),
        answer => answer?,
    };
    let told = |source| repository.told(FileKind::Snapshot, &id, source);
    let file = SnapshotFile::read(&plain).map_err(told)?;
    let wrong = || crate::format::FormatError::shape("snapshot", format!("`{}` is no instant", file.time));
    let time = FileTime::read(&file.time).ok_or_else(|| told(wrong()))?;
    Ok(Snapshot { id, time, file, plain })
}

/// Reads all snapshots. One that was forgotten since the list was made is no loss and left out.
///
/// # Errors
/// [`EngineError::Storage`] when the list is not complete; [`EngineError::Interrupted`].
pub fn read_all(repository: &Repository, interrupt: &Interrupt) -> Result<Snapshots, EngineError> {
    let mut all = Snapshots::default();
    let ids = repository.file_list(FileKind::Snapshot, interrupt)?;
    repository.each_file(FileKind::Snapshot, &ids, interrupt, |id, plain| {
        match parse(repository, *id, plain) {
            Ok(snapshot) => all.read.push(snapshot),
            Err(EngineError::NoSnapshot { .. }) => {}
            Err(EngineError::Interrupted) => return Err(EngineError::Interrupted),
            Err(error) => all.unreadable.push((*id, error)),
        }
        Ok(())
    })?;
    all.read.sort_by(|a, b| a.time.cmp(&b.time).then(a.id.cmp(&b.id)));
    Ok(all)
}

/// Returns the one id that begins with these digits.
///
/// # Errors
/// [`SelectError::Unknown`], [`SelectError::Ambiguous`].
pub fn expand(ids: &[Id], word: &str) -> Result<Id, SelectError> {
    let mut fit = ids.iter().filter(|id| !word.is_empty() && id.to_hex().starts_with(word));
    match (fit.next(), fit.count()) {
        (None, _) => Err(SelectError::Unknown { word: word.to_owned() }),
        (Some(id), 0) => Ok(*id),
        (Some(_), more) => Err(SelectError::Ambiguous { word: word.to_owned(), count: more + 1 }),
    }
}

/// Returns the snapshot that a word names. The filter counts for `latest` alone.
///
/// # Errors
/// [`SelectError`]. For `latest` a snapshot that cannot be read is an error: it may be the newest.
pub fn one(
    repository: &Repository,
    word: &str,
    filter: &Filter,
    interrupt: &Interrupt,
) -> Result<Snapshot, SelectError> {
    if word == "latest" {
        let mut all = read_all(repository, interrupt)?;
        if let Some((_, error)) = all.unreadable.pop() {
            return Err(error.into());
        }
        return newest(all.read, filter).ok_or(SelectError::NoneFits);
    }
    let id = match Id::from_hex(word) {
        Some(id) => id,
        None => expand(&repository.file_list(FileKind::Snapshot, interrupt)?, word)?,
    };
    match read(repository, id, interrupt) {
        Err(EngineError::NoSnapshot { .. }) => Err(SelectError::Unknown { word: word.to_owned() }),
        answer => Ok(answer?),
    }
}

/// Returns the newest of the snapshots that pass.
pub fn newest(snapshots: Vec<Snapshot>, filter: &Filter) -> Option<Snapshot> {
    let fit = snapshots.into_iter().filter(|snapshot| filter.takes(&snapshot.file));
    fit.max_by(|a, b| a.time.cmp(&b.time).then(a.id.cmp(&b.id)))
}

/// What several words name.
#[derive(Debug, Default)]
pub struct Many {
    /// The snapshots, in the order of the words; without words all that pass the filter, oldest first.
    pub chosen: Vec<Snapshot>,
    /// Words that name nothing.
    pub ignored: Vec<(String, SelectError)>,
    /// Snapshots that could not be read.
    pub unreadable: Vec<(Id, EngineError)>,
}

/// Returns the snapshots that several words name: each once, and words that name nothing apart. Without words it is all
/// snapshots that pass the filter.
///
/// # Errors
/// [`EngineError`] when the list cannot be had.
pub fn many(
    repository: &Repository,
    words: &[String],
    filter: &Filter,
    interrupt: &Interrupt,
) -> Result<Many, EngineError> {
    let all = read_all(repository, interrupt)?;
    let mut many = Many { unreadable: all.unreadable, ..Many::default() };
    if words.is_empty() {
        many.chosen = all.read.into_iter().filter(|snapshot| filter.takes(&snapshot.file)).collect();
        return Ok(many);
    }
    let ids: Vec<Id> = all.read.iter().map(|snapshot| snapshot.id).collect();
    for text in words {
        let wanted = Wanted::read(text);
        let found = match (text.contains(':'), wanted.word.as_str()) {
            (true, _) => Err(SelectError::Folder { word: wanted.word }),
            (false, "latest") => newest(all.read.clone(), filter).ok_or(SelectError::NoneFits),
            (false, word) => expand(&ids, word)
                .map(|id| all.read.iter().find(|one| one.id == id).cloned().expect("its id came from here")),
        };
        match found {
            Ok(snapshot) if many.chosen.iter().any(|one| one.id == snapshot.id) => {}
            Ok(snapshot) => many.chosen.push(snapshot),
            Err(error) => many.ignored.push((text.clone(), error)),
        }
    }
    Ok(many)
}

/// Returns the tree of a folder in a snapshot; an empty path means its root.
///
/// # Errors
/// [`EngineError::NoPath`] when it is not there or no folder; or that a tree cannot be read.
pub fn tree_of(
    repository: &Repository,
    blobs: &mut BlobReader<'_>,
    snapshot: &Snapshot,
    folder: &[u8],
) -> Result<Id, EngineError> {
    let found = browse::find(repository, blobs, snapshot.file.tree, folder)?;
    let wrong = || EngineError::NoPath { path: String::from_utf8_lossy(folder).into_owned(), wanted: "folder" };
    found.subtree.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(host: &str, tags: &[&str], paths: &[&str]) -> SnapshotFile {
        let words = |words: &[&str]| serde_json::to_value(words).unwrap();
        let value = serde_json::json!({
            "time": "2024-01-01T00:00:00Z", "tree": Id::of(b"t"), "hostname": host, "tags": words(tags),
            "paths": words(paths),
        });
        SnapshotFile::read(value.to_string().as_bytes()).unwrap()
    }

    fn filter(hosts: &[&str], tags: &[&[&str]], paths: &[&str]) -> Filter {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Filter { hosts: words(hosts), tags: tags.iter().map(|list| words(list)).collect(), paths: words(paths) }
    }

    #[test]
    fn a_filter_lets_pass_what_restic_s_does() {
        let check = |filter: &Filter, expected: bool| {
            assert_eq!(filter.takes(&file("h", &["a", "b"], &["/x", "/y"])), expected, "{filter:?}");
        };
        check(&filter(&[], &[], &[]), true);
        check(&filter(&["g", "h"], &[], &[]), true);
        check(&filter(&["g"], &[], &[]), false);
        check(&filter(&[], &[&["a", "b"]], &[]), true);
        check(&filter(&[], &[&["a", "c"]], &[]), false);
        check(&filter(&[], &[&["a", "c"], &["b"]], &[]), true);
        check(&filter(&[], &[&[""]], &[]), false);
        check(&filter(&[], &[], &["/x"]), true);
        check(&filter(&[], &[], &["/x", "/z"]), false);
        assert!(filter(&[], &[&[""]], &[]).takes(&file("h", &[], &["/x"])));
    }

    #[test]
    fn the_beginning_of_an_id_must_name_one() {
        let ids: Vec<Id> = [[0x12; 32], [0x13; 32], [0x2f; 32]].map(Id).to_vec();
        assert_eq!(expand(&ids, "2").unwrap(), ids[2]);
        assert_eq!(expand(&ids, "1212").unwrap(), ids[0]);
        assert!(matches!(expand(&ids, "1"), Err(SelectError::Ambiguous { count: 2, .. })));
        assert!(matches!(expand(&ids, "3"), Err(SelectError::Unknown { .. })));
        assert!(matches!(expand(&ids, ""), Err(SelectError::Unknown { .. })));
    }

    #[test]
    fn a_folder_stands_behind_a_colon() {
        assert_eq!(Wanted::read("latest"), Wanted { word: "latest".to_owned(), folder: Vec::new() });
        assert_eq!(Wanted::read("ab:/c:d"), Wanted { word: "ab".to_owned(), folder: b"/c:d".to_vec() });
    }
}
