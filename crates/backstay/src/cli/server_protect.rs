//! `backstay server protect`: an ordinary source and plan of the installation's own database, so that schedule, retention,
//! verifies, alerts and evidence are those of any plan. Asking again is safe.

use std::path::PathBuf;

use backstay_api::types::job::JobDetail;
use backstay_api::types::list::{PageQuery, RetiredQuery};
use backstay_api::types::plan::{PlanCreate, PlanView};
use backstay_api::types::repository::RepositoryView;
use backstay_api::types::retention::RetentionView;
use backstay_api::types::source::{SourceCreate, SourceView};
use backstay_api::types::template::ScheduleView;
use backstay_api::types::token::TokenView;
use backstay_api::{Client, ClientError};
use jiff::Timestamp;
use serde::Serialize;

use super::args::Common;
use super::connect::Connection;
use super::error::{CliError, Exit};
use super::job::exit_of;
use super::repository::named;
use super::screen::Screen;
use super::watch::{Watch, watch_job};
use super::{human, named};
use crate::roles::data_dir::DataDir;
use crate::roles::installation::WithAgent;
use crate::roles::own_database::{NAME, OwnDatabase, kept_elsewhere};

/// When it is backed up if nobody says: what is lost is then the history of four hours at most.
const CRON: &str = "23 */4 * * *";

/// How old the newest copy may be: two of them may be missed.
const RPO_MS: u64 = 9 * 3_600 * 1_000;

/// Where the own database is backed up, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    /// The repository that it is backed up into, by name or id
    #[arg(long)]
    repository: String,
    /// When, in UTC
    #[arg(long, default_value = CRON, value_name = "CRON")]
    cron: String,
    /// A file on the machine of each agent that holds the password of the database's user, in its first line
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// The repository's password is sealed in this very database: say that it is written down elsewhere too
    #[arg(long)]
    password_is_kept: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Outcome {
    plan: PlanView,
    source: SourceView,
    repository: RepositoryView,
    /// What a copy is worth nothing without, and is in none.
    kept_elsewhere: Vec<String>,
    warnings: Vec<String>,
    job: JobDetail,
}

pub(super) async fn run(common: &Common, own: OwnDatabase, verb: &Verb, screen: &Screen) -> Result<Exit, CliError> {
    let data = common.own_data_dir();
    let connection = Connection::open(common, WithAgent::Yes).await?;
    let answer = protect(&connection.client, &own, verb, data.as_ref(), screen).await;
    let runs_on = !connection.is_own();
    connection.close().await;
    let (plan, source, repository, warnings, job) = answer?;
    let kept_elsewhere = kept_elsewhere(common.told(), data.as_ref());
    let outcome = Outcome { plan, source, repository, kept_elsewhere, warnings, job };
    if screen.json() {
        screen.value(&outcome);
    } else {
        summary(&outcome, runs_on, &human::shown(&common.program()), screen);
    }
    Ok(exit_of(&outcome.job.job))
}

type Made = (PlanView, SourceView, RepositoryView, Vec<String>, JobDetail);

async fn protect(
    client: &Client,
    own: &OwnDatabase,
    verb: &Verb,
    data: Option<&DataDir>,
    screen: &Screen,
) -> Result<Made, CliError> {
    let repository = named(client, &verb.repository).await?;
    let readers = readers(client, &repository.tenant_id).await?;
    permit(&repository, &readers, verb.password_is_kept)?;
    let tenant = client.tenant_show(&repository.tenant_id).await?.name;
    let source = source_ensure(client, own, &repository, &tenant).await?;
    let plan = plan_ensure(client, &source, &repository, tenant, &verb.cron).await?;
    let requested = client.plan_request(&plan.id).await?;
    let enqueued = requested.items.first().ok_or_else(|| CliError::new(Exit::Failed, "the plan has no item"))?;
    let mut watch = Watch::new(screen);
    let job = watch_job(client, &enqueued.job_id, "backing up the database", &mut watch).await?;
    let data = data.filter(|_| own.kind == "sqlite");
    let warnings = data.and_then(|data| beside(&repository, data)).into_iter().collect();
    Ok((plan, source, repository, warnings, job))
}

/// Refuses a repository that would not give the database back, or that gives it to somebody whose it is not.
fn permit(repository: &RepositoryView, readers: &[String], is_kept: bool) -> Result<(), CliError> {
    let wrong = |problem: String, hint: &str| Err(CliError::new(Exit::Input, problem).hint(hint));
    let name = &repository.name;
    if repository.retired_at.is_some() {
        return wrong(format!("the repository {name} is retired"), "Name one that lives: `backstay repository list`.");
    }
    if !readers.is_empty() {
        let problem = format!(
            "the holders of these tokens may read what is in the repository {name}, and the database has the rows of every tenant: {}",
            readers.join(", ")
        );
        return wrong(
            problem,
            "Make a tenant for the installation itself (`backstay tenant create installation`) and a repository of its own.",
        );
    }
    if repository.password_reference.starts_with("sealed:") && !is_kept {
        let problem = format!(
            "the password of the repository {name} is sealed in the database that would have to come out of it"
        );
        return wrong(
            problem,
            "Write it down elsewhere and say so with --password-is-kept, or name a repository whose password is in a file.",
        );
    }
    Ok(())
}

/// How the own database is backed up.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) plan: PlanView,
    pub(crate) source: SourceView,
    pub(crate) repository: RepositoryView,
}

/// Returns how the own database is backed up, by what is known of where it is, else by its plan's name; none when it is not.
pub(crate) async fn copied(client: &Client, own: Option<&OwnDatabase>) -> Result<Option<Copied>, ClientError> {
    let sources = named::all(client, RetiredQuery::default(), Client::source_list).await?.rows;
    let is_copy = |plan: &PlanView| {
        let source = sources.iter().find(|row| row.id == plan.source_id)?;
        own.map_or(plan.name == NAME, |own| own.is_read_by(source)).then(|| source.clone())
    };
    let found = named::all(client, RetiredQuery::default(), Client::plan_list)
        .await?
        .rows
        .into_iter()
        .find_map(|plan| Some((is_copy(&plan)?, plan)));
    let Some((source, plan)) = found else { return Ok(None) };
    let repository = client.repository_show(&plan.repository_id).await?;
    Ok(Some(Copied { plan, source, repository }))
}

/// Returns the good tokens of one tenant alone that open what is in its snapshots.
pub(crate) async fn readers(client: &Client, tenant_id: &str) -> Result<Vec<String>, ClientError> {
    let now = Timestamp::now();
    let tokens = client.all(PageQuery::default(), Client::token_list).await?.rows;
    Ok(tokens.into_iter().filter(|row| is_reader(row, tenant_id, now)).map(|row| row.name).collect())
}

fn is_reader(row: &TokenView, tenant_id: &str, now: Timestamp) -> bool {
    let is_over = |at: &String| at.parse::<Timestamp>().is_ok_and(|at| at <= now);
    row.tenant_id.as_deref() == Some(tenant_id)
        && matches!(row.role.as_str(), "tenant_admin" | "restorer")
        && row.revoked_at.is_none()
        && !row.expires_at.as_ref().is_some_and(is_over)
}

/// Says that the copies lie where the database does, if they do.
pub(super) fn beside(repository: &RepositoryView, data: &DataDir) -> Option<String> {
    let path = repository.storage.settings["path"].as_str().filter(|_| repository.storage.kind == "local")?;
    std::path::Path::new(path).starts_with(data.path()).then(|| {
        format!(
            "the repository {} lies in the data directory too: what takes the one takes the other. Name one on another disk or machine",
            repository.name
        )
    })
}

async fn source_ensure(
    client: &Client,
    own: &OwnDatabase,
    repository: &RepositoryView,
    tenant: &str,
) -> Result<SourceView, CliError> {
    let sources = named::all(client, RetiredQuery::default(), Client::source_list).await?.rows;
    if let Some(known) = sources.iter().find(|row| row.tenant_id == repository.tenant_id && own.is_read_by(row)) {
        return Ok(known.clone());
    }
    if let Some(other) = sources.iter().find(|row| row.name == NAME && row.tenant_id == repository.tenant_id) {
        return Err(CliError::new(
            Exit::Input,
            format!("the source {NAME} is of another database: {}", other.settings),
        )
        .hint("Retire its plan and it (`backstay plan retire`, `backstay source retire`), then ask again."));
    }
    let (name, kind) = (NAME.to_owned(), own.kind.to_owned());
    let body = SourceCreate { tenant: tenant.to_owned(), name, kind, settings: own.settings.clone() };
    Ok(client.source_create(&body).await?)
}

async fn plan_ensure(
    client: &Client,
    source: &SourceView,
    repository: &RepositoryView,
    tenant: String,
    cron: &str,
) -> Result<PlanView, CliError> {
    let plans = named::all(client, RetiredQuery::default(), Client::plan_list).await?.rows;
    let ours = |row: &&PlanView| row.source_id == source.id && row.repository_id == repository.id;
    if let Some(known) = plans.iter().find(ours) {
        return Ok(known.clone());
    }
    if plans.iter().any(|row| row.name == NAME && row.tenant_id == repository.tenant_id) {
        return Err(CliError::new(Exit::Input, format!("the plan {NAME} backs up into another repository")).hint(
            &format!("`backstay plan update {NAME} --repository {}` has it back up into this one.", repository.id),
        ));
    }
    let keep = RetentionView {
        keep_within: Some("2d".to_owned()),
        keep_daily: Some(14),
        keep_weekly: Some(8),
        ..RetentionView::default()
    };
    let declared = PlanCreate {
        tenant,
        name: NAME.to_owned(),
        source_id: source.id.clone(),
        repository_id: repository.id.clone(),
        template: None,
        schedule: ScheduleView { cron: Some(cron.to_owned()), ..ScheduleView::default() },
        rpo_ms: Some(RPO_MS),
        retention: Some(keep),
        backup: None,
    };
    Ok(client.plan_create(&declared).await?)
}

fn summary(outcome: &Outcome, runs_on: bool, program: &str, screen: &Screen) {
    let Outcome { plan, repository, kept_elsewhere, warnings, job, .. } = outcome;
    let name = human::shown(&repository.name);
    match job.job.state.as_str() {
        "succeeded" => {
            let size = human::bytes(job.job.counts.bytes);
            screen.line(&format!("Protected  the database, {size}, is in the repository {name}"));
        }
        state => {
            let message = human::shown(job.job.message.as_deref().unwrap_or("no agent has done it yet"));
            screen.line(&format!("DECLARED   and its first backup {state}: {message}"));
        }
    }
    let cron = plan.schedule.cron.as_deref().unwrap_or("on request only");
    screen.line(&format!("           plan {}, {cron} (UTC)", human::shown(&plan.name)));
    for warning in warnings {
        screen.line(&format!("WARNING    {}", human::shown(warning)));
    }
    screen.line("");
    screen.line("Not in it  and needed with it. Keep copies elsewhere, and not in that repository:");
    for line in kept_elsewhere {
        screen.line(&format!("           {}", human::shown(line)));
    }
    screen.line("");
    screen.line(&format!("Next       {program} recovery sheet       prints how it comes back with plain restic"));
    if !runs_on {
        screen.line(&format!("           {program} up                   nothing starts by schedule before it runs"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(role: &str, tenant: Option<&str>) -> TokenView {
        TokenView {
            id: String::new(),
            name: "n".to_owned(),
            role: role.to_owned(),
            tenant_id: tenant.map(str::to_owned),
            kinds: Vec::new(),
            created_at: String::new(),
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        }
    }

    /// Red when somebody of one tenant could read every tenant's rows.
    #[test]
    fn whoever_opens_a_tenants_snapshots_is_found() {
        let now = Timestamp::now();
        let reads = |row: TokenView| is_reader(&row, "t", now);
        assert!(reads(token("tenant_admin", Some("t"))) && reads(token("restorer", Some("t"))));
        assert!(!reads(token("tenant_admin", Some("other"))) && !reads(token("reader", Some("t"))));
        assert!(!reads(token("admin", None)));
        let (over, later) = (Some("2020-01-01T00:00:00Z".to_owned()), Some("9000-01-01T00:00:00Z".to_owned()));
        assert!(!reads(TokenView { expires_at: over.clone(), ..token("restorer", Some("t")) }));
        assert!(reads(TokenView { expires_at: later, ..token("restorer", Some("t")) }));
        assert!(!reads(TokenView { revoked_at: over, ..token("restorer", Some("t")) }));
    }
}
