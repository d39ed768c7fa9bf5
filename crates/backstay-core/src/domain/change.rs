//! Who asked for a change: a chain of signed records, one for each request that could change something.
//!
//! A record is a text of lines like evidence: version first, the hash of the record before, then who and what. It is
//! written before the change is made: what is not recorded does not happen.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::access::Role;
use super::id::{ChangeId, TenantId, TokenId};

/// First line of a record: the encoding's name and version.
pub const ENCODING: &str = "backstay-change 1";

/// Who asked for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The record's id.
    pub id: ChangeId,
    /// When.
    pub at: Timestamp,
    /// Which token; none for the installation's own.
    pub token_id: Option<TokenId>,
    /// What its holder is.
    pub role: Role,
    /// The tenant that the token reaches; none for all.
    pub tenant_id: Option<TenantId>,
    /// Name of the operation in the endpoint table.
    pub operation: String,
    /// Path that was called, without its query; never a body, which may hold a secret.
    pub path: String,
}

/// A record with its place in the installation's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRecord {
    /// Who asked for what.
    pub asked: Asked,
    /// Its place, from 1 without a gap.
    pub sequence: i64,
    /// Hash of the record before; none for the first.
    pub previous_hash: Option<String>,
    /// SHA-256 of the record's text, hexadecimal.
    pub hash: String,
    /// Signature of the record's text by the installation's key, hexadecimal.
    pub signature: String,
}

/// Returns a record's text: what is hashed and signed.
pub fn document(asked: &Asked, sequence: i64, previous: Option<&str>) -> String {
    let id = |id: Option<String>| id.unwrap_or_else(|| "-".to_owned());
    format!(
        "{ENCODING}\nsequence {sequence}\nprevious {}\nid {}\nat {}\ntoken {}\nrole {}\ntenant {}\noperation {}\npath {}\n",
        previous.unwrap_or("-"),
        asked.id,
        asked.at.as_microsecond(),
        id(asked.token_id.map(|id| id.to_string())),
        asked.role.word(),
        id(asked.tenant_id.map(|id| id.to_string())),
        asked.operation,
        asked.path.replace('\n', "%0A"),
    )
}

/// Returns the hash of a record's text.
pub fn hash(document: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(document))
}
