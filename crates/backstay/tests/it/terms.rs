//! How backups of a plan go about their work: what may stay unread, and what becomes of what did not change.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::quickstart::half_readable;
use crate::support::{Place, Ran, make_tree, restics};

fn newest(place: &Place) -> Value {
    place.json(&["snapshot", "list"])["rows"][0].clone()
}

fn count(place: &Place) -> usize {
    place.json(&["snapshot", "list"])["rows"].as_array().unwrap().len()
}

/// Red when the plan's terms do not reach the lease, the runner or the settlement.
#[test]
fn what_did_not_change_is_confirmed_and_what_is_accepted_may_stay_unread() {
    let place = Place::new();
    make_tree(&place.source(), 1);
    assert_eq!(place.quickstart().code, Some(0));
    let plan = place.json(&["plan", "list"])["rows"][0]["name"].as_str().unwrap().to_owned();
    let run = || -> Ran { place.run(&["plan", "run", &plan, "--wait"]) };
    let changed =
        place.json(&["plan", "update", &plan, "--priority", "5", "--accept-unread", "**/odd-*", "--skip-if-unchanged"]);
    let terms = json!({ "priority": 5, "accept_unread": ["**/odd-*"], "skip_if_unchanged": true });
    let ours = json!({ "priority": 5, "accept_unread": ["**/odd-*"], "skip_if_unchanged": true, "hooks": {},
        "stall_limit_ms": 1_800_000 });
    assert_eq!((&changed["backup"], &changed["said"]["backup"]), (&ours, &terms));
    let shown = place.run(&["plan", "show", &plan]).out;
    assert!(shown.contains("**/odd-*") && shown.contains("skip_if_unchanged"), "{shown}");

    let odd = place.source().join("odd-1");
    half_readable(&odd);
    let ran = run();
    assert_eq!(ran.code, Some(3), "it is told, and never green: {ran:?}");
    let accepted = newest(&place);
    assert_eq!((&accepted["outcome"], &accepted["is_good"]), (&json!("partial"), &json!(true)));
    half_readable(&place.source().join("even-1"));
    assert_eq!(run().code, Some(3));
    assert_eq!(newest(&place)["is_good"], json!(false), "one that nobody accepted");
    for name in ["odd-1", "even-1"] {
        std::fs::remove_file(place.source().join(name)).unwrap();
    }

    assert_eq!(run().code, Some(0));
    let (whole, before) = (newest(&place), count(&place));
    // What others do beside the source is not its.
    std::fs::write(place.path("beside"), "x").unwrap();
    assert_eq!((&whole["is_good"], &whole["confirmed_at"]), (&json!(true), &Value::Null));
    let ran = run();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let confirmed = newest(&place);
    assert_eq!((count(&place), &confirmed["id"]), (before, &whole["id"]), "none was published");
    assert!(confirmed["confirmed_at"].as_str().unwrap() > whole["taken_at"].as_str().unwrap(), "{confirmed}");
    let explained = place.run(&["snapshot", "explain", whole["id"].as_str().unwrap()]).out;
    assert!(explained.contains("a backup found its item as it has it"), "{explained}");
    let job = place.json(&["job", "list", "--kind", "backup"])["rows"][0].clone();
    assert_eq!((&job["outcome"], &job["counts"]["files"]), (&json!("unchanged"), &job["counts"]["files_unmodified"]));
    for restic in restics() {
        let listed = place.restic(&restic, &["snapshots", "--json"]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed.as_array().unwrap().len(), before);
    }
    std::fs::write(place.source().join("letter"), "dear").unwrap();
    assert_eq!(run().code, Some(0));
    assert_eq!(count(&place), before + 1);
    for path in [place.source(), place.source().join("letter")] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let before = count(&place);
        assert_eq!(run().code, Some(0));
        assert_eq!(count(&place), before + 1, "another mode of {}", path.display());
    }

    let wrong = place.run(&["plan", "update", &plan, "--accept-unread", "/tmp/**", "--accept-unread", "*.sock"]);
    assert!(wrong.code != Some(0) && wrong.err.contains("backup.accept_unread[1]"), "{wrong:?}");
    let wrong = place.run(&["plan", "update", &plan, "--priority=-101"]);
    assert!(wrong.code != Some(0) && wrong.err.contains("backup.priority"), "{wrong:?}");
    let plain = place.json(&["plan", "update", &plan, "--inherit", "backup"]);
    assert_eq!(
        plain["backup"],
        json!({ "priority": 0, "accept_unread": [],
        "skip_if_unchanged": false, "hooks": {}, "stall_limit_ms": 1_800_000 })
    );
}
