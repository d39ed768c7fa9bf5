//! Trees with everything that Unix has, and whether two of them are the same in all of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

use backstay_engine::Interrupt;
use backstay_engine::format::id::Id;
use backstay_engine::format::snapshot::SnapshotFile;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat};

use super::house::House;
use super::restic::{Restic, restics};
use super::tree;

/// The newer restic; none where it is not there and may be missing.
pub(crate) fn restic() -> Option<Restic> {
    restics().into_iter().find(|restic| restic.version == "0.19")
}

/// A house whose tree has everything, in a snapshot that restic made.
pub(crate) fn saved_by_restic(restic: &Restic) -> (House, Id) {
    let home = tempfile::tempdir().unwrap();
    restic.run(home.path(), &["init"]);
    fs::create_dir(home.path().join("tree")).unwrap();
    let house = House::opened(home);
    everything(&house.tree());
    restic.backup(house.home.path(), &house.tree(), &[]);
    let id = house.snapshots()[0];
    let _: SnapshotFile = house.repository.snapshot_read(&id.to_hex(), &Interrupt::default()).unwrap().1;
    (house, id)
}

/// Writes entries of every kind, with attributes, hard links and holes.
pub(crate) fn everything(root: &Path) {
    tree::sorts(root);
    let special = root.join("special");
    fs::create_dir(&special).unwrap();
    let node = |name: &str, kind, device| {
        mknodat(CWD, special.join(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
    };
    node("fifo", FileType::Fifo, 0);
    node("char", FileType::CharacterDevice, makedev(1, 3));
    node("block", FileType::BlockDevice, makedev(300, 70_000));
    fs::write(special.join("a-first"), tree::noise(5, 70_000)).unwrap();
    for name in ["b-other", "c-third"] {
        fs::hard_link(special.join("a-first"), special.join(name)).unwrap();
    }
    fs::hard_link(root.join("link"), special.join("link-too")).unwrap();
    let holes = fs::File::create(special.join("holes")).unwrap();
    holes.write_all_at(&tree::noise(6, 100_000), 3 << 20).unwrap();
    holes.write_all_at(b"end", 9 << 20).unwrap();
    holes.set_len(11 << 20).unwrap();
    fs::write(special.join("zeros"), vec![0; 2 << 20]).unwrap();
    attributes(root, &special);
    for (at, name) in ["fifo", "char", "block", "a-first", "holes"].into_iter().enumerate() {
        tree::set_time(&special.join(name), 1_300_000_000 + at as i64, 987_654_321);
    }
    tree::set_time(&special, 1_200_000_000, 42);
}

fn attributes(root: &Path, special: &Path) {
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
    };
    let list = special.join("access");
    fs::write(&list, b"listed").unwrap();
    set(&list, "system.posix_acl_access", &access_list());
    set(special, "system.posix_acl_default", &access_list());
    let able = special.join("able");
    fs::write(&able, b"able").unwrap();
    set(&able, "security.capability", &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    set(&able, "user.empty", b"");
    set(&able, "user.bytes=\u{e9}", &tree::noise(1, 200));
    set(&root.join("empty"), "user.on-folder", b"\x00\xff");
    set(&root.join("link"), "trusted.on-link", b"1");
}

/// An access list that lets user 1000 read, as the kernel keeps it.
fn access_list() -> Vec<u8> {
    let entries = [(1u16, 6u16, u32::MAX), (2, 4, 1000), (4, 4, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
        list.extend(id.to_le_bytes());
    }
    list
}

/// Describes all entries below a folder, but not the folder itself: all that a backup keeps of each.
pub(crate) fn deep(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let mut inodes: BTreeMap<(u64, u64), Vec<Vec<u8>>> = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            let known = fs::symlink_metadata(&path).unwrap();
            let holds = match known.file_type() {
                kind if kind.is_symlink() => format!("{:?}", fs::read_link(&path).unwrap()),
                kind if kind.is_file() => format!("{} {}", known.len(), Id::of(&fs::read(&path).unwrap())),
                kind if kind.is_char_device() || kind.is_block_device() => known.rdev().to_string(),
                _ => String::new(),
            };
            let line = format!(
                "{:o} {}:{} {}.{:09} {holds} {:?}",
                known.mode(),
                known.uid(),
                known.gid(),
                known.mtime(),
                known.mtime_nsec(),
                extended(&path)
            );
            found.insert(below.clone(), line);
            if known.is_dir() {
                folders.push(path);
            } else if known.nlink() > 1 {
                inodes.entry((known.dev(), known.ino())).or_default().push(below);
            }
        }
    }
    for mut names in inodes.into_values() {
        names.sort();
        let first = String::from_utf8_lossy(&names[0]).into_owned();
        for name in &names {
            found.get_mut(name).unwrap().push_str(&format!(" {} names, first {first}", names.len()));
        }
    }
    found
}

fn extended(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let bytes = rustix::fs::llistxattr(path, &mut names).unwrap();
    let names = names[..bytes].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let bytes = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
            value.truncate(bytes);
            (String::from_utf8_lossy(name).into_owned(), value)
        })
        .collect()
}

/// Asserts that two descriptions are the same.
pub(crate) fn assert_deep(left: &BTreeMap<Vec<u8>, String>, right: &BTreeMap<Vec<u8>, String>, what: &str) {
    let mut differences = Vec::new();
    for path in left.keys().chain(right.keys().filter(|path| !left.contains_key(*path))) {
        if left.get(path) != right.get(path) {
            let name = String::from_utf8_lossy(path);
            differences.push(format!("{name:?}: {:?} and {:?}", left.get(path), right.get(path)));
        }
    }
    assert!(differences.is_empty(), "{what}: {} differences: {differences:#?}", differences.len());
}

/// Forgets which symbolic links are one: restic makes each anew.
pub(crate) fn each_link_alone(found: &mut BTreeMap<Vec<u8>, String>) {
    for line in found.values_mut().filter(|line| line.starts_with("120777")) {
        without_names(line);
    }
}

/// Leaves out which other names a line's entry has; a name may have any letter in it.
pub(crate) fn without_names(line: &mut String) {
    if let Some(at) = line.find(" names, first ") {
        line.truncate(line[..at].rfind('}').unwrap() + 1);
    }
}

/// Returns the bytes on the disk below a folder.
pub(crate) fn disk_bytes(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().blocks() * 512
}
