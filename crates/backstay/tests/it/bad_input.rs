//! Bad input: a clear message with the next step, the right exit code, and nothing half-made.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{BINARY, Place, Ran, is_root, make_tree, noise};

/// Asserts how a command ended: its exit code, words of its message, and that it says what to do next.
fn check(ran: &Ran, code: i32, words: &str) {
    assert_eq!(ran.code, Some(code), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains(words), "{}", ran.err);
    assert!(ran.err.contains("next: "), "{}", ran.err);
}

#[test]
fn a_folder_that_cannot_be_one() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.path("file"), "x").unwrap();
    let run = |folder: &str, data: &str| {
        let (folder, data) = (place.path(folder), place.path(data));
        place.run(&["quickstart", folder.to_str().unwrap(), "--data-dir", data.to_str().unwrap()])
    };
    check(&run("missing", "data"), 20, "does not exist");
    check(&run("file", "data"), 20, "is not a folder");
    check(&run("source", "source/data"), 20, "contains the data directory");
    check(&run("source", "source"), 20, "contains the data directory");
    assert!(!place.path("data").exists() && !place.path("source/data").exists(), "nothing was made");
    check(&place.run(&["job", "list"]), 20, "there is no installation in");
}

#[test]
fn a_path_that_is_no_text() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    let odd = place.path("").join(OsStr::from_bytes(b"odd-\xff"));
    let source = place.source();
    let mut command = place.command(&["quickstart", source.to_str().unwrap(), "--data-dir"]);
    check(&Ran::of(command.arg(&odd)), 20, "is not valid UTF-8");
    assert_eq!(place.quickstart().code, Some(0));
    let list = place.json(&["snapshot", "list"]);
    let mut command = place.command(&["snapshot", "restore", list["rows"][0]["id"].as_str().unwrap(), "--target"]);
    check(&Ran::of(command.arg(&odd)), 20, "is not valid UTF-8");
    let left: Vec<_> = std::fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing was made: {left:?}");
}

#[test]
fn a_folder_that_may_not_be_read() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::set_permissions(place.source(), PermissionsExt::from_mode(0o000)).unwrap();
    let binary = place.path("backstay");
    std::fs::copy(BINARY, &binary).unwrap();
    let mut command = Command::new(&binary);
    command.args(["quickstart".as_ref(), place.source().as_os_str()]).env("BACKSTAY_DATA_DIR", place.data());
    if rustix::process::geteuid().is_root() {
        std::fs::set_permissions(place.path("."), PermissionsExt::from_mode(0o777)).unwrap();
        command.uid(65_534).gid(65_534);
    }
    check(&Ran::of(&mut command), 20, "cannot be read");
    assert!(!place.data().exists());
    std::fs::set_permissions(place.source(), PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn a_data_directory_of_a_newer_version() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let script = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); \
                  c.execute(\"insert into seaql_migrations values ('m99990101_000001_future', 1)\"); c.commit()";
    let database = place.data().join("backstay.sqlite");
    let changed = Ran::of(Command::new("python3").args(["-c", script]).arg(&database));
    assert_eq!(changed.code, Some(0), "{}", changed.err);
    let before = std::fs::read(&database).unwrap();
    check(&place.quickstart(), 22, "newer");
    check(&place.run(&["job", "list"]), 22, "newer");
    assert_eq!(std::fs::read(&database).unwrap(), before, "nothing was changed");
}

#[test]
fn a_data_directory_that_was_copied() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let copy = place.path("copy");
    assert_eq!(Ran::of(Command::new("cp").arg("-a").args([place.data(), copy.clone()])).code, Some(0));
    let (source, copy) = (place.source(), copy.to_str().unwrap().to_owned());
    let ran = place.run(&["quickstart", source.to_str().unwrap(), "--data-dir", &copy]);
    check(&ran, 20, "is not in this data directory");
}

#[test]
fn a_second_run_at_the_same_moment() {
    let place = Place::new();
    make_tree(&place.source(), 1);
    std::fs::write(place.source().join("more"), noise(9, 60 << 20)).unwrap();
    let source = place.source();
    let mut first = place
        .command(&["quickstart", source.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&place.data().join("server.json"));
    let second = place.quickstart();
    check(&second, 21, &format!("(process {})", first.id()));
    // A look goes to the process that works there.
    let began = Instant::now();
    while place.json(&["job", "list"])["rows"].as_array().unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(30), "the first run asked for no job");
    }
    assert!(first.wait().unwrap().success());
}

#[test]
fn a_full_disk_is_named_and_the_next_run_completes() {
    if !is_root("a full disk") {
        return;
    }
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("much"), noise(7, 60 << 20)).unwrap();
    std::fs::create_dir(place.data()).unwrap();
    let data = place.data();
    let disk = Disk::mount(&data, "size=24m");
    let ran = place.quickstart();
    check(&ran, 23, "is full");
    assert!(ran.err.contains("Free some space"), "{}", ran.err);
    let jobs = place.json(&["job", "list"]);
    assert_eq!(
        (&jobs["rows"][0]["state"], &jobs["rows"][0]["failure_class"]),
        (&"failed".into(), &"storage_full".into())
    );
    disk.remount("size=200m");
    assert_eq!(place.quickstart().code, Some(0));
}

/// A file system in memory, gone with the test.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(path: &'a Path, options: &str) -> Self {
        let ran = Ran::of(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        Self(path)
    }

    fn remount(&self, options: &str) {
        let ran = Ran::of(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.0));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        Ran::of(Command::new("umount").arg("-l").arg(self.0));
    }
}

/// Waits until a file is there.
fn wait_for(path: &Path) {
    let began = Instant::now();
    while !path.exists() {
        assert!(began.elapsed() < Duration::from_secs(30), "{} did not appear", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}
