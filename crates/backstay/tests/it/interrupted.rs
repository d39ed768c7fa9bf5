//! Killed and interrupted runs: the next one completes without a hand's help.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, make_tree, noise, restics};

/// Moments at which a first backup is killed, spread over its length.
const KILLS: u32 = 20;

fn begin(place: &Place) -> Child {
    let source = place.source();
    let mut command = place.command(&["quickstart", source.to_str().unwrap()]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn make_source(place: &Place) {
    make_tree(&place.source(), 4);
    for file in 0..8 {
        std::fs::write(place.source().join(format!("noise-{file}")), noise(100 + file, 6 << 20)).unwrap();
    }
}

#[test]
fn a_first_backup_killed_at_twenty_points() {
    let place = Place::new();
    make_source(&place);
    let began = Instant::now();
    assert_eq!(place.quickstart().code, Some(0));
    let mut whole = began.elapsed();
    let mut killed_at_work = 0;
    for kill in 1..=KILLS {
        std::fs::remove_dir_all(place.data()).unwrap();
        let mut child = begin(&place);
        std::thread::sleep(whole * kill / (KILLS + 1));
        child.kill().unwrap();
        match child.wait().unwrap().success() {
            false => killed_at_work += 1,
            // The first run was slower than those that follow.
            true => whole = whole * 3 / 4,
        }
        let next = place.quickstart();
        assert_eq!(next.code, Some(0), "after kill {kill}: {}{}", next.out, next.err);
        let jobs = place.json(&["job", "list"]);
        let unfinished = jobs["rows"].as_array().unwrap().iter().filter(|job| job["finished_at"].is_null()).count();
        assert_eq!(unfinished, 0, "after kill {kill}: {jobs}");
        let newest = restics().pop();
        if let Some(restic) = newest {
            place.restic(&restic, &["check", "--read-data"]);
        }
    }
    // A kill that came too late proves nothing: most must have met the run at work.
    assert!(killed_at_work >= KILLS / 2, "only {killed_at_work} of {KILLS} kills met the run at work");
}

#[test]
fn an_interrupt_ends_it_soon_and_the_next_run_goes_on() {
    let place = Place::new();
    make_source(&place);
    std::fs::write(place.source().join("much"), noise(3, 150 << 20)).unwrap();
    for signal in [Signal::INT, Signal::TERM] {
        let mut child = begin(&place);
        wait_until_at_work(&place);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let asked = Instant::now();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(asked.elapsed() < Duration::from_secs(30), "it took {:?}", asked.elapsed());
        let jobs = place.json(&["job", "list"]);
        assert_eq!(jobs["rows"][0]["state"], "cancelled", "{jobs}");
    }
    assert_eq!(place.quickstart().code, Some(0));
}

/// Waits until the newest job has told progress.
fn wait_until_at_work(place: &Place) {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < Duration::from_secs(30), "the backup did not begin");
        std::thread::sleep(Duration::from_millis(50));
        if !place.data().join("server.json").exists() {
            continue;
        }
        let list = place.run(&["job", "list", "--json"]);
        let Ok(list) = serde_json::from_str::<serde_json::Value>(&list.out) else { continue };
        let Some(job) = list["rows"].as_array().and_then(|rows| rows.first()) else { continue };
        if job["state"] == "leased" {
            return;
        }
    }
}
