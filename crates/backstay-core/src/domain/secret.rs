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

/// How the variables begin that a reference may name: none of those that tell this program something does, so nobody has
/// the server send its master key or its token anywhere (decision 0043).
pub const VARIABLE_PREFIX: &str = "BACKSTAY_SECRET_";

/// How the systemd credentials begin that a reference may name. The master key's own may lie in the same folder.
pub const CREDENTIAL_PREFIX: &str = "secret-";

/// Longest name of a variable or a credential, in bytes: longest file name of Linux.
const PLACE_BYTES_MAX: usize = 255;

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
    /// A variable of the server's environment, by its whole name; it begins with [`VARIABLE_PREFIX`].
    Environment(String),
    /// A credential that systemd gives the server, by its whole name; it begins with [`CREDENTIAL_PREFIX`].
    Credential(String),
}

/// A text that is not a secret reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a secret reference: write sealed:NAME, file:keys/NAME without `..`, env:{VARIABLE_PREFIX}NAME or \
     credential:{CREDENTIAL_PREFIX}NAME"
)]
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
        if let Some(variable) = text.strip_prefix("env:") {
            let is_ours = is_place(variable, VARIABLE_PREFIX, |letter| letter.is_ascii_alphanumeric() || letter == '_');
            return if is_ours { Ok(Self::Environment(variable.to_owned())) } else { Err(refuse()) };
        }
        if let Some(name) = text.strip_prefix("credential:") {
            let is_ours =
                is_place(name, CREDENTIAL_PREFIX, |letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
            return if is_ours { Ok(Self::Credential(name.to_owned())) } else { Err(refuse()) };
        }
        let path = text.strip_prefix("file:").ok_or_else(refuse)?;
        // Nothing else in the data directory is a secret to hand out: not the server's token, not the signing key.
        let inside = path.starts_with("keys/")
            && !path.contains('\0')
            && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if inside { Ok(Self::File(path.to_owned())) } else { Err(refuse()) }
    }
}

/// Says whether a name has more than its prefix, and only such letters.
fn is_place(name: &str, prefix: &str, may: impl Fn(char) -> bool) -> bool {
    name.len() > prefix.len() && name.len() <= PLACE_BYTES_MAX && name.starts_with(prefix) && name.chars().all(may)
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{path}"),
            Self::Sealed { tenant_id: None, name } => write!(f, "sealed:{name}"),
            Self::Sealed { tenant_id: Some(tenant), name } => write!(f, "sealed:{tenant}/{name}"),
            Self::Environment(variable) => write!(f, "env:{variable}"),
            Self::Credential(name) => write!(f, "credential:{name}"),
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
            other => Some(other),
        }
    }

    /// Says whether it names a secret of the installation as a whole: only who oversees it may have a tenant's data opened
    /// with one.
    #[must_use]
    pub const fn is_of_installation(&self) -> bool {
        matches!(self, Self::File(_) | Self::Environment(_) | Self::Credential(_))
    }

    /// Returns what a person does when nothing, or nothing useful, is there.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::File(_) | Self::Sealed { .. } => {
                "put it back there, for example from the copy that you keep elsewhere".to_owned()
            }
            Self::Environment(variable) => {
                format!(
                    "set {variable} in the server's environment, or in `.env` beside its file of settings, and start the \
                     server anew"
                )
            }
            Self::Credential(name) => format!(
                "give it to the server's unit (LoadCredential={name}:PATH, or LoadCredentialEncrypted) and start it anew"
            ),
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
            "env:",
            "env:BACKSTAY_SECRET_",
            "env:BACKSTAY_MASTER_KEY",
            "env:BACKSTAY_TOKEN",
            "env:backstay_secret_x",
            "env:BACKSTAY_SECRET_A=B",
            "env:PATH",
            "credential:",
            "credential:secret-",
            "credential:master-key",
            "credential:secret-/../master-key",
            "credential:secret-a/b",
        ] {
            assert_eq!(text.parse::<SecretReference>().unwrap_err().text, text);
        }
    }

    #[test]
    fn a_reference_to_the_installation_names_what_is_meant_for_it() {
        for text in ["env:BACKSTAY_SECRET_HOME_2", "credential:secret-home.key"] {
            let reference: SecretReference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert!(reference.is_of_installation());
            assert!(reference.remedy().contains(text.split_once(':').unwrap().1), "{}", reference.remedy());
        }
        assert!("file:keys/a".parse::<SecretReference>().unwrap().is_of_installation());
        assert!(!"sealed:a".parse::<SecretReference>().unwrap().is_of_installation());
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
