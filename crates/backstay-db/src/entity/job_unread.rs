//! What a job's newest attempt could not read, as a row; no row when everything was read.

use backstay_core::domain::id::JobId;
use backstay_core::domain::unread::{UNREAD_NAMED_MAX, Unread};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::{Row, count_cell, json_cell};
use crate::twin::UnreadEntryTwin;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job_unread")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) job_id: String,
    pub(crate) unread_count: i64,
    pub(crate) entries_json: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(job: JobId, unread: &Unread) -> Self {
        let named = unread.entries.iter().take(UNREAD_NAMED_MAX);
        Self {
            job_id: job.to_string(),
            unread_count: count_cell(unread.count),
            entries_json: json_cell(&named.map(UnreadEntryTwin::of).collect::<Vec<_>>()),
        }
    }

    pub(crate) fn read(self) -> Result<Unread, StoreError> {
        let row = Row::of("job_unread", &self.job_id);
        let entries = row.json::<Vec<UnreadEntryTwin>>("entries_json", &self.entries_json)?;
        Ok(Unread {
            count: row.count("unread_count", self.unread_count)?,
            entries: entries.into_iter().map(UnreadEntryTwin::read).collect(),
        })
    }
}
