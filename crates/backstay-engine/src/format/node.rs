//! One entry of a folder, as a tree stores it.
//!
//! Fields and their order are restic's, so that the same folder gives the same tree. Of a tree that another program
//! wrote, fields that we do not know (attributes of Windows, what a later restic adds) are read over.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
    /// A FIFO.
    Fifo,
    /// A socket that has a name.
    Socket,
    /// A device that is read by characters.
    CharDevice,
    /// A device that is read by blocks.
    BlockDevice,
    /// What a later version knows, or `irregular`.
    Other,
}

impl NodeKind {
    /// Returns the word of a tree for it; none for what we do not know.
    const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::CharDevice => "chardev",
            Self::BlockDevice => "dev",
            Self::Other => "irregular",
        }
    }

    /// Returns what a tree's word says.
    fn of(word: &str) -> Self {
        use NodeKind::{BlockDevice, CharDevice, Dir, Fifo, File, Socket, Symlink};
        let known = [File, Dir, Symlink, Fifo, Socket, CharDevice, BlockDevice];
        known.into_iter().find(|kind| kind.word() == word).unwrap_or(Self::Other)
    }
}

/// Metadata that all entries have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky, as `st_mode` has them (07777).
    pub mode: u32,
    /// Last modification.
    pub modified: FileTime,
    /// Last access, or the modification where that is not kept: it changes with every reading.
    pub accessed: FileTime,
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
    /// Number of the device that a device file stands for, as `st_rdev` has it.
    pub device: u64,
}

/// An extended attribute: access lists and capabilities are some of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExtendedAttribute {
    /// Its name with its namespace, as `user.mime_type`; valid UTF-8 where it is written.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// An entry as it is written.
#[derive(Debug, Clone, Copy)]
pub struct NewNode<'a> {
    /// Its name, any bytes.
    pub name: &'a [u8],
    /// Its metadata.
    pub metadata: &'a Metadata,
    /// Name of its owner; empty when there is none.
    pub user: &'a str,
    /// Name of its group; empty when there is none.
    pub group: &'a str,
    /// Its extended attributes, in the order in which the system lists them.
    pub extended_attributes: &'a [ExtendedAttribute],
    /// What it holds.
    pub content: Content<'a>,
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
    /// Nothing: a FIFO.
    Fifo,
    /// Nothing: a socket.
    Socket,
    /// A device's number alone, which its metadata has.
    CharDevice,
    /// The same of a device that is read by blocks.
    BlockDevice,
}

impl Content<'_> {
    /// Returns the kind of an entry that holds this.
    const fn kind(self) -> NodeKind {
        match self {
            Self::File(_) => NodeKind::File,
            Self::Dir(_) => NodeKind::Dir,
            Self::Symlink(_) => NodeKind::Symlink,
            Self::Fifo => NodeKind::Fifo,
            Self::Socket => NodeKind::Socket,
            Self::CharDevice => NodeKind::CharDevice,
            Self::BlockDevice => NodeKind::BlockDevice,
        }
    }
}

/// Bits of Go's `os.FileMode`.
const GO_DIR: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_DEVICE: u32 = 1 << 26;
const GO_FIFO: u32 = 1 << 25;
const GO_SOCKET: u32 = 1 << 24;
const GO_CHAR_DEVICE: u32 = 1 << 21;
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
        NodeKind::Fifo => GO_FIFO,
        NodeKind::Socket => GO_SOCKET,
        NodeKind::CharDevice => GO_DEVICE | GO_CHAR_DEVICE,
        NodeKind::BlockDevice => GO_DEVICE,
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

/// Appends one entry as JSON.
pub fn push_node(out: &mut Vec<u8>, node: &NewNode<'_>) {
    let (metadata, kind) = (node.metadata, node.content.kind());
    out.extend_from_slice(b"{\"name\":");
    push_string(out, quote(node.name).as_bytes());
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(kind.word().as_bytes());
    out.push(b'"');
    push_number(out, "mode", go_mode(kind, metadata.mode).into());
    for (name, time) in [("mtime", metadata.modified), ("atime", metadata.accessed), ("ctime", metadata.changed)] {
        write!(out, ",\"{name}\":\"").expect("memory takes it");
        time.push(out);
        out.push(b'"');
    }
    write!(out, ",\"uid\":{},\"gid\":{}", metadata.uid, metadata.gid).expect("memory takes it");
    for (name, value) in [("user", node.user), ("group", node.group)] {
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
    // restic leaves the count of these out: a folder's changes with every folder below it.
    if !matches!(kind, NodeKind::Dir | NodeKind::Fifo | NodeKind::Socket) {
        push_number(out, "links", metadata.links);
    }
    if let Content::Symlink(target) = node.content {
        push_target(out, target);
    }
    push_attributes(out, node.extended_attributes);
    if matches!(kind, NodeKind::CharDevice | NodeKind::BlockDevice) {
        push_number(out, "device", metadata.device);
    }
    match node.content {
        Content::File(blobs) => push_ids(out, blobs),
        _ => out.extend_from_slice(b",\"content\":null"),
    }
    if let Content::Dir(tree) = node.content {
        out.extend_from_slice(b",\"subtree\":\"");
        tree.push_hex(out);
        out.push(b'"');
    }
    out.push(b'}');
}

/// Appends extended attributes, if there are any.
fn push_attributes(out: &mut Vec<u8>, attributes: &[ExtendedAttribute]) {
    for (at, attribute) in attributes.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b",\"extended_attributes\":[{\"name\":" } else { b",{\"name\":" });
        push_string(out, &attribute.name);
        write!(out, ",\"value\":\"{}\"}}", STANDARD.encode(&attribute.value)).expect("memory takes it");
    }
    if !attributes.is_empty() {
        out.push(b']');
    }
}

/// Appends where a link leads. Bytes that are no UTF-8 are kept beside, as restic does since 0.16.
fn push_target(out: &mut Vec<u8>, target: &[u8]) {
    out.extend_from_slice(b",\"linktarget\":");
    push_string(out, target);
    if std::str::from_utf8(target).is_err() {
        write!(out, ",\"linktarget_raw\":\"{}\"", STANDARD.encode(target)).expect("memory takes it");
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
    /// Name of its owner; empty when none was known.
    pub user: Cow<'a, str>,
    /// Name of its group; empty when none was known.
    pub group: Cow<'a, str>,
    /// The blobs of a regular file.
    pub content: Vec<Id>,
    /// The tree of a folder; none for all others.
    pub subtree: Option<Id>,
    /// Where a symbolic link leads; empty for all others.
    pub target: Cow<'a, [u8]>,
    /// Its extended attributes.
    pub extended_attributes: Vec<ExtendedAttribute>,
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
    atime: Cow<'a, str>,
    #[serde(default, borrow)]
    ctime: Cow<'a, str>,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(default, borrow)]
    user: Cow<'a, str>,
    #[serde(default, borrow)]
    group: Cow<'a, str>,
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
    #[serde(default, borrow)]
    extended_attributes: Option<Vec<WireAttribute<'a>>>,
    #[serde(default)]
    device: u64,
    #[serde(default)]
    content: Option<Vec<Id>>,
    #[serde(default)]
    subtree: Option<Id>,
}

#[derive(Deserialize)]
struct WireAttribute<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default, borrow)]
    value: Option<Cow<'a, str>>,
}

impl WireAttribute<'_> {
    /// Judges an attribute. A name of nothing or with a zero in it could not be set, or would be another.
    fn into_attribute(self) -> Result<ExtendedAttribute, FormatError> {
        if self.name.is_empty() || self.name.contains('\0') {
            return Err(FormatError::shape("tree", format!("`{}` cannot be the name of an attribute", self.name)));
        }
        let value = self.value.map_or(Ok(Vec::new()), |raw| decode(&raw))?;
        Ok(ExtendedAttribute { name: self.name.into_owned().into_bytes(), value })
    }
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
        let kind = NodeKind::of(&self.kind);
        let time = |text: &str, field: &str| match text {
            "" => Ok(FileTime::default()),
            text => FileTime::read(text)
                .ok_or_else(|| FormatError::shape("tree", format!("`{text}` is no instant ({field})"))),
        };
        let metadata = Metadata {
            mode: unix_mode(self.mode),
            modified: time(&self.mtime, "mtime")?,
            accessed: time(&self.atime, "atime")?,
            changed: time(&self.ctime, "ctime")?,
            uid: self.uid,
            gid: self.gid,
            inode: self.inode,
            device_id: self.device_id,
            size: self.size,
            links: self.links,
            device: self.device,
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
        let attributes = self.extended_attributes.unwrap_or_default();
        Ok(Node {
            name,
            kind,
            metadata,
            user: self.user,
            group: self.group,
            content: self.content.unwrap_or_default(),
            subtree: self.subtree,
            target,
            extended_attributes: attributes.into_iter().map(WireAttribute::into_attribute).collect::<Result<_, _>>()?,
        })
    }
}

/// Reads base64.
fn decode(raw: &str) -> Result<Vec<u8>, FormatError> {
    STANDARD.decode(raw).map_err(|error| FormatError::shape("tree", error))
}
