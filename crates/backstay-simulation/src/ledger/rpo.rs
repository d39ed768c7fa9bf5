//! The promise about age: what the product takes for an item's newest good snapshot is what a naive look finds.

use std::time::Duration;

use backstay_core::domain::id::ItemId;
use backstay_core::domain::rpo::age;
use backstay_core::ports::store::HistoryStore as _;

use super::{Broken, Ledger, keep};
use crate::stage::{instant, micros};

impl Ledger {
    /// Overdue, computed by the product from its rows, is what the plain list of good snapshots says.
    pub(super) fn overdue(&self) -> Result<(), Broken> {
        let now = self.stage().now();
        for (plan, items) in &self.world.plans {
            for item in items {
                let newest = self.proved_at(item.id, now.as_microsecond());
                let breach = newest.unwrap_or(plan.created_at.as_microsecond()) + micros(plan.rpo);
                let stored = self.stage().block(self.world.database.snapshot_newest_good(item.id, plan.repository_id));
                let stored = stored.ok().flatten().map(|snapshot| snapshot.proved_at(now));
                let told = age(plan.rpo, plan.created_at, stored, now);
                keep(told.breach_at == instant(breach), "overdue is what a naive look finds", || {
                    format!("item {}: {told:?}, naive breach {}", item.id, instant(breach))
                })?;
            }
        }
        Ok(())
    }

    /// Returns the moment that an item's newest good snapshot proves: when it was taken, or confirmed after that.
    pub(super) fn proved_at(&self, item: ItemId, now: i64) -> Option<i64> {
        let item = item.to_string();
        let taken_at = self.good.get(&item)?.iter().copied().filter(|at| *at <= now).max()?;
        let confirmed = self.confirmed.get(&(item, taken_at)).copied().filter(|at| *at <= now);
        Some(confirmed.map_or(taken_at, |at| at.max(taken_at)))
    }

    /// After a calm of this length every item is younger than the RPO of its plan, if that is shorter.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn young_again(&self, calm: Duration) -> Result<(), Broken> {
        let now = self.stage().now().as_microsecond();
        for (plan, items) in self.world.plans.iter().filter(|(plan, _)| plan.rpo < calm) {
            for item in items {
                let newest = self.proved_at(item.id, now);
                keep(
                    newest.is_some_and(|at| now - at <= micros(plan.rpo)),
                    "when all is well, every item is younger than its plan's RPO",
                    || format!("item {} of plan {}: {newest:?} at {now}", item.name, plan.name),
                )?;
            }
        }
        Ok(())
    }
}
