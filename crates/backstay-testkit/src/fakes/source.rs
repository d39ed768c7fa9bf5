//! A source kind over folders of a test: its settings name the items, and each is a folder below one root.

use std::path::PathBuf;

use async_trait::async_trait;
use backstay_core::domain::job::Target;
use backstay_core::domain::probe::{ProbeStep, StepOutcome};
use backstay_core::ports::source::{LeftOut, Opened, ParsedSource, SettingsError, SourceError, SourceKind};
use serde_json::{Value, json};

/// The fake.
#[derive(Debug)]
pub struct FakeSource {
    /// The folder that holds an item's folder each.
    pub root: PathBuf,
}

impl FakeSource {
    fn items(settings: &Value) -> Result<Vec<String>, SettingsError> {
        let wrong = |field: &str, problem: &str| SettingsError { field: field.to_owned(), problem: problem.to_owned() };
        let fields = settings.as_object().ok_or_else(|| wrong("items", "settings must be an object"))?;
        if let Some(unknown) = fields.keys().find(|name| *name != "items") {
            return Err(wrong(unknown, "is not a setting"));
        }
        let items = fields.get("items").and_then(Value::as_array).ok_or_else(|| wrong("items", "must be a list"))?;
        Ok(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }
}

#[async_trait]
impl SourceKind for FakeSource {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn describe(&self) -> &'static str {
        "Folders of a test"
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "properties": { "items": { "type": "array" } } })
    }

    fn parse(&self, settings: &Value) -> Result<ParsedSource, SettingsError> {
        Ok(ParsedSource { settings: settings.clone(), items: Self::items(settings)? })
    }

    async fn discover(&self, settings: &Value) -> Result<Vec<String>, SourceError> {
        let items = Self::items(settings)?;
        for item in &items {
            self.open(settings, item).await?;
        }
        Ok(items)
    }

    async fn open(&self, _: &Value, item: &str) -> Result<Opened, SourceError> {
        let path = self.root.join(item);
        match path.is_dir() {
            true => Ok(Opened::Path { path, left_out: LeftOut::default() }),
            false => Err(SourceError::Missing { place: item.to_owned() }),
        }
    }

    async fn probe(&self, settings: &Value) -> Vec<ProbeStep> {
        let outcome = match self.discover(settings).await {
            Ok(items) => StepOutcome::Well { said: items.join(", ") },
            Err(error) => StepOutcome::Failed { said: error.to_string(), next: "make it".to_owned() },
        };
        vec![ProbeStep::at_once("items", outcome)]
    }

    fn target(&self, _: &Value, item: &str) -> Result<Target, SettingsError> {
        Ok(Target::Directory(self.root.join(item)))
    }
}
