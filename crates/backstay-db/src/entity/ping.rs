//! A ping that came for a monitor, as a row.

use backstay_core::domain::monitor::{Ping, PingKind};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ping")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) monitor_id: String,
    pub(crate) at: i64,
    pub(crate) kind: String,
    pub(crate) exit_code: Option<i64>,
    pub(crate) body: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(ping: &Ping) -> Self {
        Self {
            id: ping.id.to_string(),
            monitor_id: ping.monitor_id.to_string(),
            at: ping.at.as_microsecond(),
            kind: ping.kind.word().to_owned(),
            exit_code: ping.exit_code.map(i64::from),
            body: ping.text.clone(),
        }
    }

    pub(crate) fn read(self) -> Result<Ping, StoreError> {
        let row = Row::of("ping", &self.id);
        let code = self
            .exit_code
            .map(|code| u8::try_from(code).map_err(|_| row.unreadable(format!("exit_code is {code}, which is none"))));
        Ok(Ping {
            id: row.parse("id", &self.id)?,
            monitor_id: row.parse("monitor_id", &self.monitor_id)?,
            at: row.instant("at", self.at)?,
            kind: row.word("kind", &self.kind, PingKind::from_word)?,
            exit_code: code.transpose()?,
            text: self.body,
        })
    }
}
