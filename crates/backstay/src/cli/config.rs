//! `backstay config …`: what the processes are told, and who said it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use backstay_agent::SOURCE_KINDS;
use backstay_declare::file::{Kinds, read, top_keys};
use backstay_declare::mistake::{Mistake, nearest, shown};
use backstay_declare::nouns::Noun;
use backstay_declare::settings::{self, SETTINGS, Setting, dotenv, json_schema, sections, template};
use serde_json::{Value, json};

use super::args::Common;
use super::error::{CliError, Exit};
use super::paper::Paper;
use super::screen::Screen;
use crate::roles::config::{CONFIG_VARIABLE, Config};
use crate::roles::system::storage_judges;

/// What is shown in the place of a secret.
const HIDDEN: &str = "(hidden)";

/// What can be asked of what the processes are told.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Judge a file of settings and declarations, `.env` beside it, and the variables of the environment
    Check {
        /// The file; the one that holds when left out
        file: Option<PathBuf>,
    },
    /// Show each value that holds, with who said it
    Show,
    /// Begin a file: every setting in it, as a remark
    Init {
        /// The file; backstay/backstay.yaml in your own folder of configuration when left out. One that is there is kept
        file: Option<PathBuf>,
    },
    /// Print the JSON Schema of the file, for editors
    Schema,
    /// Say what a key is, what it may be, and what holds
    Explain {
        /// The key, such as server.listen or plans.retention.keep_daily
        key: String,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::Check { file } => check(common, file.as_deref(), screen),
        Verb::Show => show(common.told(), screen),
        Verb::Init { file } => init(common, file, screen),
        Verb::Schema => {
            screen.value(&json_schema());
            Ok(Exit::Done)
        }
        Verb::Explain { key } => explain(common.told(), &key, screen),
    }
}

/// Judges a file and `.env` beside it, and tells all that is wrong with both.
fn check(common: &Common, file: Option<&Path>, screen: &Screen) -> Result<Exit, CliError> {
    let Some(path) = file.map(Path::to_owned).or_else(|| common.told().file.clone()) else {
        screen.say("there is no file of settings; `backstay config init` begins one");
        return Ok(Exit::Done);
    };
    let paper = Paper::read(&path)?;
    let storages = storage_judges();
    let (values, mut mistakes) = settings::read(&paper.text);
    let kinds = Kinds { sources: SOURCE_KINDS, storages: &storages };
    let (declared, more) = read(&paper.text, kinds, &sections());
    mistakes.extend(more.into_iter().filter(|mistake| !is_about_top(mistake)));
    let beside = path.with_file_name(".env");
    let beside = if path != Path::new("-") && beside.exists() { Some(Paper::read(&beside)?) } else { None };
    let wrong_beside = beside.as_ref().map(|paper| dotenv(&paper.text).1).unwrap_or_default();
    if let Some(beside) = beside.filter(|_| !wrong_beside.is_empty()) {
        let error = beside.refuse(&wrong_beside, screen);
        if mistakes.is_empty() {
            return Err(error);
        }
    }
    if !mistakes.is_empty() {
        return Err(paper.refuse(&mistakes, screen));
    }
    let (settings, declarations) =
        (values.len(), declared.rows.iter().filter(|row| row.key.noun != Noun::Tenant).count());
    if screen.json() {
        screen
            .value(&json!({ "file": paper.name, "settings": settings, "declarations": declarations, "mistakes": [] }));
    } else {
        screen.line(&format!(
            "{}: nothing is wrong; {settings} settings, {declarations} declarations",
            shown(&paper.name)
        ));
    }
    for (name, near) in unknown_variables() {
        screen.say(&format!("warning: nobody reads the variable {name}; did you mean {near}?"));
    }
    Ok(Exit::Done)
}

/// Both readers judge the top of a file; one of them tells it.
fn is_about_top(mistake: &Mistake) -> bool {
    let of_both = [
        "a file has no section",
        "this is not YAML",
        "stands here a second time",
        "a second document",
        "a file has sections",
    ];
    of_both.iter().any(|words| mistake.message.contains(words))
}

/// Returns variables that look like one of ours and are none.
fn unknown_variables() -> Vec<(String, &'static str)> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let ours = names.filter(|name| name.starts_with("BACKSTAY_") && name != CONFIG_VARIABLE);
    let unknown = ours.filter(|name| !SETTINGS.iter().any(|row| row.variable == name));
    let near = |name: &String| {
        nearest(
            name.trim_start_matches("BACKSTAY_"),
            SETTINGS.iter().map(|row| row.variable.trim_start_matches("BACKSTAY_")),
        )
    };
    let variable = |near: &str| {
        SETTINGS.iter().map(|row| row.variable).find(|variable| variable.trim_start_matches("BACKSTAY_") == near)
    };
    unknown.filter_map(|name| Some((name.clone(), variable(near(&name)?)?))).collect()
}

fn value_of(config: &Config, row: &Setting) -> (Option<String>, String) {
    match config.value(row.key) {
        Some(value) => {
            let text = if row.is_secret() { HIDDEN.to_owned() } else { value.text };
            (Some(text), value.origin.words())
        }
        None => (None, "default".to_owned()),
    }
}

/// Returns what the processes are told as a document, without secrets.
pub(super) fn document(config: &Config) -> serde_json::Value {
    let one = |row: &Setting| {
        let (value, said_by) = value_of(config, row);
        json!({ "key": row.key, "value": value, "said_by": said_by })
    };
    let file = config.file.as_ref().map(|path| path.display().to_string());
    json!({ "file": file, "settings": SETTINGS.iter().map(one).collect::<Vec<_>>() })
}

fn show(config: &Config, screen: &Screen) -> Result<Exit, CliError> {
    if let Some((paper, mistakes)) = config.mistakes.first() {
        return Err(paper.refuse(mistakes, screen));
    }
    let mut rows = Vec::new();
    for row in SETTINGS {
        let (value, said_by) = value_of(config, row);
        rows.push(vec![row.key.to_owned(), value.unwrap_or_else(|| "(nothing)".to_owned()), said_by]);
    }
    screen.rows(&document(config), &["key", "value", "said by"], rows, "");
    let file = config.file.as_ref().map(|path| path.display().to_string());
    screen.say(&file.map_or_else(
        || "no file of settings was found; `backstay config init` begins one".to_owned(),
        |file| format!("the file is {}", shown(&file)),
    ));
    Ok(Exit::Done)
}

fn init(common: &Common, file: Option<PathBuf>, screen: &Screen) -> Result<Exit, CliError> {
    let own = || CliError::new(Exit::Input, "there is no folder of configuration here").hint("Name a file.");
    let path = file.or_else(|| common.config.clone()).or_else(Config::own).ok_or_else(own)?;
    let place = path.display().to_string();
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = made.and_then(|()| std::fs::File::create_new(&path)).and_then(|mut file| {
        file.write_all(template().as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
        let hint = if exists { "It is kept as it is; `backstay config check` judges it." } else { "" };
        let exit = if exists { Exit::Input } else { Exit::Failed };
        CliError::from_error(exit, &error).under(format!("{place} cannot be written")).hint(hint)
    })?;
    if screen.json() {
        screen.value(&json!({ "file": place }));
    }
    screen.say(&format!("{} is there: every setting stands in it as a remark", shown(&place)));
    Ok(Exit::Done)
}

/// Says what a key is: a setting with what holds, or a key of a declaration.
fn explain(config: &Config, key: &str, screen: &Screen) -> Result<Exit, CliError> {
    let document = match settings::setting(key) {
        Some(row) => {
            let (value, said_by) = value_of(config, row);
            let option = (!row.option.is_empty()).then_some(row.option);
            json!({
                "key": row.key, "means": row.doc, "type": row.words(), "default": row.default, "variable": row.variable,
                "option": option, "in_file": !row.is_secret(), "value": value, "said_by": said_by,
            })
        }
        None => match settings::declared(key) {
            Some(field) => {
                let schema = backstay_declare::schema::value(&field.shape);
                json!({ "key": key, "means": field.doc, "needed": field.needed, "schema": schema })
            }
            None => return Err(unknown(key)),
        },
    };
    if screen.json() {
        screen.value(&document);
    } else {
        screen.line(words(&document).trim_end());
    }
    Ok(Exit::Done)
}

fn words(document: &Value) -> String {
    let mut out = String::new();
    let facts = ["key", "means", "type", "needed", "default", "variable", "option", "value", "said_by"];
    for fact in facts {
        let text = match &document[fact] {
            Value::Null => continue,
            Value::String(text) if text.is_empty() => "(nothing)".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let _ = writeln!(out, "{:<9} {}", fact.replace('_', " "), shown(&text));
    }
    if document["in_file"] == false {
        let _ = writeln!(out, "{:<9} not in backstay.yaml: it is a secret, or may hold one", "said");
    }
    if let Some(known) = document["schema"]["properties"].as_object() {
        let keys: Vec<&str> = known.keys().map(String::as_str).collect();
        let _ = writeln!(out, "{:<9} {}", "keys", keys.join(", "));
    }
    out
}

fn unknown(key: &str) -> CliError {
    let declared = settings::declared_keys().into_iter().map(|(path, _)| path);
    let all: Vec<String> = SETTINGS.iter().map(|row| row.key.to_owned()).chain(declared).collect();
    let near = nearest(key, all.iter().map(String::as_str));
    let hint = match near {
        Some(near) => format!("Did you mean `{near}`?"),
        None => format!(
            "`backstay config show` lists the settings; sections of declarations are {}.",
            top_keys().join(", ")
        ),
    };
    CliError::new(Exit::NotFound, format!("there is no key {key}")).hint(&hint)
}
