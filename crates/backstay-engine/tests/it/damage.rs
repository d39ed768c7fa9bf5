//! A restore of what is damaged: never a wrong byte, the damaged thing named, everything else as it was.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use backstay_engine::format::id::Id;
use backstay_engine::format::pack::BlobKind;
use backstay_engine::restore::{RestoreOptions, restore};
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use backstay_storage::ObjectStorage;
use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};

use super::forge::Forge;
use super::house::House;
use super::proof::{pack_key, places, saved};
use super::tree::{Bits, assert_same_but, contents};

/// Restores, and asserts that exactly these files are named and missing and all others are as they were.
fn assert_lost(house: &House, id: &Id, lost: &[&str]) {
    let (done, place) = house.restore(id);
    let mut named: Vec<&str> = done.unread.entries.iter().map(|entry| &*entry.path).collect();
    named.sort_unstable();
    assert_eq!(named.len(), lost.len(), "{:#?}", done.unread);
    named.iter().zip(lost).for_each(|(name, lost)| assert!(name.ends_with(&format!("/tree/{lost}")), "{name}"));
    assert_eq!(done.files + lost.len() as u64, 53);
    let lost: Vec<&[u8]> = lost.iter().map(|path| path.as_bytes()).collect();
    assert_same_but(&house.tree(), &place, Bits::All, &lost);
}

#[test]
fn a_damaged_blob_costs_its_file_alone() {
    let (house, storage, id) = saved();
    let place = *places(&house, &id, "large-1").last().unwrap();
    storage.tamper(&pack_key(&place), |bytes| bytes[place.offset as usize + 99] ^= 1);
    assert_lost(&house, &id, &["large-1"]);
    let small = places(&house, &id, "small/20")[0];
    storage.tamper(&pack_key(&small), |bytes| bytes[small.offset as usize] ^= 1);
    assert_lost(&house, &id, &["large-1", "small/20"]);
}

#[test]
fn a_truncated_pack_costs_what_lay_beyond_its_end() {
    let (house, storage, id) = saved();
    let names: Vec<String> = (0..50).map(|file| format!("small/{file:02}")).collect();
    let place = places(&house, &id, "small/25")[0];
    let beyond = |name: &&String| {
        let other = places(&house, &id, name)[0];
        other.pack == place.pack && other.offset >= place.offset
    };
    let large = ["large-0", "large-1", "large-2"].map(str::to_owned);
    let mut lost: Vec<String> = names.iter().filter(beyond).cloned().collect();
    for name in large {
        let all = places(&house, &id, &name);
        if all.iter().any(|other| other.pack == place.pack && other.offset >= place.offset) {
            lost.push(name);
        }
    }
    lost.sort();
    storage.tamper(&pack_key(&place), |bytes| bytes.truncate(place.offset as usize + 3));
    assert!(!lost.is_empty() && lost.len() < 53);
    assert_lost(&house, &id, &lost.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_folder_that_is_there_is_not_restored_into() {
    let (house, _, id) = saved();
    let hex = id.to_hex();
    let target = house.home.path().join("mine");
    fs::create_dir(&target).unwrap();
    let file = house.home.path().join("file");
    for path in [target.join("precious"), file.clone()] {
        fs::write(path, b"mine").unwrap();
    }
    for place in [&target, &file] {
        let options = RestoreOptions::new(&hex, place);
        let done = restore(&house.repository, &options, &EngineProgress::default(), &Interrupt::default());
        assert!(matches!(done, Err(EngineError::Target { .. })), "{done:?}");
    }
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
    assert!(matches!(house.try_restore(&Id::of(b"none")).0, Err(EngineError::NoSnapshot { .. })));
}

/// Restores a crafted snapshot and returns what was named; nothing may appear outside the target.
fn crafted(nodes: impl FnOnce(&mut Forge, &Path) -> Vec<String>) -> (House, Vec<String>) {
    let (house, storage) = House::fake();
    let outside = house.home.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let before = contents(house.home.path(), Bits::All).len();
    let mut forge = Forge::new(storage as Arc<dyn ObjectStorage>);
    let nodes = nodes(&mut forge, &outside);
    let tree = forge.tree(&nodes);
    let id = forge.publish(tree);
    let target = house.home.path().join("target");
    let hex = id.to_hex();
    let options = RestoreOptions::new(&hex, &target);
    let done = restore(&house.repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
    let inside = contents(&target, Bits::All).len();
    assert_eq!(contents(house.home.path(), Bits::All).len(), before + inside, "something lies outside the target");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "something was written outside");
    (house, done.unread.entries.into_iter().map(|entry| format!("{}: {}", entry.path, entry.reason)).collect())
}

fn file(name: &str, content: &Id) -> String {
    format!(r#"{{"name":"{name}","type":"file","mode":420,"size":1,"content":["{content}"]}}"#)
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["../outside/x", "..", ".", "/etc/x", "a/b", "", "a\\\\x2fb", "\\\\x2e\\\\x2e", "a\\\\x00"] {
        let (_, named) = crafted(|forge, _| {
            let blob = forge.blob(BlobKind::Data, b"x");
            vec![file(name, &blob)]
        });
        assert!(named.len() == 1 && named[0].contains("cannot be the name of an entry"), "{name:?}: {named:?}");
    }
}

#[test]
fn a_link_never_leads_a_file_outside() {
    // One name twice, as a link and as a folder or a file: the tree is refused as a whole.
    for kind in ["file", "dir"] {
        let (_, named) = crafted(|forge, outside| {
            let blob = forge.blob(BlobKind::Data, b"x");
            let below = forge.tree(&[file("evil", &blob)]);
            let link = format!(r#"{{"name":"a","type":"symlink","mode":511,"linktarget":"{}"}}"#, outside.display());
            let other = match kind {
                "dir" => format!(r#"{{"name":"a","type":"dir","mode":493,"subtree":"{below}"}}"#),
                _ => file("a", &blob),
            };
            vec![link, other]
        });
        assert!(named.len() == 1 && named[0].contains("stands after"), "{kind}: {named:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_costs_what_is_in_it_alone() {
    let (house, named) = crafted(|forge, _| {
        let blob = forge.blob(BlobKind::Data, b"x");
        let below = forge.tree(&[file("inside", &blob)]);
        let dir = |name: &str| format!(r#"{{"name":"{name}","type":"dir","mode":493,"subtree":"{below}"}}"#);
        vec![dir("good"), dir(&"n".repeat(300))]
    });
    assert_eq!(named.len(), 2, "{named:?}");
    assert_eq!(fs::read(house.home.path().join("target/good/inside")).unwrap(), b"x");
}

/// Whichever read of a restore fails or lies: what is restored is right, what is not is named.
#[test]
fn whichever_read_fails_no_wrong_byte_is_restored() {
    let (house, storage, id) = saved();
    let reads = |storage: &FakeStorage| storage.calls(Call::Get);
    let before = reads(&storage);
    house.restore(&id);
    let count = reads(&storage) - before;
    assert!(count >= 5, "{count}");
    for harm in [Harm::Fail, Harm::CutBody] {
        for nth in 1..=count {
            storage.harm(Call::Get, nth, harm);
            let (done, place) = house.try_restore(&id);
            storage.heal();
            let Ok(done) = done else { continue };
            if !place.is_dir() {
                assert!(!done.unread.is_empty(), "{harm:?} {nth}: nothing was named");
                continue;
            }
            let (original, restored) = (contents(&house.tree(), Bits::All), contents(&place, Bits::All));
            for (path, now) in &restored {
                let name = String::from_utf8_lossy(path);
                assert_eq!(original.get(path), Some(now), "{harm:?} {nth}: {name}");
            }
            let told = |path: &str| done.unread.entries.iter().any(|entry| path.starts_with(&*entry.path));
            for path in original.keys().filter(|path| !restored.contains_key(*path)) {
                let path = house.tree().join(std::str::from_utf8(path).unwrap());
                assert!(told(path.to_str().unwrap()), "{harm:?} {nth}: {path:?} is missing and not named");
            }
        }
    }
}
