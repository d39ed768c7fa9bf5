//! A job that is queued or waiting, as a row of the hot table: what the claim and the wake-up need to know, and no more.

use sea_orm::entity::prelude::*;

use super::job;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job_due")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) job_id: String,
    pub(crate) state: String,
    pub(crate) kind: String,
    pub(crate) repository_id: String,
    pub(crate) repository_access: String,
    pub(crate) due_at: i64,
    pub(crate) breach_at: i64,
    pub(crate) priority: i64,
    pub(crate) overlap_key: Option<String>,
    /// Whose it is; none only for what a replica of an older version put there.
    pub(crate) tenant_id: Option<String>,
    pub(crate) source_host: Option<String>,
    pub(crate) storage_endpoint: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Returns the row of a job that is due at a moment.
    pub(crate) fn of(job: &job::Model, state: &str, due_at: i64) -> Self {
        Self {
            job_id: job.id.clone(),
            state: state.to_owned(),
            kind: job.kind.clone(),
            repository_id: job.repository_id.clone(),
            repository_access: job.repository_access.clone(),
            due_at,
            breach_at: job.breach_at,
            priority: job.priority,
            overlap_key: job.overlap_key.clone(),
            tenant_id: Some(job.tenant_id.clone()),
            source_host: job.source_host.clone(),
            storage_endpoint: job.storage_endpoint.clone(),
        }
    }
}
