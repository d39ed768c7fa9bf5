//! Figures for monitoring, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use backstay_core::ports::meter::{MeterStore, QueueDepth};
use backstay_core::ports::store::StoreError;

use super::FakeStores;

#[async_trait]
impl MeterStore for FakeStores {
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
