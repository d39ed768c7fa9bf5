//! TOML, as the tree that YAML's reader makes.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike, Value};

use crate::mistake::{Mistake, Place};
use crate::yaml::{Node, Tree, Word};

/// Says whether a file of this name is TOML.
pub(super) fn is_meant(name: &str) -> bool {
    [".toml", ".conf"].iter().any(|ending| name.ends_with(ending))
}

/// Reads a text.
///
/// # Errors
/// Where it is no TOML.
pub(super) fn read(text: &str) -> Result<Node, Vec<Mistake>> {
    match Document::parse(text) {
        Ok(document) => Ok(Reader { text }.table(document.as_table(), None)),
        Err(error) => {
            let at = place(text, error.span());
            let told = format!("this is not TOML: {}", error.message());
            Err(vec![Mistake::new(at, told.lines().collect::<Vec<_>>().join(" ")).secret()])
        }
    }
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn table(&self, table: &dyn TableLike, span: Option<Range<usize>>) -> Node {
        let keys = table.iter().filter_map(|(key, item)| {
            let word = table.get_key_value(key).and_then(|(key, _)| key.span()).or_else(|| item.span());
            let at = place(self.text, word);
            Some((Word { at, text: key.to_owned() }, self.item(item, at)?))
        });
        Node { at: place(self.text, span), tree: Tree::Map(keys.collect()) }
    }

    fn item(&self, item: &Item, at: Place) -> Option<Node> {
        match item {
            Item::None => None,
            Item::Value(value) => Some(self.value(value)),
            Item::Table(table) => Some(Node { at, ..self.table(table, table.span()) }),
            Item::ArrayOfTables(list) => {
                let tree = Tree::List(list.iter().map(|table| self.table(table, table.span())).collect());
                Some(Node { at, tree })
            }
        }
    }

    fn value(&self, value: &Value) -> Node {
        let at = place(self.text, value.span());
        let scalar = |text: String, quoted| Tree::Scalar { text, quoted };
        let tree = match value {
            Value::String(text) => scalar(text.value().clone(), true),
            Value::Integer(number) => scalar(number.value().to_string(), false),
            Value::Float(number) => scalar(number.value().to_string(), false),
            Value::Boolean(flag) => scalar(flag.value().to_string(), false),
            Value::Datetime(moment) => scalar(moment.value().to_string(), true),
            Value::Array(list) => Tree::List(list.iter().map(|value| self.value(value)).collect()),
            Value::InlineTable(table) => return self.table(table, table.span()),
        };
        Node { at, tree }
    }
}

/// Returns the place of bytes; the beginning when nobody knows.
fn place(text: &str, span: Option<Range<usize>>) -> Place {
    let Range { start, end } = span.unwrap_or(0..1);
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let length = text.get(start..end).and_then(|said| said.lines().next()).map_or(1, |said| said.chars().count());
    Place::new(line, column, length.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_knows_its_place() {
        let node = read("a = 1\n[b.c]\nd = ['x', 'y']\n[[b.e]]\nf = true\n").unwrap();
        let Tree::Map(top) = node.tree else { panic!("no map") };
        let Tree::Map(b) = &top[1].1.tree else { panic!("no map") };
        let Tree::Map(c) = &b[0].1.tree else { panic!("no map") };
        assert_eq!((c[0].0.text.as_str(), c[0].0.at), ("d", Place::new(3, 1, 1)));
        let Tree::List(list) = &c[0].1.tree else { panic!("no list") };
        assert_eq!((list.len(), list[1].at), (2, Place::new(3, 11, 3)));
        let Tree::List(e) = &b[1].1.tree else { panic!("no list") };
        assert_eq!(e.len(), 1);
        let mistakes = read("a = 1\nb = hunter2\n").unwrap_err();
        assert!(mistakes[0].is_secret && mistakes[0].at.line == 2 && !mistakes[0].message.contains("hunter2"));
    }
}
