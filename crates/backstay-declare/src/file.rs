//! What a file wants: its sections read by the table, each declaration judged by itself, all mistakes at once.

use std::collections::{BTreeMap, BTreeSet};

use backstay_api::types::retention::RetentionView;
use backstay_core::domain::backup::accept_unread_judge;
use backstay_core::domain::channel::{ChannelKind, ChannelSettings};
use backstay_core::domain::name::Name;
use backstay_core::domain::schedule::Rhythm;
use backstay_core::domain::storage::path_judge;
use backstay_core::ports::source::SourceKind;
use backstay_core::ports::storage::StorageJudge;
use serde_json::{Value, json};

use crate::mistake::{Mistake, Place};
use crate::nouns::{Noun, OF_TENANT, TENANT_DEFAULT};
use crate::row::{Key, Record, Wanted};
use crate::shape::{Reading, Shape};
use crate::yaml::{self, Node, Tree, Word};

/// The kinds that judge settings.
#[derive(Clone, Copy)]
pub struct Kinds<'a> {
    /// Of sources.
    pub sources: &'a [&'a dyn SourceKind],
    /// Of storages.
    pub storages: &'a [Box<dyn StorageJudge>],
}

/// What becomes of what a server has and a file does not declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// It stays, and is named.
    #[default]
    Keep,
    /// It is retired; its data is never touched.
    Retire,
}

/// The words of [`Missing`] in a file.
pub const MISSING: &[&str] = &["keep", "retire"];

/// The key of [`Missing`] in a file.
pub const MISSING_KEY: &str = "missing";

/// What a file wants.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Declared {
    /// Each declaration, in the order of the file.
    pub rows: Vec<Wanted>,
    /// What becomes of what is not in the file.
    pub missing: Missing,
    /// Of whom the file speaks: tenants whose declarations it has.
    pub tenants: BTreeSet<String>,
    /// Nouns of the installation for which it has a section.
    pub own: BTreeSet<Noun>,
}

impl Declared {
    /// Says whether what it does not have of this sort is missing from it, or is none of its business.
    pub fn speaks_of(&self, key: &Key) -> bool {
        match &key.tenant {
            Some(tenant) => self.tenants.contains(tenant),
            None => self.own.contains(&key.noun),
        }
    }
}

/// What may stand in the schedule of a monitor.
const EXPECTED: &str = "Write `every 24h`, or a cron expression such as `30 2 * * *`.";

struct File<'a> {
    kinds: Kinds<'a>,
    declared: Declared,
    mistakes: Vec<Mistake>,
    seen: BTreeMap<Key, Place>,
}

/// Reads a file. `others` are keys at its top that belong to somebody else. Returns what could be read, and all mistakes.
pub fn read(text: &str, kinds: Kinds<'_>, others: &[&str]) -> (Declared, Vec<Mistake>) {
    let (node, mistakes) = yaml::read(text);
    let mut file = File { kinds, declared: Declared::default(), mistakes, seen: BTreeMap::new() };
    match node {
        Some(Node { tree: Tree::Map(map), .. }) => file.top(&map, others),
        Some(Node { tree: Tree::Nothing, .. }) | None => {}
        Some(node) => {
            let told = Mistake::new(node.at, format!("a file has sections, not {}", node.tree.words()));
            file.mistakes.push(told.hint("Such as `plans:` with a name and its values below."));
        }
    }
    (file.declared, file.mistakes)
}

/// Returns the keys that may stand at the top of a file.
pub fn top_keys() -> Vec<&'static str> {
    let of_tenant = OF_TENANT.map(Noun::section);
    let own = [Noun::Channel, Noun::Maintenance, Noun::Tenant, Noun::Caps].map(Noun::section);
    [MISSING_KEY].into_iter().chain(of_tenant).chain(own).collect()
}

/// Returns the keys that may stand below a tenant.
pub fn tenant_keys() -> Vec<&'static str> {
    let nouns = [Noun::Quota].into_iter().chain(OF_TENANT).chain([Noun::Channel, Noun::Maintenance]);
    nouns.map(Noun::section).collect()
}

impl File<'_> {
    fn wrong(&mut self, at: Place, message: impl Into<String>, hint: &str) {
        self.mistakes.push(Mistake::new(at, message).hint(hint));
    }

    fn top(&mut self, map: &[(Word, Node)], others: &[&str]) {
        for (word, node) in map {
            let noun = Noun::ALL.into_iter().find(|noun| noun.section() == word.text && *noun != Noun::Quota);
            match noun {
                _ if others.contains(&word.text.as_str()) => {}
                None if word.text == MISSING_KEY => self.missing(node),
                None => {
                    let known = top_keys().into_iter().chain(others.iter().copied());
                    let told = format!("a file has no section `{}`", word.text);
                    self.mistakes.push(Mistake::unknown(word.at, told, &word.text, known));
                }
                Some(Noun::Tenant) => self.tenants(word, node),
                Some(Noun::Caps) => {
                    self.declared.own.insert(Noun::Caps);
                    self.one(Key::new(Noun::Caps, None, ""), word, node);
                }
                Some(noun @ (Noun::Channel | Noun::Maintenance)) => {
                    self.declared.own.insert(noun);
                    self.section(noun, None, word, node);
                }
                Some(noun) => {
                    self.tenant(TENANT_DEFAULT, word.at);
                    self.section(noun, Some(TENANT_DEFAULT), word, node);
                }
            }
        }
    }

    fn missing(&mut self, node: &Node) {
        let mut reading = Reading::default();
        if reading.value(&Shape::Word(MISSING), MISSING_KEY, node) == Some("retire".into()) {
            self.declared.missing = Missing::Retire;
        }
        self.mistakes.append(&mut reading.mistakes);
    }

    /// Takes in a tenant of whom the file speaks.
    fn tenant(&mut self, name: &str, at: Place) {
        if self.declared.tenants.insert(name.to_owned()) {
            let key = Key::new(Noun::Tenant, None, name);
            let wanted = Wanted { key, record: Record::new(), at, places: BTreeMap::new() };
            self.declared.rows.push(wanted);
        }
    }

    fn tenants(&mut self, word: &Word, node: &Node) {
        let Some(map) = self.map(word, node) else { return };
        for (name, node) in map {
            if let Err(error) = name.text.parse::<Name>() {
                self.wrong(name.at, error.to_string(), "");
                continue;
            }
            self.tenant(&name.text, name.at);
            let Some(sections) = self.map(name, node) else { continue };
            for (word, node) in sections {
                let noun = Noun::ALL.into_iter().find(|noun| noun.section() == word.text);
                let noun = noun.filter(|noun| !matches!(noun, Noun::Tenant | Noun::Caps));
                match noun {
                    None => {
                        let told = format!("a tenant has no section `{}`", word.text);
                        self.mistakes.push(Mistake::unknown(word.at, told, &word.text, tenant_keys()));
                    }
                    Some(Noun::Quota) => self.one(Key::new(Noun::Quota, Some(&name.text), ""), word, node),
                    Some(noun) => self.section(noun, Some(&name.text), word, node),
                }
            }
        }
    }

    /// Returns the keys of a value; nothing counts as none.
    fn map<'n>(&mut self, word: &Word, node: &'n Node) -> Option<&'n [(Word, Node)]> {
        match &node.tree {
            Tree::Map(map) => Some(map),
            Tree::Nothing => Some(&[]),
            tree => {
                let told = format!("below `{}` stand names with their values, not {}", word.text, tree.words());
                self.wrong(node.at, told, "Such as `NAME: {…}`, one below the other.");
                None
            }
        }
    }

    fn section(&mut self, noun: Noun, tenant: Option<&str>, word: &Word, node: &Node) {
        let Some(map) = self.map(word, node) else { return };
        for (name, node) in map {
            // A window's name is what people read as the reason; all others are also folders and words.
            match name.text.parse::<Name>() {
                Err(error) if noun != Noun::Maintenance => self.wrong(name.at, error.to_string(), ""),
                _ if name.text.trim().is_empty() => self.wrong(name.at, "a name is empty", ""),
                _ => self.one(Key::new(noun, tenant, &name.text), name, node),
            }
        }
    }

    /// Reads one declaration and judges it.
    fn one(&mut self, key: Key, word: &Word, node: &Node) {
        if let Some(first) = self.seen.get(&key) {
            let told = format!("the {key} is declared a second time; line {} has it too", first.line);
            return self.wrong(word.at, told, "Keep one of the two.");
        }
        self.seen.insert(key.clone(), word.at);
        let mut reading = Reading { label: format!("the {key}"), ..Reading::default() };
        let fields = key.noun.fields();
        let map: &[(Word, Node)] = match &node.tree {
            Tree::Map(map) => map,
            Tree::Nothing => &[],
            tree => {
                let told = format!("a {} has keys with values, not {}", key.noun.word(), tree.words());
                self.wrong(node.at, told, "");
                // Whoever names it is not told that it is nowhere.
                let places = BTreeMap::new();
                return self.declared.rows.push(Wanted { key, record: Record::new(), at: word.at, places });
            }
        };
        // What is needed is missed at the name, which is what a person looks for.
        let record = reading.record(fields, "", word.at, map);
        let mut wanted = Wanted { key, record, at: word.at, places: reading.places };
        self.mistakes.append(&mut reading.mistakes);
        self.judge(&mut wanted, &reading.bad);
        self.declared.rows.push(wanted);
    }

    /// Judges what only the whole record shows, and gives it the form in which a server has it.
    fn judge(&mut self, wanted: &mut Wanted, bad: &BTreeSet<String>) {
        let is_read = |key: &str| wanted.record.contains_key(key) && !bad.contains(key);
        match wanted.key.noun {
            Noun::Storage if is_read("kind") && is_read("settings") => self.storage(wanted, ""),
            Noun::Repository if is_read("storage") && !bad.contains("path") => self.repository(wanted),
            Noun::Source if is_read("settings") && !bad.contains("kind") => self.source(wanted),
            Noun::Plan | Noun::Template => self.said(wanted),
            Noun::Channel if is_read("kind") && is_read("settings") => self.channel(wanted),
            Noun::Monitor if is_read("schedule") => self.monitor(wanted),
            Noun::Maintenance => self.maintenance(wanted),
            Noun::Caps => wanted.record.retain(|_, value| !is_empty(value)),
            _ => {}
        }
    }

    /// Has a storage's kind judge its settings, which stand below `path`.
    fn storage(&mut self, wanted: &mut Wanted, path: &str) {
        let head = if path.is_empty() { String::new() } else { format!("{path}.") };
        let place = if path.is_empty() {
            Some(&mut wanted.record)
        } else {
            wanted.record.get_mut(path).and_then(Value::as_object_mut)
        };
        let Some(place) = place else { return };
        place.retain(|key, value| key != "credentials" || !is_empty(value));
        let kind = place.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        let settings = place.get("settings").cloned().unwrap_or_default();
        let Some(judge) = self.kinds.storages.iter().find(|judge| judge.name() == kind) else {
            let known = self.kinds.storages.iter().map(|judge| judge.name());
            let at = wanted.place(&format!("{head}kind"));
            self.mistakes.push(Mistake::unknown(at, format!("there is no storage kind `{kind}`"), &kind, known));
            return;
        };
        match judge.judge(&settings) {
            Ok(settings) => {
                place.insert("settings".to_owned(), settings);
            }
            Err(error) => self.setting(wanted, &format!("{head}settings"), &error.field, &error.problem),
        }
    }

    fn setting(&mut self, wanted: &Wanted, path: &str, field: &str, problem: &str) {
        let field = field.strip_prefix("settings.").unwrap_or(field);
        let at = wanted.place(&format!("{path}.{field}"));
        self.wrong(at, format!("`{field}`: {problem}"), "");
    }

    fn repository(&mut self, wanted: &mut Wanted) {
        match wanted.record.get("storage") {
            Some(Value::Object(_)) => {
                if wanted.record.contains_key("path") {
                    self.wrong(
                        wanted.place("path"),
                        "`path` goes with the name of a storage",
                        "A storage of its own says the whole place in `settings`.",
                    );
                }
                wanted.record.retain(|key, value| key != "credentials" || !is_empty(value));
                self.storage(wanted, "storage");
            }
            _ => {
                if wanted.record.remove("credentials").is_some() {
                    self.wrong(
                        wanted.place("credentials"),
                        "a declared storage has the keys itself",
                        "Move `credentials` to the storage.",
                    );
                }
                let name = wanted.key.name.clone();
                let path = wanted.record.entry("path").or_insert(name.into()).as_str().unwrap_or_default().to_owned();
                if let Err(error) = path_judge(&path) {
                    self.wrong(wanted.place("path"), error.to_string(), "");
                }
            }
        }
    }

    fn source(&mut self, wanted: &mut Wanted) {
        let kind = wanted.record.entry("kind").or_insert("filesystem".into()).as_str().unwrap_or_default().to_owned();
        let Some(judge) = self.kinds.sources.iter().find(|row| row.name() == kind) else {
            let known = self.kinds.sources.iter().map(|row| row.name());
            let told = format!("there is no source kind `{kind}`");
            self.mistakes.push(Mistake::unknown(wanted.place("kind"), told, &kind, known));
            return;
        };
        let settings = wanted.record.get("settings").cloned().unwrap_or_default();
        match judge.parse(&settings) {
            Ok(parsed) => {
                wanted.record.insert("settings".to_owned(), parsed.settings);
            }
            Err(error) => self.setting(wanted, "settings", &error.field, &error.problem),
        }
    }

    /// Judges what a plan or a template says.
    fn said(&mut self, wanted: &mut Wanted) {
        if let Some(schedule) = wanted.record.get_mut("schedule").and_then(Value::as_object_mut) {
            schedule.retain(|key, value| key != "on_request" || value == &Value::Bool(true));
            let rhythms = ["cron", "every", "on_request"];
            let said: Vec<&str> = rhythms.into_iter().filter(|key| schedule.contains_key(*key)).collect();
            if let [first, .., last] = said[..] {
                let at = wanted.place(&format!("schedule.{last}"));
                self.wrong(
                    at,
                    format!("`{last}` stands beside `{first}`"),
                    "Write one of `cron`, `every` and `on_request`.",
                );
            }
        }
        self.backup(wanted);
        // Nothing said of when is the same as no `schedule`, and so it is with `backup`; no rule of retention is a word, though: all is kept.
        wanted.record.retain(|key, value| !["schedule", "backup"].contains(&key.as_str()) || !is_empty(value));
        let Some(retention) = wanted.record.get("retention") else { return };
        let view: Result<RetentionView, _> = serde_json::from_value(retention.clone());
        let read =
            view.map_err(|error| error.to_string()).and_then(|view| view.read().map_err(|error| error.to_string()));
        match read {
            Ok(policy) => {
                let view = serde_json::to_value(RetentionView::from(&policy)).expect("a view is JSON");
                wanted.record.insert("retention".to_owned(), view);
            }
            Err(problem) => self.wrong(wanted.place("retention"), problem, ""),
        }
    }

    /// Judges what is said of how backups go about their work; its numbers are judged by their shapes.
    fn backup(&mut self, wanted: &Wanted) {
        let patterns = wanted.record.get("backup").map(|backup| &backup["accept_unread"]);
        let patterns = patterns.and_then(Value::as_array).into_iter().flatten();
        let patterns: Vec<String> = patterns.filter_map(Value::as_str).map(str::to_owned).collect();
        if let Err(error) = accept_unread_judge(&patterns) {
            // Places of what a list holds are written with a dot.
            let path = error.field().replace('[', ".").replace(']', "");
            self.wrong(wanted.place(&path), error.to_string(), "");
        }
    }

    fn channel(&mut self, wanted: &mut Wanted) {
        let kind = wanted.record.get("kind").and_then(Value::as_str).and_then(ChannelKind::from_word);
        let (Some(kind), Some(settings)) = (kind, wanted.record.get("settings")) else { return };
        match ChannelSettings::parse(kind, settings) {
            Ok(settings) => {
                wanted.record.insert("settings".to_owned(), settings.document());
            }
            Err(error) => self.setting(wanted, "settings", &error.field, &error.problem),
        }
        let rules = wanted.record.entry("rules").or_insert_with(|| json!([]));
        rules_plain(kind, rules);
        for key in ["rules", "digest"].into_iter().filter(|_| kind == ChannelKind::Ping) {
            if wanted.record.get(key).is_some_and(|value| !value.is_null() && !is_empty(value)) {
                self.wrong(
                    wanted.place(key),
                    "a ping channel has none: it hears of each backup of its plan",
                    "Leave it out.",
                );
            }
        }
    }

    /// Judges when work is expected, and gives it the words in which a server tells it.
    fn monitor(&mut self, wanted: &mut Wanted) {
        wanted.record.retain(|key, value| key != "time_zone" || value != "UTC");
        let line = wanted.record.get("schedule").and_then(Value::as_str).unwrap_or_default();
        match line.parse::<Rhythm>() {
            Ok(Rhythm::OnRequest) => self.wrong(wanted.place("schedule"), "something must be expected", EXPECTED),
            Ok(rhythm) => drop(wanted.record.insert("schedule".to_owned(), rhythm.words().into())),
            Err(error) => self.wrong(wanted.place("schedule"), error.to_string(), EXPECTED),
        }
    }

    fn maintenance(&mut self, wanted: &Wanted) {
        let instant = |key: &str| wanted.record.get(key)?.as_str()?.parse::<jiff::Timestamp>().ok();
        if let (Some(from), Some(until)) = (instant("from"), instant("until"))
            && until <= from
        {
            self.wrong(wanted.place("until"), "the window ends before it begins", "");
        }
    }
}

/// Says whether nothing is in a list or a map.
fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// Gives rules of a channel the form in which a server has them.
pub fn rules_plain(kind: ChannelKind, rules: &mut Value) {
    let Some(list) = rules.as_array_mut() else { return };
    if list.is_empty() && kind != ChannelKind::Ping {
        list.push(json!({ "severity_min": "error", "delivery": "at_once" }));
    }
    for rule in list.iter_mut().filter_map(Value::as_object_mut) {
        rule.retain(|_, value| !is_empty(value));
    }
}
