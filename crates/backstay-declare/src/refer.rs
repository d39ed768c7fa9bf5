//! What a file names: that each name is there, in the file or on the server, and that neither templates stand above
//! themselves nor plans follow themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::file::{Declared, Missing};
use crate::mistake::{Mistake, Place, nearest};
use crate::nouns::{Noun, TENANT_DEFAULT};
use crate::row::{Found, Key, Record, Wanted};

/// Most names that a help lists.
const KNOWN_MAX: usize = 12;

/// Returns what a declaration names: where it says so, and whom.
fn named(wanted: &Wanted) -> Vec<(String, Key)> {
    let tenant = wanted.key.tenant.as_deref();
    let text = |path: &str| wanted.record.get(path).and_then(Value::as_str);
    let one = |noun: Noun, path: &str| text(path).map(|name| (path.to_owned(), Key::new(noun, tenant, name)));
    let whom = |name: &str| Key::new(Noun::Tenant, None, name);
    match wanted.key.noun {
        Noun::Plan => {
            let all = [(Noun::Source, "source"), (Noun::Repository, "repository"), (Noun::Template, "template")];
            all.into_iter().filter_map(|(noun, path)| one(noun, path)).chain(followed(wanted)).collect()
        }
        Noun::Template => one(Noun::Template, "above").into_iter().chain(followed(wanted)).collect(),
        Noun::Repository => one(Noun::Storage, "storage").into_iter().collect(),
        Noun::Channel => {
            let rules = wanted.record.get("rules").and_then(Value::as_array).into_iter().flatten().enumerate();
            rules
                .filter_map(|(at, rule)| Some((format!("rules.{at}.tenant"), whom(rule["tenant"].as_str()?))))
                .collect()
        }
        Noun::Caps => {
            let weights = wanted.record.get("weights").and_then(Value::as_object).into_iter().flatten();
            let weights = weights.map(|(name, _)| (format!("weights.{name}"), whom(name)));
            let exceptions =
                wanted.record.get("exceptions").and_then(Value::as_array).into_iter().flatten().enumerate();
            let exceptions = exceptions.filter_map(|(at, row)| {
                let (of, name) = (row["of"].as_str()?, row["name"].as_str()?);
                let path = format!("exceptions.{at}.name");
                match of {
                    "tenant" => Some((path, whom(name))),
                    "repository" => Some((path, repository_key(name))),
                    _ => None,
                }
            });
            weights.chain(exceptions).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the plans that follow: where it says so, and whom.
fn followed(wanted: &Wanted) -> impl Iterator<Item = (String, Key)> {
    let names = follow_ups(&wanted.record).into_iter().flatten().enumerate();
    names.filter_map(|(at, name)| {
        let key = Key::new(Noun::Plan, wanted.key.tenant.as_deref(), name.as_str()?);
        Some((format!("backup.follow_ups.{at}"), key))
    })
}

/// Returns what a plan or a template says of the plans that follow; none when it says nothing.
fn follow_ups(record: &Record) -> Option<&Vec<Value>> {
    record.get("backup")?.get("follow_ups")?.as_array()
}

/// Returns the repository that `NAME` or `TENANT/NAME` means.
pub fn repository_key(text: &str) -> Key {
    let (tenant, name) = text.split_once('/').unwrap_or((TENANT_DEFAULT, text));
    Key::new(Noun::Repository, Some(tenant), name)
}

/// Returns a mistake for each name that is nowhere, and for each template that stands above itself.
pub fn check(declared: &Declared, found: &[Found], missing: Missing) -> Vec<Mistake> {
    let wanted: BTreeSet<&Key> = declared.rows.iter().map(|row| &row.key).collect();
    let there: BTreeSet<&Key> = found.iter().map(|row| &row.key).collect();
    let mut mistakes = Vec::new();
    for row in &declared.rows {
        for (path, key) in named(row).into_iter().filter(|(_, key)| !wanted.contains(key)) {
            let at = row.place(&path);
            let goes = missing == Missing::Retire && declared.speaks_of(&key) && key.noun != Noun::Tenant;
            match there.contains(&key) {
                false => mistakes.push(nowhere(at, &key, wanted.union(&there).copied())),
                true if goes => {
                    let told =
                        format!("{key} is on the server and not in this file, which retires what it does not have");
                    mistakes.push(Mistake::new(at, told).hint(&declare(&key)));
                }
                true => {}
            }
        }
    }
    let above = Above::of(declared.rows.iter().map(|row| (&row.key, &row.record)));
    let turning = declared.rows.iter().filter(|row| row.key.noun == Noun::Template && above.depth(&row.key).is_none());
    mistakes
        .extend(turning.map(|row| Mistake::new(row.place("above"), format!("the {} stands above itself", row.key))));
    let follows = Follows::of(declared.rows.iter().map(|row| (&row.key, &row.record)));
    let turning = declared.rows.iter().filter(|row| row.key.noun == Noun::Plan && follows.depth(&row.key).is_none());
    mistakes.extend(turning.map(|row| {
        let told = format!("the {} would follow itself, or one that does", row.key);
        let own = follow_ups(&row.record).is_some();
        Mistake::new(row.place(if own { "backup.follow_ups" } else { "template" }), told)
            .hint("A plan that says `backup: {follow_ups: []}` is followed by none.")
    }));
    mistakes
}

fn declare(key: &Key) -> String {
    format!("Declare it in `{}`.", key.noun.section())
}

/// Says that a name is nowhere, with the one that was meant.
fn nowhere<'a>(at: Place, key: &Key, known: impl Iterator<Item = &'a Key>) -> Mistake {
    let alike = known.filter(|other| other.noun == key.noun && other.tenant == key.tenant);
    let known: Vec<&str> = alike.map(|other| other.name.as_str()).collect();
    let told = format!("there is no {key}, neither in this file nor on the server");
    // A list of a thousand names helps nobody.
    if known.is_empty() || known.len() > KNOWN_MAX && nearest(&key.name, known.iter().copied()).is_none() {
        return Mistake::new(at, told).hint(&declare(key));
    }
    Mistake::unknown(at, told, &key.name, known)
}

/// Which template stands above which.
#[derive(Debug, Default)]
pub struct Above<'a>(BTreeMap<&'a Key, Key>);

impl<'a> Above<'a> {
    /// Looks at records.
    pub fn of(rows: impl Iterator<Item = (&'a Key, &'a Record)>) -> Self {
        let templates = rows.filter(|(key, _)| key.noun == Noun::Template);
        let above = |(key, record): (&'a Key, &'a Record)| {
            Some((key, Key { name: record.get("above")?.as_str()?.to_owned(), ..key.clone() }))
        };
        Self(templates.filter_map(above).collect())
    }

    /// Returns how many stand above one; none when it stands above itself.
    pub fn depth(&self, key: &Key) -> Option<usize> {
        let mut at = key;
        for depth in 0..=self.0.len() {
            match self.0.get(at) {
                Some(next) => at = next,
                None => return Some(depth),
            }
        }
        None
    }
}

/// Which plans follow which, by themselves or by their templates.
#[derive(Debug, Default)]
pub struct Follows<'a>(BTreeMap<&'a Key, Vec<Key>>);

impl<'a> Follows<'a> {
    /// Looks at records.
    pub fn of(rows: impl Iterator<Item = (&'a Key, &'a Record)>) -> Self {
        let rows: BTreeMap<&Key, &Record> = rows.collect();
        let said = |key: &Key| {
            // The nearest that says it; as many stand above one another as there are rows, at most.
            let (mut at, mut path) = (key.clone(), "template");
            for _ in 0..rows.len() {
                let record = rows.get(&at)?;
                if let Some(names) = follow_ups(record) {
                    return Some(names.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>());
                }
                at = Key::new(Noun::Template, key.tenant.as_deref(), record.get(path)?.as_str()?);
                path = "above";
            }
            None
        };
        let of = |key: &'a Key| {
            let names = said(key).unwrap_or_default();
            (key, names.iter().map(|name| Key { name: name.clone(), ..key.clone() }).collect())
        };
        Self(rows.keys().filter(|key| key.noun == Noun::Plan).map(|key| of(key)).collect())
    }

    /// Returns how many follow one another behind a plan; none when that never ends.
    pub fn depth(&self, key: &Key) -> Option<usize> {
        let mut layer = BTreeSet::from([key]);
        for depth in 0..=self.0.len() {
            layer = layer.into_iter().filter_map(|key| self.0.get(key)).flatten().collect();
            if layer.is_empty() {
                return Some(depth);
            }
        }
        None
    }
}
