//! Figures for monitoring, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use backstay_core::domain::monitor::Monitor;
use backstay_core::domain::plan::Plan;
use backstay_core::ports::meter::{MeterStore, MonitorFigure, PlanFigure, QueueDepth};
use backstay_core::ports::schedule::ScheduleStore as _;
use backstay_core::ports::store::{DeclarationStore as _, StoreError};
use jiff::Timestamp;

use super::FakeStores;

#[async_trait]
impl MeterStore for FakeStores {
    async fn plan_figures(&self, rows_max: u32, now: Timestamp) -> Result<(Vec<PlanFigure>, u64), StoreError> {
        let live: Vec<Plan> =
            self.read(|rows| rows.plans.values().filter(|plan| plan.retired_at.is_none()).cloned().collect());
        let mut figures = Vec::new();
        for plan in live.iter().take(rows_max as usize) {
            let items = self.schedule_list_items(&[plan.id], now).await?;
            let tenant = self.tenant_get(plan.tenant_id).await?.name.to_string();
            // One that was never saved is worse off than any other.
            let oldest_at = items.iter().map(|row| row.newest_at).min().flatten();
            figures.push(PlanFigure { tenant, plan: plan.name.to_string(), rpo: plan.rpo, oldest_at });
        }
        let not_shown = live.len() - figures.len();
        Ok((figures, not_shown as u64))
    }

    async fn monitor_figures(&self, rows_max: u32) -> Result<(Vec<MonitorFigure>, u64), StoreError> {
        let live: Vec<Monitor> =
            self.read(|rows| rows.monitors.values().filter(|row| row.retired_at.is_none()).cloned().collect());
        let mut figures = Vec::new();
        for monitor in live.iter().take(rows_max as usize) {
            let tenant = self.tenant_get(monitor.tenant_id).await?.name.to_string();
            figures.push(MonitorFigure { tenant, monitor: monitor.clone() });
        }
        let not_shown = live.len() - figures.len();
        Ok((figures, not_shown as u64))
    }

    async fn queue_depth(&self) -> Result<Vec<QueueDepth>, StoreError> {
        Ok(self.read(|rows| {
            let mut depths: BTreeMap<(&str, &str), QueueDepth> = BTreeMap::new();
            for job in rows.jobs.values().filter(|job| !job.state.name().is_final()) {
                let (kind, state, oldest_at) = (job.kind(), job.state.name(), job.created_at);
                let fresh = QueueDepth { kind, state, count: 0, oldest_at };
                let depth = depths.entry((kind.word(), state.word())).or_insert(fresh);
                depth.count += 1;
                depth.oldest_at = depth.oldest_at.min(oldest_at);
            }
            depths.into_values().collect()
        }))
    }
}
