//! Storages that many repositories lie in.

use std::collections::BTreeMap;

use backstay_core::domain::storage::{CredentialReferences, Storage};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::repository::{references, words};
use super::wire::WireError;

/// A storage to declare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageCreate {
    /// Name of the tenant.
    pub tenant: String,
    /// Its name, unique for the tenant.
    pub name: String,
    /// Storage kind.
    pub kind: String,
    /// Settings of that kind; never a secret. They stay.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    /// Where its keys are found, by purpose (`watch`, `read`, `write`, `delete`), such as `sealed:s3-read`; a lease brings
    /// those that its job needs. Left out for a storage that needs none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub credentials: BTreeMap<String, String>,
}

impl StorageCreate {
    /// Judges where the keys are found.
    ///
    /// # Errors
    /// A purpose that is not known, or what is no reference.
    pub fn credentials(&self) -> Result<CredentialReferences, WireError> {
        references(&self.credentials)
    }
}

/// Other keys for a storage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageUpdate {
    /// Where its keys are found, by purpose; all are replaced.
    pub credentials: BTreeMap<String, String>,
}

impl StorageUpdate {
    /// Judges where the keys are found.
    ///
    /// # Errors
    /// A purpose that is not known, or what is no reference.
    pub fn credentials(&self) -> Result<CredentialReferences, WireError> {
        references(&self.credentials)
    }
}

/// A declared storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageDetail {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Its name.
    pub name: String,
    /// Storage kind.
    pub kind: String,
    /// Settings of that kind.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    /// Where its keys are found, by purpose.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub credentials: BTreeMap<String, String>,
    /// When it was retired; none while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<String>,
}

impl From<&Storage> for StorageDetail {
    fn from(storage: &Storage) -> Self {
        Self {
            id: storage.id.to_string(),
            tenant_id: storage.tenant_id.to_string(),
            name: storage.name.to_string(),
            kind: storage.place.kind.clone(),
            settings: storage.place.settings.clone(),
            credentials: words(&storage.credentials),
            retired_at: storage.retired_at.map(|at| at.to_string()),
        }
    }
}
