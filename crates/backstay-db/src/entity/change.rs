//! A record of who asked for a change.

use backstay_core::domain::access::Role;
use backstay_core::domain::change::{Asked, ChangeRecord};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "change_record")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) sequence: i64,
    pub(crate) previous_hash: Option<String>,
    pub(crate) asked_at: i64,
    pub(crate) token_id: Option<String>,
    pub(crate) role: String,
    pub(crate) tenant_id: Option<String>,
    pub(crate) operation: String,
    pub(crate) path: String,
    pub(crate) hash: String,
    pub(crate) signature: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(record: &ChangeRecord) -> Self {
        let asked = &record.asked;
        Self {
            id: asked.id.to_string(),
            sequence: record.sequence,
            previous_hash: record.previous_hash.clone(),
            asked_at: asked.at.as_microsecond(),
            token_id: asked.token_id.map(|id| id.to_string()),
            role: asked.role.word().to_owned(),
            tenant_id: asked.tenant_id.map(|id| id.to_string()),
            operation: asked.operation.clone(),
            path: asked.path.clone(),
            hash: record.hash.clone(),
            signature: record.signature.clone(),
        }
    }

    pub(crate) fn read(self) -> Result<ChangeRecord, StoreError> {
        let row = Row::of("change_record", &self.id);
        let asked = Asked {
            id: row.parse("id", &self.id)?,
            at: row.instant("asked_at", self.asked_at)?,
            token_id: row.parse_some("token_id", self.token_id.as_deref())?,
            role: row.word("role", &self.role, Role::from_word)?,
            tenant_id: row.parse_some("tenant_id", self.tenant_id.as_deref())?,
            operation: self.operation,
            path: self.path,
        };
        Ok(ChangeRecord {
            asked,
            sequence: self.sequence,
            previous_hash: self.previous_hash,
            hash: self.hash,
            signature: self.signature,
        })
    }
}
