//! Secrets and where they are to be found.
//!
//! Rows and requests carry references; the value exists in a lease and in the process that uses it, nowhere else.
//! [`Secret`] prints as `[REDACTED]` and clears its memory when dropped.

use std::fmt;
use std::str::FromStr;

use super::id::TenantId;
use super::name::Name;

/// A secret's value.
pub type Secret = secrecy::SecretString;

/// Where a secret is to be found; never the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretReference {
    /// A file below the installation's data directory, by its relative path.
    File(String),
    /// A secret that somebody handed in, sealed in the database.
    Sealed {
        /// Whose it is; none as people write it: the tenant of whatever refers to it.
        tenant_id: Option<TenantId>,
        /// Its name, unique for the tenant.
        name: Name,
    },
}

/// A text that is not a secret reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a secret reference: write sealed:NAME, or file:keys/NAME without `..`")]
pub struct SecretReferenceError {
    /// What was given.
    pub text: String,
}

impl FromStr for SecretReference {
    type Err = SecretReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || SecretReferenceError { text: text.to_owned() };
        if let Some(sealed) = text.strip_prefix("sealed:") {
            let (tenant, name) = sealed.split_once('/').map_or((None, sealed), |(tenant, name)| (Some(tenant), name));
            let tenant_id = tenant.map(|id| id.parse().map_err(|_| refuse())).transpose()?;
            return Ok(Self::Sealed { tenant_id, name: name.parse().map_err(|_| refuse())? });
        }
        let path = text.strip_prefix("file:").ok_or_else(refuse)?;
        // Nothing else in the data directory is a secret to hand out: not the server's token, not the signing key.
        let inside = path.starts_with("keys/")
            && !path.contains('\0')
            && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if inside { Ok(Self::File(path.to_owned())) } else { Err(refuse()) }
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{path}"),
            Self::Sealed { tenant_id: None, name } => write!(f, "sealed:{name}"),
            Self::Sealed { tenant_id: Some(tenant), name } => write!(f, "sealed:{tenant}/{name}"),
        }
    }
}

impl SecretReference {
    /// Returns the reference as a tenant's row keeps it; none when it names another tenant's secret.
    #[must_use]
    pub fn of_tenant(self, tenant: TenantId) -> Option<Self> {
        match self {
            Self::Sealed { tenant_id: Some(other), .. } if other != tenant => None,
            Self::Sealed { name, .. } => Some(Self::Sealed { tenant_id: Some(tenant), name }),
            file @ Self::File(_) => Some(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_stays_among_the_keys() {
        assert_eq!("file:keys/home.key".parse::<SecretReference>().unwrap().to_string(), "file:keys/home.key");
        for text in [
            "",
            "keys/home.key",
            "file:",
            "file:/etc/shadow",
            "file:../x",
            "file:keys//b",
            "file:keys/./b",
            "file:keys/../x",
            "file:server.json",
            "sealed:",
            "sealed:a/b",
            "sealed:../x",
        ] {
            assert_eq!(text.parse::<SecretReference>().unwrap_err().text, text);
        }
    }

    #[test]
    fn a_sealed_secret_belongs_to_one_tenant() {
        let tenant = |ten| TenantId::new(jiff::Timestamp::UNIX_EPOCH, [ten; 10]);
        let given: SecretReference = "sealed:s3-read".parse().unwrap();
        let kept = given.clone().of_tenant(tenant(1)).unwrap();
        assert_eq!(kept.to_string(), format!("sealed:{}/s3-read", tenant(1)));
        assert_eq!(kept.to_string().parse::<SecretReference>().unwrap(), kept);
        assert_eq!(kept.clone().of_tenant(tenant(1)), Some(kept.clone()));
        assert_eq!(kept.of_tenant(tenant(2)), None, "another tenant's secret is not to be had");
    }

    #[test]
    fn a_secret_does_not_print() {
        assert!(!format!("{:?}", Secret::from("hunter2")).contains("hunter2"));
    }
}
