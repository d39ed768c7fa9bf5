//! A snapshot as a row. It exists once its job's finish was accepted, and only then.

use backstay_core::domain::job::{JobCounts, Outcome};
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::entity::prelude::*;

use crate::row::{Row, count_cell};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "snapshot")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) item_id: String,
    pub(crate) repository_id: String,
    pub(crate) job_id: String,
    pub(crate) foreign_id: String,
    pub(crate) parent_id: Option<String>,
    pub(crate) taken_at: i64,
    pub(crate) outcome: String,
    /// 1 when it counts for the RPO, else 0.
    pub(crate) good: i64,
    pub(crate) confirmed_at: Option<i64>,
    pub(crate) protected_until_at: Option<i64>,
    pub(crate) pinned_at: Option<i64>,
    pub(crate) held_at: Option<i64>,
    pub(crate) unwanted_at: Option<i64>,
    pub(crate) forgotten_at: Option<i64>,
    pub(crate) file_count: i64,
    pub(crate) file_unmodified_count: i64,
    pub(crate) dir_count: i64,
    pub(crate) content_bytes: i64,
    pub(crate) added_bytes: i64,
    pub(crate) stored_bytes: i64,
    pub(crate) unread_count: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let counts = &snapshot.counts;
        Self {
            id: snapshot.id.to_string(),
            tenant_id: snapshot.tenant_id.to_string(),
            item_id: snapshot.item_id.to_string(),
            repository_id: snapshot.repository_id.to_string(),
            job_id: snapshot.job_id.to_string(),
            foreign_id: snapshot.foreign_id.clone(),
            parent_id: snapshot.parent_id.map(|id| id.to_string()),
            taken_at: snapshot.taken_at.as_microsecond(),
            outcome: snapshot.outcome.word().to_owned(),
            good: i64::from(snapshot.is_good),
            confirmed_at: snapshot.confirmed_at.map(Timestamp::as_microsecond),
            protected_until_at: snapshot.protected_until.map(Timestamp::as_microsecond),
            pinned_at: snapshot.pinned_at.map(Timestamp::as_microsecond),
            held_at: snapshot.held_at.map(Timestamp::as_microsecond),
            unwanted_at: snapshot.unwanted_at.map(Timestamp::as_microsecond),
            forgotten_at: snapshot.forgotten_at.map(Timestamp::as_microsecond),
            file_count: count_cell(counts.files),
            file_unmodified_count: count_cell(counts.files_unmodified),
            dir_count: count_cell(counts.dirs),
            content_bytes: count_cell(counts.bytes),
            added_bytes: count_cell(counts.bytes_added),
            stored_bytes: count_cell(counts.bytes_stored),
            unread_count: count_cell(counts.unread),
        }
    }

    pub(crate) fn read(self) -> Result<Snapshot, StoreError> {
        let row = Row::of("snapshot", &self.id);
        Ok(Snapshot {
            id: row.parse("id", &self.id)?,
            tenant_id: row.parse("tenant_id", &self.tenant_id)?,
            item_id: row.parse("item_id", &self.item_id)?,
            repository_id: row.parse("repository_id", &self.repository_id)?,
            job_id: row.parse("job_id", &self.job_id)?,
            parent_id: row.parse_some("parent_id", self.parent_id.as_deref())?,
            taken_at: row.instant("taken_at", self.taken_at)?,
            outcome: row.word("outcome", &self.outcome, Outcome::from_word)?,
            is_good: self.good != 0,
            confirmed_at: row.instant_some("confirmed_at", self.confirmed_at)?,
            counts: JobCounts {
                files: row.count("file_count", self.file_count)?,
                files_unmodified: row.count("file_unmodified_count", self.file_unmodified_count)?,
                dirs: row.count("dir_count", self.dir_count)?,
                bytes: row.count("content_bytes", self.content_bytes)?,
                bytes_added: row.count("added_bytes", self.added_bytes)?,
                bytes_stored: row.count("stored_bytes", self.stored_bytes)?,
                unread: row.count("unread_count", self.unread_count)?,
            },
            protected_until: row.instant_some("protected_until_at", self.protected_until_at)?,
            pinned_at: row.instant_some("pinned_at", self.pinned_at)?,
            held_at: row.instant_some("held_at", self.held_at)?,
            unwanted_at: row.instant_some("unwanted_at", self.unwanted_at)?,
            forgotten_at: row.instant_some("forgotten_at", self.forgotten_at)?,
            foreign_id: self.foreign_id,
        })
    }
}
