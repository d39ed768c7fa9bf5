//! Looks into snapshots with the engine, for whoever browses.
//!
//! The snapshots looked at last stay open: opening one costs a key derivation and its repository's index.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backstay_core::domain::job::LeasedRepository;
use backstay_core::ports::snapshot::{Entry, EntryKind, READ_BYTES_MAX, ReadError, SnapshotReader};
use backstay_engine::browse::{Found, find, list, read_range};
use backstay_engine::format::id::Id;
use backstay_engine::format::index::Index;
use backstay_engine::format::node::NodeKind;
use backstay_engine::repository::BlobReader;
use backstay_engine::{EngineError, Interrupt, Repository};
use backstay_storage::ReadCache;
use jiff::Timestamp;

/// Snapshots that stay open.
const OPEN_MAX: usize = 4;

/// A snapshot that is open.
#[derive(Debug)]
struct OpenSnapshot {
    name: String,
    repository: Repository,
    index: Index,
    tree: Id,
}

/// A reader in this process.
#[derive(Debug, Clone, Default)]
pub struct EngineReader(Arc<Mutex<Vec<Arc<OpenSnapshot>>>>);

impl EngineReader {
    /// Returns a snapshot that is open, or opens it.
    fn open(&self, leased: &LeasedRepository, foreign_id: &str) -> Result<Arc<OpenSnapshot>, EngineError> {
        let name = format!("{}/{foreign_id}", leased.repository.id);
        let known = self.lock().iter().find(|open| open.name == name).map(Arc::clone);
        if let Some(open) = known {
            return Ok(open);
        }
        let repository = crate::repository::open(leased, &Interrupt::default())?;
        let index = repository.index_load(&Interrupt::default())?;
        let (_, file) = repository.snapshot_read(foreign_id, &Interrupt::default())?;
        let open = Arc::new(OpenSnapshot { name, repository, index, tree: file.tree });
        let mut all = self.lock();
        all.truncate(OPEN_MAX - 1);
        all.insert(0, Arc::clone(&open));
        Ok(open)
    }

    /// Runs a look on a thread of its own. A failure closes the snapshot: a prune may have moved its blobs, and the next
    /// look reads the index anew.
    async fn look<T: Send + 'static>(
        &self,
        leased: &LeasedRepository,
        foreign_id: &str,
        look: impl FnOnce(&OpenSnapshot) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let (reader, leased, foreign_id) = (self.clone(), leased.clone(), foreign_id.to_owned());
        let name = leased.repository.name.to_string();
        let thread = move || {
            let open = reader.open(&leased, &foreign_id)?;
            let answer = look(&open);
            if answer.is_err() {
                reader.lock().retain(|other| other.name != open.name);
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
        self.0.lock().expect("no holder panics")
    }
}

#[async_trait]
impl SnapshotReader for EngineReader {
    async fn snapshot_list(
        &self,
        repository: &LeasedRepository,
        snapshot_foreign_id: &str,
        path: &[u8],
    ) -> Result<Vec<Entry>, ReadError> {
        let path = path.to_vec();
        let look = move |open: &OpenSnapshot| list(&open.repository, &mut blobs_of(open), open.tree, &path);
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
        let look = move |open: &OpenSnapshot| find(&open.repository, &mut blobs_of(open), open.tree, &path);
        self.look(repository, snapshot_foreign_id, look).await.map(entry_of)
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
        let look = move |open: &OpenSnapshot| {
            let mut blobs = blobs_of(open);
            let file = find(&open.repository, &mut blobs, open.tree, &path)?;
            read_range(&mut blobs, &file, offset_bytes, length)
        };
        self.look(repository, snapshot_foreign_id, look).await
    }
}

fn blobs_of(open: &OpenSnapshot) -> BlobReader<'_> {
    BlobReader::new(&open.repository, &open.index, ReadCache::Use, &Interrupt::default())
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
