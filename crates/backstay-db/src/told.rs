//! Twins of what is told: rules of channels, messages, and what a digest remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backstay_core::domain::alert::{Delivery, Severity, Topic};
use backstay_core::domain::channel::ChannelRule;
use backstay_core::domain::digest::Facts;
use backstay_core::domain::message::{Message, Purpose, Section};
use backstay_core::domain::quota::{Quota, Usage};
use backstay_core::ports::store::StoreError;
use serde::{Deserialize, Serialize};

use crate::row::{Row, ms_cell};

/// Twin of [`ChannelRule`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleTwin {
    severity_min: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    topics: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    delivery: String,
}

impl RuleTwin {
    pub(crate) fn of(rule: &ChannelRule) -> Self {
        Self {
            severity_min: rule.severity_min.word().to_owned(),
            topics: rule.topics.iter().map(|topic| topic.word().to_owned()).collect(),
            tenant_id: rule.tenant_id.map(|id| id.to_string()),
            delivery: rule.delivery.word().to_owned(),
        }
    }

    pub(crate) fn read(self, row: Row<'_>) -> Result<ChannelRule, StoreError> {
        let topic = |word: &String| row.word("rules_json", word, Topic::from_word);
        Ok(ChannelRule {
            severity_min: row.word("rules_json", &self.severity_min, Severity::from_word)?,
            topics: self.topics.iter().map(topic).collect::<Result<_, _>>()?,
            tenant_id: row.parse_some("rules_json", self.tenant_id.as_deref())?,
            delivery: row.word("rules_json", &self.delivery, Delivery::from_word)?,
        })
    }
}

/// Twin of [`Message`].
#[derive(Serialize, Deserialize)]
pub(crate) struct MessageTwin {
    purpose: String,
    severity: String,
    subject: String,
    lead: String,
    facts: Vec<(String, String)>,
    sections: Vec<SectionTwin>,
    next_steps: Vec<String>,
    at: i64,
}

#[derive(Serialize, Deserialize)]
struct SectionTwin {
    heading: String,
    severity: String,
    lines: Vec<String>,
}

impl MessageTwin {
    pub(crate) fn of(message: &Message) -> Self {
        let section = |section: &Section| SectionTwin {
            heading: section.heading.clone(),
            severity: section.severity.word().to_owned(),
            lines: section.lines.clone(),
        };
        Self {
            purpose: message.purpose.word().to_owned(),
            severity: message.severity.word().to_owned(),
            subject: message.subject.clone(),
            lead: message.lead.clone(),
            facts: message.facts.clone(),
            sections: message.sections.iter().map(section).collect(),
            next_steps: message.next_steps.clone(),
            at: message.at.as_microsecond(),
        }
    }

    pub(crate) fn read(self, row: Row<'_>) -> Result<Message, StoreError> {
        let severity = |word: &str| row.word("document_json", word, Severity::from_word);
        let section = |section: SectionTwin| {
            let severity = severity(&section.severity)?;
            Ok(Section { heading: section.heading, severity, lines: section.lines })
        };
        Ok(Message {
            purpose: row.word("document_json", &self.purpose, Purpose::from_word)?,
            severity: severity(&self.severity)?,
            subject: self.subject,
            lead: self.lead,
            facts: self.facts,
            sections: self.sections.into_iter().map(section).collect::<Result<_, StoreError>>()?,
            next_steps: self.next_steps,
            at: row.instant("document_json", self.at)?,
        })
    }
}

/// Twin of [`Facts`].
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FactsTwin {
    used_bytes: u64,
    used_snapshots: u64,
    quota_bytes: Option<u64>,
    quota_snapshots: Option<u64>,
    without_snapshot: BTreeSet<String>,
    paused: BTreeSet<String>,
    overdue_ms: BTreeMap<String, i64>,
    failing: BTreeMap<String, String>,
    durations_ms: BTreeMap<String, i64>,
}

impl FactsTwin {
    pub(crate) fn of(facts: &Facts) -> Self {
        let ms =
            |map: &BTreeMap<String, Duration>| map.iter().map(|(name, time)| (name.clone(), ms_cell(*time))).collect();
        Self {
            used_bytes: facts.usage.bytes,
            used_snapshots: facts.usage.snapshots,
            quota_bytes: facts.quota.bytes,
            quota_snapshots: facts.quota.snapshots,
            without_snapshot: facts.without_snapshot.clone(),
            paused: facts.paused.clone(),
            overdue_ms: ms(&facts.overdue),
            failing: facts.failing.clone(),
            durations_ms: ms(&facts.durations),
        }
    }

    pub(crate) fn read(self, row: Row<'_>) -> Result<Facts, StoreError> {
        let times = |map: BTreeMap<String, i64>| {
            let time = |(name, ms)| Ok((name, Duration::from_millis(row.count("facts_json", ms)?)));
            map.into_iter().map(time).collect::<Result<BTreeMap<_, _>, StoreError>>()
        };
        Ok(Facts {
            usage: Usage { bytes: self.used_bytes, snapshots: self.used_snapshots },
            quota: Quota { bytes: self.quota_bytes, snapshots: self.quota_snapshots },
            without_snapshot: self.without_snapshot,
            paused: self.paused,
            overdue: times(self.overdue_ms)?,
            failing: self.failing,
            durations: times(self.durations_ms)?,
        })
    }
}
