//! What a backup reads: paths that were typed, and lists of paths in files.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use backstay_engine::archive::command::command_stream;
use backstay_engine::archive::stream::Stream;
use backstay_engine::pattern::Patterns;

use super::context::Context;
use super::error;
use crate::cli::error::CliError;

/// Largest list of paths that is read.
const LIST_BYTES_MAX: u64 = 1 << 30;

/// Options that say what is read.
#[derive(Debug, clap::Args)]
pub(super) struct RootArgs {
    /// A list of patterns of paths, one a line; # begins a comment; - is standard input
    #[arg(long, value_name = "F")]
    files_from: Vec<PathBuf>,
    /// A list of paths, one a line, taken as they are
    #[arg(long, value_name = "F")]
    files_from_verbatim: Vec<PathBuf>,
    /// A list of paths, each ended by a zero byte
    #[arg(long, value_name = "F")]
    files_from_raw: Vec<PathBuf>,
    /// Save what comes on standard input
    #[arg(long, conflicts_with = "stdin_from_command")]
    stdin: bool,
    /// Save what a command writes, which stands behind --; when it fails there is no snapshot
    #[arg(long)]
    stdin_from_command: bool,
    /// The file's name in the snapshot
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    stdin_filename: PathBuf,
    /// Files and folders
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// What is read.
#[derive(Debug)]
pub(super) enum Input {
    /// Files and folders.
    Roots(Vec<PathBuf>),
    /// A stream, and its path in the snapshot.
    Stream(PathBuf, Stream),
}

impl Input {
    /// Returns the paths that the snapshot says were read.
    pub(super) fn roots(&self) -> Vec<PathBuf> {
        match self {
            Self::Roots(roots) => roots.clone(),
            Self::Stream(name, _) => vec![name.clone()],
        }
    }
}

impl RootArgs {
    /// Returns what is read.
    ///
    /// # Errors
    /// [`CliError`] when that is nothing, or a list cannot be read.
    pub(super) fn input(&self, context: &Context) -> Result<Input, CliError> {
        let name = || Path::new("/").join(&self.stdin_filename);
        if self.stdin {
            let mixed = !(self.paths.is_empty() && self.files_from.is_empty());
            if mixed {
                return Err(error::input("standard input and paths do not go together", "Leave the paths out."));
            }
            let stdin = std::io::stdin().as_fd().try_clone_to_owned();
            let stdin =
                stdin.map_err(|error| error::input(format!("standard input: {error}"), "Lead a file into it."))?;
            return Ok(Input::Stream(name(), Stream::of_file(stdin.into())));
        }
        if self.stdin_from_command {
            let arguments: Vec<_> = self.paths.iter().map(|path| path.as_os_str().to_owned()).collect();
            let hint = "Write it behind --, as: backup --stdin-from-command -- pg_dump mydb";
            let failed = |error| error::input(format!("the command did not start: {error}"), hint);
            return Ok(Input::Stream(name(), command_stream(&arguments).map_err(failed)?));
        }
        self.roots(context).map(Input::Roots)
    }

    fn roots(&self, context: &Context) -> Result<Vec<PathBuf>, CliError> {
        let mut roots = self.paths.clone();
        for file in &self.files_from {
            let text = list(file)?;
            for line in lines(&text) {
                let line = line.trim_ascii();
                if line.is_empty() || line.starts_with(b"#") {
                    continue;
                }
                let found = expand(line)?;
                if found.is_empty() {
                    context.output.warn("reading lists", &String::from_utf8_lossy(line), "nothing fits this pattern");
                }
                roots.extend(found);
            }
        }
        for file in &self.files_from_verbatim {
            let text = list(file)?;
            roots.extend(lines(&text).filter(|line| !line.is_empty()).map(path));
        }
        for file in &self.files_from_raw {
            let text = list(file)?;
            match text.split_last() {
                None => {}
                Some((0, text)) => {
                    roots.extend(text.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(path))
                }
                Some(_) => {
                    let heading = format!("the list {} does not end with a zero byte", file.display());
                    return Err(error::input(heading, "It may have been cut off: write it anew."));
                }
            }
        }
        if roots.is_empty() {
            let hint = "Name files or folders, or a list of them with --files-from.";
            return Err(error::input("there is nothing to back up", hint));
        }
        Ok(roots)
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn list(file: &Path) -> Result<Vec<u8>, CliError> {
    let mut text = Vec::new();
    let read = match file.as_os_str().as_bytes() {
        b"-" => std::io::stdin().take(LIST_BYTES_MAX).read_to_end(&mut text),
        _ => std::fs::File::open(file).and_then(|file| file.take(LIST_BYTES_MAX).read_to_end(&mut text)),
    };
    let failed =
        |error| error::input(format!("the list {} cannot be read: {error}", file.display()), "Check its name.");
    read.map_err(failed)?;
    Ok(text)
}

/// Returns what a pattern of paths names on this machine, as Go's `filepath.Glob` does; a path without special letters
/// is itself, there or not.
fn expand(pattern: &[u8]) -> Result<Vec<PathBuf>, CliError> {
    if !pattern.iter().any(|byte| b"*?[\\".contains(byte)) {
        return Ok(vec![path(pattern)]);
    }
    let begin = if pattern.starts_with(b"/") { "/" } else { "" };
    let mut found = vec![PathBuf::from(begin)];
    for part in pattern.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        // A part of stars is one name here, not any number of them.
        let part: &[u8] = if part.iter().all(|byte| *byte == b'*') { b"*" } else { part };
        let only = Patterns::new([[b"/", part].concat()]);
        let only = only.map_err(|wrong| error::input(wrong.to_string(), "Mend the line in the list."))?;
        let mut next = Vec::new();
        for folder in &found {
            if !part.iter().any(|byte| b"*?[\\".contains(byte)) {
                let path = folder.join(OsStr::from_bytes(part));
                next.extend(path.symlink_metadata().is_ok().then_some(path));
                continue;
            }
            let looked = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            // What cannot be listed holds nothing that fits, as in a shell.
            let names = std::fs::read_dir(looked).into_iter().flatten().flatten().map(|entry| entry.file_name());
            let mut names: Vec<_> = names.filter(|name| only.matches(name.as_bytes())).collect();
            names.sort();
            next.extend(names.iter().map(|name| folder.join(name)));
        }
        found = next;
    }
    Ok(found)
}

/// Returns a path from the root on, without `.` and `..`, as restic writes it into snapshots.
pub(super) fn clean(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_what_is_there() {
        let place = tempfile::tempdir().unwrap();
        for name in ["a.txt", "b.txt", "c.bin", "sub"] {
            std::fs::create_dir(place.path().join(name)).unwrap();
        }
        std::fs::write(place.path().join("sub/d.txt"), "").unwrap();
        let check = |pattern: &str, expected: &[&str]| {
            let pattern = format!("{}/{pattern}", place.path().display());
            let expected: Vec<_> = expected.iter().map(|name| place.path().join(name)).collect();
            assert_eq!(expand(pattern.as_bytes()).unwrap(), expected, "{pattern}");
        };
        check("*.txt", &["a.txt", "b.txt"]);
        check("*/d.txt", &["sub/d.txt"]);
        check("**", &["a.txt", "b.txt", "c.bin", "sub"]);
        check("none*", &[]);
        check("missing", &["missing"]);
        assert!(expand(b"/[").is_err());
    }

    #[test]
    fn a_path_is_cleaned_as_go_cleans_it() {
        assert_eq!(clean(Path::new("/a/./b/../c/")), Path::new("/a/c"));
        assert_eq!(clean(Path::new("/../a")), Path::new("/a"));
    }

    #[test]
    fn a_list_has_lines_of_any_kind() {
        let found: Vec<_> = lines("\u{feff}a\r\nb\n\nc".as_bytes()).collect();
        assert_eq!(found, [&b"a"[..], b"b", b"", b"c"]);
    }
}
