//! A file of what a server has: what `apply` reads without wanting anything else.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::nouns::{Noun, OF_TENANT, TENANT_DEFAULT};
use crate::row::{Found, Record};
use crate::shape::{Field, Shape};

/// First lines of a file.
const HEAD: &str = "\
# What this Backstay has. `backstay apply -f FILE --dry-run` says what a file would change, `backstay apply -f FILE` does it.
# Secrets are not in here: only where they are found. What is not in a file stays, unless it says `missing: retire`.
";

/// Writes what was found. What there is one of and says nothing is left out.
pub fn write(found: &[Found]) -> String {
    format!("{HEAD}{}", sections(found))
}

/// Writes what was found, without the first lines.
pub(crate) fn sections(found: &[Found]) -> String {
    let mut out = String::new();
    for noun in OF_TENANT {
        section(&mut out, noun, Some(TENANT_DEFAULT), found, 0);
    }
    for noun in [Noun::Channel, Noun::Maintenance] {
        section(&mut out, noun, None, found, 0);
    }
    tenants(&mut out, found);
    if let Some(caps) = found.iter().find(|row| row.key.noun == Noun::Caps && !row.record.is_empty()) {
        let _ = writeln!(out, "\ncaps:");
        record(&mut out, Noun::Caps.fields(), &caps.record, 2);
    }
    out
}

/// Writes the tenants, with all that does not stand at the top.
fn tenants(out: &mut String, found: &[Found]) {
    let names: BTreeSet<&str> =
        found.iter().filter(|row| row.key.noun == Noun::Tenant).map(|row| row.key.name.as_str()).collect();
    let mut text = String::new();
    for name in names {
        let mut own = String::new();
        let quota = found.iter().find(|row| row.key.noun == Noun::Quota && row.key.tenant.as_deref() == Some(name));
        if let Some(quota) = quota.filter(|row| !row.record.is_empty()) {
            let _ = writeln!(own, "    quota:");
            record(&mut own, Noun::Quota.fields(), &quota.record, 6);
        }
        let below = OF_TENANT.into_iter().filter(|_| name != TENANT_DEFAULT);
        for noun in below.chain([Noun::Channel, Noun::Maintenance]) {
            section(&mut own, noun, Some(name), found, 4);
        }
        if own.is_empty() && name == TENANT_DEFAULT {
            continue;
        }
        let _ = writeln!(text, "  {}:", plain(name));
        text.push_str(&own);
    }
    if !text.is_empty() {
        let _ = write!(out, "\ntenants:\n{text}");
    }
}

fn section(out: &mut String, noun: Noun, tenant: Option<&str>, found: &[Found], indent: usize) {
    let is_here = |row: &&Found| row.key.noun == noun && row.key.tenant.as_deref() == tenant;
    let mut rows: Vec<&Found> = found.iter().filter(is_here).collect();
    rows.sort_by(|left, right| left.key.cmp(&right.key));
    rows.dedup_by(|right, left| left.key == right.key);
    if rows.is_empty() {
        return;
    }
    if indent == 0 {
        out.push('\n');
    }
    let _ = writeln!(out, "{:indent$}{}:", "", noun.section());
    for row in rows {
        let _ = writeln!(out, "{:indent$}  {}:", "", plain(&row.key.name));
        record(out, noun.fields(), &row.record, indent + 4);
    }
}

fn record(out: &mut String, fields: &[Field], values: &Record, indent: usize) {
    for field in fields {
        if let Some(value) = values.get(field.key) {
            let _ = write!(out, "{:indent$}{}:", "", field.key);
            written(out, &field.shape, value, indent + 2);
        }
    }
}

/// Writes a value behind its key, and ends the line.
fn written(out: &mut String, shape: &Shape, value: &Value, indent: usize) {
    match (shape, value) {
        (Shape::Record(fields) | Shape::NameOr(fields), Value::Object(inner)) if !inner.is_empty() => {
            out.push('\n');
            record(out, fields, inner, indent);
        }
        (Shape::List(Shape::Record(fields)), Value::Array(list)) if !list.is_empty() => {
            out.push('\n');
            for value in list {
                let mut one = String::new();
                record(&mut one, fields, value.as_object().unwrap_or(&Record::new()), indent + 2);
                let _ = writeln!(out, "{:indent$}- {}", "", one.trim());
            }
        }
        (Shape::Settings | Shape::Credentials | Shape::Named(_), Value::Object(inner)) if !inner.is_empty() => {
            out.push('\n');
            for (key, value) in inner {
                let _ = write!(out, "{:indent$}{}:", "", plain(key));
                let shape = if matches!(shape, Shape::Settings) { shape } else { &Shape::Text };
                written(out, shape, value, indent + 2);
            }
        }
        (shape, value) => {
            let _ = writeln!(out, " {}", flow(shape, value));
        }
    }
}

/// Returns a value in one line.
fn flow(shape: &Shape, value: &Value) -> String {
    match (shape, value) {
        (_, Value::Array(list)) => {
            let inner = match shape {
                Shape::List(inner) => inner,
                shape => shape,
            };
            let all: Vec<String> = list.iter().map(|value| flow(inner, value)).collect();
            format!("[{}]", all.join(", "))
        }
        (_, Value::Object(values)) => {
            let all: Vec<String> = values
                .iter()
                .map(|(key, value)| format!("{}: {}", plain(key), flow(&Shape::Settings, value)))
                .collect();
            format!("{{{}}}", all.join(", "))
        }
        // Settings are read without a shape: what looks like a number or a word of YAML needs its quotes.
        (Shape::Settings, Value::String(text)) => plain(text),
        (_, Value::Null) => "~".to_owned(),
        (Shape::Settings, value) => value.to_string(),
        (shape, value) => plain_unless_number(&shape.show(value)),
    }
}

/// Returns a text that its shape reads whatever it looks like.
fn plain_unless_number(text: &str) -> String {
    let is_number = text.parse::<i64>().is_ok();
    if is_number || text == "true" || text == "false" { text.to_owned() } else { plain(text) }
}

/// Returns a text as YAML: as it is where that is safe, else in quotes.
pub fn plain(text: &str) -> String {
    let first = text.chars().next();
    let letters = |letter: char| letter.is_ascii_alphanumeric() || "_-./:@+=".contains(letter);
    let safe = first.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '/')
        && text.chars().all(letters)
        && !text.ends_with(':')
        && !text.contains(":/ ");
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    // Digits may be a number, an octal, a date or minutes and seconds to some reader.
    let like_number = first.is_some_and(|letter| letter.is_ascii_digit())
        && !text.contains(|letter: char| letter.is_ascii_alphabetic())
        || text.starts_with("0x")
        || text.starts_with("0o")
        || text.parse::<f64>().is_ok();
    if safe && !like_number && !words.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            letter if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}
