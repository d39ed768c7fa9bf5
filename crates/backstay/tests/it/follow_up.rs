//! Plans that follow one another, on the whole product: declared, run, explained, refused.

use serde_json::{Value, json};

use crate::support::{Place, Ran};

/// A place whose plan `docs` is followed by `docs-far`, into another repository.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let applied = apply(&place, "docs-far", "");
    assert_eq!(applied.code, Some(0), "{applied:?}");
    place
}

fn apply(place: &Place, after_docs: &str, after_far: &str) -> Ran {
    let folder = |name: &str| place.path(name).display().to_string();
    let repository = |name: &str| {
        let storage = format!("{{kind: local, settings: {{path: {}}}}}", folder(name));
        format!("  {name}: {{storage: {storage}, password: 'file:keys/local.key'}}\n")
    };
    let plan = |name: &str, repository: &str, after: &str| {
        format!("  {name}: {{source: docs, repository: {repository}, backup: {{follow_ups: [{after}]}}}}\n")
    };
    let text = format!(
        "sources: {{docs: {{settings: {{path: {}}}}}}}\nrepositories:\n{}{}plans:\n{}{}",
        folder("source"),
        repository("near"),
        repository("far"),
        plan("docs", "near", after_docs),
        plan("docs-far", "far", after_far),
    );
    let path = place.path("wanted.yaml");
    std::fs::write(&path, text).unwrap();
    place.run(&["apply", "-f", path.to_str().unwrap()])
}

/// Returns the backups of a plan, newest first.
fn of_plan(place: &Place, plan: &str) -> Vec<Value> {
    let id = place.json(&["plan", "show", plan])["id"].clone();
    let rows = place.json(&["job", "list", "--kind", "backup"])["rows"].as_array().unwrap().clone();
    rows.into_iter().filter(|row| row["plan_id"] == id).collect()
}

fn run(place: &Place, plan: &str) {
    let ran = place.run(&["plan", "run", plan, "--wait"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// Red when a good end queues nothing, when the one that follows is not run, or when nobody says what follows what.
#[test]
fn a_good_backup_is_followed_by_another_plan() {
    let place = place();
    assert_eq!(apply(&place, "docs-far", "").out, "nothing to change\n");
    let export = place.path("export.yaml");
    assert_eq!(place.run(&["export", "-o", export.to_str().unwrap()]).code, Some(0));
    let text = std::fs::read_to_string(&export).unwrap();
    assert!(text.contains("follow_ups"), "{text}");
    let again = place.run(&["apply", "-f", export.to_str().unwrap(), "--retire-missing"]);
    assert_eq!((again.code, again.out.as_str()), (Some(0), "nothing to change\n"), "{}", again.err);

    run(&place, "docs");
    let first = of_plan(&place, "docs").remove(0);
    let followed = of_plan(&place, "docs-far");
    let [next] = &followed[..] else { panic!("one job follows: {followed:?}") };
    assert_eq!((&next["trigger"], &next["follow_up_of"]), (&json!("follow_up"), &first["id"]));
    let id = |job: &Value| job["id"].as_str().unwrap().to_owned();
    assert_eq!(place.json(&["job", "show", &id(&first)])["followed_by"], json!([next["id"]]));
    let shown = place.run(&["job", "show", &id(&first)]).out;
    assert!(shown.contains(&format!("followed by job {}", id(next))), "{shown}");
    let shown = place.run(&["job", "show", &id(next)]).out;
    assert!(shown.contains(&format!("follows job {}", id(&first))), "{shown}");
    let explained = place.run(&["job", "explain", &id(next)]).out;
    assert!(explained.contains(&format!("it follows job {} of plan docs", id(&first))), "{explained}");
    let log = place.run(&["job", "log", &id(next)]).out;
    assert!(log.contains("by plan docs-far follows plan docs"), "{log}");

    // It ran by itself, or what is asked for is the one that waits: either way it has ended once that has.
    run(&place, "docs-far");
    let far = of_plan(&place, "docs-far");
    assert!(far.iter().all(|job| job["state"] == "succeeded"), "{far:?}");
    assert_eq!(far.last().unwrap()["id"], next["id"]);

    let shown = place.run(&["plan", "show", "docs"]).out;
    assert!(shown.lines().any(|line| line.contains("follow_ups") && line.contains("docs-far")), "{shown}");
    let explained = place.run(&["plan", "explain", "docs"]).out;
    assert!(
        explained.contains("plan docs-far follows each backup of it that ends complete or unchanged"),
        "{explained}"
    );
    let explained = place.run(&["plan", "explain", "docs-far"]).out;
    assert!(explained.contains("it follows good backups of plan docs"), "{explained}");

    assert_eq!(place.run(&["plan", "pause", "docs-far"]).code, Some(0));
    let explained = place.run(&["plan", "explain", "docs"]).out;
    assert!(explained.contains("it is paused, and is passed over"), "{explained}");
    run(&place, "docs");
    assert_eq!(of_plan(&place, "docs-far").len(), far.len());
    let told = place.run(&["event", "list"]).out;
    assert!(told.contains("plan docs-far was not started after plan docs: the plan is paused"), "{told}");

    let cleared = place.json(&["plan", "update", "docs", "--follow-up", ""]);
    assert_eq!(cleared["said"]["backup"]["follow_ups"], json!([]));
}

/// Red when a circle, an unknown plan or a name that others follow is taken in, or the place in the file is not named.
#[test]
fn what_cannot_follow_is_refused() {
    let place = place();
    let check = |ran: Ran, words: &str| {
        assert_eq!((ran.code, ran.err.contains(words)), (Some(20), true), "{words}: {ran:?}");
    };
    check(apply(&place, "docs-far", "docs"), "the plan docs-far would follow itself, or one that does");
    check(apply(&place, "moon", ""), "there is no plan moon, neither in this file nor on the server");
    let update = |plan: &str, option: &str, value: &str| place.run(&["plan", "update", plan, option, value]);
    check(
        update("docs-far", "--follow-up", "docs"),
        "backup.follow_ups: plan docs-far would follow itself: docs-far, then docs, then docs-far",
    );
    check(update("docs", "--follow-up", "moon"), "backup.follow_ups: its tenant has no plan moon");
    check(update("docs-far", "--name", "offsite"), "it follows plan docs, by the name that it has");
    assert_eq!(of_plan(&place, "docs-far"), Vec::<Value>::new());
}
