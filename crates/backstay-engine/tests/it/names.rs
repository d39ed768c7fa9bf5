//! Trees that a generator makes, of every node type, with names of any bytes: restic and we store the same of them, and
//! restore the same from it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use backstay_engine::restore::{Reconcile, RestoreOptions, Special, restore};
use backstay_engine::{EngineProgress, Interrupt};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

use super::house::House;
use super::layout::{stable, theirs, whole};
use super::restic::Restic;
use super::restore_deep::{assert_deep, deep, each_link_alone, restic, without_names};
use super::tree;

/// Trees that are made; each costs four calls of restic.
const CASES: u32 = 8;

#[derive(Debug, Clone)]
enum Kind {
    File(usize),
    Folder,
    Link(Vec<u8>),
    Fifo,
    Character(u32, u32),
    Block(u32, u32),
    /// Another name of one that was made before, by its number.
    HardLink(usize),
}

#[derive(Debug, Clone)]
struct Entry {
    /// In which of the folders that were made before.
    folder: usize,
    name: Vec<u8>,
    kind: Kind,
    mode: u32,
    owners: (u32, u32),
    time: (i64, i64),
    attribute: Option<(Vec<u8>, Vec<u8>)>,
}

/// Pieces that names are made of: what quoting, JSON, shells, patterns and terminals trip over.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>().prop_filter("no name", |byte| *byte != 0 && *byte != b'/'), 1..6),
        2 => "[a-zA-Z0-9]{1,8}".prop_map(String::into_bytes),
        2 => any::<char>().prop_filter("no name", |char| *char != '\0' && *char != '/')
            .prop_map(|char| char.to_string().into_bytes()),
        2 => prop::sample::select(vec![
            &b"\\"[..], b"\"", b"\n", b"\r", b"\t", b"\x1b[2J", b"*", b"?", b"[", b"]", b"$HOME", b"%s", b" ", b"-", b".",
            b"..", b"<&>", b"'", b"\x7f", b"\\x41", b"\\u0041", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xe2\x80\xa8",
            // Newer than what restic knows, and as old.
            b"\xf0\xb2\x8e\xb0", b"\xf0\xb2\x8e\xaf",
            b"\xef\xbf\xbd", b"e\xcc\x81", b"\xc3\xa9", b"\xff", b"\xe2\x80\xae",
        ]).prop_map(<[u8]>::to_vec),
        1 => Just(vec![b'x'; 254]),
    ]
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let cut = |pieces: Vec<Vec<u8>>| {
        let mut name = pieces.concat();
        name.truncate(255);
        name
    };
    prop::collection::vec(piece(), 1..5).prop_map(cut).prop_filter("no name", |name| name != b"." && name != b"..")
}

fn kind() -> impl Strategy<Value = Kind> {
    let device = || (0..4_000_u32, 0..1_000_000_u32);
    prop_oneof![
        4 => (0..200_000_usize).prop_map(Kind::File),
        1 => Just(Kind::File(0)),
        3 => Just(Kind::Folder),
        2 => prop::collection::vec(piece(), 1..4).prop_map(|pieces| Kind::Link(pieces.join(&b'/'))),
        1 => Just(Kind::Fifo),
        1 => device().prop_map(|(major, minor)| Kind::Character(major, minor)),
        1 => device().prop_map(|(major, minor)| Kind::Block(major, minor)),
        2 => any::<prop::sample::Index>().prop_map(|at| Kind::HardLink(at.index(1_000))),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    // Seconds that both clocks of a file system keep: 1901 to 2446 on ext4.
    let time = (-2_000_000_000_i64..9_000_000_000, 0..1_000_000_000_i64);
    let attribute = ("[a-z<&é\"\\\\ =]{1,12}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..300));
    (
        0..100_usize,
        name(),
        kind(),
        0..0o10000_u32,
        (0..70_000_u32, 0..70_000_u32),
        time,
        prop::option::weighted(0.3, attribute),
    )
        .prop_map(|(folder, name, kind, mode, owners, time, attribute)| Entry {
            folder,
            name,
            kind,
            mode,
            owners,
            time,
            attribute,
        })
}

/// Makes the entries that can be made: a name that is there already is left out. Returns how many of each kind there are.
fn make(root: &Path, entries: &[Entry]) -> BTreeMap<&'static str, usize> {
    let (mut folders, mut others): (Vec<PathBuf>, Vec<PathBuf>) = (vec![root.to_path_buf()], Vec::new());
    let (mut made, mut counts): (Vec<(PathBuf, &Entry)>, _) = (Vec::new(), BTreeMap::new());
    for (number, entry) in entries.iter().enumerate() {
        let path = folders[entry.folder % folders.len()].join(OsString::from_vec(entry.name.clone()));
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        let node = |kind, major, minor| {
            let device = rustix::fs::makedev(major, minor);
            rustix::fs::mknodat(CWD, &path, kind, Mode::from_raw_mode(0o600), device).unwrap();
        };
        let word = match &entry.kind {
            Kind::File(bytes) => {
                fs::write(&path, tree::noise(number as u64, *bytes)).unwrap();
                "file"
            }
            Kind::Folder => {
                fs::create_dir(&path).unwrap();
                "folder"
            }
            Kind::Link(target) => {
                std::os::unix::fs::symlink(OsString::from_vec(target.clone()), &path).unwrap();
                "link"
            }
            Kind::Fifo => {
                node(FileType::Fifo, 0, 0);
                "fifo"
            }
            Kind::Character(major, minor) => {
                node(FileType::CharacterDevice, *major, *minor);
                "character"
            }
            Kind::Block(major, minor) => {
                node(FileType::BlockDevice, *major, *minor);
                "block"
            }
            Kind::HardLink(at) => {
                if others.is_empty() {
                    continue;
                }
                fs::hard_link(&others[at % others.len()], &path).unwrap();
                *counts.entry("hard link").or_default() += 1;
                continue;
            }
        };
        *counts.entry(word).or_default() += 1;
        if matches!(entry.kind, Kind::Folder) { &mut folders } else { &mut others }.push(path.clone());
        made.push((path, entry));
    }
    // From the deepest up: what is made in a folder changes its time.
    for (path, entry) in made.iter().rev() {
        let is_link = matches!(entry.kind, Kind::Link(_));
        let (uid, gid) = (Uid::from_raw(entry.owners.0), Gid::from_raw(entry.owners.1));
        rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).unwrap();
        if !is_link {
            rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(entry.mode), AtFlags::empty()).unwrap();
        }
        if let Some((name, value)) = &entry.attribute {
            // Only root's attributes go on what is neither file nor folder; those of links differ by restic's version.
            let space = if matches!(entry.kind, Kind::File(_) | Kind::Folder) { &b"user."[..] } else { b"trusted." };
            let name = OsString::from_vec([space, name].concat());
            if !is_link {
                rustix::fs::lsetxattr(path, &name, value, XattrFlags::empty()).unwrap();
            }
        }
        let time = Timespec { tv_sec: entry.time.0, tv_nsec: entry.time.1 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
    counts
}

/// Forgets which of these special files are one, by the first digits of their modes: the format does not say it of a
/// FIFO (1), and restic makes each device (2, 6) anew.
fn each_alone(found: &mut BTreeMap<Vec<u8>, String>, kinds: &str) {
    let is_one = |line: &str| line.find(' ') == Some(5) && line.starts_with(|first| kinds.contains(first));
    for line in found.values_mut().filter(|line| is_one(line)) {
        without_names(line);
    }
}

/// Both save the tree: the trees are the same, bit for bit. Both restore what the other saved: the same again.
fn check(restic: &Restic, entries: &[Entry]) -> BTreeMap<&'static str, usize> {
    let house = House::local();
    let counts = make(&house.tree(), entries);
    let root = house.tree().to_str().unwrap().to_owned();
    let mine = house.backup(None);
    assert!(mine.unread.is_empty(), "{:?}", mine.unread);
    let other = theirs(restic, &house, &[&root, "--force"]);
    let (ours, theirs) = (whole(&house, &mine.id), whole(&house, &other));
    for (our, their) in ours.iter().zip(&theirs) {
        // A folder's tree follows from what is in it, which comes below.
        let bare = |line: &str| line.split("subtree").next().unwrap_or_default().to_owned();
        assert_eq!(bare(our), bare(their));
    }
    assert_eq!(stable(&house, &mine.id), stable(&house, &other));
    let (ours_at, theirs_at) = (house.home.path().join("by-us"), house.home.path().join("by-restic"));
    let place = format!("{}:{root}", mine.id.to_hex());
    restic.run(house.home.path(), &["restore", &place, "--target", theirs_at.to_str().unwrap()]);
    let hex = other.to_hex();
    let options = RestoreOptions {
        sub_path: root.as_bytes(),
        special: Special::Make,
        reconcile: Reconcile::Fail,
        ..RestoreOptions::new(&hex, &ours_at)
    };
    let done = restore(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    assert!(done.unread.is_empty(), "{:?}", done.unread);
    let mut found = [deep(&house.tree()), deep(&ours_at)];
    found.iter_mut().for_each(|found| each_alone(found, "1"));
    assert_deep(&found[0], &found[1], "what we restored of restic's");
    let mut found = [deep(&house.tree()), deep(&theirs_at)];
    found.iter_mut().for_each(|found| {
        each_link_alone(found);
        each_alone(found, "126");
    });
    assert_deep(&found[0], &found[1], "what restic restored of ours");
    counts
}

/// Red when any kind, name, mode, owner, time or attribute is kept or restored otherwise than by restic.
#[test]
fn whatever_its_names_a_tree_is_kept_and_restored_as_by_restic() {
    let Some(restic) = restic() else { return };
    let cases = std::env::var("BACKSTAY_NAMES").map_or(CASES, |text| text.parse().unwrap());
    let config = Config { cases, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let seen = std::cell::RefCell::new(BTreeMap::new());
    let ran = TestRunner::new(config).run(&prop::collection::vec(entry(), 30..90), |entries| {
        for (word, count) in check(&restic, &entries) {
            *seen.borrow_mut().entry(word).or_insert(0) += count;
        }
        Ok(())
    });
    if let Err(failure) = ran {
        panic!("{failure}");
    }
    let seen = seen.into_inner();
    println!("{cases} trees: {seen:?}");
    assert_eq!(seen.len(), 7, "each kind was met: {seen:?}");
}
