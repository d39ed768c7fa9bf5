//! Retention: a plan's rules, and what they say of its snapshots.

use backstay_core::domain::id::SnapshotId;
use backstay_core::domain::retention::{Count, RetentionPolicy, Verdict, Within};
use backstay_core::managers::retention::ItemRetention;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wire::{WireError, wrong};

/// Which snapshots of each item are kept, by restic's rules; without one, all are. A count is a number, or -1 for one of
/// each for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionView {
    /// The newest ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<i64>,
    /// The newest of each hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_hourly: Option<i64>,
    /// The newest of each day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_daily: Option<i64>,
    /// The newest of each week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_weekly: Option<i64>,
    /// The newest of each month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_monthly: Option<i64>,
    /// The newest of each year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_yearly: Option<i64>,
    /// All that are younger than this, counted from the newest: `30d`, `1y6m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within: Option<String>,
    /// The newest of each hour of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within_hourly: Option<String>,
    /// The newest of each day of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within_daily: Option<String>,
    /// The newest of each week of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within_weekly: Option<String>,
    /// The newest of each month of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within_monthly: Option<String>,
    /// The newest of each year of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within_yearly: Option<String>,
    /// Never fewer than these stay, whatever the rules say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<u32>,
}

impl From<&RetentionPolicy> for RetentionView {
    fn from(policy: &RetentionPolicy) -> Self {
        let count = |count: Count| match count {
            Count::None => None,
            Count::AtMost(most) => Some(i64::from(most)),
            Count::All => Some(-1),
        };
        let within = |within: Within| (!within.is_zero()).then(|| within.to_string());
        Self {
            keep_last: count(policy.keep_last),
            keep_hourly: count(policy.keep_hourly),
            keep_daily: count(policy.keep_daily),
            keep_weekly: count(policy.keep_weekly),
            keep_monthly: count(policy.keep_monthly),
            keep_yearly: count(policy.keep_yearly),
            keep_within: within(policy.keep_within),
            keep_within_hourly: within(policy.keep_within_hourly),
            keep_within_daily: within(policy.keep_within_daily),
            keep_within_weekly: within(policy.keep_within_weekly),
            keep_within_monthly: within(policy.keep_within_monthly),
            keep_within_yearly: within(policy.keep_within_yearly),
            minimum: (policy.minimum > 0).then_some(policy.minimum),
        }
    }
}

impl RetentionView {
    /// Judges the rules.
    ///
    /// # Errors
    /// A count below -1 or beyond four billion, a stretch of time that is none.
    pub fn read(&self) -> Result<RetentionPolicy, WireError> {
        let count = |field: &'static str, given: Option<i64>| match given {
            None | Some(0) => Ok(Count::None),
            Some(-1) => Ok(Count::All),
            Some(most) => match u32::try_from(most) {
                Ok(most) => Ok(Count::AtMost(most)),
                Err(_) => Err(wrong(field, format!("{most} is no count; write a number, or -1 for all"))),
            },
        };
        let within = |field: &'static str, given: Option<&str>| match given {
            None | Some("") => Ok(Within::default()),
            Some(text) => text.parse().map_err(|error| wrong(field, error)),
        };
        Ok(RetentionPolicy {
            keep_last: count("retention.keep_last", self.keep_last)?,
            keep_hourly: count("retention.keep_hourly", self.keep_hourly)?,
            keep_daily: count("retention.keep_daily", self.keep_daily)?,
            keep_weekly: count("retention.keep_weekly", self.keep_weekly)?,
            keep_monthly: count("retention.keep_monthly", self.keep_monthly)?,
            keep_yearly: count("retention.keep_yearly", self.keep_yearly)?,
            keep_within: within("retention.keep_within", self.keep_within.as_deref())?,
            keep_within_hourly: within("retention.keep_within_hourly", self.keep_within_hourly.as_deref())?,
            keep_within_daily: within("retention.keep_within_daily", self.keep_within_daily.as_deref())?,
            keep_within_weekly: within("retention.keep_within_weekly", self.keep_within_weekly.as_deref())?,
            keep_within_monthly: within("retention.keep_within_monthly", self.keep_within_monthly.as_deref())?,
            keep_within_yearly: within("retention.keep_within_yearly", self.keep_within_yearly.as_deref())?,
            keep_tags: Vec::new(),
            minimum: self.minimum.unwrap_or(0),
        })
    }
}

/// What a plan's retention says of one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ItemRetentionView {
    /// Id of the item.
    pub item_id: String,
    /// Its name.
    pub item_name: String,
    /// Its snapshots in the plan's repository, newest first.
    pub snapshots: Vec<VerdictView>,
    /// How many go with the next prune.
    pub dropped: u64,
}

/// What retention says of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerdictView {
    /// Its id.
    pub snapshot_id: String,
    /// When its data was read.
    pub taken_at: String,
    /// Whether it stays.
    pub is_kept: bool,
    /// The rules that keep it, in words; none for one that goes.
    pub reasons: Vec<String>,
}

impl From<&Verdict<SnapshotId>> for VerdictView {
    fn from(verdict: &Verdict<SnapshotId>) -> Self {
        Self {
            snapshot_id: verdict.id.to_string(),
            taken_at: verdict.taken_at.timestamp().to_string(),
            is_kept: verdict.is_kept(),
            reasons: verdict.reasons.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&ItemRetention> for ItemRetentionView {
    fn from(row: &ItemRetention) -> Self {
        Self {
            item_id: row.item.id.to_string(),
            item_name: row.item.name.clone(),
            snapshots: row.preview.verdicts.iter().map(VerdictView::from).collect(),
            dropped: row.preview.dropped.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_back_and_wrong_ones_name_their_field() {
        let text = r#"{"keep_last":3,"keep_daily":7,"keep_monthly":-1,"keep_within":"1y6m","keep_within_daily":"30d","minimum":2}"#;
        let view: RetentionView = serde_json::from_str(text).unwrap();
        let policy = view.read().unwrap();
        assert_eq!(RetentionView::from(&policy), view);
        assert_eq!(
            (policy.keep_monthly, policy.keep_last, policy.keep_weekly),
            (Count::All, Count::AtMost(3), Count::None)
        );
        let wrong = RetentionView { keep_weekly: Some(-2), ..RetentionView::default() };
        assert!(wrong.read().unwrap_err().to_string().contains("keep_weekly"));
        let wrong = RetentionView { keep_within_yearly: Some("soon".to_owned()), ..RetentionView::default() };
        assert!(wrong.read().unwrap_err().to_string().contains("keep_within_yearly"));
        assert!(serde_json::from_str::<RetentionView>(r#"{"keep_dayly":7}"#).is_err(), "a rule that is none");
    }
}
