//! The signed record of who asked for changes, and the chain of events, checked through the command line.

use std::process::Command;

use crate::support::{Place, Ran};

/// Red when `change verify` looks at no hash, or answers an altered record with success.
#[test]
fn a_record_that_was_altered_is_named() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("file"), "content").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let whole = place.json(&["change", "verify"]);
    let count = whole["checked_count"].as_u64().unwrap();
    assert!(count > 2 && whole["last_sequence"].as_u64() == Some(count), "{whole}");
    assert_eq!(whole["broken_sequence"].as_u64(), None);
    let said = place.run(&["change", "verify"]);
    assert!(said.code == Some(0) && said.out.contains(whole["last_hash"].as_str().unwrap()), "{said:?}");

    let refused = place.run(&["change", "verify", "--former-key", "abc"]);
    assert!(refused.code == Some(20) && refused.err.contains("`abc` is no public key"), "{refused:?}");
    // A key that is made anew signs from now on; the one before is named by the evidence that it signed.
    let evidence = place.json(&["evidence", "list"]);
    let former = evidence["rows"][0]["public_key"].as_str().unwrap().to_owned();
    std::fs::remove_file(place.data().join("signing.key")).unwrap();
    assert_eq!(place.run(&["tenant", "create", "later"]).code, Some(0));
    let unknown = place.run(&["change", "verify"]);
    assert!(unknown.code == Some(24) && unknown.err.contains("--former-key"), "{unknown:?}");
    let known = place.json(&["change", "verify", "--former-key", &former]);
    assert!(known["checked_count"].as_u64().unwrap() > count && known.get("broken_sequence").is_none(), "{known}");

    let alter = "UPDATE change_record SET operation = 'plan_list' WHERE sequence = 2";
    let done = Ran::of(Command::new("sqlite3").arg("-batch").arg(place.data().join("backstay.sqlite")).arg(alter));
    assert_eq!(done.code, Some(0), "{done:?}");
    let broken = place.run(&["change", "verify", "--former-key", &former]);
    assert_eq!(broken.code, Some(24), "{broken:?}");
    let words = "the record of changes is broken at number 2: its text does not have its hash";
    assert!(broken.err.contains(words), "{broken:?}");
}

/// Red when `event verify` looks at no hash, or answers an altered event with success.
#[test]
fn an_event_that_was_altered_is_named() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("file"), "content").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let whole = place.json(&["event", "verify"]);
    let count = whole["checked_count"].as_u64().unwrap();
    assert!(count > 2 && whole["last_sequence"].as_u64() == Some(count), "{whole}");
    let newest = place.json(&["event", "list", "--limit", "1"]);
    assert_eq!(newest["rows"][0]["hash"], whole["last_hash"], "the newest event is the last one of the chain");
    let alter = "UPDATE event SET message = 'all is well' WHERE sequence = 2";
    let done = Ran::of(Command::new("sqlite3").arg("-batch").arg(place.data().join("backstay.sqlite")).arg(alter));
    assert_eq!(done.code, Some(0), "{done:?}");
    let broken = place.run(&["event", "verify", "--tenant", "default"]);
    let words = "the events of default are broken at number 2: its hash is not of its text and of the event before it";
    assert!(broken.code == Some(24) && broken.err.contains(words), "{broken:?}");
}
