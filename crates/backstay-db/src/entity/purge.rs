//! A purge as a row.

use backstay_core::domain::purge::{Confirmed, Purge, PurgeRecord};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "purge")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant_id: String,
    pub(crate) id: String,
    pub(crate) announced_at: i64,
    pub(crate) due_at: i64,
    pub(crate) confirmed_at: Option<i64>,
    pub(crate) facts: Option<String>,
    pub(crate) sequence: Option<i64>,
    pub(crate) document: Option<String>,
    pub(crate) hash: Option<String>,
    pub(crate) public_key: Option<String>,
    pub(crate) signature: Option<String>,
    pub(crate) done_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Returns the row of an announcement.
    pub(crate) fn announced(purge: &Purge) -> Self {
        Self {
            tenant_id: purge.tenant_id.to_string(),
            id: purge.id.to_string(),
            announced_at: purge.announced_at.as_microsecond(),
            due_at: purge.due_at.as_microsecond(),
            confirmed_at: None,
            facts: None,
            sequence: None,
            document: None,
            hash: None,
            public_key: None,
            signature: None,
            done_at: None,
        }
    }

    pub(crate) fn read(self) -> Result<Purge, StoreError> {
        let row = Row::of("purge", &self.id);
        let confirmed = match (row.instant_some("confirmed_at", self.confirmed_at)?, self.facts) {
            (Some(at), Some(facts)) => Some(Confirmed { at, facts }),
            _ => None,
        };
        let done_at = row.instant_some("done_at", self.done_at)?;
        let record = match (self.sequence, self.document, self.hash, self.public_key, self.signature, done_at) {
            (Some(sequence), Some(document), Some(hash), Some(public_key), Some(signature), Some(done_at)) => {
                Some(PurgeRecord { sequence, document, hash, public_key, signature, done_at })
            }
            _ => None,
        };
        Ok(Purge {
            id: row.parse("id", &self.id)?,
            tenant_id: row.parse("tenant_id", &self.tenant_id)?,
            announced_at: row.instant("announced_at", self.announced_at)?,
            due_at: row.instant("due_at", self.due_at)?,
            confirmed,
            record,
        })
    }
}
