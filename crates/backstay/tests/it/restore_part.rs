//! Restores through the command line: parts of a snapshot, over what is there, with and without what lends rights.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{Place, Ran};

/// Returns where a path of the source lies below a target.
fn below(place: &Place, target: &Path, name: &str) -> std::path::PathBuf {
    target.join(place.source().strip_prefix("/").unwrap()).join(name)
}

fn said(ran: &Ran) -> String {
    format!("{:?} {}{}", ran.code, ran.out, ran.err)
}

#[test]
fn a_part_is_restored_as_it_is_asked_for() {
    let place = Place::new();
    for folder in ["etc", "home/ada"] {
        fs::create_dir_all(place.source().join(folder)).unwrap();
    }
    for (name, text) in [("etc/hosts", "localhost"), ("etc/motd", "hello"), ("home/ada/notes", "first")] {
        fs::write(place.source().join(name), text).unwrap();
    }
    let lends = place.source().join("etc/lends");
    fs::write(&lends, "rights").unwrap();
    fs::set_permissions(&lends, fs::Permissions::from_mode(0o4755)).unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let list = place.json(&["snapshot", "list"]);
    let id = list["rows"][0]["id"].as_str().unwrap();
    let restore = |target: &Path, more: &[&str]| {
        place.run(&[&["snapshot", "restore", id, "--target", target.to_str().unwrap()], more].concat())
    };

    // One file, by a pattern; nothing else is made.
    let one = place.path("one");
    let ran = restore(&one, &["--include", "hosts", "--verify"]);
    assert_eq!(ran.code, Some(0), "{}", said(&ran));
    assert_eq!(fs::read_to_string(below(&place, &one, "etc/hosts")).unwrap(), "localhost");
    assert!(!below(&place, &one, "etc/motd").exists() && !below(&place, &one, "home").exists());

    // A folder of it, straight to the target, without what is left out.
    let folder = place.path("folder");
    let path = place.source().join("etc");
    let ran = restore(&folder, &["--path", path.to_str().unwrap(), "--exclude", "mo*"]);
    assert_eq!(ran.code, Some(0), "{}", said(&ran));
    assert!(folder.join("hosts").exists() && !folder.join("motd").exists());
    // What lends rights is made only when it is asked for.
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&folder.join("lends")), 0o755);
    let whole = place.path("whole");
    assert_eq!(restore(&whole, &["--special"]).code, Some(0));
    assert_eq!(mode(&below(&place, &whole, "etc/lends")), 0o4755);
    assert_eq!(fs::read_to_string(below(&place, &whole, "home/ada/notes")).unwrap(), "first");

    // What is there is met as it is asked for; by default it is an error before a byte is written.
    let hosts = below(&place, &whole, "etc/hosts");
    fs::write(&hosts, "mine").unwrap();
    let ran = restore(&whole, &[]);
    assert!(ran.code != Some(0) && said(&ran).contains("is not empty"), "{}", said(&ran));
    assert_eq!(restore(&whole, &["--reconciliation", "skip"]).code, Some(0));
    assert_eq!(fs::read_to_string(&hosts).unwrap(), "mine");
    assert_eq!(restore(&whole, &["--reconciliation", "rename"]).code, Some(0));
    assert_eq!(fs::read_to_string(hosts.with_file_name("hosts.restored")).unwrap(), "localhost");
    assert_eq!(fs::read_to_string(&hosts).unwrap(), "mine");
    assert_eq!(restore(&whole, &["--reconciliation", "overwrite_if_changed"]).code, Some(0));
    assert_eq!(fs::read_to_string(&hosts).unwrap(), "localhost");

    // What cannot be done says so, and what to do.
    let refused = |more: &[&str], words: &str| {
        let ran = restore(&place.path("none"), more);
        assert!(ran.code != Some(0) && said(&ran).contains(words), "{more:?}: {}", said(&ran));
    };
    refused(&["--include", "host"], "nothing in the snapshot matches");
    refused(&["--include", "[a"], "[a");
    refused(&["--include", " "], "include");
    refused(&["--path", "/no/such/folder"], "/no/such/folder");
    refused(&["--reconciliation", "mirror"], "reconciliation");
    refused(&["--reconciliation", "replace"], "reconciliation");
    assert!(!place.path("none").join("etc").exists());
}
