//! A maintenance window as a row.

use backstay_core::domain::schedule::Maintenance;
use backstay_core::ports::schedule::MaintenanceRow;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "maintenance")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) tenant_id: Option<String>,
    pub(crate) from_at: i64,
    pub(crate) until_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(row: &MaintenanceRow) -> Self {
        let window = &row.window;
        Self {
            id: row.id.to_string(),
            name: window.name.clone(),
            tenant_id: window.tenant_id.map(|id| id.to_string()),
            from_at: window.from.as_microsecond(),
            until_at: (window.until < Timestamp::MAX).then(|| window.until.as_microsecond()),
        }
    }

    pub(crate) fn read(self) -> Result<MaintenanceRow, StoreError> {
        let row = Row::of("maintenance", &self.id);
        let until = self.until_at.map(|until| row.instant("until_at", until)).transpose()?;
        Ok(MaintenanceRow {
            id: row.parse("id", &self.id)?,
            window: Maintenance {
                tenant_id: row.parse_some("tenant_id", self.tenant_id.as_deref())?,
                from: row.instant("from_at", self.from_at)?,
                until: until.unwrap_or(Timestamp::MAX),
                name: self.name,
            },
        })
    }
}
