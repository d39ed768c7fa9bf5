// What each fuzz target does with bytes that anybody may have written. `lib.rs` and the engine's own tests take this file
// in, so that what the fuzzer runs is what `./check` runs.
//
// A parser must answer with a value or an error: it must not panic, nor take more memory than its input gives reason for.
// What is read and written again must be read as the same.

use backstay_engine::archive::exclude::{Case, Excludes};
use backstay_engine::format::compression::{Decompressor, id_of_packed, pack_file, unpack_file};
use backstay_engine::format::config::Config;
use backstay_engine::format::crypto::SealKey;
use backstay_engine::format::index::{Index, IndexFile};
use backstay_engine::format::key::KeyFile;
use backstay_engine::format::lock::LockFile;
use backstay_engine::format::name::{quote, unquote};
use backstay_engine::format::pack::read_header;
use backstay_engine::format::snapshot::SnapshotFile;
use backstay_engine::format::time::FileTime;
use backstay_engine::format::tree::{self, TreeReader};
use backstay_engine::pattern::Patterns;
use zeroize::Zeroizing;

/// Hands bytes to one parser.
pub type Parser = fn(&[u8]);

/// Every parser: its name, which is that of its target and its corpus, and what is done with bytes.
pub const PARSERS: [(&str, Parser); 11] = [
    ("pack_header", pack_header),
    ("index", index),
    ("snapshot", snapshot),
    ("tree", tree),
    ("config", config),
    ("key", key),
    ("lock", lock),
    ("pattern_file", pattern_file),
    ("time", time),
    ("name", name),
    ("compressed", compressed),
];

/// Runs the parser of a name; does nothing for any other.
pub fn run(name: &str, bytes: &[u8]) {
    if let Some((_, parser)) = PARSERS.iter().find(|(known, _)| *known == name) {
        parser(bytes);
    }
}

/// A header as it stands behind its seal: what an attacker without the key never gets to write, and broken memory may.
fn pack_header(bytes: &[u8]) {
    let key = SealKey::new(Zeroizing::new([7; 64]));
    // As it came, with whatever stands for the seal.
    let _ = read_header(&key, bytes);
    // With a seal that is right: the entries are `bytes`, behind a body of the length that they sum up to, if any.
    let sealed = key.seal(bytes);
    let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX).to_le_bytes();
    for body in [0, 40, 1_000] {
        let pack = [&vec![0; body][..], &sealed, &length].concat();
        if let Ok(blobs) = read_header(&key, &pack) {
            let end: u64 = blobs.iter().map(|blob| u64::from(blob.length)).sum();
            assert_eq!(end, body as u64, "its blobs fill the pack");
        }
    }
}

fn index(bytes: &[u8]) {
    let Ok(file) = IndexFile::read(bytes) else { return };
    let again = IndexFile::read(&file.write()).expect("what was written can be read");
    assert_eq!((again.blob_count(), again.pack_count()), (file.blob_count(), file.pack_count()));
    let mut index = Index::default();
    index.take(file);
    index.sort();
    for (kind, id) in index.blobs_in(|_| true) {
        let place = index.find(kind, &id).expect("it is named");
        assert!(index.places(kind, &id).contains(&place));
        let _ = place.plain_bytes();
    }
}

fn snapshot(bytes: &[u8]) {
    if let Ok(file) = SnapshotFile::read(bytes) {
        assert_eq!(SnapshotFile::read(&file.write()).expect("what was written can be read"), file);
        let _ = FileTime::read(&file.time);
    }
}

fn tree(bytes: &[u8]) {
    let whole = tree::read(bytes);
    if let Ok(nodes) = &whole {
        for node in nodes {
            assert!(!node.name.is_empty() && !node.name.contains(&b'/') && !node.name.contains(&0));
            assert!(*node.name != *b"." && *node.name != *b"..");
        }
        assert!(nodes.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
    // Piece by piece it is read alike, where it is written as restic and we write it.
    let packed = pack_file(bytes);
    if let Ok(mut pieces) = TreeReader::new(packed[1..].to_vec().into()) {
        let mut names = Vec::new();
        let ended = pieces.each(|node| {
            names.push(node.name.to_vec());
            Ok::<_, backstay_engine::format::FormatError>(())
        });
        if let (Ok(nodes), Ok(())) = (whole, ended) {
            assert!(nodes.iter().map(|node| &*node.name).eq(names.iter().map(|name| &**name)));
        }
    }
}

fn config(bytes: &[u8]) {
    if let Ok(config) = Config::read(bytes) {
        assert_eq!(Config::read(&config.write()).expect("what was written can be read"), config);
        config.polynomial().expect("a config is judged when it is read");
    }
}

fn key(bytes: &[u8]) {
    let Ok(file) = serde_json::from_slice::<KeyFile>(bytes) else { return };
    let _ = (file.created(), file.maker());
    // A derivation that is slow on purpose says nothing new about the parser: only the cheapest are tried.
    // A name that the parser does not know need not be text to be read over; here it must be.
    let Ok(said) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let number = |name: &str| said.get(name).and_then(serde_json::Value::as_u64).unwrap_or(u64::MAX);
    let is_cheap = number("N").saturating_mul(number("r")).saturating_mul(number("p")) <= 64;
    if is_cheap || number("N") > 1 << 31 {
        let _ = file.open("password");
    }
}

fn lock(bytes: &[u8]) {
    if let Ok(file) = LockFile::read(bytes) {
        assert_eq!(LockFile::read(&file.write()).expect("what was written can be read"), file);
    }
}

fn pattern_file(bytes: &[u8]) {
    let mut excludes = Excludes::default();
    let variable = |name: &str| (name.len() < 8).then(|| name.to_owned());
    for case in [Case::Counts, Case::Ignored] {
        if excludes.add_text(bytes, case, &variable).is_ok() {
            let _ = excludes.leaves_out_name(b"/home/ada", b"file.o");
            let _ = excludes.leaves_out_name(b"/", b"\xff\n");
        }
    }
    // A restore's patterns are those of one line.
    if bytes.len() < 200
        && let Ok(patterns) = Patterns::new([bytes])
    {
        let _ = patterns.look(b"home/ada/file.o");
        let _ = patterns.matches(b"a/b/c/d/e/f");
    }
}

fn time(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(time) = FileTime::read(text) {
        let written = |time: FileTime| {
            let mut out = Vec::new();
            time.push(&mut out);
            String::from_utf8(out).expect("it is text")
        };
        // An instant beyond four digits of a year is stored as the nearest; from then on it stays.
        let first = written(time);
        let again = FileTime::read(&first).expect("what was written can be read");
        assert_eq!(written(again), first);
        assert!(again.nanoseconds < 1_000_000_000 && again.nanoseconds == time.nanoseconds);
    }
}

fn name(bytes: &[u8]) {
    let quoted = quote(bytes);
    assert_eq!(unquote(&quoted).ok().as_deref(), Some(bytes), "any name comes back");
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = unquote(text);
    }
}

fn compressed(bytes: &[u8]) {
    // A file that swells ends at its bound; what the fuzzer makes of some bytes is far below it.
    if let Ok(plain) = unpack_file("index", bytes) {
        assert!(plain.len() <= 128 << 20);
    }
    let mut out = Vec::new();
    for length in [0, 1, 100, 5_000] {
        if Decompressor::default().decompress(bytes, length, &mut out).is_ok() {
            assert_eq!(out.len(), length);
            if let Ok((_, found)) = id_of_packed(bytes) {
                assert_eq!(found, length as u64);
            }
        }
    }
}
