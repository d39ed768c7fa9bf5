//! The rules of this house, as a test.
//!
//! Each rule is a pure function from what lies in the tree to a list of violations, and stands with a test that shows
//! it a broken tree: a rule that cannot fail is none. The tests here hold the rules against the real tree; each
//! violation names a file, a line and what to do. To add a rule: a function in the file of its matter, a test below it
//! that breaks it, a test here. Nothing is built or run, and nothing but the standard library is used.

use std::fmt;

mod tree;
mod manifest;
mod source;
mod glossary;
mod papers;

use tree::Tree;

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    /// The file, from the root of the workspace.
    file: String,
    /// The line, from 1; 1 where the whole file is meant.
    line: usize,
    /// What is wrong there and what to do.
    advice: String,
}

impl Violation {
    fn new(file: &str, line: usize, advice: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, advice: advice.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.advice)
    }
}

/// Ends the test with all violations, one a line, when there is one.
fn settle(violations: &[Violation]) {
    let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(lines.is_empty(), "\n\n{}\n\n{} untidy places\n", lines.join("\n"), lines.len());
}

/// Fails when `found` does not hold exactly one violation for each of the `expected` parts of "file:line: advice".
#[cfg(test)]
fn check(found: &[Violation], expected: &[&str]) {
    let lines: Vec<String> = found.iter().map(Violation::to_string).collect();
    let same = lines.len() == expected.len() && lines.iter().zip(expected).all(|(line, part)| line.contains(part));
    assert!(same, "expected {expected:#?}\nfound {lines:#?}");
}

#[test]
fn the_whole_tree_was_read() {
    let tree = Tree::read();
    assert!(tree.crates.len() >= 9, "found only {} crates", tree.crates.len());
    assert!(tree.crates.iter().all(|member| !member.dependencies.is_empty()), "a manifest was not understood");
    assert!(tree.sources.len() >= tree.crates.len(), "found only {} source files", tree.sources.len());
    assert!(glossary::forbidden(&tree.glossary).len() >= 50, "the glossary was not understood");
}

#[test]
fn heavy_dependencies_stay_in_their_home() {
    settle(&manifest::homes(&Tree::read().crates));
}

#[test]
fn the_core_depends_on_little() {
    settle(&manifest::core_diet(&Tree::read().crates));
}

#[test]
fn crates_know_only_their_neighbours() {
    settle(&manifest::edges(&Tree::read().crates));
}

#[test]
fn no_crate_is_without_a_dependant() {
    settle(&manifest::dependants(&Tree::read().crates));
}

#[test]
fn every_room_has_a_doorway() {
    settle(&source::doorways(&Tree::read().sources));
}

#[test]
fn no_file_is_too_long() {
    settle(&source::lengths(&Tree::read().sources));
}

#[test]
fn no_file_is_unreached() {
    settle(&source::unreached(&Tree::read().sources));
}

#[test]
fn nothing_is_left_for_later() {
    settle(&source::leftovers(&Tree::read().sources));
}

#[test]
fn unsafe_code_stays_in_the_named_files() {
    settle(&source::unsafe_code(&Tree::read().sources));
}

#[test]
fn the_core_reads_nothing_from_outside() {
    settle(&source::core_senses(&Tree::read().sources));
}

#[test]
fn names_keep_to_the_glossary() {
    let tree = Tree::read();
    settle(&glossary::names(&tree.sources, &glossary::forbidden(&tree.glossary)));
}

#[test]
fn headings_keep_to_the_glossary() {
    let tree = Tree::read();
    settle(&glossary::headings(&tree.reference, &glossary::forbidden(&tree.glossary)));
}

#[test]
fn decision_records_are_numbered_and_whole() {
    settle(&papers::decisions(&Tree::read().decisions));
}
