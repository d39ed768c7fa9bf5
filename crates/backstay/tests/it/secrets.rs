//! Secrets stay where they belong: never in arguments, logs, messages, rows or the API.

use std::process::Command;

use crate::support::{Place, Ran};

#[test]
fn the_recovery_key_is_in_its_file_and_nowhere_else() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    let mut command = place.command(&["quickstart", place.source().to_str().unwrap()]);
    let ran = Ran::of(command.env("BACKSTAY_LOG", "trace"));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.len() > 1_000, "the log was asked for");
    let key = std::fs::read_to_string(place.data().join("keys/local.key")).unwrap();
    let key = key.trim();
    assert_eq!(key.len(), 52, "256 bits");
    assert!(!ran.out.contains(key) && !ran.err.contains(key));
    let found = Ran::of(Command::new("grep").args(["-rlaF", key]).arg(place.data()));
    assert_eq!(found.out.trim(), place.data().join("keys/local.key").to_str().unwrap());
    for verb in ["job", "event", "repository", "source", "plan", "evidence"] {
        assert!(!place.run(&[verb, "list", "--json"]).out.contains(key), "{verb}");
    }
}

#[test]
fn a_lost_recovery_key_is_said_and_nothing_is_harmed() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let key = place.data().join("keys/local.key");
    let text = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let ran = place.quickstart();
    assert_eq!(ran.code, Some(12), "{}", ran.err);
    assert!(ran.err.contains("there is no secret at file:keys/local.key"), "{}", ran.err);
    assert!(!key.exists(), "a new key would not open the repository");
    std::fs::write(&key, "\n").unwrap();
    let ran = place.quickstart();
    assert_eq!(ran.code, Some(12), "{}", ran.err);
    assert!(ran.err.contains("the secret at file:keys/local.key is empty"), "{}", ran.err);
    std::fs::write(&key, "wrong\n").unwrap();
    let ran = place.quickstart();
    assert_eq!(ran.code, Some(12), "{}", ran.err);
    assert!(ran.err.contains("opens no key of the repository"), "{}", ran.err);
    std::fs::write(&key, text).unwrap();
    assert_eq!(place.quickstart().code, Some(0));
}

#[test]
fn a_repository_that_is_gone_is_never_made_anew() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let (repository, elsewhere) = (place.data().join("repositories/local"), place.path("elsewhere"));
    std::fs::rename(&repository, &elsewhere).unwrap();
    assert_eq!(place.quickstart().code, Some(10));
    assert!(!repository.exists());
    // An empty mount point is not taken for the repository either.
    std::fs::create_dir(&repository).unwrap();
    let ran = place.quickstart();
    assert_eq!(ran.code, Some(10), "{}", ran.err);
    assert_eq!(std::fs::read_dir(&repository).unwrap().count(), 0);
    std::fs::remove_dir(&repository).unwrap();
    std::fs::rename(&elsewhere, &repository).unwrap();
    assert_eq!(place.quickstart().code, Some(0));
}
