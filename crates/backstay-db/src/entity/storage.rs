//! A storage as a row. What opens it are references; a secret is never here.

use backstay_core::domain::storage::{CredentialReferences, Storage, StorageSettings};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use super::repository::{credentials, credentials_cell};
use crate::row::{Row, json_cell};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "storage")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) settings_json: String,
    pub(crate) credentials_json: Option<String>,
    pub(crate) retired_at: Option<i64>,
    /// Empty while it lives, then its id: part of the key of its name, so that the name can be taken again.
    pub(crate) retired_mark: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Returns references as a row holds them.
pub(crate) fn references_cell(references: &CredentialReferences) -> Option<String> {
    (!references.is_empty()).then(|| credentials_cell(references))
}

impl Model {
    pub(crate) fn of(storage: &Storage) -> Self {
        Self {
            id: storage.id.to_string(),
            tenant_id: storage.tenant_id.to_string(),
            name: storage.name.to_string(),
            kind: storage.place.kind.clone(),
            settings_json: json_cell(&storage.place.settings),
            credentials_json: references_cell(&storage.credentials),
            retired_at: storage.retired_at.map(|at| at.as_microsecond()),
            retired_mark: storage.retired_at.map_or_else(String::new, |_| storage.id.to_string()),
        }
    }

    pub(crate) fn read(self) -> Result<Storage, StoreError> {
        let row = Row::of("storage", &self.id);
        let settings = row.json("settings_json", &self.settings_json)?;
        Ok(Storage {
            id: row.parse("id", &self.id)?,
            tenant_id: row.parse("tenant_id", &self.tenant_id)?,
            name: row.parse("name", &self.name)?,
            place: StorageSettings { kind: self.kind, settings },
            credentials: match &self.credentials_json {
                None => CredentialReferences::new(),
                Some(text) => credentials(row, text)?,
            },
            retired_at: row.instant_some("retired_at", self.retired_at)?,
        })
    }
}
