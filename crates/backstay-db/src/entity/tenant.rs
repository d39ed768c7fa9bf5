//! A tenant as a row.

use backstay_core::domain::tenant::Tenant;
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) name: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(tenant: &Tenant) -> Self {
        Self { id: tenant.id.to_string(), name: tenant.name.to_string() }
    }

    pub(crate) fn read(self) -> Result<Tenant, StoreError> {
        let row = Row::of("tenant", &self.id);
        Ok(Tenant { id: row.parse("id", &self.id)?, name: row.parse("name", &self.name)? })
    }
}
