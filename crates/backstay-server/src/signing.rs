//! The installation's Ed25519 key: in a file of its own that only its owner can read, or handed in by a role.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use backstay_core::ports::signer::Signer;
use ed25519_dalek::{Signer as _, SigningKey};

/// A key that is held in memory: read from its file, or shared by the replicas of a server.
pub struct KeySigner(SigningKey);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The file could not be read or written.
    #[error("the signing key {} cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("the signing key {} does not have 32 bytes; put it back from a copy, or move it away to begin a new one", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
    },
    /// Others may read it.
    #[error("the signing key {} can be read by others; run: chmod 600 {}", path.display(), path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
}

impl KeySigner {
    /// Makes a signer of a key that is kept elsewhere.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(key))
    }

    /// Reads the key, and makes it from these bytes when there is none.
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn open(path: &Path, fresh: [u8; 32]) -> Result<Self, SigningError> {
        let told = |source| SigningError::Io { path: path.to_owned(), source };
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match made {
            Ok(mut file) => {
                fill(&mut file, path, &fresh).map_err(told)?;
                return Ok(Self(SigningKey::from_bytes(&fresh)));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(told(error)),
        }
        let mode = std::fs::metadata(path).map_err(told)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(SigningError::Open { path: path.to_owned() });
        }
        let bytes = std::fs::read(path).map_err(told)?;
        let bytes: [u8; 32] = match bytes.try_into() {
            Ok(bytes) => bytes,
            // A crash between making and filling it: nothing was signed with it yet.
            Err(bytes) if bytes.is_empty() => {
                let mut file = File::options().write(true).open(path).map_err(told)?;
                fill(&mut file, path, &fresh).map_err(told)?;
                fresh
            }
            Err(_) => return Err(SigningError::Shape { path: path.to_owned() }),
        };
        Ok(Self(SigningKey::from_bytes(&bytes)))
    }
}

/// Writes a new key, and makes it and its name durable: evidence that a lost key signed looks
/// foreign.
fn fill(file: &mut File, path: &Path, key: &[u8; 32]) -> io::Result<()> {
    file.write_all(key)?;
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

impl Signer for KeySigner {
    fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("signing.key");
        let first = KeySigner::open(&path, [1; 32]).unwrap().public_key();
        assert_eq!(KeySigner::open(&path, [2; 32]).unwrap().public_key(), first);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(KeySigner::open(&path, [2; 32]), Err(SigningError::Open { .. })));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(KeySigner::open(&path, [2; 32]), Err(SigningError::Shape { .. })));
    }
}
