//! Several roots, excludes and links of roots, held against real restic: the same list of paths, and the same tree where
//! both store the same facts.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use backstay_engine::archive::exclude::{Case, Excludes, FileSystems};
use backstay_engine::archive::options::{AccessTimes, ArchiveOptions, RootRule};
use backstay_engine::archive::publish::Published;
use backstay_engine::format::id::Id;
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::house::{House, backup, options};
use super::restic::{Restic, restics};

/// Backs up as `backstay engine backup` does.
pub(crate) fn ours(house: &House, roots: &[&str], excludes: Excludes) -> Published {
    try_ours(house, roots, excludes).unwrap()
}

fn try_ours(house: &House, roots: &[&str], excludes: Excludes) -> Result<Published, EngineError> {
    let options = ArchiveOptions {
        roots: roots.iter().map(PathBuf::from).collect(),
        root_rule: RootRule::Anything,
        excludes,
        ..options(Path::new("/"), None)
    };
    backup(&house.repository, &options, &EngineProgress::default(), &Interrupt::default())
}

/// Backs up with restic and returns the snapshot.
pub(crate) fn theirs(restic: &Restic, house: &House, arguments: &[&str]) -> Id {
    let before = house.snapshots();
    restic.output(house.home.path(), &[&["backup", "--quiet"], arguments].concat());
    house.snapshots().into_iter().find(|id| !before.contains(id)).expect("restic makes a snapshot")
}

fn tree_of(house: &House, id: &Id) -> (Id, Vec<String>) {
    let (_, file) = house.repository.snapshot_read(&id.to_hex(), &Interrupt::default()).unwrap();
    (file.tree, file.paths)
}

/// Returns what must be the same in two snapshots of one state: all but the metadata of `/tmp`, which other tests change.
pub(crate) fn stable(house: &House, id: &Id) -> Vec<String> {
    let index = house.repository.index_load(&Interrupt::default()).unwrap();
    let mut blobs = backstay_engine::repository::BlobReader::new(
        &house.repository,
        &index,
        backstay_storage::ReadCache::Use,
        &Interrupt::default(),
    );
    let mut facts = Vec::new();
    backstay_engine::browse::tree_entries(&house.repository, &mut blobs, &tree_of(house, id).0, |node| {
        facts.push(match &*node.name {
            b"tmp" | b"tmp-1" => format!("{:?} {:?}", node.name, node.subtree),
            _ => format!("{node:?}"),
        });
        Ok(())
    })
    .unwrap();
    facts.extend(tree_of(house, id).1);
    facts
}

/// Returns every entry of a snapshot with its metadata, folders before what they hold, but for `/tmp` as in [`stable`].
pub(crate) fn whole(house: &House, id: &Id) -> Vec<String> {
    let index = house.repository.index_load(&Interrupt::default()).unwrap();
    let mut blobs = backstay_engine::repository::BlobReader::new(
        &house.repository,
        &index,
        backstay_storage::ReadCache::Use,
        &Interrupt::default(),
    );
    let (mut facts, mut open) = (Vec::new(), vec![tree_of(house, id).0]);
    while let Some(tree) = open.pop() {
        backstay_engine::browse::tree_entries(&house.repository, &mut blobs, &tree, |node| {
            open.extend(node.subtree);
            let is_shared = matches!(&*node.name, b"tmp" | b"tmp-1");
            facts.push(if is_shared { format!("{:?}", node.name) } else { format!("{node:?}") });
            Ok(())
        })
        .unwrap();
    }
    facts
}

/// Returns all paths of a snapshot.
pub(crate) fn paths_of(house: &House, id: &Id) -> Vec<Vec<u8>> {
    use backstay_engine::browse::{Met, walk};
    let index = house.repository.index_load(&Interrupt::default()).unwrap();
    let mut blobs = backstay_engine::repository::BlobReader::new(
        &house.repository,
        &index,
        backstay_storage::ReadCache::Use,
        &Interrupt::default(),
    );
    let mut paths = Vec::new();
    let (progress, interrupt) = (EngineProgress::default(), Interrupt::default());
    walk(&house.repository, &mut blobs, tree_of(house, id).0, &progress, &interrupt, &mut |met| {
        match met {
            Met::Folder(..) => {}
            Met::Entry(path, _) => paths.push(path.to_vec()),
            Met::Unreadable(path, error) => panic!("{}: {error}", String::from_utf8_lossy(path)),
        }
        Ok(())
    })
    .unwrap();
    paths.sort();
    paths
}

fn shown(paths: &[Vec<u8>]) -> Vec<String> {
    paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

#[test]
fn roots_are_laid_out_as_restic_lays_them_out() {
    let house = House::local();
    for folder in ["a/b/c", "a/d", "other/a", "up"] {
        fs::create_dir_all(house.tree().join(folder)).unwrap();
        fs::write(house.tree().join(folder).join("file"), folder).unwrap();
    }
    std::os::unix::fs::symlink("a", house.tree().join("link")).unwrap();
    let at = |name: &str| house.tree().join(name).to_str().unwrap().to_owned();
    // The paths lead from where the test runs to the tree: relative ones need not change the folder of the process.
    let here = std::env::current_dir().unwrap();
    let upwards = "../".repeat(here.components().count() - 1);
    let relative = |name: &str| format!("{upwards}{}", &at(name)[1..]);
    let sets: Vec<Vec<String>> = vec![
        vec![at("a")],
        vec![at("a/b/c/file")],
        vec![at("a/b"), at("a/d"), at("up/file")],
        vec![at("a"), at("a/b")],
        vec![at("a/b/c"), at("a")],
        vec![at("a/"), at("./a//b/../d"), at("a")],
        vec![at("link"), at("link/b")],
        vec![relative("a")],
        vec![relative("a"), at("a/b"), relative("other/a")],
        vec!["src/lib.rs".to_owned(), at("up")],
        vec![".".to_owned(), at("up")],
        vec![at("up"), at("missing"), at("gone/too")],
    ];
    for restic in restics() {
        for roots in &sets {
            let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
            let mine = ours(&house, &roots, Excludes::default());
            let wanted = roots.iter().filter(|root| root.contains("missing") || root.contains("gone")).count();
            assert_eq!(mine.unread.count, wanted as u64, "{roots:?}: {:?}", mine.unread);
            let other = theirs(&restic, &house, &roots);
            assert_eq!(shown(&paths_of(&house, &mine.id)), shown(&paths_of(&house, &other)), "{roots:?}");
            assert_eq!(stable(&house, &mine.id), stable(&house, &other), "restic {} {roots:?}", restic.version);
        }
    }
    let missing = try_ours(&house, &[&at("missing"), &at("gone")], Excludes::default());
    assert!(matches!(missing, Err(EngineError::Source { .. })), "{missing:?}");
}

/// Sets of excludes that are tried: each costs a second of restic's.
const ROUNDS: usize = 40;

/// Names that patterns are about.
const NAMES: [&[u8]; 16] = [
    b"a",
    b"b",
    b"ab",
    b"A",
    b"a.o",
    b"b.O",
    b"foo",
    b"bar",
    b"x[1]",
    b"*",
    b"a b",
    "é".as_bytes(),
    "É".as_bytes(),
    b"\xff",
    b"#c",
    b"CACHE",
];

/// Pieces that patterns are put together from.
const PIECES: [&str; 22] = [
    "a", "b", "?", "*", "**", "*.o", "foo", "b*", "[ab]", "[^a]", "[a-b]*", "\\*", "x\\[1]", "é", "É", "A", "ba[r]",
    "CACHE", "*?", "a*b", ".", "..",
];

fn make_tree(random: &mut StdRng, folder: &Path, depth: usize) {
    for name in NAMES {
        if random.random_bool(0.45) {
            continue;
        }
        let path = folder.join(OsString::from_vec(name.to_vec()));
        if depth > 0 && random.random_bool(0.5) {
            fs::create_dir(&path).unwrap();
            make_tree(random, &path, depth - 1);
        } else {
            fs::write(&path, vec![b'x'; random.random_range(0..3_000)]).unwrap();
        }
    }
    match random.random_range(0..8) {
        0 => fs::write(folder.join("CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n# it").unwrap(),
        1 => fs::write(folder.join("CACHEDIR.TAG"), "Signature: other").unwrap(),
        2 => fs::write(folder.join(".nobackup"), "yes, please").unwrap(),
        3 => fs::write(folder.join(".nobackup"), "").unwrap(),
        _ => {}
    }
}

fn pattern(random: &mut StdRng, root: &str) -> String {
    let count = random.random_range(1..=3);
    let pieces: Vec<&str> = (0..count).map(|_| PIECES[random.random_range(0..PIECES.len())]).collect();
    let begin = match random.random_range(0..8) {
        0 => format!("{root}/"),
        1 => "/**/".to_owned(),
        2 => "!".to_owned(),
        3 => format!("!{root}/"),
        _ => String::new(),
    };
    let end = if random.random_bool(0.1) { "/" } else { "" };
    format!("{begin}{}{end}", pieces.join("/"))
}

/// Red when any rule of a pattern differs from restic's.
#[test]
fn excludes_leave_out_what_restics_leave_out() {
    let house = House::local();
    let mut random = StdRng::seed_from_u64(9);
    make_tree(&mut random, &house.tree(), 2);
    let root = house.tree().to_str().unwrap().to_owned();
    let all = paths_of(&house, &ours(&house, &[&root], Excludes::default()).id).len();
    let mut kept_less = 0;
    // The old restic leaves out even what was named.
    for restic in restics().iter().filter(|restic| restic.version == "0.19") {
        for round in 0..ROUNDS {
            let mut excludes = Excludes::default();
            let mut arguments = vec![root.clone()];
            for _ in 0..random.random_range(0..4) {
                let pattern = pattern(&mut random, &root);
                let (option, case) = match random.random_bool(0.3) {
                    true => ("--iexclude", Case::Ignored),
                    false => ("--exclude", Case::Counts),
                };
                excludes.add(pattern.as_bytes(), case).unwrap();
                arguments.push(format!("{option}={pattern}"));
            }
            if round % 4 == 0 {
                let file = house.home.path().join("patterns");
                let text = "# no\n\n  foo/$PIECE  \r\n!$$\n${PIECE}b\n";
                fs::write(&file, text).unwrap();
                excludes.add_file(&file, Case::Counts, &|name| std::env::var(name).ok()).unwrap();
                arguments.push(format!("--exclude-file={}", file.display()));
            }
            if random.random_bool(0.2) {
                excludes.add_caches();
                arguments.push("--exclude-caches".to_owned());
            }
            if random.random_bool(0.2) {
                let tag = [".nobackup", ".nobackup:yes", "foo", "a"][random.random_range(0..4)];
                excludes.add_if_present(tag).unwrap();
                arguments.push(format!("--exclude-if-present={tag}"));
            }
            if random.random_bool(0.2) {
                excludes.larger_than(2_000);
                arguments.push("--exclude-larger-than=2000".to_owned());
            }
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let mine = paths_of(&house, &ours(&house, &[&root], excludes).id);
            let other = paths_of(&house, &theirs(restic, &house, &arguments));
            assert_eq!(shown(&mine), shown(&other), "restic {} {arguments:?}", restic.version);
            kept_less += usize::from(mine.len() < all);
        }
    }
    assert!(restics().is_empty() || kept_less > 20, "patterns that leave nothing out say nothing: {kept_less}");
}

#[test]
fn patterns_that_are_none_are_refused() {
    let mut excludes = Excludes::default();
    for wrong in ["[", "a/[b", "x\\"] {
        assert!(excludes.add(wrong.as_bytes(), Case::Counts).is_err(), "{wrong}");
    }
    assert!(excludes.add_if_present(":header").is_err());
    assert!(excludes.add_file(Path::new("/no/such/file"), Case::Counts, &|_| None).is_err());
}

/// Needs a file system of its own below the tree: root's alone. Others see it skipped.
#[test]
fn another_file_system_is_an_empty_folder_when_it_is_left_out() {
    let house = House::local();
    fs::create_dir(house.tree().join("mount")).unwrap();
    fs::write(house.tree().join("file"), b"x").unwrap();
    let mount = house.tree().join("mount").to_str().unwrap().to_owned();
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "none", &mount]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("########## SKIPPED: this user cannot mount ##########");
        return;
    }
    fs::write(house.tree().join("mount/inside"), b"x").unwrap();
    fs::create_dir(house.tree().join("mount/folder")).unwrap();
    let root = house.tree().to_str().unwrap().to_owned();
    let mut excludes = Excludes::default();
    excludes.file_systems(FileSystems::RootsOwn);
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for roots in [vec![&*root], vec![&*root, &*mount]] {
            let mine = ours(&house, &roots, excludes.clone());
            for restic in restics() {
                let other = theirs(&restic, &house, &[&roots[..], &["--one-file-system"]].concat());
                assert_eq!(shown(&paths_of(&house, &mine.id)), shown(&paths_of(&house, &other)), "{roots:?}");
                assert_eq!(stable(&house, &mine.id), stable(&house, &other), "{roots:?}");
            }
        }
    }));
    assert!(std::process::Command::new("umount").arg(&mount).status().unwrap().success());
    found.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn times_of_last_access_are_kept_where_they_are_asked_for() {
    let house = House::local();
    fs::write(house.tree().join("file"), b"x").unwrap();
    let root = house.tree().to_str().unwrap().to_owned();
    let time = |seconds| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 5 };
    let times = rustix::fs::Timestamps { last_access: time(-7), last_modification: time(9) };
    for path in [house.tree().join("file"), house.tree()] {
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, rustix::fs::AtFlags::empty()).unwrap();
    }
    for restic in restics() {
        let options = ArchiveOptions { access_times: AccessTimes::Kept, ..options(&house.tree(), None) };
        let mine = backup(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
        let other = theirs(&restic, &house, &["--with-atime", &root]);
        let file = |id: &Id| {
            let index = house.repository.index_load(&Interrupt::default()).unwrap();
            let cache = backstay_storage::ReadCache::Use;
            let mut blobs =
                backstay_engine::repository::BlobReader::new(&house.repository, &index, cache, &Interrupt::default());
            let path = format!("{root}/file");
            backstay_engine::browse::find(&house.repository, &mut blobs, tree_of(&house, id).0, path.as_bytes())
                .unwrap()
        };
        assert_eq!({ file(&mine.id).metadata.accessed.seconds }, -7);
        assert_eq!(file(&mine.id), file(&other), "restic {}", restic.version);
    }
}
