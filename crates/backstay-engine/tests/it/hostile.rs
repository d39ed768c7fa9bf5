//! Repositories that somebody made to harm whoever reads them: little memory, clear words, nothing outside the target.
//!
//! Names that lead elsewhere and one name twice are in `damage`. The program is run with little room for memory, so that
//! what is asked for in vain ends it.

use std::process::Command;

use backstay_engine::browse::tree_entries;
use backstay_engine::format::compression::PieceCompressor;
use backstay_engine::format::id::Id;
use backstay_engine::format::object::FileKind;
use backstay_engine::format::pack::BlobKind;
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::repository::BlobReader;
use backstay_engine::restore::{DumpOptions, RestoreOptions, dump, restore};
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use backstay_storage::ReadCache;

use super::forge::Forge;
use super::house::{House, PASSWORD, local};

/// KiB of addresses that the program gets: enough for two workers' buffers and threads, and no more.
const ADDRESSES_KIB: u32 = 900 << 10;

/// Runs the example program with little room, and returns its words when it ended by itself.
fn with_little_room(arguments: &[&str]) -> Option<String> {
    let program = std::env::current_exe().unwrap().parent().unwrap().join("../examples/engine");
    if !program.exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "needs the example `engine`");
        eprintln!("\n########## SKIPPED: needs the example `engine` ##########\n");
        return None;
    }
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {ADDRESSES_KIB}; exec \"$0\" \"$@\"")]).arg(program).args(arguments);
    let output = command.env("RESTIC_PASSWORD", PASSWORD).output().unwrap();
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words).into_owned();
    assert!(output.status.code().is_some(), "it was ended by a signal: {words}");
    Some(words)
}

fn forge(house: &House) -> Forge {
    Forge::new(local(&house.home.path().join("repository")))
}

fn file(name: &str, content: &Id) -> String {
    format!(r#"{{"name":"{name}","type":"file","mode":420,"size":1,"content":["{content}"]}}"#)
}

/// Returns so many zeros, compressed.
fn zeros(bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut compressor = PieceCompressor::new(&mut out);
    let piece = vec![b' '; 1 << 20];
    (0..bytes >> 20).for_each(|_| compressor.push(&piece));
    compressor.finish();
    out
}

fn restored(house: &House, id: &Id) -> (Result<backstay_engine::restore::Restored, EngineError>, std::path::PathBuf) {
    let (hex, target) = (id.to_hex(), house.home.path().join("target"));
    let options = RestoreOptions::new(&hex, &target);
    (restore(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()), target)
}

#[test]
fn an_index_or_a_snapshot_that_swells_is_refused() {
    for kind in [FileKind::Index, FileKind::Snapshot] {
        let house = House::local();
        std::fs::write(house.tree().join("file"), b"x").unwrap();
        house.backup(None);
        let forge = forge(&house);
        let bomb = forge.sealed(kind, &[&[2][..], &zeros(3 << 30)].concat());
        assert!(zeros(3 << 30).len() < 1 << 20);
        let place = house.home.path().join("repository");
        let (place, target) = (place.to_str().unwrap(), house.home.path().join("target"));
        let Some(words) = with_little_room(&["restore", place, target.to_str().unwrap()]) else { return };
        assert!(words.contains("bytes after decompression"), "{bomb}: {words}");
    }
}

#[test]
fn a_blob_that_swells_or_says_that_it_would_costs_its_file_alone() {
    let house = House::local();
    let mut forge = forge(&house);
    let honest = forge.blob(BlobKind::Data, b"x");
    let stored = zeros(3 << 30);
    // Of the first nobody knows the hash; it must not come to be asked for.
    let swells = forge.compressed(BlobKind::Data, Id::of(b"swells"), &stored, u32::MAX - 1);
    let says = forge.compressed(BlobKind::Data, Id::of(b"says"), &zeros(1 << 20), 3 << 30);
    let hides = forge.compressed(BlobKind::Data, Id::of(b"hides"), &stored, 10);
    let tree =
        forge.tree(&[file("hides", &hides), file("honest", &honest), file("says", &says), file("swells", &swells)]);
    let id = forge.publish(tree);
    let place = house.home.path().join("repository");
    let target = house.home.path().join("little");
    let words = with_little_room(&["restore", place.to_str().unwrap(), target.to_str().unwrap()]);
    if words.is_some() {
        assert_eq!(std::fs::read(target.join("honest")).unwrap(), b"x");
    }
    let (done, target) = restored(&house, &id);
    let done = done.unwrap();
    let mut named: Vec<&str> = done.unread.entries.iter().map(|entry| &*entry.path).collect();
    named.sort_unstable();
    assert_eq!(named, ["/hides", "/says", "/swells"], "{:?}", done.unread);
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1);
    let found = check(&house.repository, &ReadData::All, &Interrupt::default()).unwrap();
    assert_eq!(found.affected_count, 3, "{found:?}");
    let (hex, mut out) = (id.to_hex(), Vec::new());
    let options = DumpOptions { snapshot: &hex, sub_path: b"", path: b"" };
    // A stream cannot take back the header of a file that breaks off, and must not go on behind it.
    let done = dump(&house.repository, &options, &mut out, &EngineProgress::default(), &Interrupt::default());
    assert!(matches!(done, Err(EngineError::Format { .. })), "{done:?}");
}

/// Its seal is whole, as a broken machine or a writer with the password leaves it: the hash alone tells.
#[test]
fn a_blob_under_another_s_id_is_not_restored() {
    let house = House::local();
    let mut forge = forge(&house);
    let honest = forge.blob(BlobKind::Data, b"x");
    let other = forge.named(BlobKind::Data, Id::of(b"what was saved"), b"what was not!!");
    let tree = forge.tree(&[file("honest", &honest), file("other", &other)]);
    let id = forge.publish(tree);
    let (done, target) = restored(&house, &id);
    let named: Vec<String> = done.unwrap().unread.entries.into_iter().map(|entry| entry.path).collect();
    assert_eq!(named, ["/other"]);
    assert_eq!(std::fs::read(target.join("honest")).unwrap(), b"x");
    assert!(!target.join("other").exists());
    let found = check(&house.repository, &ReadData::All, &Interrupt::default()).unwrap();
    assert_eq!(found.affected_count, 1, "{found:?}");
    let (hex, mut out) = (id.to_hex(), Vec::new());
    let options = DumpOptions { snapshot: &hex, sub_path: b"", path: b"/other" };
    let done = dump(&house.repository, &options, &mut out, &EngineProgress::default(), &Interrupt::default());
    assert!(done.is_err() && out.is_empty(), "{done:?} {out:?}");
}

#[test]
fn an_index_of_absurd_places_costs_what_it_lies_about() {
    let house = House::local();
    let mut forge = forge(&house);
    let honest = forge.blob(BlobKind::Data, b"x");
    let (far, long) = (Id::of(b"far"), Id::of(b"long"));
    let tree = forge.tree(&[file("far", &far), file("honest", &honest), file("long", &long)]);
    let pack = forge.store();
    let blob = |id: &Id, offset: u32, length: u32| {
        format!(r#"{{"id":"{id}","type":"data","offset":{offset},"length":{length}}}"#)
    };
    let blobs = [blob(&far, u32::MAX, 100), blob(&long, 1, u32::MAX)].join(",");
    forge.file(FileKind::Index, format!(r#"{{"packs":[{{"id":"{pack}","blobs":[{blobs}]}}]}}"#).as_bytes());
    let id = forge.publish(tree);
    let (done, target) = restored(&house, &id);
    let done = done.unwrap();
    assert_eq!(done.unread.count, 2, "{:?}", done.unread);
    assert_eq!(std::fs::read(target.join("honest")).unwrap(), b"x");
    let found = check(&house.repository, &ReadData::All, &Interrupt::default()).unwrap();
    assert!(!found.is_whole());
}

/// A tree cannot hold itself, for it would have to know its own hash; a chain of them can be longer than any path.
#[test]
fn a_chain_of_folders_ends_where_nobody_can_go() {
    let house = House::local();
    let mut forge = forge(&house);
    let mut tree = forge.tree(&[]);
    for _ in 0..9_000 {
        tree = forge.tree(&[format!(r#"{{"name":"d","type":"dir","mode":493,"subtree":"{tree}"}}"#)]);
    }
    let id = forge.publish(tree);
    let found = house.verify(&id);
    assert!(found.differences.iter().any(|one| one.problem.contains("deeper than")), "{:?}", found.differences);
    let (hex, mut out) = (id.to_hex(), Vec::new());
    let options = DumpOptions { snapshot: &hex, sub_path: b"", path: b"" };
    let done = dump(&house.repository, &options, &mut out, &EngineProgress::default(), &Interrupt::default()).unwrap();
    assert_eq!(done.unread.count, 1);
    assert_eq!(check(&house.repository, &ReadData::All, &Interrupt::default()).unwrap().trees, 9_001);
}

/// Forges a tree of so many entries, the last of which may have its neighbour's name.
fn wide(forge: &mut Forge, entries: usize, twice: bool) -> (Id, usize) {
    let mut packed = Vec::new();
    let mut compressor = PieceCompressor::new(&mut packed);
    let mut text = String::from("{\"nodes\":[");
    let (mut bytes, mut id) = (0, backstay_engine::format::id::GrowingId::default());
    for at in 0..entries {
        let name = if twice && at + 1 == entries { at - 1 } else { at };
        let comma = if at == 0 { "" } else { "," };
        let content = "x".repeat(200);
        text.push_str(&format!(
            r#"{comma}{{"name":"{name:09}","type":"symlink","mode":511,"linktarget":"{content}"}}"#
        ));
        if text.len() > 1 << 20 || at + 1 == entries {
            if at + 1 == entries {
                text.push_str("]}\n");
            }
            compressor.push(text.as_bytes());
            id.push(text.as_bytes());
            bytes += text.len();
            text.clear();
        }
    }
    let length = u32::try_from(bytes).unwrap();
    compressor.finish();
    (forge.compressed(BlobKind::Tree, id.finish(), &packed, length), bytes)
}

#[test]
fn a_tree_of_hundreds_of_megabytes_is_read_entry_by_entry() {
    // 400 MB by command, a twentieth of it every time.
    let entries = std::env::var("BACKSTAY_HOSTILE_ENTRIES").map_or(75_000, |text| text.parse().unwrap());
    let house = House::local();
    let mut forge = forge(&house);
    let ((good, bytes), (bad, _)) = (wide(&mut forge, entries, false), wide(&mut forge, entries, true));
    let says = forge.compressed(BlobKind::Tree, Id::of(b"says"), &zeros(1 << 20), u32::MAX);
    let dir = |name: &str, tree: &Id| format!(r#"{{"name":"{name}","type":"dir","mode":493,"subtree":"{tree}"}}"#);
    let tree = forge.tree(&[dir("bad", &bad), dir("good", &good), dir("says", &says)]);
    let id = forge.publish(tree);
    let repository = &house.repository;
    let index = repository.index_load(&Interrupt::default()).unwrap();
    let mut blobs = BlobReader::new(repository, &index, ReadCache::Use, &Interrupt::default());
    let before = peak_kib();
    let mut count = 0;
    let mut each = |tree: &Id| {
        tree_entries(repository, &mut blobs, tree, |_| {
            count += 1;
            Ok(())
        })
    };
    each(&good).unwrap();
    let told = each(&bad).unwrap_err();
    assert!(backstay_core::managers::job::chain(&told).contains("stands after"), "{told:?}");
    let told = each(&says).unwrap_err();
    assert!(backstay_core::managers::job::chain(&told).contains("more than any has"), "{told:?}");
    assert_eq!(count, entries, "of the bad one no entry is handed out");
    println!("{} MiB of tree, {} MiB more at the peak of the process", bytes >> 20, (peak_kib() - before) >> 10);
    let found = check(repository, &ReadData::None, &Interrupt::default()).unwrap();
    assert_eq!(found.finding_count, 2, "{:?}", found.findings);
    assert!(house.verify(&id).difference_count >= 2);
}

/// Returns the largest memory that this process ever had.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
