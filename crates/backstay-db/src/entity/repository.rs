//! A repository as a row. The password is a reference; the secret is never here.

use std::collections::BTreeMap;

use backstay_core::domain::proof::VerifyBudget;
use backstay_core::domain::repository::{Repository, RepositoryEpoch, RepositoryKind};
use backstay_core::domain::storage::{CredentialReferences, Purpose, StorageSettings};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::{Row, count_cell, json_cell};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "repository")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) storage_kind: String,
    pub(crate) storage_settings_json: String,
    pub(crate) password_reference: String,
    pub(crate) epoch: i64,
    /// References by purpose; none for a storage that needs none.
    pub(crate) credentials_json: Option<String>,
    pub(crate) retired_at: Option<i64>,
    /// Empty while it lives, then its id: part of the key of its name, so that the name can be taken again.
    pub(crate) retired_mark: String,
    /// The storage that it lies in; none for one that says itself where.
    pub(crate) storage_id: Option<String>,
    /// None for the default, zero for never.
    pub(crate) verify_within_ms: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(repository: &Repository) -> Self {
        Self {
            id: repository.id.to_string(),
            tenant_id: repository.tenant_id.to_string(),
            name: repository.name.to_string(),
            kind: repository.kind.word().to_owned(),
            storage_kind: repository.storage.kind.clone(),
            storage_settings_json: json_cell(&repository.storage.settings),
            password_reference: repository.password.to_string(),
            epoch: repository.epoch.0,
            credentials_json: (!repository.credentials.is_empty()).then(|| credentials_cell(&repository.credentials)),
            retired_at: repository.retired_at.map(|at| at.as_microsecond()),
            retired_mark: repository.retired_at.map_or_else(String::new, |_| repository.id.to_string()),
            storage_id: repository.storage_id.map(|id| id.to_string()),
            verify_within_ms: within_cell(repository.verify_within),
        }
    }

    pub(crate) fn read(self) -> Result<Repository, StoreError> {
        let row = Row::of("repository", &self.id);
        let settings = row.json("storage_settings_json", &self.storage_settings_json)?;
        Ok(Repository {
            id: row.parse("id", &self.id)?,
            tenant_id: row.parse("tenant_id", &self.tenant_id)?,
            name: row.parse("name", &self.name)?,
            kind: row.word("kind", &self.kind, RepositoryKind::from_word)?,
            password: row.parse("password_reference", &self.password_reference)?,
            storage_id: row.parse_some("storage_id", self.storage_id.as_deref())?,
            storage: StorageSettings { kind: self.storage_kind, settings },
            credentials: match &self.credentials_json {
                None => CredentialReferences::new(),
                Some(text) => credentials(row, text)?,
            },
            verify_within: within(row, self.verify_within_ms)?,
            epoch: RepositoryEpoch(self.epoch),
            retired_at: row.instant_some("retired_at", self.retired_at)?,
        })
    }
}

/// Returns a budget as a row holds it.
pub(crate) fn within_cell(budget: VerifyBudget) -> Option<i64> {
    budget.ms().map(count_cell)
}

fn within(row: Row<'_>, cell: Option<i64>) -> Result<VerifyBudget, StoreError> {
    let given = cell.map(|ms| row.count("verify_within_ms", ms)).transpose()?;
    VerifyBudget::from_ms(given).map_err(|error| row.unreadable(error.to_string()))
}

pub(crate) fn credentials_cell(references: &CredentialReferences) -> String {
    let words = references.iter().map(|(purpose, reference)| (purpose.word(), reference.to_string()));
    json_cell(&words.collect::<BTreeMap<_, _>>())
}

pub(crate) fn credentials(row: Row<'_>, text: &str) -> Result<CredentialReferences, StoreError> {
    let cell = "credentials_json";
    let words: BTreeMap<String, String> = row.json(cell, text)?;
    let one = |(purpose, reference): (&String, &String)| {
        Ok((row.word(cell, purpose, Purpose::from_word)?, row.parse(cell, reference)?))
    };
    words.iter().map(one).collect()
}
