//! `backstay repository …`.

use std::collections::BTreeMap;

use backstay_api::Client;
use backstay_api::types::list::RetiredQuery;
use backstay_api::types::repository::{
    RepositoryAdopt, RepositoryCreate, RepositoryUpdate, RepositoryView, StorageView,
};

use backstay_core::domain::storage::Purpose;

use super::args::Common;
use super::connect::{Connection, look};
use super::error::{CliError, Exit};
use super::job::exit_of;
use super::named::{self, find};
use super::repository_proof as proof;
use super::retire;
use super::screen::Screen;
use super::source::settings_of;
use super::watch::{Watch, watch_job};
use crate::roles::installation::WithAgent;
use crate::roles::quickstart::TENANT;

/// What can be asked of repositories.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List all repositories
    List {
        /// With those that were retired
        #[arg(long)]
        retired: bool,
    },
    /// Show one repository, and how much of it was proved lately
    Show {
        /// The repository's name or id
        repository: String,
    },
    /// Change within which time every pack of a repository is read back
    Update {
        /// The repository's name or id
        repository: String,
        /// Within which time, such as 14d; never, to leave it to people; default, for 30d
        #[arg(long, value_name = "TIME", required = true)]
        verify_within: String,
    },
    /// Read back the newest snapshot of each item, a sample or all of it, and say whether harm was found
    Verify(super::repository_verify::Verify),
    /// Say how many snapshots a repository holds, how large they are, and what was written for them
    Stats {
        /// The repository's name or id
        repository: String,
    },
    /// Forget what retention does not keep, and remove data that nothing refers to
    Prune(super::repository_prune::Prune),
    /// Take in the snapshots that a repository has besides, such as those of plain restic: one of a plan's own folder
    /// becomes the plan's, no rule lets the others go
    Adopt {
        /// The repository's name or id
        repository: String,
        /// A machine whose snapshots are taken for those of the agent's, such as one that it replaces
        #[arg(long)]
        hostname: Option<String>,
    },
    /// Retire a repository: nothing new is made of it, and what it made stays
    Retire {
        /// The repository's name or id
        repository: String,
        /// Do it; without this nothing is done, and what stays is said
        #[arg(long)]
        yes: bool,
    },
    /// Declare a repository; its first backup makes it, if it is not there yet
    #[command(visible_alias = "add")]
    Create {
        /// Its name
        name: String,
        /// Storage kind, such as local; local when nothing is said
        #[arg(long, conflicts_with = "storage")]
        kind: Option<String>,
        /// Name or id of the storage that it lies in, instead of a kind with settings and keys of its own
        #[arg(long, value_name = "NAME", conflicts_with_all = ["settings", "credentials"])]
        storage: Option<String>,
        /// Where in that storage, such as team/web; the repository's name when left out
        #[arg(long, requires = "storage")]
        path: Option<String>,
        /// A setting of the kind, such as path=/srv/backup; may be given several times
        #[arg(long = "set", value_name = "NAME=VALUE")]
        settings: Vec<String>,
        /// Where the password is found, such as sealed:NAME (`backstay secret put`), file:keys/NAME.key below the data
        /// directory, env:BACKSTAY_SECRET_NAME or credential:secret-NAME of the server; never the password
        #[arg(long, value_name = "REFERENCE")]
        password_reference: String,
        /// Where the storage's key is found, such as sealed:NAME; or read=sealed:NAME, write=…, delete=… for a key of each
        /// purpose, given several times
        #[arg(long = "credential", value_name = "[PURPOSE=]REFERENCE")]
        credentials: Vec<String>,
        /// Within which time every pack of it is read back, such as 14d; never, to leave it to people; 30d when nothing is
        /// said
        #[arg(long, value_name = "TIME")]
        verify_within: Option<String>,
        /// It is there already: take in its snapshots at once
        #[arg(long)]
        existing: bool,
        /// Whose it is
        #[arg(long, default_value = TENANT)]
        tenant: String,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List { retired } => {
            let list = look(common, async |client| {
                Ok(named::all(client, RetiredQuery { retired, ..RetiredQuery::default() }, Client::repository_list)
                    .await?)
            })
            .await?;
            let row = |row: &RepositoryView| {
                let place = row.storage.settings["path"].as_str().unwrap_or_default();
                vec![
                    retire::marked(&row.name, row.retired_at.as_deref()),
                    row.kind.clone(),
                    row.storage.kind.clone(),
                    place.to_owned(),
                    proof::short(row),
                    row.id.clone(),
                ]
            };
            let rows = list.rows.iter().map(row).collect();
            screen.rows(
                &list,
                &["name", "kind", "storage", "place", "proved", "id"],
                rows,
                "there is no repository yet",
            );
        }
        Verb::Show { repository } => {
            let shown = look(common, async |client| {
                let id = named(client, &repository).await?.id;
                Ok(client.repository_show(&id).await?)
            });
            proof::show(screen, &shown.await?);
        }
        Verb::Update { repository, verify_within } => {
            let body = RepositoryUpdate { verify_within_ms: proof::within_ms(&verify_within)? };
            let changed = look(common, async |client| {
                let id = named(client, &repository).await?.id;
                Ok(client.repository_update(&id, &body).await?)
            });
            proof::show(screen, &changed.await?);
        }
        Verb::Verify(verb) => return super::repository_verify::run(common, &verb, screen).await,
        Verb::Stats { repository } => return super::repository_stats::run(common, &repository, screen).await,
        Verb::Prune(verb) => return super::repository_prune::run(common, &verb, screen).await,
        Verb::Adopt { repository, hostname } => {
            let connection = Connection::open(common, WithAgent::Yes).await?;
            let answer = adopt(&connection.client, &repository, hostname, screen).await;
            connection.close().await;
            return answer;
        }
        Verb::Retire { repository, yes } => {
            return retire::run(common, retire::Noun::Repository, &repository, yes, screen).await;
        }
        Verb::Create {
            name,
            kind,
            storage,
            path,
            settings,
            password_reference,
            credentials,
            verify_within,
            existing,
            tenant,
        } => {
            let verify_within_ms = verify_within.as_deref().map(proof::within_ms).transpose()?.flatten();
            let (settings, credentials) = (settings_of(&settings)?, credentials_of(&credentials));
            let made = look(common, async |client| {
                let storage_id = match &storage {
                    Some(storage) => Some(super::storage::id_of(client, storage).await?),
                    None => None,
                };
                let own = || StorageView { kind: kind.unwrap_or_else(|| "local".to_owned()), settings };
                let storage = storage_id.is_none().then(own);
                let body = RepositoryCreate {
                    tenant,
                    name,
                    storage,
                    storage_id,
                    path,
                    password_reference,
                    credentials,
                    verify_within_ms,
                };
                Ok(client.repository_create(&body).await?)
            });
            let made = made.await?;
            if existing {
                let connection = Connection::open(common, WithAgent::Yes).await?;
                let answer = adopt(&connection.client, &made.id, None, screen).await;
                connection.close().await;
                return answer;
            }
            screen.rows(&made, &["name", "id"], vec![vec![made.name.clone(), made.id.clone()]], "");
        }
    }
    Ok(Exit::Done)
}

/// Reads references of the form PURPOSE=REFERENCE; one without a purpose is for all of them.
pub(super) fn credentials_of(given: &[String]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for text in given {
        match text.split_once('=') {
            Some((purpose, reference)) => {
                all.insert(purpose.to_owned(), reference.to_owned());
            }
            None => {
                all.extend(Purpose::ALL.iter().map(|purpose| (purpose.word().to_owned(), text.clone())));
            }
        }
    }
    all
}

/// Returns the repository that has this name or id; a retired one by its id alone.
pub(super) async fn named(client: &Client, repository: &str) -> Result<RepositoryView, CliError> {
    find(client, ("repository", repository), Client::repository_list, Client::repository_show).await
}

/// Asks for a look through a repository and waits for its end.
async fn adopt(client: &Client, repository: &str, hostname: Option<String>, screen: &Screen) -> Result<Exit, CliError> {
    let found = named(client, repository).await?;
    let job_id = client.repository_adopt(&found.id, &RepositoryAdopt { hostname }).await?.job_id;
    let mut watch = Watch::new(screen);
    let detail = watch_job(client, &job_id, &format!("looking through {}", found.name), &mut watch).await?;
    super::job::show(screen, &detail);
    if !screen.json() {
        let log = client.job_log(&job_id).await?;
        let told = log.lines.iter().filter(|line| line.text.contains(" found, "));
        told.for_each(|line| screen.line(&line.text));
    }
    Ok(exit_of(&detail.job))
}
