//! Why: in words, with the values beside them.

use backstay_core::domain::id::SnapshotId;
use backstay_core::domain::rpo::Forecast;
use backstay_core::domain::rto::RtoForecast;
use backstay_core::managers::explain::{Explanation, ForgetWish, ItemForecast};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::wire::{WireError, ms, parse};

/// In which time zone the words tell moments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct ExplainQuery {
    /// A zone of the IANA's list, such as `Europe/Berlin`; UTC when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// In which time zone the words about a snapshot tell moments, and what they take for granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct SnapshotExplainQuery {
    /// A zone of the IANA's list, such as `Europe/Berlin`; UTC when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// As if somebody had wanted these of its item and repository forgotten: `all`, or ids with commas between. What is
    /// pinned or under a legal hold stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_forgotten: Option<String>,
}

impl SnapshotExplainQuery {
    /// Returns whose forgetting is taken for granted.
    ///
    /// # Errors
    /// What is no id of a snapshot.
    pub fn wish(&self) -> Result<ForgetWish, WireError> {
        match self.if_forgotten.as_deref() {
            None => Ok(ForgetWish::None),
            Some("all") => Ok(ForgetWish::All),
            Some(ids) => ids
                .split(',')
                .map(|id| parse::<SnapshotId>("if_forgotten", id))
                .collect::<Result<_, _>>()
                .map(ForgetWish::These),
        }
    }
}

/// Why something is as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainView {
    /// In words, one fact a line.
    pub lines: Vec<String>,
    /// When it was true.
    pub at: String,
    /// The zone of the moments in the words.
    pub zone: String,
    /// The next starts of a plan; none while it is paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<String>,
    /// What holds a plan's starts back now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// Where a plan and others that it may not overlap cannot keep their windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// A queued job's place in the queue, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// How many jobs wait, as far as was looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// Whether more jobs wait than were looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_more: bool,
    /// When a queued job is expected to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<String>,
    /// How long bringing back all that a plan protects is expected to take; none where no drill measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreForecastView>,
    /// What is to be expected of an item, in each of its plans.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forecasts: Vec<ForecastView>,
    /// Whether a rule keeps a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_kept: Option<bool>,
    /// The rules that keep it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// What is to be expected of an item in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForecastView {
    /// Id of the plan.
    pub plan_id: String,
    /// Its name.
    pub plan_name: String,
    /// `safe`, `threatened` (unless a backup starts in time), `unavoidable` or `overdue`.
    pub forecast: String,
    /// When the newest good snapshot was taken or confirmed; none when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_at: Option<String>,
    /// When it is too old.
    pub breach_at: String,
    /// When a backup must start at the latest, of a threatened one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_by: Option<String>,
    /// How long bringing it back is expected to take; none where no drill measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreForecastView>,
}

/// How long a restore is expected to take, by restore drills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoreForecastView {
    /// Bytes to bring back.
    pub bytes: u64,
    /// How long that takes at the slowest rate that was seen.
    pub expected_ms: u64,
    /// That rate.
    pub bytes_per_second: u64,
    /// Drills that were looked at.
    pub drills: u64,
}

impl From<&RtoForecast> for RestoreForecastView {
    fn from(row: &RtoForecast) -> Self {
        let RtoForecast { bytes, expected, bytes_per_second, drills } = *row;
        Self { bytes, expected_ms: ms(expected), bytes_per_second, drills: drills as u64 }
    }
}

impl From<&ItemForecast> for ForecastView {
    fn from(row: &ItemForecast) -> Self {
        let (word, start_by) = match row.forecast {
            Forecast::Safe => ("safe", None),
            Forecast::Threatened { start_by, .. } => ("threatened", Some(start_by)),
            Forecast::Unavoidable { .. } => ("unavoidable", None),
            Forecast::Overdue { .. } => ("overdue", None),
        };
        Self {
            plan_id: row.plan_id.to_string(),
            plan_name: row.plan_name.clone(),
            forecast: word.to_owned(),
            newest_at: row.age.newest_at.map(|at| at.to_string()),
            breach_at: row.age.breach_at.to_string(),
            start_by: start_by.map(|at| at.to_string()),
            restore: row.restore.as_ref().map(Into::into),
        }
    }
}

impl ExplainView {
    /// Makes the answer; `zone` is the one that its words were told in.
    pub fn new(said: &Explanation, zone: &TimeZone) -> Self {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let reasons = said.verdict.iter().flat_map(|verdict| &verdict.reasons).map(ToString::to_string);
        Self {
            lines: said.lines.clone(),
            at: said.at.to_string(),
            zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            starts: said.starts.iter().map(ToString::to_string).collect(),
            held: said.held.clone(),
            warnings: said.warnings.clone(),
            position: said.place.as_ref().map(|place| count(place.position)),
            of: said.place.as_ref().map(|place| count(place.of)),
            has_more: said.has_more,
            starts_at: said.place.as_ref().and_then(|place| place.starts_at).map(|at| at.to_string()),
            restore: said.restore.as_ref().map(Into::into),
            forecasts: said.forecasts.iter().map(ForecastView::from).collect(),
            is_kept: said.verdict.as_ref().map(|verdict| verdict.is_kept()),
            reasons: reasons.collect(),
        }
    }
}
