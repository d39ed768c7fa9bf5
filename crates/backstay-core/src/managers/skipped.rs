//! Why the newest occurrence of a plan did not run, from what was told of it.

use jiff::{SignedDuration, Timestamp};

use super::context::Context;
use super::digest::place_before;
use crate::domain::event::{Event, EventKind};
use crate::domain::id::TenantId;
use crate::domain::item::Item;
use crate::domain::plan::Plan;
use crate::ports::store::{PAGE_ROWS_MAX, StoreError};

/// Pages of a tenant's events that are looked at from the occurrence on: what is told later than that is not found.
const PAGES_MAX: usize = 4;

/// How far the clocks of writers may be apart for it still to be found.
const SLACK: SignedDuration = SignedDuration::from_secs(600);

/// What a search in what was told came to.
struct Found {
    event: Option<Event>,
    /// Whether more was told than was looked at.
    is_cut: bool,
}

impl Found {
    /// Returns what was told of an occurrence; where nothing was found and not all was looked at, just that.
    fn words(self, planned_at: Timestamp) -> Option<String> {
        let cut = || {
            let looked = PAGES_MAX * PAGE_ROWS_MAX as usize;
            format!(
                "whether its occurrence of {planned_at:.0} was skipped is not known: of what was told since, the \
                 first {looked} events were looked at"
            )
        };
        self.event.map(|event| event.message).or_else(|| self.is_cut.then(cut))
    }
}

/// Returns what was told of a plan's occurrence that was not started; none when it was. Where the search ends before
/// the newest event, that is said.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn of_plan(
    context: &Context,
    plan: &Plan,
    planned_at: Timestamp,
) -> Result<Option<String>, StoreError> {
    let begins = super::schedule::not_started(plan, planned_at);
    let found = newest(context, plan.tenant_id, planned_at, |event| event.message.starts_with(&begins)).await?;
    Ok(found.words(planned_at))
}

/// Returns what was told of an item that was left out of its plan's newest occurrence; none when it was not. Where the
/// search ends before the newest event, that is said.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn of_item(
    context: &Context,
    (plan, item): (&Plan, &Item),
    planned_at: Timestamp,
) -> Result<Option<String>, StoreError> {
    let begins = super::schedule::not_started(plan, planned_at);
    let of_item = super::schedule::left_out(plan, item, planned_at);
    let is_of = |event: &Event| event.message.starts_with(&of_item) || event.message.starts_with(&begins);
    Ok(newest(context, plan.tenant_id, planned_at, is_of).await?.words(planned_at))
}

/// Looks for the newest *skipped* that is wanted, in what a tenant was told since a moment.
async fn newest(
    context: &Context,
    tenant: TenantId,
    since: Timestamp,
    is_wanted: impl Fn(&Event) -> bool,
) -> Result<Found, StoreError> {
    let since = since.saturating_sub(SLACK).unwrap_or(Timestamp::MIN);
    let mut sequence = place_before(context, tenant, since).await?;
    let mut found = Found { event: None, is_cut: true };
    for _ in 0..PAGES_MAX {
        let page = context.history.event_list(tenant, sequence + 1, PAGE_ROWS_MAX).await?;
        found.is_cut = page.len() == PAGE_ROWS_MAX as usize;
        let Some(last) = page.last() else { break };
        sequence = last.sequence;
        let mut skipped = page.into_iter().map(|row| row.event).filter(|event| event.kind == EventKind::Skipped);
        found.event = skipped.rfind(&is_wanted).or(found.event);
        if !found.is_cut {
            break;
        }
    }
    Ok(found)
}
