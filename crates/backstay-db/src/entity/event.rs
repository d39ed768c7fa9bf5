//! An event as a row, with its place in the chain of its tenant.

use backstay_core::domain::event::{Event, EventKind};
use backstay_core::ports::store::{ChainedEvent, StoreError};
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) sequence: i64,
    pub(crate) kind: String,
    pub(crate) job_id: Option<String>,
    pub(crate) item_id: Option<String>,
    pub(crate) happened_at: i64,
    pub(crate) message: String,
    pub(crate) hash: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(chained: &ChainedEvent) -> Self {
        let event = &chained.event;
        Self {
            id: event.id.to_string(),
            tenant_id: event.tenant_id.to_string(),
            sequence: chained.sequence,
            kind: event.kind.word().to_owned(),
            job_id: event.job_id.map(|id| id.to_string()),
            item_id: event.item_id.map(|id| id.to_string()),
            happened_at: event.at.as_microsecond(),
            message: event.message.clone(),
            hash: chained.hash.clone(),
        }
    }

    pub(crate) fn read(self) -> Result<ChainedEvent, StoreError> {
        let row = Row::of("event", &self.id);
        let event = Event {
            id: row.parse("id", &self.id)?,
            tenant_id: row.parse("tenant_id", &self.tenant_id)?,
            kind: row.word("kind", &self.kind, EventKind::from_word)?,
            job_id: row.parse_some("job_id", self.job_id.as_deref())?,
            item_id: row.parse_some("item_id", self.item_id.as_deref())?,
            at: row.instant("happened_at", self.happened_at)?,
            message: self.message,
        };
        Ok(ChainedEvent { event, sequence: self.sequence, hash: self.hash })
    }
}
