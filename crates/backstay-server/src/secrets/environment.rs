//! Secrets that the server was started with: variables of its environment or of what stands in for it, and credentials that
//! systemd gives its unit.
//!
//! Which of them a reference may name is judged where references are read (`core/domain/secret.rs`). Both are read at each
//! use; that variables stay as they were when the process began is the system's doing.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use backstay_core::domain::secret::{Secret, SecretReference};
use backstay_core::ports::secret::{SecretError, SecretStore};

use super::file;

/// Looks up a variable.
type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// Secrets of the process's environment.
#[derive(Clone)]
pub struct EnvironmentSecrets {
    lookup: Arc<Lookup>,
    credentials: Option<PathBuf>,
}

impl fmt::Debug for EnvironmentSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvironmentSecrets").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

impl EnvironmentSecrets {
    /// Makes a store over an environment and the folder in which systemd puts credentials, where there is one.
    pub fn new(
        lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
        credentials: Option<PathBuf>,
    ) -> Self {
        Self { lookup: Arc::new(lookup), credentials }
    }
}

#[async_trait]
impl SecretStore for EnvironmentSecrets {
    async fn secret_read(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        let missing = || SecretError::Missing { reference: reference.clone() };
        match reference {
            SecretReference::Environment(variable) => {
                let text = (self.lookup)(variable).ok_or_else(missing)?;
                let text = text.into_string().map_err(|_| SecretError::Unreadable {
                    reference: reference.clone(),
                    source: std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8"),
                })?;
                file::value(&text, reference)
            }
            SecretReference::Credential(name) => {
                let folder = self.credentials.as_ref().ok_or_else(missing)?;
                file::read(&folder.join(name), reference).await
            }
            SecretReference::File(_) | SecretReference::Sealed { .. } => {
                Err(SecretError::Elsewhere { reference: reference.clone() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use secrecy::ExposeSecret as _;

    use super::*;

    fn lookup(name: &str) -> Option<OsString> {
        match name {
            "BACKSTAY_SECRET_HOME" => Some("hunter2\n".into()),
            "BACKSTAY_SECRET_EMPTY" => Some("".into()),
            "BACKSTAY_SECRET_ODD" => Some(OsString::from_vec(b"hunter2\xff".to_vec())),
            _ => None,
        }
    }

    async fn check(store: &EnvironmentSecrets, reference: &str, expected: &str) {
        let reference: SecretReference = reference.parse().unwrap();
        let answer = match store.secret_read(&reference).await {
            Ok(value) => value.expose_secret().to_owned(),
            Err(error) => {
                let words = error.to_string();
                assert!(!words.contains("hunter2") && words.contains(&reference.to_string()), "{words}");
                words
            }
        };
        assert!(answer.contains(expected), "{reference}: {answer}");
    }

    #[tokio::test]
    async fn variables_and_credentials_are_read_or_named() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("secret-home"), "hunter3\n").unwrap();
        std::fs::write(home.path().join("secret-empty"), "\n").unwrap();
        let store = EnvironmentSecrets::new(lookup, Some(home.path().to_owned()));
        check(&store, "env:BACKSTAY_SECRET_HOME", "hunter2").await;
        check(&store, "env:BACKSTAY_SECRET_NONE", "set BACKSTAY_SECRET_NONE in the server's environment").await;
        check(&store, "env:BACKSTAY_SECRET_EMPTY", "is empty; set BACKSTAY_SECRET_EMPTY").await;
        check(&store, "env:BACKSTAY_SECRET_ODD", "cannot be read").await;
        check(&store, "credential:secret-home", "hunter3").await;
        check(&store, "credential:secret-none", "LoadCredential=secret-none:PATH").await;
        check(&store, "credential:secret-empty", "is empty").await;
        check(&store, "sealed:home", "is not kept by this installation").await;
        let none = EnvironmentSecrets::new(lookup, None);
        check(&none, "credential:secret-home", "there is no secret at credential:secret-home").await;
    }
}
