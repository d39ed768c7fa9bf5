//! What cannot be read is counted and named, and what went away is no error.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backstay_engine::archive::options::ArchiveOptions;
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use backstay_testkit::fakes::storage::{Call, Harm};

use super::house::{House, backup, options};
use super::tree;

#[test]
fn what_went_away_while_we_read_is_not_saved_and_no_error() {
    let (house, storage) = House::fake();
    for folder in ["a", "z"] {
        fs::create_dir(house.tree().join(folder)).unwrap();
    }
    fs::write(house.tree().join("a/large"), tree::noise(1, 90 << 20)).unwrap();
    fs::write(house.tree().join("a/goes"), b"x").unwrap();
    fs::write(house.tree().join("z/goes too"), b"x").unwrap();
    storage.harm_all(Call::Put, Harm::Wait(Duration::from_millis(150)));
    let (progress, interrupt) = (EngineProgress::default(), Interrupt::default());
    // One worker: it is in the large file of the first folder when the rest goes away.
    let options = ArchiveOptions { workers: 1, uploads: 1, ..options(&house.tree(), None) };
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while progress.bytes_done.load(Ordering::Relaxed) < 1 << 20 {
                std::thread::yield_now();
            }
            fs::remove_file(house.tree().join("a/goes")).unwrap();
            fs::remove_dir_all(house.tree().join("z")).unwrap();
        });
        backup(&house.repository, &options, &progress, &interrupt).unwrap()
    });
    assert!(done.unread.is_empty(), "{:?}", done.unread);
    storage.heal();
    let (_, place) = house.restore(&done.id);
    let names =
        |path: &Path| -> Vec<_> { fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect() };
    assert_eq!((names(&place), names(&place.join("a"))), (vec!["a".into()], vec!["large".into()]));
}

#[test]
fn a_source_that_is_not_there_makes_no_snapshot() {
    let house = House::local();
    fs::write(house.home.path().join("file"), b"x").unwrap();
    for name in ["nothing", "file"] {
        let options = options(&house.home.path().join(name), None);
        let done = backup(&house.repository, &options, &EngineProgress::default(), &Interrupt::default());
        assert!(matches!(done, Err(EngineError::Source { .. })), "{name}: {done:?}");
    }
    assert!(house.snapshots().is_empty());
}

#[test]
fn a_root_that_is_a_link_is_saved_as_the_folder_that_it_leads_to() {
    let house = House::local();
    fs::write(house.tree().join("file"), b"x").unwrap();
    let link = house.home.path().join("link");
    std::os::unix::fs::symlink(house.tree(), &link).unwrap();
    let done = backup(&house.repository, &options(&link, None), &EngineProgress::default(), &Interrupt::default());
    let (restored, place) = house.restore(&done.unwrap().id);
    assert_eq!((restored.files, restored.unread.count), (1, 0));
    assert_eq!(fs::read(place.with_file_name("link").join("file")).unwrap(), b"x");
}

#[test]
fn a_link_above_the_root_is_saved_as_the_folder_that_it_leads_to() {
    use std::os::unix::fs::MetadataExt;
    let house = House::local();
    fs::write(house.tree().join("file"), b"x").unwrap();
    std::os::unix::fs::symlink(house.home.path(), house.home.path().join("link")).unwrap();
    let root = house.home.path().join("link/tree");
    let done =
        backup(&house.repository, &options(&root, None), &EngineProgress::default(), &Interrupt::default()).unwrap();
    let (_, place) = house.restore(&done.id);
    let restored = place.parent().unwrap().join("link");
    assert_eq!(fs::metadata(&restored).unwrap().mode(), fs::metadata(house.home.path()).unwrap().mode());
    assert_eq!(fs::read(restored.join("tree/file")).unwrap(), b"x");
}

/// As root nothing is forbidden, so the example program reads the tree as nobody.
#[test]
fn what_we_may_not_read_is_named() {
    let home = tempfile::tempdir().unwrap();
    let built = std::env::current_exe().unwrap().parent().unwrap().join("../examples/engine");
    // The build folder may lie where nobody may not go.
    let program = home.path().join("engine");
    let is_built = fs::copy(built, &program).is_ok();
    let nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&program).args(arguments);
        command.env("RESTIC_PASSWORD", "x").output()
    };
    if !rustix::process::geteuid().is_root() || !is_built || nobody(&[]).is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "needs root, setpriv and the example `engine`");
        eprintln!("\n########## SKIPPED: needs root, setpriv and the example `engine` ##########\n");
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let (tree, repository) = (home.path().join("tree"), home.path().join("repository"));
    for folder in [&tree, &tree.join("closed"), &tree.join("open")] {
        fs::create_dir(folder).unwrap();
    }
    for name in ["closed/file", "open/file", "open/secret"] {
        fs::write(tree.join(name), b"x").unwrap();
    }
    let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    chmod(&tree.join("closed"), 0o700);
    chmod(&tree.join("open/secret"), 0o600);
    chmod(home.path(), 0o777);
    chmod(&program, 0o755);
    let (tree, repository) = (tree.to_str().unwrap(), repository.to_str().unwrap());
    assert!(nobody(&["init", repository]).unwrap().status.success());
    let output = nobody(&["backup", repository, tree]).unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{words} {}", String::from_utf8_lossy(&output.stderr));
    for part in ["unread 2", "/closed: Permission denied", "/open/secret: Permission denied"] {
        assert!(words.contains(part), "{part} is not in {words}");
    }
}
