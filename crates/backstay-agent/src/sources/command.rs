//! What a command writes: one item, a file of the snapshot. A command that does not end well makes no snapshot.
//!
//! There is no shell unless the settings name one. Settings are no place for secrets: a command finds its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::job::Target;
use backstay_core::domain::probe::ProbeStep;
use backstay_core::ports::source::{
    Opened, ParsedSource, SettingsError, SourceError, SourceKind, SourceStream, StreamSink, WayBack,
};
use serde_json::{Map, Value, json};

use super::run::{self, Sink};
use super::settings::{Fields, wrong};
use super::trial::Trial;

/// The settings that there are; the first is needed.
const FIELDS: &[&str] = &["argv", "filename", "env", "time_limit", "restore_argv"];

/// The variable in which a command that takes a stream back finds how it is to be called.
const NAME_VARIABLE: &str = "BACKSTAY_NAME";

/// The source kind `command`.
#[derive(Debug)]
pub struct Command;

/// Settings that were judged.
#[derive(Debug)]
struct Said {
    argv: Vec<String>,
    filename: String,
    env: BTreeMap<String, String>,
    time_limit: Option<Duration>,
    restore_argv: Vec<String>,
}

#[async_trait]
impl SourceKind for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn describe(&self) -> &'static str {
        "What a command writes, as one file; where the agent's owner allows commands"
    }

    fn schema(&self) -> Value {
        let argv = |what: &str| json!({ "type": "array", "items": { "type": "string" }, "description": what });
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["argv", "filename"],
            "properties": {
                "argv": argv("The program and its arguments; no shell reads them unless it is named, as sh, -c, SCRIPT"),
                "filename": { "type": "string", "description": "The file's name in the snapshot, such as wiki.sql" },
                "env": {
                    "type": "object", "additionalProperties": { "type": "string" },
                    "description": "Variables of its environment, beside the agent's; never a secret"
                },
                "time_limit": { "type": "string", "description": "How long it may take, such as 90s, 30m or 6h" },
                "restore_argv": argv("The command that gets the file on its standard input when it goes back"),
            },
        })
    }

    fn runs_commands(&self) -> bool {
        true
    }

    fn parse(&self, settings: &Value) -> Result<ParsedSource, SettingsError> {
        let Said { argv, filename, env, time_limit, restore_argv } = Said::of(settings)?;
        let mut plain = Map::from_iter([("argv".to_owned(), json!(argv)), ("filename".to_owned(), json!(filename))]);
        let said = [
            ("env", !env.is_empty(), json!(env)),
            ("time_limit", time_limit.is_some(), json!(time_limit.map(run::length_words))),
            ("restore_argv", !restore_argv.is_empty(), json!(restore_argv)),
        ];
        plain.extend(said.into_iter().filter(|said| said.1).map(|(name, _, value)| (name.to_owned(), value)));
        Ok(ParsedSource { settings: Value::Object(plain), items: vec![filename] })
    }

    async fn discover(&self, settings: &Value) -> Result<Vec<String>, SourceError> {
        let said = Said::of(settings)?;
        run::found(&said.argv[0])?;
        Ok(vec![said.filename])
    }

    async fn open(&self, settings: &Value, item: &str) -> Result<Opened, SourceError> {
        let said = Said::of(settings)?;
        run::found(&said.argv[0])?;
        let begin = move || run::begun(said.program(&said.argv), said.time_limit);
        Ok(Opened::Stream(SourceStream { path: Path::new("/").join(item), begin: Box::new(begin) }))
    }

    fn sink(&self, settings: &Value, _: &str, way: &WayBack) -> Result<Box<dyn StreamSink>, SourceError> {
        let said = Said::of(settings)?;
        let Some(first) = said.restore_argv.first() else {
            return Err(SourceError::NoWayBack { why: "this source has no restore_argv".to_owned() });
        };
        run::found(first)?;
        let mut program = said.program(&said.restore_argv);
        program.env(NAME_VARIABLE, way.name.as_deref().unwrap_or_default());
        Ok(Box::new(Sink::start(program, said.time_limit)?))
    }

    async fn probe(&self, settings: &Value) -> Vec<ProbeStep> {
        let mut trial = Trial::begin();
        let (argv, restore_argv) = match Said::of(settings) {
            Ok(said) => (said.argv, said.restore_argv),
            Err(error) => {
                trial.attempt("settings".to_owned(), move || Err(error.into())).await;
                return trial.end();
            }
        };
        for program in [argv.into_iter().next(), restore_argv.into_iter().next()].into_iter().flatten() {
            let found = move |program: &str| {
                let path = run::found(program)?;
                Ok(format!("{} is there and may be run; it was not run: a backup does that", path.display()))
            };
            trial.attempt(format!("program {program}"), move || found(&program)).await;
        }
        trial.end()
    }

    fn target(&self, _: &Value, _: &str) -> Result<Target, SettingsError> {
        Ok(Target::Source { name: None })
    }
}

impl Said {
    fn of(settings: &Value) -> Result<Self, SettingsError> {
        let fields = Fields::of(settings, FIELDS)?;
        let argv = fields.texts("argv")?;
        if argv.first().is_none_or(String::is_empty) {
            return Err(wrong("argv", "is a program and its arguments, such as [pg_dump, wiki]"));
        }
        let restore_argv = fields.texts("restore_argv")?;
        if restore_argv.first().is_some_and(String::is_empty) {
            return Err(wrong("restore_argv.0", "is a program"));
        }
        let filename = fields.text_needed("filename")?.to_owned();
        let is_plain = |part: &str| !matches!(part, "" | "." | "..");
        if !filename.trim_start_matches('/').split('/').all(is_plain) {
            return Err(wrong("filename", format!("`{filename}` is no name of a file; write one such as wiki.sql")));
        }
        let filename = filename.trim_start_matches('/').to_owned();
        let env = fields.map("env")?;
        if let Some(name) = env.keys().find(|name| name.is_empty() || name.contains('=')) {
            return Err(wrong("env", format!("`{name}` is no name of a variable")));
        }
        Ok(Self { argv, filename, env, time_limit: fields.length("time_limit")?, restore_argv })
    }

    /// Puts a program together, in the root folder and with the agent's environment below its own.
    fn program(&self, argv: &[String]) -> Program {
        let mut program = Program::new(PathBuf::from(&argv[0]));
        program.args(&argv[1..]).envs(&self.env).current_dir("/");
        program
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: Value, expected: &str) {
        let answer =
            Command.parse(&settings).map_or_else(|error| error.to_string(), |parsed| parsed.settings.to_string());
        assert_eq!(answer, expected);
    }

    #[test]
    fn settings_are_judged_by_themselves() {
        let with = |name: &str, value: Value| {
            let mut settings = json!({ "argv": ["a"], "filename": "x" });
            settings[name] = value;
            settings
        };
        check(with("filename", json!("/db/x.sql")), r#"{"argv":["a"],"filename":"db/x.sql"}"#);
        check(with("time_limit", json!("120m")), r#"{"argv":["a"],"filename":"x","time_limit":"2h"}"#);
        check(with("argv", json!([])), "settings.argv: is a program and its arguments, such as [pg_dump, wiki]");
        check(with("argv", json!(["a", 1])), "settings.argv.1: is a text, not 1");
        check(
            with("filename", json!("a/../b")),
            "settings.filename: `a/../b` is no name of a file; write one such as wiki.sql",
        );
        check(with("filename", json!("/")), "settings.filename: `/` is no name of a file; write one such as wiki.sql");
        check(with("env", json!({ "A=B": "x" })), "settings.env: `A=B` is no name of a variable");
        check(with("env", json!({ "A": 1 })), "settings.env.A: is a text, not 1");
        check(
            with("time_limit", json!("soon")),
            "settings.time_limit: `soon` is no length of time; write 90s, 30m or 6h",
        );
        check(with("restore_argv", json!([""])), "settings.restore_argv.0: is a program");
    }
}
