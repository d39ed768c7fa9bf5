//! A backup that is unlike those before it, through the whole product.

use std::fs;

use serde_json::Value;

use crate::support::{Place, noise};

/// Files of the source: enough for a mass.
const FILES: u64 = 40;

fn write(place: &Place, file: u64, bytes: &[u8]) {
    fs::write(place.source().join(format!("letter-{file}")), bytes).unwrap();
}

/// A place with a plan of seven regular backups, of letters and of one film.
fn place(film: &[u8]) -> (Place, String) {
    let place = Place::new();
    fs::create_dir(place.source()).unwrap();
    fs::write(place.source().join("film"), film).unwrap();
    (0..FILES).for_each(|file| write(&place, file, format!("{file} dear ").repeat(2_000).as_bytes()));
    assert_eq!(place.quickstart().code, Some(0));
    let plan = place.json(&["plan", "list"])["rows"][0]["name"].as_str().unwrap().to_owned();
    for day in 0..6 {
        write(&place, day, format!("{day} dear again ").repeat(2_000).as_bytes());
        assert_eq!(place.run(&["plan", "run", &plan, "--wait"]).code, Some(0));
    }
    (place, plan)
}

fn count(place: &Place) -> usize {
    place.json(&["snapshot", "list"])["rows"].as_array().unwrap().len()
}

fn events(place: &Place, kind: &str) -> Vec<String> {
    let rows = place.json(&["event", "list"])["rows"].as_array().unwrap().clone();
    let of_kind = rows.iter().filter(|row| row["kind"] == kind);
    of_kind.map(|row| row["message"].as_str().unwrap().to_owned()).collect()
}

/// A program encrypts all files: it is told at once, and no prune takes what is left in clear. Red when nobody looks, or when
/// the pruner does not ask.
#[test]
fn a_mass_change_holds_prunes_back_until_a_person_has_looked() {
    let (place, plan) = place(b"short");
    // What only looks like much: all times anew.
    for file in 0..FILES {
        let path = place.source().join(format!("letter-{file}"));
        let text = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
    }
    assert_eq!(place.run(&["plan", "run", &plan, "--wait"]).code, Some(0));
    assert_eq!((events(&place, "suspected"), events(&place, "warned")), (Vec::new(), Vec::new()));

    (0..FILES).for_each(|file| write(&place, file, &noise(file, 20_000)));
    let ran = place.run(&["plan", "run", &plan, "--wait"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = events(&place, "suspected");
    assert!(told.len() == 1 && told[0].contains("of 41 files changed or went at once"), "{told:?}");
    let explained = place.run(&["plan", "explain", &plan]).out;
    assert!(explained.contains("prunes keep all its snapshots") && explained.contains("plan clear"), "{explained}");
    let had = count(&place);
    place.json(&["plan", "update", &plan, "--keep-last", "1"]);
    assert_eq!(place.run(&["repository", "prune", "local"]).code, Some(0));
    assert_eq!(count(&place), had, "nothing went");
    let shown = place.run(&["plan", "retention", &plan]).out;
    assert!(shown.contains("a person has to look first"), "{shown}");

    assert_eq!(place.run(&["plan", "clear", &plan]).code, Some(0));
    assert_eq!(place.run(&["plan", "clear", &plan]).code, Some(0), "asking twice is asking once");
    assert_eq!(events(&place, "cleared").len(), 1);
    assert_eq!(place.run(&["repository", "prune", "local"]).code, Some(0));
    assert_eq!(count(&place), 1);
}

/// A mount that is not there is an empty folder, which is read well. Red when sizes are held against nothing.
#[test]
fn a_source_that_is_suddenly_small_is_told() {
    let (place, plan) = place(&noise(1, 40 << 20));
    fs::remove_file(place.source().join("film")).unwrap();
    let ran = place.run(&["plan", "run", &plan, "--wait"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("warning: unlike before: it read"), "{ran:?}");
    let id = place.json(&["job", "list", "--kind", "backup"])["rows"][0]["id"].as_str().unwrap().to_owned();
    let shown: Value = place.json(&["job", "show", &id]);
    assert!(shown["warnings"][0].as_str().unwrap().contains("the runs before read 4"), "{shown}");
}
