//! Where secrets are kept: a reference goes in, the value comes out, nothing is remembered.

use async_trait::async_trait;

use crate::domain::disposition::Disposition;
use crate::domain::secret::{Secret, SecretReference};

/// Reads secrets.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Returns the secret that `reference` names.
    ///
    /// # Errors
    /// [`SecretError`], which never carries the value.
    async fn secret_read(&self, reference: &SecretReference) -> Result<Secret, SecretError>;
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Nothing is there.
    #[error("there is no secret at {reference}; put it back there, for example from the copy that you keep elsewhere")]
    Missing {
        /// Where it should be.
        reference: SecretReference,
    },
    /// It is there and holds nothing: a copy that was cut off, or a file that nobody filled.
    #[error(
        "the secret at {reference} is empty; put its value back, for example from the copy that you keep elsewhere"
    )]
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
}

impl SecretError {
    /// Returns what the error asks for.
    pub const fn disposition(&self) -> Disposition {
        Disposition::Operator
    }
}
