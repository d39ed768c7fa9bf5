//! A repository is proved by its budget: slices are read and restores drilled by themselves, and harm is told at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Place, Ran, make_tree};

/// Longest wait for what takes some seconds.
const PATIENCE: Duration = Duration::from_secs(180);

struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// Makes the next slice due, as if ten days of the budget were over.
fn due(place: &Place) {
    let now = jiff::Timestamp::now().as_microsecond();
    let sql = format!("UPDATE proof SET due_at = {now}, began_at = {}", now - 10 * 86_400_000_000);
    let database = place.data().join("backstay.sqlite");
    let ran = Ran::of(Command::new("sqlite3").args(["-batch", "-cmd", ".timeout 60000"]).arg(database).arg(sql));
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// Works until a verify has ended that was not there before, and returns it.
fn proved(place: &Place, scratch: &Path, known: usize) -> Value {
    due(place);
    let mut command = place.command(&["up"]);
    let child = command.env("TMPDIR", scratch).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _up = Up(child);
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let ran = place.run(&["job", "list", "--kind", "verify", "--json"]);
        let rows: Value = serde_json::from_str(&ran.out).unwrap_or_default();
        let rows = rows["rows"].as_array().cloned().unwrap_or_default();
        if rows.len() > known && !rows[0]["finished_at"].is_null() {
            return rows[0].clone();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("no verify ended: {:?}", place.run(&["job", "list"]));
}

fn packs(place: &Place) -> Vec<PathBuf> {
    let data = place.data().join("repositories/local/data");
    let folders = fs::read_dir(&data).unwrap_or_else(|error| panic!("{}: {error}", data.display()));
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

/// Red when the scheduler asks for no verify, when the drill's folder stays, when the record says nothing of slice and
/// drill, when nothing follows from the rate, or when damage is shown as proved.
#[test]
fn a_repository_is_proved_by_its_budget() {
    let place = Place::new();
    make_tree(&place.source(), 1);
    fs::write(place.source().join("large"), crate::support::noise(3, 3 << 20)).unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let repository = place.json(&["repository", "list"])["rows"][0].clone();
    let name = repository["name"].as_str().unwrap();
    assert_eq!((&repository["proof"]["proved"], &repository["proof"]["of"]), (&0.into(), &30.into()));
    let wrong = place.run(&["repository", "update", name, "--verify-within", "5h"]);
    assert!(wrong.code != Some(0) && wrong.err.contains("--verify-within `5h`"), "{wrong:?}");
    let changed = place.json(&["repository", "update", name, "--verify-within", "60d"]);
    assert_eq!(changed["verify_within_ms"], 60u64 * 86_400_000);

    let scratch = place.path("scratch");
    fs::create_dir(&scratch).unwrap();
    let known = place.json(&["job", "list", "--kind", "verify"])["rows"].as_array().unwrap().len();
    let job = proved(&place, &scratch, known);
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "the drill's folder went with it");
    let shown = place.run(&["repository", "show", name]);
    assert!(shown.out.contains("proved 1 of 30 slices within 60 days, some were never read"), "{shown:?}");
    assert!(shown.out.contains("a restore drill brought back"), "{shown:?}");
    let record = place.json(&["evidence", "list"])["rows"][0].clone();
    let file = place.path("evidence.txt");
    fs::write(&file, record["file"].as_str().unwrap()).unwrap();
    let checked = place.run(&["evidence", "verify", file.to_str().unwrap()]);
    assert!(checked.code == Some(0) && checked.out.contains("1 of 30"), "{checked:?}");
    assert!(checked.out.contains("drill_bytes_per_second"), "{checked:?}");
    let plan = place.json(&["plan", "list"])["rows"][0]["id"].as_str().unwrap().to_owned();
    let said = place.json(&["plan", "explain", &plan]);
    assert!(said["restore"]["bytes"].as_u64().unwrap() > 3 << 20, "{said}");
    assert!(said["lines"].to_string().contains("a whole restore takes about"), "{said}");

    for pack in packs(&place) {
        let mut bytes = fs::read(&pack).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 1;
        fs::remove_file(&pack).unwrap();
        fs::write(&pack, bytes).unwrap();
    }
    let job = proved(&place, &scratch, known + 1);
    assert_eq!(job["state"], "damaged", "{job}");
    let standing = place.json(&["repository", "show", name])["proof"].clone();
    assert_eq!(standing["proved"], 1, "harm is no proof: {standing}");
    assert_eq!(place.json(&["evidence", "list"])["rows"][0]["verdict"], "damaged");
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    // Whoever asks the doctor by its exit code hears of it too.
    let _up = crate::verbs::up(&place);
    crate::fleet_support::wait_for("the damage in what the doctor says", || {
        let ran = place.run(&["doctor"]);
        (ran.code == Some(1) && ran.out.contains("critical: damaged")).then_some(())
    });
}
