//! The rows of an installation again, from a repository, after its database is gone.
//!
//! ```text
//!  declare the repository ─> look through it ─> a plan and a source for each plan that its snapshots name ─> look again
//! ```
//!
//! All of it goes through the API. Plans come back without schedule and retention: nothing runs, and nothing goes, before
//! a person has said so. Running it again is safe: what is there already stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use backstay_agent::Commands;
use backstay_api::Client;
use backstay_api::types::job::JobDetail;
use backstay_api::types::list::RetiredQuery;
use backstay_api::types::plan::PlanView;
use backstay_api::types::repository::{RepositoryAdopt, RepositoryCreate, RepositoryView, StorageView};
use backstay_api::types::snapshot::SnapshotQuery;
use backstay_api::types::source::{SourceCreate, SourceView};
use backstay_core::domain::adoption::FOREIGN_KIND;
use serde::Serialize;
use serde_json::json;

use super::data_dir::{DataDir, DataDirError};
use super::home::Home;
use super::installation::{Installation, Ways, WithAgent};
use super::quickstart::{TENANT, must_have_succeeded, plan_of};
use crate::cli::error::{CliError, Exit};
use crate::cli::named::{self, items_of};
use crate::cli::watch::{Watch, watch_job};

/// Where the repository is, and what opens it.
#[derive(Debug)]
pub(crate) struct Wish {
    /// What the repository is called from now on.
    pub(crate) name: String,
    /// Its storage.
    pub(crate) storage: StorageView,
    /// References to the storage's keys, by purpose.
    pub(crate) credentials: BTreeMap<String, String>,
    /// Its password.
    pub(crate) password: Password,
}

/// Where the password is.
#[derive(Debug)]
pub(crate) enum Password {
    /// In a file, which is copied to the installation's keys.
    File(PathBuf),
    /// Where a reference says.
    Reference(String),
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) repository: RepositoryView,
    /// Snapshots that have a row now.
    pub(crate) snapshots: usize,
    /// Plans that were made, without schedule and retention.
    pub(crate) plans: Vec<PlanView>,
    /// Sources of what no plan backs up here.
    pub(crate) foreign: Vec<SourceView>,
    /// The look through the repository.
    pub(crate) job: JobDetail,
}

/// Rebuilds the rows.
///
/// # Errors
/// [`CliError`], with the exit code that says what went wrong.
pub(crate) async fn run(
    wish: Wish,
    home: &Home,
    (commands, ways): (Commands, Ways),
    watch: &mut Watch,
) -> Result<Outcome, CliError> {
    let password = match &wish.password {
        Password::File(path) => Some(password_read(path)?),
        Password::Reference(_) => None,
    };
    let installation = Installation::start(home, WithAgent::Yes, commands, ways).await?;
    let answer = rebuild(&installation.client, wish, password, &home.data, watch).await;
    installation.stop().await;
    answer
}

fn password_read(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| {
        CliError::from_error(Exit::Input, &error)
            .under(format!("the password in {} cannot be read", path.display()))
            .hint("Name the file that holds the repository's password, such as your copy of the recovery key.")
    })
}

async fn rebuild(
    client: &Client,
    wish: Wish,
    password: Option<Vec<u8>>,
    data: &DataDir,
    watch: &mut Watch,
) -> Result<Outcome, CliError> {
    let (reference, key) = match (&wish.password, password) {
        (Password::Reference(reference), _) => (reference.clone(), None),
        (Password::File(_), password) => {
            let (reference, key) = data.recovery_key(&wish.name);
            let made = key_put(&key, &password.unwrap_or_default())
                .map_err(|source| DataDirError::Io { path: key.clone(), source })?;
            (reference, made.then_some(key))
        }
    };
    let (repository, is_new) = repository_ensure(client, &wish, reference).await?;
    let mut job = adopt(client, &repository, None, watch).await?;
    if let Err(error) = must_have_succeeded(&job) {
        // As if it had never been asked for: the next try may name another password.
        if is_new {
            client.repository_retire(&repository.id).await?;
            key.map_or(Ok(()), fs::remove_file).map_err(|error| CliError::from_error(Exit::Failed, &error))?;
        }
        return Err(error);
    }
    let (plans, hostnames) = plans_make(client, &repository).await?;
    // The machine is another one, maybe: whoever recovers says that this one takes its place.
    for hostname in hostnames {
        job = adopt(client, &repository, Some(hostname), watch).await?;
        must_have_succeeded(&job)?;
    }
    let snapshots = snapshots_count(client, &repository).await?;
    let mut foreign = named::all(client, RetiredQuery::default(), Client::source_list).await?.rows;
    foreign.retain(|row| row.kind == FOREIGN_KIND);
    let mut left = Vec::new();
    for source in foreign {
        match snapshots_of(client, &source, &repository).await?.is_empty() {
            // All of it belongs to a plan now.
            true if is_made_here(&source, &plans) => client.source_retire(&source.id).await?,
            true => {}
            false => left.push(source),
        }
    }
    Ok(Outcome { repository, snapshots, plans, foreign: left, job })
}

/// Says whether a foreign source stood for what is a plan's now.
fn is_made_here(source: &SourceView, plans: &[PlanView]) -> bool {
    plans.iter().any(|plan| source.settings["plan"] == plan.name)
}

async fn snapshots_count(client: &Client, repository: &RepositoryView) -> Result<usize, CliError> {
    let query = SnapshotQuery { repository_id: Some(repository.id.clone()), ..SnapshotQuery::default() };
    Ok(client.all(query, Client::snapshot_list).await?.rows.len())
}

/// Keeps the password where the installation keeps its keys, and says whether it was not there yet. Another one there is an
/// error: it may be the only copy of something.
fn key_put(path: &Path, password: &[u8]) -> io::Result<bool> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            file.write_all(password)?;
            file.sync_all()?;
            path.ancestors().skip(1).take(2).try_for_each(|folder| fs::File::open(folder)?.sync_all())?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && fs::read(path)? == password => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(io::Error::new(error.kind(), "another key of this name is there; choose another name"))
        }
        Err(error) => Err(error),
    }
}

async fn repository_ensure(
    client: &Client,
    wish: &Wish,
    password_reference: String,
) -> Result<(RepositoryView, bool), CliError> {
    let known = named::all(client, RetiredQuery::default(), Client::repository_list)
        .await?
        .rows
        .into_iter()
        .find(|row| row.name == wish.name);
    if let Some(known) = known.filter(|row| row.storage == wish.storage) {
        return Ok((known, false));
    }
    let declared = RepositoryCreate {
        tenant: TENANT.to_owned(),
        name: wish.name.clone(),
        storage: Some(wish.storage.clone()),
        storage_id: None,
        path: None,
        password_reference,
        credentials: wish.credentials.clone(),
        verify_within_ms: None,
    };
    Ok((client.repository_create(&declared).await?, true))
}

async fn adopt(
    client: &Client,
    repository: &RepositoryView,
    hostname: Option<String>,
    watch: &mut Watch,
) -> Result<JobDetail, CliError> {
    let job = client.repository_adopt(&repository.id, &RepositoryAdopt { hostname }).await?.job_id;
    watch_job(client, &job, "looking through the repository", watch).await
}

/// Makes a source and a plan for each folder of which a snapshot names its plan. Returns the plans, and the machines that
/// their snapshots were made on.
async fn plans_make(
    client: &Client,
    repository: &RepositoryView,
) -> Result<(Vec<PlanView>, BTreeSet<String>), CliError> {
    let sources = named::all(client, RetiredQuery::default(), Client::source_list).await?.rows;
    let (mut made, mut hostnames) = (Vec::new(), BTreeSet::new());
    for foreign in sources.iter().filter(|row| row.kind == FOREIGN_KIND) {
        let paths = foreign.settings["paths"].as_array().map(Vec::as_slice).unwrap_or_default();
        let (Some(plan), [path]) = (foreign.settings["plan"].as_str(), paths) else { continue };
        let theirs = snapshots_of(client, foreign, repository).await?;
        // A stream has no folder: of which database it was, its snapshot does not say.
        if theirs.is_empty() || theirs.iter().all(|counts| *counts == 0) {
            continue;
        }
        let plans = named::all(client, RetiredQuery::default(), Client::plan_list).await?.rows;
        if plans.iter().any(|row| row.name == plan) {
            continue;
        }
        let settings = json!({ "path": path });
        let known = sources.iter().find(|row| row.kind == "filesystem" && row.settings == settings);
        let source_id = match known {
            Some(known) => known.id.clone(),
            None => {
                let kind = "filesystem".to_owned();
                let body = SourceCreate { tenant: TENANT.to_owned(), name: plan.to_owned(), kind, settings };
                client.source_create(&body).await?.id
            }
        };
        let declared = plan_of(plan, &source_id, repository);
        made.push(client.plan_create(&declared).await?);
        hostnames.extend(foreign.settings["hostname"].as_str().map(str::to_owned));
    }
    Ok((made, hostnames))
}

/// Returns how many folders each of the newest snapshots of a foreign source has in a repository.
async fn snapshots_of(client: &Client, source: &SourceView, repository: &RepositoryView) -> Result<Vec<u64>, CliError> {
    let mut found = Vec::new();
    for item in items_of(client, &source.id).await?.rows {
        let query = SnapshotQuery {
            item_id: Some(item.id),
            repository_id: Some(repository.id.clone()),
            ..SnapshotQuery::default()
        };
        found.extend(client.snapshot_list(&query).await?.rows.iter().map(|row| row.counts.dirs));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_and_no_other_one_written_over() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("keys")).unwrap();
        let path = home.path().join("keys/main.key");
        assert!(key_put(&path, b"secret\n").unwrap());
        assert!(!key_put(&path, b"secret\n").unwrap());
        assert!(key_put(&path, b"other\n").unwrap_err().to_string().contains("choose another name"));
        assert_eq!(fs::read(&path).unwrap(), b"secret\n");
    }
}
