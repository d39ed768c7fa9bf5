//! The main job: a folder is protected, proved, restored, and understood by plain restic.

use std::path::Path;
use std::process::Command;

use crate::support::{Place, Ran, assert_same_tree, make_tree, restics};

#[test]
fn a_folder_is_protected_and_plain_restic_agrees() {
    let place = Place::new();
    make_tree(&place.source(), 1);
    let first = place.json(&["quickstart", place.source().to_str().unwrap()]);
    let files = first["backup"]["job"]["counts"]["files"].as_u64().unwrap();
    assert_eq!(first["backup"]["job"]["outcome"], "complete");
    assert_eq!(first["evidence"]["verdict"], "proved");
    assert_eq!(files, 90);
    let evidence = first["evidence"]["file"].as_str().unwrap();
    // Fewer than 200 files: all are read back and compared but one of the two large ones, which one is enough for.
    assert!(evidence.contains("files_read 89\n") && evidence.contains("files_compared 89\n"), "{evidence}");
    for class in ["empty", "tiny", "small", "medium", "large", "huge"] {
        assert!(evidence.contains(&format!("class {class} ")), "{evidence}");
    }
    for restic in restics() {
        place.restic(&restic, &["check", "--read-data"]);
        let target = place.path("by-restic");
        place.restic(&restic, &["restore", "latest", "--target", target.to_str().unwrap()]);
        assert_same_tree(&place.source(), &below(&target, &place.source()));
        std::fs::remove_dir_all(&target).unwrap();
    }
}

#[test]
fn a_second_run_reads_nothing_again_and_a_change_is_seen() {
    let place = Place::new();
    make_tree(&place.source(), 1);
    place.json(&["quickstart", place.source().to_str().unwrap()]);
    let second = place.json(&["quickstart", place.source().to_str().unwrap()]);
    let job = &second["backup"]["job"];
    assert_eq!((&job["outcome"], &job["counts"]["files_unmodified"]), (&"unchanged".into(), &90.into()));
    // Of the source nothing is new; the folders above it, of which other tests change the times, are a few hundred bytes.
    assert!(job["counts"]["bytes_added"].as_u64().unwrap() < 4_096, "{job}");
    assert_eq!(second["repository"]["name"], "local");
    std::fs::write(place.source().join("one"), "two").unwrap();
    std::fs::remove_file(place.source().join("folder-0/inner/text-3")).unwrap();
    std::fs::write(place.source().join("new"), "new").unwrap();
    let third = place.json(&["quickstart", place.source().to_str().unwrap()]);
    let counts = &third["backup"]["job"]["counts"];
    assert_eq!((&counts["files"], &counts["files_unmodified"]), (&90.into(), &88.into()));
    assert_eq!(third["evidence"]["sequence"], 3);
    let target = place.path("restored");
    let id = third["snapshot"]["id"].as_str().unwrap();
    place.json(&["snapshot", "restore", id, "--target", target.to_str().unwrap()]);
    assert_same_tree(&place.source(), &below(&target, &place.source()));
    let first = place.json(&["snapshot", "list"])["rows"][2]["foreign_id"].as_str().unwrap()[..8].to_owned();
    let target = place.path("restored-first");
    place.json(&["snapshot", "restore", &first, "--target", target.to_str().unwrap()]);
    let old = below(&target, &place.source());
    assert_eq!(std::fs::read_to_string(old.join("one")).unwrap(), "1");
    assert!(old.join("folder-0/inner/text-3").exists() && !old.join("new").exists());
}

/// Makes a file with an attribute that restic's trees cannot name, so that something of it stays unread also for root.
pub(crate) fn half_readable(path: &Path) {
    std::fs::write(path, "a").unwrap();
    rustix::fs::setxattr(path, c"user.\xff", b"x", rustix::fs::XattrFlags::empty()).unwrap();
}

#[test]
fn what_could_not_be_read_is_named_and_never_green() {
    let place = Place::new();
    make_tree(&place.source(), 1);
    let odd = place.source().join("folder-1/odd");
    half_readable(&odd);
    let ran = place.quickstart();
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.out.contains("NOT READ   1 entries") && ran.out.contains(odd.to_str().unwrap()), "{}", ran.out);
    let jobs = place.json(&["job", "list", "--kind", "backup"]);
    assert_eq!(jobs["rows"][0]["outcome"], "partial");
    let shown = place.json(&["job", "show", jobs["rows"][0]["id"].as_str().unwrap()]);
    assert_eq!(shown["unread"]["entries"][0]["path"], odd.to_str().unwrap());
    // What was read is not read again, although that snapshot is no good one.
    assert_eq!(place.quickstart().code, Some(3));
    let jobs = place.json(&["job", "list", "--kind", "backup"]);
    assert_eq!(jobs["rows"][0]["counts"]["files_unmodified"], jobs["rows"][0]["counts"]["files"]);
}

#[test]
fn names_reach_the_terminal_without_what_it_would_obey() {
    let place = Place::new();
    let source = place.path("odd\x1b[2J\nProved");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file\x1b[1A\u{202e}"), "a").unwrap();
    half_readable(&source.join("a\x1b]0;pwn\x07\nProved"));
    let folder = source.to_str().unwrap();
    let ran = place.run(&["quickstart", folder]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.out.contains("a\\u{1b}]0;pwn\\u{7}\\nProved: "), "{}", ran.out);
    let forged = |text: &str| text.lines().filter(|line| line.starts_with("Proved")).count();
    assert_eq!((forged(&ran.out), forged(&ran.err)), (1, 0), "{}{}", ran.out, ran.err);
    let tame = |ran: &Ran| {
        let obeyed = |letter: char| letter != '\n' && letter.is_control() || letter == '\u{202e}';
        assert!(!ran.out.contains(obeyed) && !ran.err.contains(obeyed), "{ran:?}");
    };
    tame(&ran);
    let (id, job) = (
        place.json(&["snapshot", "list"])["rows"][0]["id"].as_str().unwrap().to_owned(),
        place.json(&["job", "list", "--kind", "backup"])["rows"][0]["id"].as_str().unwrap().to_owned(),
    );
    for verb in [
        vec!["job", "show", &job],
        vec!["snapshot", "ls", &id, folder],
        vec!["snapshot", "list"],
        vec!["source", "list"],
        vec!["event", "list"],
    ] {
        let ran = place.run(&verb);
        assert_eq!((ran.code, forged(&ran.out)), (Some(0), 0), "{verb:?}: {ran:?}");
        tame(&ran);
    }
    let missing = place.run(&["quickstart", &format!("{folder}/\x1b[2J\nProved")]);
    assert_eq!((missing.code, forged(&missing.err)), (Some(20), 0), "{missing:?}");
    tame(&missing);
    // JSON has escapes of its own and keeps every letter.
    let listed = place.json(&["snapshot", "ls", &id, folder]);
    let names: Vec<_> = listed["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a\x1b]0;pwn\x07\nProved", "file\x1b[1A\u{202e}"]);
}

#[test]
fn harm_in_the_repository_is_found_and_said() {
    let place = Place::new();
    make_tree(&place.source(), 1);
    assert_eq!(place.quickstart().code, Some(0));
    let packs = Ran::of(
        Command::new("find").arg(place.data().join("repositories/local/data")).args(["-type", "f", "-size", "+1M"]),
    );
    let pack = packs.out.lines().next().unwrap();
    let mut bytes = std::fs::read(pack).unwrap();
    bytes[1_000] ^= 1;
    std::fs::remove_file(pack).unwrap();
    std::fs::write(pack, bytes).unwrap();
    let ran = place.quickstart();
    assert_eq!(ran.code, Some(24), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("DAMAGED"), "{}", ran.out);
    let evidence = place.json(&["evidence", "list"]);
    assert_eq!(
        (&evidence["rows"][0]["verdict"], &evidence["rows"][1]["verdict"]),
        (&"damaged".into(), &"proved".into())
    );
}

#[test]
fn evidence_is_checked_without_a_server() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    let made = place.json(&["quickstart", place.source().to_str().unwrap()]);
    let shown = place.run(&["evidence", "show", made["evidence"]["id"].as_str().unwrap()]);
    let (file, elsewhere) = (place.path("record"), place.path("elsewhere"));
    let elsewhere = elsewhere.to_str().unwrap();
    std::fs::write(&file, &shown.out).unwrap();
    let verify =
        |key: &str| place.run(&["evidence", "verify", file.to_str().unwrap(), "--key", key, "--data-dir", elsewhere]);
    let key = made["evidence"]["public_key"].as_str().unwrap();
    assert_eq!(verify(key).code, Some(0));
    assert_eq!(verify(&"0".repeat(64)).code, Some(24));
    std::fs::write(&file, shown.out.replace("files_total 1", "files_total 2")).unwrap();
    assert_eq!(verify(key).code, Some(24));
}

/// Returns where restic's layout puts a source below a target.
fn below(target: &Path, source: &Path) -> std::path::PathBuf {
    target.join(source.strip_prefix("/").unwrap())
}
