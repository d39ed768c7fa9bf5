//! The promise about age: what the product takes for an item's newest good snapshot is what a naive look finds.

use std::time::Duration;

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
                let good = self.good.get(&item.id.to_string()).map_or(&[][..], Vec::as_slice);
                let newest = good.iter().copied().filter(|at| *at <= now.as_microsecond()).max();
                let breach = newest.unwrap_or(plan.created_at.as_microsecond()) + micros(plan.rpo);
                let stored = self.stage().block(self.world.database.snapshot_newest_good(item.id, plan.repository_id));
                let stored = stored.ok().flatten().map(|snapshot| snapshot.taken_at);
                let told = age(plan.rpo, plan.created_at, stored, item.confirmed_at, now);
                keep(told.breach_at == instant(breach), "overdue is what a naive look finds", || {
                    format!("item {}: {told:?}, naive breach {}", item.id, instant(breach))
                })?;
            }
        }
        Ok(())
    }

    /// After a calm of this length every item is younger than the RPO of its plan, if that is shorter.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn young_again(&self, calm: Duration) -> Result<(), Broken> {
        let now = self.stage().now().as_microsecond();
        for (plan, items) in self.world.plans.iter().filter(|(plan, _)| plan.rpo < calm) {
            for item in items {
                let good = self.good.get(&item.id.to_string()).map_or(&[][..], Vec::as_slice);
                let newest = good.iter().copied().filter(|at| *at <= now).max();
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
