//! When a repository is next looked at for what retention does not keep, as a row.

use backstay_core::ports::retention::Upkeep;
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "upkeep")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) repository_id: String,
    pub(crate) due_at: i64,
    /// One while a prune left data behind that goes with a later one.
    pub(crate) pending_count: i64,
    /// The repository's epoch under the newest prune whose end was taken in.
    pub(crate) settled_epoch: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn read(self) -> Result<Upkeep, StoreError> {
        let row = Row::of("upkeep", &self.repository_id);
        Ok(Upkeep {
            repository_id: row.parse("repository_id", &self.repository_id)?,
            due_at: row.instant("due_at", self.due_at)?,
            has_pending: self.pending_count > 0,
        })
    }
}
