//! How a value may look: what is read from a file becomes JSON in one form (lengths of time in milliseconds, sizes in
//! bytes), whatever way it was written, so that two values can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backstay_core::domain::channel::Window;
use backstay_core::domain::name::Name;
use backstay_core::domain::retention::Within;
use backstay_core::domain::schedule::{OverlapKey, Rhythm, Schedule, ScheduleError};
use backstay_core::domain::secret::SecretReference;
use backstay_core::domain::storage::Purpose;
use serde_json::{Map, Value};

use crate::mistake::{Mistake, Place, is_secret_key, listed, nearest};
use crate::yaml::{Node, Tree, Word};

/// A key of a record.
#[derive(Debug)]
pub struct Field {
    /// How it is written.
    pub key: &'static str,
    /// What may stand there.
    pub shape: Shape,
    /// Whether it must be there.
    pub needed: bool,
    /// One sentence for a person.
    pub doc: &'static str,
}

impl Field {
    /// Makes a key that may be left out.
    pub const fn new(key: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { key, shape, needed: false, doc }
    }

    /// Makes a key that must be there.
    pub const fn needed(key: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { key, shape, needed: true, doc }
    }
}

/// How a value may look.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A text.
    Text,
    /// A name: lower-case letters, digits, `-` and `_`.
    Name,
    /// One of some words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A number of a range.
    Number(i64, i64),
    /// How many snapshots a rule keeps: a number, or `all`.
    Count,
    /// A length of time such as `6h`, at least so many milliseconds.
    Length(u64),
    /// A length of time such as `30d`, at least so many milliseconds; or `never`, which is zero.
    LengthOrNever(u64),
    /// A number of bytes such as `500GiB`.
    Size,
    /// A cron expression of five fields.
    Cron,
    /// A time zone of the tz database.
    Zone,
    /// A stretch of the calendar such as `30d` or `1y6m`.
    Stretch,
    /// A moment such as `2026-12-24T18:00:00Z`.
    Instant,
    /// When a digest is due.
    Digest,
    /// Where a secret is found; never the secret.
    Reference,
    /// Where a storage's keys are found: one reference, or one a purpose.
    Credentials,
    /// Settings that a kind judges.
    Settings,
    /// Keys with values.
    Record(&'static [Field]),
    /// A name, or keys with values.
    NameOr(&'static [Field]),
    /// Values in order.
    List(&'static Shape),
    /// Values by name.
    Named(&'static Shape),
}

/// What was found while a file is read.
#[derive(Debug, Default)]
pub struct Reading {
    /// All that is wrong.
    pub mistakes: Vec<Mistake>,
    /// Where each key stands, by its dotted path.
    pub places: BTreeMap<String, Place>,
    /// Keys below which something is wrong, by their dotted paths.
    pub bad: BTreeSet<String>,
    /// What the whole is called, in sentences.
    pub label: String,
}

/// Returns a path with a key behind it.
pub fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl Reading {
    fn wrong(&mut self, at: Place, message: impl Into<String>, hint: &str) -> Option<Value> {
        self.mistakes.push(Mistake::new(at, message).hint(hint));
        None
    }

    /// Reads a value; none when nothing is said, or something wrong.
    pub fn value(&mut self, shape: &Shape, path: &str, node: &Node) -> Option<Value> {
        self.places.entry(path.to_owned()).or_insert(node.at);
        match (shape, &node.tree) {
            (_, Tree::Nothing) => None,
            (Shape::Record(fields) | Shape::NameOr(fields), Tree::Map(map)) => {
                Some(Value::Object(self.record(fields, path, node.at, map)))
            }
            (Shape::Record(_), _) => {
                self.wrong(node.at, format!("{} are wanted here, not {}", "keys with values", node.tree.words()), "")
            }
            (Shape::Settings, Tree::Map(_)) => Some(self.free(path, node)),
            (Shape::Settings, _) => {
                self.wrong(node.at, "settings are keys with values", "Such as `{path: /srv/backup}`.")
            }
            (Shape::List(shape), Tree::List(list)) => {
                let values = list.iter().enumerate();
                Some(values.filter_map(|(at, node)| self.value(shape, &format!("{path}.{at}"), node)).collect())
            }
            // One value where a list may stand is a list of one.
            (Shape::List(shape), Tree::Scalar { .. }) => Some(self.value(shape, path, node).into_iter().collect()),
            (Shape::List(_), _) => self.wrong(node.at, "a list is wanted here", "Such as `[one, two]`."),
            (Shape::Named(shape), Tree::Map(map)) => {
                let mut values = Map::new();
                for (word, node) in map {
                    let path = below(path, &word.text);
                    self.places.insert(path.clone(), word.at);
                    if let (true, Some(value)) = (self.name(word), self.value(shape, &path, node)) {
                        values.insert(word.text.clone(), value);
                    }
                }
                Some(Value::Object(values))
            }
            (Shape::Named(_), _) => {
                self.wrong(node.at, format!("names with values are wanted here, not {}", node.tree.words()), "")
            }
            (Shape::Credentials, Tree::Map(map)) => {
                let mut values = Map::new();
                for (word, node) in map {
                    let path = below(path, &word.text);
                    self.places.insert(path.clone(), word.at);
                    let known: Vec<&str> = Purpose::ALL.iter().map(|purpose| purpose.word()).collect();
                    if !known.contains(&word.text.as_str()) {
                        let told = format!("`{}` is not a purpose of a key", word.text);
                        self.mistakes.push(Mistake::unknown(word.at, told, &word.text, known));
                    } else if let Some(value) = self.value(&Shape::Reference, &path, node) {
                        values.insert(word.text.clone(), value);
                    }
                }
                Some(Value::Object(values))
            }
            (Shape::Credentials, Tree::Scalar { .. }) => {
                let reference = self.value(&Shape::Reference, path, node)?;
                let all = Purpose::ALL.iter().map(|purpose| (purpose.word().to_owned(), reference.clone()));
                Some(Value::Object(all.collect()))
            }
            (_, Tree::Scalar { text, .. }) => match shape.scalar(text) {
                Ok(value) => Some(value),
                Err(Wrong { message, hint }) => {
                    let mistake = Mistake::new(node.at, message).hint(&hint);
                    let is_secret = matches!(shape, Shape::Reference | Shape::Credentials);
                    self.mistakes.push(if is_secret { mistake.secret() } else { mistake });
                    None
                }
            },
            (_, tree) => self.wrong(node.at, format!("one value is wanted here, not {}", tree.words()), ""),
        }
    }

    /// Reads keys with values.
    pub fn record(&mut self, fields: &[Field], path: &str, at: Place, map: &[(Word, Node)]) -> Map<String, Value> {
        let mut values = Map::new();
        let noun = match path.rsplit('.').next() {
            Some(last) if !last.is_empty() => format!("`{last}`"),
            _ => self.label.clone(),
        };
        for (word, node) in map {
            let path = below(path, &word.text);
            let Some(field) = fields.iter().find(|field| field.key == word.text) else {
                let known = fields.iter().map(|field| field.key);
                let told = format!("{noun} has no key `{}`", word.text);
                let mistake = Mistake::unknown(word.at, told, &word.text, known);
                self.mistakes.push(if word.text == "<<" {
                    mistake.hint("Merge keys are not read: templates say what plans share.")
                } else {
                    mistake
                });
                continue;
            };
            self.places.insert(path.clone(), word.at);
            let before = self.mistakes.len();
            if let Some(value) = self.value(&field.shape, &path, node) {
                values.insert(word.text.clone(), value);
            }
            if self.mistakes.len() > before {
                self.bad.insert(path.clone());
            }
            self.places.insert(path, if matches!(node.tree, Tree::Scalar { .. }) { node.at } else { word.at });
        }
        for field in fields.iter().filter(|field| field.needed) {
            let said = map.iter().find(|(word, _)| word.text == field.key);
            match said {
                None => self.mistakes.push(Mistake::new(at, format!("{noun} needs `{}`", field.key)).hint(field.doc)),
                Some((word, Node { tree: Tree::Nothing, .. })) => {
                    self.mistakes.push(Mistake::new(word.at, format!("`{}` has no value", field.key)).hint(field.doc));
                }
                Some(_) => {}
            }
        }
        values
    }

    fn name(&mut self, word: &Word) -> bool {
        let read = word.text.parse::<Name>();
        if let Err(error) = &read {
            self.mistakes.push(Mistake::new(word.at, error.to_string()));
        }
        read.is_ok()
    }

    /// Reads whatever stands there, as YAML's core schema has it. A secret in clear is refused.
    fn free(&mut self, path: &str, node: &Node) -> Value {
        self.places.entry(path.to_owned()).or_insert(node.at);
        match &node.tree {
            Tree::Nothing => Value::Null,
            Tree::Scalar { text, quoted } => {
                let key = path.rsplit('.').next().unwrap_or_default();
                let is_reference = text.parse::<SecretReference>().is_ok();
                let in_url = text.split_once("://").is_some_and(|(_, rest)| {
                    rest.split('/')
                        .next()
                        .is_some_and(|host| host.split_once('@').is_some_and(|(user, _)| user.contains(':')))
                });
                if in_url || is_secret_key(key) && !is_reference {
                    let wrong = secret_wrong(&format!("`{key}`"));
                    self.mistakes.push(Mistake::new(node.at, wrong.message).hint(&wrong.hint).secret());
                }
                if *quoted { Value::from(text.as_str()) } else { core_schema(text) }
            }
            Tree::List(list) => {
                let one = |(at, node)| self.free(&format!("{path}.{at}"), node);
                list.iter().enumerate().map(one).collect()
            }
            Tree::Map(map) => {
                let mut values = Map::new();
                for (word, node) in map {
                    let path = below(path, &word.text);
                    let value = self.free(&path, node);
                    self.places.insert(path, word.at);
                    values.insert(word.text.clone(), value);
                }
                Value::Object(values)
            }
        }
    }
}

/// Returns what an unquoted word means.
fn core_schema(text: &str) -> Value {
    match text {
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        _ => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
    }
}

/// Why a value is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: String,
}

fn wrong(message: impl Into<String>, hint: impl Into<String>) -> Wrong {
    Wrong { message: message.into(), hint: hint.into() }
}

/// How references to secrets begin.
const REFERENCE_HEADS: [&str; 4] = ["file:", "sealed:", "env:", "credential:"];

fn secret_wrong(what: &str) -> Wrong {
    let message = format!("{what} must say where its secret is found, and never the secret");
    wrong(
        message,
        "Keep it with `backstay secret put NAME` and write `sealed:NAME` here, or `file:keys/NAME` below the data directory. If what stands here is the secret, change it: files are read by many.",
    )
}

impl Shape {
    /// Reads one value.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn scalar(&self, text: &str) -> Result<Value, Wrong> {
        match self {
            Self::Text => Ok(text.into()),
            Self::Name | Self::NameOr(_) => {
                text.parse::<Name>().map(|name| name.as_str().into()).map_err(|error| wrong(error.to_string(), ""))
            }
            Self::Word(words) => {
                if words.contains(&text) {
                    return Ok(text.into());
                }
                let Mistake { message, hint, .. } = Mistake::unknown(
                    Place::default(),
                    format!("`{text}` is none of {}", listed(words)),
                    text,
                    words.iter().copied(),
                );
                Err(wrong(message, if hint.starts_with("There") { String::new() } else { hint }))
            }
            Self::Flag => match text {
                "true" => Ok(true.into()),
                "false" => Ok(false.into()),
                _ => Err(wrong(format!("`{text}` is neither `true` nor `false`"), "")),
            },
            Self::Number(least, most) => match text.parse::<i64>() {
                Ok(number) if (*least..=*most).contains(&number) => Ok(number.into()),
                _ => Err(wrong(format!("`{text}` is not a number from {least} to {most}"), "")),
            },
            Self::Count => match text {
                "all" | "unlimited" | "-1" => Ok((-1).into()),
                text => text
                    .parse::<u32>()
                    .map(Value::from)
                    .map_err(|_| wrong(format!("`{text}` is no count"), "Write a number such as 7, or `all`.")),
            },
            Self::LengthOrNever(_) if text == "never" => Ok(0.into()),
            Self::Length(least) | Self::LengthOrNever(least) => length(text, *least),
            Self::Size => size(text).map(Value::from).ok_or_else(|| {
                wrong(format!("`{text}` is no size"), "Write one such as 500GiB or 2TB, or a number of bytes.")
            }),
            Self::Cron => {
                let judged =
                    Schedule::new(Rhythm::Cron(text.to_owned()), "UTC".to_owned(), Duration::ZERO, OverlapKey::Plan);
                let told = |error| match error {
                    ScheduleError::Cron { reason, .. } => {
                        let reason = reason.trim_start_matches("Component error: ").trim_end_matches('.');
                        format!("`{text}` is no cron expression: {reason}")
                    }
                    error => error.to_string(),
                };
                let hint = "Write minute, hour, day of the month, month and day of the week, such as `30 2 * * *`.";
                judged.map(|_| text.into()).map_err(|error| wrong(told(error), hint))
            }
            Self::Zone => {
                let zone = text.to_owned();
                let judged = Schedule::new(Rhythm::OnRequest, zone, Duration::ZERO, OverlapKey::Plan);
                let hint = || {
                    let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
                    let near = nearest(text, known.iter().map(String::as_str));
                    near.map_or_else(
                        || "Write a name such as Europe/Zurich or UTC.".to_owned(),
                        |near| format!("Did you mean `{near}`?"),
                    )
                };
                judged.map(|_| text.into()).map_err(|_| wrong(format!("`{text}` is not in the tz database"), hint()))
            }
            Self::Stretch => match text.parse::<Within>() {
                Ok(within) if within.is_zero() => {
                    Err(wrong(format!("`{text}` is no time at all"), "Leave the rule out."))
                }
                Ok(within) => Ok(within.to_string().into()),
                Err(error) => Err(wrong(error.to_string(), "Write one such as 30d, 6m or 1y6m.")),
            },
            Self::Instant => match text.parse::<jiff::Timestamp>() {
                Ok(at) => Ok(at.to_string().into()),
                Err(_) => {
                    Err(wrong(format!("`{text}` is not a moment"), "Write one such as 2026-12-24T18:00:00+01:00."))
                }
            },
            Self::Digest => match Window::parse(text) {
                Ok(window) => Ok(window.words().into()),
                Err(error) => Err(wrong(format!("`{text}` is no time of a digest"), format!("{}.", error.problem))),
            },
            Self::Reference | Self::Credentials => match text.parse::<SecretReference>() {
                Ok(reference) => Ok(reference.to_string().into()),
                Err(_) if REFERENCE_HEADS.iter().any(|head| text.starts_with(head)) => Err(wrong(
                    "this names no place where secrets are kept",
                    "Write `sealed:NAME`, `file:keys/NAME` below the data directory and without `..`, \
                     `env:BACKSTAY_SECRET_NAME` or `credential:secret-NAME`.",
                )),
                Err(_) => Err(secret_wrong("this")),
            },
            Self::Settings | Self::Record(_) | Self::Named(_) => Err(wrong("keys with values are wanted here", "")),
            Self::List(shape) => shape.scalar(text),
        }
    }

    /// Returns a value as it is written in a file; what [`Shape::scalar`] reads.
    pub fn show(&self, value: &Value) -> String {
        match (self, value) {
            (Self::LengthOrNever(_), value) if value == &Value::from(0) => "never".to_owned(),
            (Self::Length(_) | Self::LengthOrNever(_), Value::Number(number)) => {
                length_words(number.as_u64().unwrap_or_default())
            }
            (Self::Size, Value::Number(number)) => size_words(number.as_u64().unwrap_or_default()),
            (Self::Count, value) if value == &Value::from(-1) => "all".to_owned(),
            (Self::List(shape), Value::Array(list)) => {
                let all: Vec<String> = list.iter().map(|value| shape.show(value)).collect();
                format!("[{}]", all.join(", "))
            }
            (Self::Record(fields) | Self::NameOr(fields), Value::Object(values)) => {
                let known =
                    fields.iter().filter_map(|field| Some((field.key, field.shape.show(values.get(field.key)?))));
                let all: Vec<String> = known.map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", all.join(", "))
            }
            (_, Value::String(text)) => text.clone(),
            (_, Value::Object(values)) => {
                let all: Vec<String> =
                    values.iter().map(|(key, value)| format!("{key}: {}", Self::Text.show(value))).collect();
                format!("{{{}}}", all.join(", "))
            }
            (_, value) => value.to_string(),
        }
    }
}

/// Reads a length of time.
fn length(text: &str, least_ms: u64) -> Result<Value, Wrong> {
    let refuse = || wrong(format!("`{text}` is not a length of time"), "Write one such as 6h, 90m or 1d12h.");
    let span: jiff::Span = text.trim().parse().map_err(|_| refuse())?;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| refuse())?;
    let length = u64::try_from(length.as_millis()).map_err(|_| refuse())?;
    if length < least_ms {
        return Err(wrong(format!("`{text}` is shorter than {}", length_words(least_ms)), ""));
    }
    Ok(length.into())
}

/// Writes a length of time so that it is read as the same.
pub fn length_words(ms: u64) -> String {
    const UNITS: [(u64, &str); 5] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    // Hours up to two days, as people say them: 26h.
    let units = if ms < 2 * 86_400_000 || !ms.is_multiple_of(3_600_000) { &UNITS[1..] } else { &UNITS[..] };
    let mut rest = ms;
    let mut out = String::new();
    for (unit, name) in units {
        if rest / unit > 0 {
            out.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

const SIZES: [(&str, u64); 12] = [
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("pb", 1_000_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("pib", 1 << 50),
];

/// Reads a number of bytes as people write it: `500GiB`, `1.5tb`, `1024`; none for anything else, and for what is beyond
/// 64 bits. The one reader of sizes: options of the command line are read by it too.
pub fn size(text: &str) -> Option<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let (_, unit) = SIZES.iter().find(|(name, _)| *name == unit)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    let part = part.get(..part.len().min(9))?;
    let part_bytes = if part.is_empty() {
        0
    } else {
        u128::from(part.parse::<u64>().ok()?) * u128::from(*unit) / 10_u128.pow(part.len() as u32)
    };
    u64::try_from(u128::from(whole) * u128::from(*unit) + part_bytes).ok()
}

/// Writes a number of bytes so that it is read as the same.
fn size_words(bytes: u64) -> String {
    let units = ["PiB", "TiB", "GiB", "MiB", "KiB", "PB", "TB", "GB", "MB", "KB"];
    let fits = |name: &&str| SIZES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, unit)| *unit);
    let found = units
        .iter()
        .filter_map(|name| Some((fits(name)?, *name)))
        .filter(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    // The shortest number; binary units where both are as short.
    let best = found.min_by_key(|(unit, _)| (bytes / unit).to_string().len());
    best.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn check(shape: &Shape, text: &str, expected: &str) {
        let said =
            shape.scalar(text).map_or_else(|wrong| wrong.message, |value| format!("{value} {}", shape.show(&value)));
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn values_have_one_form_and_are_written_as_people_write_them() {
        check(&Shape::Length(0), "90m", "5400000 1h30m");
        check(&Shape::Length(0), "1d2h", "93600000 26h");
        check(&Shape::Length(0), "7d", "604800000 7d");
        check(&Shape::Length(60_000), "5s", "`5s` is shorter than 1m");
        check(&Shape::LengthOrNever(86_400_000), "never", "0 never");
        check(&Shape::LengthOrNever(86_400_000), "30d", "2592000000 30d");
        check(&Shape::LengthOrNever(86_400_000), "0s", "`0s` is shorter than 24h");
        check(&Shape::Length(0), "soon", "`soon` is not a length of time");
        check(&Shape::Size, "1.5TiB", "1649267441664 1536GiB");
        check(&Shape::Size, "2TB", "2000000000000 2TB");
        check(&Shape::Size, "77", "77 77");
        check(&Shape::Size, "many", "`many` is no size");
        check(&Shape::Count, "all", "-1 all");
        check(&Shape::Count, "-3", "`-3` is no count");
        check(&Shape::Word(&["once", "never"]), "onse", "`onse` is none of `once` and `never`");
        check(&Shape::Flag, "yes", "`yes` is neither `true` nor `false`");
        check(&Shape::Digest, "daily 7:00", "\"daily 07:00 UTC\" daily 07:00 UTC");
        check(&Shape::Stretch, "1y6m", "\"1y6m\" 1y6m");
        check(&Shape::Zone, "Europe/Atlantis", "`Europe/Atlantis` is not in the tz database");
        check(&Shape::Reference, "sealed:home", "\"sealed:home\" sealed:home");
        check(&Shape::Reference, "env:BACKSTAY_SECRET_A", "\"env:BACKSTAY_SECRET_A\" env:BACKSTAY_SECRET_A");
        check(&Shape::Reference, "hunter2", "this must say where its secret is found, and never the secret");
    }

    #[test]
    fn a_secret_in_settings_is_refused_wherever_it_stands() {
        for text in
            ["password: hunter2", "deep: {s3: {secret_access_key: abc}}", "url: 'https://me:hunter2@a.example/'"]
        {
            let mut reading = Reading::default();
            reading.value(&Shape::Settings, "settings", &yaml::read(text).0.unwrap());
            assert!(
                matches!(&reading.mistakes[..], [one] if one.is_secret && !one.message.contains("hunter2")),
                "{text}"
            );
        }
        let mut reading = Reading::default();
        let text = "{password: 'sealed:channel-mail', secret_file: x, to: [a@b.example], port: 587}";
        let read = reading.value(&Shape::Settings, "settings", &yaml::read(text).0.unwrap()).unwrap();
        assert_eq!((reading.mistakes, &read["port"]), (vec![], &587.into()));
    }
}
