//! Holes of files and of streams: not read, and saved as if they had been.

use std::fs::{self, File};
use std::io::{Cursor, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_engine::archive::options::ArchiveOptions;
use backstay_engine::archive::publish::Published;
use backstay_engine::archive::stream::{Stream, archive_stream};
use backstay_engine::system::SystemCall;
use backstay_engine::{EngineProgress, Interrupt, System};
use jiff::Timestamp;
use tempfile::TempDir;

use super::house::{House, backup, options};
use super::restic::restics;
use super::tree;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Writes a file of these bytes at these places, with holes between, and of this length.
fn sparse(path: &Path, parts: &[(u64, usize)], bytes: u64) {
    let file = File::create(path).unwrap();
    for (seed, (place, length)) in (1..).zip(parts) {
        file.write_all_at(&tree::noise(seed, *length), *place).unwrap();
    }
    file.set_len(bytes).unwrap();
}

/// Makes files with holes of every place and length, on a file system whose holes are believed.
fn files() -> TempDir {
    let home = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = |name: &str, parts: &[(u64, usize)], bytes| sparse(&home.path().join(name), parts, bytes);
    file("nothing", &[], 10 * MIB);
    file("nothing-and-a-byte", &[], 10 * MIB + 1);
    file("begins", &[(5 * MIB, 1 << 20)], 6 * MIB);
    file("ends", &[(0, 700_001)], 9 * MIB + 123);
    let middle = [(0, 300 << 10), (4 * MIB + 4 * KIB, 2 << 20), (7 * MIB, 5), (9 * MIB + 512 * KIB, 512 << 10)];
    file("middle", &middle, 10 * MIB);
    let short: Vec<(u64, usize)> = (0..60).map(|at| (at * 200 * KIB, 100 << 10)).collect();
    file("short", &short, 12 * MIB);
    let nearly: Vec<(u64, usize)> = (0..12).map(|at| (at * (MIB + 4 * KIB), 4_095)).collect();
    file("nearly", &nearly, 13 * MIB);
    home
}

/// Writes the same files without holes.
fn filled(from: &Path) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::write(home.path().join(path.file_name().unwrap()), fs::read(&path).unwrap()).unwrap();
    }
    home
}

/// Backs up a folder, and returns how often a file was read.
fn reads(house: &House, root: &Path) -> (Published, u64) {
    let reads = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&reads);
    let system = System::heard(Arc::new(move |call, _: &[u8]| {
        count.fetch_add(u64::from(call == SystemCall::Read), Ordering::Relaxed);
        None
    }));
    let options = ArchiveOptions { system, ..options(root, None) };
    let done = backup(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    (done, reads.load(Ordering::Relaxed))
}

#[test]
fn a_file_with_holes_is_saved_as_one_without_and_its_holes_are_not_read() {
    let (house, holes) = (House::local(), files());
    sparse(&holes.path().join("huge"), &[(512 * MIB, 1 << 20)], 1_024 * MIB);
    let (with_holes, few) = reads(&house, holes.path());
    assert_eq!(with_holes.summary.total_bytes_processed, 1_024 * MIB + 70 * MIB + 124);
    // The bytes of a gigabyte fill a buffer 128 times; the others have some eighty parts.
    assert!(few < 128, "{few}");
    fs::remove_file(holes.path().join("huge")).unwrap();
    let (without, _) = reads(&house, filled(holes.path()).path());
    assert_eq!((without.summary.files_new, without.summary.data_blobs), (7, 0), "all of it was there");
    for restic in restics() {
        restic.check(&house);
        for name in ["begins", "ends", "middle", "short", "nearly"] {
            let path = holes.path().join(name);
            let dumped = restic.output(house.home.path(), &["dump", &with_holes.id.to_hex(), path.to_str().unwrap()]);
            assert!(dumped.stdout == fs::read(&path).unwrap(), "restic {} dumps {name}", restic.version);
        }
    }
}

#[test]
fn a_stream_of_a_file_with_holes_is_that_of_its_bytes() {
    let (house, holes) = (House::local(), files());
    let restics = restics();
    for entry in fs::read_dir(holes.path()).unwrap() {
        let path = entry.unwrap().path();
        for begin in [0, 4_097, 700_000] {
            let mut file = File::open(&path).unwrap();
            file.seek(SeekFrom::Start(begin)).unwrap();
            let body = fs::read(&path).unwrap().split_off(begin as usize);
            let save = |stream| {
                let options = ArchiveOptions { roots: Vec::new(), ..options(Path::new("/"), None) };
                let (progress, interrupt) = (EngineProgress::default(), Interrupt::default());
                let name = Path::new("image");
                let read = archive_stream(&house.repository, &options, name, stream, &progress, &interrupt).unwrap();
                read.publish(Timestamp::now()).unwrap()
            };
            let told = save(Stream::of_file(file));
            assert_eq!(told.summary.total_bytes_processed, body.len() as u64);
            let dumped = restics[0].output(house.home.path(), &["dump", &told.id.to_hex(), "/image"]).stdout;
            assert!(dumped == body, "{} from {begin}", path.display());
            let read = save(Stream::new(Cursor::new(body)));
            assert_eq!(read.summary.data_blobs, 0, "{} from {begin}: it is cut otherwise", path.display());
        }
    }
}
