//! Channels: where people want to be told, and of what.

use backstay_core::domain::alert::{Delivery, Severity, Topic};
use backstay_core::domain::channel::{Channel, ChannelRule, Window};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::wire::{WireError, parse_some, word, wrong};

/// What goes to a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelRuleView {
    /// The least severity: `info`, `warning`, `error` or `critical`.
    pub severity_min: String,
    /// Only of these topics (`overdue`, `threatened`, `failed`, `parked`, `damaged`, `skipped`, `partial`, `quota`, `unproved`,
    /// `undelivered`);
    /// all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// Id of the one tenant that it is about; all that the channel serves when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// `at_once`, or `digest` for what waits for the window's end.
    pub delivery: String,
}

impl ChannelRuleView {
    /// Judges the rule.
    ///
    /// # Errors
    /// [`WireError`] names the field.
    pub fn read(&self) -> Result<ChannelRule, WireError> {
        let topic = |text: &String| word("rules.topics", text, Topic::from_word);
        Ok(ChannelRule {
            severity_min: word("rules.severity_min", &self.severity_min, Severity::from_word)?,
            topics: self.topics.iter().map(topic).collect::<Result<_, _>>()?,
            tenant_id: parse_some("rules.tenant_id", self.tenant_id.as_deref())?,
            delivery: word("rules.delivery", &self.delivery, Delivery::from_word)?,
        })
    }
}

impl From<&ChannelRule> for ChannelRuleView {
    fn from(rule: &ChannelRule) -> Self {
        Self {
            severity_min: rule.severity_min.word().to_owned(),
            topics: rule.topics.iter().map(|topic| topic.word().to_owned()).collect(),
            tenant_id: rule.tenant_id.map(|id| id.to_string()),
            delivery: rule.delivery.word().to_owned(),
        }
    }
}

/// Reads when a digest is due.
///
/// # Errors
/// [`WireError`] says what is not understood.
pub fn window(text: &str) -> Result<Window, WireError> {
    Window::parse(text).map_err(|error| wrong("digest", error.problem))
}

/// A channel to declare.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelCreate {
    /// Name of the tenant whose it is; the installation's, which tells of all tenants, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Its name, unique for its owner.
    pub name: String,
    /// `smtp`, `webhook` or `ping`.
    pub kind: String,
    /// What the kind needs to know. A secret is a reference such as `file:keys/channels/mail`, never its value.
    #[schema(value_type = Object)]
    pub settings: Value,
    /// What goes there; errors at once when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<ChannelRuleView>,
    /// When its digest is due, such as `daily 07:00 Europe/Berlin` or `monday 07:00 UTC`; no digest when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// What is changed of a channel; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelUpdate {
    /// What the kind needs to know, as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub settings: Option<Value>,
    /// What goes there, as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<ChannelRuleView>>,
    /// When its digest is due; `never` for no digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChannelView {
    /// Its id.
    pub id: String,
    /// Id of the tenant whose it is; none for the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Its name.
    pub name: String,
    /// `smtp`, `webhook` or `ping`.
    pub kind: String,
    /// What the kind needs to know, with references and no secrets.
    #[schema(value_type = Object)]
    pub settings: Value,
    /// What goes there.
    pub rules: Vec<ChannelRuleView>,
    /// When its digest is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When it was declared.
    pub created_at: String,
}

impl From<&Channel> for ChannelView {
    fn from(channel: &Channel) -> Self {
        Self {
            id: channel.id.to_string(),
            tenant_id: channel.tenant_id.map(|id| id.to_string()),
            name: channel.name.to_string(),
            kind: channel.settings.kind().word().to_owned(),
            settings: channel.settings.document(),
            rules: channel.rules.iter().map(ChannelRuleView::from).collect(),
            digest: channel.digest.as_ref().map(Window::words),
            created_at: channel.created_at.to_string(),
        }
    }
}
