//! A monitor as a row.

use std::time::Duration;

use backstay_core::domain::monitor::{Monitor, Trouble};
use backstay_core::domain::schedule::{OverlapKey, Rhythm, Schedule};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::{Row, count_cell, ms_cell};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "monitor")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) name: String,
    /// Tenant and name while it lives: no two living ones have the same.
    pub(crate) live_key: Option<String>,
    pub(crate) rhythm: String,
    pub(crate) time_zone: String,
    pub(crate) grace_ms: i64,
    pub(crate) created_at: i64,
    pub(crate) retired_at: Option<i64>,
    pub(crate) ended_at: Option<i64>,
    /// Whether the work ended well that ended last; there exactly when one did.
    pub(crate) ended_well: Option<i64>,
    pub(crate) started_at: Option<i64>,
    pub(crate) told: Option<String>,
    /// When it is looked at; none for a retired one.
    pub(crate) due_at: Option<i64>,
    pub(crate) revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Returns what is unique of a living monitor.
pub(crate) fn live_key(tenant: &str, name: &str) -> String {
    format!("{tenant}/{name}")
}

impl Model {
    /// Returns the row of a monitor at its next revision.
    pub(crate) fn of(row: &Monitor) -> Self {
        let lives = row.retired_at.is_none();
        let (tenant_id, name) = (row.tenant_id.to_string(), row.name.to_string());
        Self {
            id: row.id.to_string(),
            live_key: lives.then(|| live_key(&tenant_id, &name)),
            tenant_id,
            name,
            rhythm: row.schedule.rhythm().words(),
            time_zone: row.schedule.time_zone().to_owned(),
            grace_ms: ms_cell(row.grace),
            created_at: row.created_at.as_microsecond(),
            retired_at: row.retired_at.map(|at| at.as_microsecond()),
            ended_at: row.ended.map(|(at, _)| at.as_microsecond()),
            ended_well: row.ended.map(|(_, well)| i64::from(well)),
            started_at: row.started_at.map(|at| at.as_microsecond()),
            told: row.told.map(|told| told.word().to_owned()),
            due_at: lives.then(|| row.due_at.as_microsecond()),
            revision: count_cell(row.revision + 1),
        }
    }

    pub(crate) fn read(self) -> Result<Monitor, StoreError> {
        let row = Row::of("monitor", &self.id);
        let rhythm: Rhythm = row.parse("rhythm", &self.rhythm)?;
        let schedule = Schedule::new(rhythm, self.time_zone.clone(), Duration::ZERO, OverlapKey::Plan);
        let ended_at = row.instant_some("ended_at", self.ended_at)?;
        let told = self.told.as_deref().map(|word| row.word("told", word, Trouble::from_word));
        let due_at = row.instant_some("due_at", self.due_at)?;
        Ok(Monitor {
            id: row.parse("id", &self.id)?,
            tenant_id: row.parse("tenant_id", &self.tenant_id)?,
            name: row.parse("name", &self.name)?,
            schedule: schedule.map_err(|error| row.unreadable(error.to_string()))?,
            grace: Duration::from_millis(row.count("grace_ms", self.grace_ms)?),
            created_at: row.instant("created_at", self.created_at)?,
            retired_at: row.instant_some("retired_at", self.retired_at)?,
            ended: ended_at.zip(self.ended_well.map(|well| well == 1)),
            started_at: row.instant_some("started_at", self.started_at)?,
            told: told.transpose()?,
            due_at: due_at.unwrap_or(jiff::Timestamp::MAX),
            revision: row.count("revision", self.revision)?,
        })
    }
}
