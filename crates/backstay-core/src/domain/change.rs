//! Who asked for a change: a chain of signed records, one for each request that could change something.
//!
//! A record is a text of lines like evidence: version first, the hash of the record before, then who and what. It is
//! written before the change is made: what is not recorded does not happen.

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signature, VerifyingKey};
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
    HEXLOWER.encode(&Sha256::digest(document))
}

/// What is wrong with the chain at a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeFault {
    /// The next record has a later place.
    #[error("there is no record at this place")]
    Missing,
    /// The hash that it names is not that of the record before.
    #[error("it does not follow the record before it")]
    Previous,
    /// It says something else than what was hashed.
    #[error("its text does not have its hash")]
    Hash,
    /// Somebody else signed it.
    #[error("its signature is not of its text by the installation's key")]
    Signature,
    /// Its row holds what was never written.
    #[error("it cannot be read: {problem}")]
    Unreadable {
        /// What is wrong with it.
        problem: String,
    },
}

/// The first place of the chain at which something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeBreak {
    /// The place, from 1.
    pub sequence: i64,
    /// What is wrong there.
    pub fault: ChangeFault,
}

/// Returns the first place at which records, in the order of their places, are not a chain from a place on that follows a
/// hash, each with its own hash and a signature by a key; none when they are. A newest record that was taken away leaves a
/// chain: who noted its hash elsewhere sees it.
pub fn first_break(
    records: &[ChangeRecord],
    from: i64,
    previous: Option<&str>,
    public_key: [u8; 32],
) -> Option<ChangeBreak> {
    let key = VerifyingKey::from_bytes(&public_key).ok();
    let mut previous = previous;
    // Records first: behind the last place that there can be no further one is counted.
    for (record, sequence) in records.iter().zip(from..) {
        if let Some(fault) = fault_of(record, sequence, previous, key.as_ref()) {
            return Some(ChangeBreak { sequence, fault });
        }
        previous = Some(&record.hash);
    }
    None
}

fn fault_of(
    record: &ChangeRecord,
    sequence: i64,
    previous: Option<&str>,
    key: Option<&VerifyingKey>,
) -> Option<ChangeFault> {
    if record.sequence != sequence {
        return Some(ChangeFault::Missing);
    }
    if record.previous_hash.as_deref() != previous {
        return Some(ChangeFault::Previous);
    }
    let text = document(&record.asked, sequence, previous);
    if hash(&text) != record.hash {
        return Some(ChangeFault::Hash);
    }
    let signature = HEXLOWER.decode(record.signature.as_bytes()).ok();
    let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
    let is_signed = key.zip(signature).is_some_and(|(key, by)| key.verify_strict(text.as_bytes(), &by).is_ok());
    (!is_signed).then_some(ChangeFault::Signature)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    fn chain(length: i64) -> Vec<ChangeRecord> {
        let key = SigningKey::from_bytes(&[42; 32]);
        let mut all: Vec<ChangeRecord> = Vec::new();
        for sequence in 1..=length {
            let at = Timestamp::from_second(sequence).unwrap();
            let (operation, path) = ("plan_run".to_owned(), format!("/api/v1/plans/{sequence}/run"));
            let role = Role::Admin;
            let asked =
                Asked { id: ChangeId::new(at, [1; 10]), at, token_id: None, role, tenant_id: None, operation, path };
            let previous_hash = all.last().map(|record| record.hash.clone());
            let text = document(&asked, sequence, previous_hash.as_deref());
            let signature = HEXLOWER.encode(&key.sign(text.as_bytes()).to_bytes());
            all.push(ChangeRecord { asked, sequence, previous_hash, hash: hash(&text), signature });
        }
        all
    }

    fn check(change: impl Fn(&mut Vec<ChangeRecord>), expected: &str) {
        let mut records = chain(5);
        change(&mut records);
        let key = SigningKey::from_bytes(&[42; 32]).verifying_key().to_bytes();
        let words = first_break(&records, 1, None, key).map(|at| format!("{}: {}", at.sequence, at.fault));
        assert_eq!(words.unwrap_or_default(), expected);
    }

    #[test]
    fn the_first_broken_place_is_named() {
        check(|_| {}, "");
        check(|all| all[2].asked.path = "/api/v1/plans".to_owned(), "3: its text does not have its hash");
        check(|all| drop(all.remove(1)), "2: there is no record at this place");
        check(|all| all.swap(1, 3), "2: there is no record at this place");
        let swapped = |all: &mut Vec<ChangeRecord>| {
            all.swap(1, 3);
            (all[1].sequence, all[3].sequence) = (2, 4);
        };
        check(swapped, "2: it does not follow the record before it");
        // Who can write rows can hash, and cannot sign.
        let hashed = |all: &mut Vec<ChangeRecord>| {
            all[4].asked.role = Role::Reader;
            all[4].hash = hash(&document(&all[4].asked, 5, all[4].previous_hash.as_deref()));
        };
        check(hashed, "5: its signature is not of its text by the installation's key");
        let key = SigningKey::from_bytes(&[43; 32]).verifying_key().to_bytes();
        assert_eq!(
            first_break(&chain(1), 1, None, key).unwrap().fault,
            ChangeFault::Signature,
            "another installation's"
        );
        let (records, later) = (chain(5), SigningKey::from_bytes(&[42; 32]).verifying_key().to_bytes());
        assert_eq!(first_break(&[], i64::MAX, None, later), None, "there is nothing at the end of all places");
        assert_eq!(first_break(&records[3..], 4, Some(&records[2].hash), later), None, "a part of it");
    }
}
