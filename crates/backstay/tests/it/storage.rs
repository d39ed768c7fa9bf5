//! Storages through the command line: two repositories in one folder, told apart by their paths.

use backstay_testkit::peers::s3::moto;
use serde_json::{Value, json};

use crate::support::{Place, assert_same_tree, noise};

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap()
}

/// Red when a repository does not lie below its storage, or when a storage goes that a repository needs.
#[test]
fn repositories_lie_in_a_storage_under_their_paths() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    for number in 0..12 {
        std::fs::write(place.source().join(format!("file-{number}")), noise(number, 900)).unwrap();
    }
    assert_eq!(place.quickstart().code, Some(0));
    let (shelf, key) = (place.path("shelf"), "file:keys/local.key");
    std::fs::create_dir(&shelf).unwrap();
    let path = format!("path={}", shelf.display());
    let made = place.json(&["storage", "create", "shelf", "--set", &path]);
    assert_eq!((text(&made, "kind"), text(&made["settings"], "path")), ("local", shelf.to_str().unwrap()));
    let create = |name: &str, more: &[&str]| {
        let base = ["repository", "create", name, "--storage", "shelf", "--password-reference", key];
        place.run(&[&base, more, &["--json"]].concat())
    };
    assert_eq!(create("web", &["--path", "team/web"]).code, Some(0));
    assert_eq!(create("plain", &[]).code, Some(0));
    let rows = place.json(&["repository", "list"])["rows"].as_array().unwrap().clone();
    let named = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    let web = named("web");
    assert_eq!(text(&web["storage"]["settings"], "path"), shelf.join("team/web").to_str().unwrap());
    assert_eq!(text(&named("plain")["storage"]["settings"], "path"), shelf.join("plain").to_str().unwrap());
    assert_eq!(text(web, "storage_id"), text(&made, "id"));
    let wrong = create("bad", &["--path", "../elsewhere"]);
    assert!(wrong.code != Some(0) && wrong.err.contains("path: `../elsewhere`"), "{wrong:?}");
    let unknown = place.run(&["repository", "create", "x", "--storage", "moon", "--password-reference", key]);
    assert!(unknown.code == Some(25) && unknown.err.contains("there is no storage moon"), "{unknown:?}");

    let source = place.json(&["source", "list"])["rows"][0].clone();
    let plan = ["plan", "create", "web", "--source", text(&source, "id"), "--repository", text(web, "id")];
    place.json(&plan);
    std::fs::create_dir_all(shelf.join("team/web")).unwrap();
    let ran = place.run(&["plan", "run", "web"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(shelf.join("team/web/config").is_file(), "it lies where its path says");
    let snapshots = place.json(&["snapshot", "list"])["rows"].as_array().unwrap().clone();
    let snapshot = snapshots.iter().find(|row| row["repository_id"] == web["id"]).unwrap();
    let out = place.path("out");
    let restored = place.run(&["snapshot", "restore", text(snapshot, "id"), "--target", out.to_str().unwrap()]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert_same_tree(&place.source(), &out.join(place.source().strip_prefix("/").unwrap()));

    let needed = place.run(&["storage", "retire", "shelf", "--yes"]);
    assert!(needed.code != Some(0) && needed.err.contains("in use by repositories: plain, web"), "{needed:?}");
    let asked = place.run(&["storage", "retire", "shelf"]);
    assert!(asked.code != Some(0) && asked.err.contains("--yes"), "{asked:?}");
    assert_eq!(place.run(&["plan", "retire", "web", "--yes"]).code, Some(0));
    for name in ["web", "plain"] {
        assert_eq!(place.run(&["repository", "retire", name, "--yes"]).code, Some(0));
    }
    assert_eq!(place.run(&["storage", "retire", "shelf", "--yes"]).code, Some(0));
    assert_eq!(place.json(&["storage", "list"])["rows"], serde_json::json!([]));
    assert!(place.json(&["storage", "list", "--retired"])["rows"][0]["retired_at"].is_string());
}

/// Red when a key is not judged at the door, when a secret goes that a storage needs, or when one of two of a name is guessed.
#[test]
fn the_keys_of_a_storage_are_changed_in_one_place() {
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let keys = place.data().join("keys");
    let key = |name: &str, text: &str| std::fs::write(keys.join(name), text).unwrap();
    key("old.json", r#"{"access_key_id": "old", "secret_access_key": "one"}"#);
    key("new.json", r#"{"access_key_id": "new", "secret_access_key": "two"}"#);
    key("none.json", "hunter2");
    let settings = ["--kind", "s3", "--set", "endpoint=http://127.0.0.1:1", "--set", "bucket=backups"];
    place.json(&[&["storage", "create", "bucket", "--credential", "file:keys/old.json"], settings.as_slice()].concat());
    let shown = place.json(&["storage", "show", "bucket"]);
    assert_eq!(
        (text(&shown["credentials"], "delete"), text(&shown["credentials"], "read")),
        ("file:keys/old.json", "file:keys/old.json")
    );
    let changed = place.json(&["storage", "update", "bucket", "--credential", "read=file:keys/new.json"]);
    assert_eq!(changed["credentials"], serde_json::json!({ "read": "file:keys/new.json" }));
    let wrong = place.run(&["storage", "update", "bucket", "--credential", "file:keys/none.json"]);
    assert!(
        wrong.code != Some(0) && wrong.err.contains("no access key") && !wrong.err.contains("hunter2"),
        "{wrong:?}"
    );
    let bad = place.run(&["storage", "create", "x", "--kind", "s3", "--set", "bucket=backups"]);
    assert!(bad.code != Some(0) && bad.err.contains("endpoint"), "{bad:?}");
    assert_eq!(place.json(&["storage", "show", "bucket"]), changed);
    let kept = serde_json::json!({ "tenant": "default", "name": "s3-read",
        "value": r#"{"access_key_id": "id", "secret_access_key": "three"}"# });
    place.json(&["call", "secret_put", "--body", &kept.to_string()]);
    place.json(&["storage", "update", "bucket", "--credential", "read=sealed:s3-read"]);
    let needed = place.run(&["secret", "remove", "s3-read"]);
    assert!(needed.code != Some(0) && needed.err.contains("a key of the storage bucket"), "{needed:?}");
    assert!(place.run(&["storage", "list"]).out.contains("http://127.0.0.1:1/backups"));
    // Another tenant's of the same name: whose is meant is not guessed, and nothing is done.
    assert_eq!(place.run(&["tenant", "create", "ada"]).code, Some(0));
    place.json(&["storage", "create", "bucket", "--tenant", "ada", "--set", "path=/srv/ada"]);
    for call in [
        &["storage", "show", "bucket"][..],
        &["storage", "update", "bucket", "--credential", "file:keys/new.json"],
        &["storage", "retire", "bucket", "--yes"],
    ] {
        let ran = place.run(call);
        assert!(ran.code == Some(20) && ran.err.contains("2 are called bucket"), "{call:?}: {ran:?}");
    }
    assert_eq!(place.json(&["storage", "list"])["rows"].as_array().unwrap().len(), 2);
}

/// Red when a test leaves its object where it may remove it, when the step that does not work is not the one that is named,
/// or when a key is told.
#[test]
fn a_storage_is_tried_by_its_keys_before_a_backup_needs_it() {
    let Some(peer) = moto() else { return };
    let bucket = peer.bucket();
    assert_eq!(peer.request("PUT", &format!("/{bucket}"), &[]), 200);
    let place = Place::new();
    std::fs::create_dir(place.source()).unwrap();
    std::fs::write(place.source().join("a"), "a").unwrap();
    assert_eq!(place.quickstart().code, Some(0));
    let (key, secret) = (peer.key(), "not-for-eyes");
    let handed_in = json!({ "access_key_id": key.id, "secret_access_key": secret });
    std::fs::write(place.path("key"), handed_in.to_string()).unwrap();
    place.json(&["secret", "put", "s3", "--from-file", place.path("key").to_str().unwrap()]);
    let create = |name: &str, endpoint: &str, bucket: &str, keys: &[&str]| {
        let settings = [format!("endpoint={endpoint}"), format!("bucket={bucket}"), "prefix=deep".to_owned()];
        let mut words = vec!["storage", "create", name, "--kind", "s3"];
        settings.iter().for_each(|setting| words.extend(["--set", setting]));
        keys.iter().for_each(|key| words.extend(["--credential", key]));
        place.json(&words);
    };
    let tried = |name: &str| {
        let ran = place.run(&["storage", "test", name, "--json"]);
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{ran:?}");
        let view: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
        let steps = view["steps"].as_array().unwrap().clone();
        let words: Vec<String> =
            steps.iter().map(|row| format!("{} {}", text(row, "step"), text(row, "outcome"))).collect();
        (ran.code, words.join(", "), view)
    };
    create("whole", &peer.endpoint, &bucket, &["sealed:s3"]);
    let (code, words, view) = tried("whole");
    let well = "open well, list well, write well, read well, delete well";
    assert_eq!((code, &*words, &view["left"]), (Some(0), well, &Value::Null), "{view}");
    // Backups work where nothing may be removed: that is told, and no failure.
    create("kept", &peer.endpoint, &bucket, &["read=sealed:s3", "write=sealed:s3"]);
    let (code, words, view) = tried("kept");
    let kept = "open well, list well, write well, read well, delete noted";
    assert_eq!((code, &*words), (Some(0), kept), "{view}");
    assert!(text(&view, "left").starts_with("backstay-test-"), "{view}");
    create("unknown", &peer.endpoint, "no-such-bucket-here", &["sealed:s3"]);
    create("nobody", "http://127.0.0.1:1", &bucket, &["sealed:s3"]);
    for (name, expected) in [("unknown", "there is no such bucket"), ("nobody", "nothing listens at that port")] {
        let ran = place.run(&["storage", "test", name]);
        assert!(ran.code == Some(1) && ran.err.contains(expected), "{ran:?}");
    }
    let path = format!("path={}", place.path("nowhere").display());
    place.json(&["storage", "create", "nowhere", "--set", &path]);
    let ran = place.run(&["storage", "test", "nowhere"]);
    assert!(ran.code == Some(1) && ran.err.contains("its first backup makes it"), "{ran:?}");
    assert!(!place.path("nowhere").exists());
}
