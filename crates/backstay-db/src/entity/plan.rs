//! A plan as a row.

use std::time::Duration;

use backstay_core::domain::backup::BackupTerms;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::retention::RetentionPolicy;
use backstay_core::domain::template::Said;
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::{Row, json_cell, ms_cell};
use crate::twin::{BackupTermsTwin, RetentionTwin, SaidTwin, ScheduleTwin};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "plan")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) name: String,
    pub(crate) source_id: String,
    pub(crate) repository_id: String,
    pub(crate) schedule_json: String,
    pub(crate) rpo_ms: i64,
    /// None for a plan that keeps everything.
    pub(crate) retention_json: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) retired_at: Option<i64>,
    /// Empty while it lives, then its id: part of the key of its name, so that the name can be taken again.
    pub(crate) retired_mark: String,
    /// Name of its template; none for a plan by itself.
    pub(crate) template_name: Option<String>,
    /// What it says itself; none in rows of before there were templates: such a plan says all that its row holds.
    pub(crate) said_json: Option<String>,
    /// How its backups go about their work; none for the default.
    pub(crate) backup_json: Option<String>,
    /// None for a plan that has the repository that it was made with, and for one that got another before this was
    /// kept.
    pub(crate) moved_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Returns a policy as a row holds it.
fn retention_cell(policy: &RetentionPolicy) -> Option<String> {
    (*policy != RetentionPolicy::default()).then(|| json_cell(&RetentionTwin::of(policy)))
}

/// Returns how backups go about their work as a row holds it.
fn backup_cell(terms: &BackupTerms) -> Option<String> {
    (*terms != BackupTerms::default()).then(|| json_cell(&BackupTermsTwin::of(terms)))
}

impl Model {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            id: plan.id.to_string(),
            tenant_id: plan.tenant_id.to_string(),
            name: plan.name.to_string(),
            source_id: plan.source_id.to_string(),
            repository_id: plan.repository_id.to_string(),
            schedule_json: json_cell(&ScheduleTwin::of(&plan.schedule)),
            rpo_ms: ms_cell(plan.rpo),
            retention_json: retention_cell(&plan.retention),
            created_at: plan.created_at.as_microsecond(),
            retired_at: plan.retired_at.map(|at| at.as_microsecond()),
            retired_mark: plan.retired_at.map_or_else(String::new, |_| plan.id.to_string()),
            template_name: plan.template.as_ref().map(ToString::to_string),
            backup_json: backup_cell(&plan.backup),
            moved_at: plan.moved_at.map(|at| at.as_microsecond()),
            said_json: Some(json_cell(&SaidTwin::of(&plan.said))),
        }
    }

    pub(crate) fn read(self) -> Result<Plan, StoreError> {
        let row = Row::of("plan", &self.id);
        let schedule = row.json::<ScheduleTwin>("schedule_json", &self.schedule_json)?.read(row)?;
        let rpo = Duration::from_millis(row.count("rpo_ms", self.rpo_ms)?);
        let retention = match &self.retention_json {
            Some(text) => row.json::<RetentionTwin>("retention_json", text)?.read(row)?,
            None => RetentionPolicy::default(),
        };
        let backup = match &self.backup_json {
            Some(text) => row.json::<BackupTermsTwin>("backup_json", text)?.read(row)?,
            None => BackupTerms::default(),
        };
        let said = match &self.said_json {
            Some(text) => row.json::<SaidTwin>("said_json", text)?.read(row)?,
            None => Said::all(&schedule, rpo, &retention, &backup),
        };
        Ok(Plan {
            id: row.parse("id", &self.id)?,
            tenant_id: row.parse("tenant_id", &self.tenant_id)?,
            name: row.parse("name", &self.name)?,
            source_id: row.parse("source_id", &self.source_id)?,
            repository_id: row.parse("repository_id", &self.repository_id)?,
            template: row.parse_some("template_name", self.template_name.as_deref())?,
            said,
            schedule,
            rpo,
            retention,
            backup,
            created_at: row.instant("created_at", self.created_at)?,
            moved_at: row.instant_some("moved_at", self.moved_at)?,
            retired_at: row.instant_some("retired_at", self.retired_at)?,
        })
    }
}
