//! Real peers: other projects' servers that the tests start by themselves, once a machine.
//!
//! A peer is a folder in `testkit/peers` with `up` and `down`. `up` is safe to run again and by two at once, and prints
//! the path of a file with endpoint and test-only keys. A peer that cannot be had here fails the test when `CI=true`,
//! and is a loud skip elsewhere. It is left running: the next test binary finds it.

pub mod database;
pub mod s3;
pub mod smtp;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What a peer's `up` told: `ENDPOINT`, `REGION`, `ACCESS_KEY`, `SECRET_KEY` and what else it has.
pub type PeerEnv = BTreeMap<String, String>;

/// Starts a peer, or finds it running.
///
/// # Panics
/// When it cannot be had and `CI=true`; when its script breaks its word.
pub fn start(name: &str) -> Option<PeerEnv> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testkit/peers").join(name).join("up");
    let output = Command::new(&script).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("{} did not start: {error}", script.display()));
    if !output.status.success() {
        let how = format!("the peer `{name}` cannot be had here ({}); its words are above", output.status);
        assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1"), "{how}");
        shout(&how);
        return None;
    }
    let text = String::from_utf8(output.stdout).expect("a script prints text");
    let path = text.lines().last().expect("the last line is a path");
    let env = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Some(env.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}

/// Says that a part of the tests is left out.
#[expect(clippy::print_stderr, reason = "a skip that nobody sees is a lie")]
fn shout(how: &str) {
    eprintln!("\n!!!! SKIPPED: {how}\n");
}
