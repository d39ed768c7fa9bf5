//! What the whole-product tests share: the binary, folders of every shape, and restic.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rand::{RngCore, SeedableRng};
use serde_json::Value;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_backstay");

/// A folder for one test: a source, a data directory, and whatever else.
pub(crate) struct Place {
    home: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.path("source")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Returns a command of the binary on this place's data directory.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).env("BACKSTAY_DATA_DIR", self.data()).env_remove("BACKSTAY_SERVER").env("TZ", "UTC");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    pub(crate) fn quickstart(&self) -> Ran {
        self.run(&["quickstart", self.source().to_str().unwrap()])
    }

    /// Runs a verb with `--json` that must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.err);
        serde_json::from_str(&ran.out).unwrap()
    }

    /// Runs restic on this place's repository; it must succeed.
    pub(crate) fn restic(&self, restic: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new(restic);
        command.args(["--no-cache", "-r"]).arg(self.data().join("repositories/local"));
        command.arg("-p").arg(self.data().join("keys/local.key")).args(arguments);
        let ran = Ran::of(&mut command);
        assert_eq!(ran.code, Some(0), "{} {arguments:?}: {}{}", restic.display(), ran.out, ran.err);
        ran.out
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: status.code(), out: text(stdout), err: text(stderr) }
    }
}

/// Returns the restic programs to hold against: the oldest and the newest. In CI a missing one is a failure; elsewhere it
/// is a loud skip.
pub(crate) fn restics() -> Vec<PathBuf> {
    let wanted = [("BACKSTAY_RESTIC_014", "restic-0.14"), ("BACKSTAY_RESTIC_019", "restic-0.19")];
    let found = wanted.map(|(variable, name)| {
        let cache = std::env::var_os("BACKSTAY_CACHE").map(PathBuf::from);
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let default = cache.unwrap_or_else(|| home.join(".cache/backstay")).join("tools/bin").join(name);
        let path = std::env::var_os(variable).filter(|path| !path.is_empty()).map_or(default, PathBuf::from);
        if !path.exists() {
            assert!(std::env::var("CI").is_err(), "{name} is missing: run testkit/peers/tools/install");
            skipped(&format!("{name} is missing, run testkit/peers/tools/install"));
        }
        path
    });
    found.into_iter().filter(|path| path.exists()).collect()
}

/// Says loudly what was not tested.
#[expect(clippy::print_stderr, reason = "a skip must be seen")]
fn skipped(what: &str) {
    eprintln!("SKIPPED: {what}");
}

/// Says whether the test may mount and change owners; a loud skip where it may not, a failure in CI.
pub(crate) fn is_root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(std::env::var("CI").is_err(), "{what} needs root");
        skipped(&format!("{what} needs root"));
    }
    root
}

/// Returns noise that nothing compresses.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut data);
    data
}

/// Makes a tree of every size class, with links, odd names and modes; `scale` multiplies the small files.
pub(crate) fn make_tree(root: &Path, scale: usize) {
    for folder in 0..4 * scale {
        let path = root.join(format!("folder-{folder}/inner"));
        std::fs::create_dir_all(&path).unwrap();
        for file in 0..20 {
            let seed = (folder * 20 + file) as u64;
            let text = format!("{seed} ").repeat(1 + 97 * file);
            std::fs::write(path.join(format!("text-{file}")), text).unwrap();
        }
    }
    let write = |name: &str, data: &[u8]| std::fs::write(root.join(name), data).unwrap();
    write("empty", b"");
    write("one", b"1");
    write("below-a-blob", &noise(1, (512 << 10) - 1));
    write("a-blob", &noise(2, 512 << 10));
    write("above-a-blob", &noise(3, (512 << 10) + 1));
    write("several-blobs", &noise(4, 5 << 20));
    write("huge", &noise(5, 20 << 20));
    write("zeros", &vec![0; 3 << 20]);
    write("line\nbreak \"quoted\" back\\slash", b"odd");
    std::fs::write(root.join(OsStr::from_bytes(b"not-utf8-\xff\xfe")), b"bytes").unwrap();
    symlink("one", root.join("link")).unwrap();
    symlink("/nowhere/at all", root.join("dangling")).unwrap();
    std::fs::create_dir(root.join("empty-folder")).unwrap();
    let mode = |name: &str, mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(root.join(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    mode("one", 0o640);
    mode("empty-folder", 0o711);
}

/// Asserts that two trees hold the same: names, kinds, bytes, links, modes, owners, times.
pub(crate) fn assert_same_tree(left: &Path, right: &Path) {
    let diff = Ran::of(Command::new("diff").args(["-r", "--no-dereference"]).args([left, right]));
    assert_eq!((diff.code, diff.out.as_str()), (Some(0), ""), "{}", diff.err);
    let listing = |root: &Path| {
        let format = "%P %y %m %U %G %T@ %l\\0";
        let ran = Ran::of(Command::new("find").arg(root).args(["-mindepth", "1", "-printf", format]));
        let mut lines: Vec<_> = ran.out.split('\0').map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (left, right) = (listing(left), listing(right));
    assert!(left.len() > 10);
    assert_eq!(left, right);
}
