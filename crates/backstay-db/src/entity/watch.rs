//! When an item of a plan is next looked at, as a row.

use backstay_core::ports::notice::Watched;
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "watch")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) plan_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) item_id: String,
    pub(crate) due_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn read(self) -> Result<Watched, StoreError> {
        let row = Row::of("watch", &self.item_id);
        Ok(Watched {
            plan_id: row.parse("plan_id", &self.plan_id)?,
            item_id: row.parse("item_id", &self.item_id)?,
            due_at: row.instant("due_at", self.due_at)?,
        })
    }
}
