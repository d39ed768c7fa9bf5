//! A reader of one snapshot in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use backstay_core::domain::job::LeasedRepository;
use backstay_core::ports::snapshot::{
    Differences, Entry, EntryKind, EntryPage, FoundEntries, MetadataToo, READ_BYTES_MAX, ReadError, Rows,
    SnapshotReader,
};
use jiff::Timestamp;

use crate::conformance::snapshot::Planted;

/// The fake: absolute paths and what is there.
#[derive(Debug, Default)]
pub struct FakeReader {
    /// The one snapshot that it knows.
    pub foreign_id: String,
    /// What the snapshot holds.
    pub tree: BTreeMap<String, Planted>,
}

impl FakeReader {
    fn look(&self, foreign_id: &str, path: &[u8]) -> Result<(String, Planted), ReadError> {
        if foreign_id != self.foreign_id {
            return Err(ReadError::NoSnapshot { foreign_id: foreign_id.to_owned() });
        }
        let path = String::from_utf8_lossy(path).trim_end_matches('/').to_owned();
        match self.tree.get(&path) {
            _ if path.is_empty() => Ok((path, Planted::Dir)),
            Some(planted) => Ok((path, planted.clone())),
            None => Err(ReadError::NoPath { path }),
        }
    }
}

fn entry(name: &str, planted: &Planted) -> Entry {
    let (kind, size_bytes) = match planted {
        Planted::Dir => (EntryKind::Dir, 0),
        Planted::File(body) => (EntryKind::File, body.len() as u64),
        Planted::Symlink(_) => (EntryKind::Symlink, 0),
    };
    Entry { name: name.into(), kind, size_bytes, modified_at: Timestamp::UNIX_EPOCH, mode: 0o644 }
}

#[async_trait]
impl SnapshotReader for FakeReader {
    async fn snapshot_list(
        &self,
        _: &LeasedRepository,
        foreign_id: &str,
        path: &[u8],
        page: EntryPage,
    ) -> Result<Vec<Entry>, ReadError> {
        let (path, planted) = self.look(foreign_id, path)?;
        if planted != Planted::Dir {
            return Err(ReadError::WrongKind { path, wanted: "folder" });
        }
        let below = self.tree.iter().filter_map(|(other, planted)| {
            let name = other.strip_prefix(&path)?.strip_prefix('/')?;
            (!name.contains('/')).then(|| entry(name, planted))
        });
        let mut entries = Vec::new();
        for entry in below {
            if page.takes(&entry.name, entries.len()) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    async fn snapshot_stat(&self, _: &LeasedRepository, foreign_id: &str, path: &[u8]) -> Result<Entry, ReadError> {
        let (path, planted) = self.look(foreign_id, path)?;
        Ok(entry(path.rsplit('/').next().unwrap_or_default(), &planted))
    }

    /// Knows patterns that are a name, or end with it behind `*`.
    async fn snapshot_find(
        &self,
        _: &LeasedRepository,
        foreign_id: &str,
        pattern: &str,
        rows: Rows,
    ) -> Result<FoundEntries, ReadError> {
        self.look(foreign_id, b"")?;
        if pattern.is_empty() {
            return Err(ReadError::Pattern { problem: "the pattern `` is empty".to_owned() });
        }
        let (mut found, mut place) = (FoundEntries::default(), 0);
        for (path, planted) in &self.tree {
            let name = path.rsplit('/').next().unwrap_or_default();
            let matches = match pattern.strip_prefix('*') {
                Some(end) => name.ends_with(end),
                None => name == pattern,
            };
            if matches {
                if rows.takes(place) {
                    found.rows.push((path.clone().into_bytes(), entry(name, planted)));
                }
                found.has_more |= place >= rows.end();
                place += 1;
            }
        }
        Ok(found)
    }

    /// Knows one snapshot, which does not differ from itself.
    async fn snapshot_diff(
        &self,
        _: &LeasedRepository,
        first_foreign_id: &str,
        second_foreign_id: &str,
        _: MetadataToo,
        _: Rows,
    ) -> Result<Differences, ReadError> {
        self.look(first_foreign_id, b"")?;
        self.look(second_foreign_id, b"")?;
        Ok(Differences::default())
    }

    async fn snapshot_read(
        &self,
        _: &LeasedRepository,
        foreign_id: &str,
        path: &[u8],
        offset_bytes: u64,
        length_bytes: u32,
    ) -> Result<Vec<u8>, ReadError> {
        let (path, planted) = self.look(foreign_id, path)?;
        let Planted::File(body) = planted else { return Err(ReadError::WrongKind { path, wanted: "file" }) };
        let begin = usize::try_from(offset_bytes).unwrap_or(body.len()).min(body.len());
        let length = length_bytes.min(READ_BYTES_MAX) as usize;
        Ok(body[begin..(begin + length).min(body.len())].to_vec())
    }
}
