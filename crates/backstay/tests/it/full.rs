//! Standard output that takes nothing, and a reader that goes away: the one is an error, the other is none.

use std::process::{Command, Stdio};

use crate::support::{BINARY, Place, Ran};
use crate::verbs::protected;

/// Runs a verb whose standard output is a full disk.
fn to_full(place: &Place, arguments: &[&str]) -> Ran {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = place.command(arguments).stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output();
    let output = output.unwrap();
    Ran { code: output.status.code(), out: String::new(), err: String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// Red when an answer that nobody got is called done: a secret that is shown once, an export, a file of a snapshot.
#[test]
fn an_answer_that_could_not_be_written_is_an_error() {
    let place = protected();
    let snapshot = place.json(&["snapshot", "list"])["rows"][0]["foreign_id"].as_str().unwrap()[..8].to_owned();
    let file = place.source().join("a").display().to_string();
    let repository = place.data().join("repositories/local").display().to_string();
    let key = place.data().join("keys/local.key").display().to_string();
    let engine = |verb: &'static str| vec!["engine", verb, "-r", &repository, "-p", &key];
    for arguments in [
        vec!["export"],
        vec!["token", "create", "friend", "--role", "admin"],
        vec!["recovery", "sheet"],
        vec!["snapshot", "cat", &snapshot, &file],
        vec!["plan", "list"],
        vec!["plan", "list", "--json"],
        vec!["config", "show"],
        vec!["config", "schema"],
        vec!["man"],
        vec!["completion", "bash"],
    ] {
        let ran = to_full(&place, &arguments);
        assert_eq!(ran.code, Some(23), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains("standard output") && ran.err.contains("next: "), "{arguments:?}: {}", ran.err);
        assert_eq!(ran.err.matches("backstay: ").count(), 1, "{arguments:?}: {}", ran.err);
    }
    let ran = to_full(&place, &engine("snapshots"));
    assert!(ran.code == Some(1) && ran.err.contains("standard output"), "restic has no code for it: {ran:?}");
    // Whatever else went wrong is told as it is.
    let ran = to_full(&place, &["plan", "show", "none"]);
    assert_eq!(ran.code, Some(25), "{ran:?}");
}

/// Red when `| head` is told to be an error, or ends a verb with one.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = protected();
    for arguments in ["config schema", "export", "completion bash", "plan list"] {
        let line = format!("'{BINARY}' {arguments} 2>err | true; echo ${{PIPESTATUS[0]}}; cat err");
        let mut command = Command::new("bash");
        command.args(["-c", &line]).current_dir(place.path("")).env("BACKSTAY_DATA_DIR", place.data());
        let ran = Ran::of(&mut command);
        assert_eq!(ran.out, "0\n", "{arguments}: {}", ran.err);
    }
}
