//! An attempt as a row: history.

use backstay_core::domain::attempt::{Attempt, AttemptEnd, AttemptToken, LeaseKey};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "attempt")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) job_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) token: i64,
    pub(crate) agent_id: String,
    pub(crate) leased_at: i64,
    pub(crate) ended_at: Option<i64>,
    pub(crate) ending: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn read(self) -> Result<Attempt, StoreError> {
        let key = format!("{} attempt {}", self.job_id, self.token);
        let row = Row::of("attempt", &key);
        let ended_at = row.instant_some("ended_at", self.ended_at)?;
        let ending = self.ending.map(|word| row.word("ending", &word, AttemptEnd::from_word)).transpose()?;
        Ok(Attempt {
            key: LeaseKey { job_id: row.parse("job_id", &self.job_id)?, token: AttemptToken(self.token) },
            agent_id: row.parse("agent_id", &self.agent_id)?,
            leased_at: row.instant("leased_at", self.leased_at)?,
            ended: ended_at.zip(ending),
        })
    }
}
