//! Repaired snapshots hold all that is left, say what is not, and are those that restic makes.

use std::collections::BTreeSet;

use backstay_engine::format::id::Id;
use backstay_engine::maintenance::repair::index::PacksRead;
use backstay_engine::maintenance::repair::snapshots::{Loss, apply, plan};
use backstay_engine::maintenance::rewrite::snapshot::{Old, Outcome, Rewritten, SnapshotPreview};
use backstay_engine::select::read_all;
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};

use super::house::House;
use super::prune::alone;
use super::repair::{Damage, Patient, opened, repair_index};
use super::restic::restics;
use super::rewrite::{all, facts};
use super::tree::{Bits, contents};

type Told = Vec<(Id, String, Loss)>;

fn try_repair(repository: &Repository, old: Old) -> Result<(Vec<SnapshotPreview>, Told, Rewritten), EngineError> {
    let guard = alone(repository)?;
    let snapshots = read_all(repository, &Interrupt::default())?.read;
    let mut told = Vec::new();
    let mut tell = |id: &Id, path: &[u8], loss: &Loss| {
        told.push((*id, String::from_utf8_lossy(path).into_owned(), loss.clone()));
    };
    let chosen = (snapshots.clone(), &snapshots[..]);
    let planned = plan(repository, chosen, old, &mut tell, &guard, &EngineProgress::default(), &Interrupt::default())?;
    let previews = planned.plan.snapshots.clone();
    let done = apply(repository, planned, &guard, &EngineProgress::default(), &Interrupt::default())?;
    guard.release()?;
    Ok((previews, told, done))
}

#[test]
fn what_is_left_is_what_restic_leaves_and_every_loss_is_told() {
    let patient = Patient::new();
    let newest = restics().pop();
    let mut checked = 0;
    for damage in [Damage::PackGone, Damage::PackCut, Damage::TreesGone] {
        for old in [Old::Keep, Old::Forget] {
            patient.suffer(damage);
            // What an unreadable pack still holds is saved by `repair packs`; restic's index repair gives it up.
            if damage == Damage::PackCut {
                super::repair::remove(&patient.storage.inner(), &super::proof::pack_key(&patient.data));
            }
            repair_index(patient.repository(), PacksRead::Doubtful);
            let home = patient.laid_out();
            let (previews, told, done) = try_repair(patient.repository(), old).unwrap();
            assert!(!told.is_empty() && previews.iter().any(|one| one.outcome != Outcome::Same), "{damage:?}");
            assert_eq!(previews.iter().map(|one| one.paths).sum::<u64>(), told.len() as u64);
            let lost: Vec<Id> =
                previews.iter().filter(|one| matches!(one.outcome, Outcome::Lost(_))).map(|one| one.id).collect();
            if let Some(restic) = &newest {
                let forget: &[&str] = if old == Old::Forget { &["--forget"] } else { &[] };
                restic.run(home.path(), &[&["repair", "snapshots"], forget].concat());
                let theirs = facts(&opened(home.path()));
                let ours = facts(patient.repository());
                // restic removes a snapshot of which nothing is left also when nobody asked it to forget.
                let more = if old == Old::Keep { lost.len() } else { 0 };
                assert!(theirs.is_subset(&ours) && ours.len() == theirs.len() + more, "{damage:?} {old:?}");
            }
            if old == Old::Forget {
                let house = House::opened(patient.laid_out());
                restics().iter().for_each(|restic| restic.check(&house));
            }
            for (new, id) in &done.written {
                let touched = told.iter().filter(|(snapshot, _, _)| snapshot == id);
                let prefix = patient.house.tree().to_str().unwrap()[1..].to_owned() + "/";
                let touched: BTreeSet<String> =
                    touched.filter_map(|(_, path, _)| path.strip_prefix(&prefix).map(str::to_owned)).collect();
                let (restored, place) = patient.house.restore(new);
                assert!(restored.unread.is_empty(), "{:?}", restored.unread);
                if *id == patient.second {
                    let whole: Vec<_> = contents(&patient.house.tree(), Bits::All)
                        .into_iter()
                        .filter(|(path, _)| !touched.iter().any(|lost| path.starts_with(lost.as_bytes())))
                        .collect();
                    let left = contents(&place, Bits::All);
                    assert!(whole.iter().all(|(path, bytes)| left.get(path) == Some(bytes)), "{damage:?} {touched:?}");
                    checked += whole.len();
                }
            }
            let (_, _, again) = try_repair(patient.repository(), old).unwrap();
            assert_eq!(again, Rewritten::default(), "{damage:?} {old:?}");
        }
    }
    assert!(checked > 4, "{checked}");
}

/// By an index that is not right, what is there might be dropped.
#[test]
fn nothing_is_dropped_before_the_index_is_right() {
    let patient = Patient::new();
    patient.suffer(Damage::PackGone);
    let before = patient.house.snapshots();
    let refused = try_repair(patient.repository(), Old::Forget).unwrap_err();
    assert!(matches!(&refused, EngineError::IndexWrong { problem, .. } if problem.contains("missing")), "{refused:?}");
    patient.suffer(Damage::IndexGone);
    let refused = try_repair(patient.repository(), Old::Forget).unwrap_err();
    assert!(matches!(&refused, EngineError::IndexWrong { problem, .. } if problem.contains("named")), "{refused:?}");
    patient.suffer(Damage::PackCut);
    // Nothing is lost as far as the index says, so nothing is to be done.
    let (_, _, done) = try_repair(patient.repository(), Old::Forget).unwrap();
    assert_eq!(done, Rewritten::default());
    assert_eq!(patient.house.snapshots(), before);
}

#[test]
fn a_whole_repository_needs_no_repair() {
    let patient = Patient::new();
    let before = patient.storage.inner().keys();
    let (previews, told, done) = try_repair(patient.repository(), Old::Forget).unwrap();
    assert!(told.is_empty() && previews.iter().all(|one| one.outcome == Outcome::Same));
    assert_eq!((done, patient.storage.inner().keys()), (Rewritten::default(), before));
}

#[test]
fn a_repair_of_snapshots_may_die_at_any_call() {
    let patient = Patient::new();
    patient.suffer(Damage::PackGone);
    repair_index(patient.repository(), PacksRead::Doubtful);
    let repair = || try_repair(patient.repository(), Old::Forget).map(|_| ());
    let judge = |context: &str, is_over: bool| {
        let snapshots = all(patient.repository());
        for id in [&patient.first, &patient.second] {
            let stands =
                snapshots.iter().any(|one| one.id == *id || String::from_utf8_lossy(&one.plain).contains(&id.to_hex()));
            assert!(stands, "{context}");
        }
        if is_over {
            for one in &snapshots {
                let (done, _) = patient.house.try_restore(&one.id);
                assert!(done.is_ok_and(|done| done.unread.is_empty()), "{context}");
            }
        }
    };
    let deaths = patient.die_everywhere_from(&repair, &judge);
    assert!(deaths > 30, "{deaths}");
}
