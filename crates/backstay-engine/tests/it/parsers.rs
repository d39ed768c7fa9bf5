//! What the fuzz targets run, run here on their corpus and on what becomes of it: `fuzz/README.md` says how to look longer.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[path = "../../fuzz/src/parsers.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets take them from a crate of their own")]
mod all;

/// Changed inputs that are tried of each file of a corpus; more by `BACKSTAY_FUZZ_INPUTS`.
const INPUTS: usize = 300;

/// Words that parsers look for, put in at any place.
const WORDS: [&[u8]; 16] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\\u0000",
    b"\\ud800",
    b"4294967295",
    b"-1",
    b"1e400",
    b"null",
    b"..",
    b"\xff",
    b"**/",
];

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let listed = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<(PathBuf, Vec<u8>)> =
        listed.map(|entry| entry.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// Changes bytes as a fuzzer does: flips, cuts, repeats, and puts in what parsers look for.
fn mutate(bytes: &mut Vec<u8>, others: &[(PathBuf, Vec<u8>)], random: &mut StdRng) {
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=bytes.len());
        let end = random.random_range(at..=bytes.len().min(at + 40));
        match random.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = random.random(),
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            4 => bytes.truncate(at),
            5 => {
                let other = &others[random.random_range(0..others.len())].1;
                let from = random.random_range(0..=other.len());
                let piece = other[from..other.len().min(from + 60)].to_vec();
                drop(bytes.splice(at..end, piece));
            }
            _ => drop(bytes.splice(at..end, WORDS[random.random_range(0..WORDS.len())].iter().copied())),
        }
    }
}

#[test]
fn every_parser_answers_to_its_corpus_and_to_what_becomes_of_it() {
    let inputs = std::env::var("BACKSTAY_FUZZ_INPUTS").map_or(INPUTS, |text| text.parse().unwrap());
    let mut tried = 0;
    for (at, (name, parser)) in all::PARSERS.into_iter().enumerate() {
        let files = corpus(name);
        assert!(files.len() >= 3, "{name} has {} files", files.len());
        for (path, file) in &files {
            parser(file);
            let mut random = StdRng::seed_from_u64(at as u64);
            for nth in 0..inputs {
                let mut bytes = file.clone();
                mutate(&mut bytes, &files, &mut random);
                let done = catch_unwind(AssertUnwindSafe(|| parser(&bytes)));
                let shown = String::from_utf8_lossy(&bytes).into_owned();
                assert!(done.is_ok(), "{name}: change {nth} of {}: {shown:?}: {bytes:?}", path.display());
                tried += 1;
            }
        }
    }
    println!("{tried} inputs");
}

/// The corpus has what is read to its end, or the parsers would only be shown what they refuse at once.
#[test]
fn the_corpus_has_what_each_parser_takes() {
    use backstay_engine::format::config::Config;
    use backstay_engine::format::index::IndexFile;
    use backstay_engine::format::lock::LockFile;
    use backstay_engine::format::snapshot::SnapshotFile;
    use backstay_engine::format::time::FileTime;
    use backstay_engine::format::tree;
    let taken = |name: &str, takes: &dyn Fn(&[u8]) -> bool| {
        let count = corpus(name).iter().filter(|(_, file)| takes(file)).count();
        assert!(count >= 1, "{name}");
    };
    taken("config", &|file| Config::read(file).is_ok());
    taken("index", &|file| IndexFile::read(file).is_ok_and(|index| index.blob_count() > 1));
    taken("snapshot", &|file| SnapshotFile::read(file).is_ok());
    taken("tree", &|file| tree::read(file).is_ok_and(|nodes| nodes.len() > 2));
    taken("lock", &|file| LockFile::read(file).is_ok());
    taken("time", &|file| std::str::from_utf8(file).is_ok_and(|text| FileTime::read(text).is_some()));
    taken("key", &|file| serde_json::from_slice::<backstay_engine::format::key::KeyFile>(file).is_ok());
    all::run("time", b"2024-01-01T00:00:00Z");
}
