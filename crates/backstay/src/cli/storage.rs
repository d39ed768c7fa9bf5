//! `backstay storage …`.

use backstay_api::Client;
use backstay_api::types::list::RetiredQuery;
use backstay_api::types::storage::{StorageCreate, StorageDetail, StorageUpdate};

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::named::{self, find};
use super::probe;
use super::repository::credentials_of;
use super::retire;
use super::screen::Screen;
use super::show::show;
use super::source::settings_of;
use crate::roles::quickstart::TENANT;

/// What can be asked of storages.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List all storages
    List {
        /// With those that were retired
        #[arg(long)]
        retired: bool,
    },
    /// Show one storage
    Show {
        /// The storage's name or id
        storage: String,
    },
    /// Declare a storage, for many repositories
    Create {
        /// Its name
        name: String,
        /// Storage kind, such as local or s3
        #[arg(long, default_value = "local")]
        kind: String,
        /// A setting of the kind, such as path=/srv/backup; may be given several times
        #[arg(long = "set", value_name = "NAME=VALUE")]
        settings: Vec<String>,
        /// Where its key is found, such as sealed:NAME; or read=sealed:NAME, write=…, delete=… for a key of each purpose,
        /// given several times
        #[arg(long = "credential", value_name = "[PURPOSE=]REFERENCE")]
        credentials: Vec<String>,
        /// Whose it is
        #[arg(long, default_value = TENANT)]
        tenant: String,
    },
    /// Have other keys open a storage, from the next lease of each of its repositories on
    Update {
        /// The storage's name or id
        storage: String,
        /// Where its key is found, as for `storage create`; all that it had are replaced
        #[arg(long = "credential", value_name = "[PURPOSE=]REFERENCE", required = true)]
        credentials: Vec<String>,
    },
    /// Try a storage from the server's machine: list, write a tiny object, read it, remove it, each with the key of its purpose
    Test {
        /// The storage's name or id
        storage: String,
    },
    /// Retire a storage in which no repository lives
    Retire {
        /// The storage's name or id
        storage: String,
        /// Do it; without this nothing is done, and what stays is said
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List { retired } => {
            let list = look(common, async |client| {
                Ok(named::all(client, RetiredQuery { retired, ..RetiredQuery::default() }, Client::storage_list)
                    .await?)
            })
            .await?;
            let row = |row: &StorageDetail| {
                let name = retire::marked(&row.name, row.retired_at.as_deref());
                let purposes: Vec<&str> = row.credentials.keys().map(String::as_str).collect();
                vec![name, row.kind.clone(), place(row), purposes.join(", "), row.id.clone()]
            };
            let rows = list.rows.iter().map(row).collect();
            screen.rows(&list, &["name", "kind", "place", "keys", "id"], rows, "there is no storage yet");
        }
        Verb::Show { storage } => {
            let shown = look(common, async |client| Ok(client.storage_show(&id_of(client, &storage).await?).await?));
            show(screen, &shown.await?);
        }
        Verb::Create { name, kind, settings, credentials, tenant } => {
            let (settings, credentials) = (settings_of(&settings)?, credentials_of(&credentials));
            let body = StorageCreate { tenant, name, kind, settings, credentials };
            let made = look(common, async |client| Ok(client.storage_create(&body).await?)).await?;
            screen.rows(&made, &["name", "id"], vec![vec![made.name.clone(), made.id.clone()]], "");
        }
        Verb::Update { storage, credentials } => {
            let body = StorageUpdate { credentials: credentials_of(&credentials) };
            let changed =
                look(common, async |client| Ok(client.storage_update(&id_of(client, &storage).await?, &body).await?));
            show(screen, &changed.await?);
        }
        Verb::Test { storage } => {
            let told = look(common, async |client| Ok(client.storage_test(&id_of(client, &storage).await?).await?));
            return Ok(probe::show(screen, &told.await?));
        }
        Verb::Retire { storage, yes } => {
            return retire::run(common, retire::Noun::Storage, &storage, yes, screen).await;
        }
    }
    Ok(Exit::Done)
}

/// Returns where a storage is, for a list.
fn place(row: &StorageDetail) -> String {
    let text = |name: &str| row.settings[name].as_str().unwrap_or_default();
    match text("path") {
        "" => [text("endpoint"), text("bucket"), text("prefix")].join("/").trim_matches('/').to_owned(),
        path => path.to_owned(),
    }
}

/// Returns the id of the storage that has this name or id.
pub(super) async fn id_of(client: &Client, storage: &str) -> Result<String, CliError> {
    Ok(find(client, ("storage", storage), Client::storage_list, Client::storage_show).await?.id)
}
