//! A repair of packs saves what is intact, names what is not, and keeps the damaged bytes.

use std::fs;
use std::path::Path;

use backstay_engine::format::id::Id;
use backstay_engine::format::object::FileKind;
use backstay_engine::maintenance::repair::index::PacksRead;
use backstay_engine::maintenance::repair::packs::{PacksPreview, apply, plan};
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};

use super::house::House;
use super::prune::alone;
use super::repair::{Damage, Patient, known, opened, readable_index, repair_index};
use super::restic::restics;

pub(crate) fn try_repair_packs(repository: &Repository, packs: &[Id], to: &Path) -> Result<PacksPreview, EngineError> {
    let guard = alone(repository)?;
    let planned = plan(repository, packs, &guard, &EngineProgress::default(), &Interrupt::default())?;
    let files = apply(repository, &planned, to, &guard, &EngineProgress::default(), &Interrupt::default())?;
    assert_eq!(files.len(), planned.preview.packs.iter().filter(|pack| pack.bytes.is_some()).count());
    guard.release()?;
    Ok(planned.preview)
}

const DAMAGES: [Damage; 4] = [Damage::DataFlipped, Damage::HeaderFlipped, Damage::PackCut, Damage::PackGone];

#[test]
fn as_much_is_saved_as_restic_saves_and_the_bytes_are_kept() {
    let patient = Patient::new();
    let newest = restics().pop();
    for damage in DAMAGES {
        let pack = patient.suffer(damage).unwrap();
        let home = patient.laid_out();
        let body = fs::read(home.path().join("repository").join(FileKind::Pack.key(&pack).as_str())).ok();
        let kept = tempfile::tempdir().unwrap();
        let done = try_repair_packs(patient.repository(), &[pack], kept.path()).unwrap();
        let file = kept.path().join(format!("pack-{pack}"));
        assert_eq!(fs::read(&file).ok(), body, "{damage:?}");
        assert_eq!(fs::read_dir(kept.path()).unwrap().count(), usize::from(body.is_some()));
        assert_eq!(done.packs[0].lost.is_empty(), damage == Damage::HeaderFlipped, "{damage:?} {done:?}");
        assert_eq!(done.packs[0].blobs_saved > 0, damage != Damage::PackGone, "{damage:?} {done:?}");
        let index = patient.repository().index_load(&Interrupt::default()).unwrap();
        let ours = known(&index);
        assert!(!ours.0.contains(&pack));
        assert!(!patient.repository().pack_list(&Interrupt::default()).unwrap().iter().any(|(id, _)| *id == pack));
        for lost in &done.packs[0].lost {
            assert!(!index.contains(lost.kind, &lost.id));
        }
        // restic wants the pack to be there.
        if let Some(restic) = newest.as_ref().filter(|_| damage != Damage::PackGone) {
            let output = std::process::Command::new(restic.program())
                .current_dir(home.path())
                .args(["--no-cache", "-r", "repository", "repair", "packs", &pack.to_hex()])
                .env("RESTIC_PASSWORD", super::house::PASSWORD)
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            let theirs = known(&opened(home.path()).index_load(&Interrupt::default()).unwrap());
            assert_eq!(ours.1, theirs.1, "{damage:?}");
        }
        if damage == Damage::HeaderFlipped {
            patient.house.assert_proved(&patient.second);
            let house = House::opened(patient.laid_out());
            restics().iter().for_each(|restic| restic.check(&house));
        }
    }
}

/// The index was repaired first, so it no longer relies on the pack: what lies in it is saved all the same.
#[test]
fn what_a_repaired_index_kept_of_an_unreadable_pack_is_saved_too() {
    let patient = Patient::new();
    let pack = patient.suffer(Damage::PackCut).unwrap();
    let kept = tempfile::tempdir().unwrap();
    try_repair_packs(patient.repository(), &[pack], kept.path()).unwrap();
    let goal = known(&readable_index(patient.repository())).1;
    patient.suffer(Damage::PackCut);
    repair_index(patient.repository(), PacksRead::Doubtful);
    let done = try_repair_packs(patient.repository(), &[pack], kept.path()).unwrap();
    assert!(done.packs[0].blobs_saved > 0, "{done:?}");
    assert_eq!(known(&readable_index(patient.repository())).1, goal);
    assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 1, "the same bytes are kept once");
}

#[test]
fn a_repair_of_packs_may_die_at_any_call() {
    let patient = Patient::new();
    let mut deaths = 0;
    for damage in [Damage::DataFlipped, Damage::PackCut] {
        let pack = patient.suffer(damage).unwrap();
        let kept = tempfile::tempdir().unwrap();
        try_repair_packs(patient.repository(), &[pack], kept.path()).unwrap();
        let goal = known(&readable_index(patient.repository())).1;
        let repair = || match try_repair_packs(patient.repository(), &[pack], kept.path()) {
            // All was done, and only the answer was lost.
            Err(EngineError::Format { source, .. }) if source.to_string().contains("neither") => Ok(()),
            answer => answer.map(|_| ()),
        };
        let judge = |context: &str, is_over: bool| {
            let index = patient.repository().index_load(&Interrupt::default()).unwrap();
            let now = known(&index);
            assert!(goal.is_subset(&now.1), "{context}");
            let there = patient.repository().pack_list(&Interrupt::default()).unwrap();
            let is_there = |id: &Id| there.iter().any(|(other, _)| other == id);
            assert!(now.0.iter().all(is_there), "{context}: an index names a pack that is gone");
            if is_over {
                assert_eq!(now.1, goal, "{context}");
                assert!(!is_there(&pack), "{context}");
            }
        };
        deaths += patient.die_everywhere(damage, &repair, &judge);
        assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 1);
    }
    assert!(deaths > 60, "{deaths}");
}

#[test]
fn a_pack_that_nobody_knows_and_a_folder_that_is_not_there_stop_it() {
    let patient = Patient::new();
    patient.suffer(Damage::DataFlipped);
    let before = patient.storage.inner().keys();
    let kept = tempfile::tempdir().unwrap();
    let unknown = try_repair_packs(patient.repository(), &[Id::of(b"no pack")], kept.path()).unwrap_err();
    assert!(matches!(unknown, EngineError::Format { .. }), "{unknown:?}");
    let pack = patient.data.pack;
    let unsaved = try_repair_packs(patient.repository(), &[pack], &kept.path().join("missing")).unwrap_err();
    assert!(matches!(unsaved, EngineError::Write { .. }), "{unsaved:?}");
    let after = patient.storage.inner().keys();
    assert!(before.iter().all(|key| key.starts_with("locks/") || after.contains(key)));
}
