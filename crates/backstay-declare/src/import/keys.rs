//! A value of somebody else's file, key by key: what was not asked for at the end is told.

use super::Weight;
use super::draft::Draft;
use crate::mistake::Place;
use crate::yaml::{Node, Tree, Word};

/// A text and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) at: Place,
}

/// What a program has beside what is carried over: a key, and what becomes of it here.
pub(super) type Known = (&'static str, &'static str);

/// How what becomes of a key begins when nobody needs to do anything about it.
const MOOT: &str = "Nothing to do";

/// The keys of a value that nobody has asked for yet.
#[derive(Debug, Clone)]
pub(super) struct Keys<'n> {
    /// What stands before a key in a note; empty at the top.
    path: String,
    /// Where the value stands.
    pub(super) at: Place,
    left: Vec<(&'n Word, &'n Node)>,
}

impl<'n> Keys<'n> {
    /// Takes a value; what has no keys is told, unless it is nothing.
    pub(super) fn of(draft: &mut Draft<'_>, path: &str, node: &'n Node) -> Self {
        let left = match &node.tree {
            Tree::Map(map) => map.iter().map(|(word, node)| (word, node)).collect(),
            Tree::Nothing => Vec::new(),
            tree => {
                let told = format!("{}: keys with values are expected, not {}", named(path), tree.words());
                draft.note(Weight::Lost, node.at, told, "Say by hand what it meant.");
                Vec::new()
            }
        };
        Self { path: path.to_owned(), at: node.at, left }
    }

    /// Takes keys that were gathered from several values.
    pub(super) fn from_all(at: Place, left: Vec<(&'n Word, &'n Node)>) -> Self {
        Self { path: String::new(), at, left }
    }

    /// Returns how a key is called in a note.
    pub(super) fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Takes a key.
    pub(super) fn take(&mut self, key: &str) -> Option<(&'n Word, &'n Node)> {
        let index = self.left.iter().position(|(word, _)| word.text == key)?;
        let taken = self.left.remove(index);
        (taken.1.tree != Tree::Nothing).then_some(taken)
    }

    /// Takes all that is left.
    pub(super) fn take_all(&mut self) -> Vec<(&'n Word, &'n Node)> {
        std::mem::take(&mut self.left)
    }

    /// Says whether a key is there and not taken.
    pub(super) fn has(&self, key: &str) -> bool {
        self.left.iter().any(|(word, _)| word.text == key)
    }

    /// Takes the keys below a key; none when it is not there.
    pub(super) fn below(&mut self, draft: &mut Draft<'_>, key: &str) -> Option<Keys<'n>> {
        let (_, node) = self.take(key)?;
        Some(Keys::of(draft, &self.full(key), node))
    }

    /// Takes the values below a key, each with its own keys; one by itself is a list of one.
    pub(super) fn each(&mut self, draft: &mut Draft<'_>, key: &str) -> Vec<Keys<'n>> {
        let Some((_, node)) = self.take(key) else { return Vec::new() };
        let nodes: Vec<&Node> = match &node.tree {
            Tree::List(list) => list.iter().collect(),
            _ => vec![node],
        };
        let path = self.full(key);
        nodes.into_iter().map(|node| Keys::of(draft, &path, node)).collect()
    }

    /// Takes one text.
    pub(super) fn text(&mut self, draft: &mut Draft<'_>, key: &str) -> Option<Line> {
        let (_, node) = self.take(key)?;
        let line = line(node);
        if line.is_none() {
            self.wrong(draft, key, node, "one value is expected");
        }
        line
    }

    /// Takes texts; one by itself is a list of one.
    pub(super) fn texts(&mut self, draft: &mut Draft<'_>, key: &str) -> Vec<Line> {
        let Some((_, node)) = self.take(key) else { return Vec::new() };
        let nodes: Vec<&Node> = match &node.tree {
            Tree::List(list) => list.iter().collect(),
            _ => vec![node],
        };
        let mut lines = Vec::new();
        for node in nodes.into_iter().filter(|node| node.tree != Tree::Nothing) {
            match line(node) {
                Some(line) => lines.push(line),
                None => self.wrong(draft, key, node, "texts are expected"),
            }
        }
        lines
    }

    /// Takes a yes or a no.
    pub(super) fn flag(&mut self, draft: &mut Draft<'_>, key: &str) -> Option<bool> {
        let line = self.text(draft, key)?;
        match line.text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" | "" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => {
                let told = format!("{}: yes or no is expected", self.full(key));
                draft.note(Weight::Lost, line.at, told, "Say it by hand.");
                None
            }
        }
    }

    fn wrong(&self, draft: &mut Draft<'_>, key: &str, node: &Node, expected: &str) {
        let told = format!("{}: {expected}, not {}", self.full(key), node.tree.words());
        draft.note(Weight::Lost, node.at, told, "Say by hand what it meant.");
    }

    /// Tells what nobody asked for: what is known with what becomes of it, the rest as unknown.
    pub(super) fn rest(self, draft: &mut Draft<'_>, known: &[Known]) {
        for (word, _) in &self.left {
            let full = self.full(&word.text);
            match known.iter().find(|(key, _)| *key == word.text) {
                Some((_, what)) if what.starts_with(MOOT) => draft.note(Weight::Moot, word.at, full, *what),
                Some((_, what)) => draft.note(Weight::Lost, word.at, format!("{full} is not carried over"), *what),
                None => draft.unknown(word.at, &full),
            }
        }
    }
}

/// Returns a value that is one text.
pub(super) fn line(node: &Node) -> Option<Line> {
    match &node.tree {
        Tree::Scalar { text, .. } => Some(Line { text: text.clone(), at: node.at }),
        _ => None,
    }
}

fn named(path: &str) -> &str {
    if path.is_empty() { "the file" } else { path }
}
