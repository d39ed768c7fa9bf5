//! When a channel's digest is due, as a row.

use backstay_core::ports::notice::DigestDue;
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "digest")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) channel_id: String,
    pub(crate) from_at: i64,
    pub(crate) due_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn read(self) -> Result<DigestDue, StoreError> {
        let row = Row::of("digest", &self.channel_id);
        Ok(DigestDue {
            channel_id: row.parse("channel_id", &self.channel_id)?,
            from_at: row.instant("from_at", self.from_at)?,
            due_at: row.instant("due_at", self.due_at)?,
        })
    }
}
