//! Rewritten snapshots are those that restic makes, whoever dies in between.

use std::collections::BTreeSet;

use backstay_engine::archive::exclude::{Case, Excludes};
use backstay_engine::format::id::Id;
use backstay_engine::maintenance::rewrite::snapshot::{Counts, Old, Outcome, Rewritten, SnapshotPreview};
use backstay_engine::maintenance::rewrite::{RewriteOptions, apply, plan};
use backstay_engine::select::{Snapshot, read_all};
use backstay_engine::{EngineError, EngineProgress, Interrupt, Repository};
use serde_json::Value;

use super::house::House;
use super::prune::alone;
use super::repair::{Damage, Patient, opened};
use super::restic::restics;

pub(crate) fn all(repository: &Repository) -> Vec<Snapshot> {
    let all = read_all(repository, &Interrupt::default()).unwrap();
    assert!(all.unreadable.is_empty(), "{:?}", all.unreadable);
    all.read
}

fn options(patterns: &[&str], old: Old) -> RewriteOptions {
    let mut excludes = Excludes::default();
    patterns.iter().for_each(|pattern| excludes.add(pattern.as_bytes(), Case::Counts).unwrap());
    RewriteOptions { excludes, host: None, time: None, counts: Counts::OfChangedTrees, old }
}

type Done = (Vec<SnapshotPreview>, Vec<String>, Rewritten);

fn try_rewrite(repository: &Repository, options: &RewriteOptions) -> Result<Done, EngineError> {
    let guard = alone(repository)?;
    let snapshots = read_all(repository, &Interrupt::default())?.read;
    let mut told = Vec::new();
    let mut tell = |_: &Id, path: &[u8]| told.push(String::from_utf8_lossy(path).into_owned());
    let chosen = (snapshots.clone(), &snapshots[..]);
    let planned =
        plan(repository, options, chosen, &mut tell, &guard, &EngineProgress::default(), &Interrupt::default())?;
    let previews = planned.plan.snapshots.clone();
    let done = apply(repository, options, planned, &guard, &EngineProgress::default(), &Interrupt::default())?;
    guard.release()?;
    Ok((previews, told, done))
}

/// Returns what of snapshots does not depend on who wrote them, each as JSON.
pub(crate) fn facts(repository: &Repository) -> BTreeSet<String> {
    let of = |snapshot: Snapshot| {
        let mut value: Value = serde_json::from_slice(&snapshot.plain).unwrap();
        // restic writes a summary's times anew, in its own spelling.
        if let Some(summary) = value.get_mut("summary").and_then(Value::as_object_mut) {
            summary.remove("backup_start");
            summary.remove("backup_end");
        }
        value["time"] = format!("{:?}", snapshot.time).into();
        value.to_string()
    };
    all(repository).into_iter().map(of).collect()
}

#[test]
fn excluded_afterwards_is_what_restic_excludes_bit_for_bit() {
    let patient = Patient::new();
    let newest = restics().pop();
    for (patterns, old) in [
        (&["old-*", "folder/text"][..], Old::Keep),
        (&["old-*", "!old-03", "/**/folder"], Old::Forget),
        (&["*"], Old::Keep),
    ] {
        patient.suffer_nothing();
        let home = patient.laid_out();
        let (previews, told, done) = try_rewrite(patient.repository(), &options(patterns, old)).unwrap();
        assert_eq!(previews.iter().map(|one| one.paths).sum::<u64>(), told.len() as u64);
        assert_eq!(done.written.len(), 2, "{previews:?}");
        assert_eq!(done.forgotten.len(), if old == Old::Forget { 2 } else { 0 });
        if let Some(restic) = &newest {
            let mut arguments = vec!["rewrite"];
            patterns.iter().for_each(|pattern| arguments.extend(["--exclude", pattern]));
            arguments.extend((old == Old::Forget).then_some("--forget"));
            restic.run(home.path(), &arguments);
            assert_eq!(facts(patient.repository()), facts(&opened(home.path())), "{patterns:?}");
        }
        let house = House::opened(patient.laid_out());
        restics().iter().for_each(|restic| restic.check(&house));
        let (again, _, done) = try_rewrite(patient.repository(), &options(patterns, old)).unwrap();
        assert_eq!(done, Rewritten::default(), "{again:?}");
    }
}

/// One tree at two places, and a pattern that means one of them.
#[test]
fn the_same_folder_elsewhere_stays() {
    let house = House::local();
    for folder in ["one", "two"] {
        std::fs::create_dir(house.tree().join(folder)).unwrap();
    }
    std::fs::write(house.tree().join("one/x"), "the same").unwrap();
    std::fs::hard_link(house.tree().join("one/x"), house.tree().join("two/x")).unwrap();
    let id = house.backup(None).id;
    let tree = |folder| super::proof::places(&house, &id, folder)[0];
    assert_eq!(tree("one"), tree("two"), "it is one tree");
    for kept in ["one", "two"] {
        let gone = if kept == "one" { "two" } else { "one" };
        let pattern = format!("{}/{gone}/x", house.tree().display());
        let (_, told, done) = try_rewrite(&house.repository, &options(&[&pattern], Old::Keep)).unwrap();
        let place = house.restore(&done.written[0].0).1;
        assert!(place.join(kept).join("x").exists() && std::fs::read_dir(&place).unwrap().count() == 2, "{told:?}");
        assert!(!place.join(gone).join("x").exists(), "{told:?}");
        for (new, _) in &done.written {
            super::prune::forget_one(&house.repository, new).unwrap();
        }
    }
}

#[test]
fn host_and_time_are_changed_once() {
    let patient = Patient::new();
    let newest = restics().pop();
    patient.suffer_nothing();
    let home = patient.laid_out();
    let changed = RewriteOptions {
        host: Some("other".to_owned()),
        time: Some("2001-02-03T04:05:06Z".to_owned()),
        ..options(&[], Old::Keep)
    };
    let (previews, _, done) = try_rewrite(patient.repository(), &changed).unwrap();
    assert!(previews.iter().all(|one| one.outcome == Outcome::Replaced && one.paths == 0), "{previews:?}");
    assert_eq!((done.written.len(), done.forgotten.len()), (2, 0));
    if let Some(restic) = &newest {
        restic.run(home.path(), &["rewrite", "--new-host", "other", "--new-time", "2001-02-03 04:05:06"]);
        assert_eq!(facts(patient.repository()), facts(&opened(home.path())));
    }
    let (again, _, done) = try_rewrite(patient.repository(), &changed).unwrap();
    assert_eq!(done, Rewritten::default(), "{again:?}");
    assert_eq!(again.iter().filter(|one| one.outcome == Outcome::Same).count(), 2);
}

#[test]
fn what_matches_nothing_changes_nothing_and_a_preview_writes_nothing() {
    let patient = Patient::new();
    let before = patient.storage.inner().keys();
    let (previews, _, done) = try_rewrite(patient.repository(), &options(&["nobody-has-this"], Old::Forget)).unwrap();
    assert_eq!(done, Rewritten::default());
    assert!(previews.iter().all(|one| one.outcome == Outcome::Same && one.files == 41 || one.files == 22));
    let shared = super::lock::lock(patient.repository(), backstay_engine::lock::LockMode::Shared).unwrap();
    let snapshots = all(patient.repository());
    let mut count = 0;
    let mut tell = |_: &Id, _: &[u8]| count += 1;
    let options = options(&["old-*"], Old::Forget);
    let chosen = (snapshots.clone(), &snapshots[..]);
    let planned = plan(
        patient.repository(),
        &options,
        chosen,
        &mut tell,
        &shared,
        &EngineProgress::default(),
        &Interrupt::default(),
    )
    .unwrap();
    let refused =
        apply(patient.repository(), &options, planned, &shared, &EngineProgress::default(), &Interrupt::default());
    assert!(matches!(refused, Err(EngineError::LockLost { .. })), "{refused:?}");
    shared.release().unwrap();
    assert_eq!((count, patient.storage.inner().keys()), (20, before));
}

/// An exclude is no repair: what cannot be read is not dropped in silence.
#[test]
fn a_tree_that_is_lost_stops_a_rewrite() {
    let patient = Patient::new();
    patient.suffer(Damage::TreesGone);
    let refused = try_rewrite(patient.repository(), &options(&["old-*"], Old::Forget)).unwrap_err();
    assert!(refused.is_harm(), "{refused:?}");
    assert_eq!(patient.house.snapshots().len(), 2);
}

#[test]
fn a_rewrite_may_die_at_any_call() {
    let patient = Patient::new();
    let options = options(&["old-*"], Old::Forget);
    let mut deaths = 0;
    let repair = || try_rewrite(patient.repository(), &options).map(|_| ());
    let judge = |context: &str, is_over: bool| {
        let snapshots = all(patient.repository());
        for id in [&patient.first, &patient.second] {
            let stands = |one: &Snapshot| {
                let value: Value = serde_json::from_slice(&one.plain).unwrap();
                one.id == *id || value["original"] == id.to_hex()
            };
            let standing: Vec<&Snapshot> = snapshots.iter().filter(|one| stands(one)).collect();
            assert!(!standing.is_empty(), "{context}: neither {id} nor what takes its place is there");
            assert!(!is_over || standing.len() == 1 || *id == patient.second, "{context}: {standing:?}");
            for one in standing {
                let (done, _) = patient.house.try_restore(&one.id);
                assert!(done.is_ok_and(|done| done.unread.is_empty()), "{context}");
            }
        }
    };
    deaths += patient.die_everywhere_from(&repair, &judge);
    assert!(deaths > 30, "{deaths}");
}
