//! The same snapshot restored by us and by restic, with the same options, gives the same tree.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use backstay_engine::format::id::Id;
use backstay_engine::pattern::Patterns;
use backstay_engine::restore::{Reconcile, RestoreOptions, Restored, Special, restore};
use backstay_engine::{EngineProgress, Interrupt};
use rustix::fs::XattrFlags;

use super::house::House;
use super::restic::Restic;
use super::restore_deep::{assert_deep, deep, disk_bytes, each_link_alone, restic, saved_by_restic};
use super::tree;

struct Pair {
    house: House,
    restic: Restic,
    id: Id,
    hex: String,
    tree: String,
}

impl Pair {
    fn new() -> Option<Self> {
        let restic = restic()?;
        let (house, id) = saved_by_restic(&restic);
        let tree = house.tree().to_str().unwrap().to_owned();
        Some(Self { house, restic, id, hex: id.to_hex(), tree })
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.house.home.path().join(name)
    }

    /// Restores the tree itself into two folders, once `prepare` has filled both alike, and compares them.
    fn compare(
        &self,
        name: &str,
        sub_path: &str,
        arguments: &[&str],
        set: impl Fn(&mut RestoreOptions<'_>),
        prepare: impl Fn(&Path),
    ) -> (PathBuf, PathBuf, Restored) {
        let (ours, theirs) = (self.folder(&format!("ours-{name}")), self.folder(&format!("theirs-{name}")));
        for target in [&ours, &theirs] {
            fs::create_dir(target).unwrap();
            prepare(target);
        }
        let place = format!("{}:{}{sub_path}", self.hex, self.tree);
        let target = theirs.to_str().unwrap();
        self.restic.run(self.house.home.path(), &[&["restore", &place, "--target", target], arguments].concat());
        let sub_path = format!("{}{sub_path}", self.tree);
        let mut options = RestoreOptions::new(&self.hex, &ours);
        (options.special, options.sub_path, options.reconcile) =
            (Special::Make, sub_path.as_bytes(), Reconcile::Overwrite);
        set(&mut options);
        let done =
            restore(&self.house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
        assert!(done.unread.is_empty(), "{name}: {:#?}", done.unread);
        let found = |target: &Path| {
            let mut found = deep(target);
            each_link_alone(&mut found);
            found
        };
        assert_deep(&found(&ours), &found(&theirs), name);
        (ours, theirs, done)
    }
}

fn patterns(patterns: &[&str]) -> Patterns {
    Patterns::new(patterns).unwrap()
}

#[test]
fn a_restored_tree_is_as_the_original_and_as_restics() {
    let Some(pair) = Pair::new() else { return };
    let (ours, _, done) = pair.compare("whole", "", &[], |options| options.reconcile = Reconcile::Fail, |_| {});
    assert_deep(&deep(&pair.house.tree()), &deep(&ours), "the original");
    assert_eq!(done.rights_left_out, 0);
    let (ours, theirs, _) = pair.compare("sparse", "", &["--sparse"], |options| options.sparse = true, |_| {});
    for name in ["special/holes", "special/zeros"] {
        let (ours, theirs) = (disk_bytes(&ours.join(name)), disk_bytes(&theirs.join(name)));
        assert!(ours <= theirs && ours < 300_000, "{name}: {ours} and {theirs}");
    }
}

#[test]
fn what_is_asked_for_is_what_restic_takes() {
    let Some(pair) = Pair::new() else { return };
    pair.compare("sub", "/deep/a/b", &[], |_| {}, |_| {});
    for (at, asked) in [
        &["mode-*"][..],
        &["/deep/a/b"],
        &["/deep/*/b", "*.txt"],
        &["**/inside", "/special/[a-c]*"],
        &["/nothing"],
        &["/deep/a", "!/deep/a/b"],
        &["j/file"],
        &["été", "bad*"],
    ]
    .into_iter()
    .enumerate()
    {
        for (word, sort) in [("--include", "in"), ("--exclude", "ex")] {
            let arguments: Vec<&str> = asked.iter().flat_map(|pattern| [word, pattern]).collect();
            let set = |options: &mut RestoreOptions<'_>| match sort {
                "in" => options.include = patterns(asked),
                _ => options.exclude = patterns(asked),
            };
            pair.compare(&format!("{sort}-{at}"), "", &arguments, set, |_| {});
        }
    }
}

/// Puts things in the way of a restore. `whole` says whether folders are barred too, which restic clears always.
fn mess(target: &Path, outside: &Path, whole: bool) {
    let write = |name: &str, text: &[u8]| fs::write(target.join(name), text).unwrap();
    write("mine", b"not of the snapshot");
    tree::set_time(&target.join("mine"), 1_100_000_000, 0);
    write("mode-644", b"other and longer than it was");
    tree::set_time(&target.join("mode-644"), 1_000_000_000, 0);
    write("time-ns", b"time-ns");
    tree::set_time(&target.join("time-ns"), 1_600_000_000, 123_456_789);
    write("time-late", b"different");
    tree::set_time(&target.join("time-late"), 4_102_444_800, 1);
    write("owner-1", b"newer!");
    tree::set_time(&target.join("owner-1"), 4_200_000_000, 0);
    rustix::fs::lsetxattr(target.join("owner-1"), "user.mine", b"1", XattrFlags::empty()).unwrap();
    fs::create_dir(target.join("mode-755")).unwrap();
    symlink(outside.join("file"), target.join("mode-600")).unwrap();
    symlink("elsewhere", target.join("link-up")).unwrap();
    fs::hard_link(outside.join("file"), target.join("mode-400")).unwrap();
    fs::create_dir_all(target.join("special")).unwrap();
    write("special/fifo", b"no fifo");
    write("special/b-other", b"a file of its own");
    write("special/zeros", &vec![7; 3 << 20]);
    tree::set_time(&target.join("special/zeros"), 1_000_000_000, 0);
    for (name, seconds) in [
        ("link-up", 1_000_000_000),
        ("mode-600", 4_200_000_000),
        ("mode-755", 1_000_000_000),
        ("special/b-other", 4_200_000_000),
        ("special/fifo", 1_000_000_000),
    ] {
        tree::set_time(&target.join(name), seconds, 0);
    }
    if whole {
        symlink(outside, target.join("empty")).unwrap();
        symlink(outside, target.join("deep")).unwrap();
        write("folder-755", b"a file at the place of a folder");
    }
}

#[test]
fn what_is_there_is_met_as_restic_meets_it() {
    let Some(pair) = Pair::new() else { return };
    for (word, reconcile, whole) in [
        ("always", Reconcile::Overwrite, true),
        ("if-changed", Reconcile::OverwriteIfChanged, true),
        ("if-newer", Reconcile::OverwriteIfNewer, false),
        ("never", Reconcile::Skip, false),
    ] {
        for sparse in [false, true] {
            let outside = pair.folder(&format!("outside-{word}-{sparse}"));
            fs::create_dir(&outside).unwrap();
            fs::write(outside.join("file"), b"nobody writes here").unwrap();
            let mut arguments = vec!["--overwrite", word];
            arguments.extend(sparse.then_some("--sparse"));
            let set = |options: &mut RestoreOptions<'_>| (options.reconcile, options.sparse) = (reconcile, sparse);
            let name = format!("{word}-{sparse}");
            let (ours, _, _) = pair.compare(&name, "", &arguments, set, |target| mess(target, &outside, whole));
            assert_eq!(fs::read(ours.join("mine")).unwrap(), b"not of the snapshot");
            assert_eq!(fs::read(outside.join("file")).unwrap(), b"nobody writes here", "{name}");
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{name}");
            if sparse && word == "always" {
                assert!(disk_bytes(&ours.join("special/zeros")) < 100_000);
            }
        }
    }
}

#[test]
fn what_may_lend_rights_is_made_when_it_is_asked_for() {
    let Some(pair) = Pair::new() else { return };
    let target = pair.folder("humble");
    let sub_path = pair.tree.as_bytes();
    let options = RestoreOptions { sub_path, ..RestoreOptions::new(&pair.hex, &target) };
    let done = restore(&pair.house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    let named: Vec<&str> = done.unread.entries.iter().map(|entry| &*entry.path).collect();
    assert_eq!(named, ["/special/block", "/special/char"]);
    let mut expected = deep(&pair.house.tree());
    let mut left_out = 0;
    for line in expected.values_mut() {
        for (with, without) in [
            ("104755 ", "100755 "),
            ("106711 ", "100711 "),
            ("042755 ", "40755 "),
            ("102755 ", "100755 "),
            ("42755 ", "40755 "),
            ("44755 ", "40755 "),
            ("46711 ", "40711 "),
        ] {
            if line.starts_with(with) {
                *line = line.replacen(with, without, 1);
                left_out += 1;
            }
        }
        if line.contains("security.capability") {
            left_out += 1;
            let at = line.find("\"security.capability\"").unwrap();
            let end = at + line[at..].find("], ").unwrap() + 3;
            line.replace_range(at..end, "");
        }
    }
    expected.retain(|path, _| !matches!(&path[..], b"special/block" | b"special/char"));
    assert_deep(&expected, &deep(&target), "without rights");
    assert_eq!(done.rights_left_out, left_out);
    assert_eq!(pair.id.to_hex(), pair.hex);
}
