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
    /// Somebody else signed it, or a key that was given up before.
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

/// The keys that signed a chain, one after the other: each is good until the next one has signed.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    keys: Vec<VerifyingKey>,
    /// The one that signed last.
    at: usize,
}

impl SigningKeys {
    /// Takes the keys that signed before, oldest first, and the one that signs now. What is no key signed nothing.
    pub fn new(former: &[[u8; 32]], now: [u8; 32]) -> Self {
        let keys = former.iter().chain([&now]).filter_map(|key| VerifyingKey::from_bytes(key).ok()).collect();
        Self { keys, at: 0 }
    }

    /// Says whether a text is signed by the key that signed last, or by a later one, which is the last from now on.
    fn signed(&mut self, text: &str, signature: &str) -> bool {
        let signature = HEXLOWER.decode(signature.as_bytes()).ok();
        let Some(by) = signature.and_then(|bytes| Signature::from_slice(&bytes).ok()) else { return false };
        let found = (self.at..self.keys.len()).find(|at| self.keys[*at].verify_strict(text.as_bytes(), &by).is_ok());
        self.at = found.unwrap_or(self.at);
        found.is_some()
    }

    /// Begins with the key that signed a record, of which all is right but that it follows.
    pub fn after(mut self, record: &ChangeRecord) -> Self {
        let text = document(&record.asked, record.sequence, record.previous_hash.as_deref());
        self.signed(&text, &record.signature);
        self
    }
}

/// Returns the first place at which records, in the order of their places, are not a chain from a place on that follows a
/// hash, each with its own hash and a signature by a key; none when they are. A newest record that was taken away leaves a
/// chain: who noted its hash elsewhere sees it.
pub fn first_break(
    records: &[ChangeRecord],
    from: i64,
    previous: Option<&str>,
    keys: &mut SigningKeys,
) -> Option<ChangeBreak> {
    let mut previous = previous;
    // Records first: behind the last place that there can be no further one is counted.
    for (record, sequence) in records.iter().zip(from..) {
        if let Some(fault) = fault_of(record, sequence, previous, keys) {
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
    keys: &mut SigningKeys,
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
    (!keys.signed(&text, &record.signature)).then_some(ChangeFault::Signature)
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
        let words = first_break(&records, 1, None, &mut SigningKeys::new(&[], key))
            .map(|at| format!("{}: {}", at.sequence, at.fault));
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
            first_break(&chain(1), 1, None, &mut SigningKeys::new(&[], key)).unwrap().fault,
            ChangeFault::Signature,
            "another installation's"
        );
        let (records, later) = (chain(5), SigningKey::from_bytes(&[42; 32]).verifying_key().to_bytes());
        let later = &mut SigningKeys::new(&[], later);
        assert_eq!(first_break(&[], i64::MAX, None, later), None, "there is nothing at the end of all places");
        assert_eq!(first_break(&records[3..], 4, Some(&records[2].hash), later), None, "a part of it");
    }

    /// Red when a former key signs what comes after its successor, and when it signs nothing.
    #[test]
    fn a_key_is_good_until_the_next_one_has_signed() {
        let key = |seed: u8| SigningKey::from_bytes(&[seed; 32]);
        let public = |seed: u8| key(seed).verifying_key().to_bytes();
        let sign = |records: &mut [ChangeRecord], seed: u8| {
            for record in records {
                let text = document(&record.asked, record.sequence, record.previous_hash.as_deref());
                record.signature = HEXLOWER.encode(&key(seed).sign(text.as_bytes()).to_bytes());
            }
        };
        let mut records = chain(6);
        sign(&mut records[2..], 43);
        let broken = |records: &[ChangeRecord], former: &[u8]| {
            let former: Vec<[u8; 32]> = former.iter().map(|seed| public(*seed)).collect();
            first_break(records, 1, None, &mut SigningKeys::new(&former, public(43))).map(|at| at.sequence)
        };
        assert_eq!(broken(&records, &[42]), None);
        assert_eq!(broken(&records, &[41, 42]), None, "one that never signed");
        assert_eq!(broken(&records, &[]), Some(1));
        let mut part = SigningKeys::new(&[public(42)], public(43)).after(&records[2]);
        assert_eq!(first_break(&records[3..], 4, Some(&records[2].hash), &mut part), None);
        sign(&mut records[4..5], 42);
        assert_eq!(broken(&records, &[42]), Some(5), "it was given up");
        let mut part = SigningKeys::new(&[public(42)], public(43)).after(&records[3]);
        assert_eq!(first_break(&records[4..], 5, Some(&records[3].hash), &mut part).unwrap().sequence, 5);
    }
}
