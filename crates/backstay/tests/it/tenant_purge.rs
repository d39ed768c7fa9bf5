//! A tenant that goes: announced, too early, taken back, then for ever, with a record that proves itself.

use std::process::Command;

use serde_json::Value;

use crate::support::{Place, Ran};
use crate::verbs::protected;

/// Has SQLite do a statement on the database, while nobody works on it.
fn sql(place: &Place, text: &str) -> String {
    let ran = Ran::of(Command::new("sqlite3").arg("-batch").arg(place.data().join("backstay.sqlite")).arg(text));
    assert_eq!(ran.code, Some(0), "{text}: {}", ran.err);
    ran.out.trim().to_owned()
}

/// Returns the files of the database that hold these bytes.
fn holders(place: &Place, bytes: &[u8]) -> usize {
    let files = ["", "-wal"].map(|end| place.data().join(format!("backstay.sqlite{end}")));
    let holds = |file: &std::path::PathBuf| {
        std::fs::read(file).is_ok_and(|all| all.windows(bytes.len()).any(|window| window == bytes))
    };
    files.iter().filter(|file| holds(file)).count()
}

fn purge(place: &Place, more: &[&str]) -> Ran {
    place.run(&[&["tenant", "purge", "acme"], more].concat())
}

/// Red when the wait is not waited for, when a secret's bytes stay in the file, when another tenant loses anything, or when
/// the record does not prove itself.
#[test]
fn a_tenant_is_purged_after_its_wait_and_nobody_else() {
    let place = protected();
    place.json(&["tenant", "create", "acme"]);
    let secret = place.path("secret");
    std::fs::write(&secret, "far away").unwrap();
    let secret = secret.to_str().unwrap();
    for tenant in ["acme", "default"] {
        place.json(&["secret", "put", "far", "--from-file", secret, "--tenant", tenant]);
    }
    let path = format!("path={}", place.path("far").display());
    let words =
        ["repository", "create", "far", "--set", &path, "--password-reference", "sealed:far", "--tenant", "acme"];
    place.json(&words);
    place.json(&["token", "create", "friend", "--role", "tenant_admin", "--tenant", "acme"]);
    let hex = sql(
        &place,
        "SELECT hex(substr(sealed, -40)) FROM secret JOIN tenant ON secret.id = tenant.id || '/far' WHERE tenant.name = 'acme'",
    );
    let sealed = data_encoding::HEXUPPER.decode(hex.as_bytes()).unwrap();
    assert_eq!((sealed.len(), holders(&place, &sealed)), (40, 1), "there is something to destroy");

    let announced = purge(&place, &[]);
    assert!(announced.code == Some(0) && announced.out.contains("sealed secrets: far"), "{announced:?}");
    assert!(announced.out.contains("Backstay deletes no data in storages"), "{announced:?}");
    let view: Value = serde_json::from_str(&purge(&place, &["--look", "--json"]).out).unwrap();
    let id = view["id"].as_str().unwrap();
    let early = purge(&place, &["--confirm", id]);
    assert!(early.code != Some(0) && early.err.contains("may be confirmed from"), "{early:?}");
    assert_eq!(holders(&place, &sealed), 1);

    // A week later.
    let week = 8 * 86_400 * 1_000_000_i64;
    sql(&place, &format!("UPDATE purge SET announced_at = announced_at - {week}, due_at = due_at - {week}"));
    let done = purge(&place, &["--confirm", id, "--json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let view: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((view["state"].as_str(), holders(&place, &sealed)), (Some("done"), 0));
    let secrets = place.json(&["secret", "list"])["rows"].clone();
    assert_eq!(secrets.as_array().unwrap().len(), 1, "another tenant's of the same name stays: {secrets}");
    let tokens = place.json(&["token", "list"])["rows"].clone();
    assert!(tokens.as_array().unwrap().iter().all(|row| row["revoked_at"].is_string()), "{tokens}");
    assert_eq!(place.json(&["plan", "list"])["rows"].as_array().unwrap().len(), 1, "another tenant's plan stays");

    let file = place.path("record");
    std::fs::write(&file, view["file"].as_str().unwrap()).unwrap();
    let verified = place.run(&["evidence", "verify", file.to_str().unwrap()]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    std::fs::write(&file, view["file"].as_str().unwrap().replace("secrets_destroyed 1", "secrets_destroyed 9"))
        .unwrap();
    assert_eq!(place.run(&["evidence", "verify", file.to_str().unwrap()]).code, Some(24));
    assert!(purge(&place, &[]).out.contains("secret_destroyed far"), "it is shown again");
    let refused = place.run(&["secret", "put", "new", "--from-file", secret, "--tenant", "acme"]);
    assert!(refused.code != Some(0) && refused.err.contains("is purged"), "{refused:?}");
}
