//! `backstay source …`.

use backstay_api::types::list::RetiredQuery;
use backstay_api::types::source::{SourceCreate, SourceUpdate, SourceView};
use backstay_api::{Client, Operation};
use serde_json::{Map, Value};

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::named::{self, find, items_of};
use super::probe;
use super::retire;
use super::screen::Screen;
use super::show::show;
use crate::roles::quickstart::TENANT;

/// What can be asked of sources.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List all sources
    List {
        /// With those that were retired
        #[arg(long)]
        retired: bool,
    },
    /// Show one source
    Show {
        /// The source's id
        id: String,
    },
    /// List the items of a source
    Items {
        /// The source's id
        id: String,
    },
    /// Try whether a source could be backed up now, without reading what it holds
    Test {
        /// The source's name or id
        source: String,
    },
    /// Retire a source: nothing new is made of it, and what it made stays
    Retire {
        /// The source's name or id
        source: String,
        /// Do it; without this nothing is done, and what stays is said
        #[arg(long)]
        yes: bool,
    },
    /// Give a source other settings, from the next job on: what is not named stays as it is
    Update {
        /// The source's name or id
        source: String,
        /// A setting, such as exclude='["*.tmp"]'; may be given several times
        #[arg(long = "set", value_name = "NAME=VALUE", required_unless_present = "unset")]
        settings: Vec<String>,
        /// A setting that is said no more; may be given several times
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
    },
    /// Declare a source
    Create {
        /// Its name
        name: String,
        /// Source kind, such as filesystem
        #[arg(long, default_value = "filesystem")]
        kind: String,
        /// A setting of the kind, such as path=/home; may be given several times
        #[arg(long = "set", value_name = "NAME=VALUE")]
        settings: Vec<String>,
        /// Whose it is
        #[arg(long, default_value = TENANT)]
        tenant: String,
    },
}

/// Reads settings of the form NAME=VALUE. A value that is JSON is taken as such, any other as text.
pub(super) fn settings_of(given: &[String]) -> Result<Value, CliError> {
    let mut settings = Map::new();
    for setting in given {
        let wrong = || {
            CliError::new(Exit::Input, format!("--set {setting}: expected NAME=VALUE"))
                .hint("For example --set path=/home.")
        };
        let (name, value) = setting.split_once('=').ok_or_else(wrong)?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        settings.insert(name.to_owned(), value);
    }
    Ok(Value::Object(settings))
}

/// Returns settings with others over them, and without some.
fn overlaid(settings: &Value, over: &Value, without: &[String]) -> Value {
    let mut all = settings.as_object().cloned().unwrap_or_default();
    all.retain(|name, _| !without.contains(name));
    all.extend(over.as_object().cloned().unwrap_or_default());
    Value::Object(all)
}

/// Returns the id of the source that has this name or id.
async fn id_of(client: &Client, source: &str) -> Result<String, CliError> {
    Ok(find(client, ("source", source), Client::source_list, Client::source_show).await?.id)
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List { retired } => {
            let list = look(common, async |client| {
                Ok(named::all(client, RetiredQuery { retired, ..RetiredQuery::default() }, Client::source_list).await?)
            })
            .await?;
            let row = |row: &SourceView| {
                vec![
                    retire::marked(&row.name, row.retired_at.as_deref()),
                    row.kind.clone(),
                    row.settings.to_string(),
                    row.id.clone(),
                ]
            };
            let rows = list.rows.iter().map(row).collect();
            screen.rows(&list, &["name", "kind", "settings", "id"], rows, "there is no source yet");
        }
        Verb::Items { id } => {
            let list = look(common, async |client| Ok(items_of(client, &id).await?)).await?;
            let rows = list.rows.iter().map(|row| vec![row.name.clone(), row.id.clone()]).collect();
            screen.rows(&list, &["name", "id"], rows, "the source has no item");
        }
        Verb::Show { id } => show(screen, &look(common, async |client| Ok(client.source_show(&id).await?)).await?),
        Verb::Test { source } => {
            let told = look(common, async |client| Ok(client.source_test(&id_of(client, &source).await?).await?));
            return Ok(probe::show(screen, &told.await?));
        }
        Verb::Retire { source, yes } => {
            return retire::run(common, retire::Noun::Source, &source, yes, screen).await;
        }
        Verb::Update { source, settings, unset } => {
            let said = settings_of(&settings)?;
            let changed = look(common, async |client| {
                let id = id_of(client, &source).await?;
                let seen = client.seen::<SourceView>(Operation::SourceShow, &id).await?;
                let body = SourceUpdate { settings: overlaid(&seen.view.settings, &said, &unset) };
                Ok(client.change_as_seen::<_, SourceView>(Operation::SourceUpdate, &id, &body, &seen.tag).await?)
            });
            show(screen, &changed.await?);
        }
        Verb::Create { name, kind, settings, tenant } => {
            let body = SourceCreate { tenant, name, kind, settings: settings_of(&settings)? };
            let made = look(common, async |client| Ok(client.source_create(&body).await?)).await?;
            screen.rows(&made, &["name", "id"], vec![vec![made.name.clone(), made.id.clone()]], "");
        }
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let read = |given: &[&str]| settings_of(&given.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(read(&["path=/a=b", "deep=3"]).unwrap().to_string(), r#"{"deep":3,"path":"/a=b"}"#);
        let (was, over) = (read(&["path=/a", "exclude=x"]).unwrap(), read(&["deep=1"]).unwrap());
        assert_eq!(overlaid(&was, &over, &["exclude".to_owned()]).to_string(), r#"{"deep":1,"path":"/a"}"#);
        assert_eq!(read(&["path"]).unwrap_err().heading(), "--set path: expected NAME=VALUE");
    }
}
