//! A channel as a row. Its settings have references; no secret is ever here.

use backstay_core::domain::channel::{Channel, ChannelKind, ChannelSettings, Window};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;
use serde_json::Value;

use crate::row::{Row, json_cell};
use crate::told::RuleTwin;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "channel")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) tenant_id: Option<String>,
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) settings_json: String,
    pub(crate) rules_json: String,
    pub(crate) digest_window: Option<String>,
    pub(crate) created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(channel: &Channel) -> Self {
        let tenant_id = channel.tenant_id.map(|id| id.to_string());
        Self {
            id: channel.id.to_string(),
            owner: tenant_id.clone().unwrap_or_else(|| "-".to_owned()),
            tenant_id,
            name: channel.name.to_string(),
            kind: channel.settings.kind().word().to_owned(),
            settings_json: json_cell(&channel.settings.document()),
            rules_json: json_cell(&channel.rules.iter().map(RuleTwin::of).collect::<Vec<_>>()),
            digest_window: channel.digest.as_ref().map(Window::words),
            created_at: channel.created_at.as_microsecond(),
        }
    }

    pub(crate) fn read(self) -> Result<Channel, StoreError> {
        let row = Row::of("channel", &self.id);
        let kind = row.word("kind", &self.kind, ChannelKind::from_word)?;
        let settings: Value = row.json("settings_json", &self.settings_json)?;
        let settings = ChannelSettings::parse(kind, &settings);
        let rules: Vec<RuleTwin> = row.json("rules_json", &self.rules_json)?;
        let digest = self.digest_window.as_deref().map(Window::parse).transpose();
        Ok(Channel {
            id: row.parse("id", &self.id)?,
            tenant_id: row.parse_some("tenant_id", self.tenant_id.as_deref())?,
            name: row.parse("name", &self.name)?,
            settings: settings.map_err(|error| row.unreadable(format!("settings_json: {error}")))?,
            rules: rules.into_iter().map(|rule| rule.read(row)).collect::<Result<_, _>>()?,
            digest: digest.map_err(|error| row.unreadable(format!("digest_window: {error}")))?,
            created_at: row.instant("created_at", self.created_at)?,
        })
    }
}
