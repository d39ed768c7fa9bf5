//! The purge of a tenant: announced, waited for, confirmed, and then for ever (decision 0047).
//!
//! ```text
//!  (none) ──announce──> announced ──confirm, when the wait is over──> confirmed ──all is destroyed──> done
//!    ^                      │
//!    └───────cancel─────────┘
//! ```
//!
//! What is left is a record like evidence: lines of text, chained to the installation's purge before it, signed. Absent on
//! purpose: stores, and the bytes in storages, which Backstay does not delete.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::access::Role;
use super::evidence::one_line;
use super::id::{PurgeId, TenantId, TokenId};
use super::name::Name;
use super::quota::Usage;
use super::secret::SecretReference;
use super::storage::StorageSettings;

/// First line of a record: the encoding's name and version.
pub const ENCODING: &str = "backstay-purge 1";

/// How long a purge waits when nobody says it: a week, in which whoever is missing something says so.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(7 * 86_400);

/// Shortest wait: a night's sleep lies between the wish and the deed.
pub const WAIT_MIN: Duration = Duration::from_secs(86_400);

/// Longest wait: who plans further ahead can announce it later.
pub const WAIT_MAX: Duration = Duration::from_secs(366 * 86_400);

/// A purge, as far as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// Its id, which is also what a person types to confirm it.
    pub id: PurgeId,
    /// Whose data it is.
    pub tenant_id: TenantId,
    /// When it was announced.
    pub announced_at: Timestamp,
    /// From when on it may be confirmed.
    pub due_at: Timestamp,
    /// Who confirmed it, and what was there then; none before.
    pub confirmed: Option<Confirmed>,
    /// The record of what was destroyed; none before it was.
    pub record: Option<PurgeRecord>,
}

/// A confirmation: from it on there is no way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// When.
    pub at: Timestamp,
    /// Lines of the record that say by whom, and what was there to destroy.
    pub facts: String,
}

/// A record with its hash and signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeRecord {
    /// Its place among the installation's purges, from 1.
    pub sequence: i64,
    /// The record's text.
    pub document: String,
    /// SHA-256 of the text, hexadecimal.
    pub hash: String,
    /// The installation's public key, hexadecimal.
    pub public_key: String,
    /// Signature of the text, hexadecimal.
    pub signature: String,
    /// When it was made.
    pub done_at: Timestamp,
}

/// What a tenant has that a purge ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Plans that live.
    pub plans: Vec<Name>,
    /// All repositories, retired or not.
    pub repositories: Vec<PurgedRepository>,
    /// Secrets that are sealed in the database.
    pub secrets: Vec<Name>,
    /// Tokens that are not revoked.
    pub tokens: u64,
    /// Channels.
    pub channels: u64,
    /// Monitors that live.
    pub monitors: u64,
    /// What it stores.
    pub usage: Usage,
}

/// A repository, and what becomes of its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgedRepository {
    /// Its name.
    pub name: Name,
    /// Where its bytes lie.
    pub place: StorageSettings,
    /// Where its password is kept.
    pub password: SecretReference,
}

impl PurgedRepository {
    /// Says what becomes of the data, which is left where it lies: unreadable only if nobody has the password elsewhere.
    pub fn fate(&self) -> String {
        match &self.password {
            SecretReference::Sealed { .. } => {
                "its password was sealed here alone as far as Backstay knows, and is destroyed".to_owned()
            }
            other => {
                format!("its password is at {other}, which its owner has to destroy: until then the data can be read")
            }
        }
    }

    /// Says where its bytes lie, in one line.
    pub fn place(&self) -> String {
        format!("{} {}", self.place.kind, self.place.settings)
    }
}

/// Who confirmed, and whose purge it is.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// The tenant's name.
    pub tenant: &'a Name,
    /// Which token asked; none for the installation's own.
    pub token_id: Option<TokenId>,
    /// What its holder is.
    pub role: Role,
}

/// Returns the lines of a record that are known when it is confirmed.
pub fn facts(by: By<'_>, all: &Inventory) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        writeln!(out, "{name} {}", one_line(&value.to_string())).expect("writing to a string cannot fail");
    };
    line("tenant_name", by.tenant);
    line("by_token", &by.token_id.map_or_else(|| "-".to_owned(), |id| id.to_string()));
    line("by_role", &by.role.word());
    for plan in &all.plans {
        line("plan_retired", plan);
    }
    for secret in &all.secrets {
        line("secret_destroyed", secret);
    }
    line("secrets_destroyed", &all.secrets.len());
    line("tokens_revoked", &all.tokens);
    line("channels_removed", &all.channels);
    line("monitors_retired", &all.monitors);
    line("snapshots", &all.usage.snapshots);
    line("stored_bytes", &all.usage.bytes);
    for row in &all.repositories {
        line("data_left", &format!("{} at {}: {}", row.name, row.place(), row.fate()));
    }
    line(
        "copies_left",
        &"copies of this database that were made before may hold the sealed secrets, and the master key opens them",
    );
    out
}

/// Returns the one text of a purge that is confirmed and done.
pub fn document(purge: &Purge, confirmed: &Confirmed, place: (i64, Option<&str>), done_at: Timestamp) -> String {
    let (sequence, previous) = place;
    format!(
        "{ENCODING}\nsequence {sequence}\nprevious {}\nid {}\ntenant {}\nannounced_at {}\ndue_at {}\nconfirmed_at {}\ndone_at {done_at}\n{}",
        previous.unwrap_or("-"),
        purge.id,
        purge.tenant_id,
        purge.announced_at,
        purge.due_at,
        confirmed.at,
        confirmed.facts,
    )
}

/// Returns the file that carries a record, as `backstay evidence verify` takes it.
pub fn file(record: &PurgeRecord) -> String {
    let PurgeRecord { document, hash, public_key, signature, .. } = record;
    format!("{document}---\nhash {hash}\nkey {public_key}\nsignature {signature}\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn repository(password: &str) -> PurgedRepository {
        PurgedRepository {
            name: "far".parse().unwrap(),
            place: StorageSettings {
                kind: "local".to_owned(),
                settings: json!({ "path": "/srv\nsecret_destroyed no" }),
            },
            password: password.parse().unwrap(),
        }
    }

    /// Red when a record says more than was done: a password in a file is not destroyed.
    #[test]
    fn a_record_says_what_is_left() {
        let by = By { tenant: &"acme".parse().unwrap(), token_id: None, role: Role::Admin };
        let all = Inventory {
            repositories: vec![repository("sealed:far"), repository("file:keys/far.key")],
            secrets: vec!["far".parse().unwrap()],
            ..Inventory::default()
        };
        let said = facts(by, &all);
        let left: Vec<&str> = said.lines().filter(|line| line.starts_with("data_left")).collect();
        assert!(left[0].contains("is destroyed") && !left[0].contains("can be read"), "{said}");
        assert!(left[1].contains("file:keys/far.key, which its owner has to destroy"), "{said}");
        assert_eq!(said.lines().filter(|line| line.starts_with("secret_destroyed")).count(), 1, "{said}");
        assert!(said.contains("\ncopies_left "), "{said}");
    }
}
