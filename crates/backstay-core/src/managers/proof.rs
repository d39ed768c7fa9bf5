//! Proves repositories within their budgets: enqueues verifies of slices, and tells where one fell behind.
//!
//! ```text
//!  proof due ──> beyond its budget? ──> a warning, or its end
//!            └─> a slice's turn, nothing at it? ──> a verify of the slice, with a drill of the item whose turn it is
//! ```
//!
//! Cost grows with what is due: a repository is looked at a few times between two slices. Safe to repeat and to run twice
//! at once: the job's id follows from the row that was seen, and the row moves only from where it was seen.

use std::time::Duration;

use jiff::Timestamp;

use super::alert::{Fact, end, is_worth_telling, take_in};
use super::context::Context;
use super::request::{repository_job, short};
use super::retry::lift;
use crate::domain::alert::{Notice, Topic};
use crate::domain::asking::Asking;
use crate::domain::digest::time_words;
use crate::domain::event::EventKind;
use crate::domain::id::RepositoryId;
use crate::domain::job::{Instruction, Job, StateName, Trigger};
use crate::domain::proof::{NEVER, Proof, Slice, Standing, VerifyBudget, drill_next, later, pace};
use crate::domain::repository::Repository;
use crate::domain::sample::SampleRule;
use crate::domain::schedule::Calendar;
use crate::domain::snapshot::Snapshot;
use crate::ports::notice::NoticeWrite;
use crate::ports::store::{Enqueued, StoreError};

/// Looks between two slices: so soon is seen that one was not proved, and what was missed is made up for at this pace.
const LOOKS_A_SLICE: u32 = 4;

/// How soon a repository is looked at again that could not be, or whose tenant may start nothing now.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);

/// How soon a repository is looked at again that has nothing to prove.
const EMPTY_AGAIN_AFTER: Duration = Duration::from_secs(3_600);

/// Most repositories of one look; the next one takes the rest.
const LOOK_ROWS_MAX: u32 = 100;

/// How long a verify by budget may stand behind backups: its place in a queue that is ordered by time to breach.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// What one look at repositories did.
#[derive(Debug, Default)]
pub struct Proven {
    /// Repositories that were looked at.
    pub looked: u64,
    /// Verifies that were enqueued or went on.
    pub started: u64,
    /// Repositories that could not be looked at, each with why.
    pub failed: Vec<(RepositoryId, StoreError)>,
}

/// Enqueues the verifies that are due, and tells what is overdue.
///
/// # Errors
/// [`StoreError`] when nothing can be asked. A repository that cannot be looked at does not hold up the others.
pub async fn proof_tick(context: &Context) -> Result<Proven, StoreError> {
    let now = context.schedules.clock_read().await?;
    let due = context.retention.proof_list_due(now, LOOK_ROWS_MAX).await?;
    let mut done = Proven { looked: due.len() as u64, ..Proven::default() };
    if due.is_empty() {
        return Ok(done);
    }
    let calendar = context.schedules.calendar_get(now).await?;
    for seen in due {
        let next = match look(context, &calendar, &seen, now).await {
            Ok((next, started)) => {
                done.started += u64::from(started);
                next
            }
            Err(error) => {
                done.failed.push((seen.repository_id, error));
                Proof { due_at: later(now, LOOK_AGAIN_AFTER), ..seen.clone() }
            }
        };
        context.retention.proof_put(&seen, &next).await?;
    }
    Ok(done)
}

/// Looks at one repository; returns its next row, and whether a verify was started.
async fn look(
    context: &Context,
    calendar: &Calendar,
    seen: &Proof,
    now: Timestamp,
) -> Result<(Proof, bool), StoreError> {
    let repository = context.declarations.repository_get(seen.repository_id).await?;
    let at = |due_at: Timestamp| Proof { due_at, ..seen.clone() };
    let within = repository.verify_within.within().filter(|_| repository.retired_at.is_none());
    tell(context, &repository, within.map(|within| seen.standing(within, now)), now).await?;
    let Some(within) = within else { return Ok((at(NEVER), false)) };
    let Some(began_at) = seen.began_at else { return Ok((begin(context, seen, within, now).await?, false)) };
    let (slice, turn_at) = seen.turn(within, began_at);
    if turn_at > now {
        return Ok((at(turn_at), false));
    }
    if calendar.held(repository.tenant_id, now).is_some() {
        return Ok((at(later(now, LOOK_AGAIN_AFTER)), false));
    }
    let soon = at(later(now, pace(within) / LOOKS_A_SLICE));
    if let Some(open) = context.retention.slice_open(repository.id).await? {
        return Ok((soon, go_on(context, &open).await?));
    }
    let snapshots = context.retention.snapshot_list_whole(repository.id).await?;
    let Some(snapshot) = drill_next(&snapshots, seen.drilled_item_id) else {
        return Ok((at(later(now, EMPTY_AGAIN_AFTER)), false));
    };
    let started = slice_request(context, seen, (&repository, snapshot), slice, now).await?;
    Ok((Proof { drilled_item_id: Some(snapshot.item_id), ..soon }, started))
}

/// Begins the time of a budget, with the first snapshot. Repositories begin at other moments between two slices, so that
/// many of them that were declared at once are not read at once.
async fn begin(context: &Context, seen: &Proof, within: Duration, now: Timestamp) -> Result<Proof, StoreError> {
    let snapshots = context.retention.snapshot_list_whole(seen.repository_id).await?;
    if drill_next(&snapshots, None).is_none() {
        return Ok(Proof { due_at: later(now, EMPTY_AGAIN_AFTER), ..seen.clone() });
    }
    let pace_us = u64::try_from(pace(within).as_micros()).unwrap_or(u64::MAX).max(1);
    let number = Asking::keyed(Timestamp::UNIX_EPOCH, "proof", &seen.repository_id.to_string()).number("begin");
    let began_at = later(now, Duration::from_micros(number % pace_us));
    Ok(Proof { due_at: began_at, began_at: Some(began_at), ..seen.clone() })
}

/// Puts a parked verify back in the queue; true when it was. Nobody else would: no plan stands behind it.
async fn go_on(context: &Context, open: &Job) -> Result<bool, StoreError> {
    if open.state.name() != StateName::Parked {
        return Ok(false);
    }
    match lift(context, open, "its slice is due").await {
        Ok(()) => Ok(true),
        // Somebody was faster.
        Err(StoreError::Move { .. } | StoreError::Taken { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Enqueues the verify of a slice. Its id follows from the row that was seen: who does it again makes the same job.
async fn slice_request(
    context: &Context,
    seen: &Proof,
    (repository, snapshot): (&Repository, &Snapshot),
    slice: Slice,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let asking = Asking::keyed(seen.due_at, "proof", &repository.id.to_string());
    let sample = SampleRule::first_sample(asking.number("drill"));
    let instruction = Instruction::Verify { snapshot_id: snapshot.id, sample, slice: Some(slice) };
    let job = repository_job(repository, (asking.job_id("verify"), asking.at()), instruction);
    let trigger = Trigger::Occurrence(seen.due_at);
    let job = Job { trigger, item_id: Some(snapshot.item_id), breach_at: later(now, PATIENCE), ..job };
    let words = format!(
        "verify of slice {} of {} of repository {} is due, with a drill of snapshot {}",
        slice.number,
        slice.of,
        repository.name,
        short(&snapshot.foreign_id)
    );
    let about = (job.tenant_id, Some(job.id), job.item_id);
    let enqueued = context.event(EventKind::Enqueued, about, now, words);
    match context.jobs.job_enqueue(&job, &enqueued, None).await {
        Ok(Enqueued::New(_)) => Ok(true),
        // Another scheduler saw the same row and was faster.
        Ok(Enqueued::Overlaps(_) | Enqueued::Known(_)) | Err(StoreError::Taken { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Begins, repeats or ends the warning that a repository was not proved within its budget.
async fn tell(
    context: &Context,
    repository: &Repository,
    standing: Option<Standing>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = context.notices.alert_find(repository.tenant_id, &subject_of(repository.id)).await?;
    let row = rows.iter().find(|row| row.topic == Topic::Unproved);
    let overdue = standing.and_then(|standing| Some((standing, standing.overdue_since?)));
    let (alert, messages) = match overdue {
        Some((standing, since)) if is_worth_telling(row, now) => {
            let channels = context.notices.channel_list(None).await?;
            let tenant = context.declarations.tenant_get(repository.tenant_id).await?.name.to_string();
            take_in(context, &channels, row, &fact(repository, tenant, standing, since), now)
        }
        Some(_) => return Ok(()),
        None => {
            let Some(live) = row.filter(|row| row.ended_at.is_none()) else { return Ok(()) };
            let channels = context.notices.channel_list(None).await?;
            let lead = match standing {
                Some(_) => format!("All of repository {} is proved within its budget again.", repository.name),
                None => format!("Repository {} is not proved by a budget any more.", repository.name),
            };
            end(context, &channels, live, lead, Vec::new(), now)
        }
    };
    // False: another scheduler told it.
    context.notices.notice_put(&NoticeWrite { mark: None, alerts: vec![alert], messages }).await.map(drop)
}

/// Returns the subject of a repository's alerts about its proof.
fn subject_of(repository: RepositoryId) -> String {
    format!("proof {repository}")
}

fn fact(repository: &Repository, tenant: String, standing: Standing, since: Timestamp) -> Fact {
    let Standing { within, proved, of, oldest_at, .. } = standing;
    let (name, time) = (&repository.name, time_words(within));
    let message = format!(
        "repository {name} is to be read back whole within {time}, and {} of its {of} slices were not: what lies in them \
         may be damaged and nobody would know",
        of.saturating_sub(proved)
    );
    let oldest = oldest_at.map_or("never, of some slices".to_owned(), |at| format!("{at:.0}"));
    let fact = |name: &str, value: String| (name.to_owned(), value);
    Fact {
        notice: Notice {
            tenant_id: repository.tenant_id,
            topic: Topic::Unproved,
            subject: subject_of(repository.id),
            severity: Topic::Unproved.severity(),
            message,
        },
        title: format!("repository {name}"),
        subject: format!("Not proved: {proved} of {of} slices of repository {name} within {time}"),
        facts: vec![
            fact("repository", name.to_string()),
            fact("tenant", tenant),
            fact("overdue since", format!("{since:.0}")),
            fact("oldest proof", oldest),
        ],
        next_steps: vec![
            "See what keeps its verifies: backstay job list --kind verify".to_owned(),
            "Start an agent, or mend what the jobs name; what was missed is made up for by itself".to_owned(),
            format!("Or give it more time: backstay repository update {name} --verify-within 60d"),
        ],
    }
}

/// Gives a repository another budget.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Retired`].
pub async fn budget_change(
    context: &Context,
    seen: &Repository,
    budget: VerifyBudget,
) -> Result<Repository, StoreError> {
    if seen.verify_within != budget {
        context.retention.budget_put(seen.id, budget).await?;
    }
    context.declarations.repository_get(seen.id).await
}
