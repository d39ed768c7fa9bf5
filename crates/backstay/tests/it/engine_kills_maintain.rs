//! Maintenance of `backstay engine` whose process is killed with its first, second … change of the repository: what was good
//! stays good, and the next run completes. The engine's own tests let it die at each call of a storage; here it is a process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::engine_support::{PASSWORD, Repo};
use crate::support::{Ran, noise};

/// Kills of each verb, each one change later than the one before.
const KILLS: usize = 4;

/// Kills in turn that may come after the first change's verb has ended.
const TOO_LATE_MAX: usize = 20;

/// Adds all files below a folder, but for locks.
fn files_below(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true if path.ends_with("locks") => {}
            true => files_below(&path, found),
            false => drop(found.insert(path)),
        }
    }
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    files_below(folder, &mut found);
    found
}

fn succeeded(context: &str, ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{context}: {}{}", ran.out, ran.err);
}

/// A repository of two snapshots with enough packs that each verb changes several files.
fn two_snapshots() -> Repo {
    let repo = Repo::new();
    repo.make_source();
    for file in 0..4 {
        std::fs::write(repo.place.source().join(format!("noise-{file}.bin")), noise(file + 10, 6 << 20)).unwrap();
        repo.backup(&[]);
    }
    repo.change_source();
    std::fs::remove_file(repo.place.source().join("noise-0.bin")).unwrap();
    repo.backup(&[]);
    repo
}

/// Kills a verb at its n-th change of `target`, for several n, each time from the same beginning; then lets it run to its end.
/// `but` are the names that the verb takes out of snapshots.
fn killed(repo: &Repo, target: &Repo, words: &[&str], was_whole: bool, but: Option<&str>) {
    let (place, template) = (target.path(), target.place.path("template"));
    succeeded("a copy", &Ran::of(Command::new("cp").arg("-a").arg(&place).arg(&template)));
    let command = || {
        let mut command = target.command(words);
        if target.path() != repo.path() {
            command.arg("--from-repo").arg(repo.path()).env("RESTIC_FROM_PASSWORD", PASSWORD);
        }
        command
    };
    let (mut kill, mut too_late) = (1, 0);
    while kill <= KILLS {
        std::fs::remove_dir_all(&place).unwrap();
        succeeded("a copy", &Ran::of(Command::new("cp").arg("-a").arg(&template).arg(&place)));
        let before = files(&place);
        let mut child = command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let ended = loop {
            if files(&place).symmetric_difference(&before).count() >= kill {
                child.kill().unwrap();
                break child.wait().unwrap();
            }
            if let Some(ended) = child.try_wait().unwrap() {
                break ended;
            }
        };
        let changed = files(&place).symmetric_difference(&before).count();
        let context = format!("{words:?} killed at change {kill} of {changed}, {ended}");
        assert!(changed > 0, "{context}: it did nothing");
        if let (true, Some(ran)) = (was_whole, target.theirs(&["check", "--no-lock", "--read-data"])) {
            succeeded(&context, &ran);
        }
        succeeded(&context, &Ran::of(&mut command()));
        succeeded(&context, &target.ours(&["check", "--read-data"]));
        if let Some(ran) = target.theirs(&["check", "--read-data"]) {
            succeeded(&context, &ran);
        }
        let out = target.place.path("out");
        let _ = std::fs::remove_dir_all(&out);
        succeeded(&context, &target.ours(&["restore", "latest:/source", "--target", "out"]));
        let mut compare = Command::new("diff");
        compare.arg("-r").args(but.map(|name| format!("--exclude={name}"))).arg(repo.place.source()).arg(&out);
        succeeded(&context, &Ran::of(&mut compare));
        match ended.success() {
            false => kill += 1,
            true if kill > 1 => return,
            // It was done before this process had its turn: the same once more.
            true => too_late += 1,
        }
        assert!(too_late < TOO_LATE_MAX, "{context}: it was never killed");
    }
}

#[test]
fn a_prune() {
    let repo = two_snapshots();
    succeeded("forget", &repo.ours(&["forget", "--keep-last", "1"]));
    let prune = ["prune", "--grace", "0s", "--max-unused", "0%"];
    killed(&repo, &repo, &prune, true, None);
}

#[test]
fn a_rewrite() {
    let repo = two_snapshots();
    killed(&repo, &repo, &["rewrite", "--exclude", "noise-1.bin", "--forget"], true, Some("noise-1.bin"));
}

#[test]
fn a_repair_of_the_index() {
    let repo = two_snapshots();
    files(&repo.path().join("index")).iter().for_each(|path| std::fs::remove_file(path).unwrap());
    killed(&repo, &repo, &["repair", "index"], false, None);
}

#[test]
fn a_copy() {
    let (repo, target) = (two_snapshots(), Repo::empty());
    let mut made = target.command(&["init", "--copy-chunker-params"]);
    made.arg("--from-repo").arg(repo.path()).env("RESTIC_FROM_PASSWORD", PASSWORD);
    succeeded("init", &Ran::of(&mut made));
    killed(&repo, &target, &["copy"], true, None);
}
