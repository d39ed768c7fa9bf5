//! A repository in S3, worked on by an agent that has nothing but its token: keys come with leases, by purpose.

use std::process::Command;

use backstay_testkit::peers::database::Engine;
use backstay_testkit::peers::s3::moto;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::fleet_support::{Fleet, http, private};
use crate::support::{Ran, assert_same_tree, make_tree, restics};

const PASSWORD: &str = "the bucket's password";

/// Keeps a secret by a file, and returns how it went.
fn put(fleet: &Fleet, name: &str, text: &str, more: &[&str]) -> Ran {
    let file = fleet.place.path("handed-in");
    private(&file, text);
    let words = ["secret", "put", name, "--from-file", file.to_str().unwrap()];
    let ran = Ran::of(&mut fleet.command(&[&words[..], more].concat()));
    assert!(!ran.out.contains(text) && !ran.err.contains(text), "{ran:?}");
    ran
}

/// Red when the agent opens storages without what the lease brought (`agent/repository.rs`), when a lease brings less
/// than its job needs (`purposes`), and when a lock is taken back with the key for deleting (then locks stay).
#[test]
fn an_agent_without_credentials_of_its_own_works_in_a_bucket() {
    let (Some(peer), Some(server)) = (moto(), Engine::Postgresql.up()) else { return };
    let mut fleet = Fleet::new(server.create());
    let mut replica = fleet.replica("127.0.0.1:0");
    fleet.urls = vec![replica.heard("answers at ")];
    fleet.first_token();
    let bucket = peer.bucket();
    assert_eq!(peer.request("PUT", &format!("/{bucket}"), &[]), 200);

    let key = peer.key();
    let text = json!({ "access_key_id": key.id, "secret_access_key": key.secret.expose_secret() }).to_string();
    for name in ["s3-read", "s3-write", "s3-delete"] {
        assert_eq!(put(&fleet, name, &text, &[]).code, Some(0));
    }
    assert_eq!(put(&fleet, "password", PASSWORD, &[]).code, Some(0));
    let taken = put(&fleet, "password", "hunter2", &[]);
    assert!(taken.code == Some(20) && taken.err.contains("there is already a secret password"), "{taken:?}");

    // Shown instead of made: without the secret. And nothing of a request that has one is remembered.
    let shown = put(&fleet, "shown", "hunter2", &["--show-call"]);
    assert!(shown.code == Some(0) && shown.out.contains("THE SECRET"), "{shown:?}");
    let body = json!({ "tenant": "default", "name": "keyed", "value": "hunter2" }).to_string();
    let headers = "idempotency-key: once\r\n";
    assert_eq!(http(&fleet.urls[0], "POST /api/v1/secrets", &fleet.admin, headers, &body).0, 422);
    let kept = fleet.json(&["secret", "list"]);
    let names: Vec<&str> = kept["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["password", "s3-delete", "s3-read", "s3-write"]);

    let settings =
        [format!("endpoint={}", peer.endpoint), format!("bucket={bucket}"), "prefix=a/repository".to_owned()];
    let declare = |name: &str, password: &str, keys: &[&str]| {
        let mut command = fleet.command(&["repository", "create", name, "--kind", "s3", "--json"]);
        for setting in &settings {
            command.args(["--set", setting]);
        }
        for key in keys {
            command.args(["--credential", key]);
        }
        Ran::of(command.args(["--password-reference", password]))
    };
    let keys = ["read=sealed:s3-read", "write=sealed:s3-write", "delete=sealed:s3-delete"];
    let missing = declare("none", "sealed:password", &["sealed:nowhere"]);
    assert!(missing.code == Some(1) && missing.err.contains("there is no secret at sealed:"), "{missing:?}");
    let other = declare("none", "sealed:password", &["sealed:password"]);
    assert!(other.err.contains("no access key") && !other.err.contains(PASSWORD), "{other:?}");
    // Another tenant's secret is not to be had, not by its whole name either.
    fleet.json(&["tenant", "create", "eve"]);
    let whole = format!("sealed:{}/password", kept["rows"][0]["tenant_id"].as_str().unwrap());
    for password in ["sealed:password", &whole] {
        let words = ["repository", "create", "theft", "--tenant", "eve", "--set", "path=/nowhere"];
        let mut command = fleet.command(&words);
        let stolen = Ran::of(command.args(["--password-reference", password]));
        assert!(stolen.code != Some(0) && stolen.err.contains("there is no secret"), "{stolen:?}");
    }
    let made = declare("bucket", "sealed:password", &keys);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let made: serde_json::Value = serde_json::from_str(&made.out).unwrap();
    let repository = made["id"].as_str().unwrap();

    let replaced = put(&fleet, "password", "hunter2", &["--replace"]);
    assert!(replaced.err.contains("is the password of the repository bucket"), "{replaced:?}");
    for name in ["password", "s3-read"] {
        let removed = Ran::of(&mut fleet.command(&["secret", "remove", name]));
        assert!(removed.code == Some(1) && removed.err.contains("of the repository bucket"), "{removed:?}");
    }

    // What a channel uses goes to a server that its owner chose: it is none that opens data, and the other way round.
    let hook = |name: &str, secret: &str| {
        let words = ["channel", "create", name, "--kind", "webhook", "--tenant", "default", "--set"];
        let mut command = fleet.command(&words);
        Ran::of(command.args(["url=https://hook.example/x", "--set", &format!("secret={secret}")]))
    };
    assert_eq!(put(&fleet, "channel-hook", "a secret of a hook", &[]).code, Some(0));
    let refused = hook("theft", "sealed:password");
    assert!(refused.code != Some(0) && refused.err.contains("channel-"), "{refused:?}");
    let refused = declare("none", "sealed:channel-hook", &keys);
    assert!(refused.code != Some(0) && refused.err.contains("secret for a repository"), "{refused:?}");
    let made = hook("hook", "sealed:channel-hook");
    assert_eq!(made.code, Some(0), "{}", made.err);
    let removed = Ran::of(&mut fleet.command(&["secret", "remove", "channel-hook"]));
    assert!(removed.code == Some(1) && removed.err.contains("of the channel hook"), "{removed:?}");

    let source = fleet.place.source();
    std::fs::create_dir(&source).unwrap();
    make_tree(&source, 1);
    let plan = fleet.plan("tree", &source, repository, &["--keep-last", "1"]);
    let token = fleet.json(&["token", "create", "hands", "--role", "agent"]);
    let (agent, _) = fleet.agent(token["secret"].as_str().unwrap(), 0);

    for round in 0..2 {
        std::fs::write(source.join("round"), format!("{round}")).unwrap();
        let ended = fleet.ended(&fleet.run(&plan));
        assert_eq!(ended["job"]["state"], "succeeded", "{ended}");
    }
    let snapshots = fleet.json(&["snapshot", "list"]);
    assert_eq!(snapshots["rows"].as_array().unwrap().len(), 2);
    let newest = snapshots["rows"][0]["id"].as_str().unwrap();
    let verified = Ran::of(&mut fleet.command(&["snapshot", "verify", newest]));
    assert_eq!(verified.code, Some(0), "{}", verified.err);
    let target = fleet.place.path("restored");
    let restored = Ran::of(&mut fleet.command(&["snapshot", "restore", newest, "--target", target.to_str().unwrap()]));
    assert_eq!(restored.code, Some(0), "{}", restored.err);
    let below = source.to_str().unwrap().trim_start_matches('/').to_owned();
    assert_same_tree(&source, &target.join(&below));
    let listed = Ran::of(&mut fleet.command(&["snapshot", "ls", newest, source.to_str().unwrap()]));
    assert!(listed.code == Some(0) && listed.out.contains("several-blobs"), "{}", listed.err);

    let restic = |arguments: &[&str]| {
        let newest = restics().pop()?;
        let mut command = Command::new(newest);
        command.args(["--no-cache", "-r", &format!("s3:{}/{bucket}/a/repository", peer.endpoint)]).args(arguments);
        command.env("RESTIC_PASSWORD", PASSWORD).env("AWS_DEFAULT_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", &key.id).env("AWS_SECRET_ACCESS_KEY", key.secret.expose_secret());
        let ran = Ran::of(&mut command);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
        Some(ran.out)
    };
    if let Some(locks) = restic(&["list", "locks", "--no-lock"]) {
        assert_eq!(locks.trim(), "", "a job left its lock behind");
    }
    let pruned = Ran::of(&mut fleet.command(&["repository", "prune", "bucket"]));
    assert_eq!(pruned.code, Some(0), "{}", pruned.err);
    restic(&["check", "--read-data"]);
    if let Some(list) = restic(&["snapshots", "--json"]) {
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        assert_eq!(list.as_array().unwrap().len(), 1, "retention keeps the newest alone");
        let theirs = fleet.place.path("theirs");
        restic(&["restore", "latest", "--target", theirs.to_str().unwrap()]);
        assert_same_tree(&source, &theirs.join(&below));
    }

    // A key that was changed: the next lease brings the new one.
    assert_eq!(put(&fleet, "s3-write", "not a key", &["--replace"]).code, Some(0));
    let ended = fleet.ended(&fleet.run(&plan));
    assert_eq!((&ended["job"]["state"], &ended["job"]["failure_class"]), (&"failed".into(), &"password".into()));
    assert!(ended["job"]["message"].as_str().unwrap().contains("no access key"), "{ended}");
    assert_eq!(put(&fleet, "s3-write", &text, &["--replace"]).code, Some(0));
    assert_eq!(fleet.ended(&fleet.run(&plan))["job"]["state"], "succeeded");

    let shown =
        ["repository", "secret", "job", "event", "change", "token"].map(|noun| fleet.json(&[noun, "list"]).to_string());
    let said = [&replica, &agent].map(|process| process.said.lock().unwrap().join("\n"));
    for text in shown.iter().chain(&said) {
        assert!(!text.contains(key.secret.expose_secret()) && !text.contains(PASSWORD), "{text}");
    }
}
