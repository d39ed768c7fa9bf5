//! One entry of a folder, as a tree stores it.
//!
//! Fields and their order are restic's, so that the same folder gives the same tree. Of a tree that restic wrote, fields
//! that we do not use (extended attributes, devices) are read over.

use std::borrow::Cow;
use std::io::Write;

use serde::Deserialize;

use super::FormatError;
use super::id::Id;
use super::name::{quote, unquote};
use super::time::FileTime;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A FIFO, socket or device, or what a later version knows.
    Other,
}

/// Metadata that all entries have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky, as `st_mode` has them (07777).
    pub mode: u32,
    /// Last modification.
    pub modified: FileTime,
    /// Last change of the inode.
    pub changed: FileTime,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Inode number.
    pub inode: u64,
    /// Device that the inode is on.
    pub device_id: u64,
    /// Bytes of a regular file.
    pub size: u64,
    /// Names that the inode has.
    pub links: u64,
}

/// What an entry holds besides metadata, for writing.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// The blobs of a regular file, in order.
    File(&'a [Id]),
    /// The tree of a folder.
    Dir(Id),
    /// Where a symbolic link leads, as bytes.
    Symlink(&'a [u8]),
}

/// Bits of Go's `os.FileMode`.
const GO_DIR: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_STICKY: u32 = 1 << 20;

/// Returns a mode as Go writes it.
fn go_mode(kind: NodeKind, mode: u32) -> u32 {
    let bits = [(0o4000, GO_SETUID), (0o2000, GO_SETGID), (0o1000, GO_STICKY)];
    let special: u32 = bits.iter().filter(|(unix, _)| mode & unix != 0).map(|(_, go)| go).sum();
    let kind = match kind {
        NodeKind::Dir => GO_DIR,
        NodeKind::Symlink => GO_SYMLINK,
        NodeKind::File | NodeKind::Other => 0,
    };
    mode & 0o777 | special | kind
}

/// Returns a mode as Unix has it.
fn unix_mode(mode: u32) -> u32 {
    let bits = [(0o4000, GO_SETUID), (0o2000, GO_SETGID), (0o1000, GO_STICKY)];
    let special: u32 = bits.iter().filter(|(_, go)| mode & go != 0).map(|(unix, _)| unix).sum();
    mode & 0o777 | special
}

/// Appends one entry as JSON. `user` and `group` are names, empty when there are none.
pub fn push_node(out: &mut Vec<u8>, name: &[u8], metadata: &Metadata, user: &str, group: &str, content: Content<'_>) {
    let (kind, word) = match content {
        Content::File(_) => (NodeKind::File, "file"),
        Content::Dir(_) => (NodeKind::Dir, "dir"),
        Content::Symlink(_) => (NodeKind::Symlink, "symlink"),
    };
    out.extend_from_slice(b"{\"name\":");
    push_string(out, quote(name).as_bytes());
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
    push_number(out, "mode", go_mode(kind, metadata.mode).into());
    // The time of last access is left out of backups, as restic does without --with-atime: it says the modification's.
    for (name, time) in [("mtime", metadata.modified), ("atime", metadata.modified), ("ctime", metadata.changed)] {
        write!(out, ",\"{name}\":\"").expect("memory takes it");
        time.push(out);
        out.push(b'"');
    }
    write!(out, ",\"uid\":{},\"gid\":{}", metadata.uid, metadata.gid).expect("memory takes it");
    for (name, value) in [("user", user), ("group", group)] {
        if !value.is_empty() {
            write!(out, ",\"{name}\":").expect("memory takes it");
            push_string(out, value.as_bytes());
        }
    }
    push_number(out, "inode", metadata.inode);
    push_number(out, "device_id", metadata.device_id);
    if kind == NodeKind::File {
        push_number(out, "size", metadata.size);
    }
    // restic leaves a folder's count out: it changes with every folder below it.
    push_number(out, "links", if kind == NodeKind::Dir { 0 } else { metadata.links });
    if let Content::Symlink(target) = content {
        push_target(out, target);
    }
    match content {
        Content::File(blobs) => push_ids(out, blobs),
        Content::Dir(_) | Content::Symlink(_) => out.extend_from_slice(b",\"content\":null"),
    }
    if let Content::Dir(tree) = content {
        out.extend_from_slice(b",\"subtree\":\"");
        tree.push_hex(out);
        out.push(b'"');
    }
    out.push(b'}');
}

/// Appends where a link leads. Bytes that are no UTF-8 are kept beside, as restic does since 0.16.
fn push_target(out: &mut Vec<u8>, target: &[u8]) {
    use base64::Engine as _;
    out.extend_from_slice(b",\"linktarget\":");
    push_string(out, target);
    if std::str::from_utf8(target).is_err() {
        let raw = base64::engine::general_purpose::STANDARD.encode(target);
        write!(out, ",\"linktarget_raw\":\"{raw}\"").expect("memory takes it");
    }
}

/// Appends the blobs of a file.
fn push_ids(out: &mut Vec<u8>, ids: &[Id]) {
    out.extend_from_slice(b",\"content\":[");
    for (at, id) in ids.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
        id.push_hex(out);
        out.push(b'"');
    }
    out.push(b']');
}

/// Appends a number, unless it is zero.
fn push_number(out: &mut Vec<u8>, name: &str, number: u64) {
    if number != 0 {
        write!(out, ",\"{name}\":{number}").expect("memory takes it");
    }
}

/// Appends a JSON string as Go writes it: also `<`, `>`, `&` and the line separators are escaped, and each byte that is
/// no UTF-8 is replaced.
fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        let mut plain = 0;
        let valid = chunk.valid();
        let escaped = |(_, letter): &(usize, char)| {
            matches!(letter, '\0'..='\x1f' | '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
        };
        for (at, letter) in valid.char_indices().filter(escaped) {
            out.extend_from_slice(&valid.as_bytes()[plain..at]);
            push_escape(out, letter);
            plain = at + letter.len_utf8();
        }
        out.extend_from_slice(&valid.as_bytes()[plain..]);
        chunk.invalid().iter().for_each(|_| out.extend_from_slice(b"\\ufffd"));
    }
    out.push(b'"');
}

fn push_escape(out: &mut Vec<u8>, letter: char) {
    let short = match letter {
        '"' | '\\' => letter as u8,
        '\x08' => b'b',
        '\x0c' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        _ => return write!(out, "\\u{:04x}", u32::from(letter)).expect("memory takes it"),
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// An entry as it is read, borrowing from the tree's text where it can.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    /// Its name, as bytes; no `/`, not empty, not `.` or `..`.
    pub name: Cow<'a, [u8]>,
    /// What it is.
    pub kind: NodeKind,
    /// Its metadata.
    pub metadata: Metadata,
    /// The blobs of a regular file.
    pub content: Vec<Id>,
    /// The tree of a folder; none for all others.
    pub subtree: Option<Id>,
    /// Where a symbolic link leads; empty for all others.
    pub target: Cow<'a, [u8]>,
}

#[derive(Deserialize)]
pub(super) struct WireNode<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    mode: u32,
    #[serde(default, borrow)]
    mtime: Cow<'a, str>,
    #[serde(default, borrow)]
    ctime: Cow<'a, str>,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(default)]
    inode: u64,
    #[serde(default)]
    device_id: u64,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    links: u64,
    #[serde(default, borrow)]
    linktarget: Cow<'a, str>,
    #[serde(default, borrow)]
    linktarget_raw: Option<Cow<'a, str>>,
    #[serde(default)]
    content: Option<Vec<Id>>,
    #[serde(default)]
    subtree: Option<Id>,
}

impl<'a> WireNode<'a> {
    /// Judges an entry.
    pub(super) fn into_node(self) -> Result<Node<'a>, FormatError> {
        let name = match self.name {
            Cow::Borrowed(text) => unquote(text)?,
            Cow::Owned(text) => Cow::Owned(unquote(&text)?.into_owned()),
        };
        if name.is_empty() || matches!(&*name, b"." | b"..") || name.contains(&b'/') || name.contains(&0) {
            let name = String::from_utf8_lossy(&name).into_owned();
            return Err(FormatError::shape("tree", format!("`{name}` cannot be the name of an entry")));
        }
        let kind = match &*self.kind {
            "file" => NodeKind::File,
            "dir" => NodeKind::Dir,
            "symlink" => NodeKind::Symlink,
            _ => NodeKind::Other,
        };
        let time = |text: &str, field: &str| match text {
            "" => Ok(FileTime::default()),
            text => FileTime::read(text)
                .ok_or_else(|| FormatError::shape("tree", format!("`{text}` is no instant ({field})"))),
        };
        let metadata = Metadata {
            mode: unix_mode(self.mode),
            modified: time(&self.mtime, "mtime")?,
            changed: time(&self.ctime, "ctime")?,
            uid: self.uid,
            gid: self.gid,
            inode: self.inode,
            device_id: self.device_id,
            size: self.size,
            links: self.links,
        };
        let target = match self.linktarget_raw {
            Some(raw) => Cow::Owned(decode(&raw)?),
            None => match self.linktarget {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            },
        };
        if kind == NodeKind::Dir && self.subtree.is_none() {
            return Err(FormatError::shape("tree", "a folder names no tree"));
        }
        let content = self.content.unwrap_or_default();
        Ok(Node { name, kind, metadata, content, subtree: self.subtree, target })
    }
}

/// Reads base64.
fn decode(raw: &str) -> Result<Vec<u8>, FormatError> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(raw).map_err(|error| FormatError::shape("tree", error))
}
