//! An alert as a row: one a tenant, topic and subject.

use backstay_core::domain::alert::{Alert, Severity, Topic};
use backstay_core::ports::notice::AlertRow;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::entity::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::row::{Row, count_cell};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) topic: String,
    pub(crate) subject_hash: String,
    pub(crate) subject: String,
    pub(crate) title: String,
    pub(crate) message: String,
    pub(crate) severity: String,
    pub(crate) since_at: i64,
    pub(crate) last_at: i64,
    pub(crate) told_at: Option<i64>,
    pub(crate) told_count: i64,
    pub(crate) held_count: i64,
    pub(crate) acknowledged_by: Option<String>,
    pub(crate) acknowledged_at: Option<i64>,
    pub(crate) silenced_until: Option<i64>,
    pub(crate) silence_reason: String,
    pub(crate) ended_at: Option<i64>,
    pub(crate) revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Returns what the unique key holds of a subject.
pub(crate) fn subject_hash(subject: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(subject))
}

impl Model {
    /// Returns the row with the revision after the one that was seen.
    pub(crate) fn of(row: &AlertRow) -> Self {
        let alert = &row.alert;
        Self {
            id: row.id.to_string(),
            tenant_id: row.tenant_id.to_string(),
            topic: row.topic.word().to_owned(),
            subject_hash: subject_hash(&row.subject),
            subject: row.subject.clone(),
            title: row.title.clone(),
            message: row.message.clone(),
            severity: alert.severity.word().to_owned(),
            since_at: alert.since.as_microsecond(),
            last_at: row.last_at.as_microsecond(),
            told_at: alert.told_at.map(Timestamp::as_microsecond),
            told_count: i64::from(row.told_count),
            held_count: i64::from(alert.held),
            acknowledged_by: alert.acknowledged_by.clone(),
            acknowledged_at: row.acknowledged_at.map(Timestamp::as_microsecond),
            silenced_until: row.silenced_until.map(Timestamp::as_microsecond),
            silence_reason: row.silence_reason.clone(),
            ended_at: row.ended_at.map(Timestamp::as_microsecond),
            revision: count_cell(row.revision) + 1,
        }
    }

    pub(crate) fn read(self) -> Result<AlertRow, StoreError> {
        let row = Row::of("alert", &self.id);
        Ok(AlertRow {
            id: row.parse("id", &self.id)?,
            tenant_id: row.parse("tenant_id", &self.tenant_id)?,
            topic: row.word("topic", &self.topic, Topic::from_word)?,
            alert: Alert {
                severity: row.word("severity", &self.severity, Severity::from_word)?,
                since: row.instant("since_at", self.since_at)?,
                told_at: row.instant_some("told_at", self.told_at)?,
                held: row.count_small("held_count", self.held_count)?,
                acknowledged_by: self.acknowledged_by,
            },
            last_at: row.instant("last_at", self.last_at)?,
            told_count: row.count_small("told_count", self.told_count)?,
            acknowledged_at: row.instant_some("acknowledged_at", self.acknowledged_at)?,
            silenced_until: row.instant_some("silenced_until", self.silenced_until)?,
            ended_at: row.instant_some("ended_at", self.ended_at)?,
            revision: row.count("revision", self.revision)?,
            subject: self.subject,
            title: self.title,
            message: self.message,
            silence_reason: self.silence_reason,
        })
    }
}
