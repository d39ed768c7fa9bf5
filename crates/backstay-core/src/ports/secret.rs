//! Where secrets are kept: a reference goes in, the value comes out, nothing is remembered. And who keeps what people hand
//! in.

use async_trait::async_trait;

use super::page::{Page, all};
use super::store::StoreError;
use crate::domain::disposition::Disposition;
use crate::domain::id::TenantId;
use crate::domain::name::Name;
use crate::domain::secret::{Secret, SecretReference};
use crate::domain::storage::AccessKeyError;

/// Reads secrets.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Returns the secret that `reference` names.
    ///
    /// # Errors
    /// [`SecretError`], which never carries the value.
    async fn secret_read(&self, reference: &SecretReference) -> Result<Secret, SecretError>;
}

/// A kept secret, as people see it: never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSecret {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name, unique for the tenant.
    pub name: Name,
}

/// Whether a secret may take the place of an earlier one of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// It may.
    Yes,
    /// It may not.
    No,
}

/// Keeps secrets that people hand in; what was kept is read as `sealed:NAME` through [`SecretStore`].
#[async_trait]
pub trait SecretKeeper: Send + Sync {
    /// Keeps a secret, and says whether it did: not when there is one of this name that may not be replaced. Of two that
    /// keep the first one at once, one does.
    ///
    /// # Errors
    /// [`SecretError`], which never carries the value.
    async fn secret_put(
        &self,
        tenant: TenantId,
        name: &Name,
        value: &Secret,
        replace: Replace,
    ) -> Result<bool, SecretError>;

    /// Returns a page of what is kept, of one tenant or of all, by tenant and name, the last ones first; only those of a
    /// name when one is given.
    ///
    /// # Errors
    /// [`SecretError`].
    async fn secret_page(
        &self,
        tenant: Option<TenantId>,
        name: Option<&Name>,
        page: Page<KeptSecret>,
    ) -> Result<Vec<KeptSecret>, SecretError>;

    /// Returns what is kept, by tenant and name; of one tenant or all.
    ///
    /// # Errors
    /// [`SecretError`].
    async fn secret_list(&self, tenant: Option<TenantId>) -> Result<Vec<KeptSecret>, SecretError> {
        let mut rows = all(|page| self.secret_page(tenant, None, page), KeptSecret::clone).await?;
        rows.sort_by_key(|row| (row.tenant_id, row.name.clone()));
        Ok(rows)
    }

    /// Forgets a secret; one that is not there is forgotten already.
    ///
    /// # Errors
    /// [`SecretError`].
    async fn secret_remove(&self, tenant: TenantId, name: &Name) -> Result<(), SecretError>;
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Nothing is there.
    #[error("there is no secret at {reference}; {}", reference.remedy())]
    Missing {
        /// Where it should be.
        reference: SecretReference,
    },
    /// It is there and holds nothing: a copy that was cut off, or a file that nobody filled.
    #[error("the secret at {reference} is empty; {}", reference.remedy())]
    Empty {
        /// Where it is.
        reference: SecretReference,
    },
    /// It is there and cannot be read.
    #[error("the secret at {reference} cannot be read")]
    Unreadable {
        /// Where it is.
        reference: SecretReference,
        /// What the system said.
        source: std::io::Error,
    },
    /// This store keeps none of this kind.
    #[error("the secret at {reference} is not kept by this installation; `backstay secret put` keeps sealed ones")]
    Elsewhere {
        /// Where it should be.
        reference: SecretReference,
    },
    /// It is there and does not open: its master key was not given, or somebody changed its row.
    #[error("the secret at {reference} cannot be opened")]
    Closed {
        /// Where it is.
        reference: SecretReference,
        /// What the seal says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is there and is something else than what it is used for.
    #[error("the secret at {reference} cannot be used: {source}")]
    Key {
        /// Where it is.
        reference: SecretReference,
        /// What it should be.
        source: AccessKeyError,
    },
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SecretError {
    /// Returns what the error asks for.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Store(error) => error.disposition(),
            _ => Disposition::Operator,
        }
    }
}
