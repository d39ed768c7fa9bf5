//! Alerts, what a person says to them, and digests before they are sent.

use backstay_core::ports::notice::AlertRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::wire::instant_some;

/// An alert: one a tenant, topic and subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertView {
    /// Its id.
    pub id: String,
    /// Id of the tenant whose it is.
    pub tenant_id: String,
    /// What it is about.
    pub topic: String,
    /// What people call its subject.
    pub title: String,
    /// `info`, `warning`, `error` or `critical`: the worst so far.
    pub severity: String,
    /// The newest notice in words.
    pub message: String,
    /// When it began.
    pub since: String,
    /// When its newest notice came.
    pub last_at: String,
    /// When it was last sent to a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<String>,
    /// How often it was sent since it began.
    pub told_count: u32,
    /// Notices since then that were held back.
    pub held_count: u32,
    /// Who knows of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<String>,
    /// Until when nobody wants to hear of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced_until: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub silence_reason: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

impl From<&AlertRow> for AlertView {
    fn from(row: &AlertRow) -> Self {
        let alert = &row.alert;
        Self {
            id: row.id.to_string(),
            tenant_id: row.tenant_id.to_string(),
            topic: row.topic.word().to_owned(),
            title: row.title.clone(),
            severity: alert.severity.word().to_owned(),
            message: row.message.clone(),
            since: alert.since.to_string(),
            last_at: row.last_at.to_string(),
            told_at: instant_some(alert.told_at),
            told_count: row.told_count,
            held_count: alert.held,
            acknowledged_by: alert.acknowledged_by.clone(),
            acknowledged_at: instant_some(row.acknowledged_at),
            silenced_until: instant_some(row.silenced_until),
            silence_reason: row.silence_reason.clone(),
            ended_at: instant_some(row.ended_at),
        }
    }
}

/// Which alerts are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct AlertQuery {
    /// Those that ended as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<bool>,
    /// Only rows older than this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Most rows, at most 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// How long nobody wants to hear of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertSilence {
    /// Until when; a moment that is over lifts a silence.
    #[schema(format = DateTime)]
    pub until: String,
    /// Why, for the others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Whose digest is asked for, and of which time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct DigestQuery {
    /// Name of the tenant; the caller's own, or `default`, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// From when on; a day back when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// What a digest would say now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DigestView {
    /// Its subject.
    pub subject: String,
    /// It as plain text.
    pub text: String,
    /// It as a page, as in a mail.
    pub html: String,
}
