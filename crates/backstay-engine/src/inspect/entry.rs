//! An entry with all that a tree stores about it, also what a restore does not need: for showing and comparing.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::browse::WHOLE_TREE_BYTES_MAX;
use crate::error::EngineError;
use crate::format::FormatError;
use crate::format::id::Id;
use crate::format::name::unquote;
use crate::format::object::FileKind;
use crate::format::pack::BlobKind;
use crate::format::time::FileTime;
use crate::format::tree::TreeReader;
use crate::repository::{BlobReader, Repository};

/// What Go writes for an instant that was never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// An extended attribute as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Attribute {
    name: String,
    /// Base64.
    #[serde(default)]
    value: Option<String>,
}

/// An entry as it is stored. Fields and their names are restic's.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Stored")]
pub struct Entry {
    /// Its name, as bytes.
    pub name: Vec<u8>,
    /// Fields that are shown.
    pub shown: Shown,
    /// Extended attributes, sorted.
    attributes: Vec<Attribute>,
    /// Attributes of other systems, and what could not be read when it was saved.
    other: (Value, Value),
    /// The blobs of a regular file.
    pub content: Vec<Id>,
    /// The tree of a folder.
    pub subtree: Option<Id>,
    /// Why the name cannot be one.
    wrong_name: bool,
}

/// The fields of an entry that listings show, in restic's order and shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// `file`, `dir`, `symlink`, `dev`, `chardev`, `fifo`, `socket` or what a later version knows.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Kind and permissions as Go's `os.FileMode` has them.
    #[serde(default, skip_serializing_if = "is_zero_32")]
    pub mode: u32,
    /// Last modification, RFC 3339.
    #[serde(default = "never")]
    pub mtime: String,
    /// Last access.
    #[serde(default = "never")]
    pub atime: String,
    /// Last change of the inode.
    #[serde(default = "never")]
    pub ctime: String,
    /// Owner.
    #[serde(default)]
    pub uid: u32,
    /// Group.
    #[serde(default)]
    pub gid: u32,
    /// Name of the owner.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Name of the group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Inode number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub inode: u64,
    /// Device that the inode is on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub device_id: u64,
    /// Bytes of a regular file.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size: u64,
    /// Names that the inode has.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub links: u64,
    /// Where a symbolic link leads.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub linktarget: String,
    /// The same in base64, when it is no UTF-8.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub linktarget_raw: String,
    /// Number of a device.
    #[serde(default, skip_serializing)]
    device: u64,
}

#[derive(Deserialize)]
struct Stored {
    name: String,
    #[serde(flatten)]
    shown: Shown,
    #[serde(default)]
    extended_attributes: Option<Vec<Attribute>>,
    #[serde(default)]
    generic_attributes: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    content: Option<Vec<Id>>,
    #[serde(default)]
    subtree: Option<Id>,
}

impl From<Stored> for Entry {
    fn from(stored: Stored) -> Self {
        let name = unquote(&stored.name).map(Cow::into_owned).unwrap_or_default();
        let wrong = name.is_empty() || matches!(&*name, b"." | b"..") || name.contains(&b'/') || name.contains(&0);
        let mut attributes = stored.extended_attributes.unwrap_or_default();
        attributes.sort();
        Self {
            name,
            shown: stored.shown,
            attributes,
            other: (stored.generic_attributes, stored.error),
            content: stored.content.unwrap_or_default(),
            subtree: stored.subtree,
            wrong_name: wrong,
        }
    }
}

impl Entry {
    /// Says whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.shown.kind == "dir"
    }

    /// Says whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.shown.kind == "file"
    }

    /// Says whether two entries are the same but for what a file holds.
    pub fn same_but_content(&self, other: &Self) -> bool {
        let instants = |shown: &Shown| [&shown.mtime, &shown.atime, &shown.ctime].map(|text| FileTime::read(text));
        let plain = |shown: &Shown| Shown {
            mtime: String::new(),
            atime: String::new(),
            ctime: String::new(),
            linktarget_raw: String::new(),
            ..shown.clone()
        };
        self.name == other.name
            && plain(&self.shown) == plain(&other.shown)
            && instants(&self.shown) == instants(&other.shown)
            && self.attributes == other.attributes
            && self.other == other.other
            && self.subtree == other.subtree
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with references")]
const fn is_zero_32(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with references")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn never() -> String {
    NEVER.to_owned()
}

/// Returns kind and permissions as Go writes them: one letter for each of its bits, then nine for owner, group, others.
pub fn go_permissions(mode: u32) -> String {
    let kinds = b"dalTLDpSugct?".iter().enumerate();
    let mut text: String =
        kinds.filter(|(at, _)| mode & (1 << (31 - at)) != 0).map(|(_, letter)| char::from(*letter)).collect();
    if text.is_empty() {
        text.push('-');
    }
    for (at, letter) in b"rwxrwxrwx".iter().enumerate() {
        text.push(if mode & (1 << (8 - at)) != 0 { char::from(*letter) } else { '-' });
    }
    text
}

/// Returns kind and permissions as `ls -l` writes them.
pub fn unix_permissions(mode: u32) -> String {
    const SPECIAL: [(u32, usize, char, char); 3] = [(23, 3, 's', 'S'), (22, 6, 's', 'S'), (20, 9, 't', 'T')];
    let bit = |at: u32| mode & (1 << at) != 0;
    let kind = match () {
        () if bit(31) => 'd',
        () if bit(27) => 'l',
        () if bit(21) => 'c',
        () if bit(26) => 'b',
        () if bit(25) => 'p',
        () if bit(24) => 's',
        () => '-',
    };
    let mut letters: Vec<char> = go_permissions(mode & 0o777).chars().collect();
    letters[0] = kind;
    for (at, place, with, without) in SPECIAL {
        if bit(at) {
            letters[place] = if letters[place] == 'x' { with } else { without };
        }
    }
    letters.into_iter().collect()
}

#[derive(Deserialize)]
struct StoredTree {
    nodes: Vec<Entry>,
}

/// The entries of a tree, in order. Those of a large one are never all held.
#[derive(Debug)]
pub struct Entries(Held);

#[derive(Debug)]
enum Held {
    All(std::vec::IntoIter<Entry>),
    /// The tree, and where it lies.
    Few(Box<TreeReader>, String),
}

impl Iterator for Entries {
    /// An error only where the bytes of a tree are others than they were when it was judged.
    type Item = Result<Entry, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Held::All(entries) => entries.next().map(Ok),
            Held::Few(tree, place) => {
                let told = |source| EngineError::Format { place: place.clone(), source };
                next_of(tree).map_err(told).transpose()
            }
        }
    }
}

fn next_of(tree: &mut TreeReader) -> Result<Option<Entry>, FormatError> {
    let Some(text) = tree.next_text()? else { return Ok(None) };
    serde_json::from_slice(text).map(Some).map_err(|error| FormatError::shape("tree", error))
}

/// Refuses an entry that could lead elsewhere, or that does not stand behind the one before it.
fn judge(entry: &Entry, before: Option<&[u8]>) -> Result<(), FormatError> {
    let wrong = entry.wrong_name || entry.is_dir() && entry.subtree.is_none();
    if wrong || before.is_some_and(|before| before >= &entry.name[..]) {
        let problem = "an entry has no name of its own, or a folder names no tree";
        return Err(FormatError::shape("tree", problem));
    }
    Ok(())
}

/// Reads a tree. All of it is judged before the first entry is handed out.
///
/// # Errors
/// [`EngineError`] when it cannot be read, or when a name in it could lead elsewhere.
pub fn read_tree(repository: &Repository, blobs: &mut BlobReader<'_>, id: &Id) -> Result<Entries, EngineError> {
    let place = blobs.find(BlobKind::Tree, id)?;
    let told = |source| repository.told(FileKind::Pack, &place.pack, source);
    if place.plain_bytes() > WHOLE_TREE_BYTES_MAX
        && let Some(packed) = blobs.read_packed(BlobKind::Tree, id)?
        && let Ok(mut judged) = TreeReader::new(packed.clone())
    {
        let mut before: Option<Vec<u8>> = None;
        while let Some(entry) = next_of(&mut judged).map_err(told)? {
            judge(&entry, before.as_deref()).map_err(told)?;
            before = Some(entry.name);
        }
        let tree = TreeReader::new(packed).map_err(told)?;
        let place = format!("{} in {}", FileKind::Pack.key(&place.pack), repository.place());
        return Ok(Entries(Held::Few(Box::new(tree), place)));
    }
    let text = blobs.read(BlobKind::Tree, id)?;
    let shape = |error| told(FormatError::shape("tree", error));
    let StoredTree { nodes } = serde_json::from_slice(&text).map_err(shape)?;
    let mut before = None;
    for entry in &nodes {
        judge(entry, before).map_err(told)?;
        before = Some(&entry.name[..]);
    }
    Ok(Entries(Held::All(nodes.into_iter())))
}

/// Returns bytes as the text that Go's JSON makes of them: each byte that is no UTF-8 is one replacement letter.
pub fn go_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|_| text.push('\u{fffd}'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_written_as_go_and_as_ls_do() {
        let check = |mode: u32, go: &str, unix: &str| {
            assert_eq!((go_permissions(mode).as_str(), unix_permissions(mode).as_str()), (go, unix), "{mode}");
        };
        check(420, "-rw-r--r--", "-rw-r--r--");
        check(2_147_484_141, "drwxr-xr-x", "drwxr-xr-x");
        check(8_389_101, "urwxr-xr-x", "-rwsr-xr-x");
        check(33_554_852, "prw-r--r--", "prw-r--r--");
        check(1 << 27 | 0o777, "Lrwxrwxrwx", "lrwxrwxrwx");
        check(1 << 26 | 1 << 21 | 0o600, "Dcrw-------", "crw-------");
        check(1 << 31 | 1 << 20 | 0o776, "dtrwxrwxrw-", "drwxrwxrwT");
    }

    #[test]
    fn what_could_lead_elsewhere_or_is_out_of_order_is_refused() {
        let entry = |text: &str| serde_json::from_str::<Entry>(text).unwrap();
        let file = |name: &str| entry(&format!(r#"{{"name":"{name}","type":"file"}}"#));
        assert!(judge(&file("b"), Some(b"a")).is_ok());
        for name in ["", ".", "..", "a/b", "a\\u0000"] {
            assert!(judge(&file(name), None).is_err(), "{name}");
        }
        assert!(judge(&file("a"), Some(b"a")).is_err() && judge(&file("a"), Some(b"b")).is_err());
        assert!(judge(&entry(r#"{"name":"d","type":"dir"}"#), None).is_err());
    }

    #[test]
    fn each_byte_that_is_no_text_is_one_letter() {
        assert_eq!(go_text(b"a\xf0\x9f\x98b\xff"), "a\u{fffd}\u{fffd}\u{fffd}b\u{fffd}");
    }

    #[test]
    fn an_entry_is_compared_by_instants_and_not_by_their_text() {
        let entry = |text: &str| serde_json::from_str::<Entry>(text).unwrap();
        let one = entry(r#"{"name":"a","type":"file","mtime":"2024-01-01T01:00:00+01:00","content":[]}"#);
        let same = entry(r#"{"name":"a","type":"file","mtime":"2024-01-01T00:00:00Z","content":null}"#);
        let other = entry(r#"{"name":"a","type":"file","mtime":"2024-01-01T00:00:00Z","device":1}"#);
        assert!(one.same_but_content(&same) && !one.same_but_content(&other));
    }
}
