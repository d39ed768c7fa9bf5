//! YAML as a tree in which each word knows its place. Only the shape of the text is judged here: what may stand where is
//! the business of `shape`.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::mistake::{Mistake, Place};

/// Deepest nesting: nothing that can be declared has half of it, and a hostile file must not end the program.
const DEPTH_MAX: usize = 64;

/// Most values in a file, those that aliases repeat among them: a file of ten lines can name billions.
const NODES_MAX: usize = 500_000;

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it stands.
    pub at: Place,
    /// What it is.
    pub tree: Tree,
}

/// A text and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Where it stands.
    pub at: Place,
    /// The text.
    pub text: String,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// Nothing: an empty place, `~` or `null`.
    Nothing,
    /// A text, a number, a word; `quoted` when it is a text whatever it looks like.
    Scalar {
        /// What is written.
        text: String,
        /// Whether quotes stand around it.
        quoted: bool,
    },
    /// Values in order.
    List(Vec<Node>),
    /// Values by key, in the order of the file. No key stands there twice.
    Map(Vec<(Word, Node)>),
}

impl Tree {
    /// Returns what it is, for a person.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Scalar { .. } => "one value",
            Self::List(_) => "a list",
            Self::Map(_) => "keys with values",
        }
    }
}

impl Node {
    fn count(&self) -> usize {
        1 + match &self.tree {
            Tree::List(list) => list.iter().map(Node::count).sum(),
            Tree::Map(map) => map.iter().map(|(_, node)| 1 + node.count()).sum(),
            _ => 0,
        }
    }
}

/// What is open while the text is read.
enum Open {
    List(Vec<Node>),
    Map { done: Vec<(Word, Node)>, key: Option<Word> },
}

struct Frame {
    at: Place,
    anchor: usize,
    open: Open,
}

#[derive(Default)]
struct Reader {
    frames: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    mistakes: Vec<Mistake>,
    nodes: usize,
}

/// Reads a text. What can be read is returned, with all that is wrong with the rest; no tree for an empty text or after a
/// mistake that leaves none.
pub fn read(text: &str) -> (Option<Node>, Vec<Mistake>) {
    let lines: Vec<&str> = text.lines().collect();
    let mut reader = Reader::default();
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = Place::new(error.marker().line(), error.marker().col() + 1, 1);
                reader
                    .mistakes
                    .push(Mistake::new(at, format!("this is not YAML: {}", error.info())).hint(&yaml_hint(&lines, at)));
                return (None, reader.mistakes);
            }
        };
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                let mistake = Mistake::new(place(&span, &lines), "a second document begins here");
                reader.mistakes.push(mistake.hint("A file has one; put the others in files of their own."));
                break;
            }
        }
        let mut at = place(&span, &lines);
        if let Event::Scalar(_, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted, _, _) = &event {
            at.length = quoted_length(&lines, at);
        }
        if let Err(mistake) = reader.take(event, at) {
            reader.mistakes.push(mistake);
            return (None, reader.mistakes);
        }
    }
    (reader.root, reader.mistakes)
}

/// Says what is most often behind a text that is no YAML.
fn yaml_hint(lines: &[&str], at: Place) -> String {
    let line = lines.get(at.line.saturating_sub(1)).copied().unwrap_or_default();
    if line.starts_with('\t') || line.trim_start_matches(' ').starts_with('\t') {
        return "Write spaces in the place of tabs.".to_owned();
    }
    "Are the lines above indented alike, is each quote closed, and is a text with `: ` or `#` in quotes?".to_owned()
}

/// Returns a place that ends with its line.
fn place(span: &Span, lines: &[&str]) -> Place {
    let (line, column) = (span.start.line().max(1), span.start.col() + 1);
    let rest = lines.get(line - 1).map_or(0, |text| text.trim_end().chars().count()).saturating_sub(column - 1);
    let length = if span.end.line() == line { span.len().min(rest) } else { rest };
    Place::new(line, column, length.max(1))
}

/// Returns the letters of a text with its quotes; those of its first line, when it goes on in others.
fn quoted_length(lines: &[&str], at: Place) -> usize {
    let mut letters =
        lines.get(at.line - 1).copied().unwrap_or_default().chars().skip(at.column - 1).take(at.length).enumerate();
    let quote = letters.next().map(|(_, letter)| letter);
    let mut last = ' ';
    for (index, letter) in letters {
        // A backslash speaks for the next letter; two single quotes are one that is meant, and the second one ends here too.
        if Some(letter) == quote && !(quote == Some('"') && last == '\\') {
            return index + 1;
        }
        last = if last == '\\' { ' ' } else { letter };
    }
    at.length
}

impl Reader {
    fn take(&mut self, event: Event<'_>, at: Place) -> Result<(), Mistake> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let quoted = !matches!(style, ScalarStyle::Plain);
                let is_nothing = !quoted && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let tree = if is_nothing { Tree::Nothing } else { Tree::Scalar { text: text.into_owned(), quoted } };
                self.put(Node { at, tree }, anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    // Counted before it is copied: copies of copies grow faster than memory.
                    self.nodes += node.count();
                    let node = if self.nodes > NODES_MAX { Node { at, tree: Tree::Nothing } } else { node.clone() };
                    self.put(node, 0)
                }
                None => Err(Mistake::new(at, "this alias stands in what it names")),
            },
            Event::SequenceStart(anchor, _) => self.open(at, anchor, Open::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.open(at, anchor, Open::Map { done: Vec::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Frame { at, anchor, open }) = self.frames.pop() else { return Ok(()) };
                let tree = match open {
                    Open::List(list) => Tree::List(list),
                    Open::Map { done, .. } => Tree::Map(done),
                };
                self.put(Node { at, tree }, anchor)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, at: Place, anchor: usize, open: Open) -> Result<(), Mistake> {
        if self.frames.len() == DEPTH_MAX {
            return Err(Mistake::new(at, format!("this is nested deeper than {DEPTH_MAX}")));
        }
        self.frames.push(Frame { at, anchor, open });
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Mistake> {
        self.nodes += 1;
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        if self.nodes > NODES_MAX {
            return Err(Mistake::new(node.at, format!("the file has more than {NODES_MAX} values")));
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        match &mut frame.open {
            Open::List(list) => list.push(node),
            Open::Map { done, key } => match key.take() {
                None => {
                    let text = match node.tree {
                        Tree::Scalar { text, .. } => text,
                        Tree::Nothing => String::new(),
                        _ => return Err(Mistake::new(node.at, "a key is one word")),
                    };
                    *key = Some(Word { at: node.at, text });
                }
                Some(word) => match done.iter().find(|(other, _)| other.text == word.text) {
                    Some((first, _)) => {
                        let told =
                            format!("`{}` stands here a second time; line {} has it too", word.text, first.at.line);
                        self.mistakes.push(Mistake::new(word.at, told).hint("Keep one of the two."));
                    }
                    None => done.push((word, node)),
                },
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let (_, mistakes) = read(text);
        mistakes
            .iter()
            .map(|one| format!("{}:{} {}", one.at.line, one.at.column, one.message))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn each_word_knows_its_place() {
        let (node, mistakes) = read("a: 1\nbé:\n  - ~\n  - 'x y'   # why\nc: {d: e}\n");
        assert_eq!(mistakes, []);
        let Tree::Map(map) = node.unwrap().tree else { panic!("no map") };
        let places: Vec<_> = map.iter().map(|(word, node)| (word.text.as_str(), word.at, node.at)).collect();
        assert_eq!(places[0], ("a", Place::new(1, 1, 1), Place::new(1, 4, 1)));
        let Tree::List(list) = &map[1].1.tree else { panic!("no list") };
        assert_eq!((&list[0].tree, list[1].at), (&Tree::Nothing, Place::new(4, 5, 5)));
        let Tree::Map(inner) = &map[2].1.tree else { panic!("no map") };
        assert_eq!((inner[0].0.at, inner[0].1.at), (Place::new(5, 5, 1), Place::new(5, 8, 1)));
    }

    #[test]
    fn what_is_no_tree_is_told_at_its_place() {
        assert_eq!(told("a: 1\nb: 2\na: 3\n"), "3:1 `a` stands here a second time; line 1 has it too");
        assert!(told("a: [1, 2\nb: 3\n").contains("this is not YAML"));
        assert!(told("a: 1\n---\nb: 2\n").contains("a second document"));
        assert!(told("? [a]\n: b\n").contains("a key is one word"));
        assert!(read("").0.is_none() && read("# nothing\n").1.is_empty());
        let deep = "[".repeat(100);
        assert!(told(&deep).contains("deeper than 64"), "{}", told(&deep));
    }

    #[test]
    fn an_alias_repeats_and_ten_lines_do_not_name_billions() {
        let (node, mistakes) = read("a: &x {k: 1}\nb: *x\n");
        assert_eq!(mistakes, []);
        let Tree::Map(map) = node.unwrap().tree else { panic!("no map") };
        assert_eq!(map[0].1.tree, map[1].1.tree);
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let list = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert!(told(&text).contains("more than 500000 values"), "{}", told(&text));
    }
}
