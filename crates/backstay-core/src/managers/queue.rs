//! Keeps by what the queue is gone through: how many jobs may run at a time, and how tenants share.

use super::context::Context;
use crate::domain::fairness::Rules;
use crate::ports::store::StoreError;

/// How often a change is tried that names no revision, when others change the rules too.
const PUT_TRIES: u32 = 8;

/// Puts rules in the place of all that there are, or of those with a revision; none when another revision is there.
/// Returns the new revision.
///
/// # Errors
/// [`StoreError`].
pub async fn queue_rules_change(
    context: &Context,
    rules: &Rules,
    revision: Option<i64>,
) -> Result<Option<i64>, StoreError> {
    for _ in 0..PUT_TRIES {
        let seen = match revision {
            Some(revision) => revision,
            None => context.jobs.queue_rules_get().await?.1,
        };
        if context.jobs.queue_rules_put(seen, rules).await? {
            return Ok(Some(seen + 1));
        }
        if revision.is_some() {
            break;
        }
    }
    Ok(None)
}
