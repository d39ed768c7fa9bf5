//! Secrets and where they are to be found.
//!
//! Rows and requests carry references; the value exists in a lease and in the process that uses it, nowhere else.
//! [`Secret`] prints as `[REDACTED]` and clears its memory when dropped.

use std::fmt;
use std::str::FromStr;

/// A secret's value.
pub type Secret = secrecy::SecretString;

/// Where a secret is to be found; never the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretReference {
    /// A file below the installation's data directory, by its relative path.
    File(String),
}

/// A text that is not a secret reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a secret reference: write file:keys/NAME, without `..`")]
pub struct SecretReferenceError {
    /// What was given.
    pub text: String,
}

impl FromStr for SecretReference {
    type Err = SecretReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || SecretReferenceError { text: text.to_owned() };
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
        ] {
            assert_eq!(text.parse::<SecretReference>().unwrap_err().text, text);
        }
    }

    #[test]
    fn a_secret_does_not_print() {
        assert!(!format!("{:?}", Secret::from("hunter2")).contains("hunter2"));
    }
}
