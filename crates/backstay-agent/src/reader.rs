//! Looks into snapshots with the engine, for whoever browses.
//!
//! The snapshots looked at last stay open: opening one costs a key derivation and its repository's index. So many looks
//! go on at once and no more, and one tenant's never take all places.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backstay_core::domain::id::TenantId;
use backstay_core::domain::job::LeasedRepository;
use backstay_core::ports::snapshot::{
    Difference, Differences, Entry, EntryKind, EntryPage, FoundEntries, MetadataToo, OneSide, READ_BYTES_MAX,
    ReadError, Rows, SnapshotReader,
};
use backstay_engine::browse::{Found, find, list, read_range};
use backstay_engine::format::id::Id;
use backstay_engine::format::index::Index;
use backstay_engine::format::node::NodeKind;
use backstay_engine::format::time::FileTime;
use backstay_engine::inspect::diff::{self, Change, Metadata, Side, compare};
use backstay_engine::inspect::entry::Entry as StoredEntry;
use backstay_engine::inspect::walk::{Flow, Step, walk};
use backstay_engine::pattern::Patterns;
use backstay_engine::repository::BlobReader;
use backstay_engine::{EngineError, Interrupt, Repository};
use backstay_storage::ReadCache;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Snapshots that stay open.
const OPEN_MAX: usize = 4;

/// Looks at once: each may hold an index, and derive a key with up to 256 MiB.
const LOOKS_MAX: usize = 4;

/// Those of one tenant.
const LOOKS_OF_TENANT_MAX: usize = 2;

/// Longest that a look waits for its place; whoever asked is told to ask again.
const PLACE_WAIT_MAX: Duration = Duration::from_secs(20);

/// A snapshot that is open.
#[derive(Debug)]
struct OpenSnapshot {
    name: String,
    repository: Repository,
    index: Index,
    tree: Id,
    opened_at: Instant,
}

/// Raises an interrupt when whoever asked is gone: a request that was given up reads no further.
struct Asked(Interrupt);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.raise();
    }
}

/// A reader in this process. Clones share what is open.
#[derive(Debug, Clone)]
pub struct EngineReader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    open: Mutex<Vec<Arc<OpenSnapshot>>>,
    places: Arc<Semaphore>,
    /// Those of tenants that look.
    of_tenants: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
}

impl Default for EngineReader {
    fn default() -> Self {
        let (open, of_tenants) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { open, places: Arc::new(Semaphore::new(LOOKS_MAX)), of_tenants }))
    }
}

impl EngineReader {
    /// Waits for a place, first among its tenant's, then among all.
    async fn place(&self, tenant: TenantId) -> Result<[OwnedSemaphorePermit; 2], ReadError> {
        let own = {
            let mut of_tenants = self.0.of_tenants.lock().expect("no holder panics");
            of_tenants.retain(|_, places| Arc::strong_count(places) > 1);
            of_tenants.entry(tenant).or_insert_with(|| Arc::new(Semaphore::new(LOOKS_OF_TENANT_MAX))).clone()
        };
        let wait = async {
            let own = own.acquire_owned().await.expect("it is never closed");
            [own, self.0.places.clone().acquire_owned().await.expect("it is never closed")]
        };
        tokio::time::timeout(PLACE_WAIT_MAX, wait).await.map_err(|_| ReadError::Busy)
    }

    /// Returns a snapshot that is open, or opens it.
    fn open(
        &self,
        leased: &LeasedRepository,
        foreign_id: &str,
        interrupt: &Interrupt,
    ) -> Result<Arc<OpenSnapshot>, EngineError> {
        let name = format!("{}/{foreign_id}", leased.repository.id);
        let known = self.lock().iter().find(|open| open.name == name).map(Arc::clone);
        if let Some(open) = known {
            return Ok(open);
        }
        let repository = crate::repository::open(leased, interrupt)?;
        let index = repository.index_load(interrupt)?;
        let (_, file) = repository.snapshot_read(foreign_id, interrupt)?;
        let open = Arc::new(OpenSnapshot { name, repository, index, tree: file.tree, opened_at: Instant::now() });
        let mut all = self.lock();
        all.truncate(OPEN_MAX - 1);
        all.insert(0, Arc::clone(&open));
        Ok(open)
    }

    /// Looks into one snapshot.
    async fn look<T: Send + 'static>(
        &self,
        leased: &LeasedRepository,
        foreign_id: &str,
        look: impl FnOnce(&OpenSnapshot, &Interrupt) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.look_at(leased, [foreign_id], move |[open], interrupt| look(open, interrupt)).await
    }

    /// Runs a look on a thread of its own. A failure closes the snapshots: a prune may have moved their blobs, and the next
    /// look reads the index anew.
    async fn look_at<T: Send + 'static, const N: usize>(
        &self,
        leased: &LeasedRepository,
        foreign_ids: [&str; N],
        look: impl FnOnce([&OpenSnapshot; N], &Interrupt) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let (reader, leased, foreign_ids) = (self.clone(), leased.clone(), foreign_ids.map(str::to_owned));
        let name = leased.repository.name.to_string();
        let place = self.place(leased.repository.tenant_id).await?;
        let asked = Asked(Interrupt::default());
        let interrupt = asked.0.clone();
        let thread = move || {
            // Until the look ends: whoever asked may be gone before.
            let _place = place;
            let mut opened = Vec::with_capacity(N);
            for foreign_id in &foreign_ids {
                opened.push(reader.open(&leased, foreign_id, &interrupt)?);
            }
            let answer = look(std::array::from_fn(|at| &*opened[at]), &interrupt);
            if answer.is_err() {
                reader.lock().retain(|other| opened.iter().all(|open| open.name != other.name));
            }
            answer
        };
        match tokio::task::spawn_blocking(thread).await {
            Ok(answer) => answer.map_err(|error| told(name, error)),
            Err(error) => {
                let disposition = backstay_core::domain::disposition::Disposition::Operator;
                Err(ReadError::Repository { name, source: Box::new(error), disposition })
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<OpenSnapshot>>> {
        self.0.open.lock().expect("no holder panics")
    }
}

#[async_trait]
impl SnapshotReader for EngineReader {
    async fn snapshot_list(
        &self,
        repository: &LeasedRepository,
        snapshot_foreign_id: &str,
        path: &[u8],
        page: EntryPage,
    ) -> Result<Vec<Entry>, ReadError> {
        let path = path.to_vec();
        let look = move |open: &OpenSnapshot, interrupt: &Interrupt| {
            let takes = |name: &[u8], known| page.takes(name, known);
            list(&open.repository, &mut blobs_of(open, interrupt), open.tree, &path, takes)
        };
        let found = self.look(repository, snapshot_foreign_id, look).await?;
        Ok(found.into_iter().map(entry_of).collect())
    }

    async fn snapshot_stat(
        &self,
        repository: &LeasedRepository,
        snapshot_foreign_id: &str,
        path: &[u8],
    ) -> Result<Entry, ReadError> {
        let path = path.to_vec();
        let look = move |open: &OpenSnapshot, interrupt: &Interrupt| {
            find(&open.repository, &mut blobs_of(open, interrupt), open.tree, &path)
        };
        self.look(repository, snapshot_foreign_id, look).await.map(entry_of)
    }

    async fn snapshot_find(
        &self,
        repository: &LeasedRepository,
        snapshot_foreign_id: &str,
        pattern: &str,
        rows: Rows,
    ) -> Result<FoundEntries, ReadError> {
        let patterns = Patterns::new([pattern]);
        let patterns = patterns.map_err(|error| ReadError::Pattern { problem: error.to_string() })?;
        let look = move |open: &OpenSnapshot, interrupt: &Interrupt| found(open, &patterns, rows, interrupt);
        self.look(repository, snapshot_foreign_id, look).await
    }

    async fn snapshot_diff(
        &self,
        repository: &LeasedRepository,
        first_foreign_id: &str,
        second_foreign_id: &str,
        metadata: MetadataToo,
        rows: Rows,
    ) -> Result<Differences, ReadError> {
        let look = move |both: [&OpenSnapshot; 2], interrupt: &Interrupt| differences(both, metadata, rows, interrupt);
        self.look_at(repository, [first_foreign_id, second_foreign_id], look).await
    }

    async fn snapshot_read(
        &self,
        repository: &LeasedRepository,
        snapshot_foreign_id: &str,
        path: &[u8],
        offset_bytes: u64,
        length_bytes: u32,
    ) -> Result<Vec<u8>, ReadError> {
        let path = path.to_vec();
        let length = length_bytes.min(READ_BYTES_MAX) as usize;
        let look = move |open: &OpenSnapshot, interrupt: &Interrupt| {
            let mut blobs = blobs_of(open, interrupt);
            let file = find(&open.repository, &mut blobs, open.tree, &path)?;
            if file.kind != NodeKind::File {
                // By its whole path: the engine knows its name alone.
                return Err(EngineError::NoPath { path: String::from_utf8_lossy(&path).into_owned(), wanted: "file" });
            }
            read_range(&mut blobs, &file, offset_bytes, length)
        };
        self.look(repository, snapshot_foreign_id, look).await
    }
}

fn blobs_of<'a>(open: &'a OpenSnapshot, interrupt: &Interrupt) -> BlobReader<'a> {
    BlobReader::new(&open.repository, &open.index, ReadCache::Use, interrupt)
}

/// Goes through a snapshot for the entries that patterns match, up to one more than is wanted.
fn found(
    open: &OpenSnapshot,
    patterns: &Patterns,
    rows: Rows,
    interrupt: &Interrupt,
) -> Result<FoundEntries, EngineError> {
    let (mut found, mut place) = (FoundEntries::default(), 0);
    walk(&open.repository, &mut blobs_of(open, interrupt), open.tree, interrupt, &mut |step| {
        let (path, entry) = match step {
            Step::Entry { path, entry, .. } => (path, entry),
            Step::Unreadable { path, .. } => {
                if found.unreadable.len() < rows.count_max as usize {
                    found.unreadable.push(rooted(path));
                }
                return Ok(Flow::Into);
            }
        };
        let said = patterns.look(path);
        if said.matched {
            if place == rows.end() {
                found.has_more = true;
                return Ok(Flow::Stop);
            }
            if rows.takes(place) {
                found.rows.push((rooted(path), stored_entry(entry)));
            }
            place += 1;
        }
        Ok(if said.matched || said.child_may_match { Flow::Into } else { Flow::Past })
    })?;
    Ok(found)
}

/// Compares two snapshots of one repository by the index of the one that was opened last, which knows the blobs of both.
fn differences(
    [first, second]: [&OpenSnapshot; 2],
    metadata: MetadataToo,
    rows: Rows,
    interrupt: &Interrupt,
) -> Result<Differences, EngineError> {
    let newer = if first.opened_at > second.opened_at { first } else { second };
    let metadata = match metadata {
        MetadataToo::Yes => Metadata::Tell,
        MetadataToo::No => Metadata::Ignore,
    };
    let (mut told, mut place) = (Differences::default(), 0);
    let mut each = |Change { path, modifier }: Change| {
        if rows.takes(place) {
            told.rows.push((path, difference(modifier)));
        }
        told.has_more |= place >= rows.end();
        place += 1;
    };
    let (trees, blobs) = ([first.tree, second.tree], &mut blobs_of(newer, interrupt));
    let totals: diff::Totals = compare(&newer.repository, blobs, trees, metadata, interrupt, &mut each)?;
    let side = |side: Side| OneSide { files: side.files, dirs: side.dirs, others: side.others, bytes: side.bytes };
    (told.changed_files, told.added, told.removed) = (totals.changed_files, side(totals.added), side(totals.removed));
    Ok(told)
}

/// Puts the engine's letters in the port's words.
fn difference(modifier: &str) -> Difference {
    match modifier {
        "+" => Difference::Added,
        "-" => Difference::Removed,
        "M" => Difference::Modified,
        "M?" => Difference::ModifiedUnseen,
        "T" | "TU" => Difference::Retyped,
        _ => Difference::Metadata,
    }
}

/// Returns a path of a walk as paths are told.
fn rooted(path: &[u8]) -> Vec<u8> {
    [b"/", path].concat()
}

fn stored_entry(entry: &StoredEntry) -> Entry {
    let modified = FileTime::read(&entry.shown.mtime).unwrap_or_default();
    let nanoseconds = i32::try_from(modified.nanoseconds).unwrap_or(0);
    Entry {
        name: entry.name.clone(),
        kind: match entry.shown.kind.as_str() {
            "file" => EntryKind::File,
            "dir" => EntryKind::Dir,
            "symlink" => EntryKind::Symlink,
            _ => EntryKind::Other,
        },
        size_bytes: if entry.is_file() { entry.shown.size } else { 0 },
        modified_at: Timestamp::new(modified.seconds, nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH),
        mode: entry.shown.mode & 0o7777,
    }
}

fn entry_of(found: Found) -> Entry {
    let modified = found.metadata.modified;
    let nanoseconds = i32::try_from(modified.nanoseconds).unwrap_or(0);
    Entry {
        name: found.name,
        kind: match found.kind {
            NodeKind::File => EntryKind::File,
            NodeKind::Dir => EntryKind::Dir,
            NodeKind::Symlink => EntryKind::Symlink,
            _ => EntryKind::Other,
        },
        size_bytes: if found.kind == NodeKind::File { found.metadata.size } else { 0 },
        modified_at: Timestamp::new(modified.seconds, nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH),
        mode: found.metadata.mode,
    }
}

/// Puts the engine's words in the port's.
fn told(name: String, error: EngineError) -> ReadError {
    match error {
        EngineError::NoSnapshot { id } => ReadError::NoSnapshot { foreign_id: id },
        EngineError::NoPath { path, wanted: "entry" } => ReadError::NoPath { path },
        EngineError::NoPath { path, wanted } => ReadError::WrongKind { path, wanted },
        error => {
            let disposition = error.disposition();
            ReadError::Repository { name, source: Box::new(error), disposition }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when one tenant can take all places, or when a place is not given back.
    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_looks_leaves_places_for_others() {
        let reader = EngineReader::default();
        let [a, b, c] = [1, 2, 3].map(|n| TenantId::new(Timestamp::UNIX_EPOCH, [n; 10]));
        let first = reader.place(a).await.unwrap();
        let _second = reader.place(a).await.unwrap();
        assert!(matches!(reader.place(a).await, Err(ReadError::Busy)));
        let _others = [reader.place(b).await.unwrap(), reader.place(b).await.unwrap()];
        assert!(matches!(reader.place(c).await, Err(ReadError::Busy)), "all places are taken");
        drop(first);
        drop(reader.place(c).await.unwrap());
        drop(reader.place(a).await.unwrap());
        assert_eq!(reader.0.of_tenants.lock().unwrap().len(), 2, "who looks no more is not counted");
    }
}
