//! The installation's own database: protected by one verb, lost, brought back by the words of the sheet with plain restic.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fleet_support::wait_for;
use crate::support::{Place, Ran, make_tree, noise, restics};
use crate::verbs::up;

/// A schedule that starts nothing while a test runs.
const YEARLY: &str = "0 0 1 1 *";

fn rows(place: &Place, arguments: &[&str]) -> Vec<Value> {
    place.json(arguments)["rows"].as_array().unwrap().clone()
}

fn doctor(place: &Place) -> Value {
    let report: Value = serde_json::from_str(&place.run(&["doctor", "--json"]).out).unwrap();
    let all = report["findings"].as_array().unwrap();
    all.iter().find(|finding| finding["what"] == "own database").unwrap().clone()
}

/// Declares a repository on another disk, whose password is in a file.
fn far(place: &Place) -> String {
    std::fs::write(place.data().join("keys/far.key"), "far away\n").unwrap();
    let path = format!("path={}", place.path("far").display());
    let words = ["repository", "create", "far", "--set", &path, "--password-reference", "file:keys/far.key"];
    place.json(&words)["id"].as_str().unwrap().to_owned()
}

/// Follows the sheet's commands of one repository in a folder, with plain restic and nothing else.
fn followed(sheet: &str, repository: &str, restic: &Path, folder: &Path) {
    let (_, part) = sheet.split_once(&format!("\nRepository {repository}\n")).unwrap();
    let part = part.split("\nRepository ").next().unwrap();
    let commands: Vec<&str> = part.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    std::fs::create_dir_all(folder.join("bin")).unwrap();
    std::os::unix::fs::symlink(restic, folder.join("bin/restic")).unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-e", "-c", &commands.join("\n")]).current_dir(folder).env_clear().env("HOME", folder);
    let ran = Ran::of(command.env("PATH", folder.join("bin")));
    assert_eq!(ran.code, Some(0), "{commands:?}: {}{}", ran.out, ran.err);
}

/// Red when a table does not come back, when the sheet does not say how, when nobody is told of the master key, or when a
/// prune from the older database takes what a newer snapshot needs.
#[test]
fn the_database_comes_back_with_plain_restic_and_backups_go_on() {
    let Some(restic) = restics().into_iter().next_back() else { return };
    let place = Place::new();
    make_tree(&place.source(), 1);
    assert_eq!(place.quickstart().code, Some(0));
    assert_eq!(doctor(&place)["verdict"], "warn");
    let sheet = place.run(&["recovery", "sheet"]).out;
    assert!(sheet.contains("NOTHING BACKS UP THE DATABASE"), "{sheet}");
    far(&place);
    let plan = rows(&place, &["plan", "list"])[0].clone();
    place.json(&["plan", "update", plan["id"].as_str().unwrap(), "--keep-last", "1"]);

    let running = up(&place);
    let ran = place.run(&["server", "protect", "--repository", "far", "--cron", YEARLY]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let master = place.data().join("master.key");
    assert!(ran.out.contains(&format!("the master key, {}", master.display())), "{}", ran.out);
    let again = place.json(&["server", "protect", "--repository", "far", "--cron", YEARLY]);
    assert_eq!(again["job"]["job"]["state"], "succeeded");
    assert_eq!(rows(&place, &["plan", "list"]).len(), 2, "asked twice, made once");
    assert_eq!(doctor(&place)["verdict"], "ok", "{}", doctor(&place));
    let sheet = place.run(&["recovery", "sheet"]).out;
    assert!(sheet.contains("The master key is NOT in it"), "{sheet}");
    let known = rows(&place, &["snapshot", "list"]);
    assert!(
        place.data().join("backstay.sqlite-wal").exists(),
        "the log of a database that lives is nobody else's to end"
    );

    // What the copy does not know: a snapshot of a folder that has much that is new.
    std::fs::write(place.source().join("new"), noise(9, 3 << 20)).unwrap();
    assert_eq!(place.run(&["plan", "run", plan["name"].as_str().unwrap(), "--wait"]).code, Some(0));
    let newer = rows(&place, &["snapshot", "list"]);
    let newer = newer.iter().find(|row| !known.contains(row) && row["counts"]["files"] != 1).unwrap();
    let newer = newer["foreign_id"].as_str().unwrap().to_owned();
    drop(running);
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(place.data().join(format!("backstay.sqlite{end}"))).unwrap_or_default();
    }

    let away = place.path("away");
    followed(&sheet, "far", &restic, &away);
    std::fs::rename(away.join("backstay.sqlite"), place.data().join("backstay.sqlite")).unwrap();
    // All but the newest, which is the copy itself.
    let ids = |rows: &[Value]| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
    assert_eq!((known.len(), ids(&rows(&place, &["snapshot", "list"]))), (3, ids(&known[1..])));
    assert!(rows(&place, &["plan", "list"]).contains(&place.json(&["plan", "show", "backstay-database"])));

    // A prune by what the older database knows.
    std::fs::write(place.source().join("newest"), "x").unwrap();
    let running = up(&place);
    assert_eq!(place.run(&["plan", "run", plan["name"].as_str().unwrap(), "--wait"]).code, Some(0));
    assert_eq!(place.run(&["repository", "prune", "local"]).code, Some(0));
    place.restic(&restic, &["check", "--read-data"]);
    let out = place.path("out");
    place.restic(&restic, &["restore", &newer, "--target", out.to_str().unwrap()]);
    std::fs::remove_file(place.source().join("newest")).unwrap();
    let restored = out.join(place.source().strip_prefix("/").unwrap());
    assert_eq!(std::fs::read(restored.join("new")).unwrap(), noise(9, 3 << 20));
    // And what lies between has its row again.
    let ran = place.run(&["repository", "adopt", "local"]);
    assert!(ran.code == Some(0) && ran.out.contains("1 of them new here"), "{ran:?}");
    // The copy was made while its own job ran: that job is done once more.
    let own = place.json(&["plan", "show", "backstay-database"])["id"].clone();
    wait_for("the database's own backup", || {
        let jobs = rows(&place, &["job", "list", "--kind", "backup"]);
        let of_own: Vec<&Value> = jobs.iter().filter(|job| job["plan_id"] == own).collect();
        of_own.iter().all(|job| job["state"] == "succeeded").then_some(())
    });
    drop(running);
}

/// Red when a repository is taken whose password is lost with the database, or that somebody of a tenant may read.
#[test]
fn a_repository_that_would_not_do_is_refused() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let protect = |more: &[&str]| place.run(&[&["server", "protect"], more].concat());
    let ran = protect(&["--repository", "gone"]);
    assert!(ran.code == Some(25) && ran.err.contains("repository list"), "{ran:?}");
    std::fs::write(place.path("secret"), "far away").unwrap();
    let secret = place.path("secret");
    place.json(&["secret", "put", "far", "--from-file", secret.to_str().unwrap()]);
    let path = format!("path={}", place.path("far").display());
    place.json(&["repository", "create", "far", "--set", &path, "--password-reference", "sealed:far"]);
    let ran = protect(&["--repository", "far"]);
    assert!(ran.code == Some(20) && ran.err.contains("--password-is-kept"), "{ran:?}");
    let token = place.json(&["token", "create", "friend", "--role", "restorer", "--tenant", "default"]);
    let ran = protect(&["--repository", "local"]);
    assert!(ran.code == Some(20) && ran.err.contains("friend"), "{ran:?}");
    assert_eq!(rows(&place, &["plan", "list"]).len(), 1, "nothing was made");
    let id = token["token"]["id"].as_str().or(token["id"].as_str()).unwrap().to_owned();
    assert_eq!(place.run(&["token", "revoke", &id]).code, Some(0));
    let ran = protect(&["--repository", "local"]);
    assert!(ran.code == Some(0) && ran.out.contains("WARNING"), "it lies beside the database: {ran:?}");
    assert_eq!(doctor(&place)["verdict"], "warn");
}
