//! Blobs that lie in two packs: a bad copy costs nothing, is named, and is never the one that a prune keeps.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::evidence::Verdict;
use backstay_core::domain::sample::SampleRule;
use backstay_engine::format::id::{Id, IdSet};
use backstay_engine::format::object::FileKind;
use backstay_engine::format::pack::BlobKind;
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::repository::BlobReader;
use backstay_engine::restore::{DumpOptions, RestoreOptions, dump, restore};
use backstay_engine::verify::{VerifyOptions, verify};
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};
use backstay_storage::{ObjectKey, ObjectStorage, ReadCache};
use backstay_testkit::fakes::storage::FakeStorage;
use futures::executor::block_on;
use jiff::Timestamp;

use super::forge::Forge;
use super::house::{House, password};
use super::mortal::copy_of;
use super::proof::{pack_key, places};
use super::prune::{thorough, try_prune};
use super::tree::{self, Bits, contents};

/// What happens to a pack.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Lost,
    Cut,
    Flipped,
}

/// A repository in which every blob lies in two packs, each named by an index file: as two backups leave it that did not
/// see each other. Returns the packs of each side.
pub(crate) fn doubled() -> (House, Arc<FakeStorage>, Id, [Vec<String>; 2]) {
    let (house, storage) = House::fake();
    fs::create_dir(house.tree().join("folder")).unwrap();
    fs::write(house.tree().join("large"), tree::noise(1, 3 << 20)).unwrap();
    for file in 0..20 {
        fs::write(house.tree().join(format!("folder/{file}")), tree::text(file, 700)).unwrap();
    }
    let id = house.backup(None).id;
    let packs = || -> Vec<String> { storage.keys().into_iter().filter(|key| key.starts_with("data/")).collect() };
    let first = packs();
    let index = house.repository.index_load(&Interrupt::default()).unwrap();
    let mut blobs = BlobReader::new(&house.repository, &index, ReadCache::Use, &Interrupt::default());
    let mut forge = Forge::new(Arc::clone(&storage) as Arc<dyn ObjectStorage>);
    for wanted in [BlobKind::Data, BlobKind::Tree] {
        for (kind, id) in index.blobs_in(|_| true).into_iter().filter(|(kind, _)| *kind == wanted) {
            forge.blob(kind, &blobs.read(kind, &id).unwrap());
        }
        forge.store();
    }
    let second: Vec<String> = packs().into_iter().filter(|key| !first.contains(key)).collect();
    assert!(first.len() >= 2 && second.len() == 2);
    (house, storage, id, [first, second])
}

fn harm(storage: &FakeStorage, pack: &str, harm: Harm) {
    match harm {
        Harm::Lost => block_on(storage.object_remove(&ObjectKey::new(pack).unwrap())).unwrap(),
        Harm::Cut => storage.tamper(pack, |body| body.truncate(body.len() / 2)),
        Harm::Flipped => storage.tamper(pack, |body| body.iter_mut().for_each(|byte| *byte ^= 1)),
    }
}

fn dumped(repository: &Repository, id: &Id, path: &Path) -> (Vec<u8>, usize) {
    let (mut out, hex) = (Vec::new(), id.to_hex());
    let options = DumpOptions { snapshot: &hex, sub_path: b"", path: path.to_str().unwrap().as_bytes() };
    let done = dump(repository, &options, &mut out, &EngineProgress::default(), &Interrupt::default()).unwrap();
    (out, done.bad_copies.len())
}

#[test]
fn a_bad_copy_costs_nothing_and_is_named() {
    for way in [Harm::Lost, Harm::Cut, Harm::Flipped] {
        let mut named = 0;
        let (house, storage, id, packs) = doubled();
        let template = copy_of(&storage);
        for side in packs {
            // The order in which the index has them stays the same: that of its files' names.
            let (copy, place) = (copy_of(&template), house.home.path().join("restored"));
            side.iter().for_each(|pack| harm(&copy, pack, way));
            let repository =
                Repository::open(Arc::clone(&copy) as Arc<dyn ObjectStorage>, &password(), &Interrupt::default())
                    .unwrap();
            let (hex, tree, interrupt) = (id.to_hex(), house.tree(), Interrupt::default());
            let options =
                RestoreOptions { sub_path: tree.to_str().unwrap().as_bytes(), ..RestoreOptions::new(&hex, &place) };
            let done = restore(&repository, &options, &EngineProgress::default(), &interrupt).unwrap();
            assert!(done.unread.is_empty(), "{way:?}: {:?}", done.unread);
            assert_same_but_root(&house.tree(), &place);
            fs::remove_dir_all(&place).unwrap();
            let (bytes, bad) = dumped(&repository, &id, &tree.join("large"));
            assert_eq!(Id::of(&bytes), Id::of(&fs::read(tree.join("large")).unwrap()));
            let is_first = !done.bad_copies.is_empty();
            // It reads some of what the restore reads.
            assert!(is_first || bad == 0, "{way:?}");
            named += usize::from(is_first);
            // Structure alone finds packs that are missing or short; of the others the copies that were read first.
            let (sample, started_at) = (SampleRule::everything(), Timestamp::now());
            let options = VerifyOptions { snapshot: &hex, sample, source: None, started_at };
            let found = verify(&repository, &options, &EngineProgress::default(), &interrupt).unwrap();
            let is_seen = is_first || !matches!(way, Harm::Flipped);
            assert_eq!(found.verdict() == Verdict::Damaged, is_seen, "{way:?}: {:?}", found.differences);
            assert_eq!(found.files_read, found.files_total);
            let found = check(&repository, &ReadData::All, &interrupt).unwrap();
            assert!(!found.is_whole() && found.affected.is_empty(), "{way:?}: {found:?}");
        }
        assert!(named >= 1, "{way:?}: one of the two is read first");
    }
}

/// One blob is bad in one pack, another in the other: only blob by blob there is a good copy of all.
#[test]
fn a_prune_keeps_the_good_copy_of_each_blob_and_removes_the_bad_ones() {
    let (house, storage, id, packs) = doubled();
    let index = house.repository.index_load(&Interrupt::default()).unwrap();
    let template = copy_of(&storage);
    for turn in 0..4 {
        let copy = copy_of(&template);
        let (mut bad, mut of_second) = (IdSet::default(), 0);
        for (kind, id) in index.blobs_in(|_| true) {
            let place = index.places(kind, &id)[usize::from(id.0[0] >> turn & 1)];
            let key = FileKind::Pack.key(&place.pack).to_string();
            // Each blob is met twice, once a copy.
            if bad.insert(id) {
                let middle = place.offset as usize + place.length as usize / 2;
                copy.tamper(&key, |body| body[middle] ^= 1);
                of_second += u32::from(packs[1].contains(&key));
            }
        }
        assert!(of_second > 0 && (of_second as usize) < bad.len(), "{of_second} of {}", bad.len());
        let repository =
            Repository::open(Arc::clone(&copy) as Arc<dyn ObjectStorage>, &password(), &Interrupt::default()).unwrap();
        let look = || check(&repository, &ReadData::All, &Interrupt::default()).unwrap();
        let found = look();
        assert!(!found.is_whole() && found.affected.is_empty(), "no blob is bad in both: {found:?}");
        let pruned = try_prune(&repository, &thorough(Duration::ZERO)).unwrap();
        assert!(pruned.packs_rewritten > 0, "{pruned:?}");
        let pruned = try_prune(&repository, &thorough(Duration::ZERO)).unwrap();
        assert!(pruned.packs_removed > 0, "{pruned:?}");
        let found = look();
        assert!(found.is_whole(), "the bad copies are gone: {found:?}");
        let (place, hex, tree) = (house.home.path().join(format!("restored-{turn}")), id.to_hex(), house.tree());
        let options =
            RestoreOptions { sub_path: tree.to_str().unwrap().as_bytes(), ..RestoreOptions::new(&hex, &place) };
        let done = restore(&repository, &options, &EngineProgress::default(), &Interrupt::default()).unwrap();
        assert!(done.unread.is_empty() && done.bad_copies.is_empty(), "{:?}", done.unread);
        assert_same_but_root(&tree, &place);
    }
}

#[test]
fn where_all_copies_are_bad_a_prune_removes_nothing_and_a_restore_names_the_file() {
    let (house, storage, id, _) = doubled();
    let index = house.repository.index_load(&Interrupt::default()).unwrap();
    let first = places(&house, &id, "large")[0];
    let blobs = index.blobs_in(|_| true);
    let (kind, blob) = blobs.iter().find(|(kind, id)| index.places(*kind, id).contains(&first)).unwrap();
    for place in index.places(*kind, blob) {
        storage.tamper(&pack_key(&place), |body| body[place.offset as usize + 20] ^= 1);
    }
    let before = storage.keys();
    let done = try_prune(&house.repository, &thorough(Duration::ZERO));
    assert!(matches!(done, Err(EngineError::Format { .. })), "{done:?}");
    let left: Vec<String> = storage.keys().into_iter().filter(|key| !key.starts_with("locks/")).collect();
    assert_eq!(left, before);
    let (done, _) = house.restore(&id);
    assert_eq!(done.unread.count, 1, "{:?}", done.unread);
    assert!(done.unread.entries[0].path.ends_with("large"));
}

/// The target's own metadata is that of whoever made it.
fn assert_same_but_root(original: &Path, restored: &Path) {
    let described = |root| {
        let mut all = contents(root, Bits::NoRights);
        all.remove(&Vec::new());
        all
    };
    assert!(described(original) == described(restored));
}
