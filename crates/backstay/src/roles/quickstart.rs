//! From a folder to a proved backup in one command.
//!
//! Declares a repository with a strong key, a source and a plan, asks for a backup and then for a verify, all through the
//! API. Whatever is there already is used again: running it twice makes a second snapshot in the same repository, and
//! running it after a crash finishes what was begun.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use backstay_agent::Commands;
use backstay_api::Client;
use backstay_api::types::evidence::{EvidenceQuery, EvidenceView};
use backstay_api::types::job::JobDetail;
use backstay_api::types::list::RetiredQuery;
use backstay_api::types::plan::{PlanCreate, PlanView};
use backstay_api::types::repository::{RepositoryCreate, RepositoryView, StorageView};
use backstay_api::types::snapshot::{SnapshotQuery, SnapshotVerify, SnapshotView};
use backstay_api::types::source::{SourceCreate, SourceView};
use backstay_core::domain::name::Name;
use serde::Serialize;
use serde_json::json;

use super::data_dir::{DataDir, DataDirError};
use super::home::Home;
use super::installation::{Installation, Ways, WithAgent, random_words};
use crate::cli::error::{CliError, Exit};
use crate::cli::job::{exit_of, next_step};
use crate::cli::named;
use crate::cli::watch::{Watch, watch_job};

/// The tenant of an installation for one person.
pub(crate) const TENANT: &str = "default";

/// The repository that all of its plans share: one key to keep.
const REPOSITORY: &str = "local";

/// How old the newest snapshot of a folder may be: a day, which is what people mean by a daily backup.
const RPO_MS: u64 = 24 * 3_600 * 1_000;

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) folder: PathBuf,
    pub(crate) plan: PlanView,
    pub(crate) repository: RepositoryView,
    pub(crate) recovery_key: PathBuf,
    pub(crate) backup: JobDetail,
    pub(crate) snapshot: SnapshotView,
    pub(crate) verify: JobDetail,
    pub(crate) evidence: EvidenceView,
}

/// Looks at a folder before anything is made: it must be there, be a folder, be readable, and not hold the data
/// directory.
///
/// # Errors
/// Says what is wrong with it and what to do.
pub(crate) fn folder_check(folder: &Path, data: &DataDir) -> Result<PathBuf, CliError> {
    let wrong = |problem: String, hint: &str| Err(CliError::new(Exit::Input, problem).hint(hint));
    let shown = folder.display();
    let real = match folder.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return wrong(format!("{shown} does not exist"), "Name a folder that exists.");
        }
        Err(error) => {
            return wrong(format!("{shown} cannot be reached: {error}"), "Name a folder that you may enter.");
        }
    };
    if !real.is_dir() {
        return wrong(format!("{shown} is not a folder"), "Name the folder that holds it.");
    }
    if let Err(error) = std::fs::read_dir(&real) {
        let hint = "Run it as a user who may read the folder.";
        return wrong(format!("{shown} cannot be read: {error}"), hint);
    }
    if real.to_str().is_none() {
        return wrong(format!("the name of {shown} is not valid UTF-8"), "Name a folder above it.");
    }
    let data_dir = real_place(data.path());
    if data_dir.starts_with(&real) {
        let problem = format!("{shown} contains the data directory {}", data.path().display());
        return wrong(problem, "A backup must not hold itself: put the data directory elsewhere with --data-dir.");
    }
    if real.starts_with(&data_dir) {
        let problem = format!("{shown} lies in the data directory {}", data.path().display());
        return wrong(problem, "Name a folder outside it.");
    }
    Ok(real)
}

/// Returns where a path really is, of which only the beginning may exist.
fn real_place(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match existing {
        Some((above, real)) => path.strip_prefix(above).map_or(real.clone(), |rest| real.join(rest)),
        None => path.to_owned(),
    }
}

/// Protects a folder, once.
///
/// # Errors
/// [`CliError`], with the exit code that says what went wrong.
pub(crate) async fn run(
    folder: &Path,
    home: &Home,
    (commands, ways): (Commands, Ways),
    watch: &mut Watch,
) -> Result<Outcome, CliError> {
    let data = &home.data;
    let folder = folder_check(folder, data)?;
    let installation = Installation::start(home, WithAgent::Yes, commands, ways).await?;
    let answer = protect(&installation.client, &folder, data, watch).await;
    installation.stop().await;
    answer
}

async fn protect(client: &Client, folder: &Path, data: &DataDir, watch: &mut Watch) -> Result<Outcome, CliError> {
    let (repository, recovery_key) = repository_ensure(client, data).await?;
    let plan = plan_ensure(client, folder, &repository).await?;
    let requested = client.plan_request(&plan.id).await?;
    let enqueued = requested.items.first().ok_or_else(|| CliError::new(Exit::Failed, "the plan has no item"))?;
    if enqueued.answer == "overlaps" {
        watch.say("going on with a backup that an earlier run began");
    }
    let backup = watch_job(client, &enqueued.job_id, "backing up", watch).await?;
    must_have_succeeded(&backup)?;
    let snapshot = snapshot_of(client, &backup).await?;
    let accepted = client.snapshot_verify(&snapshot.id, &SnapshotVerify::default()).await?;
    let verify = watch_job(client, &accepted.job_id, "reading back", watch).await?;
    let evidence = evidence_of(client, &verify).await?;
    let evidence = match evidence {
        Some(evidence) => evidence,
        None => {
            must_have_succeeded(&verify)?;
            return Err(CliError::new(Exit::Failed, "the verify left no evidence"));
        }
    };
    Ok(Outcome { folder: folder.to_owned(), plan, repository, recovery_key, backup, snapshot, verify, evidence })
}

/// Returns the shared repository; declares it, with a new key, if there is none.
async fn repository_ensure(client: &Client, data: &DataDir) -> Result<(RepositoryView, PathBuf), CliError> {
    let (password_reference, key) = data.recovery_key(REPOSITORY);
    let known = named::all(client, RetiredQuery::default(), Client::repository_list)
        .await?
        .rows
        .into_iter()
        .find(|row| row.name == REPOSITORY);
    let place = data.repository(REPOSITORY);
    if let Some(repository) = known {
        must_lie_here(&repository, &place)?;
        return Ok((repository, key));
    }
    key_ensure(&key).map_err(|source| DataDirError::Io { path: key.clone(), source })?;
    let settings = json!({ "path": place });
    let declared = RepositoryCreate {
        tenant: TENANT.to_owned(),
        name: REPOSITORY.to_owned(),
        storage: Some(StorageView { kind: "local".to_owned(), settings }),
        storage_id: None,
        path: None,
        password_reference,
        credentials: BTreeMap::new(),
        verify_within_ms: None,
    };
    Ok((client.repository_create(&declared).await?, key))
}

/// Refuses a data directory that was moved or copied: its rows name the old place, and a copy would write there.
fn must_lie_here(repository: &RepositoryView, place: &Path) -> Result<(), CliError> {
    let recorded = repository.storage.settings["path"].as_str().unwrap_or_default();
    if Path::new(recorded) == place {
        return Ok(());
    }
    let heading =
        format!("the database says that the repository lies at {recorded}, which is not in this data directory");
    Err(CliError::new(Exit::Input, heading)
        .hint("Was the directory moved or copied? Move it back to where it was made."))
}

/// Makes a recovery key of 256 random bits, unless a crash left one that nothing was sealed with yet.
fn key_ensure(path: &Path) -> io::Result<()> {
    let mut file = match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if std::fs::metadata(path)?.len() > 0 {
                std::fs::File::open(path)?.sync_all()?;
                return folders_sync(path);
            }
            std::fs::OpenOptions::new().write(true).open(path)?
        }
        Err(error) => return Err(error),
    };
    writeln!(file, "{}", random_words())?;
    file.sync_all()?;
    folders_sync(path)
}

/// Makes a key's name durable, in `keys/` and above it: a key that a power cut takes away takes the repository with it.
fn folders_sync(key: &Path) -> io::Result<()> {
    key.ancestors().skip(1).take(2).try_for_each(|folder| std::fs::File::open(folder)?.sync_all())
}

/// Returns the plan of a folder; declares source and plan if there is none.
async fn plan_ensure(client: &Client, folder: &Path, repository: &RepositoryView) -> Result<PlanView, CliError> {
    let plans = named::all(client, RetiredQuery::default(), Client::plan_list).await?.rows;
    let source = source_ensure(client, folder).await?;
    if let Some(plan) = plans.iter().find(|plan| plan.source_id == source.id) {
        return Ok(plan.clone());
    }
    let name = free_name(&source.name, plans.iter().map(|plan| plan.name.as_str()));
    let declared = plan_of(&name, &source.id, repository);
    Ok(client.plan_create(&declared).await?)
}

/// Returns a plan that starts on request and keeps everything.
pub(crate) fn plan_of(name: &str, source_id: &str, repository: &RepositoryView) -> PlanCreate {
    PlanCreate {
        tenant: TENANT.to_owned(),
        name: name.to_owned(),
        source_id: source_id.to_owned(),
        repository_id: repository.id.clone(),
        template: None,
        schedule: Default::default(),
        rpo_ms: Some(RPO_MS),
        retention: None,
        backup: None,
    }
}

async fn source_ensure(client: &Client, folder: &Path) -> Result<SourceView, CliError> {
    let settings = json!({ "path": folder });
    let sources = named::all(client, RetiredQuery::default(), Client::source_list).await?.rows;
    if let Some(source) = sources.iter().find(|row| row.kind == "filesystem" && row.settings == settings) {
        return Ok(source.clone());
    }
    let fallback: Name = "folder".parse().map_err(|error| CliError::new(Exit::Failed, format!("{error}")))?;
    let last = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = free_name(Name::coerce(&last, &fallback).as_str(), sources.iter().map(|row| row.name.as_str()));
    let kind = "filesystem".to_owned();
    Ok(client.source_create(&SourceCreate { tenant: TENANT.to_owned(), name, kind, settings }).await?)
}

/// Returns a name that nobody has yet: the wished one, or with a number behind it.
fn free_name<'a>(wished: &str, taken: impl Iterator<Item = &'a str> + Clone) -> String {
    let is_free = |name: &str| !taken.clone().any(|other| other == name);
    let numbered = (2..).map(|number| format!("{}-{number}", &wished[..wished.len().min(55)]));
    std::iter::once(wished.to_owned()).chain(numbered).find(|name| is_free(name)).unwrap_or_default()
}

/// Returns an error for a job that did not succeed.
pub(crate) fn must_have_succeeded(detail: &JobDetail) -> Result<(), CliError> {
    let job = &detail.job;
    let message = job.message.clone().unwrap_or_default();
    let exit = match job.state.as_str() {
        "succeeded" => return Ok(()),
        "cancelled" => return Err(CliError::new(Exit::Interrupted, format!("the {} was cancelled", job.kind))),
        _ => exit_of(job),
    };
    let more = || format!("`backstay job show {}` tells more; running it again is safe.", job.id);
    let hint = next_step(job).unwrap_or_else(more);
    Err(CliError::new(exit, format!("the {} {}: {message}", job.kind, job.state)).hint(&hint))
}

async fn snapshot_of(client: &Client, backup: &JobDetail) -> Result<SnapshotView, CliError> {
    let query = SnapshotQuery { item_id: backup.job.item_id.clone(), ..SnapshotQuery::default() };
    let snapshots = client.snapshot_list(&query).await?.rows;
    let made = snapshots.into_iter().find(|snapshot| snapshot.job_id == backup.job.id);
    made.ok_or_else(|| CliError::new(Exit::Failed, "the backup succeeded and its snapshot has no row"))
}

async fn evidence_of(client: &Client, verify: &JobDetail) -> Result<Option<EvidenceView>, CliError> {
    let query = EvidenceQuery { item_id: verify.job.item_id.clone(), ..EvidenceQuery::default() };
    let records = client.evidence_list(&query).await?.rows;
    Ok(records.into_iter().find(|record| record.job_id == verify.job.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_apart() {
        let taken = ["home", "home-2"];
        assert_eq!(free_name("home", taken.iter().copied()), "home-3");
        assert_eq!(free_name("srv", taken.iter().copied()), "srv");
    }

    #[test]
    fn a_folder_is_looked_at_before_anything_is_made() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("docs/in")).unwrap();
        std::fs::write(root.join("file"), "x").unwrap();
        let check = |folder: &str, data: &str| {
            let data = DataDir::find(Some(&root.join(data))).unwrap();
            match folder_check(&root.join(folder), &data) {
                Ok(found) => found.display().to_string(),
                Err(error) => error.heading().replace(root.to_str().unwrap(), "R"),
            }
        };
        assert_eq!(check("docs", "data"), root.join("docs").display().to_string());
        assert_eq!(check("gone", "data"), "R/gone does not exist");
        assert_eq!(check("file", "data"), "R/file is not a folder");
        assert_eq!(check("docs", "docs/in/data"), "R/docs contains the data directory R/docs/in/data");
        assert_eq!(check("docs/in", "docs"), "R/docs/in lies in the data directory R/docs");
    }
}
