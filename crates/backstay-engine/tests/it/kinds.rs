//! Everything that a Unix tree has beside files, folders and links: attributes, access lists, capabilities, FIFOs,
//! sockets, devices, several names. Held against the trees of real restic.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use backstay_engine::browse;
use backstay_engine::format::id::Id;
use backstay_engine::format::node::{ExtendedAttribute, NodeKind};
use backstay_engine::format::pack::BlobKind;
use backstay_engine::format::tree as format_tree;
use backstay_engine::repository::BlobReader;
use backstay_engine::{EngineProgress, Interrupt};
use backstay_storage::ReadCache;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr};

use super::house::{House, backup, options};
use super::layout::stable;
use super::restic::restics;
use super::tree::set_time;

fn make(path: &Path, kind: FileType, device: u64) {
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), device).unwrap();
}

fn set(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// An access list that lets user 7 read, as the kernel takes it: version 2, then tag, rights and id of each line.
fn access_list() -> Vec<u8> {
    let lines: [(u16, u16, u32); 5] =
        [(1, 6, u32::MAX), (2, 4, 7), (4, 4, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in lines {
        list.extend([&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat());
    }
    list
}

/// The right to bind low ports, as the kernel takes it (`vfs_cap_data`, version 2, effective).
fn capability() -> Vec<u8> {
    [0x0200_0001u32, 1 << 10, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Makes one entry of every kind. Sockets apart: restic leaves them out.
fn every_kind(root: &Path) {
    let at = |name: &str| root.join(name);
    make(&at("fifo"), FileType::Fifo, 0);
    make(&at("char"), FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    make(&at("block"), FileType::BlockDevice, rustix::fs::makedev(259, 70_000));
    for name in ["file", "program", "listed"] {
        fs::write(at(name), name).unwrap();
    }
    fs::create_dir(at("folder")).unwrap();
    symlink("file", at("link")).unwrap();
    set(&at("file"), "user.empty", b"");
    set(&at("file"), "user.bytes", b"\0\xff\n");
    set(&at("file"), "user.<&é>", b"x");
    set(&at("file"), "user.large", &[b'l'; 3_000]);
    set(&at("program"), "security.capability", &capability());
    set(&at("listed"), "system.posix_acl_access", &access_list());
    set(&at("folder"), "system.posix_acl_default", &access_list());
    set(&at("folder"), "user.folder", b"1");
    set(root, "user.root", b"2");
    for name in ["fifo", "char", "block"] {
        set(&at(name), "trusted.kind", name.as_bytes());
        fs::hard_link(at(name), at(&format!("{name}-again"))).unwrap();
    }
    for (at_time, name) in ["fifo", "char", "block", "folder", "link"].iter().enumerate() {
        set_time(&at(name), -100 - at_time as i64, 1);
    }
}

/// Returns the tree of the folder that was backed up, and its text.
fn tree_of(house: &House, snapshot: &Id) -> (Id, String) {
    let index = house.repository.index_load(&Interrupt::default()).unwrap();
    let mut blobs = BlobReader::new(&house.repository, &index, ReadCache::Use, &Interrupt::default());
    let (_, file) = house.repository.snapshot_read(&snapshot.to_hex(), &Interrupt::default()).unwrap();
    let path = house.tree();
    let found = browse::find(&house.repository, &mut blobs, file.tree, path.as_os_str().as_bytes()).unwrap();
    let tree = found.subtree.unwrap();
    (tree, String::from_utf8(blobs.read(BlobKind::Tree, &tree).unwrap()).unwrap())
}

/// The attributes of a name, as they lie in the snapshot.
fn attributes(house: &House, snapshot: &Id, name: &str) -> Vec<ExtendedAttribute> {
    let (_, text) = tree_of(house, snapshot);
    let nodes = format_tree::read(text.as_bytes()).unwrap();
    nodes.iter().find(|node| *node.name == *name.as_bytes()).unwrap().extended_attributes.clone()
}

/// Red when any field of any kind is left out, misnamed or in another place.
#[test]
fn every_kind_is_stored_as_restic_stores_it() {
    let house = House::local();
    every_kind(&house.tree());
    for restic in restics() {
        let ours = house.backup(None);
        assert!(ours.unread.is_empty(), "{:?}", ours.unread);
        restic.backup(house.home.path(), &house.tree(), &["--force"]);
        let theirs = house.snapshots().into_iter().find(|id| *id != ours.id).unwrap();
        assert_eq!(tree_of(&house, &ours.id).1, tree_of(&house, &theirs).1, "restic {}", restic.version);
        assert_eq!(stable(&house, &ours.id), stable(&house, &theirs), "restic {}", restic.version);
        restic.check(&house);
        for id in house.snapshots() {
            restic.run(house.home.path(), &["forget", &id.to_hex()]);
        }
    }
}

/// restic leaves attributes of links out before 0.15 and sockets always; both are in our trees, and both restics read
/// over them.
#[test]
fn sockets_and_attributes_of_links_are_kept_and_disturb_no_restic() {
    let house = House::local();
    fs::write(house.tree().join("file"), b"x").unwrap();
    symlink("file", house.tree().join("link")).unwrap();
    set(&house.tree().join("link"), "trusted.link", b"1");
    let socket = std::os::unix::net::UnixListener::bind(house.tree().join("socket")).unwrap();
    let ours = house.backup(None);
    assert!(ours.unread.is_empty(), "{:?}", ours.unread);
    let (_, text) = tree_of(&house, &ours.id);
    let nodes = format_tree::read(text.as_bytes()).unwrap();
    let kinds: Vec<NodeKind> = nodes.iter().map(|node| node.kind).collect();
    assert_eq!(kinds, [NodeKind::File, NodeKind::Symlink, NodeKind::Socket]);
    assert_eq!(nodes[1].extended_attributes[0].value, b"1");
    for restic in restics() {
        restic.check(&house);
        let place = restic.restore(&house, &ours.id.to_hex());
        assert_eq!(fs::read(place.join("file")).unwrap(), b"x", "restic {}", restic.version);
        assert!(restic.run(house.home.path(), &["ls", &ours.id.to_hex()]).contains("/socket"));
    }
    drop(socket);
}

/// Red when the parent is believed without a look at the change of the inode, or at all where it may not be.
#[test]
fn a_changed_attribute_is_never_missed() {
    let house = House::local();
    every_kind(&house.tree());
    // Old enough that the parent is believed about them: the margin is two seconds.
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let first = house.backup(None);
    for (name, attribute) in [("file", "user.bytes"), ("folder", "user.folder"), ("fifo", "trusted.kind")] {
        set(&house.tree().join(name), attribute, b"changed");
    }
    rustix::fs::lremovexattr(house.tree().join("program"), "security.capability").unwrap();
    let second = house.backup(Some(first.id));
    assert_eq!(second.summary.data_blobs, 0, "a change of an attribute is no change of content");
    for (name, attribute) in [("file", "user.bytes"), ("folder", "user.folder"), ("fifo", "trusted.kind")] {
        let found = attributes(&house, &second.id, name);
        let one = found.iter().find(|one| one.name == attribute.as_bytes()).unwrap();
        assert_eq!(one.value, b"changed", "{name}");
    }
    assert!(attributes(&house, &second.id, "program").is_empty());
    assert_eq!(attributes(&house, &second.id, "listed"), attributes(&house, &first.id, "listed"));
    assert_eq!(tree_of(&house, &second.id), tree_of(&house, &house.backup(None).id), "as if all were read anew");
}

/// Another program, another user and a parent that was read in part may have left attributes out.
#[test]
fn attributes_are_taken_from_our_own_whole_parent_alone() {
    let house = House::local();
    fs::write(house.tree().join("file"), b"x").unwrap();
    set(&house.tree().join("file"), "user.a", b"1");
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let run =
        |options: &_| backup(&house.repository, options, &EngineProgress::default(), &Interrupt::default()).unwrap().id;
    let first = house.backup(None);
    // A forged parent of each sort that lacks the attribute: the real one must be read all the same.
    let forged = |program: &str, username: &str, tag: &str| forge(&house, &first.id, program, username, tag);
    for (program, username, tag, believed) in [
        ("backstay test", "ada", "x", true),
        ("restic 0.19", "ada", "x", false),
        ("backstay test", "eve", "x", false),
        ("backstay test", "ada", "partial", false),
    ] {
        let parent = forged(program, username, tag);
        let id = run(&options(&house.tree(), Some(parent)));
        let found = attributes(&house, &id, "file");
        assert_eq!(found.is_empty(), believed, "{program} {username} {tag}: {found:?}");
    }
}

/// Writes a snapshot like another, of a tree without attributes, made by somebody else.
fn forge(house: &House, like: &Id, program: &str, username: &str, tag: &str) -> Id {
    let mut forge = super::forge::Forge::new(super::house::local(&house.home.path().join("repository")));
    let index = house.repository.index_load(&Interrupt::default()).unwrap();
    let mut blobs = BlobReader::new(&house.repository, &index, ReadCache::Use, &Interrupt::default());
    let (_, mut file) = house.repository.snapshot_read(&like.to_hex(), &Interrupt::default()).unwrap();
    let path = house.tree();
    let names: Vec<&[u8]> =
        path.as_os_str().as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
    let mut trees = vec![file.tree];
    for depth in 1..=names.len() {
        let found = browse::find(&house.repository, &mut blobs, file.tree, &names[..depth].join(&b'/')).unwrap();
        trees.push(found.subtree.unwrap());
    }
    let (_, text) = tree_of(house, like);
    let begin = text.find(r#","extended_attributes""#).unwrap();
    let end = begin + text[begin..].find(']').unwrap() + 1;
    let mut below = forge.blob(BlobKind::Tree, format!("{}{}", &text[..begin], &text[end..]).as_bytes());
    for pair in trees.windows(2).rev() {
        let text = String::from_utf8(blobs.read(BlobKind::Tree, &pair[0]).unwrap()).unwrap();
        below = forge.blob(BlobKind::Tree, text.replace(&pair[1].to_hex(), &below.to_hex()).as_bytes());
    }
    file.tree = below;
    file.program_version = Some(program.to_owned());
    file.username = username.to_owned();
    file.tags = vec![tag.to_owned()];
    forge.publish_file(&file)
}

/// The names of attributes can be bytes that the format does not hold: that is said.
#[test]
fn an_attribute_whose_name_is_no_text_is_named_and_the_file_saved() {
    let house = House::local();
    fs::write(house.tree().join("file"), b"x").unwrap();
    lsetxattr(house.tree().join("file"), &b"user.\xff"[..], b"1", XattrFlags::empty()).unwrap();
    set(&house.tree().join("file"), "user.good", b"2");
    let done = house.backup(None);
    assert_eq!(done.unread.count, 1);
    assert!(done.unread.entries[0].path.ends_with("/file"), "{:?}", done.unread);
    assert!(done.unread.entries[0].reason.contains("no UTF-8"), "{:?}", done.unread);
    assert_eq!(attributes(&house, &done.id, "file").len(), 1);
}

/// Each name of an inode has its content, whichever was read, and links, FIFOs and devices count their names.
#[test]
fn every_name_of_an_inode_is_whole() {
    let house = House::local();
    for folder in 0..20 {
        fs::create_dir(house.tree().join(format!("{folder}"))).unwrap();
    }
    fs::write(house.tree().join("0/first"), super::tree::noise(1, 3 << 20)).unwrap();
    for folder in 0..20 {
        fs::hard_link(house.tree().join("0/first"), house.tree().join(format!("{folder}/again"))).unwrap();
    }
    let done = house.backup(None);
    assert_eq!((done.summary.total_files_processed, done.summary.total_bytes_processed), (21, 21 * (3 << 20)));
    house.assert_proved(&done.id);
}
