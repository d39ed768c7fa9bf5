//! Deletes rows of what is over long enough: history would slow nobody down, but it would fill the disk.

use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use crate::domain::id::TenantId;
use crate::domain::sweep::{Sweepable, cut};
use crate::ports::store::StoreError;
use crate::ports::sweep::SweepStore;

/// Rows of one batch: a transaction of some milliseconds.
const BATCH_ROWS_MAX: u32 = 500;

/// Most batches of one kind in a tick: after downtime, or with a shorter history, the rest goes with the next ticks.
const TICK_BATCHES_MAX: u32 = 200;

/// What one tick deleted.
#[derive(Debug, Default)]
pub struct SweepTicked {
    /// Rows of each kind, only of those that had any.
    pub swept: Vec<(Sweepable, u64)>,
    /// Kinds that could not be swept, each with why: they are tried again.
    pub failed: Vec<(Sweepable, StoreError)>,
}

/// Deletes what is over; history is kept for `history`. Safe to repeat and to run twice at once.
///
/// # Errors
/// [`StoreError`] when nothing can be asked. A kind that cannot be swept does not hold up the others.
pub async fn sweep_tick(
    context: &Context,
    store: &dyn SweepStore,
    history: Duration,
) -> Result<SweepTicked, StoreError> {
    let now = context.schedules.clock_read().await?;
    let mut done = SweepTicked::default();
    for &what in Sweepable::ALL {
        let (before, mut count) = (cut(what, history, now), 0);
        let mut swept = Ok(());
        if what == Sweepable::Events {
            for tenant in context.declarations.tenant_list().await? {
                swept = swept.and(batches(store, (what, Some(tenant.id)), before, &mut count).await);
            }
        } else {
            swept = batches(store, (what, None), before, &mut count).await;
        }
        if count > 0 {
            done.swept.push((what, count));
        }
        if let Err(error) = swept {
            done.failed.push((what, error));
        }
    }
    Ok(done)
}

/// Takes batches of one kind, of a tenant when it is about events, until one is not full.
async fn batches(
    store: &dyn SweepStore,
    (what, tenant): (Sweepable, Option<TenantId>),
    before: Timestamp,
    count: &mut u64,
) -> Result<(), StoreError> {
    for _ in 0..TICK_BATCHES_MAX {
        let rows = match tenant {
            Some(tenant) => store.event_sweep(tenant, before, BATCH_ROWS_MAX).await?,
            None => store.rows_sweep(what, before, BATCH_ROWS_MAX).await?,
        };
        *count += rows;
        if rows < u64::from(BATCH_ROWS_MAX) {
            break;
        }
    }
    Ok(())
}
