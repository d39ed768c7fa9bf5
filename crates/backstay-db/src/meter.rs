//! Figures for monitoring.

use async_trait::async_trait;
use backstay_core::domain::job::{JobKind, StateName};
use backstay_core::ports::meter::{MeterStore, QueueDepth};
use backstay_core::ports::store::StoreError;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::Database;
use crate::entity::job;
use crate::error::store_error;
use crate::row::Row;

#[async_trait]
impl MeterStore for Database {
    async fn queue_depth(&self) -> Result<Vec<QueueDepth>, StoreError> {
        let open = StateName::ALL.iter().filter(|state| !state.is_final()).map(|state| state.word());
        let rows = job::Entity::find()
            .select_only()
            .column(job::Column::Kind)
            .column(job::Column::State)
            .column_as(job::Column::Id.count(), "job_count")
            .column_as(job::Column::CreatedAt.min(), "oldest_at")
            .filter(job::Column::State.is_in(open))
            .group_by(job::Column::Kind)
            .group_by(job::Column::State)
            .order_by_asc(job::Column::Kind)
            .order_by_asc(job::Column::State)
            .into_tuple::<(String, String, i64, i64)>()
            .all(&self.reader)
            .await
            .map_err(store_error)?;
        let read = |(kind, state, count, oldest): (String, String, i64, i64)| {
            let row = Row::of("job", "of a group");
            Ok(QueueDepth {
                kind: row.word("kind", &kind, JobKind::from_word)?,
                state: row.word("state", &state, StateName::from_word)?,
                count: row.count("job_count", count)?,
                oldest_at: row.instant("created_at", oldest)?,
            })
        };
        rows.into_iter().map(read).collect()
    }
}
