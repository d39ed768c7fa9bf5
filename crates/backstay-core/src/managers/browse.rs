//! Looks into a snapshot through a reader, with the secret that its repository needs.

use super::context::Context;
use super::lease::leased;
use crate::domain::id::SnapshotId;
use crate::domain::job::LeasedRepository;
use crate::domain::snapshot::Snapshot;
use crate::domain::storage::Purpose;
use crate::ports::secret::SecretError;
use crate::ports::snapshot::{
    Differences, Entry, EntryPage, FoundEntries, MetadataToo, READ_BYTES_MAX, ReadError, Rows, SnapshotReader,
};
use crate::ports::store::StoreError;

/// Why a snapshot could not be looked into.
#[derive(Debug, thiserror::Error)]
pub enum BrowseError {
    /// A row could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The repository's password could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The reader could not read it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Two snapshots that share no blobs.
    #[error("the snapshots lie in two repositories")]
    Apart,
}

/// Returns a page of the entries of a folder in a snapshot, sorted by the bytes of their names.
///
/// # Errors
/// [`BrowseError`].
pub async fn snapshot_entries(
    context: &Context,
    reader: &dyn SnapshotReader,
    id: SnapshotId,
    path: &[u8],
    page: EntryPage,
) -> Result<Vec<Entry>, BrowseError> {
    let snapshot = context.history.snapshot_get(id).await?;
    let repository = opened(context, &snapshot).await?;
    Ok(reader.snapshot_list(&repository, &snapshot.foreign_id, path, page).await?)
}

/// Returns entries of a snapshot whose path a pattern matches.
///
/// # Errors
/// [`BrowseError`].
pub async fn snapshot_find(
    context: &Context,
    reader: &dyn SnapshotReader,
    snapshot: &Snapshot,
    pattern: &str,
    rows: Rows,
) -> Result<FoundEntries, BrowseError> {
    let repository = opened(context, snapshot).await?;
    Ok(reader.snapshot_find(&repository, &snapshot.foreign_id, pattern, rows).await?)
}

/// Returns what differs between two snapshots of one repository.
///
/// # Errors
/// [`BrowseError`].
pub async fn snapshot_diff(
    context: &Context,
    reader: &dyn SnapshotReader,
    [first, second]: [&Snapshot; 2],
    metadata: MetadataToo,
    rows: Rows,
) -> Result<Differences, BrowseError> {
    if first.repository_id != second.repository_id {
        return Err(BrowseError::Apart);
    }
    let repository = opened(context, first).await?;
    Ok(reader.snapshot_diff(&repository, &first.foreign_id, &second.foreign_id, metadata, rows).await?)
}

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes, at most [`READ_BYTES_MAX`].
    pub bytes: Vec<u8>,
    /// Whether the file ends with it.
    pub is_end: bool,
}

/// Returns the piece of a file of a snapshot that begins at a byte; one beyond the file's end is empty.
///
/// # Errors
/// [`BrowseError`].
pub async fn snapshot_read(
    context: &Context,
    reader: &dyn SnapshotReader,
    snapshot: &Snapshot,
    path: &[u8],
    offset_bytes: u64,
) -> Result<Piece, BrowseError> {
    let repository = opened(context, snapshot).await?;
    let bytes = reader.snapshot_read(&repository, &snapshot.foreign_id, path, offset_bytes, READ_BYTES_MAX).await?;
    let is_end = bytes.len() < READ_BYTES_MAX as usize;
    Ok(Piece { bytes, is_end })
}

/// Brings a snapshot's repository together with what a look needs.
async fn opened(context: &Context, snapshot: &Snapshot) -> Result<LeasedRepository, BrowseError> {
    let repository = context.declarations.repository_get(snapshot.repository_id).await?;
    Ok(leased(context, repository, &[Purpose::Watch, Purpose::Read], Some(true)).await?)
}
