//! A lease as a row: who holds which job and how its repository, and how far the job is.

use backstay_core::domain::job::{Phase, Progress};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::{Row, count_cell};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "lease")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) job_id: String,
    pub(crate) token: i64,
    pub(crate) agent_id: String,
    pub(crate) repository_id: String,
    pub(crate) repository_access: String,
    pub(crate) leased_at: i64,
    pub(crate) progressed_at: i64,
    pub(crate) phase: Option<String>,
    pub(crate) files_done: i64,
    pub(crate) bytes_done: i64,
    pub(crate) files_total: Option<i64>,
    pub(crate) bytes_total: Option<i64>,
    pub(crate) unread_count: i64,
    pub(crate) watched_count: i64,
    /// When its agent asked for work and did not name it; progress takes that back.
    pub(crate) disowned_at: Option<i64>,
    /// The job's; unique.
    pub(crate) overlap_key: Option<String>,
    /// Whose the job is and what it does; none only for what a replica of an older version leased.
    pub(crate) tenant_id: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) source_host: Option<String>,
    pub(crate) storage_endpoint: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Returns this lease with other progress.
    pub(crate) fn with_progress(self, progress: &Progress) -> Self {
        Self {
            phase: Some(progress.phase.word().to_owned()),
            files_done: count_cell(progress.files_done),
            bytes_done: count_cell(progress.bytes_done),
            files_total: progress.files_total.map(count_cell),
            bytes_total: progress.bytes_total.map(count_cell),
            unread_count: count_cell(progress.unread),
            watched_count: count_cell(progress.watched),
            disowned_at: None,
            ..self
        }
    }

    /// Returns how far the job is; none when its agent has told nothing yet.
    pub(crate) fn progress(&self) -> Result<Option<Progress>, StoreError> {
        let row = Row::of("lease", &self.job_id);
        let Some(phase) = &self.phase else { return Ok(None) };
        Ok(Some(Progress {
            phase: row.word("phase", phase, Phase::from_word)?,
            files_done: row.count("files_done", self.files_done)?,
            bytes_done: row.count("bytes_done", self.bytes_done)?,
            files_total: self.files_total.map(|count| row.count("files_total", count)).transpose()?,
            bytes_total: self.bytes_total.map(|count| row.count("bytes_total", count)).transpose()?,
            unread: row.count("unread_count", self.unread_count)?,
            watched: row.count("watched_count", self.watched_count)?,
        }))
    }
}
