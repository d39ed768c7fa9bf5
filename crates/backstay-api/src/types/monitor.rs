//! Monitors: work of others that is missed when it says nothing, and the pings that came for them.

use std::time::Duration;

use backstay_core::domain::monitor::{Monitor, Ping};
use backstay_core::domain::schedule::{OverlapKey, Rhythm, Schedule};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wire::{WireError, instant_some, ms, wrong};

/// Reads when work is expected.
///
/// # Errors
/// [`WireError`] says what is not understood.
pub fn schedule(line: &str, time_zone: Option<&str>) -> Result<Schedule, WireError> {
    let rhythm: Rhythm = line.parse().map_err(|error| wrong("schedule", error))?;
    let zone = time_zone.unwrap_or("UTC").to_owned();
    Schedule::new(rhythm, zone, Duration::ZERO, OverlapKey::Plan).map_err(|error| wrong("time_zone", error))
}

/// A monitor to declare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MonitorCreate {
    /// Name of the tenant.
    pub tenant: String,
    /// Its name, unique for the tenant: the last part of its URL.
    pub name: String,
    /// When its work is expected: `every 24h`, or a cron expression of five fields.
    pub schedule: String,
    /// IANA name of the time zone in which the expression is read; UTC when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How late it may be, and how long it may run after a start.
    pub grace_ms: u64,
}

/// What is changed of a monitor; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MonitorUpdate {
    /// When its work is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// IANA name of the time zone; with a schedule alone, and UTC when left out then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How late it may be, and how long it may run after a start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// A monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MonitorView {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Its name.
    pub name: String,
    /// `new`, `up`, `late`, `down` or `started`.
    pub state: String,
    /// When its work is expected.
    pub schedule: String,
    /// IANA name of the time zone in which an expression is read.
    pub time_zone: String,
    /// How late it may be, and how long it may run after a start.
    pub grace_ms: u64,
    /// When its work ended last; none when it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Whether it ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_well: Option<bool>,
    /// When it began; none when it ended since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// From when on it is missed when it says nothing.
    pub deadline_at: String,
    /// When it was declared.
    pub created_at: String,
    /// When it was retired; none while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<String>,
}

impl MonitorView {
    /// Returns the view of a monitor at a moment.
    pub fn new(row: &Monitor, now: Timestamp) -> Self {
        Self {
            id: row.id.to_string(),
            tenant_id: row.tenant_id.to_string(),
            name: row.name.to_string(),
            state: row.standing(now).word().to_owned(),
            schedule: row.schedule.rhythm().words(),
            time_zone: row.schedule.time_zone().to_owned(),
            grace_ms: ms(row.grace),
            ended_at: instant_some(row.ended.map(|(at, _)| at)),
            ended_well: row.ended.map(|(_, well)| well),
            started_at: instant_some(row.started_at),
            deadline_at: row.deadline().to_string(),
            created_at: row.created_at.to_string(),
            retired_at: instant_some(row.retired_at),
        }
    }
}

/// A ping that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PingView {
    /// Its id.
    pub id: String,
    /// When it came.
    pub at: String,
    /// `success`, `start`, `fail` or `log`.
    pub kind: String,
    /// The exit code that it brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// The text that it brought, its end at most; anybody's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

impl From<&Ping> for PingView {
    fn from(ping: &Ping) -> Self {
        Self {
            id: ping.id.to_string(),
            at: ping.at.to_string(),
            kind: ping.kind.word().to_owned(),
            exit_code: ping.exit_code,
            text: ping.text.clone(),
        }
    }
}
