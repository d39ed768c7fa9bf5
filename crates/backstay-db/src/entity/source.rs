//! A source as a row.

use backstay_core::domain::source::Source;
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::{Row, json_cell};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "source")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) settings_json: String,
    pub(crate) retired_at: Option<i64>,
    /// Empty while it lives, then its id: part of the key of its name, so that the name can be taken again.
    pub(crate) retired_mark: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(source: &Source) -> Self {
        Self {
            id: source.id.to_string(),
            tenant_id: source.tenant_id.to_string(),
            name: source.name.to_string(),
            kind: source.kind.clone(),
            settings_json: json_cell(&source.settings),
            retired_at: source.retired_at.map(|at| at.as_microsecond()),
            retired_mark: source.retired_at.map_or_else(String::new, |_| source.id.to_string()),
        }
    }

    pub(crate) fn read(self) -> Result<Source, StoreError> {
        let row = Row::of("source", &self.id);
        Ok(Source {
            id: row.parse("id", &self.id)?,
            tenant_id: row.parse("tenant_id", &self.tenant_id)?,
            name: row.parse("name", &self.name)?,
            settings: row.json("settings_json", &self.settings_json)?,
            kind: self.kind,
            retired_at: row.instant_some("retired_at", self.retired_at)?,
        })
    }
}
