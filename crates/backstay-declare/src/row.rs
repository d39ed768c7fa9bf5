//! One declaration: as a file wants it, and as a server has it. Both have the same form, so that they can be compared.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::mistake::Place;
use crate::nouns::{Noun, TENANT_DEFAULT};
use crate::shape::{Field, Shape, below};

/// What is said of one, by key.
pub type Record = Map<String, Value>;

/// Which one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it is.
    pub noun: Noun,
    /// Whose it is; none for the installation's.
    pub tenant: Option<String>,
    /// Its name; empty for what there is one of.
    pub name: String,
}

impl Key {
    /// Makes a key.
    pub fn new(noun: Noun, tenant: Option<&str>, name: &str) -> Self {
        Self { noun, tenant: tenant.map(str::to_owned), name: name.to_owned() }
    }
}

impl fmt::Display for Key {
    /// Writes `plan web`, with the tenant where it is another than `default`: `plan acme/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.noun.word();
        match (self.tenant.as_deref(), self.name.as_str()) {
            (None, "") => write!(f, "{word}"),
            (Some(tenant), "") => write!(f, "{word} of tenant {tenant}"),
            (None | Some(TENANT_DEFAULT), name) => write!(f, "{word} {name}"),
            (Some(tenant), name) => write!(f, "{word} {tenant}/{name}"),
        }
    }
}

/// One as a file wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Which one.
    pub key: Key,
    /// What is said of it.
    pub record: Record,
    /// Where its name stands.
    pub at: Place,
    /// Where each key of it stands, by its dotted path.
    pub places: BTreeMap<String, Place>,
}

impl Wanted {
    /// Returns where a key stands; the nearest place above it, for one that is not written.
    pub fn place(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path).filter(|_| !path.is_empty()) {
                return *place;
            }
            match path.rsplit_once('.') {
                Some((above, _)) => path = above,
                None => return self.at,
            }
        }
    }
}

/// One as a server has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which one.
    pub key: Key,
    /// Its id there.
    pub id: String,
    /// What is said of it.
    pub record: Record,
}

/// A single value of a record.
#[derive(Debug, Clone, Copy)]
pub struct Leaf<'a> {
    /// How it may look.
    pub shape: &'a Shape,
    /// What it is.
    pub value: &'a Value,
}

/// Returns the single values of a record by their dotted paths, in the order of the table.
pub fn leaves<'a>(fields: &'a [Field], record: &'a Record, path: &str, out: &mut Vec<(String, Leaf<'a>)>) {
    for field in fields {
        let Some(value) = record.get(field.key) else { continue };
        let path = below(path, field.key);
        match (&field.shape, value) {
            (Shape::Record(fields) | Shape::NameOr(fields), Value::Object(inner)) if !inner.is_empty() => {
                leaves(fields, inner, &path, out);
            }
            (Shape::Settings | Shape::Credentials | Shape::Named(_), Value::Object(inner)) => {
                free(inner, &path, out);
            }
            (shape, value) => out.push((path, Leaf { shape, value })),
        }
    }
}

fn free<'a>(inner: &'a Record, path: &str, out: &mut Vec<(String, Leaf<'a>)>) {
    for (key, value) in inner {
        let path = below(path, key);
        match value {
            Value::Object(inner) if !inner.is_empty() => free(inner, &path, out),
            value => out.push((path, Leaf { shape: &Shape::Text, value })),
        }
    }
}
