//! Reading the settings of a source: each field once, with an error that names it.
//!
//! Who comes in: the kinds, in `parse` and again when a job opens what was judged.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use backstay_core::ports::source::SettingsError;
use backstay_engine::size;
use serde_json::{Map, Value};

use super::run::length;

/// The settings of a kind, of which every key is one that it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(&'a Map<String, Value>);

/// Returns what is wrong with a field.
pub(super) fn wrong(field: impl Into<String>, problem: impl Into<String>) -> SettingsError {
    SettingsError { field: field.into(), problem: problem.into() }
}

impl<'a> Fields<'a> {
    /// Takes an object that has only keys of `known`, of which the first is needed.
    pub(super) fn of(settings: &'a Value, known: &[&str]) -> Result<Self, SettingsError> {
        let first = known.first().copied().unwrap_or_default();
        let fields = settings.as_object();
        let fields = fields.ok_or_else(|| wrong(first, format!("settings must be an object with `{first}`")))?;
        match fields.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => {
                let known = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                Err(wrong(unknown, format!("is not a setting of this kind; it has {known}")))
            }
            None => Ok(Self(fields)),
        }
    }

    fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Returns a text; none when it is not said.
    pub(super) fn text(self, name: &str) -> Result<Option<&'a str>, SettingsError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        text_of(name, value).map(Some)
    }

    /// Returns a text that must be said.
    pub(super) fn text_needed(self, name: &str) -> Result<&'a str, SettingsError> {
        self.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| wrong(name, "is needed"))
    }

    /// Returns a list of texts, of which one by itself is a list of one; empty when it is not said.
    pub(super) fn texts(self, name: &str) -> Result<Vec<String>, SettingsError> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => {
                let one = |(at, value)| text_of(&format!("{name}.{at}"), value).map(str::to_owned);
                list.iter().enumerate().map(one).collect()
            }
            Some(value) => Ok(vec![text_of(name, value)?.to_owned()]),
        }
    }

    /// Says whether a switch is on; it is off when nothing is said.
    pub(super) fn is_on(self, name: &str) -> Result<bool, SettingsError> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(is_on)) => Ok(*is_on),
            Some(other) => Err(wrong(name, format!("is true or false, not {other}"))),
        }
    }

    /// Returns a count of bytes, said as a number or as restic says sizes.
    pub(super) fn size(self, name: &str) -> Result<Option<u64>, SettingsError> {
        let told = |value: &Value| wrong(name, format!("{value} is no size; write 500k, 20M or 1G"));
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => size::bytes(text).map(Some).map_err(|_| told(&Value::String(text.clone()))),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| told(value)),
        }
    }

    /// Returns names with texts; empty when it is not said.
    pub(super) fn map(self, name: &str) -> Result<BTreeMap<String, String>, SettingsError> {
        match self.get(name) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(map)) => {
                let one = |(key, value): (&String, _)| {
                    text_of(&format!("{name}.{key}"), value).map(|text| (key.clone(), text.to_owned()))
                };
                map.iter().map(one).collect()
            }
            Some(value) => Err(wrong(name, format!("is names with texts, not {value}"))),
        }
    }

    /// Returns the number of a port.
    pub(super) fn port(self, name: &str) -> Result<Option<u16>, SettingsError> {
        let told = |value: &Value| wrong(name, format!("{value} is no port; write a number from 1 to 65535"));
        let read = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        self.get(name).map(|value| read(value).ok_or_else(|| told(value))).transpose()
    }

    /// Returns a length of time.
    pub(super) fn length(self, name: &str) -> Result<Option<Duration>, SettingsError> {
        let told = |text: &str| wrong(name, format!("`{text}` is no length of time; write 90s, 30m or 6h"));
        self.text(name)?.map(|text| length(text).ok_or_else(|| told(text))).transpose()
    }

    /// Returns an absolute path without a part `..`, made plain.
    pub(super) fn path_needed(self, name: &str) -> Result<String, SettingsError> {
        plain_path(name, self.text(name)?.unwrap_or_default())
    }
}

fn text_of<'a>(name: &str, value: &'a Value) -> Result<&'a str, SettingsError> {
    let text = value.as_str().ok_or_else(|| wrong(name, format!("is a text, not {value}")))?;
    if text.contains('\0') {
        return Err(wrong(name, "has a byte 0, which no name and no argument has"));
    }
    Ok(text)
}

/// Returns an absolute path without a part `..`, made plain.
pub(super) fn plain_path(name: &str, path: &str) -> Result<String, SettingsError> {
    let given = Path::new(path);
    if !given.is_absolute() {
        return Err(wrong(name, format!("`{path}` is not an absolute path")));
    }
    if given.components().any(|part| part == Component::ParentDir) || path.contains('\0') {
        return Err(wrong(name, format!("`{path}` has a part `..`; write the path that is meant")));
    }
    let plain: PathBuf = given.components().collect();
    Ok(plain.to_str().unwrap_or(path).to_owned())
}
