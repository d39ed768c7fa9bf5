//! An answer that is remembered for the request's key.

use backstay_core::ports::access::{Answer, Remembered};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "remembered_answer")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) caller: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) answer_key: String,
    pub(crate) request_hash: String,
    pub(crate) asked_at: i64,
    /// When the run began that makes the answer; none while none does.
    pub(crate) began_at: Option<i64>,
    pub(crate) status: Option<i64>,
    pub(crate) body: Option<String>,
    /// The tag of what the answer shows; none where that has none.
    pub(crate) etag: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(wish: &Remembered) -> Self {
        let answer = wish.answer.as_ref();
        Self {
            caller: wish.caller.clone(),
            answer_key: wish.key.clone(),
            request_hash: wish.request_hash.clone(),
            asked_at: wish.asked_at.as_microsecond(),
            began_at: Some(wish.asked_at.as_microsecond()),
            status: answer.map(|answer| i64::from(answer.status)),
            body: answer.map(|answer| answer.body.clone()),
            etag: answer.and_then(|answer| answer.etag.clone()),
        }
    }

    pub(crate) fn read(self) -> Result<Remembered, StoreError> {
        let row = Row::of("remembered_answer", &self.answer_key);
        let status = self.status.map(|status| row.count_small("status", status)).transpose()?;
        let status = status.map(|status| u16::try_from(status).unwrap_or(500));
        Ok(Remembered {
            asked_at: row.instant("asked_at", self.asked_at)?,
            answer: status.zip(self.body).map(|(status, body)| Answer { status, body, etag: self.etag }),
            caller: self.caller,
            key: self.answer_key,
            request_hash: self.request_hash,
        })
    }
}
