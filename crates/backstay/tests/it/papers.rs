//! Every command in the README and the tutorial is run as it is written: block after block, in one shell, in a home of its
//! own. What cannot be run says why above it (`<!-- not run: … -->`); what must be there first stands above it too, where
//! a reader does not see it (`<!-- before: … -->`).

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::{BINARY, Ran, restics};

/// A block of commands.
struct Block {
    /// The line at which it begins.
    line: usize,
    text: String,
    before: String,
    not_run: Option<String>,
}

/// Returns the blocks of a page that are commands for a shell.
fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut before, mut not_run) = (Vec::new(), String::new(), None);
    let mut lines = page.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let said = |word: &str| line.strip_prefix("<!-- ")?.strip_prefix(word)?.strip_suffix(" -->");
        if let Some(command) = said("before: ") {
            before.push_str(&format!("{command}\n"));
        } else if let Some(reason) = said("not run: ") {
            not_run = Some(reason.to_owned());
        } else if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().map(|(line, _)| line).take_while(|line| *line != "```").collect();
            let (text, before, not_run) = (text.join("\n"), std::mem::take(&mut before), not_run.take());
            if ["sh", "console"].contains(&language) {
                blocks.push(Block { line: number, text, before, not_run });
            }
        }
    }
    blocks
}

/// Returns one script of all blocks that can be run; each says where it begins.
fn script(blocks: &[Block]) -> String {
    let runs = blocks.iter().filter(|block| block.not_run.is_none());
    let words = runs.map(|block| format!("echo \"== line {}\" >&2\n{}{}\n", block.line, block.before, block.text));
    words.collect()
}

/// Runs a page of the book, of which so many blocks run and so many do not.
fn run(page: &str, counts: (usize, usize)) -> (Ran, tempfile::TempDir) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(page)).unwrap();
    let blocks = blocks(&text);
    let left_out = blocks.iter().filter(|block| block.not_run.is_some()).count();
    assert_eq!((blocks.len() - left_out, left_out), counts, "{page}: blocks that run, and that do not");
    let home = tempfile::tempdir().unwrap();
    let programs = home.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    symlink(BINARY, programs.join("backstay")).unwrap();
    // What cargo would build is there.
    let cargo = "#!/bin/sh\n[ \"$1 $2 $3 $4\" = 'run -p backstay --' ] && shift 4 && exec backstay \"$@\"\n";
    std::fs::write(programs.join("cargo"), cargo).unwrap();
    std::fs::set_permissions(programs.join("cargo"), std::fs::Permissions::from_mode(0o755)).unwrap();
    if let Some(restic) = restics().pop() {
        symlink(restic, programs.join("restic")).unwrap();
    }
    let mut bash = Command::new("bash");
    bash.args(["--noprofile", "--norc", "-eu", "-o", "pipefail", "-c", &script(&blocks)]);
    let paths = std::env::join_paths([programs.as_path(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    bash.env_clear().env("HOME", home.path()).env("PATH", paths).env("TZ", "UTC").current_dir(home.path());
    let ran = Ran::of(&mut bash);
    assert_eq!(ran.code, Some(0), "{page}: {}\n{}", ran.out, ran.err);
    (ran, home)
}

/// Red when a command of the tutorial is wrong, or when its story is another one than it tells.
#[test]
fn the_tutorial_is_run_as_written() {
    let (ran, home) = run("docs/tutorial/first-backup.md", (13, 1));
    for words in [
        "it ended with 20",
        "next: Look whether it is there",
        "What went wrong",
        "Dear Ada, the engine runs.",
        "tea\nbread\n",
        "no errors were found",
    ] {
        assert!(ran.out.contains(words), "`{words}` is not in {}\n{}", ran.out, ran.err);
    }
    assert!(home.path().join("sheet.txt").exists());
}

/// Red when a command of the README is wrong.
#[test]
fn the_readme_is_run_as_written() {
    let (ran, _home) = run("README.md", (7, 1));
    assert!(ran.out.contains("no errors were found"), "{}\n{}", ran.out, ran.err);
}
