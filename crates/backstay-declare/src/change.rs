//! What would have to change: a value from what a file wants and what a server has, that people, `--json` and tests read,
//! and that `apply` does step by step.
//!
//! What is there and wanted otherwise is changed key by key. What is there and not wanted is retired when the file says so,
//! and named otherwise. What a server never changes is refused at its place in the file.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use backstay_core::ports::source::SourceKind;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::file::{Declared, Missing};
use crate::mistake::Mistake;
use crate::nouns::{Ending, Noun};
use crate::refer::{Above, Follows};
use crate::row::{Found, Key, Record, Wanted, leaves};

/// A key that is said otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its dotted path.
    pub field: String,
    /// What is said on the server, as a file says it; none for nothing.
    pub was: Option<String>,
    /// What the file says; none for nothing.
    pub now: Option<String>,
}

/// What is done with one.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// It is declared.
    Create {
        /// What is said of it.
        record: Record,
    },
    /// It is changed.
    Update {
        /// Which row.
        id: String,
        /// What was said of it.
        was: Record,
        /// What is said of it.
        record: Record,
    },
    /// It is taken away and declared anew, because nobody changes such a row.
    Replace {
        /// Which row.
        id: String,
        /// What is said of it.
        record: Record,
    },
    /// It is retired or removed.
    Retire {
        /// Which row.
        id: String,
    },
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// With which one.
    pub key: Key,
    /// What is done.
    pub act: Act,
    /// Which keys become others; all of them, for what is new.
    pub changes: Vec<Change>,
}

/// All that would have to change, in the order in which it is done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// What is done.
    pub steps: Vec<Step>,
    /// What cannot be done, at its place in the file.
    pub refused: Vec<Mistake>,
    /// What the server has and the file does not, and stays.
    pub kept: Vec<Key>,
    /// Windows of the file that are over.
    pub over: Vec<Key>,
}

impl Step {
    /// Returns the word for what is done.
    pub fn word(&self) -> &'static str {
        match (&self.act, self.key.noun.ending()) {
            (Act::Create { .. }, _) => "create",
            (Act::Update { .. }, _) => "update",
            (Act::Replace { .. }, _) => "replace",
            (Act::Retire { .. }, Ending::Removed) => "remove",
            (Act::Retire { .. }, _) => "retire",
        }
    }

    /// Returns the letter that stands before it.
    pub fn sign(&self) -> char {
        match self.act {
            Act::Create { .. } => '+',
            Act::Update { .. } | Act::Replace { .. } => '~',
            Act::Retire { .. } => '-',
        }
    }

    /// Says whether something ends.
    pub fn ends(&self) -> bool {
        matches!(self.act, Act::Retire { .. })
    }

    /// Says what stays when it ends.
    pub fn stays(&self) -> &'static str {
        match self.key.noun {
            _ if !self.ends() => "",
            Noun::Plan => "its snapshots, their evidence and its history stay",
            Noun::Repository | Noun::Storage => "its data is not touched",
            Noun::Source => "what was saved of it stays",
            Noun::Monitor => "nothing is expected of it any more",
            Noun::Channel => "messages that wait for it are given up",
            Noun::Maintenance => "what it held back starts",
            _ => "",
        }
    }

    /// Says whether a key at the top of the record is said otherwise.
    pub fn touches(&self, field: &str) -> bool {
        self.changes.iter().any(|change| change.field.split('.').next() == Some(field))
    }

    /// Returns it for programs.
    pub fn document(&self) -> Value {
        let changes = self.changes.iter();
        let changes: Vec<Value> =
            changes.map(|one| json!({ "field": one.field, "was": one.was, "now": one.now })).collect();
        json!({
            "act": self.word(), "noun": self.key.noun.word(), "tenant": self.key.tenant, "name": self.key.name,
            "changes": changes,
        })
    }
}

impl Changes {
    /// Returns them for programs.
    pub fn document(&self) -> Value {
        let names = |keys: &[Key]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        let steps: Vec<Value> = self.steps.iter().map(Step::document).collect();
        json!({ "steps": steps, "kept": names(&self.kept), "over": names(&self.over) })
    }

    /// Returns how many are declared, changed and ended.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |sign| self.steps.iter().filter(|step| step.sign() == sign).count();
        (count('+'), count('~'), count('-'))
    }
}

/// Returns the keys that two records say otherwise.
fn compared(noun: Noun, was: &Record, now: &Record) -> Vec<Change> {
    let read = |record| {
        let mut out = Vec::new();
        leaves(noun.fields(), record, "", &mut out);
        out
    };
    let (old, new) = (read(was), read(now));
    let old: BTreeMap<&str, _> = old.iter().map(|(path, leaf)| (path.as_str(), leaf)).collect();
    let mut changes = Vec::new();
    for (path, leaf) in &new {
        let before = old.get(path.as_str());
        if before.is_none_or(|before| before.value != leaf.value) {
            let was = before.map(|leaf| leaf.shape.show(leaf.value));
            changes.push(Change { field: path.clone(), was, now: Some(leaf.shape.show(leaf.value)) });
        }
    }
    let gone = old.iter().filter(|(path, _)| !new.iter().any(|(other, _)| other == *path));
    changes.extend(gone.map(|(path, leaf)| Change {
        field: (*path).to_owned(),
        was: Some(leaf.shape.show(leaf.value)),
        now: None,
    }));
    changes
}

/// Returns what would have to change. `now` says which windows are over.
pub fn changes(declared: &Declared, found: &[Found], missing: Missing, now: Timestamp) -> Changes {
    let mut all = Changes::default();
    let there: BTreeMap<&Key, &Found> = found.iter().map(|row| (&row.key, row)).collect();
    let above = Above::of(declared.rows.iter().map(|row| (&row.key, &row.record)));
    let mut wanted: Vec<&Wanted> = declared.rows.iter().collect();
    let follows = Follows::of(declared.rows.iter().map(|row| (&row.key, &row.record)));
    // A plan comes after those that follow it: they are named, so they must be there.
    wanted.sort_by_cached_key(|row| (row.key.noun, above.depth(&row.key), follows.depth(&row.key)));
    for row in &wanted {
        one(row, there.get(&row.key).copied(), now, &mut all);
    }
    let wanted: BTreeSet<&Key> = wanted.iter().map(|row| &row.key).collect();
    let mut ends: Vec<&Found> = found
        .iter()
        .filter(|row| row.key.noun.ending() != Ending::Stays && declared.speaks_of(&row.key))
        .filter(|row| !wanted.contains(&row.key))
        .collect();
    let above = Above::of(found.iter().map(|row| (&row.key, &row.record)));
    ends.sort_by_cached_key(|row| (Reverse(row.key.noun), Reverse(above.depth(&row.key)), row.key.clone()));
    for row in ends {
        match missing {
            Missing::Keep => all.kept.push(row.key.clone()),
            Missing::Retire => {
                let act = Act::Retire { id: row.id.clone() };
                all.steps.push(Step { key: row.key.clone(), act, changes: Vec::new() });
            }
        }
    }
    all
}

fn one(wanted: &Wanted, there: Option<&Found>, now: Timestamp, all: &mut Changes) {
    let Wanted { key, record, .. } = wanted;
    let until = record.get("until").and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    if key.noun == Noun::Maintenance && until.is_some_and(|until| until <= now) {
        return all.over.push(key.clone());
    }
    let Some(there) = there else {
        let changes = compared(key.noun, &Record::new(), record);
        return all.steps.push(Step { key: key.clone(), act: Act::Create { record: record.clone() }, changes });
    };
    let mut was = there.record.clone();
    // A beginning that the file leaves open is the moment when it was declared.
    if key.noun == Noun::Maintenance && !record.contains_key("from") {
        was.remove("from");
    }
    let changes = compared(key.noun, &was, record);
    if changes.is_empty() {
        return;
    }
    let (id, record) = (there.id.clone(), record.clone());
    let may = |change: &&Change| key.noun.can_change(change.field.split('.').next().unwrap_or_default());
    let (_, stuck): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(may);
    if !stuck.is_empty() {
        return all.refused.extend(stuck.into_iter().map(|change| refused(wanted, change)));
    }
    let act = match key.noun {
        Noun::Maintenance => Act::Replace { id, record },
        _ => Act::Update { id, was, record },
    };
    all.steps.push(Step { key: key.clone(), act, changes });
}

/// Has the kinds of sources judge changes of settings: those that leave out an item become refused ones.
pub fn sources_judge(all: &mut Changes, declared: &Declared, kinds: &[&dyn SourceKind]) {
    let items = |record: &Record| {
        let kind = kinds.iter().find(|kind| Some(kind.name()) == record.get("kind").and_then(Value::as_str))?;
        kind.parse(record.get("settings")?).ok().map(|parsed| parsed.items)
    };
    let gone = |step: &Step| {
        let Act::Update { was, record, .. } = &step.act else { return None };
        let (was, now) = (items(was)?, items(record)?);
        let gone = was.into_iter().find(|item| !now.contains(item))?;
        let wanted = declared.rows.iter().find(|row| row.key == step.key && row.key.noun == Noun::Source)?;
        let told = format!("the {} would lose `{gone}`, and snapshots of it are of this source", step.key);
        let hint = "Declare a source of another name, and a plan that reads it.";
        Some(Mistake::new(wanted.place("settings"), told).hint(hint))
    };
    all.refused.extend(all.steps.iter().filter_map(gone).collect::<Vec<_>>());
}

/// Says at its place that a key cannot be changed.
fn refused(wanted: &Wanted, change: &Change) -> Mistake {
    let word = |said: &Option<String>| said.as_ref().map_or_else(|| "nothing".to_owned(), |said| format!("`{said}`"));
    let (key, field) = (&wanted.key, &change.field);
    let told = format!(
        "`{field}` of the {key} cannot be changed: the server has {}, the file {}",
        word(&change.was),
        word(&change.now)
    );
    let hint = match key.noun {
        Noun::Plan => "A plan's history is of one source. Declare a plan of another name for the other source.",
        Noun::Channel => "Declare a channel of another name.",
        Noun::Source => "Snapshots of before are of another kind. Declare a source of another name.",
        _ => "What lies there does not move by a change of a row. Declare another one under a new name.",
    };
    Mistake::new(wanted.place(field), told).hint(hint)
}
