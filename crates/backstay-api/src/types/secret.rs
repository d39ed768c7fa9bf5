//! Secrets that tenants hand in: their names, never their values.

use backstay_core::ports::secret::KeptSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wire::SecretText;

/// A secret to keep.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretPut {
    /// Name of the tenant.
    pub tenant: String,
    /// Its name, unique for the tenant.
    pub name: String,
    /// The secret: a password, or an access key of S3 as
    /// `{"access_key_id": "…", "secret_access_key": "…", "session_token": "…"}`, the last one only where there is one.
    pub value: SecretText,
    /// Whether it may take the place of an earlier one. A repository's password never does.
    #[serde(default)]
    pub replace: bool,
}

/// A secret to look for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretTest {
    /// Name of the tenant.
    pub tenant: String,
    /// Where it should be, such as `sealed:home`. Who sees to the whole installation may also ask for `file:keys/home.key`,
    /// `env:BACKSTAY_SECRET_HOME` and `credential:secret-home`.
    pub reference: String,
}

/// A secret that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretView {
    /// Its id.
    pub id: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Its name.
    pub name: String,
    /// How others refer to it.
    pub reference: String,
}

impl From<&KeptSecret> for SecretView {
    fn from(kept: &KeptSecret) -> Self {
        let KeptSecret { tenant_id, name } = kept;
        Self {
            id: format!("{tenant_id}.{name}"),
            tenant_id: tenant_id.to_string(),
            name: name.to_string(),
            reference: format!("sealed:{name}"),
        }
    }
}
