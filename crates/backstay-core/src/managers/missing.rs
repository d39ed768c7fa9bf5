//! Snapshots that a prune did not find, though it was not to remove them: one before that did not tell its end may have, when
//! the rules were others, or somebody else did.

use super::context::Context;
use super::request::short;
use crate::domain::id::SnapshotId;
use crate::domain::job::Job;
use crate::ports::store::StoreError;

/// Most snapshots that are named.
const NAMED_MAX: usize = 5;

/// What becomes of snapshots that are not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gone {
    /// What is told.
    pub(super) words: String,
    /// Those whose rows are not to say any more that they are there.
    pub(super) forgotten: Vec<SnapshotId>,
}

/// Judges snapshots that are not there; none when all of them are forgotten already. What a person pinned or holds keeps its
/// row, and is told of again with each prune that looks: nobody is to learn of its loss by its absence from a list.
pub(super) async fn look(context: &Context, job: &Job, missing: &[SnapshotId]) -> Result<Option<Gone>, StoreError> {
    let (mut names, mut forgotten, mut kept) = (Vec::new(), Vec::new(), 0);
    for id in missing {
        let row = context.history.snapshot_get(*id).await?;
        if row.repository_id != job.repository_id || row.forgotten_at.is_some() {
            continue;
        }
        names.push(short(&row.foreign_id).to_owned());
        match row.pinned_at.or(row.held_at) {
            Some(_) => kept += 1,
            None => forgotten.push(row.id),
        }
    }
    if names.is_empty() {
        return Ok(None);
    }
    let count = names.len();
    names.truncate(NAMED_MAX);
    let more = if count > NAMED_MAX { format!(" and {} more", count - NAMED_MAX) } else { String::new() };
    let marked = if kept > 0 { format!(", {kept} of them pinned or held") } else { String::new() };
    let words = format!(
        "{count} snapshots are not in the repository though they were to stay ({}{more}){marked}: a prune \
         before this one that did not come to its end removed them under older rules, or somebody else did",
        names.join(", ")
    );
    Ok(Some(Gone { words, forgotten }))
}
