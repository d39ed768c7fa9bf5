//! What was made elsewhere: the machine and the paths of snapshots that a repository had before it was taken in. Nobody
//! backs it up here; its snapshots can be looked into, verified and restored.

use async_trait::async_trait;
use backstay_core::domain::adoption::FOREIGN_KIND;
use backstay_core::domain::job::Target;
use backstay_core::domain::probe::{ProbeStep, StepOutcome};
use backstay_core::ports::source::{Opened, ParsedSource, SettingsError, SourceError, SourceKind};
use serde_json::{Map, Value, json};

use super::settings::{Fields, wrong};

/// The settings that there are.
const FIELDS: &[&str] = &["paths", "hostname", "plan"];

/// The source kind `foreign`.
#[derive(Debug)]
pub struct Foreign;

#[async_trait]
impl SourceKind for Foreign {
    fn name(&self) -> &'static str {
        FOREIGN_KIND
    }

    fn describe(&self) -> &'static str {
        "What was backed up elsewhere: `repository adopt` makes these sources, and no plan can back them up"
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["paths"],
            "properties": {
                "paths": {
                    "type": "array", "items": { "type": "string" }, "minItems": 1,
                    "description": "The paths that its snapshots are of"
                },
                "hostname": { "type": "string", "description": "The machine that they were read on" },
                "plan": { "type": "string", "description": "The plan that made them, if one did" },
            },
        })
    }

    fn parse(&self, settings: &Value) -> Result<ParsedSource, SettingsError> {
        let fields = Fields::of(settings, FIELDS)?;
        let (paths, hostname) = (fields.texts("paths")?, fields.text("hostname")?.unwrap_or_default());
        if paths.is_empty() {
            return Err(wrong("paths", "is needed"));
        }
        let mut plain = Map::from_iter([("hostname".to_owned(), json!(hostname)), ("paths".to_owned(), json!(paths))]);
        plain.extend(fields.text("plan")?.map(|plan| ("plan".to_owned(), json!(plan))));
        Ok(ParsedSource { settings: Value::Object(plain), items: vec![paths.join(", ")] })
    }

    async fn discover(&self, settings: &Value) -> Result<Vec<String>, SourceError> {
        Ok(self.parse(settings)?.items)
    }

    async fn open(&self, _: &Value, _: &str) -> Result<Opened, SourceError> {
        let problem = "its snapshots were made elsewhere, and nothing here reads it; declare a source of its own kind";
        Err(wrong("kind", problem).into())
    }

    async fn probe(&self, _: &Value) -> Vec<ProbeStep> {
        let said = "its snapshots were made elsewhere, and nothing here reads it".to_owned();
        let next = "to back it up from now on, declare a source of its own kind".to_owned();
        vec![ProbeStep::at_once("source", StepOutcome::Noted { said, next })]
    }

    fn target(&self, _: &Value, item: &str) -> Result<Target, SettingsError> {
        Err(wrong("target", format!("{item} was made elsewhere; name a folder for what is restored")))
    }
}
