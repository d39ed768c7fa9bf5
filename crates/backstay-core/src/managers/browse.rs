//! Looks into a snapshot through a reader, with the secret that its repository needs.

use super::context::Context;
use super::lease::leased;
use crate::domain::id::SnapshotId;
use crate::domain::storage::Purpose;
use crate::ports::secret::SecretError;
use crate::ports::snapshot::{Entry, ReadError, SnapshotReader};
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
}

/// Returns the entries of a folder in a snapshot, sorted by the bytes of their names.
///
/// # Errors
/// [`BrowseError`].
pub async fn snapshot_entries(
    context: &Context,
    reader: &dyn SnapshotReader,
    id: SnapshotId,
    path: &[u8],
) -> Result<Vec<Entry>, BrowseError> {
    let snapshot = context.history.snapshot_get(id).await?;
    let repository = context.declarations.repository_get(snapshot.repository_id).await?;
    let repository = leased(context, repository, &[Purpose::Watch, Purpose::Read], true).await?;
    Ok(reader.snapshot_list(&repository, &snapshot.foreign_id, path).await?)
}
