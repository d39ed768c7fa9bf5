//! The suite of the port `SnapshotReader`.

use std::sync::Arc;

use backstay_core::domain::job::LeasedRepository;
use backstay_core::ports::snapshot::{
    Differences, EntryKind, EntryPage, MetadataToo, READ_BYTES_MAX, ReadError, Rows, SnapshotReader,
};

/// Bytes of the large file of [`tree`]: several blobs, and more than one read returns.
pub const LARGE_BYTES: usize = 6 << 20;

/// A file or folder that the snapshot under test holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planted {
    /// A folder.
    Dir,
    /// A regular file.
    File(Vec<u8>),
    /// A symbolic link.
    Symlink(&'static str),
}

/// Returns what the snapshot must hold below the harness's root: path and what is there, folders first.
pub fn tree() -> Vec<(&'static str, Planted)> {
    let large = (0..LARGE_BYTES).map(|at| (at % 251) as u8 ^ (at >> 13) as u8).collect();
    vec![
        ("a", Planted::Dir),
        ("a/deep", Planted::Dir),
        ("a/deep/file.txt", Planted::File(b"deep down".to_vec())),
        ("empty", Planted::File(Vec::new())),
        ("large", Planted::File(large)),
        ("link", Planted::Symlink("large")),
    ]
}

/// A reader and a snapshot of [`tree`].
pub struct ReaderHarness {
    /// The port under test.
    pub reader: Arc<dyn SnapshotReader>,
    /// Where the snapshot lies.
    pub repository: LeasedRepository,
    /// How the repository calls it.
    pub foreign_id: String,
    /// Absolute path in the snapshot, below which [`tree`] lies.
    pub root: Vec<u8>,
}

impl ReaderHarness {
    fn path(&self, below: &str) -> Vec<u8> {
        if below.is_empty() { self.root.clone() } else { [&self.root, b"/".as_slice(), below.as_bytes()].concat() }
    }

    async fn read(&self, below: &str, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        self.reader.snapshot_read(&self.repository, &self.foreign_id, &self.path(below), offset, length).await
    }
}

/// Runs every promise.
pub async fn exercise(harness: &ReaderHarness) {
    a_folder_is_listed_sorted_and_whole(harness).await;
    entries_say_what_they_are(harness).await;
    ranges_are_cut_at_the_end_and_at_the_most(harness).await;
    names_are_found_by_pattern_and_by_page(harness).await;
    a_snapshot_does_not_differ_from_itself(harness).await;
    what_is_not_there_is_said(harness).await;
}

async fn a_folder_is_listed_sorted_and_whole(harness: &ReaderHarness) {
    let list = async |below: &str| {
        let path = harness.path(below);
        let entries = harness
            .reader
            .snapshot_list(&harness.repository, &harness.foreign_id, &path, EntryPage::first())
            .await
            .unwrap();
        entries.into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(list("").await, ["a", "empty", "large", "link"]);
    let mut page = EntryPage { after: None, rows_max: 1 };
    for expected in [&["a"][..], &["empty"], &["large"], &["link"], &[]] {
        let path = harness.path("");
        let rows = harness.reader.snapshot_list(&harness.repository, &harness.foreign_id, &path, page.clone());
        let names: Vec<Vec<u8>> = rows.await.unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, expected.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>());
        page.after = names.last().cloned();
    }
    assert_eq!(list("a").await, ["deep"]);
    assert_eq!(list("a/deep").await, ["file.txt"]);
    let root =
        harness.reader.snapshot_list(&harness.repository, &harness.foreign_id, b"/", EntryPage::first()).await.unwrap();
    assert!(!root.is_empty());
}

async fn entries_say_what_they_are(harness: &ReaderHarness) {
    for (below, kind, size_bytes) in [
        ("a", EntryKind::Dir, 0),
        ("empty", EntryKind::File, 0),
        ("large", EntryKind::File, LARGE_BYTES as u64),
        ("link", EntryKind::Symlink, 0),
    ] {
        let path = harness.path(below);
        let entry = harness.reader.snapshot_stat(&harness.repository, &harness.foreign_id, &path).await.unwrap();
        assert_eq!((entry.name.as_slice(), entry.kind, entry.size_bytes), (below.as_bytes(), kind, size_bytes));
    }
}

async fn ranges_are_cut_at_the_end_and_at_the_most(harness: &ReaderHarness) {
    let Some((_, Planted::File(large))) = tree().into_iter().find(|(path, _)| *path == "large") else {
        panic!("the tree has a large file");
    };
    for (offset, length) in
        [(0, 10), (1_000_000, 300_000), (LARGE_BYTES - 7, 100), (LARGE_BYTES, 10), (LARGE_BYTES + 9, 10)]
    {
        let wanted = &large[offset.min(LARGE_BYTES)..(offset + length).min(LARGE_BYTES)];
        assert!(harness.read("large", offset as u64, length as u32).await.unwrap() == wanted, "{offset} {length}");
    }
    let most = harness.read("large", 0, u32::MAX).await.unwrap();
    assert!(most == large[..READ_BYTES_MAX as usize]);
    assert_eq!(harness.read("empty", 0, 10).await.unwrap(), b"");
    assert_eq!(harness.read("a/deep/file.txt", 5, 10).await.unwrap(), b"down");
}

async fn names_are_found_by_pattern_and_by_page(harness: &ReaderHarness) {
    let find = async |pattern: &str, rows: Rows| {
        let reader = &harness.reader;
        let found = reader.snapshot_find(&harness.repository, &harness.foreign_id, pattern, rows).await;
        found.map(|found| {
            let names = found.rows.into_iter().map(|(path, entry)| {
                assert!(path.ends_with(&entry.name) && path.starts_with(b"/"), "{path:?}");
                String::from_utf8(entry.name).unwrap()
            });
            (names.collect::<Vec<_>>(), found.has_more)
        })
    };
    assert_eq!(find("*.txt", Rows::first()).await.unwrap(), (vec!["file.txt".to_owned()], false));
    assert_eq!(find("link", Rows::first()).await.unwrap(), (vec!["link".to_owned()], false));
    assert_eq!(find("no-such-name", Rows::first()).await.unwrap(), (Vec::new(), false));
    let (all, more) = find("*e", Rows::first()).await.unwrap();
    assert_eq!((all.contains(&"large".to_owned()), more), (true, false), "{all:?}");
    let (mut paged, mut from) = (Vec::new(), 0);
    loop {
        let (names, has_more) = find("*e", Rows { from, count_max: 1 }).await.unwrap();
        from += names.len() as u64;
        paged.extend(names);
        if !has_more {
            break;
        }
    }
    assert_eq!(paged, all);
    assert!(matches!(find("", Rows::first()).await, Err(ReadError::Pattern { .. })));
}

async fn a_snapshot_does_not_differ_from_itself(harness: &ReaderHarness) {
    let diff = async |other: &str| {
        let (reader, own) = (&harness.reader, &harness.foreign_id);
        reader.snapshot_diff(&harness.repository, own, other, MetadataToo::Yes, Rows::first()).await
    };
    assert_eq!(diff(&harness.foreign_id).await.unwrap(), Differences::default());
    assert!(matches!(diff(&"0".repeat(64)).await, Err(ReadError::NoSnapshot { .. })));
}

async fn what_is_not_there_is_said(harness: &ReaderHarness) {
    assert!(matches!(harness.read("gone", 0, 1).await, Err(ReadError::NoPath { .. })));
    assert!(matches!(harness.read("a", 0, 1).await, Err(ReadError::WrongKind { .. })));
    assert!(matches!(harness.read("link", 0, 1).await, Err(ReadError::WrongKind { .. })));
    let path = harness.path("empty");
    let listed =
        harness.reader.snapshot_list(&harness.repository, &harness.foreign_id, &path, EntryPage::first()).await;
    assert!(matches!(listed, Err(ReadError::WrongKind { .. })));
    let other = "0".repeat(64);
    let listed = harness.reader.snapshot_list(&harness.repository, &other, b"/", EntryPage::first()).await;
    assert!(matches!(listed, Err(ReadError::NoSnapshot { .. })));
}
