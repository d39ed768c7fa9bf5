//! Checks a tenant's chain of events: places without a gap and each hash, from what was swept on.

use super::context::Context;
use crate::domain::event::{EventFault, fault_of};
use crate::domain::id::TenantId;
use crate::ports::store::{ChainedEvent, PAGE_ROWS_MAX, StoreError};

/// Pages of events that one answer looks at: the next ones are asked for again.
const CHAIN_PAGES_MAX: usize = 20;

/// What was found of a tenant's chain, from a place on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventsChecked {
    /// Events that are right.
    pub checked: u64,
    /// Place of the last event that was swept, from which the chain goes on; none while all are there.
    pub swept: Option<i64>,
    /// Place and hash of the last one that is right: who notes it elsewhere sees when events behind it are gone.
    pub last: Option<(i64, String)>,
    /// From where on more is to be looked at; none when the end was reached, or something is wrong.
    pub next: Option<i64>,
    /// The first place at which something is wrong, and what.
    pub broken: Option<(i64, EventFault)>,
}

/// Recomputes a tenant's chain from a place on, as much of it as one answer may take.
///
/// # Errors
/// [`StoreError`].
pub async fn event_verify(context: &Context, tenant: TenantId, from: i64) -> Result<EventsChecked, StoreError> {
    loop {
        let found = look(context, tenant, from).await?;
        let Some((place, _)) = found.broken else { return Ok(found) };
        let swept = context.history.event_anchor(tenant).await?.map(|(swept, _)| swept);
        // What is swept meanwhile is gone from the very place that is looked at: then the look is worth nothing.
        if swept == found.swept || swept < Some(place - 1) {
            return Ok(found);
        }
    }
}

/// Looks once.
async fn look(context: &Context, tenant: TenantId, from: i64) -> Result<EventsChecked, StoreError> {
    let anchor = context.history.event_anchor(tenant).await?;
    let swept = anchor.as_ref().map(|(place, _)| *place);
    let begin = swept.unwrap_or(0).saturating_add(1);
    // Where all was swept the anchor is the last one.
    let last = anchor.clone().filter(|_| from <= begin);
    let mut found = EventsChecked { swept, last, ..EventsChecked::default() };
    let mut place = from.max(begin);
    let mut previous = match place == begin {
        true => anchor.map(|(_, hash)| hash),
        // It was looked at before; where it is gone, the next one does not follow it.
        false => {
            let before = context.history.event_list(tenant, place - 1, 1).await?.pop();
            before.filter(|row| row.sequence == place - 1).map(|row| row.hash)
        }
    };
    for _ in 0..CHAIN_PAGES_MAX {
        let (page, unreadable) = readable(context, tenant, place).await?;
        let is_last = page.len() < PAGE_ROWS_MAX as usize;
        for row in page {
            if let Some(fault) = fault_of((&row.event, row.sequence, &row.hash), place, previous.as_deref()) {
                found.broken = Some((place, fault));
                return Ok(found);
            }
            found.checked += 1;
            found.last = Some((place, row.hash.clone()));
            previous = Some(row.hash);
            place = place.saturating_add(1);
        }
        found.broken = unreadable.map(|problem| (place, EventFault::Unreadable { problem }));
        if is_last {
            return Ok(found);
        }
    }
    found.next = Some(place);
    Ok(found)
}

/// Returns a page of events from a place on, up to the first one whose row cannot be read, and what is wrong with that.
async fn readable(
    context: &Context,
    tenant: TenantId,
    from: i64,
) -> Result<(Vec<ChainedEvent>, Option<String>), StoreError> {
    match context.history.event_list(tenant, from, PAGE_ROWS_MAX).await {
        Err(StoreError::Unreadable { .. }) => {}
        answer => return Ok((answer?, None)),
    }
    let mut rows: Vec<ChainedEvent> = Vec::new();
    for place in from..from.saturating_add(i64::from(PAGE_ROWS_MAX)) {
        match context.history.event_list(tenant, place, 1).await {
            Err(StoreError::Unreadable { problem, .. }) => return Ok((rows, Some(problem))),
            answer => match answer?.pop() {
                Some(row) => rows.push(row),
                None => break,
            },
        }
    }
    Ok((rows, None))
}
