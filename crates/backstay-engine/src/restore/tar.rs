//! Headers of a tar stream: ustar, with pax records for whatever ustar cannot say.
//!
//! A record is `LENGTH KEY=VALUE\n`, the length being that of the whole line (POSIX.1-2001, pax). Extended attributes are
//! kept under `SCHILY.xattr.`, where GNU tar, bsdtar and star look for them.

use crate::format::node::{ExtendedAttribute, Metadata};
use crate::format::time::FileTime;

/// Bytes of a block: headers and contents are filled up to one.
pub const BLOCK_BYTES: usize = 512;

/// What ends a stream.
pub const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// Bytes of a name in a ustar header.
const NAME_BYTES: usize = 100;

/// What an entry of a stream is, by the letter that stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TarKind {
    /// A regular file.
    File,
    /// Another name of an entry that came before.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A device that is read by characters.
    CharDevice,
    /// A device that is read by blocks.
    BlockDevice,
    /// A folder.
    Dir,
    /// A FIFO.
    Fifo,
}

impl TarKind {
    const fn letter(self) -> u8 {
        match self {
            Self::File => b'0',
            Self::HardLink => b'1',
            Self::Symlink => b'2',
            Self::CharDevice => b'3',
            Self::BlockDevice => b'4',
            Self::Dir => b'5',
            Self::Fifo => b'6',
        }
    }
}

/// An entry of a stream.
#[derive(Debug, Clone, Copy)]
pub struct TarEntry<'a> {
    /// Its path, without a leading `/`.
    pub path: &'a [u8],
    /// What it is.
    pub kind: TarKind,
    /// Its metadata.
    pub metadata: &'a Metadata,
    /// Bytes that follow.
    pub size_bytes: u64,
    /// Where a link leads: for a hard link the path of an earlier entry.
    pub target: &'a [u8],
    /// Name of its owner; empty when there is none.
    pub user: &'a str,
    /// Name of its group; empty when there is none.
    pub group: &'a str,
    /// Its extended attributes.
    pub attributes: &'a [ExtendedAttribute],
}

/// Returns all header blocks of an entry.
pub fn head(entry: &TarEntry<'_>) -> Vec<u8> {
    let mut path = entry.path.to_vec();
    if entry.kind == TarKind::Dir {
        path.push(b'/');
    }
    let records = records(entry, &path);
    let mut out = Vec::new();
    if !records.is_empty() {
        let mode = Metadata { mode: 0o644, ..Metadata::default() };
        let name = [b"PaxHeaders/", &path[..path.len().min(NAME_BYTES - 11)]].concat();
        block(&mut out, &name, b'x', &mode, records.len() as u64, b"", ("", ""));
        out.extend_from_slice(&records);
        out.resize(out.len() + padding(records.len() as u64), 0);
    }
    block(
        &mut out,
        &path,
        entry.kind.letter(),
        entry.metadata,
        entry.size_bytes,
        entry.target,
        (entry.user, entry.group),
    );
    out
}

/// Returns how many zeros follow so many bytes.
pub fn padding(bytes: u64) -> usize {
    (BLOCK_BYTES - (bytes % BLOCK_BYTES as u64) as usize) % BLOCK_BYTES
}

/// Returns what ustar cannot say.
fn records(entry: &TarEntry<'_>, path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let metadata = entry.metadata;
    let plain = |text: &[u8], bytes: usize| text.len() <= bytes && text.is_ascii();
    if std::str::from_utf8(path).is_err() || std::str::from_utf8(entry.target).is_err() {
        record(&mut out, b"hdrcharset", b"BINARY");
    }
    if !plain(path, NAME_BYTES) {
        record(&mut out, b"path", path);
    }
    if !plain(entry.target, NAME_BYTES) {
        record(&mut out, b"linkpath", entry.target);
    }
    for (key, name) in [("uname", entry.user), ("gname", entry.group)] {
        if !plain(name.as_bytes(), 31) {
            record(&mut out, key.as_bytes(), name.as_bytes());
        }
    }
    for (key, number, digits) in
        [("uid", u64::from(metadata.uid), 7), ("gid", u64::from(metadata.gid), 7), ("size", entry.size_bytes, 11)]
    {
        if !fits(number, digits) {
            record(&mut out, key.as_bytes(), number.to_string().as_bytes());
        }
    }
    let FileTime { seconds, nanoseconds } = metadata.modified;
    if nanoseconds != 0 || !u64::try_from(seconds).is_ok_and(|seconds| fits(seconds, 11)) {
        record(&mut out, b"mtime", instant(metadata.modified).as_bytes());
    }
    for attribute in entry.attributes {
        // A key ends at its first `=`.
        let name = String::from_utf8_lossy(&attribute.name).replace('%', "%25").replace('=', "%3D");
        record(&mut out, format!("SCHILY.xattr.{name}").as_bytes(), &attribute.value);
    }
    out
}

fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Returns an instant in seconds with its fraction; before 1970 the fraction goes the other way.
fn instant(at: FileTime) -> String {
    match (at.seconds, at.nanoseconds) {
        (seconds, 0) => seconds.to_string(),
        (seconds @ 0.., nanoseconds) => format!("{seconds}.{nanoseconds:09}"),
        (seconds, nanoseconds) => format!("-{}.{:09}", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds),
    }
}

/// Says whether a number fits so many octal digits.
fn fits(number: u64, digits: u32) -> bool {
    number >> (3 * digits) == 0
}

/// Appends one header block.
fn block(
    out: &mut Vec<u8>,
    path: &[u8],
    letter: u8,
    metadata: &Metadata,
    size: u64,
    target: &[u8],
    (user, group): (&str, &str),
) {
    let mut block = [0u8; BLOCK_BYTES];
    let mut text = |at: usize, bytes: usize, text: &[u8]| {
        let bytes = text.len().min(bytes);
        block[at..at + bytes].copy_from_slice(&text[..bytes]);
    };
    let octal = |number: u64, digits: usize| {
        let number = if fits(number, digits as u32) { number } else { 0 };
        format!("{number:0digits$o}\0").into_bytes()
    };
    let device = matches!(letter, b'3' | b'4');
    let (major, minor) = (rustix::fs::major(metadata.device), rustix::fs::minor(metadata.device));
    text(0, NAME_BYTES, path);
    text(100, 8, &octal(u64::from(metadata.mode & 0o7777), 7));
    text(108, 8, &octal(metadata.uid.into(), 7));
    text(116, 8, &octal(metadata.gid.into(), 7));
    text(124, 12, &octal(size, 11));
    text(136, 12, &octal(u64::try_from(metadata.modified.seconds).unwrap_or(0), 11));
    text(148, 8, b"        ");
    text(156, 1, &[letter]);
    text(157, NAME_BYTES, target);
    text(257, 8, b"ustar\x0000");
    text(265, 31, user.as_bytes());
    text(297, 31, group.as_bytes());
    if device {
        text(329, 8, &octal(major.into(), 7));
        text(337, 8, &octal(minor.into(), 7));
    }
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend_from_slice(&block);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_its_own_length() {
        for (bytes, length) in [(1, "6"), (3, "8"), (4, "9"), (5, "11"), (93, "99"), (94, "101")] {
            let mut out = Vec::new();
            record(&mut out, b"k", &vec![b'v'; bytes]);
            assert!(out.starts_with(format!("{length} k=").as_bytes()), "{bytes}");
            assert_eq!(out.len().to_string(), length);
        }
    }

    #[test]
    fn instants_before_1970_count_backwards() {
        let at = |seconds, nanoseconds| instant(FileTime { seconds, nanoseconds });
        assert_eq!(
            [at(5, 0), at(5, 7), at(-1, 999_999_999), at(-2, 0), at(-2, 250_000_000)],
            ["5", "5.000000007", "-0.000000001", "-2", "-1.750000000"]
        );
    }
}
