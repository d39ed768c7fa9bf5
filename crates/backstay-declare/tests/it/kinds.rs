//! Kinds for tests: they judge little, and what they judge is plain to see.

use std::collections::BTreeMap;

use async_trait::async_trait;
use backstay_core::domain::job::Target;
use backstay_core::domain::probe::Probe;
use backstay_core::domain::storage::{AccessKey, Purpose};
use backstay_core::ports::source::{Opened, ParsedSource, SettingsError, SourceError, SourceKind};
use backstay_core::ports::storage::StorageJudge;
use backstay_declare::change::{Changes, sources_judge};
use backstay_declare::file::{Declared, Kinds, read};
use backstay_declare::mistake::Mistake;
use jiff::Timestamp;
use serde_json::{Value, json};

struct Kind(&'static str);

fn judged(settings: &Value) -> Result<Value, SettingsError> {
    match settings["path"].as_str() {
        Some(path) if !path.starts_with('/') => {
            Err(SettingsError { field: "path".to_owned(), problem: format!("`{path}` is not an absolute path") })
        }
        _ => Ok(settings.clone()),
    }
}

#[async_trait]
impl SourceKind for Kind {
    fn name(&self) -> &'static str {
        self.0
    }

    fn describe(&self) -> &'static str {
        ""
    }

    fn schema(&self) -> Value {
        json!({})
    }

    fn parse(&self, settings: &Value) -> Result<ParsedSource, SettingsError> {
        let items = settings["path"].as_str().map(str::to_owned).into_iter().collect();
        Ok(ParsedSource { settings: judged(settings)?, items })
    }

    async fn discover(&self, _: &Value) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    async fn open(&self, _: &Value, item: &str) -> Result<Opened, SourceError> {
        Err(SourceError::Missing { place: item.to_owned() })
    }

    fn target(&self, _: &Value, item: &str) -> Result<Target, SettingsError> {
        Ok(Target::Directory(item.into()))
    }
}

#[async_trait]
impl StorageJudge for Kind {
    fn name(&self) -> &'static str {
        self.0
    }

    fn describe(&self) -> &'static str {
        ""
    }

    fn schema(&self) -> Value {
        json!({})
    }

    fn below(&self, settings: &Value, _: &str) -> Value {
        settings.clone()
    }

    fn judge(&self, settings: &Value) -> Result<Value, SettingsError> {
        judged(settings)
    }

    async fn probe(&self, _: &Value, _: BTreeMap<Purpose, AccessKey>, _: &str) -> Probe {
        Probe { host: String::new(), steps: Vec::new(), left: None }
    }
}

/// Reads a file with the kinds `filesystem` and `local`.
pub(crate) fn file(text: &str) -> (Declared, Vec<Mistake>) {
    let sources: [&dyn SourceKind; 1] = [&Kind("filesystem")];
    let storages: [Box<dyn StorageJudge>; 1] = [Box::new(Kind("local"))];
    read(text, Kinds { sources: &sources, storages: &storages }, &["server"])
}

/// Reads a file that has no mistake.
pub(crate) fn good(text: &str) -> Declared {
    let (declared, mistakes) = file(text);
    assert_eq!(mistakes, [], "{text}");
    declared
}

/// Has the kind `filesystem` judge changes of sources.
pub(crate) fn sources_judged(all: &mut Changes, declared: &Declared) {
    sources_judge(all, declared, &[&Kind("filesystem")]);
}

/// The moment at which tests happen.
pub(crate) fn now() -> Timestamp {
    "2026-11-22T04:00:00Z".parse().unwrap()
}
