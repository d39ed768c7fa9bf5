//! A template of plans as a row.

use backstay_core::domain::template::Template;
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::{Row, json_cell};
use crate::twin::SaidTwin;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "template")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) name: String,
    /// Name of the one above it, of the same tenant; none for the topmost.
    pub(crate) above_name: Option<String>,
    pub(crate) said_json: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(template: &Template) -> Self {
        Self {
            id: template.id.to_string(),
            tenant_id: template.tenant_id.to_string(),
            name: template.name.to_string(),
            above_name: template.above.as_ref().map(ToString::to_string),
            said_json: json_cell(&SaidTwin::of(&template.said)),
        }
    }

    pub(crate) fn read(self) -> Result<Template, StoreError> {
        let row = Row::of("template", &self.id);
        Ok(Template {
            id: row.parse("id", &self.id)?,
            tenant_id: row.parse("tenant_id", &self.tenant_id)?,
            name: row.parse("name", &self.name)?,
            above: row.parse_some("above_name", self.above_name.as_deref())?,
            said: row.json::<SaidTwin>("said_json", &self.said_json)?.read(row)?,
        })
    }
}
