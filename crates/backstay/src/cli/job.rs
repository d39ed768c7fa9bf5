//! `backstay job …`.

use std::time::Duration;

use backstay_api::types::job::{JobDetail, JobLogView, JobQuery, JobView};
use backstay_core::domain::job::FailureClass;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::explain::{self, Zone};
use super::human;
use super::screen::Screen;

/// What can be asked of jobs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List jobs, newest first
    List {
        /// Only of this kind, such as backup
        #[arg(long)]
        kind: Option<String>,
        /// Only in this state, such as failed
        #[arg(long)]
        state: Option<String>,
        /// Only members of the job set with this id
        #[arg(long, value_name = "ID")]
        set: Option<String>,
        /// Most rows
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Jobs that belong together
    #[command(subcommand)]
    Set(super::job_set::Verb),
    /// Show one job: its numbers, attempts, and what it could not read
    Show {
        /// The job's id
        id: String,
    },
    /// Say why a job exists, what it does, and when it is expected to start
    Explain {
        /// The job's id
        id: String,
        #[command(flatten)]
        zone: Zone,
    },
    /// Watch jobs until they end: how far each is, and how long it will still take
    Watch {
        /// Ids of jobs; all that run or wait when left out
        ids: Vec<String>,
    },
    /// Tell what is stored of a job in the order of time: events, attempts, and what it could not read
    Log {
        /// The job's id
        id: String,
        /// Print each line as it comes, until the job has ended, and exit as it went
        #[arg(long, short)]
        follow: bool,
    },
    /// Try a job again: a parked one goes on, for a failed or cancelled one a new job does the same work
    Retry {
        /// The job's id
        id: String,
    },
    /// Ask for a job's end
    Cancel {
        /// The job's id
        id: String,
    },
}

const HEADING: &[&str] = &["kind", "item", "state", "files", "size", "written", "enqueued", "id"];

fn row(job: &JobView) -> Vec<String> {
    let state = match &job.outcome {
        Some(outcome) if outcome != "complete" => format!("{} ({outcome})", job.state),
        _ => job.state.clone(),
    };
    vec![
        job.kind.clone(),
        job.item_name.clone().unwrap_or_default(),
        state,
        human::count(job.counts.files),
        human::bytes(job.counts.bytes),
        human::bytes(job.counts.bytes_stored),
        human::instant(&job.created_at),
        job.id.clone(),
    ]
}

/// Returns the exit code that says how a job went.
pub(crate) fn exit_of(job: &JobView) -> Exit {
    match (job.state.as_str(), job.outcome.as_deref()) {
        ("succeeded", Some("partial")) => return Exit::Partial,
        ("succeeded", _) => return Exit::Done,
        ("damaged", _) => return Exit::Damaged,
        ("cancelled", _) => return Exit::Interrupted,
        _ => {}
    }
    match job.failure_class.as_deref() {
        Some("storage_full") => Exit::StorageFull,
        Some("source") => Exit::Input,
        Some("repository_missing") => Exit::NoRepository,
        Some("password") => Exit::Password,
        _ => Exit::Failed,
    }
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::Set(verb) => return super::job_set::run(common, verb, screen).await,
        Verb::Watch { ids } => return super::job_watch::run(common, &ids, screen).await,
        Verb::Log { id, follow: true } => return super::job_follow::run(common, &id, screen).await,
        Verb::Log { id, follow: false } => {
            let log = look(common, async |client| Ok(client.job_log(&id).await?)).await?;
            log_show(screen, &log);
        }
        Verb::List { kind, state, set, limit } => {
            let query = JobQuery { kind, state, set, limit: Some(limit), ..JobQuery::default() };
            let list = look(common, async |client| Ok(client.job_list(&query).await?)).await?;
            screen.rows(&list, HEADING, list.rows.iter().map(row).collect(), "there is no such job");
        }
        Verb::Show { id } => {
            let detail = look(common, async |client| Ok(client.job_show(&id).await?)).await?;
            show(screen, &detail);
        }
        Verb::Explain { id, zone } => {
            let said = look(common, async |client| Ok(client.job_explain(&id, &zone.query()).await?)).await?;
            explain::show(screen, &said);
        }
        Verb::Retry { id } => {
            let job = look(common, async |client| Ok(client.job_retry(&id).await?)).await?;
            screen.rows(&job, HEADING, vec![row(&job)], "");
        }
        Verb::Cancel { id } => {
            let job = look(common, async |client| Ok(client.job_cancel(&id).await?)).await?;
            screen.rows(&job, HEADING, vec![row(&job)], "");
        }
    }
    Ok(Exit::Done)
}

/// Prints what is stored of a job.
fn log_show(screen: &Screen, log: &JobLogView) {
    let rows = log.lines.iter().map(|line| vec![human::instant(&line.at), line.text.clone()]).collect();
    screen.rows(log, &["at", "what"], rows, "nothing is stored of it any more");
    left_out(screen, log);
}

/// Says what is not among the lines of a job.
pub(super) fn left_out(screen: &Screen, log: &JobLogView) {
    if log.unread_unnamed > 0 {
        screen.say(&format!("{} more entries could not be read; they are not named", human::count(log.unread_unnamed)));
    }
    if log.has_more {
        screen.say("its tenant has more events than are looked at; `backstay event list --before NUMBER` has them all");
    }
}

/// Returns what somebody does about a job that did not end well; none for one that did, or that was cancelled.
pub(crate) fn next_step(job: &JobView) -> Option<String> {
    if job.state == "damaged" {
        return Some("`backstay evidence list` has the record of what is not as it was saved.".to_owned());
    }
    if job.kind == "backup" && job.outcome.as_deref() == Some("partial") {
        let accept = "`backstay plan update PLAN --accept-unread PATTERN`";
        return Some(format!("Let the agent read them, or say that they may be missing: {accept}."));
    }
    let step = match FailureClass::from_word(job.failure_class.as_deref()?)? {
        FailureClass::Source => "Look whether it is there and may be read where the agent runs.",
        FailureClass::Storage => "Look whether the storage answers and may be written.",
        FailureClass::StorageFull => "Free some space there, or choose another place; what was saved stays.",
        FailureClass::Repository if job.state == "waiting" => "It goes on when the other program there has ended.",
        FailureClass::Repository => "`backstay repository verify NAME` says what is damaged.",
        FailureClass::RepositoryMissing => "Is the disk mounted? Nothing was made in its place.",
        FailureClass::Password => "Put the right recovery key back, from the copy that you keep elsewhere.",
        FailureClass::Target => "Empty the target, or name another one.",
        FailureClass::AgentLost => "Look whether its agent runs.",
        FailureClass::Internal => "`backstay support-bundle` writes down what helps to find out why.",
        FailureClass::Quota => "`backstay quota list` has what is stored: prune, or raise the quota.",
        FailureClass::Hook => "Run the hook by hand, as the agent's user, until it works.",
        FailureClass::Stalled => "Look what it waits for there; `backup.stall_limit` gives it longer.",
    };
    Some(match job.state.as_str() {
        "parked" => format!("{step} Then `backstay job retry {}`.", job.id),
        "failed" => format!("{step} Running it again is safe."),
        _ => format!("{step} It is tried again by itself."),
    })
}

/// Prints one job.
pub(super) fn show(screen: &Screen, detail: &JobDetail) {
    if screen.json() { screen.value(detail) } else { words(screen, detail) }
}

/// Returns how long such a job usually takes, when it has not ended and somebody knows.
pub(super) fn usual(detail: &JobDetail) -> Option<Duration> {
    detail.usual_ms.map(Duration::from_millis)
}

/// Prints the jobs that a verb waited for: one as itself, several as a list.
pub(super) fn show_all(screen: &Screen, details: &[JobDetail]) {
    match details {
        [one] => show(screen, one),
        all if screen.json() => screen.value(&all),
        all => all.iter().for_each(|detail| words(screen, detail)),
    }
}

fn words(screen: &Screen, detail: &JobDetail) {
    let job = &detail.job;
    screen.rows(job, HEADING, vec![row(job)], "");
    if let Some(message) = &job.message {
        screen.line(&format!("\n{}", human::shown(message)));
    }
    for warning in &detail.warnings {
        screen.line(&format!("\nwarning: {}", human::shown(warning)));
    }
    if let Some(before) = &job.follow_up_of {
        screen.line(&format!("\nfollows job {before}"));
    }
    for next in &detail.followed_by {
        screen.line(&format!("\nfollowed by job {next}"));
    }
    if let Some(usual) = usual(detail) {
        screen.line(&format!("\nusually takes {}", human::duration(usual)));
    }
    if detail.unread.count > 0 {
        screen.line(&format!("\n{} entries could not be read:", human::count(detail.unread.count)));
        for entry in &detail.unread.entries {
            screen.line(&format!("  {}: {}", human::shown(&entry.path), human::shown(&entry.reason)));
        }
    }
    if let Some(next) = next_step(job) {
        screen.line(&format!("next: {next}"));
    }
    if detail.attempts.len() > 1 {
        screen.line("\nattempts:");
        for attempt in &detail.attempts {
            let end = attempt.end.as_deref().unwrap_or("running");
            screen.line(&format!("  {} {} {end}", attempt.attempt, human::instant(&attempt.leased_at)));
        }
    }
}
