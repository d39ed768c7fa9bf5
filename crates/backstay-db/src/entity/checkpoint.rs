//! A checkpoint as a row: what an attempt stored for the next one.

use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "checkpoint")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) job_id: String,
    pub(crate) token: i64,
    pub(crate) body: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn read(self) -> Result<Checkpoint, StoreError> {
        let row = Row::of("checkpoint", &self.job_id);
        Checkpoint::new(self.body).map_err(|error| row.unreadable(error.to_string()))
    }
}
