//! A job set as a row; its members are jobs that name it.

use backstay_core::domain::job_set::JobSet;
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job_set")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) name: String,
    pub(crate) created_at: i64,
    pub(crate) wanted_count: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(set: &JobSet) -> Self {
        Self {
            id: set.id.to_string(),
            tenant_id: set.tenant_id.to_string(),
            name: set.name.to_string(),
            created_at: set.created_at.as_microsecond(),
            wanted_count: i64::from(set.wanted),
        }
    }

    pub(crate) fn read(self) -> Result<JobSet, StoreError> {
        let row = Row::of("job_set", &self.id);
        Ok(JobSet {
            id: row.parse("id", &self.id)?,
            tenant_id: row.parse("tenant_id", &self.tenant_id)?,
            name: row.parse("name", &self.name)?,
            wanted: row.count_small("wanted_count", self.wanted_count)?,
            created_at: row.instant("created_at", self.created_at)?,
        })
    }
}
