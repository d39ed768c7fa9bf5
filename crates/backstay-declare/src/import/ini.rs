//! INI as Python's `configparser` reads it, as a tree: sections with keys, values that go on in lines further in.

use crate::mistake::{Mistake, Place};
use crate::yaml::{Node, Tree, Word};

/// A key with the lines of its value.
type Lines = (Word, Vec<Node>);

/// Reads a text. A value of several lines is a list; a key without a value has an empty one.
///
/// # Errors
/// The lines that belong to nothing.
pub(super) fn read(text: &str) -> Result<Node, Vec<Mistake>> {
    let mut sections: Vec<(Word, Vec<Lines>)> = Vec::new();
    let mut mistakes = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let content = line.trim();
        let indent = line.chars().take_while(|letter| letter.is_whitespace()).count();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        let at = Place::new(index + 1, indent + 1, content.chars().count());
        let keys = sections.last_mut().map(|(_, keys)| keys);
        match (content.strip_prefix('[').and_then(|rest| rest.split_once(']')), keys) {
            (Some((name, _)), _) if indent == 0 => {
                sections.push((Word { at, text: name.to_owned() }, Vec::new()));
            }
            (_, Some(keys)) if indent > 0 && !keys.is_empty() => {
                let tree = Tree::Scalar { text: content.to_owned(), quoted: true };
                if let Some((_, values)) = keys.last_mut() {
                    values.push(Node { at, tree });
                }
            }
            (_, Some(keys)) => keys.push(key(content, at)),
            (_, None) => mistakes.push(Mistake::new(at, "this stands below no section").secret()),
        }
    }
    if mistakes.is_empty() { Ok(tree(sections)) } else { Err(mistakes) }
}

/// Returns a key with the value of its first line.
fn key(content: &str, at: Place) -> Lines {
    let end = content.find([':', '=']).unwrap_or(content.len());
    let (name, rest) = content.split_at(end);
    let value = rest.trim_start_matches([':', '=']).trim();
    let tree = Tree::Scalar { text: value.to_owned(), quoted: true };
    let values = if value.is_empty() { Vec::new() } else { vec![Node { at, tree }] };
    (Word { at, text: name.trim().to_owned() }, values)
}

/// Makes the tree: sections of one name are one, and of keys of one name the last holds.
fn tree(sections: Vec<(Word, Vec<Lines>)>) -> Node {
    let mut top: Vec<(Word, Node)> = Vec::new();
    for (section, keys) in sections {
        let mut map: Vec<(Word, Node)> = match top.iter().position(|(word, _)| word.text == section.text) {
            Some(at) => match top.remove(at).1.tree {
                Tree::Map(map) => map,
                _ => Vec::new(),
            },
            None => Vec::new(),
        };
        for (word, mut values) in keys {
            map.retain(|(other, _)| other.text != word.text);
            let empty = Tree::Scalar { text: String::new(), quoted: true };
            let node = match values.len() {
                0 => Node { at: word.at, tree: empty },
                1 => values.remove(0),
                _ => Node { at: word.at, tree: Tree::List(values) },
            };
            map.push((word, node));
        }
        let at = section.at;
        top.push((section, Node { at, tree: Tree::Map(map) }));
    }
    Node { at: Place::new(1, 1, 1), tree: Tree::Map(top) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_on_further_in_and_switches_have_none() {
        let text = "# x\n[global]\nrepo: /r = s\n\n[home.backup]\nexclude:\n    *.o\n    # no\n    *.tmp\nverbose\n[global]\nrepo=/t\n";
        let Node { tree: Tree::Map(top), .. } = read(text).unwrap() else { panic!("no map") };
        let said: Vec<String> = top.iter().map(|(word, node)| format!("{} {node:?}", word.text)).collect();
        assert_eq!(top.len(), 2, "{said:?}");
        let Tree::Map(home) = &top[0].1.tree else { panic!("no map") };
        let Tree::List(list) = &home[0].1.tree else { panic!("no list") };
        assert_eq!((list[0].at.line, list[1].at.line, home[1].0.text.as_str()), (7, 9, "verbose"));
        assert!(said[1].contains("\"/t\"") && !said[1].contains("/r"), "{said:?}");
    }

    #[test]
    fn a_line_below_nothing_is_told_and_not_shown() {
        let mistakes = read("password: hunter2\n").unwrap_err();
        assert!(mistakes[0].is_secret && mistakes[0].at.line == 1);
    }
}
