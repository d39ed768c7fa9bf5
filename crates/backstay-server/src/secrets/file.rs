//! Secrets in files below a folder that only its owner can enter. A trailing newline is not part of a secret.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use backstay_core::domain::secret::{Secret, SecretReference};
use backstay_core::ports::secret::{SecretError, SecretStore};

/// Secrets by relative path below a folder.
#[derive(Debug, Clone)]
pub struct FileSecrets {
    root: PathBuf,
}

impl FileSecrets {
    /// Makes a store over a folder.
    pub const fn new(root: PathBuf) -> Self {
        Self { root }
    }
}

#[async_trait]
impl SecretStore for FileSecrets {
    async fn secret_read(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        let SecretReference::File(path) = reference else {
            return Err(SecretError::Elsewhere { reference: reference.clone() });
        };
        read(&self.root.join(path), reference).await
    }
}

/// Reads the file in which a reference's secret lies.
pub(super) async fn read(path: &Path, reference: &SecretReference) -> Result<Secret, SecretError> {
    match tokio::fs::read_to_string(path).await {
        Ok(text) => value(&text, reference),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(SecretError::Missing { reference: reference.clone() })
        }
        Err(source) => Err(SecretError::Unreadable { reference: reference.clone(), source }),
    }
}

/// Returns a text as a secret, without the newline at its end. An empty password opens nothing that anybody meant to lock,
/// and would seal a new repository for everybody.
pub(super) fn value(text: &str, reference: &SecretReference) -> Result<Secret, SecretError> {
    match text.trim().is_empty() {
        true => Err(SecretError::Empty { reference: reference.clone() }),
        false => Ok(Secret::from(text.trim_end_matches(['\n', '\r']))),
    }
}

#[cfg(test)]
mod tests {
    use backstay_core::domain::secret::SecretReference;
    use secrecy::ExposeSecret;

    use super::*;

    #[tokio::test]
    async fn a_secret_is_read_without_its_newline() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("keys")).unwrap();
        std::fs::write(home.path().join("keys/a.key"), "hunter2\n").unwrap();
        let store = FileSecrets::new(home.path().to_owned());
        let read = async |reference: &str| store.secret_read(&reference.parse::<SecretReference>().unwrap()).await;
        assert_eq!(read("file:keys/a.key").await.unwrap().expose_secret(), "hunter2");
        assert!(matches!(read("file:keys/b.key").await, Err(SecretError::Missing { .. })));
    }

    #[tokio::test]
    async fn an_empty_file_is_no_secret() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("keys")).unwrap();
        let store = FileSecrets::new(home.path().to_owned());
        let reference: SecretReference = "file:keys/a.key".parse().unwrap();
        for text in ["", "\n", " \r\n"] {
            std::fs::write(home.path().join("keys/a.key"), text).unwrap();
            let error = store.secret_read(&reference).await.unwrap_err();
            assert!(matches!(&error, SecretError::Empty { reference: named } if *named == reference), "{text:?}");
            assert!(error.to_string().contains("put it back there"), "{error}");
        }
    }
}
