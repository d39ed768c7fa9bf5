//! Quotas and retirements through the command line.

use std::path::Path;

use serde_json::Value;

use crate::support::{Place, assert_same_tree, noise};

/// A place with one plan and one snapshot, and that plan.
fn started() -> (Place, Value) {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("large"), noise(1, 2 << 20)).unwrap();
    for number in 0..12 {
        std::fs::write(place.source().join(format!("file-{number}")), noise(number + 10, 900)).unwrap();
    }
    assert_eq!(place.quickstart().code, Some(0));
    let plan = place.json(&["plan", "list"])["rows"][0].clone();
    (place, plan)
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap()
}

/// Returns the bytes of all packs in the storage.
fn packs(place: &Place) -> u64 {
    fn sum(folder: &Path) -> u64 {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| if entry.path().is_dir() { sum(&entry.path()) } else { entry.metadata().unwrap().len() })
            .sum()
    }
    let repository = place.json(&["repository", "list"])["rows"][0].clone();
    sum(&Path::new(text(&repository["storage"]["settings"], "path")).join("data"))
}

/// Red when the agent does not say what a prune left, or the claim does not ask for the quota.
#[test]
fn a_quota_keeps_backups_out_and_prunes_make_room() {
    let (place, plan) = started();
    let name = text(&plan, "name");
    let fresh = place.json(&["quota", "show"]);
    assert_eq!((fresh["level"].clone(), fresh["used_snapshot_count"].clone()), ("green".into(), 1.into()));
    let used = fresh["used_bytes"].as_u64().unwrap();
    assert!(used >= 2 << 20 && fresh["quota_bytes"].is_null() && fresh["used_percent"].is_null(), "{fresh}");
    let large = place.run(&["quota", "set", "default", "--bytes", "9223372036854775808"]);
    assert!(
        large.code != Some(0) && large.err.contains("quota_bytes: the most"),
        "kept as something smaller: {large:?}"
    );
    let set = place.json(&["quota", "set", "default", "--bytes", "3MiB"]);
    assert_eq!((set["level"].clone(), set["quota_bytes"].clone()), ("yellow".into(), (3 << 20).into()));
    std::fs::write(place.source().join("large"), noise(2, 2 << 20)).unwrap();
    assert_eq!(place.run(&["plan", "run", name]).code, Some(0), "there was room when it began");
    let shown = place.run(&["quota", "show"]).out;
    assert!(shown.contains("red") && shown.contains("of 3.00 MiB") && shown.contains("no limit"), "{shown}");
    let refused = place.run(&["plan", "run", name]);
    assert!(refused.code != Some(0) && refused.err.contains("of 3.0 MiB that its quota allows"), "{refused:?}");
    assert!(refused.err.contains("backstay quota show"), "{refused:?}");
    let digest = place.run(&["digest", "show"]).out;
    assert!(digest.contains("Quota") && digest.contains("no backup starts"), "{digest}");
    // What is restored asks nobody; a prune counts what lies there.
    let snapshot = place.json(&["snapshot", "list"])["rows"][0].clone();
    let out = place.path("out");
    let restored = place.run(&["snapshot", "restore", text(&snapshot, "id"), "--target", out.to_str().unwrap()]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert_eq!(place.run(&["plan", "update", text(&plan, "id"), "--keep-last", "1"]).code, Some(0));
    assert_eq!(place.run(&["repository", "prune", "local"]).code, Some(0));
    let after = place.json(&["quota", "show"]);
    assert_eq!(after["used_snapshot_count"], 1);
    // The packs are all there until their grace is over; headers of packs that were written anew are not counted.
    let (used, there) = (after["used_bytes"].as_u64().unwrap(), packs(&place));
    assert!(used <= there && there - used < 4_096, "{used} of {there}");
    let lifted = place.json(&["quota", "set", "default", "--bytes", "none", "--snapshots", "9"]);
    assert!(lifted["quota_bytes"].is_null() && lifted["quota_snapshot_count"] == 9, "{lifted}");
    assert_eq!(place.run(&["plan", "run", name]).code, Some(0));
    assert_eq!(place.json(&["quota", "list"])["rows"][0]["tenant"], "default");
    assert_eq!(place.run(&["quota", "set", "default", "--bytes", "many"]).code, Some(2));
    assert_eq!(place.run(&["quota", "show", "nobody"]).code, Some(25));
}

/// Red when a list shows what is retired, when its name is not free, or when its snapshot cannot be restored.
#[test]
fn what_is_retired_is_gone_from_lists_and_its_data_is_there() {
    let (place, plan) = started();
    let (id, name) = (text(&plan, "id"), text(&plan, "name"));
    let source = place.json(&["source", "list"])["rows"][0].clone();
    let needed = place.run(&["source", "retire", text(&source, "id"), "--yes"]);
    assert!(needed.code != Some(0) && needed.err.contains(&format!("in use by a plan: {name}")), "{needed:?}");
    let asked = place.run(&["plan", "retire", name]);
    assert!(asked.code != Some(0) && asked.err.contains("--yes") && asked.err.contains("snapshots"), "{asked:?}");
    assert_eq!(place.json(&["plan", "list"])["rows"].as_array().unwrap().len(), 1, "nothing was done");
    for _ in 0..2 {
        let done = place.run(&["plan", "retire", id, "--yes"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.err.contains("Its snapshots, their evidence and its history stay"), "{done:?}");
    }
    assert!(place.json(&["plan", "list"])["rows"].as_array().unwrap().is_empty());
    let retired = place.json(&["plan", "list", "--retired"])["rows"][0].clone();
    assert!(retired["retired_at"].is_string() && text(&retired, "id") == id, "{retired}");
    assert!(place.json(&["plan", "show", id])["retired_at"].is_string());
    let refused = place.run(&["call", "plan_request", id]);
    assert!(refused.code != Some(0) && refused.err.contains("is retired"), "{refused:?}");
    let repository = text(&plan, "repository_id");
    let again = place.json(&["plan", "create", name, "--source", text(&source, "id"), "--repository", repository]);
    assert!(again["id"].is_string() && text(&again, "id") != id, "{again}");
    assert_eq!(place.run(&["plan", "retire", name, "--yes"]).code, Some(0));
    for noun in ["source", "repository"] {
        let row = place.json(&[noun, "list"])["rows"][0].clone();
        let done = place.run(&[noun, "retire", text(&row, "name"), "--yes"]);
        assert_eq!(done.code, Some(0), "{noun}: {done:?}");
        assert!(place.json(&[noun, "list"])["rows"].as_array().unwrap().is_empty());
    }
    let snapshot = place.json(&["snapshot", "list"])["rows"][0].clone();
    let out = place.path("out");
    let restored = place.run(&["snapshot", "restore", text(&snapshot, "id"), "--target", out.to_str().unwrap()]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert_same_tree(&place.source(), &out.join(place.source().strip_prefix("/").unwrap()));
    assert_eq!(place.run(&["snapshot", "verify", text(&snapshot, "id")]).code, Some(0));
}
