//! Credentials for a storage: what opens it, kept apart from its settings, by what it is for.
//!
//! Settings lie in rows and are shown to people; credentials come from a lease, a file or the environment when a
//! storage is opened, and are never written, shown or put into an error. Each purpose may have a key of its own, so that
//! a backup cannot delete and a verify cannot write.

use std::collections::BTreeMap;

use secrecy::SecretString;

pub use backstay_core::domain::storage::{AccessKey, Purpose};

/// Where access comes from.
#[derive(Debug, Clone, Default)]
pub enum Access {
    /// Nothing was given: enough for a folder.
    #[default]
    None,
    /// What the machine has, in the order of Amazon's tools: `AWS_*` in the environment, their configuration files, a
    /// web identity (Kubernetes), a container's role, the machine's role.
    Ambient,
    /// A key for each purpose; a purpose without one is refused before anything is sent.
    Keys(BTreeMap<Purpose, AccessKey>),
}

/// What opens a storage.
#[derive(Debug, Clone, Default)]
pub struct StorageCredentials {
    /// How to get in.
    pub access: Access,
    /// The key of 32 bytes, in base64, that an S3 server encrypts with and forgets (SSE-C); absent: no such key.
    pub customer_key: Option<SecretString>,
    /// Those of the two parts of a hot-cold storage; absent: both parts take these.
    pub parts: Option<Box<PartCredentials>>,
}

/// Credentials for each part of a hot-cold storage.
#[derive(Debug, Clone, Default)]
pub struct PartCredentials {
    /// For the hot part.
    pub hot: StorageCredentials,
    /// For the cold part.
    pub cold: StorageCredentials,
}

impl StorageCredentials {
    /// Returns nothing at all: what a folder needs.
    pub fn none() -> Self {
        Self::default()
    }

    /// Returns what the machine has (`AWS_*`, configuration files, web identity, instance role).
    pub fn ambient() -> Self {
        Self { access: Access::Ambient, ..Self::default() }
    }

    /// Returns one key for every purpose.
    pub fn one(key: &AccessKey) -> Self {
        Self::by_purpose(Purpose::ALL.iter().map(|purpose| (*purpose, key.clone())))
    }

    /// Returns these keys, each for its purpose alone.
    pub fn by_purpose(keys: impl IntoIterator<Item = (Purpose, AccessKey)>) -> Self {
        Self { access: Access::Keys(keys.into_iter().collect()), ..Self::default() }
    }

    /// Adds the key that the server encrypts with: 32 bytes in base64.
    #[must_use]
    pub fn with_customer_key(mut self, key: SecretString) -> Self {
        self.customer_key = Some(key);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_key_is_shown() {
        let mut key = AccessKey::new("the-id", "the-secret".into());
        key.session = Some("the-session".into());
        let credentials = StorageCredentials::one(&key).with_customer_key("the-customer-key".into());
        let shown = format!("{credentials:?} {key:?}");
        assert!(!shown.contains("the-"), "{shown}");
    }
}
