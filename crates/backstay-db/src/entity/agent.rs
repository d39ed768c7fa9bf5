//! An agent as a row: until when its heartbeat keeps its leases, and what it takes.

use backstay_core::domain::job::JobKind;
use backstay_core::ports::store::{AliveAgent, StoreError};
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "agent")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) first_seen_at: i64,
    pub(crate) expires_at: i64,
    /// The words of the kinds that it takes, with a space between two; none for one that a replica of an older version knows.
    pub(crate) kinds: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Returns the cell for the kinds that an agent takes.
pub(crate) fn kinds_cell(kinds: &[JobKind]) -> String {
    kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(" ")
}

impl Model {
    /// Reads an agent. One of whose kinds nothing is known takes all; a kind that a newer version knows is left out.
    pub(crate) fn read(&self) -> Result<AliveAgent, StoreError> {
        let kinds = match &self.kinds {
            None => JobKind::ALL.to_vec(),
            Some(words) => words.split_whitespace().filter_map(JobKind::from_word).collect(),
        };
        Ok(AliveAgent { id: Row::of("agent", &self.id).parse("id", &self.id)?, kinds })
    }
}
