//! A snapshot as a stream: GNU tar extracts what we send as it was, and a file is its bytes.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use backstay_engine::format::pack::BlobKind;
use backstay_engine::restore::{DumpOptions, Dumped, dump};
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use backstay_storage::ObjectStorage;

use super::forge::Forge;
use super::house::House;
use super::proof::{pack_key, places, saved};
use super::restore_deep::{assert_deep, deep, restic, saved_by_restic};

fn streamed(house: &House, hex: &str, sub_path: &str, path: &str) -> (Result<Dumped, EngineError>, Vec<u8>) {
    let options = DumpOptions { snapshot: hex, sub_path: sub_path.as_bytes(), path: path.as_bytes() };
    let mut out = Vec::new();
    let done = dump(&house.repository, &options, &mut out, &EngineProgress::default(), &Interrupt::default());
    (done, out)
}

fn extract(archive: &[u8], place: &std::path::Path) {
    fs::create_dir(place).unwrap();
    let arguments = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", "-", "-C"];
    let mut tar = Command::new("tar").args(arguments).arg(place).stdin(Stdio::piped()).spawn().unwrap();
    tar.stdin.take().unwrap().write_all(archive).unwrap();
    assert!(tar.wait().unwrap().success());
}

#[test]
fn gnu_tar_extracts_what_was_saved() {
    let Some(restic) = restic() else { return };
    let (house, id) = saved_by_restic(&restic);
    let (tree, hex) = (house.tree(), id.to_hex());
    let (done, archive) = streamed(&house, &hex, tree.to_str().unwrap(), "");
    let done = done.unwrap();
    assert!(done.unread.is_empty(), "{:?}", done.unread);
    let place = house.home.path().join("extracted");
    extract(&archive, &place);
    assert_deep(&deep(&tree), &deep(&place), "tar");
    // Paths are whole, as restic's are.
    let (done, archive) = streamed(&house, &hex, tree.to_str().unwrap(), "deep/a");
    assert_eq!(done.unwrap().files, 1);
    let place = house.home.path().join("part");
    extract(&archive, &place);
    assert_eq!(fs::read(place.join("deep/a/b/c/d/e/f/g/h/i/j/file")).unwrap(), b"deep");
}

#[test]
fn a_file_is_its_bytes() {
    let (house, storage, id) = saved();
    let (tree, hex) = (house.tree(), id.to_hex());
    let tree = tree.to_str().unwrap();
    let (done, bytes) = streamed(&house, &hex, tree, "large-0");
    assert_eq!(done.unwrap().bytes, bytes.len() as u64);
    assert!(bytes == fs::read(house.tree().join("large-0")).unwrap());
    assert!(matches!(streamed(&house, &hex, tree, "none").0, Err(EngineError::NoPath { .. })));
    let place = places(&house, &id, "small/20")[0];
    storage.tamper(&pack_key(&place), |bytes| bytes[place.offset as usize] ^= 1);
    let (done, bytes) = streamed(&house, &hex, tree, "small/20");
    assert!(matches!(done, Err(EngineError::Format { .. })) && bytes.is_empty());
    // In an archive it is named, and all others are there.
    let (done, archive) = streamed(&house, &hex, tree, "small");
    let done = done.unwrap();
    assert_eq!((done.files, &*done.unread.entries[0].path), (49, "/small/20"));
    let out = house.home.path().join("out");
    extract(&archive, &out);
    assert_eq!(fs::read_dir(out.join("small")).unwrap().count(), 49);
}

#[test]
fn hard_names_go_through() {
    let (house, storage) = House::fake();
    let mut forge = Forge::new(storage as std::sync::Arc<dyn ObjectStorage>);
    let blob = forge.blob(BlobKind::Data, b"x");
    let long = "n".repeat(255);
    let nodes: Vec<String> = ["bad\\\\xff", "new\\\\nline", &long]
        .iter()
        .map(|name| format!(r#"{{"name":"{name}","type":"file","mode":420,"uid":4000000000,"size":1,"mtime":"1969-12-31T23:59:59.5Z","content":["{blob}"]}}"#))
        .collect();
    let mut sorted = nodes;
    sorted.sort();
    let tree = forge.tree(&sorted);
    let id = forge.publish(tree);
    let (done, archive) = streamed(&house, &id.to_hex(), "", "");
    assert!(done.unwrap().unread.is_empty());
    let place = house.home.path().join("names");
    extract(&archive, &place);
    let found = deep(&place);
    assert_eq!(found.len(), 3);
    assert!(found.contains_key(&b"bad\xff"[..]) && found.contains_key(&b"new\nline"[..]), "{found:?}");
    assert!(found.values().all(|line| line.starts_with("100644 4000000000:0 -1.500000000 1 ")), "{found:?}");
}
