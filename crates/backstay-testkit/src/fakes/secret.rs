//! Secrets in a map.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backstay_core::domain::id::TenantId;
use backstay_core::domain::name::Name;
use backstay_core::domain::secret::{Secret, SecretReference};
use backstay_core::ports::secret::{KeptSecret, Replace, SecretError, SecretKeeper, SecretStore};
use backstay_core::ports::store::Page;

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

    async fn secret_page(
        &self,
        tenant: Option<TenantId>,
        name: Option<&Name>,
        page: Page<KeptSecret>,
    ) -> Result<Vec<KeptSecret>, SecretError> {
        let secrets = self.secrets.lock().expect("no test panics while it holds the map");
        let kept = |key: &String| match key.parse() {
            Ok(SecretReference::Sealed { tenant_id: Some(tenant_id), name }) => Some(KeptSecret { tenant_id, name }),
            _ => None,
        };
        let place = |row: &KeptSecret| (row.tenant_id, row.name.clone());
        let mut rows: Vec<KeptSecret> = secrets.keys().filter_map(kept).collect();
        rows.retain(|row| tenant.is_none_or(|tenant| row.tenant_id == tenant));
        rows.retain(|row| name.is_none_or(|name| row.name == *name));
        rows.retain(|row| page.before.as_ref().is_none_or(|before| place(row) < place(before)));
        rows.sort_by_key(|row| std::cmp::Reverse(place(row)));
        rows.truncate(page.rows_max as usize);
        Ok(rows)
    }

    async fn secret_remove(&self, tenant: TenantId, name: &Name) -> Result<(), SecretError> {
        self.remove(&reference_of(tenant, name));
        Ok(())
    }
}
