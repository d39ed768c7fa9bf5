//! What a look at a folder says before it is backed up: names alone are read, and no file is opened.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backstay_core::domain::probe::StepOutcome;
use backstay_core::ports::source::LeftOut;
use backstay_engine::archive::exclude::{Case, Excludes};

use super::filesystem::{excludes_of, listed};
use super::trial::{failed, refused};

/// Most names that are looked at for patterns: a second or two on a disk.
const NAMES_MAX: usize = 100_000;

/// Longest look for patterns.
const LOOK_TIME_MAX: Duration = Duration::from_secs(10);

/// Most names that are told.
const TOLD_MAX: usize = 5;

/// Says what is in a folder's first level, and which folders of it cannot be read.
pub(super) fn first_level(path: &str, left_out: &LeftOut) -> StepOutcome {
    if let Err(error) = listed(path) {
        return refused(&error);
    }
    let excludes = excludes_of(left_out).unwrap_or_default();
    let (mut count, mut unread) = (0_usize, Vec::new());
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        let Ok(entry) = entry else { return failed("it cannot be listed to its end", "look at its disk") };
        count += 1;
        let is_out = excludes.leaves_out_name(path.as_bytes(), entry.file_name().as_bytes());
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && !is_out && std::fs::read_dir(entry.path()).is_err() {
            unread.push(entry.path().display().to_string());
        }
    }
    match (count, unread.len()) {
        (0, _) => StepOutcome::Noted {
            said: "it is empty".to_owned(),
            next: "is its disk mounted? A backup of it would be empty too".to_owned(),
        },
        (1, 0) => StepOutcome::Well { said: "one entry in its first level".to_owned() },
        (_, 0) => StepOutcome::Well { said: format!("{count} entries in its first level") },
        (_, unread_count) => failed(
            &format!("{unread_count} of the {count} entries of its first level cannot be read: {}", shown(&unread)),
            "let the user who runs the agent read them, or leave them out: exclude",
        ),
    }
}

/// Says which patterns match nothing, as far as a look at names tells.
pub(super) fn matched(root: &Path, patterns: Vec<String>) -> StepOutcome {
    let alone = |pattern: String| {
        let mut excludes = Excludes::default();
        // One that keeps leaves nothing out by itself.
        let is_rule = !pattern.starts_with('!') && excludes.add(pattern.as_bytes(), Case::Counts).is_ok();
        is_rule.then_some((pattern, excludes))
    };
    let mut left: Vec<(String, Excludes)> = patterns.into_iter().filter_map(alone).collect();
    let is_whole = look_through(root, &mut left);
    let names: Vec<String> = left.into_iter().map(|(pattern, _)| pattern).collect();
    match (names.is_empty(), is_whole) {
        (true, _) => StepOutcome::Well { said: "each pattern matches something".to_owned() },
        (false, true) => StepOutcome::Noted {
            said: format!("match nothing: {}", shown(&names)),
            next: "look at how they are written: they are held against absolute paths, and capitals count".to_owned(),
        },
        (false, false) => StepOutcome::Noted {
            said: format!("no match so far: {}", shown(&names)),
            next: "not all of the folder was looked at: they may match further down".to_owned(),
        },
    }
}

/// Takes away the patterns that a name below a folder matches, and says whether all names were looked at.
fn look_through(root: &Path, left: &mut Vec<(String, Excludes)>) -> bool {
    let (began, mut names, mut is_whole) = (Instant::now(), 0, true);
    let mut folders: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            is_whole = false;
            continue;
        };
        for entry in entries.flatten() {
            names += 1;
            if left.is_empty() {
                return true;
            }
            if names > NAMES_MAX || began.elapsed() > LOOK_TIME_MAX {
                return false;
            }
            let (path, name) = (folder.as_os_str().as_bytes(), entry.file_name());
            left.retain(|(_, excludes)| !excludes.leaves_out_name(path, name.as_bytes()));
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    is_whole
}

/// Returns some of the names.
fn shown(names: &[String]) -> String {
    let more = names.len().saturating_sub(TOLD_MAX);
    let told = names.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join(", ");
    if more == 0 { told } else { format!("{told} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when a pattern that matches somewhere is called one that does not, or the other way.
    #[test]
    fn patterns_that_match_nothing_are_named() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("a/deep")).unwrap();
        std::fs::write(home.path().join("a/deep/x.tmp"), "x").unwrap();
        let check = |patterns: &[&str], expected: &str| {
            let told = matched(home.path(), patterns.iter().map(|text| (*text).to_owned()).collect());
            assert!(format!("{told:?}").contains(expected), "{told:?}");
        };
        check(&["*.tmp", "deep"], "each pattern matches something");
        check(&["*.tmp", "*.bak", "!keep", "/elsewhere"], "match nothing: *.bak, /elsewhere\"");
    }

    /// Red when an empty folder, or one that is not there, looks like a good source.
    #[test]
    fn a_first_level_is_counted() {
        let home = tempfile::tempdir().unwrap();
        let look = |path: &Path| format!("{:?}", first_level(path.to_str().unwrap(), &LeftOut::default()));
        assert!(look(home.path()).starts_with("Noted { said: \"it is empty"));
        std::fs::write(home.path().join("a"), "a").unwrap();
        std::fs::create_dir(home.path().join("b")).unwrap();
        assert!(look(home.path()).starts_with("Well { said: \"2 entries"));
        assert!(look(&home.path().join("gone")).starts_with("Failed"));
        assert!(look(&home.path().join("a")).contains("is not a folder"));
    }
}
