//! What cannot be read is counted and named, and so is what was there and went away.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_engine::archive::options::{ArchiveOptions, RootRule};
use backstay_engine::system::{SystemCall, SystemFault};
use backstay_engine::{EngineError, EngineProgress, Interrupt, System};

use super::house::{House, backup, options};
use super::tree;

/// Backs a tree up while something is done to it before one of the reader's calls, and returns what was named and what
/// the snapshot has.
fn meddled(call: SystemCall, name: &str, nth: u64, meddle: impl Fn(&Path) + Send + Sync + 'static) -> Vec<String> {
    let (house, _) = House::fake();
    fs::create_dir_all(house.tree().join("folder/below")).unwrap();
    for file in ["file", "folder/in", "folder/in-too", "folder/below/deep"] {
        fs::write(house.tree().join(file), file).unwrap();
    }
    let (tree, wanted, seen) = (house.tree(), name.as_bytes().to_vec(), AtomicU64::new(0));
    let listener = move |met: SystemCall, at: &[u8]| {
        if met == call && at == wanted && seen.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            meddle(&tree);
        }
        None
    };
    let options =
        ArchiveOptions { system: System::heard(Arc::new(listener)), workers: 1, ..options(&house.tree(), None) };
    let done = backup(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    let (restored, place) = house.restore(&done.id);
    assert!(restored.unread.is_empty());
    let root = format!("{}/", house.tree().display());
    let below = |path: &str| path.strip_prefix(&root).unwrap().to_owned();
    let mut said: Vec<String> = done.unread.entries.iter().map(|entry| format!("-{}", below(&entry.path))).collect();
    assert_eq!(said.len() as u64, done.unread.count);
    let there = tree::contents(&place, tree::Bits::All);
    said.extend(there.keys().filter(|path| !path.is_empty()).map(|path| String::from_utf8(path.clone()).unwrap()));
    said.sort();
    said
}

/// As restic 0.19 has it, tried with injected ENOENT: what was looked at and cannot be opened any more makes the run
/// partial; a name that is gone before it is looked at is left out, but not a folder, which may have got another name.
#[test]
fn what_was_renamed_or_removed_while_we_read_is_named() {
    let rename = |tree: &Path| fs::rename(tree.join("folder"), tree.join("aside")).unwrap();
    // Between its listing and its opening.
    assert_eq!(meddled(SystemCall::Open, "folder", 1, rename), ["-folder", "file"]);
    // Between its listing and the reading of its files, which comes after the folders in it.
    let lost = meddled(SystemCall::Open, "folder", 2, rename);
    assert_eq!(lost, ["-folder/in", "-folder/in-too", "file", "folder", "folder/below", "folder/below/deep"]);
    // Before it was looked at.
    assert_eq!(meddled(SystemCall::Stat, "folder", 1, rename), ["-folder", "file"]);
    let deeper = meddled(SystemCall::Open, "below", 1, rename);
    assert_eq!(deeper, ["-folder/below", "-folder/in", "-folder/in-too", "file", "folder"]);
    let remove = |tree: &Path| fs::remove_file(tree.join("file")).unwrap();
    let rest = ["folder", "folder/below", "folder/below/deep", "folder/in", "folder/in-too"];
    assert_eq!(meddled(SystemCall::Open, "file", 1, remove), [&["-file"], &rest[..]].concat());
    assert_eq!(meddled(SystemCall::Stat, "file", 1, remove), rest);
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

/// As restic: what is named on the command line may be anything, and one that is there is enough.
#[test]
fn of_several_sources_one_that_is_there_makes_a_snapshot_and_none_makes_none() {
    let house = House::local();
    let at = |name: &str| house.home.path().join(name);
    fs::write(house.tree().join("file"), b"x").unwrap();
    fs::create_dir(at("closed")).unwrap();
    fs::create_dir(at("shut")).unwrap();
    // Both are there when they are looked at, and cannot be opened afterwards.
    let listener = |call: SystemCall, name: &[u8]| {
        let closed = call == SystemCall::Open && matches!(name, b"closed" | b"shut");
        closed.then_some(SystemFault::Fails(rustix::io::Errno::ACCESS))
    };
    let system = System::heard(Arc::new(listener));
    let of = |names: [&str; 2]| {
        let roots = names.map(at).to_vec();
        let (root_rule, system) = (RootRule::Anything, system.clone());
        let options = ArchiveOptions { roots, root_rule, system, ..options(&house.tree(), None) };
        backup(&house.repository, &options, &EngineProgress::default(), &Interrupt::default())
    };
    for names in [["nothing", "neither"], ["closed", "shut"], ["nothing", "closed"]] {
        let none = of(names);
        assert!(matches!(none, Err(EngineError::Source { .. })), "{names:?}: {none:?}");
        assert!(house.snapshots().is_empty(), "{names:?}");
    }
    for (count, name) in (1..).zip(["nothing", "closed"]) {
        let one = of([name, "tree"]).unwrap();
        assert_eq!((one.unread.count, house.snapshots().len()), (1, count));
        assert!(one.unread.entries[0].path.ends_with(name), "{:?}", one.unread.entries);
    }
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

/// Red when the link is asked for attributes instead of the folder behind it, and when a parent that has none is believed.
#[test]
fn a_root_that_is_a_link_has_the_attributes_of_the_folder_that_it_leads_to() {
    let house = House::local();
    fs::write(house.tree().join("file"), b"x").unwrap();
    rustix::fs::lsetxattr(house.tree(), "user.note", b"kept", rustix::fs::XattrFlags::empty()).unwrap();
    let link = house.home.path().join("link");
    std::os::unix::fs::symlink(house.tree(), &link).unwrap();
    let mut parent = None;
    for _ in 0..2 {
        let done =
            backup(&house.repository, &options(&link, parent), &EngineProgress::default(), &Interrupt::default());
        parent = Some(done.unwrap().id);
        let (_, place) = house.restore(&parent.unwrap());
        let mut value = [0; 16];
        let length = rustix::fs::getxattr(place.with_file_name("link"), "user.note", &mut value).unwrap();
        assert_eq!(&value[..length], b"kept");
    }
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
