//! Figures for monitoring that a store can give without reading history.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::StoreError;
use crate::domain::job::{JobKind, StateName};
use crate::domain::monitor::Monitor;

/// How many jobs of a kind are in a state that is not final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueDepth {
    /// The kind.
    pub kind: JobKind,
    /// The state.
    pub state: StateName,
    /// How many; never zero.
    pub count: u64,
    /// When the oldest of them was enqueued.
    pub oldest_at: Timestamp,
}

/// What monitoring shows of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFigure {
    /// Name of its tenant.
    pub tenant: String,
    /// Its name.
    pub plan: String,
    /// How old the newest good snapshot of an item may be.
    pub rpo: Duration,
    /// When the item that is worst off was last saved well or confirmed; none while one never was, or there is none.
    pub oldest_at: Option<Timestamp>,
}

/// What monitoring shows of a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorFigure {
    /// Name of its tenant.
    pub tenant: String,
    /// The monitor.
    pub monitor: Monitor,
}

/// Gives figures.
#[async_trait]
pub trait MeterStore: Send + Sync {
    /// Returns how many jobs of each kind are in each state that is not final, by the words of kind and state.
    async fn queue_depth(&self) -> Result<Vec<QueueDepth>, StoreError>;
    /// Returns what is shown of the first plans that live, by id, as of a moment, and how many more there are. The rest is
    /// counted only where there is one.
    async fn plan_figures(&self, rows_max: u32, now: Timestamp) -> Result<(Vec<PlanFigure>, u64), StoreError>;
    /// Returns the first monitors that live, by id, and how many more there are. The rest is counted only where there is
    /// one.
    async fn monitor_figures(&self, rows_max: u32) -> Result<(Vec<MonitorFigure>, u64), StoreError>;
}
