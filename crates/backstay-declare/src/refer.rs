//! What a file names: that each name is there, in the file or on the server, and that templates do not stand above
//! themselves.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::file::{Declared, Missing};
use crate::mistake::Mistake;
use crate::nouns::{Noun, TENANT_DEFAULT};
use crate::row::{Found, Key, Wanted};

/// Returns what a declaration names: where it says so, and whom.
fn named(wanted: &Wanted) -> Vec<(String, Key)> {
    let tenant = wanted.key.tenant.as_deref();
    let text = |path: &str| wanted.record.get(path).and_then(Value::as_str);
    let one = |noun: Noun, path: &str| text(path).map(|name| (path.to_owned(), Key::new(noun, tenant, name)));
    let whom = |name: &str| Key::new(Noun::Tenant, None, name);
    match wanted.key.noun {
        Noun::Plan => {
            let all = [(Noun::Source, "source"), (Noun::Repository, "repository"), (Noun::Template, "template")];
            all.into_iter().filter_map(|(noun, path)| one(noun, path)).collect()
        }
        Noun::Template => one(Noun::Template, "above").into_iter().collect(),
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

/// Returns the repository that `NAME` or `TENANT/NAME` means.
pub fn repository_key(text: &str) -> Key {
    let (tenant, name) = text.split_once('/').unwrap_or((TENANT_DEFAULT, text));
    Key::new(Noun::Repository, Some(tenant), name)
}

/// Returns a mistake for each name that is nowhere, and for each template that stands above itself.
pub fn check(declared: &Declared, found: &[Found], missing: Missing) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for wanted in &declared.rows {
        for (path, key) in named(wanted) {
            if declared.rows.iter().any(|row| row.key == key) {
                continue;
            }
            let at = wanted.place(&path);
            let is_there = found.iter().any(|row| row.key == key);
            let goes = is_there && missing == Missing::Retire && declared.speaks_of(&key) && key.noun != Noun::Tenant;
            if goes {
                let told = format!("{key} is on the server and not in this file, which retires what it does not have");
                mistakes.push(Mistake::new(at, told).hint(&format!("Declare it in `{}`.", key.noun.section())));
            } else if !is_there {
                let alike = |other: &&Key| other.noun == key.noun && other.tenant == key.tenant;
                let known = declared.rows.iter().map(|row| &row.key).chain(found.iter().map(|row| &row.key));
                let known: Vec<&str> = known.filter(alike).map(|other| other.name.as_str()).collect();
                let told = format!("there is no {key}, neither in this file nor on the server");
                let mistake = Mistake::unknown(at, told, &key.name, known.iter().copied());
                mistakes.push(if known.is_empty() {
                    mistake.hint(&format!("Declare it in `{}`.", key.noun.section()))
                } else {
                    mistake
                });
            }
        }
    }
    mistakes.extend(circles(declared));
    mistakes
}

/// Returns how many templates of the file stand above one; none when it stands above itself.
pub fn depth(declared: &Declared, key: &Key) -> Option<usize> {
    let above: BTreeMap<&Key, Key> = declared
        .rows
        .iter()
        .filter(|row| row.key.noun == Noun::Template)
        .filter_map(|row| {
            Some((&row.key, Key { name: row.record.get("above")?.as_str()?.to_owned(), ..row.key.clone() }))
        })
        .collect();
    let mut at = key;
    for depth in 0..=above.len() {
        match above.get(at) {
            Some(next) => at = next,
            None => return Some(depth),
        }
    }
    None
}

fn circles(declared: &Declared) -> Vec<Mistake> {
    let templates = declared.rows.iter().filter(|row| row.key.noun == Noun::Template);
    let turning = templates.filter(|row| depth(declared, &row.key).is_none());
    turning.map(|row| Mistake::new(row.place("above"), format!("the {} stands above itself", row.key))).collect()
}
