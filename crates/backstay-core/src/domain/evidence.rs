//! The signed record of what a verify or a restore drill read and found.
//!
//! A record is a text of lines `name value`, version first: a person can read it, and the same facts always give the
//! same bytes. It names the hash of the item's record before it (a chain), its SHA-256 is its hash, and the
//! installation's Ed25519 key signs it. [`verify_file`] needs the file alone: no server, no database.
//!
//! Absent on purpose: the private key. A port signs (`ports::signer`).

use std::fmt::Write as _;
use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use ed25519_dalek::{Signature, VerifyingKey};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::id::{EvidenceId, ItemId, JobId, RepositoryId, SnapshotId, TenantId};
use super::proof::{DrillRate, Slice};
use super::purge;
use super::rto::rate;
use super::sample::SizeClass;

/// First line of a record: the encoding's name and version.
pub const ENCODING: &str = "backstay-evidence 1";

/// Differences named in full; the count goes on beyond it.
pub const DIFFERENCES_NAMED_MAX: usize = 100;

/// What a read-back says about the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// All that was read is as it was saved.
    Proved,
    /// Something is missing or not as it was saved.
    Damaged,
}

super::job::words!(Verdict: Proved = "proved", Damaged = "damaged");

/// One thing that is not as it was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path in the snapshot, or the name of the object in the storage.
    pub place: String,
    /// What is wrong.
    pub problem: String,
}

/// Files of one size class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassCount {
    /// The class.
    pub class: SizeClass,
    /// How many the snapshot has.
    pub total: u64,
    /// How many were read back.
    pub compared: u64,
}

/// What a verify read and found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Regular files that the snapshot has.
    pub files_total: u64,
    /// Their bytes.
    pub bytes_total: u64,
    /// Files read back from storage, each blob decrypted and hashed.
    pub files_read: u64,
    /// Of them, those of which only some ranges were read, because they are large.
    pub files_read_in_part: u64,
    /// Bytes read back, decrypted and decompressed.
    pub bytes_read: u64,
    /// Of the files read, those whose bytes were also compared with the source.
    pub files_compared: u64,
    /// Of the files read, those that the source has changed or lost since the snapshot: nothing to compare with.
    pub files_changed_since: u64,
    /// How the files spread over the size classes.
    pub classes: Vec<ClassCount>,
    /// Packs that the index names.
    pub packs_named: u64,
    /// Bytes fetched from storage, with caches off.
    pub bytes_fetched: u64,
    /// How many things are not as they were saved.
    pub difference_count: u64,
    /// The first [`DIFFERENCES_NAMED_MAX`] of them.
    pub differences: Vec<Difference>,
    /// When reading began.
    pub started_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What was read besides for the repository's budget; none for a verify of a snapshot alone.
    pub slice: Option<SliceFindings>,
}

/// What a verify of a slice read besides its snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceFindings {
    /// The repository.
    pub repository_id: RepositoryId,
    /// Which of its slices.
    pub slice: Slice,
    /// Packs of the slice: each byte of them was read and hashed, each blob in them decrypted and hashed.
    pub packs_read: u64,
    /// Snapshots of which every tree was looked at.
    pub snapshots_walked: u64,
    /// Different trees that were read.
    pub trees_read: u64,
    /// The restore that was drilled.
    pub drill: Drill,
}

/// What a restore drill brought back to a folder that is gone again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drill {
    /// Files that were restored.
    pub files: u64,
    /// Of them, those that were read back from the folder and have the snapshot's hashes.
    pub files_compared: u64,
    /// Files that could not be chosen because they are larger than what a drill may take.
    pub files_too_large: u64,
    /// Bytes that were restored.
    pub bytes: u64,
    /// How long restoring took, without reading back.
    pub took: Duration,
}

impl Drill {
    /// Returns what it measured; none when it brought nothing back.
    pub fn rate(&self) -> Option<DrillRate> {
        (self.bytes > 0).then_some(DrillRate { bytes: self.bytes, took: self.took })
    }
}

impl Findings {
    /// Counts one more difference, and names it while there is room.
    pub fn differs(&mut self, place: String, problem: String) {
        self.difference_count += 1;
        if self.differences.len() < DIFFERENCES_NAMED_MAX {
            self.differences.push(Difference { place, problem });
        }
    }

    /// Returns what the read-back says about the data.
    pub const fn verdict(&self) -> Verdict {
        if self.difference_count == 0 { Verdict::Proved } else { Verdict::Damaged }
    }
}

/// Whose record it is, and its place in the item's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The record's id.
    pub id: EvidenceId,
    /// Whose data was read.
    pub tenant_id: TenantId,
    /// The item.
    pub item_id: ItemId,
    /// The item's name, so that the record is readable without the database.
    pub item_name: String,
    /// The snapshot that was read.
    pub snapshot_id: SnapshotId,
    /// How its repository calls it.
    pub snapshot_foreign_id: String,
    /// The job that read it.
    pub job_id: JobId,
    /// Place in the item's chain, from 1.
    pub sequence: i64,
    /// Hash of the item's record before; none for the first.
    pub previous_hash: Option<String>,
}

/// A record with its hash and signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Whose record it is, and its place in the chain.
    pub place: Place,
    /// What the read-back says.
    pub verdict: Verdict,
    /// The record's text.
    pub document: String,
    /// SHA-256 of the text, hexadecimal.
    pub hash: String,
    /// The installation's public key, hexadecimal.
    pub public_key: String,
    /// Signature of the text, hexadecimal.
    pub signature: String,
    /// When the record was made.
    pub created_at: Timestamp,
}

/// Why a file is not evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// It does not have the shape of a record.
    #[error("line {line}: {problem}")]
    Shape {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The text does not have the hash that stands under it.
    #[error("the text was changed: its hash is {found}, the file says {said}")]
    Hash {
        /// Hash of the text as it is.
        found: String,
        /// Hash that stands in the file.
        said: String,
    },
    /// The signature is not of this text by this key.
    #[error("the signature is not of this text by the key {public_key}")]
    Signature {
        /// The key that stands in the file.
        public_key: String,
    },
}

/// Returns the one text of these facts.
pub fn document(place: &Place, findings: &Findings, created_at: Timestamp) -> String {
    let mut out = format!("{ENCODING}\n");
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        writeln!(out, "{name} {}", one_line(&value.to_string())).expect("writing to a string cannot fail");
    };
    line("verdict", &findings.verdict().word());
    line("sequence", &place.sequence);
    line("previous", &place.previous_hash.as_deref().unwrap_or("-"));
    line("id", &place.id);
    line("created_at", &created_at);
    line("tenant", &place.tenant_id);
    line("item", &place.item_id);
    line("item_name", &place.item_name);
    line("snapshot", &place.snapshot_id);
    line("snapshot_foreign_id", &place.snapshot_foreign_id);
    line("job", &place.job_id);
    line("started_at", &findings.started_at);
    line("took_ms", &findings.took.as_millis());
    line("files_total", &findings.files_total);
    line("bytes_total", &findings.bytes_total);
    line("files_read", &findings.files_read);
    line("files_read_in_part", &findings.files_read_in_part);
    line("bytes_read", &findings.bytes_read);
    line("files_compared", &findings.files_compared);
    line("files_changed_since", &findings.files_changed_since);
    for count in &findings.classes {
        line("class", &format!("{} total {} read {}", count.class.word(), count.total, count.compared));
    }
    line("packs_named", &findings.packs_named);
    line("bytes_fetched", &findings.bytes_fetched);
    // Only where there was a slice: a record of a snapshot alone has the text that it always had.
    for (name, value) in findings.slice.iter().flat_map(slice_facts) {
        line(name, &value);
    }
    line("difference_count", &findings.difference_count);
    for difference in &findings.differences {
        line("difference", &format!("{}: {}", difference.place, difference.problem));
    }
    out
}

/// Returns what a record says of a slice and its drill.
fn slice_facts(read: &SliceFindings) -> Vec<(&'static str, String)> {
    let drill = &read.drill;
    let mut facts = vec![
        ("repository", read.repository_id.to_string()),
        ("slice", format!("{} of {}", read.slice.number, read.slice.of)),
        ("slice_packs_read", read.packs_read.to_string()),
        ("snapshots_walked", read.snapshots_walked.to_string()),
        ("trees_read", read.trees_read.to_string()),
        ("drill_files", drill.files.to_string()),
        ("drill_files_compared", drill.files_compared.to_string()),
        ("drill_files_too_large", drill.files_too_large.to_string()),
        ("drill_bytes", drill.bytes.to_string()),
        ("drill_took_ms", drill.took.as_millis().to_string()),
    ];
    facts.extend(drill.rate().map(|seen| ("drill_bytes_per_second", rate(&seen).to_string())));
    facts
}

/// Writes control characters and the backslash as escapes, so that a value stays on its line.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|letter| {
            let escape = letter.is_control() || letter == '\\';
            let kept = (!escape).then_some(letter);
            escape.then(|| letter.escape_default()).into_iter().flatten().chain(kept)
        })
        .collect()
}

/// Returns the hash of a record's text.
pub fn hash(document: &str) -> String {
    HEX.encode(&Sha256::digest(document))
}

/// Returns the file that carries a record: its text, then hash, key and signature.
pub fn file(evidence: &Evidence) -> String {
    let Evidence { document, hash, public_key, signature, .. } = evidence;
    format!("{document}---\nhash {hash}\nkey {public_key}\nsignature {signature}\n")
}

/// What a file that is evidence says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The lines of the text after the first, name and value.
    pub facts: Vec<(String, String)>,
    /// The key that signed it: compare it with the installation's own.
    pub public_key: String,
}

/// Checks a file's shape, hash and signature.
///
/// # Errors
/// Says what is wrong with the file: its shape by line, its hash, or its signature.
pub fn verify_file(text: &str) -> Result<Checked, EvidenceError> {
    let shape = |line, problem: &str| EvidenceError::Shape { line, problem: problem.to_owned() };
    let lines: Vec<&str> = text.lines().collect();
    if !lines.first().is_some_and(|line| [ENCODING, purge::ENCODING].contains(line)) {
        return Err(shape(1, &format!("a record begins with `{ENCODING}` or `{}`", purge::ENCODING)));
    }
    let end =
        lines.iter().position(|line| *line == "---").ok_or_else(|| shape(lines.len(), "there is no line `---`"))?;
    let document = lines[..end].iter().flat_map(|line| [*line, "\n"]).collect::<String>();
    let seal = |offset: usize, name: &str| {
        let line = lines.get(end + offset).copied().unwrap_or_default();
        line.strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or_else(|| shape(end + offset + 1, &format!("expected `{name} …`")))
    };
    let (said, public_key, signature) = (seal(1, "hash")?, seal(2, "key")?, seal(3, "signature")?);
    let found = hash(&document);
    if found != said {
        return Err(EvidenceError::Hash { found, said: said.to_owned() });
    }
    let broken = || EvidenceError::Signature { public_key: public_key.to_owned() };
    let key: [u8; 32] =
        HEX.decode(public_key.as_bytes()).ok().and_then(|key| key.try_into().ok()).ok_or_else(broken)?;
    let signature = HEX.decode(signature.as_bytes()).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
    let key = VerifyingKey::from_bytes(&key).map_err(|_| broken())?;
    key.verify_strict(document.as_bytes(), &signature.ok_or_else(broken)?).map_err(|_| broken())?;
    let fact = |line: &&str| line.split_once(' ').map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(Checked { facts: lines[1..end].iter().filter_map(fact).collect(), public_key: public_key.to_owned() })
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    fn findings() -> Findings {
        Findings {
            files_total: 3,
            bytes_total: 30,
            files_read: 2,
            files_read_in_part: 0,
            bytes_read: 20,
            files_compared: 2,
            files_changed_since: 0,
            classes: vec![ClassCount { class: SizeClass::Tiny, total: 3, compared: 2 }],
            packs_named: 1,
            bytes_fetched: 60,
            difference_count: 0,
            differences: vec![],
            started_at: Timestamp::from_second(1_700_000_000).unwrap(),
            took: Duration::from_millis(12),
            slice: None,
        }
    }

    fn of_a_slice() -> Findings {
        let repository_id = RepositoryId::new(Timestamp::from_second(1_700_000_000).unwrap(), [6; 10]);
        let took = Duration::from_millis(500);
        let drill = Drill { files: 2, files_compared: 2, files_too_large: 1, bytes: 4_000, took };
        let slice = Slice { number: 3, of: 30 };
        let read = SliceFindings { repository_id, slice, packs_read: 4, snapshots_walked: 5, trees_read: 6, drill };
        Findings { slice: Some(read), ..findings() }
    }

    fn record(findings: &Findings) -> Evidence {
        let at = Timestamp::from_second(1_700_000_001).unwrap();
        let place = Place {
            id: EvidenceId::new(at, [1; 10]),
            tenant_id: TenantId::new(at, [2; 10]),
            item_id: ItemId::new(at, [3; 10]),
            item_name: "/home/ada\nverdict proved".to_owned(),
            snapshot_id: SnapshotId::new(at, [4; 10]),
            snapshot_foreign_id: "ab".repeat(32),
            job_id: JobId::new(at, [5; 10]),
            sequence: 1,
            previous_hash: None,
        };
        let key = SigningKey::from_bytes(&[7; 32]);
        let document = document(&place, findings, at);
        Evidence {
            verdict: findings.verdict(),
            hash: hash(&document),
            public_key: HEX.encode(key.verifying_key().as_bytes()),
            signature: HEX.encode(&key.sign(document.as_bytes()).to_bytes()),
            place,
            document,
            created_at: at,
        }
    }

    #[test]
    fn a_record_proves_itself() {
        let checked = verify_file(&file(&record(&findings()))).unwrap();
        assert!(checked.facts.contains(&("verdict".to_owned(), "proved".to_owned())));
        assert!(checked.facts.contains(&("item_name".to_owned(), "/home/ada\\nverdict proved".to_owned())));
    }

    /// What a record of a snapshot alone says never changes: files that were kept are checked by later versions.
    #[test]
    fn a_slice_adds_lines_and_an_older_record_has_none_of_them() {
        let names = |found: &Findings| {
            let document = record(found).document;
            document.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect::<Vec<_>>().join(" ")
        };
        let old = names(&findings());
        assert_eq!(
            old,
            "backstay-evidence verdict sequence previous id created_at tenant item item_name snapshot snapshot_foreign_id \
             job started_at took_ms files_total bytes_total files_read files_read_in_part bytes_read files_compared \
             files_changed_since class packs_named bytes_fetched difference_count"
        );
        let added = "bytes_fetched repository slice slice_packs_read snapshots_walked trees_read drill_files \
             drill_files_compared drill_files_too_large drill_bytes drill_took_ms drill_bytes_per_second difference_count";
        assert_eq!(names(&of_a_slice()), old.replace("bytes_fetched difference_count", added));
        let checked = verify_file(&file(&record(&of_a_slice()))).unwrap();
        let fact = |name: &str| checked.facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!((fact("slice"), fact("drill_bytes_per_second")), (Some("3 of 30"), Some("8000")));
    }

    #[test]
    fn a_changed_record_does_not() {
        let mut found = findings();
        found.differs("/home/ada/x".to_owned(), "blob 12 is missing".to_owned());
        let good = file(&record(&found));
        let pretty = good.replace("verdict damaged", "verdict proved");
        assert!(matches!(verify_file(&pretty), Err(EvidenceError::Hash { .. })));
        let (text, _) = pretty.split_once("---\n").unwrap();
        let rehashed = pretty.replace(&record(&found).hash, &hash(text));
        assert!(matches!(verify_file(&rehashed), Err(EvidenceError::Signature { .. })));
        assert!(matches!(verify_file("x"), Err(EvidenceError::Shape { line: 1, .. })));
    }

    #[test]
    fn a_value_cannot_add_a_line() {
        let document = record(&findings()).document;
        assert_eq!(document.lines().filter(|line| line.starts_with("verdict")).count(), 1);
    }
}
