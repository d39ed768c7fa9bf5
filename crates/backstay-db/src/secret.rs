//! Sealed secrets as the core's ports: what tenants hand in, and what the replicas of an installation share.
//!
//! ```text
//!  TENANT/NAME            handed in by people, read as `sealed:NAME`
//!  installation/NAME      the installation's own, made once by whichever replica comes first
//! ```

use async_trait::async_trait;
use backstay_core::domain::id::TenantId;
use backstay_core::domain::name::Name;
use backstay_core::domain::secret::{Secret, SecretReference};
use backstay_core::ports::secret::{KeptSecret, Replace, SecretError, SecretKeeper, SecretStore};
use backstay_core::ports::store::Page;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select};

use crate::entity::secret;
use crate::error::store_error;
use crate::page::paged;
use crate::row::Row;
use crate::seal::{SealError, SealedSecrets};

/// What stands before the names of the installation's own secrets. No tenant's id looks like it.
const INSTALLATION: &str = "installation/";

fn key(tenant: TenantId, name: &Name) -> String {
    format!("{tenant}/{name}")
}

/// Returns the question for a page of tenants' secrets: of one or all of them, of one name or all.
pub(crate) fn secrets_question(
    tenant: Option<TenantId>,
    name: Option<&Name>,
    page: &Page<String>,
) -> Select<secret::Entity> {
    let mut query = secret::Entity::find().select_only().column(secret::Column::Id);
    match tenant {
        Some(tenant) => query = query.filter(secret::Column::TenantId.eq(tenant.to_string())),
        None => query = query.filter(secret::Column::TenantId.is_not_null()),
    }
    if let Some(name) = name {
        query = query.filter(secret::Column::Name.eq(name.as_str()));
    }
    paged(query, secret::Column::Id, page)
}

impl SealedSecrets {
    /// Returns the installation's own secret of this name, and keeps `fresh` as it when there is none. Of many that do so
    /// at once one is first, and all get its secret.
    ///
    /// # Errors
    /// [`SealError`].
    pub async fn ensure(&self, name: &str, fresh: &Secret) -> Result<Secret, SealError> {
        let name = format!("{INSTALLATION}{name}");
        self.put_first(&name, fresh).await?;
        self.get(&name).await
    }

    /// Makes sure that each secret is sealed under a master key that was given.
    ///
    /// # Errors
    /// [`SealError::Key`], naming the first secret whose key is missing; [`SealError::Store`].
    pub async fn keys_check(&self) -> Result<(), SealError> {
        let foreign = secret::Entity::find()
            .filter(secret::Column::KeyId.is_not_in(self.key_ids()))
            .order_by_asc(secret::Column::Id)
            .limit(1);
        match foreign.one(&self.database().reader).await.map_err(store_error)? {
            Some(row) => Err(SealError::Key { row: row.id, key_id: row.key_id, known: self.key_ids() }),
            None => Ok(()),
        }
    }
}

/// Returns what a store of secrets says of a seal.
fn secret_error(error: SealError, reference: &SecretReference) -> SecretError {
    let reference = reference.clone();
    match error {
        SealError::Store(error) => error.into(),
        SealError::Missing { .. } => SecretError::Missing { reference },
        error => SecretError::Closed { reference, source: Box::new(error) },
    }
}

fn reference_of(tenant: TenantId, name: &Name) -> SecretReference {
    SecretReference::Sealed { tenant_id: Some(tenant), name: name.clone() }
}

#[async_trait]
impl SecretStore for SealedSecrets {
    async fn secret_read(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        match reference {
            SecretReference::Sealed { tenant_id: Some(tenant), name } => {
                self.get(&key(*tenant, name)).await.map_err(|error| secret_error(error, reference))
            }
            SecretReference::Sealed { tenant_id: None, .. } => {
                Err(SecretError::Missing { reference: reference.clone() })
            }
            _ => Err(SecretError::Elsewhere { reference: reference.clone() }),
        }
    }
}

#[async_trait]
impl SecretKeeper for SealedSecrets {
    async fn secret_put(
        &self,
        tenant: TenantId,
        name: &Name,
        value: &Secret,
        replace: Replace,
    ) -> Result<bool, SecretError> {
        let key = key(tenant, name);
        let put = match replace {
            Replace::Yes => self.put(&key, value).await.map(|()| true),
            Replace::No => self.put_first(&key, value).await,
        };
        put.map_err(|error| secret_error(error, &reference_of(tenant, name)))
    }

    async fn secret_page(
        &self,
        tenant: Option<TenantId>,
        name: Option<&Name>,
        page: Page<KeptSecret>,
    ) -> Result<Vec<KeptSecret>, SecretError> {
        let before = page.before.map(|kept| key(kept.tenant_id, &kept.name));
        let query = secrets_question(tenant, name, &Page { before, rows_max: page.rows_max });
        let ids: Vec<String> = query.into_tuple().all(&self.database().reader).await.map_err(store_error)?;
        let kept = |id: &String| {
            let row = Row::of("secret", id);
            let (tenant, name) = id.split_once('/').unwrap_or((id, ""));
            Ok(KeptSecret { tenant_id: row.parse("id", tenant)?, name: row.parse("id", name)? })
        };
        ids.iter().map(kept).collect::<Result<_, _>>().map_err(SecretError::Store)
    }

    async fn secret_remove(&self, tenant: TenantId, name: &Name) -> Result<(), SecretError> {
        let removed = self.remove(&key(tenant, name)).await;
        removed.map_err(|error| secret_error(error, &reference_of(tenant, name)))
    }
}
