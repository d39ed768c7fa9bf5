//! Damage as it happens, the repairs run on it, and deaths in the midst of them; and the repair of the index.

use std::collections::BTreeSet;
use std::path::Path;

use backstay_engine::format::id::Id;
use backstay_engine::format::index::{Index, IndexFile};
use backstay_engine::format::object::FileKind;
use backstay_engine::format::pack::BlobKind;
use backstay_engine::lock::LockMode;
use backstay_engine::maintenance::check::{ReadData, check};
use backstay_engine::maintenance::repair::index::{IndexPreview, PacksRead, apply, plan};
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};
use backstay_storage::{ObjectKey, ObjectStorage};
use backstay_testkit::fakes::storage::{Call, FakeStorage, Harm};
use futures::executor::block_on;
use jiff::SignedDuration;

use super::house::{House, local, password};
use super::mortal::{Mortal, copy_of};
use super::proof::{pack_key, places};
use super::prune::{alone, mortal_house, thorough, try_prune, two_snapshots, write_out};
use super::restic::restics;
use super::tree::{Bits, assert_same};

/// What befalls a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    IndexGone,
    IndexFlipped,
    PackGone,
    PackCut,
    HeaderFlipped,
    DataFlipped,
    TreesGone,
}

pub(crate) const DAMAGES: [Damage; 7] = [
    Damage::IndexGone,
    Damage::IndexFlipped,
    Damage::PackGone,
    Damage::PackCut,
    Damage::HeaderFlipped,
    Damage::DataFlipped,
    Damage::TreesGone,
];

pub(crate) fn remove(storage: &FakeStorage, key: &str) {
    block_on(storage.object_remove(&ObjectKey::new(key).unwrap())).unwrap();
}

impl Damage {
    /// Befalls a storage; `data` is a blob of a file in the midst of a pack, `tree` one of a folder. Returns the pack that
    /// is damaged.
    pub(crate) fn befall(self, storage: &FakeStorage, data: &Place, tree: &Place) -> Option<Id> {
        let of = |folder: &str| storage.keys().into_iter().filter(|key| key.starts_with(folder)).collect::<Vec<_>>();
        let key = pack_key(data);
        match self {
            Self::IndexGone => of("index/").iter().for_each(|key| remove(storage, key)),
            Self::IndexFlipped => storage.tamper(&of("index/")[0], |body| body[40] ^= 1),
            Self::PackGone => remove(storage, &key),
            Self::PackCut => storage.tamper(&key, |body| body.truncate(data.offset as usize + 5)),
            Self::HeaderFlipped => storage.tamper(&key, |body| {
                let at = body.len() - 30;
                body[at] ^= 1;
            }),
            Self::DataFlipped => storage.tamper(&key, |body| body[data.offset as usize + 30] ^= 1),
            Self::TreesGone => remove(storage, &pack_key(tree)),
        }
        match self {
            Self::IndexGone | Self::IndexFlipped => None,
            Self::TreesGone => Some(tree.pack),
            _ => Some(data.pack),
        }
    }
}

pub(crate) type Place = backstay_engine::format::index::BlobPlace;

/// A repository of two snapshots in a storage that can die.
pub(crate) struct Patient {
    pub(crate) house: House,
    pub(crate) storage: std::sync::Arc<Mortal>,
    pub(crate) first: Id,
    pub(crate) second: Id,
    pub(crate) whole: std::sync::Arc<FakeStorage>,
    /// A blob of `shared-05`, and the tree of `folder`.
    pub(crate) data: Place,
    pub(crate) tree: Place,
}

impl Patient {
    pub(crate) fn new() -> Self {
        let (house, storage) = mortal_house();
        let (first, second) = two_snapshots(&house);
        let whole = copy_of(&storage.inner());
        let data = places(&house, &first, "shared-05")[0];
        let tree = places(&house, &first, "folder")[0];
        Self { house, storage, first, second, whole, data, tree }
    }

    /// Makes it whole, and lets a damage befall it.
    pub(crate) fn suffer(&self, damage: Damage) -> Option<Id> {
        self.storage.become_copy_of(&self.whole);
        damage.befall(&self.storage.inner(), &self.data, &self.tree)
    }

    /// Makes it whole.
    pub(crate) fn suffer_nothing(&self) {
        self.storage.become_copy_of(&self.whole);
    }

    /// Lays the repository out in a folder, where restic can be run on it.
    pub(crate) fn laid_out(&self) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        write_out(&self.storage.inner(), &home.path().join("repository"));
        home
    }

    pub(crate) fn repository(&self) -> &Repository {
        &self.house.repository
    }

    /// Lets a repair die at each of its calls, done or not; `judge` is asked after each death, and after the next run,
    /// which goes through.
    pub(crate) fn die_everywhere(
        &self,
        damage: Damage,
        repair: &dyn Fn() -> Result<(), EngineError>,
        judge: &dyn Fn(&str, bool),
    ) -> u64 {
        self.suffer(damage);
        self.die_everywhere_from(repair, &|context, is_over| judge(&format!("{damage:?}, {context}"), is_over))
    }

    /// As [`Patient::die_everywhere`], from how things are.
    pub(crate) fn die_everywhere_from(
        &self,
        repair: &dyn Fn() -> Result<(), EngineError>,
        judge: &dyn Fn(&str, bool),
    ) -> u64 {
        let template = copy_of(&self.storage.inner());
        let mut deaths = 0;
        for is_done in [false, true] {
            for nth in 1.. {
                self.storage.become_copy_of(&template);
                self.storage.die_at(nth, is_done);
                let done = repair();
                let died = self.storage.revive();
                let context = format!("death {nth}, done {is_done}: {done:?}");
                assert!(died || done.is_ok(), "{context}");
                judge(&context, false);
                self.storage.pass(SignedDuration::from_mins(1));
                repair().unwrap_or_else(|error| panic!("{context}: {error:?}"));
                judge(&context, true);
                if !died {
                    break;
                }
                deaths += 1;
            }
        }
        deaths
    }
}

pub(crate) fn try_repair_index(repository: &Repository, read: PacksRead) -> Result<IndexPreview, EngineError> {
    let guard = alone(repository)?;
    let interrupt = Interrupt::default();
    let planned = plan(repository, read, &guard, &EngineProgress::default(), &interrupt)?;
    let preview = planned.preview.clone();
    assert_eq!(apply(repository, planned, &guard, &interrupt)?, preview);
    guard.release()?;
    Ok(preview)
}

pub(crate) fn repair_index(repository: &Repository, read: PacksRead) -> IndexPreview {
    try_repair_index(repository, read).unwrap()
}

/// Returns the index as far as it can be read.
pub(crate) fn readable_index(repository: &Repository) -> Index {
    let mut index = Index::default();
    for id in repository.file_list(FileKind::Index, &Interrupt::default()).unwrap() {
        if let Ok(plain) = repository.file_read(FileKind::Index, &id, &Interrupt::default()) {
            index.take(IndexFile::read(&plain).unwrap());
        }
    }
    index.sort();
    index
}

/// Returns the packs that a backup may take blobs from, and those blobs.
pub(crate) fn known(index: &Index) -> (BTreeSet<Id>, BTreeSet<(bool, Id)>) {
    let packs = index.packs().iter().map(|pack| pack.id).collect();
    let blobs = index.blobs_in(|_| true).into_iter().filter(|(kind, id)| index.contains(*kind, id));
    (packs, blobs.map(|(kind, id)| (kind == BlobKind::Tree, id)).collect())
}

/// Opens a repository that was laid out.
pub(crate) fn opened(home: &Path) -> Repository {
    Repository::open(local(&home.join("repository")), &password(), &Interrupt::default()).unwrap()
}

#[test]
fn the_index_names_what_restic_s_repair_names_whatever_befell() {
    let patient = Patient::new();
    let newest = restics().pop();
    for damage in DAMAGES {
        for read in [PacksRead::Doubtful, PacksRead::All] {
            patient.suffer(damage);
            let home = patient.laid_out();
            let done = repair_index(patient.repository(), read);
            let ours = known(&patient.repository().index_load(&Interrupt::default()).unwrap());
            if let Some(restic) = &newest {
                let all: &[&str] = if read == PacksRead::All { &["--read-all-packs"] } else { &[] };
                restic.output(home.path(), &[&["repair", "index"], all].concat());
                let theirs = known(&opened(home.path()).index_load(&Interrupt::default()).unwrap());
                assert_eq!(ours, theirs, "{damage:?} {read:?}");
            }
            let again = repair_index(patient.repository(), read);
            assert!(again.is_idle(), "{damage:?} {read:?}: {done:?} {again:?}");
            let unreadable = match (damage, read) {
                (Damage::PackCut, _) | (Damage::HeaderFlipped, PacksRead::All) => 1,
                _ => 0,
            };
            assert_eq!(done.packs_unreadable.len(), unreadable, "{damage:?} {read:?} {done:?}");
            let missing = usize::from(matches!(damage, Damage::PackGone | Damage::TreesGone));
            assert_eq!(done.packs_missing.len(), missing, "{damage:?} {read:?} {done:?}");
            assert_eq!(done.blobs_lost > 0, missing > 0 || damage == Damage::PackCut, "{damage:?} {read:?} {done:?}");
        }
    }
}

#[test]
fn after_a_repaired_index_all_is_restored_and_both_restics_find_no_fault() {
    let patient = Patient::new();
    for (damage, read) in [
        (Damage::IndexGone, PacksRead::Doubtful),
        (Damage::IndexFlipped, PacksRead::Doubtful),
        (Damage::IndexFlipped, PacksRead::All),
    ] {
        patient.suffer(damage);
        let done = repair_index(patient.repository(), read);
        assert!(done.packs_added > 0 && done.blobs_added > 0 && done.blobs_lost == 0, "{done:?}");
        patient.house.assert_proved(&patient.second);
        let house = House::opened(patient.laid_out());
        for restic in restics() {
            restic.check(&house);
            let target = house.home.path().join(restic.version);
            restic.run(house.home.path(), &["restore", &patient.second.to_hex(), "--target", target.to_str().unwrap()]);
            assert_same(&patient.house.tree(), &super::house::below(&target, &patient.house.tree()), Bits::All);
        }
    }
}

/// What lies in a pack whose header is gone can still be had, and no backup relies on it.
#[test]
fn blobs_of_an_unreadable_pack_are_found_and_not_known() {
    let patient = Patient::new();
    patient.suffer(Damage::PackCut);
    let before = readable_index(patient.repository());
    repair_index(patient.repository(), PacksRead::Doubtful);
    let index = patient.repository().index_load(&Interrupt::default()).unwrap();
    let inside = before.blobs_in(|id| *id == patient.data.pack);
    let (mut found, mut lost) = (0, 0);
    for (kind, id) in inside {
        let old = before.find(kind, &id).unwrap();
        let whole = old.offset + old.length <= patient.data.offset + 5;
        assert_eq!(index.find(kind, &id).is_some(), whole, "{id}");
        assert!(!index.contains(kind, &id), "{id}");
        if whole { found += 1 } else { lost += 1 }
    }
    assert!(found > 0 && lost > 0, "{found} {lost}");
    // The next backup sends all of it again, also what its parent names.
    let again = patient.house.backup(Some(patient.second));
    assert!(again.summary.data_blobs >= 20, "{:?}", again.summary);
    patient.house.assert_proved(&again.id);
    patient.house.assert_proved(&patient.second);
}

/// What a snapshot needs of a pack that is about to go, as its header cannot be read. Red when `check` looks at known packs
/// alone, and when a prune takes such a pack back because it has its size.
#[test]
fn what_only_a_pack_that_is_about_to_go_has_is_looked_at_and_not_believed_again() {
    let patient = Patient::new();
    let interrupt = Interrupt::default();
    let checked = |read: &ReadData| check(patient.repository(), read, &interrupt).unwrap();
    patient.suffer(Damage::HeaderFlipped);
    repair_index(patient.repository(), PacksRead::All);
    assert!(checked(&ReadData::All).is_whole(), "its data is there");
    let refused = try_prune(patient.repository(), &thorough(std::time::Duration::ZERO)).unwrap_err();
    assert!(refused.is_harm(), "{refused:?}");
    Damage::DataFlipped.befall(&patient.storage.inner(), &patient.data, &patient.tree);
    assert!(checked(&ReadData::None).is_whole(), "nothing was read");
    let found = checked(&ReadData::All);
    assert!(found.finding_count == 1 && found.affected_count >= 2, "{found:?}");
    Damage::PackCut.befall(&patient.storage.inner(), &patient.data, &patient.tree);
    assert!(!checked(&ReadData::None).is_whole(), "it is cut");
    Damage::PackGone.befall(&patient.storage.inner(), &patient.data, &patient.tree);
    let found = checked(&ReadData::None);
    assert!(found.finding_count > 1 && found.affected_count >= 2, "{found:?}");
}

/// Files that are no packs are named and left, however short they are.
#[test]
fn what_is_no_pack_is_named_and_left() {
    let (house, storage) = House::fake();
    let (_, second) = two_snapshots(&house);
    let lengths = [0, 1, 4, 31, 36, 100];
    let ids: Vec<Id> = lengths.iter().map(|length| Id::of(&vec![7; *length])).collect();
    for (id, length) in ids.iter().zip(lengths) {
        block_on(storage.object_put(&FileKind::Pack.key(id), vec![7; length].into())).unwrap();
    }
    for read in [PacksRead::Doubtful, PacksRead::All] {
        let done = repair_index(&house.repository, read);
        assert!(done.is_idle() && done.packs_unreadable.len() == ids.len(), "{done:?}");
        assert!(ids.iter().all(|id| done.packs_unreadable.iter().any(|pack| pack.id == *id)));
    }
    let there = house.repository.pack_list(&Interrupt::default()).unwrap();
    assert!(ids.iter().all(|id| there.iter().any(|(other, _)| other == id)));
    house.assert_proved(&second);
}

#[test]
fn a_repair_of_the_index_may_die_at_any_call() {
    let patient = Patient::new();
    let mut deaths = 0;
    for damage in [Damage::IndexFlipped, Damage::PackGone, Damage::PackCut] {
        patient.suffer(damage);
        let before = known(&readable_index(patient.repository()));
        repair_index(patient.repository(), PacksRead::Doubtful);
        let goal = known(&readable_index(patient.repository()));
        let judge = |context: &str, is_over: bool| {
            let now = known(&readable_index(patient.repository()));
            if is_over {
                assert_eq!(now, goal, "{context}");
            }
            // What was known and stays known was known at every moment between.
            assert!(before.1.intersection(&goal.1).all(|blob| now.1.contains(blob)), "{context}");
        };
        let repair = || try_repair_index(patient.repository(), PacksRead::Doubtful).map(|_| ());
        deaths += patient.die_everywhere(damage, &repair, &judge);
    }
    assert!(deaths > 60, "{deaths}");
}

#[test]
fn a_cut_list_or_a_failed_read_repairs_nothing() {
    let (house, storage) = House::fake();
    two_snapshots(&house);
    for (call, harm) in [(Call::List, Harm::CutList), (Call::List, Harm::Fail), (Call::Get, Harm::Fail)] {
        for nth in 1.. {
            let guard = alone(&house.repository).unwrap();
            let (before, keys) = (storage.calls(call), storage.keys());
            storage.harm(call, nth, harm);
            let answer =
                plan(&house.repository, PacksRead::All, &guard, &EngineProgress::default(), &Interrupt::default());
            let hit = storage.calls(call) - before >= nth;
            storage.heal();
            assert_eq!(answer.is_err(), hit, "{call:?} {harm:?} {nth}");
            assert_eq!(storage.keys(), keys);
            guard.release().unwrap();
            if !hit {
                break;
            }
        }
    }
}

#[test]
fn a_repair_without_its_own_lock_does_nothing() {
    let patient = Patient::new();
    patient.suffer(Damage::IndexFlipped);
    let interrupt = Interrupt::default();
    let keys = || {
        let keys = patient.storage.inner().keys();
        keys.into_iter().filter(|key| !key.starts_with("locks/")).collect::<Vec<_>>()
    };
    let before = keys();
    let shared = super::lock::lock(patient.repository(), LockMode::Shared).unwrap();
    let preview = plan(patient.repository(), PacksRead::All, &shared, &EngineProgress::default(), &interrupt).unwrap();
    assert!(!preview.preview.is_idle());
    let lost = |answer| assert!(matches!(answer, Err(EngineError::LockLost { .. })), "{answer:?}");
    lost(apply(patient.repository(), preview, &shared, &interrupt));
    shared.release().unwrap();
    let one = alone(patient.repository()).unwrap();
    let old = plan(patient.repository(), PacksRead::All, &one, &EngineProgress::default(), &interrupt).unwrap();
    one.release().unwrap();
    let two = alone(patient.repository()).unwrap();
    lost(apply(patient.repository(), old, &two, &interrupt));
    let third = plan(patient.repository(), PacksRead::All, &two, &EngineProgress::default(), &interrupt).unwrap();
    block_on(patient.storage.object_remove(&FileKind::Lock.key(&two.id()))).unwrap();
    lost(apply(patient.repository(), third, &two, &interrupt));
    assert_eq!(keys(), before);
    let stop = Interrupt::default();
    stop.raise();
    let three = alone(patient.repository()).unwrap();
    assert!(matches!(
        plan(patient.repository(), PacksRead::All, &three, &EngineProgress::default(), &stop).unwrap_err(),
        EngineError::Interrupted
    ));
}
