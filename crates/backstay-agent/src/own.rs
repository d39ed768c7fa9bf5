//! What belongs to the installation that this process is: no source reads it, and no restore writes there.
//!
//! Files with locks, because to close a file is to let go of all locks that a process has on it (`fcntl(2)`). SQLite counts
//! on these: the next program that looks at the database would take its log for nobody's, and remove it. Keys and tokens,
//! because a tenant whose plan reads them holds everybody's repositories; SECURITY.md says what else a shared machine means.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use backstay_core::ports::source::SourceError;

/// Files and folders that no source reads.
static NEVER_READ: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Folders that no restore writes into.
static NEVER_WRITTEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Leaves files and folders out of what any source of this process has.
pub fn never_read(places: impl IntoIterator<Item = PathBuf>) {
    NEVER_READ.lock().unwrap_or_else(PoisonError::into_inner).extend(places);
}

/// Keeps restores of this process out of a folder.
pub fn never_written(folder: PathBuf) {
    NEVER_WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).insert(folder);
}

/// Returns patterns for what is never read below a folder, by the paths at which a walk of it meets them.
///
/// # Errors
/// [`SourceError::Own`] when the folder itself is such a place, or lies in one.
pub(crate) fn patterns_below(folder: &Path) -> Result<Vec<String>, SourceError> {
    let places = NEVER_READ.lock().unwrap_or_else(PoisonError::into_inner).clone();
    patterns_of(&places, folder)
}

/// Says whether a restore to a target would write into the installation's own folder, whatever of the target is there yet.
pub(crate) fn is_written_by_us(target: &Path) -> bool {
    let there = target.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let real = match there {
        Some((above, real)) => real.join(target.strip_prefix(above).unwrap_or(Path::new(""))),
        None => target.to_owned(),
    };
    let folders = NEVER_WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    folders.iter().any(|folder| real.starts_with(real_path(folder)))
}

fn real_path(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn patterns_of(places: &BTreeSet<PathBuf>, folder: &Path) -> Result<Vec<String>, SourceError> {
    let root = real_path(folder);
    let mut patterns = Vec::new();
    for place in places {
        let (Some(above), Some(name)) = (place.parent(), place.file_name()) else { continue };
        // The log is there only at times, its folder always is.
        let real = real_path(above).join(name);
        if root.starts_with(&real) {
            return Err(SourceError::Own { place: folder.display().to_string() });
        }
        let Ok(below) = real.strip_prefix(&root) else { continue };
        let plain = |letter: char| if r"\*?[]".contains(letter) { format!("\\{letter}") } else { letter.to_string() };
        patterns.extend(folder.join(below).to_str().map(|path| path.chars().map(plain).collect()));
    }
    Ok(patterns)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use backstay_core::ports::source::LeftOut;

    use super::*;
    use crate::sources::filesystem::excludes_of;

    /// Red when a letter of a name is read as a pattern, or another file of the folder goes with it.
    #[test]
    fn files_with_locks_are_left_out_wherever_a_walk_meets_them() {
        let root = tempfile::tempdir().unwrap();
        let (home, data) = (root.path().join("home"), root.path().join("home/d[a]ta*"));
        std::fs::create_dir_all(&data).unwrap();
        std::os::unix::fs::symlink(&home, root.path().join("link")).unwrap();
        let files = BTreeSet::from([data.join("backstay.db"), data.join("backstay.db-wal")]);
        for folder in [home.clone(), root.path().join("link"), data.clone()] {
            let patterns = patterns_of(&files, &folder).unwrap();
            assert_eq!(patterns.len(), 2, "{patterns:?}");
            let excludes = excludes_of(&LeftOut { patterns, ..LeftOut::default() }).unwrap();
            let below = folder.join(data.strip_prefix(&home).unwrap());
            let below = if folder == data { data.clone() } else { below };
            for (name, expected) in [("backstay.db", true), ("backstay.db-wal", true), ("master.key", false)] {
                let left_out = excludes.leaves_out_name(below.as_os_str().as_bytes(), name.as_bytes());
                assert_eq!(left_out, expected, "{name} in {}", below.display());
            }
        }
        assert_eq!(patterns_of(&files, &root.path().join("elsewhere")).unwrap(), Vec::<String>::new());
    }

    /// Red when a plan may name the folder of keys itself, or a folder in it, also by a link.
    #[test]
    fn a_folder_of_keys_is_no_source() {
        let root = tempfile::tempdir().unwrap();
        let keys = root.path().join("data/keys");
        std::fs::create_dir_all(keys.join("channels")).unwrap();
        std::os::unix::fs::symlink(&keys, root.path().join("link")).unwrap();
        let places = BTreeSet::from([keys.clone()]);
        for folder in [keys.clone(), keys.join("channels"), root.path().join("link/channels")] {
            let refused = patterns_of(&places, &folder).unwrap_err().to_string();
            assert!(refused.contains(folder.to_str().unwrap()), "{refused}");
        }
        assert_eq!(patterns_of(&places, root.path()).unwrap().len(), 1);
    }

    /// Red when a target that is not there yet, or a link, leads a restore in.
    #[test]
    fn a_restore_stays_out_of_the_folder_that_is_ours() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, root.path().join("link")).unwrap();
        never_written(data.clone());
        for (target, expected) in
            [("data", true), ("data/new/deep", true), ("link/new", true), ("database", false), ("", false)]
        {
            assert_eq!(is_written_by_us(&root.path().join(target)), expected, "{target}");
        }
    }
}
