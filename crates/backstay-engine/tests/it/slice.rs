//! A verify of a slice: all slices together read every pack, harm is found in its slice, and a restore is drilled.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use backstay_core::domain::evidence::{Findings, Verdict};
use backstay_core::domain::id::RepositoryId;
use backstay_core::domain::proof::{SLICES, Slice};
use backstay_core::domain::sample::DrillRule;
use backstay_engine::format::id::Id;
use backstay_engine::format::object::FileKind;
use backstay_engine::verify::slice::{SliceOptions, verify_slice};
use backstay_engine::{EngineError, EngineProgress, Interrupt};
use backstay_testkit::fakes::storage::FakeStorage;
use jiff::Timestamp;

use super::house::{House, below};
use super::proof::{pack_key, places, remove, saved};
use super::tree;

const NO_DRILL: DrillRule = DrillRule { files_max: 0, bytes_max: 0, seed: 1 };
const DRILL: DrillRule = DrillRule { files_max: 1_000, bytes_max: 1 << 30, seed: 1 };

fn prove(house: &House, snapshot: &Id, number: u32, drill: DrillRule, folder: &Path) -> Result<Findings, EngineError> {
    fs::create_dir_all(folder).unwrap();
    let options = SliceOptions {
        repository_id: RepositoryId::new(Timestamp::UNIX_EPOCH, [1; 10]),
        slice: Slice { number, of: SLICES },
        snapshot: &snapshot.to_hex(),
        drill,
        folder,
        workers: 2,
        started_at: Timestamp::now(),
    };
    verify_slice(&house.repository, &options, &EngineProgress::default(), &Interrupt::default())
}

fn whole_round(house: &House, snapshot: &Id) -> Vec<Findings> {
    let folder = house.home.path().join("no-drill");
    (1..=SLICES).map(|number| prove(house, snapshot, number, NO_DRILL, &folder).unwrap()).collect()
}

/// A repository of many packs: each backup adds some.
fn many_packs() -> (House, Arc<FakeStorage>, Id) {
    let (house, storage, mut id) = saved();
    for round in 0..12 {
        fs::write(house.tree().join(format!("later-{round}")), tree::noise(50 + round, 10_000)).unwrap();
        id = house.backup(Some(id)).id;
    }
    (house, storage, id)
}

/// Red when a slice skips packs, when two slices share one, or when slices are not by the packs' ids.
#[test]
fn all_slices_together_read_every_pack_once_and_harm_is_in_one_of_them() {
    let (house, storage, id) = many_packs();
    let packs = house.repository.pack_list(&Interrupt::default()).unwrap();
    let round = whole_round(&house, &id);
    let sum = |count: fn(&Findings) -> u64| round.iter().map(count).sum::<u64>();
    assert!(packs.len() > 20, "{}", packs.len());
    assert_eq!(sum(|found| found.slice.as_ref().unwrap().packs_read), packs.len() as u64);
    assert_eq!(sum(|found| found.bytes_fetched), packs.iter().map(|(_, bytes)| bytes).sum::<u64>());
    assert!(round.iter().all(|found| found.verdict() == Verdict::Proved && found.packs_named == packs.len() as u64));
    assert!(round.iter().all(|found| found.slice.as_ref().unwrap().snapshots_walked == 13));

    // A byte of a data pack: its length is right, and only who reads it finds it.
    let pack = &places(&house, &id, "later-7")[0];
    storage.tamper(&pack_key(pack), |bytes| bytes[pack.offset as usize + 3] ^= 1);
    let harmed: Vec<usize> = whole_round(&house, &id)
        .iter()
        .enumerate()
        .filter(|(_, found)| found.verdict() == Verdict::Damaged)
        .map(|(at, _)| at)
        .collect();
    let number = pack.pack.0[..8].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    assert_eq!(harmed, [(number % u64::from(SLICES)) as usize]);
}

/// Red when structure is looked at in the slice alone.
#[test]
fn structure_is_looked_at_in_every_slice() {
    let (house, storage, id) = saved();
    remove(&storage, &pack_key(&places(&house, &id, "large-1")[0]));
    let folder = house.home.path().join("scratch");
    for number in [1, 9, SLICES] {
        let found = prove(&house, &id, number, NO_DRILL, &folder).unwrap();
        assert_eq!(found.verdict(), Verdict::Damaged);
        assert!(found.differences.iter().any(|one| one.problem.contains("is not in the storage")), "{found:#?}");
    }
}

/// Red when a drill does not read back what it wrote, restores what was not chosen, or measures nothing.
#[test]
fn a_drill_restores_reads_back_and_compares() {
    let (house, _, id) = saved();
    let folder = house.home.path().join("scratch");
    let found = prove(&house, &id, 1, DRILL, &folder).unwrap();
    assert_eq!((found.verdict(), found.files_total), (Verdict::Proved, 53), "{found:#?}");
    let drill = found.slice.unwrap().drill;
    assert_eq!((drill.files, drill.files_compared, drill.files_too_large), (53, 53, 0));
    assert_eq!(drill.bytes, found.bytes_total);
    assert!(drill.rate().is_some_and(|rate| !rate.took.is_zero()));
    let restored = below(&folder, &house.tree());
    assert_eq!(fs::read(restored.join("large-2")).unwrap(), fs::read(house.tree().join("large-2")).unwrap());

    // A folder that nobody may write: the drill's copy is taken away all the same.
    fs::set_permissions(house.tree().join("small"), fs::Permissions::from_mode(0o555)).unwrap();
    let closed = house.backup(None).id;
    let folder = house.home.path().join("closed");
    assert_eq!(prove(&house, &closed, 1, DRILL, &folder).unwrap().differences, []);
    let mode = fs::metadata(below(&folder, &house.tree()).join("small")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    fs::set_permissions(house.tree().join("small"), fs::Permissions::from_mode(0o755)).unwrap();

    let few = house.home.path().join("few");
    let found = prove(&house, &id, 1, DrillRule { bytes_max: 5_000, ..DRILL }, &few).unwrap();
    let drill = found.slice.unwrap().drill;
    assert_eq!(found.differences, []);
    assert_eq!((drill.files_too_large, drill.files_compared), (3, drill.files));
    assert!(drill.files > 0 && drill.bytes <= 5_000, "{drill:?}");
    assert!(!below(&few, &house.tree()).join("large-0").exists());
}

/// Harm outside the slice is found by the drill that needs it; a folder that takes nothing is no harm.
///
/// Red when what a drill could not bring back is no difference, or when a full disk is taken for damage.
#[test]
fn a_drill_finds_what_cannot_be_brought_back() {
    let (house, storage, id) = saved();
    let place = places(&house, &id, "large-0").pop().unwrap();
    storage.tamper(&pack_key(&place), |bytes| bytes[place.offset as usize + 3] ^= 1);
    let number = place.pack.0[..8].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)) % u64::from(SLICES);
    let other = if number == 0 { 2 } else { 1 };
    let folder = house.home.path().join("scratch");
    assert_eq!(prove(&house, &id, other, NO_DRILL, &folder).unwrap().verdict(), Verdict::Proved);
    let found = prove(&house, &id, other, DRILL, &house.home.path().join("drill")).unwrap();
    assert_eq!(found.verdict(), Verdict::Damaged);
    assert!(found.differences.iter().any(|one| one.place.contains("large-0")), "{found:#?}");

    let nowhere = prove(&house, &Id([7; 32]), other, DRILL, &house.home.path().join("gone")).unwrap();
    assert!(nowhere.differences.iter().any(|one| one.place.starts_with("drill of snapshot 0707")), "{nowhere:#?}");

    let file = house.home.path().join("file");
    fs::write(&file, "x").unwrap();
    let options = SliceOptions {
        repository_id: RepositoryId::new(Timestamp::UNIX_EPOCH, [1; 10]),
        slice: Slice { number: other, of: SLICES },
        snapshot: &id.to_hex(),
        drill: DRILL,
        folder: &file,
        workers: 2,
        started_at: Timestamp::now(),
    };
    let refused = verify_slice(&house.repository, &options, &EngineProgress::default(), &Interrupt::default());
    assert!(matches!(refused, Err(EngineError::Target { .. })), "{refused:?}");
    assert!(storage_keeps(&house), "and nothing was written to the repository");
}

fn storage_keeps(house: &House) -> bool {
    house.repository.file_list(FileKind::Snapshot, &Interrupt::default()).unwrap().len() == 1
}
