//! `backstay engine` and restic 0.19 say the same of the same repository, called with the same words.

use std::process::Command;

use serde_json::Value;

use crate::engine_support::{Repo, lines, redacted};

/// Asserts that both print the same JSON and end with the same code.
fn check(repo: &Repo, arguments: &[&str]) {
    let ours = repo.ours(&[arguments, &["--json"]].concat());
    let Some(theirs) = repo.theirs(&[arguments, &["--json"]].concat()) else { return };
    assert_eq!(ours.code, theirs.code, "{arguments:?}\nours: {}\ntheirs: {}", ours.err, theirs.err);
    let (said, expected) = (redacted(lines(&ours.out)), redacted(lines(&theirs.out)));
    assert_eq!(said, expected, "{arguments:?}");
}

/// A repository with four snapshots of two hosts, made by both programs.
fn repository() -> Option<(Repo, [String; 2])> {
    let repo = Repo::new();
    repo.make_source();
    let first = repo.backup(&["--host", "h1", "--tag", "a,b", "--time", "2026-01-01 10:00:00"]);
    repo.change_source();
    let second = repo.backup(&["--host", "h1", "--tag", "c", "--time", "2026-01-01 11:00:00"]);
    repo.theirs(&["backup", "source", "--host", "h2", "--time", "2026-01-03 11:00:00"])?;
    repo.theirs(&["backup", "source/sub", "--host", "h1", "--time", "2026-02-01 11:00:00"])?;
    Some((repo, [first, second]))
}

#[test]
fn snapshots_are_listed_and_chosen_the_same() {
    let Some((repo, [first, second])) = repository() else { return };
    let both = [first.as_str(), second.as_str()];
    check(&repo, &["snapshots"]);
    check(&repo, &["snapshots", both[0], "latest", &both[1][..8], "nosuch"]);
    for words in [
        &["--host", "h2"][..],
        &["--tag", "a"],
        &["--tag", "a,b"],
        &["--tag", "a,c"],
        &["--tag", "a", "--tag", "c"],
        &["--tag", ""],
        &["--path", "source"],
        &["--latest", "1"],
        &["--group-by", "host"],
        &["--group-by", "host,paths,tags"],
    ] {
        // restic takes a path here as it was typed, so it is given whole.
        let path = repo.place.source();
        let words = words.iter().map(|word| if *word == "source" { path.to_str().unwrap() } else { *word });
        check(&repo, &std::iter::once("snapshots").chain(words).collect::<Vec<_>>());
    }
}

#[test]
fn contents_are_listed_the_same() {
    let Some((repo, [first, _])) = repository() else { return };
    let first = first.as_str();
    let sub = format!("{first}:/source/sub");
    for words in [
        &[first][..],
        &["latest"],
        &["latest", "--host", "h2"],
        &[&sub],
        &[first, "/source/sub"],
        &[first, "/source/sub", "--recursive"],
        &[first, "--sort", "size"],
        &[first, "--sort", "size", "--reverse"],
        &[first, "--sort", "extension"],
        &[first, "--reverse"],
        &["nosuch"],
        &["latest:/nothing"],
        &[first, "relative"],
    ] {
        check(&repo, &[&["ls"][..], words].concat());
    }
}

#[test]
fn entries_and_objects_are_found_the_same() {
    let Some((repo, [first, _])) = repository() else { return };
    let tree = repo.ours(&["cat", "tree", &format!("{first}:/source")]).out;
    let tree: Value = serde_json::from_str(&tree).unwrap();
    let node = |name: &str| tree["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name).unwrap().clone();
    let (blob, subtree) = (node("a.txt")["content"][0].clone(), node("sub")["subtree"].clone());
    let (blob, subtree) = (blob.as_str().unwrap(), subtree.as_str().unwrap());
    let index = repo.place.path("repository/data");
    let pack =
        std::fs::read_dir(index).unwrap().flatten().find_map(|folder| std::fs::read_dir(folder.path()).unwrap().next());
    let pack = pack.unwrap().unwrap().file_name().into_string().unwrap();
    for words in [
        &["a.txt", "new"][..],
        &["b*", "--reverse"],
        &["DEEP", "-i"],
        &["/source/sub/**/b*"],
        &["nothing"],
        &["*", "--newest", "2000-01-01"],
        &["*", "--oldest", "2000-01-01", "--host", "h2"],
        &["a.txt", "--snapshot", &first],
        &["--blob", blob],
        &["--blob", &blob[..8]],
        &["--blob", "00000000"],
        &["--tree", subtree],
        &["--pack", &pack],
    ] {
        check(&repo, &[&["find"][..], words].concat());
    }
}

#[test]
fn differences_are_the_same() {
    let Some((repo, [first, second])) = repository() else { return };
    let [sub, all] = [format!("{first}:/source/sub"), format!("{second}:/source")];
    check(&repo, &["diff", &first, &second]);
    check(&repo, &["diff", &second, &first]);
    check(&repo, &["diff", &first, &second, "--metadata"]);
    check(&repo, &["diff", &sub, &all]);
    check(&repo, &["diff", &first, &first]);
    check(&repo, &["diff", &first, "nosuch"]);
}

#[test]
fn statistics_are_the_same() {
    let Some((repo, [first, _])) = repository() else { return };
    for mode in ["restore-size", "files-by-contents", "blobs-per-file", "raw-data"] {
        check(&repo, &["stats", "--mode", mode]);
        check(&repo, &["stats", "--mode", mode, &first]);
    }
    check(&repo, &["stats", "--host", "nobody"]);
}

#[test]
fn the_same_is_forgotten_for_the_same_reasons() {
    let Some((repo, [first, _])) = repository() else { return };
    for words in [
        &["--keep-last", "1"][..],
        &["--keep-last", "1", "--group-by", ""],
        &["--keep-hourly", "1", "--keep-daily", "7", "--keep-weekly", "1"],
        &["--keep-monthly", "unlimited", "--group-by", "host"],
        &["--keep-within", "10d", "--group-by", "host"],
        &["--keep-within-daily", "2m", "--group-by", ""],
        &["--keep-yearly", "3", "--host", "h1"],
        &["--keep-tag", "a", "--tag", "a"],
        &["--keep-tag", "nosuch"],
        &[],
        &[&first],
    ] {
        check(&repo, &[&["forget", "--dry-run"][..], words].concat());
    }
}

#[test]
fn a_backup_and_a_restore_are_summed_up_the_same() {
    let repo = Repo::new();
    repo.make_source();
    // Of a second name for the same file restic counts no bytes, and an empty file that is there already it counts as
    // skipped; we count the bytes, and set the file right.
    for name in ["hard", "empty"] {
        std::fs::remove_file(repo.place.source().join(name)).unwrap();
    }
    let keys = |ran: &str| {
        let last = lines(ran).pop().unwrap();
        last.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let ours = repo.ours(&["backup", "source", "--json"]);
    let Some(theirs) = repo.theirs(&["backup", "source", "--json"]) else { return };
    assert_eq!(keys(&ours.out), keys(&theirs.out));
    // Theirs after ours: nothing is new, because blobs and trees are the same.
    let theirs = lines(&theirs.out).pop().unwrap();
    assert_eq!((&theirs["data_blobs"], &theirs["tree_blobs"]), (&0.into(), &0.into()), "{theirs}");
    check(&repo, &["backup", "source", "--force"]);
    let into = |ran: &dyn Fn(&[&str]) -> String, name: &str| ran(&["restore", "latest", "--target", name, "--json"]);
    let by_ours = |words: &[&str]| repo.ours(words).out;
    let by_theirs = |words: &[&str]| repo.theirs(words).unwrap().out;
    for (round, shown) in [("fresh", 5), ("again", 5)] {
        let (ours, theirs) = (into(&by_ours, "one"), into(&by_theirs, "two"));
        let (ours, theirs) = (redacted(lines(&ours)).pop().unwrap(), redacted(lines(&theirs)).pop().unwrap());
        assert_eq!(ours, theirs, "{round}");
        assert!(ours.as_object().unwrap().len() >= shown, "{ours}");
    }
    let diff =
        Command::new("diff").args(["-r", "--no-dereference", "one", "two"]).current_dir(repo.place.path(".")).output();
    assert_eq!(String::from_utf8_lossy(&diff.unwrap().stdout), "");
}
