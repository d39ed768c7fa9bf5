//! `backstay kinds`.

use backstay_api::types::kind::KindView;
use serde_json::{Value, json};

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::screen::Screen;

/// Which kinds are looked at.
#[derive(Debug, clap::Args)]
pub(crate) struct Verb {
    /// Show the settings of this kind
    kind: Option<String>,
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let (sources, storages, channels) = look(common, async |client| {
        let (sources, storages) = (client.source_kind_list().await?.rows, client.storage_kind_list().await?.rows);
        Ok((sources, storages, client.channel_kind_list().await?.rows))
    })
    .await?;
    if let Some(name) = &verb.kind {
        let kind = sources.iter().chain(&storages).chain(&channels).find(|kind| kind.name == *name);
        settings(kind.ok_or_else(|| unknown(name))?, screen);
        return Ok(Exit::Done);
    }
    let row = |of: &str, name: &str, words: &str| vec![of.to_owned(), name.to_owned(), words.to_owned()];
    let mut rows: Vec<_> = sources.iter().map(|kind| row("source", &kind.name, &kind.description)).collect();
    rows.extend(storages.iter().map(|kind| row("storage", &kind.name, &kind.description)));
    rows.extend(channels.iter().map(|kind| row("channel", &kind.name, &kind.description)));
    screen.rows(
        &json!({ "source": sources, "storage": storages, "channel": channels }),
        &["of", "kind", "what it is"],
        rows,
        "",
    );
    screen.say("`backstay kinds KIND` shows its settings");
    Ok(Exit::Done)
}

fn unknown(name: &str) -> CliError {
    CliError::new(Exit::NotFound, format!("there is no kind {name}")).hint("`backstay kinds` lists what there is.")
}

/// Shows the settings of a kind, those that are needed first.
fn settings(kind: &KindView, screen: &Screen) {
    let is_needed = |name: &String| {
        kind.schema["required"].as_array().is_some_and(|list| list.iter().any(|one| one.as_str() == Some(name)))
    };
    let row = |(name, schema): (&String, &Value)| {
        let words = schema["description"].as_str().unwrap_or_default();
        let needed = if is_needed(name) { "yes" } else { "" };
        vec![name.clone(), needed.to_owned(), type_words(&schema["type"]), words.to_owned()]
    };
    let mut rows: Vec<_> = kind.schema["properties"].as_object().into_iter().flatten().map(row).collect();
    rows.sort_by_key(|row| row[1].is_empty());
    screen.rows(kind, &["setting", "needed", "type", "what it is"], rows, "it has no settings");
}

/// Says the type of a setting in a word or two.
fn type_words(said: &Value) -> String {
    let word = |word: &Value| match word.as_str() {
        Some("array") => "list",
        Some("boolean") => "true or false",
        Some("integer") => "number",
        Some("object") => "names and texts",
        _ => "text",
    };
    match said {
        Value::Array(several) => several.iter().map(word).collect::<Vec<_>>().join(" or "),
        one => word(one).to_owned(),
    }
}
