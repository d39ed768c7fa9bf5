//! Secrets in a map.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backstay_core::domain::id::TenantId;
use backstay_core::domain::name::Name;
use backstay_core::domain::secret::{Secret, SecretReference};
use backstay_core::ports::secret::{KeptSecret, Replace, SecretError, SecretKeeper, SecretStore};

/// A secret store in memory.
#[derive(Debug, Clone, Default)]
pub struct SecretMap {
    secrets: Arc<Mutex<HashMap<String, Secret>>>,
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

fn reference_of(tenant: TenantId, name: &Name) -> SecretReference {
    SecretReference::Sealed { tenant_id: Some(tenant), name: name.clone() }
}

#[async_trait]
impl SecretKeeper for SecretMap {
    async fn secret_put(
        &self,
        tenant: TenantId,
        name: &Name,
        value: &Secret,
        replace: Replace,
    ) -> Result<bool, SecretError> {
        let mut secrets = self.secrets.lock().expect("no test panics while it holds the map");
        let key = reference_of(tenant, name).to_string();
        if replace == Replace::No && secrets.contains_key(&key) {
            return Ok(false);
        }
        secrets.insert(key, value.clone());
        Ok(true)
    }

    async fn secret_list(&self, tenant: Option<TenantId>) -> Result<Vec<KeptSecret>, SecretError> {
        let secrets = self.secrets.lock().expect("no test panics while it holds the map");
        let kept = |key: &String| match key.parse() {
            Ok(SecretReference::Sealed { tenant_id: Some(tenant_id), name }) => Some(KeptSecret { tenant_id, name }),
            _ => None,
        };
        let mut rows: Vec<KeptSecret> = secrets.keys().filter_map(kept).collect();
        rows.retain(|row| tenant.is_none_or(|tenant| row.tenant_id == tenant));
        rows.sort_by_key(|row| (row.tenant_id, row.name.clone()));
        Ok(rows)
    }

    async fn secret_remove(&self, tenant: TenantId, name: &Name) -> Result<(), SecretError> {
        self.remove(&reference_of(tenant, name));
        Ok(())
    }
}
