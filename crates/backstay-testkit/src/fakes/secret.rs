//! Secrets in a map.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use backstay_core::domain::secret::{Secret, SecretReference};
use backstay_core::ports::secret::{SecretError, SecretStore};

/// A secret store in memory.
#[derive(Debug, Default)]
pub struct SecretMap {
    secrets: Mutex<HashMap<String, Secret>>,
}

impl SecretMap {
    /// Puts a secret where `reference` says.
    pub fn put(&self, reference: &SecretReference, secret: &str) {
        let mut secrets = self.secrets.lock().expect("no test panics while it holds the map");
        secrets.insert(reference.to_string(), Secret::from(secret));
    }

    /// Takes a secret away, as a person does who deletes the file.
    pub fn remove(&self, reference: &SecretReference) {
        self.secrets.lock().expect("no test panics while it holds the map").remove(&reference.to_string());
    }
}

#[async_trait]
impl SecretStore for SecretMap {
    async fn secret_read(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        let secrets = self.secrets.lock().expect("no test panics while it holds the map");
        let secret = secrets.get(&reference.to_string()).cloned();
        secret.ok_or_else(|| SecretError::Missing { reference: reference.clone() })
    }
}
