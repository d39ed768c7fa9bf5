//! Reads what the rules look at: manifests, sources and papers, with paths from the root of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

use crate::manifest::{self, Member};

/// A text file.
pub(crate) struct File {
    /// From the root of the workspace, with `/`.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

impl File {
    /// Makes a file of a test.
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Returns the name of the crate that the file belongs to; nothing outside `crates/`.
    pub(crate) fn member(&self) -> &str {
        self.path.strip_prefix("crates/").and_then(|rest| rest.split('/').next()).unwrap_or_default()
    }

    /// Returns the lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Returns the lines before the tests at the end of the file.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().take_while(|(_, line)| *line != "#[cfg(test)]")
    }
}

/// Everything that a rule may look at.
pub(crate) struct Tree {
    /// The members of the workspace.
    pub(crate) crates: Vec<Member>,
    /// All Rust files of all members, tests too.
    pub(crate) sources: Vec<File>,
    /// The glossary.
    pub(crate) glossary: String,
    /// The pages of `docs/reference/` without the glossary.
    pub(crate) reference: Vec<File>,
    /// The files in `docs/decisions/`.
    pub(crate) decisions: Vec<File>,
}

impl Tree {
    /// Reads the tree that this test was started in.
    pub(crate) fn read() -> Self {
        let root = root();
        let manifests = find(&root, "crates", "Cargo.toml");
        let (glossary, reference): (Vec<File>, Vec<File>) =
            find(&root, "docs/reference", ".md").into_iter().partition(|file| file.path.ends_with("/glossary.md"));
        Self {
            crates: manifests.iter().map(|file| manifest::parse(&file.path, &file.text)).collect(),
            sources: find(&root, "crates", ".rs"),
            glossary: glossary.into_iter().next().expect("docs/reference/glossary.md is there").text,
            reference,
            decisions: find(&root, "docs/decisions", ".md"),
        }
    }
}

/// Returns the root of the workspace. Asked at run time: a build folder may serve several clones.
fn root() -> PathBuf {
    let member = std::env::var("CARGO_MANIFEST_DIR").expect("cargo tells a test where its crate lies");
    Path::new(&member).join("../..").canonicalize().expect("the workspace lies two folders above its crate")
}

/// Says whether a folder is a workspace of its own, which keeps its own house: that of the fuzzers is one.
fn is_workspace(folder: &Path) -> bool {
    fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|text| text.lines().any(|line| line == "[workspace]"))
}

/// Returns the files below a folder whose names end so, by path; none when there is no such folder.
fn find(root: &Path, folder: &str, ending: &str) -> Vec<File> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a folder of the tree can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') && !is_workspace(&path) {
                    folders.push(path);
                }
            } else if path.is_file() && name.ends_with(ending) {
                let text = fs::read_to_string(&path).expect("a file of the tree is readable text");
                let path = path.strip_prefix(root).expect("it was found below the root").to_string_lossy().into_owned();
                found.push(File { path, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}
