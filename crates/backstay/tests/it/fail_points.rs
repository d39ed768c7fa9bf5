//! `backstay up` is killed at named places (`backstay-failpoint`): after the next start its job runs again by itself, and
//! nothing is doubled, lost or broken.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::show_call::Up;
use crate::support::{Place, make_tree, noise, restics};
use crate::verbs::{rows, up};

/// How long a start may take until the job that was cut short has ended: a lease's length (30 s) and five seconds.
const AGAIN_MAX: Duration = Duration::from_secs(35);

/// Returns a place whose repository has some snapshots of a plan, and the plan's name.
fn place() -> (Place, String) {
    let place = Place::new();
    make_tree(&place.source(), 1);
    assert_eq!(place.quickstart().code, Some(0));
    let name = place.json(&["plan", "list"])["rows"][0]["name"].as_str().unwrap().to_owned();
    (place, name)
}

/// Starts `backstay up` that is killed at a place, and waits until it answers or is dead.
fn doomed(place: &Place, point: &str) -> Child {
    let _ = std::fs::remove_file(place.data().join("server.json"));
    let mut command = place.command(&["up"]);
    command.env("BACKSTAY_FAIL_POINT", point).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    while !place.data().join("server.json").exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

/// Waits until a process was killed; it must have been, and not have ended by itself.
fn killed(point: &str, mut child: Child) {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.signal(), Some(9), "{point}: {status}");
            return;
        }
        if began.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("nobody came to {point}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn jobs(place: &Place) -> Vec<Value> {
    rows(&place.json(&["job", "list"])).to_vec()
}

/// Waits until no job is left to do, and returns the newest.
fn settled(place: &Place, point: &str) -> Value {
    let began = Instant::now();
    loop {
        let jobs = jobs(place);
        if jobs.iter().all(|job| job["finished_at"].is_string()) {
            assert!(jobs.iter().all(|job| job["state"] == "succeeded"), "{point}: {jobs:#?}");
            return jobs[0].clone();
        }
        assert!(began.elapsed() < AGAIN_MAX, "{point}: not done after a lease and five seconds: {jobs:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Kills `backstay up` at a place in the job that `verb` asks for, starts it again, and waits for the job's end.
fn killed_and_done(place: &Place, point: &str, verb: &[&str]) -> Value {
    let child = doomed(place, point);
    // Whoever asks may hear nothing of its end: that the job is done is what counts.
    place.run(verb);
    killed(point, child);
    let _up: Up = up(place);
    settled(place, point)
}

/// Says that restic finds so many snapshots, that rows and files are the same ones, and that all data is there.
fn is_whole(place: &Place, wanted: usize, point: &str) {
    let list = place.json(&["snapshot", "list"]);
    let mut ours: Vec<&str> = rows(&list).iter().map(|row| row["foreign_id"].as_str().unwrap()).collect();
    assert_eq!(ours.len(), wanted, "{point}: {list:#}");
    let Some(restic) = restics().pop() else { return };
    let found: Value = serde_json::from_str(&place.restic(&restic, &["snapshots", "--json", "--no-lock"])).unwrap();
    let mut theirs: Vec<&str> = found.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs, "{point}: a snapshot without a row, or a row without a snapshot");
    place.restic(&restic, &["check", "--read-data", "--no-lock"]);
}

/// Red when a dead process's job is lost or done twice, or a snapshot is published before all it needs is there.
#[test]
fn killed_in_a_backup() {
    let (place, plan) = place();
    let points = [
        "pack.before:1",
        "pack.after:1",
        "pack.before:2",
        "pack.after:2",
        "pack.before:3",
        "index.before:1",
        "index.after:1",
        "index.before:1",
        "snapshot.before:1",
        "snapshot.after:1",
        "snapshot.before:1",
        "snapshot.after:1",
        "snapshot.after:1",
        "commit.unasked:1",
        "commit.before:1",
        "commit.after:1",
        "commit.answered:1",
        "commit.before:1",
    ];
    for (number, point) in points.iter().enumerate() {
        for part in 0..2 {
            let name = place.source().join(format!("noise-{part}"));
            std::fs::write(name, noise((number * 2 + part) as u64, 12 << 20)).unwrap();
        }
        let job = killed_and_done(&place, point, &["plan", "run", &plan]);
        assert_eq!(job["outcome"], "complete", "{point}: {job:#}");
        let list = place.json(&["snapshot", "list"]);
        assert_eq!(rows(&list).len(), number + 2, "{point}: {list:#}");
    }
    is_whole(&place, points.len() + 1, "all of a backup");
}

/// Makes two snapshots that a plan which keeps one lets go, with data that only they have.
fn make_garbage(place: &Place, plan: &str, seed: u64) {
    for number in 0..2 {
        std::fs::write(place.source().join("large"), noise(seed * 2 + number, 3 << 20)).unwrap();
        assert_eq!(place.run(&["plan", "run", plan]).code, Some(0));
    }
}

/// Red when a prune that died is not done again, or took what is needed.
#[test]
fn killed_in_a_prune() {
    let (place, plan) = place();
    let id = place.json(&["plan", "list"])["rows"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(place.run(&["plan", "update", &id, "--keep-last", "1", "--keep-within", "0h"]).code, Some(0));
    let points = [
        "forget.before:1",
        "forget.after:1",
        "forget.before:2",
        "forget.after:2",
        "forget.before:1",
        "index.before:1",
        "index.after:1",
        "mark.before:1",
        "mark.after:1",
        "mark.before:2",
    ];
    for (number, point) in (1..).zip(points) {
        make_garbage(&place, &plan, number);
        let job = killed_and_done(&place, point, &["repository", "prune", "local"]);
        assert_eq!((&job["kind"], &job["outcome"]), (&"prune".into(), &"complete".into()), "{point}: {job:#}");
        assert_eq!(rows(&place.json(&["snapshot", "list"])).len(), 1, "{point}");
    }
    is_whole(&place, 1, "all of a prune");
    // What was marked goes without waiting, as somebody does who needs the room; each is killed at another pack.
    let repository = place.data().join("repositories/local");
    let prune = |point: &str| {
        let mut command = place.command(&["engine", "-r", repository.to_str().unwrap(), "-p"]);
        command.arg(place.data().join("keys/local.key")).args(["prune", "--grace", "0s"]);
        command.env("BACKSTAY_FAIL_POINT", point).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap()
    };
    let points = ["remove.before:1", "remove.after:1", "remove.before:2", "remove.after:2", "remove.before:1"];
    for (number, point) in (100..).zip(points) {
        assert_eq!(prune(point).signal(), Some(9), "{point}");
        is_whole(&place, 1, point);
        // What is left of it goes with the next one, without another grace.
        assert_eq!(prune("nowhere.at:1").code(), Some(0), "{point}");
        is_whole(&place, 1, point);
        make_garbage(&place, &plan, number);
        assert_eq!(place.run(&["repository", "prune", "local"]).code, Some(0), "{point}");
    }
    is_whole(&place, 1, "the last prune");
}

/// Red when half a schema is left behind, or the next start does not make the rest.
#[test]
fn killed_in_a_migration() {
    for point in ["before:1", "statement:1", "statement:15", "statement:60", "done:1", "after:1"] {
        let place = Place::new();
        make_tree(&place.source(), 1);
        let point = format!("migration.{point}");
        let mut command = place.command(&["up"]);
        command.env("BACKSTAY_FAIL_POINT", &point).stdout(Stdio::null()).stderr(Stdio::null());
        killed(&point, command.spawn().unwrap());
        let ran = place.quickstart();
        assert_eq!(ran.code, Some(0), "{point}: {}{}", ran.out, ran.err);
        is_whole(&place, 1, &point);
    }
}
