//! Retention and prunes through the command line, with restic as the judge of what is left.

use serde_json::Value;

use crate::support::{Place, assert_same_tree, noise, restics};

/// Returns what restic finds in the repository: the ids of its snapshots.
fn found(place: &Place, restic: &std::path::Path) -> Vec<String> {
    let list: Value = serde_json::from_str(&place.restic(restic, &["snapshots", "--json", "--no-lock"])).unwrap();
    let rows = list.as_array().unwrap();
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

fn listed(place: &Place) -> Vec<Value> {
    place.json(&["snapshot", "list"])["rows"].as_array().unwrap().clone()
}

/// Red when the runner forgets nothing, forgets a pinned one, or tells of what it did not do.
#[test]
fn what_a_plan_does_not_keep_is_pruned_and_what_is_pinned_stays() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    for number in 0..12 {
        std::fs::write(place.source().join(format!("file-{number}")), noise(number, 4_000)).unwrap();
    }
    std::fs::write(place.source().join("large"), noise(90, 2 << 20)).unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let plan = place.json(&["plan", "list"])["rows"][0].clone();
    let (id, name) = (plan["id"].as_str().unwrap(), plan["name"].as_str().unwrap());
    assert_eq!(plan["retention"], serde_json::json!({}), "nothing is dropped unless it is asked for");
    for number in 1..4 {
        std::fs::write(place.source().join("large"), noise(90 + number, 2 << 20)).unwrap();
        assert_eq!(place.run(&["plan", "run", name]).code, Some(0));
    }
    let before = listed(&place);
    assert_eq!(before.len(), 4);
    let word = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    // Newest first: the oldest is pinned, by the beginning of what restic calls it.
    let pinned = &word(&before[3], "foreign_id")[..8];
    assert!(place.json(&["snapshot", "pin", pinned])["pinned_at"].is_string());
    let kept = place.json(&["plan", "update", id, "--keep-last", "1", "--keep-within", "0h"]);
    assert_eq!(kept["retention"], serde_json::json!({ "keep_last": 1 }));
    let preview = place.json(&["plan", "retention", name]);
    let verdicts = preview["rows"][0]["snapshots"].as_array().unwrap();
    let stays: Vec<bool> = verdicts.iter().map(|row| row["is_kept"].as_bool().unwrap()).collect();
    assert_eq!(stays, [true, false, false, true], "{preview:#}");
    let instants = |rows: &[Value]| rows.iter().map(|row| word(row, "taken_at")).collect::<Vec<_>>();
    assert_eq!(instants(verdicts), instants(&before), "instants are written alike everywhere");
    let table = place.run(&["plan", "retention", name]).out;
    assert!(table.contains("no rule keeps it") && table.contains("pinned"), "{table}");
    let ran = place.run(&["repository", "prune", "local"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let after = listed(&place);
    assert_eq!(
        after,
        [before[0].clone(), {
            let mut pinned = before[3].clone();
            pinned["pinned_at"] = after[1]["pinned_at"].clone();
            pinned
        }]
    );
    let gone = place.json(&["snapshot", "show", &word(&before[1], "id")]);
    assert!(gone["forgotten_at"].is_string());
    let refused = place.run(&["snapshot", "restore", &word(&before[1], "id"), "--target", "back"]);
    assert!(refused.code != Some(0) && refused.err.contains("it was forgotten at"), "{}", refused.err);
    let events = place.json(&["event", "list"]);
    assert!(events.to_string().contains("prune complete: 2 snapshots forgotten"), "{events}");
    for restic in restics() {
        let mut wanted: Vec<String> = after.iter().map(|row| word(row, "foreign_id")).collect();
        let mut left = found(&place, &restic);
        wanted.sort();
        left.sort();
        assert_eq!(left, wanted);
        place.restic(&restic, &["check", "--read-data"]);
        let target = place.path(&format!("out-{}", restic.file_name().unwrap().to_string_lossy()));
        place.restic(&restic, &["restore", "latest", "--target", target.to_str().unwrap()]);
        let below = target.join(place.source().strip_prefix("/").unwrap());
        assert_same_tree(&place.source(), &below);
    }
    // Again there is nothing to do, and a wrong name says what to do next.
    assert_eq!(place.run(&["repository", "prune", "local"]).code, Some(0));
    assert_eq!(listed(&place).len(), 2);
    let wrong = place.run(&["plan", "update", id, "--keep-within", "soon"]);
    assert!(wrong.code != Some(0) && wrong.err.contains("keep_within"), "{wrong:?}");
    // What a person wants gone goes, if nothing but a rule keeps it.
    place.json(&["plan", "update", id, "--keep-last", "5"]);
    let (newest, oldest) = (word(&before[0], "id"), word(&before[3], "id"));
    let refused = place.run(&["snapshot", "forget", &oldest]);
    assert!(refused.code == Some(1) && refused.err.contains("snapshot unpin"), "{refused:?}");
    place.json(&["snapshot", "unpin", &oldest]);
    let would = place.json(&["snapshot", "forget", &newest, pinned, "--dry-run"])["rows"].clone();
    assert!(place.json(&["snapshot", "show", pinned])["unwanted_at"].is_null(), "nothing was done");
    let told = place.json(&["snapshot", "forget", &newest, pinned])["rows"].clone();
    for (would, told) in would.as_array().unwrap().iter().zip(told.as_array().unwrap()) {
        assert_eq!([&would["id"], &would["is_kept"]], [&told["id"], &told["is_kept"]], "{would:#} {told:#}");
        assert_eq!(would["reasons"], told["reasons"]);
    }
    assert_eq!(would.as_array().unwrap().len(), 2);
    assert_eq!((&told[0]["is_kept"], &told[1]["is_kept"]), (&true.into(), &false.into()), "{told:#}");
    assert_eq!(told[0]["reasons"], serde_json::json!(["newest good one"]));
    assert!(place.json(&["snapshot", "keep", &newest])["unwanted_at"].is_null());
    assert_eq!(place.run(&["repository", "prune", "local"]).code, Some(0));
    assert_eq!(listed(&place).iter().map(|row| word(row, "id")).collect::<Vec<_>>(), std::slice::from_ref(&newest));
    // Once its plan is retired the last one may go too.
    assert_eq!(place.run(&["plan", "retire", name, "--yes"]).code, Some(0));
    let refused = place.run(&["snapshot", "forget", "--plan", name]);
    assert!(refused.code == Some(20) && refused.err.contains("--yes"), "{refused:?}");
    let would = place.run(&["snapshot", "forget", "--plan", name, "--dry-run"]);
    assert!(would.code == Some(0) && would.out.contains("goes") && would.err.contains("nothing was done"), "{would:?}");
    let told = place.run(&["snapshot", "forget", "--plan", name, "--yes"]).out;
    assert!(told.contains("goes") && told.contains("backstay repository prune"), "{told}");
    assert_eq!(place.run(&["repository", "prune", "local"]).code, Some(0));
    assert_eq!((listed(&place).len(), found(&place, &restics()[0]).len()), (0, 0));
    let wrong = place.run(&["repository", "prune", "elsewhere"]);
    assert!(wrong.code == Some(25) && wrong.err.contains("backstay repository list"), "{wrong:?}");
}
