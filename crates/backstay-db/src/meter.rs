//! Figures for monitoring.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::id::PlanId;
use backstay_core::domain::job::{JobKind, StateName};
use backstay_core::ports::meter::{MeterStore, MonitorFigure, PlanFigure, QueueDepth};
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::{
    ColumnTrait, EntityTrait, JoinType, PaginatorTrait as _, QueryFilter, QueryOrder, QuerySelect, RelationDef, Select,
    SelectTwo,
};

use crate::Database;
use crate::entity::{job, monitor, plan, tenant};
use crate::error::store_error;
use crate::row::Row;

/// Plans whose items are asked for at once.
const PLANS_AT_ONCE: usize = 500;

/// Returns the question for the first plans that live, by id: what is shown of each, and its tenant's name.
pub(crate) fn plans_question(rows_max: u32) -> Select<plan::Entity> {
    let of_tenant: RelationDef =
        plan::Entity::belongs_to(tenant::Entity).from(plan::Column::TenantId).to(tenant::Column::Id).into();
    plan::Entity::find()
        .select_only()
        .columns([plan::Column::Id, plan::Column::Name, plan::Column::RpoMs])
        .column(tenant::Column::Name)
        .join(JoinType::InnerJoin, of_tenant)
        .filter(plan::Column::RetiredAt.is_null())
        .order_by_asc(plan::Column::Id)
        .limit(u64::from(rows_max))
}

/// Returns the question for the first monitors that live, by id, each with its tenant.
pub(crate) fn monitors_question(rows_max: u32) -> SelectTwo<monitor::Entity, tenant::Entity> {
    let of_tenant: RelationDef =
        monitor::Entity::belongs_to(tenant::Entity).from(monitor::Column::TenantId).to(tenant::Column::Id).into();
    monitor::Entity::find()
        .join(JoinType::InnerJoin, of_tenant)
        .select_also(tenant::Entity)
        .filter(monitor::Column::LiveKey.is_not_null())
        .order_by_asc(monitor::Column::Id)
        .limit(u64::from(rows_max))
}

#[async_trait]
impl MeterStore for Database {
    async fn plan_figures(&self, rows_max: u32, now: Timestamp) -> Result<(Vec<PlanFigure>, u64), StoreError> {
        let found = plans_question(rows_max.saturating_add(1)).into_tuple::<(String, String, i64, String)>();
        let mut found = found.all(&self.reader).await.map_err(store_error)?;
        let mut not_shown = 0;
        if found.len() > rows_max as usize {
            found.truncate(rows_max as usize);
            let live = plan::Entity::find().filter(plan::Column::RetiredAt.is_null());
            let all = live.count(&self.reader).await.map_err(store_error)?;
            not_shown = all.saturating_sub(found.len() as u64);
        }
        let mut figures = Vec::new();
        for some in found.chunks(PLANS_AT_ONCE) {
            let ids = some.iter().map(|(id, ..)| Row::of("plan", id).parse("id", id)).collect::<Result<Vec<_>, _>>()?;
            let mut oldest: HashMap<PlanId, Option<Timestamp>> = HashMap::new();
            for row in self.items_of_plans(&ids, now).await? {
                let worst = oldest.entry(row.plan_id).or_insert(row.newest_at);
                // One that was never saved is worse off than any other.
                *worst = (*worst).min(row.newest_at);
            }
            for (id, (row, plan, rpo_ms, tenant)) in ids.iter().zip(some) {
                let rpo = Duration::from_millis(Row::of("plan", row).count("rpo_ms", *rpo_ms)?);
                let (tenant, plan) = (tenant.clone(), plan.clone());
                figures.push(PlanFigure { tenant, plan, rpo, oldest_at: oldest.get(id).copied().flatten() });
            }
        }
        Ok((figures, not_shown))
    }

    async fn monitor_figures(&self, rows_max: u32) -> Result<(Vec<MonitorFigure>, u64), StoreError> {
        let mut found = monitors_question(rows_max.saturating_add(1)).all(&self.reader).await.map_err(store_error)?;
        let mut not_shown = 0;
        if found.len() > rows_max as usize {
            found.truncate(rows_max as usize);
            let live = monitor::Entity::find().filter(monitor::Column::LiveKey.is_not_null());
            let all = live.count(&self.reader).await.map_err(store_error)?;
            not_shown = all.saturating_sub(found.len() as u64);
        }
        let read = |(row, tenant): (monitor::Model, Option<tenant::Model>)| {
            let tenant = tenant.map_or_else(String::new, |tenant| tenant.name);
            Ok(MonitorFigure { tenant, monitor: row.read()? })
        };
        Ok((found.into_iter().map(read).collect::<Result<_, StoreError>>()?, not_shown))
    }

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
