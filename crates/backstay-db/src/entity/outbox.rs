//! A message on its way to a channel, as a row.

use backstay_core::ports::notice::{OutboxRow, Outgoing};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::{Row, json_cell};
use crate::told::MessageTwin;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) channel_id: String,
    pub(crate) tenant_id: Option<String>,
    pub(crate) document_json: String,
    pub(crate) created_at: i64,
    /// When it is next tried; none when it is done.
    pub(crate) due_at: Option<i64>,
    pub(crate) tries: i64,
    pub(crate) last_error: Option<String>,
    pub(crate) sent_at: Option<i64>,
    pub(crate) given_up_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Returns the row of a message that is due at once.
    pub(crate) fn of(outgoing: &Outgoing) -> Self {
        Self {
            id: outgoing.id.to_string(),
            channel_id: outgoing.channel_id.to_string(),
            tenant_id: outgoing.tenant_id.map(|id| id.to_string()),
            document_json: json_cell(&MessageTwin::of(&outgoing.message)),
            created_at: outgoing.created_at.as_microsecond(),
            due_at: Some(outgoing.created_at.as_microsecond()),
            tries: 0,
            last_error: None,
            sent_at: None,
            given_up_at: None,
        }
    }

    pub(crate) fn read(self) -> Result<OutboxRow, StoreError> {
        let row = Row::of("outbox", &self.id);
        let message = row.json::<MessageTwin>("document_json", &self.document_json)?.read(row)?;
        Ok(OutboxRow {
            outgoing: Outgoing {
                id: row.parse("id", &self.id)?,
                channel_id: row.parse("channel_id", &self.channel_id)?,
                tenant_id: row.parse_some("tenant_id", self.tenant_id.as_deref())?,
                message,
                created_at: row.instant("created_at", self.created_at)?,
            },
            tries: row.count_small("tries", self.tries)?,
            due_at: row.instant_some("due_at", self.due_at)?,
            sent_at: row.instant_some("sent_at", self.sent_at)?,
            given_up_at: row.instant_some("given_up_at", self.given_up_at)?,
            last_error: self.last_error,
        })
    }
}
