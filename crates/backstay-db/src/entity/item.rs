//! An item as a row.

use backstay_core::domain::item::Item;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::entity::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "item")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) source_id: String,
    pub(crate) name: String,
    pub(crate) name_hash: String,
    pub(crate) vanished_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(item: &Item) -> Self {
        Self {
            id: item.id.to_string(),
            source_id: item.source_id.to_string(),
            name: item.name.clone(),
            name_hash: data_encoding::HEXLOWER.encode(&Sha256::digest(&item.name)),
            vanished_at: item.vanished_at.map(Timestamp::as_microsecond),
        }
    }

    pub(crate) fn read(self) -> Result<Item, StoreError> {
        let row = Row::of("item", &self.id);
        Ok(Item {
            id: row.parse("id", &self.id)?,
            source_id: row.parse("source_id", &self.source_id)?,
            vanished_at: row.instant_some("vanished_at", self.vanished_at)?,
            name: self.name,
        })
    }
}
