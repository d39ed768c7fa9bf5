//! Real restic, old and new, as the judge of what we write and the writer of what we read.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::house::{HOST, House, PASSWORD};

/// A restic.
pub(crate) struct Restic {
    pub(crate) version: &'static str,
    pub(crate) program: PathBuf,
}

/// Returns the restics that are here: both, or the test is skipped aloud, or red in CI.
pub(crate) fn restics() -> Vec<Restic> {
    [("0.14", "BACKSTAY_RESTIC_014"), ("0.19", "BACKSTAY_RESTIC_019")]
        .into_iter()
        .filter_map(|(version, variable)| find(version, variable))
        .collect()
}

fn find(version: &'static str, variable: &str) -> Option<Restic> {
    let cache = || match (std::env::var_os("BACKSTAY_CACHE"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, home) => PathBuf::from(home.unwrap_or_default()).join(".cache/backstay"),
    };
    let default = || cache().join("tools/bin").join(format!("restic-{version}"));
    let program = std::env::var_os(variable).map_or_else(default, PathBuf::from);
    if program.is_file() {
        return Some(Restic { version, program });
    }
    let problem = format!(
        "restic {version} is not at {} (set {variable}, or run testkit/peers/tools/install)",
        program.display()
    );
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{problem}");
    eprintln!("\n########## SKIPPED: {problem} ##########\n");
    None
}

impl Restic {
    /// Returns where it lies.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Runs restic on the repository of a house.
    pub(crate) fn output(&self, home: &Path, arguments: &[&str]) -> Output {
        Command::new(&self.program)
            .args(["--no-cache", "-r"])
            .arg(home.join("repository"))
            .args(arguments)
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("RESTIC_CACHE_DIR", home.join("restic-cache"))
            .env("TZ", "UTC")
            .output()
            .unwrap()
    }

    /// Runs restic, asserts that it succeeds, and returns what it says.
    pub(crate) fn run(&self, home: &Path, arguments: &[&str]) -> String {
        let output = self.output(home, arguments);
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = self.version;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "restic {version} {arguments:?}: {words}\n{errors}");
        words
    }

    /// Reads and checks everything.
    pub(crate) fn check(&self, house: &House) {
        let words = self.run(house.home.path(), &["check", "--read-data"]);
        assert!(words.contains("no errors were found"), "restic {}: {words}", self.version);
    }

    /// Restores a snapshot and returns where the tree lies.
    pub(crate) fn restore(&self, house: &House, snapshot: &str) -> PathBuf {
        let target = house.home.path().join(format!("restic-{}-{}", self.version, &snapshot[..8]));
        self.run(house.home.path(), &["restore", snapshot, "--target", target.to_str().unwrap()]);
        super::house::below(&target, &house.tree())
    }

    /// Backs up a tree and returns the summary.
    pub(crate) fn backup(&self, home: &Path, tree: &Path, more: &[&str]) -> Value {
        let arguments = [&["backup", "--json", "--host", HOST, tree.to_str().unwrap()], more].concat();
        let words = self.run(home, &arguments);
        let last = words.lines().rfind(|line| line.contains("\"summary\"")).unwrap();
        serde_json::from_str(last).unwrap()
    }
}
