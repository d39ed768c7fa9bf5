//! A store that asks another one for each kind of reference: files where there is a data directory, the database for what
//! is sealed, the environment for what the process was started with.

use std::sync::Arc;

use async_trait::async_trait;
use backstay_core::domain::secret::{Secret, SecretReference};
use backstay_core::ports::secret::{SecretError, SecretStore};

/// Stores by the kind of reference.
pub struct ByReference {
    /// For `file:…`; none where the installation has no folder of its own.
    pub files: Option<Arc<dyn SecretStore>>,
    /// For `sealed:…`.
    pub sealed: Arc<dyn SecretStore>,
    /// For `env:…` and `credential:…`.
    pub environment: Arc<dyn SecretStore>,
}

#[async_trait]
impl SecretStore for ByReference {
    async fn secret_read(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        let store = match reference {
            SecretReference::File(_) => self.files.as_ref(),
            SecretReference::Sealed { .. } => Some(&self.sealed),
            SecretReference::Environment(_) | SecretReference::Credential(_) => Some(&self.environment),
        };
        let store = store.ok_or_else(|| SecretError::Elsewhere { reference: reference.clone() })?;
        store.secret_read(reference).await
    }
}
