//! Takes in secrets that tenants hand in, and lets go of them: never of one that a repository may need.

use secrecy::ExposeSecret as _;

use super::context::Context;
use crate::domain::id::TenantId;
use crate::domain::name::Name;
use crate::domain::repository::Repository;
use crate::domain::secret::{Secret, SecretReference};
use crate::ports::secret::{KeptSecret, Replace, SecretError, SecretKeeper};
use crate::ports::store::StoreError;

/// Longest secret, in bytes: passwords and keys have hundreds, and every database's column holds it sealed.
pub const SECRET_BYTES_MAX: usize = 16 << 10;

/// Why a secret was not taken in, or not let go of.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// Nothing, or too much.
    #[error("a secret has 1 to {SECRET_BYTES_MAX} bytes")]
    Length,
    /// A repository would not open any more.
    #[error("the secret {name} is {what} of the repository {repository}")]
    InUse {
        /// Which secret.
        name: Name,
        /// What it is there.
        what: &'static str,
        /// The repository's name.
        repository: Name,
    },
    /// A storage would not open any more.
    #[error("the secret {name} is a key of the storage {storage}")]
    InStorage {
        /// Which secret.
        name: Name,
        /// The storage's name.
        storage: Name,
    },
    /// A channel could not deliver any more.
    #[error("the secret {name} is {what} of the channel {channel}")]
    InChannel {
        /// Which secret.
        name: Name,
        /// The setting that names it.
        what: &'static str,
        /// The channel's name.
        channel: Name,
    },
    /// The keeper refused.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes in a tenant's secret. A repository's password is never replaced: its data would not open any more.
///
/// # Errors
/// [`KeepError`], with [`StoreError::Taken`] when there is one of this name that is not to be replaced.
pub async fn secret_keep(
    context: &Context,
    keeper: &dyn SecretKeeper,
    tenant: TenantId,
    name: &Name,
    value: &Secret,
    replace: Replace,
) -> Result<KeptSecret, KeepError> {
    let length = value.expose_secret().len();
    if value.expose_secret().trim().is_empty() || length > SECRET_BYTES_MAX {
        return Err(KeepError::Length);
    }
    if replace == Replace::Yes {
        let reference = reference(tenant, name);
        in_use(context, tenant, name, "the password", |row| row.password == reference).await?;
    }
    if !keeper.secret_put(tenant, name, value, replace).await? {
        return Err(StoreError::Taken { noun: "secret", key: name.to_string() }.into());
    }
    Ok(KeptSecret { tenant_id: tenant, name: name.clone() })
}

/// Lets go of a tenant's secret that no repository and no channel refers to.
///
/// # Errors
/// [`KeepError`].
pub async fn secret_forget(
    context: &Context,
    keeper: &dyn SecretKeeper,
    tenant: TenantId,
    name: &Name,
) -> Result<(), KeepError> {
    let reference = reference(tenant, name);
    in_use(context, tenant, name, "the password", |row| row.password == reference).await?;
    let is_key = |row: &Repository| row.credentials.values().any(|key| *key == reference);
    in_use(context, tenant, name, "a storage key", is_key).await?;
    for row in context.declarations.storage_list(Some(tenant)).await? {
        if row.credentials.values().any(|key| *key == reference) {
            return Err(KeepError::InStorage { name: name.clone(), storage: row.name });
        }
    }
    // Also channels of the installation: they may say whose secret they mean.
    for channel in context.notices.channel_list(None).await? {
        if let Some((what, _)) = channel.settings.references().into_iter().find(|(_, known)| **known == reference) {
            return Err(KeepError::InChannel { name: name.clone(), what, channel: channel.name });
        }
    }
    Ok(keeper.secret_remove(tenant, name).await?)
}

fn reference(tenant: TenantId, name: &Name) -> SecretReference {
    SecretReference::Sealed { tenant_id: Some(tenant), name: name.clone() }
}

/// Refuses when a repository of the tenant uses a secret so.
async fn in_use(
    context: &Context,
    tenant: TenantId,
    name: &Name,
    what: &'static str,
    uses: impl Fn(&Repository) -> bool + Send,
) -> Result<(), KeepError> {
    let repositories = context.declarations.repository_list(Some(tenant)).await?;
    match repositories.into_iter().find(|row| uses(row)) {
        Some(row) => Err(KeepError::InUse { name: name.clone(), what, repository: row.name }),
        None => Ok(()),
    }
}
