//! Repositories that were there before: those of plain restic are taken in, and those of an installation whose database
//! is gone give it its rows again.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{BINARY, Place, Ran, assert_same_tree, make_tree, restics};

/// A repository that plain restic made.
struct Theirs<'a> {
    place: &'a Place,
    restic: &'a Path,
}

impl Theirs<'_> {
    fn restic(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(self.restic);
        command.args(["--no-cache", "-r"]).arg(self.place.path("theirs")).arg("-p").arg(self.place.path("password"));
        let ran = Ran::of(command.args(arguments));
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
        ran.out
    }

    fn count(&self) -> usize {
        let listed: Value = serde_json::from_str(&self.restic(&["snapshots", "--json"])).unwrap();
        listed.as_array().unwrap().len()
    }
}

fn rows(place: &Place, arguments: &[&str]) -> Vec<Value> {
    place.json(arguments)["rows"].as_array().unwrap().clone()
}

fn by_name(place: &Place, noun: &str, name: &str) -> String {
    let rows = rows(place, &[noun, "list"]);
    let row = rows.iter().find(|row| row["name"] == *name);
    row.unwrap_or_else(|| panic!("no {noun} {name} in {rows:?}"))["id"].as_str().unwrap().to_owned()
}

/// Red when a foreign snapshot becomes a plan's that is not its own, when a rule lets a foreign one go, or when asking twice
/// doubles anything.
#[test]
fn a_repository_of_restic_is_taken_in_and_nothing_foreign_goes() {
    let place = Place::new();
    let (shop, other) = (place.path("shop"), place.path("other"));
    for folder in [place.source(), shop.clone(), other.clone()] {
        make_tree(&folder, 1);
    }
    std::fs::write(place.path("password"), "a password\n").unwrap();
    let Some(restic) = restics().into_iter().next() else { return };
    let theirs = Theirs { place: &place, restic: &restic };
    let (shop, other) = (shop.to_str().unwrap(), other.to_str().unwrap());
    theirs.restic(&["init"]);
    theirs.restic(&["backup", shop]);
    std::fs::write(place.path("shop/letter"), "dear").unwrap();
    theirs.restic(&["backup", shop]);
    // Other programs write tags like ours; and another installation may have a plan of the same name.
    theirs.restic(&["backup", shop, "--host", "elsewhere", "--tag", "plan:shop"]);
    theirs.restic(&["backup", shop, other]);

    assert_eq!(place.quickstart().code, Some(0));
    let keys = place.data().join("keys");
    std::fs::write(keys.join("wrong.key"), "another password\n").unwrap();
    std::fs::copy(place.path("password"), keys.join("theirs.key")).unwrap();
    let path = format!("path={}", place.path("theirs").display());
    let wrong =
        ["repository", "add", "wrong", "--existing", "--set", &path, "--password-reference", "file:keys/wrong.key"];
    let ran = place.run(&wrong);
    assert!(ran.code != Some(0) && ran.out.contains("password"), "{ran:?}");
    let nowhere = format!("path={}", place.path("nowhere").display());
    let words =
        ["repository", "add", "none", "--existing", "--set", &nowhere, "--password-reference", "file:keys/theirs.key"];
    let ran = place.run(&words);
    assert!(ran.code != Some(0) && !place.path("nowhere").exists(), "nothing is made in its place: {ran:?}");

    let words =
        ["repository", "add", "theirs", "--existing", "--set", &path, "--password-reference", "file:keys/theirs.key"];
    let ran = place.run(&words);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("4 found, 4 of them new here, 3 foreign sources more"), "{ran:?}");
    let repository = by_name(&place, "repository", "theirs");
    let in_it = || -> Vec<Value> {
        let mut all = rows(&place, &["snapshot", "list"]);
        all.retain(|row| row["repository_id"] == repository);
        all
    };
    assert_eq!(in_it().len(), 4);
    assert!(in_it().iter().all(|row| row["is_good"] == json!(false)), "nobody knows what restic could not read");
    let foreign =
        |place: &Place| rows(place, &["source", "list"]).iter().filter(|row| row["kind"] == "foreign").count();
    assert_eq!(foreign(&place), 3, "one a machine and its paths");

    // A plan for the folder: its two are its own now, the other machine's and the pair stay what they are.
    place.json(&["source", "create", "shop", "--set", &format!("path={shop}")]);
    let source = by_name(&place, "source", "shop");
    place.json(&["plan", "create", "shop", "--source", &source, "--repository", &repository, "--keep-last", "1"]);
    let ran = place.run(&["repository", "adopt", "theirs"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("4 found, 0 of them new here, 2 given to plans that have come since"), "{ran:?}");
    let item = rows(&place, &["source", "items", &source])[0]["id"].clone();
    let of_plan = || in_it().iter().filter(|row| row["item_id"] == item).count();
    assert_eq!((in_it().len(), of_plan(), foreign(&place)), (4, 2, 3));
    assert_eq!(place.run(&["plan", "run", "shop", "--wait"]).code, Some(0));
    let job = rows(&place, &["job", "list", "--kind", "backup"])[0].clone();
    assert_eq!(job["counts"]["files"], job["counts"]["files_unmodified"], "it goes on from restic's snapshot: {job}");
    assert_eq!(place.run(&["repository", "prune", "theirs"]).code, Some(0));
    assert_eq!(
        (of_plan(), in_it().len(), theirs.count()),
        (1, 3, 3),
        "the plan keeps its last one, and no rule is for others"
    );
    theirs.restic(&["check", "--read-data"]);
    let ran = place.run(&["repository", "adopt", "theirs"]);
    assert_eq!((ran.code, in_it().len()), (Some(0), 3), "{ran:?}");

    let elsewhere = in_it().into_iter().find(|row| row["item_id"] != item).unwrap();
    let (id, target) = (elsewhere["id"].as_str().unwrap(), place.path("restored"));
    assert_eq!(place.run(&["snapshot", "restore", id, "--target", target.to_str().unwrap()]).code, Some(0));
    assert_same_tree(&place.path("shop"), &target.join(shop.trim_start_matches('/')));
    let foreign = rows(&place, &["source", "list"]).into_iter().find(|row| row["kind"] == "foreign").unwrap();
    let words = ["plan", "create", "not", "--source", foreign["id"].as_str().unwrap(), "--repository", &repository];
    let ran = place.run(&words);
    assert!(ran.code != Some(0) && ran.err.contains("source_id") && ran.err.contains("elsewhere"), "{ran:?}");
}

/// Red when `recover` does not say that this machine takes the place of the one that is gone.
#[test]
fn rows_come_back_on_another_machine_too() {
    let place = Place::new();
    make_tree(&place.source(), 1);
    assert_eq!(place.quickstart().code, Some(0));
    let (far, paper) = (place.path("far"), place.path("paper"));
    std::fs::copy(place.data().join("keys/local.key"), &paper).unwrap();
    std::fs::rename(place.data().join("repositories/local"), &far).unwrap();
    std::fs::remove_dir_all(place.data()).unwrap();
    let mut rewrite = Command::new(BINARY);
    rewrite.arg("engine").arg("-r").arg(&far).arg("-p").arg(&paper);
    let ran = Ran::of(rewrite.args(["rewrite", "--new-host", "old", "--forget"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");

    let settings = format!("path={}", far.display());
    let ran = place.run(&["recover", "--set", &settings, "--password-file", paper.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let plan = rows(&place, &["plan", "list"])[0].clone();
    let item = rows(&place, &["source", "items", plan["source_id"].as_str().unwrap()])[0]["id"].clone();
    let snapshots = rows(&place, &["snapshot", "list"]);
    assert_eq!((snapshots.len(), &snapshots[0]["item_id"], &snapshots[0]["is_good"]), (1, &item, &json!(true)));
    assert_eq!(rows(&place, &["source", "list"]).len(), 1, "nothing is foreign any more");
}

/// Red when a snapshot has no row afterwards, a plan is missing, or a password that does not open leaves anything behind.
#[test]
fn rows_come_back_from_the_repository_when_the_database_is_gone() {
    let place = Place::new();
    make_tree(&place.source(), 1);
    assert_eq!(place.quickstart().code, Some(0));
    std::fs::write(place.source().join("letter"), "dear").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let before = rows(&place, &["snapshot", "list"]);
    let plan = rows(&place, &["plan", "list"])[0]["name"].as_str().unwrap().to_owned();
    std::fs::copy(place.data().join("keys/local.key"), place.path("paper")).unwrap();
    std::fs::write(place.path("wrong"), "nothing\n").unwrap();
    std::fs::rename(place.data().join("repositories/local"), place.path("far")).unwrap();
    std::fs::remove_dir_all(place.data()).unwrap();

    let far = format!("path={}", place.path("far").display());
    let recover = |password: &str| {
        let password = place.path(password);
        place.run(&["recover", "--set", &far, "--password-file", password.to_str().unwrap()])
    };
    let ran = recover("gone");
    assert!(ran.code != Some(0) && ran.err.contains("gone cannot be read") && !place.data().exists(), "{ran:?}");
    let ran = recover("wrong");
    assert!(ran.code != Some(0) && ran.err.contains("password"), "{ran:?}");
    assert!(!place.data().join("keys/local.key").exists());
    let ran = recover("paper");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains(&format!("plan {plan} is there again")), "{ran:?}");

    let after = rows(&place, &["snapshot", "list"]);
    let facts = |rows: &[Value]| -> Vec<Value> {
        rows.iter()
            .map(|row| json!([row["foreign_id"], row["outcome"], row["is_good"], row["counts"]["files"]]))
            .collect()
    };
    assert_eq!(facts(&after), facts(&before), "newest first, as they were");
    let ran = place.run(&["plan", "run", &plan, "--wait"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let job = rows(&place, &["job", "list", "--kind", "backup"])[0].clone();
    assert_eq!(job["counts"]["files"], job["counts"]["files_unmodified"], "{job}");
    assert_eq!(recover("paper").code, Some(0), "again is no harm");
    assert_eq!(rows(&place, &["snapshot", "list"]).len(), before.len() + 1);
}
