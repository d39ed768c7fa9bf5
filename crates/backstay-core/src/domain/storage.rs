//! Where repository bytes lie, as the control plane knows it: a kind with its settings, and what opens it, by purpose.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;

use super::id::{StorageId, TenantId};
use super::job::JobKind;
use super::name::Name;
use super::secret::{Secret, SecretReference};

/// A storage's kind and settings. What they mean is known by `STORAGE_KINDS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageSettings {
    /// Storage kind, a row of `STORAGE_KINDS`.
    pub kind: String,
    /// The kind's settings; never a secret.
    pub settings: serde_json::Value,
}

/// What a credential is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Lists and sizes. Falls back to [`Purpose::Read`].
    Watch,
    /// Bytes of objects.
    Read,
    /// New objects.
    Write,
    /// Removal of objects.
    Delete,
}

super::job::words!(Purpose: Watch = "watch", Read = "read", Write = "write", Delete = "delete");

/// Where the credentials of a storage are to be found, by purpose; none for a storage that needs none.
pub type CredentialReferences = BTreeMap<Purpose, SecretReference>;

/// A storage that a tenant declared, for many repositories: its settings stay, what opens it may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Its id.
    pub id: StorageId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name, unique for the tenant.
    pub name: Name,
    /// Where it is.
    pub place: StorageSettings,
    /// Where that is to be found which opens it, by purpose.
    pub credentials: CredentialReferences,
    /// When it was retired: no repository is declared in it then; none while it lives.
    pub retired_at: Option<Timestamp>,
}

/// A path that does not lead below a storage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{path}` has a part that is empty, `.` or `..`, begins or ends with a space, or has a backslash; write one such as home or team/web"
)]
pub struct PathError {
    /// What was given.
    pub path: String,
}

/// Judges a path below a storage.
///
/// # Errors
/// [`PathError`].
pub fn path_judge(path: &str) -> Result<(), PathError> {
    let wrong = |part: &str| {
        matches!(part, "" | "." | "..")
            || part.trim() != part
            || part.contains(|letter: char| letter == '\\' || letter.is_control())
    };
    if path.split('/').any(wrong) { Err(PathError { path: path.to_owned() }) } else { Ok(()) }
}

/// An access key as S3 has it.
#[derive(Clone)]
pub struct AccessKey {
    /// Its public half.
    pub id: String,
    /// Its secret half.
    pub secret: Secret,
    /// The token of a session that ends; absent: the key stands by itself.
    pub session: Option<Secret>,
}

/// A secret that is no access key. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no access key: keep it as {{\"access_key_id\": \"…\", \"secret_access_key\": \"…\"}}, with \"session_token\" \
     where there is one"
)]
pub struct AccessKeyError;

impl AccessKey {
    /// Makes a key that stands by itself.
    pub fn new(id: impl Into<String>, secret: Secret) -> Self {
        Self { id: id.into(), secret, session: None }
    }

    /// Reads a key as tenants keep it: JSON with the names of Amazon's tools.
    ///
    /// # Errors
    /// [`AccessKeyError`].
    pub fn parse(text: &Secret) -> Result<Self, AccessKeyError> {
        let json: serde_json::Value = serde_json::from_str(text.expose_secret()).map_err(|_| AccessKeyError)?;
        let field = |name: &str| json[name].as_str().map(str::trim).filter(|value| !value.is_empty());
        let known = ["access_key_id", "secret_access_key", "session_token"];
        let all_known = json.as_object().is_some_and(|fields| fields.keys().all(|name| known.contains(&name.as_str())));
        match (field(known[0]), field(known[1]), all_known) {
            (Some(id), Some(secret), true) => {
                Ok(Self { session: field(known[2]).map(Secret::from), ..Self::new(id, Secret::from(secret)) })
            }
            _ => Err(AccessKeyError),
        }
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").finish_non_exhaustive()
    }
}

/// Returns what a job of this kind may do with its storage: its lease brings credentials for that and for nothing else.
pub const fn purposes(kind: JobKind) -> &'static [Purpose] {
    match kind {
        JobKind::Discover | JobKind::Restore | JobKind::Verify => &[Purpose::Watch, Purpose::Read],
        JobKind::Backup | JobKind::Copy => &[Purpose::Watch, Purpose::Read, Purpose::Write],
        JobKind::Prune => Purpose::ALL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_and_never_shown() {
        let read = |text: &str| AccessKey::parse(&Secret::from(text));
        let key =
            read(r#"{"access_key_id": "the-id", "secret_access_key": " the-secret\n", "session_token": "the-s"}"#);
        let key = key.unwrap();
        assert_eq!((key.id.as_str(), key.secret.expose_secret()), ("the-id", "the-secret"));
        assert_eq!(key.session.as_ref().map(|token| token.expose_secret()), Some("the-s"));
        assert!(!format!("{key:?}").contains("the-"));
        for text in [
            "the-secret",
            "{}",
            r#"{"access_key_id": "the-id"}"#,
            r#"{"access_key_id": "", "secret_access_key": "the-secret"}"#,
            r#"{"access_key_id": "the-id", "secret_access_key": "the-secret", "sesion_token": "the-s"}"#,
        ] {
            assert!(!read(text).unwrap_err().to_string().contains("the-"), "{text}");
        }
    }

    #[test]
    fn a_path_leads_below_and_nowhere_else() {
        for good in ["home", "team/web", "a b/c.d"] {
            assert_eq!(path_judge(good), Ok(()), "{good}");
        }
        for bad in ["", "/", "/a", "a/", "a//b", "..", "a/../b", "./a", " a", "a\\..\\b", "a\nb"] {
            assert!(path_judge(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_but_a_prune_may_delete_and_who_reads_may_not_write() {
        for kind in JobKind::ALL.iter().copied() {
            let may = |purpose| purposes(kind).contains(&purpose);
            assert!(may(Purpose::Read) && may(Purpose::Watch), "{kind:?}");
            assert_eq!(may(Purpose::Delete), kind == JobKind::Prune, "{kind:?}");
            let reads_only = matches!(kind, JobKind::Discover | JobKind::Restore | JobKind::Verify);
            assert_eq!(may(Purpose::Write), !reads_only, "{kind:?}");
        }
    }
}
