//! A repository for `backstay engine` and restic, and JSON of both made comparable.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::{BINARY, Place, Ran, restics};

/// The password of repositories in these tests.
pub(crate) const PASSWORD: &str = "correct horse";

/// A repository, a tree, and the environment that both programs are called with.
pub(crate) struct Repo {
    pub(crate) place: Place,
}

impl Repo {
    /// Makes a place without a repository.
    pub(crate) fn empty() -> Self {
        Self { place: Place::new() }
    }

    /// Makes a repository with our engine.
    pub(crate) fn new() -> Self {
        let repo = Self::empty();
        let ran = repo.ours(&["init"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        repo
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place.path("repository")
    }

    pub(crate) fn set(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RESTIC_") {
                command.env_remove(name);
            }
        }
        command.env("RESTIC_REPOSITORY", self.path()).env("RESTIC_PASSWORD", PASSWORD).env("TZ", "UTC");
        command.env("RESTIC_CACHE_DIR", self.place.path("cache"));
        // A folder above the source: paths that are typed are relative to it.
        command.current_dir(self.place.path("."));
    }

    /// Returns a command of ours.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("engine").args(arguments);
        self.set(&mut command);
        command
    }

    pub(crate) fn ours(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Runs restic 0.19 with the same words; none where it is not installed.
    pub(crate) fn theirs(&self, arguments: &[&str]) -> Option<Ran> {
        let restic = restics().into_iter().find(|path| path.ends_with("restic-0.19"))?;
        let mut command = Command::new(restic);
        command.args(arguments);
        self.set(&mut command);
        Some(Ran::of(&mut command))
    }

    /// Runs a verb of ours that must succeed, and returns its JSON lines.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let ran = self.ours(&[arguments, &["--json"]].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.err);
        lines(&ran.out)
    }

    /// Backs the source up and returns the snapshot's id.
    pub(crate) fn backup(&self, more: &[&str]) -> String {
        let lines = self.json(&[&["backup", "source"][..], more].concat());
        lines.last().unwrap()["snapshot_id"].as_str().unwrap().to_owned()
    }

    /// Makes a small tree of most kinds.
    pub(crate) fn make_source(&self) {
        let source = self.place.source();
        std::fs::create_dir_all(source.join("sub/deep")).unwrap();
        std::fs::write(source.join("a.txt"), "hello\n").unwrap();
        std::fs::write(source.join("sub/b.bin"), "foo").unwrap();
        std::fs::write(source.join("sub/deep/big"), crate::support::noise(1, 3 << 20)).unwrap();
        std::fs::write(source.join("empty"), "").unwrap();
        std::fs::hard_link(source.join("a.txt"), source.join("hard")).unwrap();
        std::os::unix::fs::symlink("a.txt", source.join("link")).unwrap();
    }

    /// Changes the small tree.
    pub(crate) fn change_source(&self) {
        let source = self.place.source();
        std::fs::write(source.join("a.txt"), "hello again\n").unwrap();
        std::fs::write(source.join("new"), "new").unwrap();
        std::fs::remove_file(source.join("sub/b.bin")).unwrap();
        std::fs::remove_file(source.join("link")).unwrap();
        std::fs::create_dir(source.join("link")).unwrap();
    }
}

/// Returns the JSON values of an output, one a line; a line that is none is a failure.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Removes what differs between two runs of the same thing: durations, moments, and how often a status was told.
pub(crate) fn redacted(values: Vec<Value>) -> Vec<Value> {
    let told = |value: &Value| value["message_type"] != "status";
    let mut values: Vec<Value> = values.into_iter().filter(told).collect();
    values.iter_mut().for_each(redact);
    values
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["total_duration", "backup_start", "backup_end", "snapshot_id", "seconds_elapsed", "duration"] {
                if let Some(field) = fields.get_mut(name) {
                    *field = "redacted".into();
                }
            }
            fields.values_mut().for_each(redact);
        }
        Value::Array(values) => {
            values.iter_mut().for_each(redact);
            // restic tells groups in no order.
            if values.iter().all(|value| value.get("group_key").is_some() || value.get("keep").is_some()) {
                values.sort_by_key(Value::to_string);
            }
        }
        _ => {}
    }
}
