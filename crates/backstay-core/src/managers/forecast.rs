//! What is to be expected of an item in a plan: by its backup that has not ended, else by the plan's schedule.
//!
//! Nothing is told here. `explain` and `watch` ask, so that an alert says what an explanation does. How long a backup takes
//! is taken from the item's own ones of that plan alone: another plan's may have another repository. What is the same for many
//! items, the queue first of all, is read once for all of them ([`Ahead`]).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::context::Context;
use super::explain::QueueRead;
use crate::domain::explain;
use crate::domain::id::{ItemId, JobId, PlanId};
use crate::domain::item::Item;
use crate::domain::job::{Job, JobKind, JobState};
use crate::domain::plan::Plan;
use crate::domain::rpo::{Age, DURATIONS_MAX, Forecast, expected_duration, forecast};
use crate::domain::schedule::{Calendar, Occurrence, ScheduleState, next};
use crate::ports::store::{JobFilter, Page, StoreError};

/// Newest backups of an item in a plan among which one that has not ended is looked for.
const LIVE_ROWS_MAX: u32 = 10;

/// What an item's next backup in a plan is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NextBackup {
    /// One that an agent has since then.
    Runs { job_id: JobId, begun: Timestamp },
    /// One that waits for a moment.
    Waits { job_id: JobId, wake_at: Timestamp, reason: String },
    /// One in the queue, expected to start then; none when nobody can say.
    Queued { job_id: JobId, starts_at: Option<Timestamp> },
    /// An occurrence that waits for another plan's work; nobody can say how long.
    Meets { waiting: Occurrence, skipped_before: u32 },
    /// The next start by schedule, after what holds starts back then; none when there is none.
    Planned { starts_at: Option<Timestamp> },
}

/// What was read of what lies ahead, as it was at one moment.
#[derive(Default)]
pub(super) struct Ahead {
    queue: Option<QueueRead>,
    calendar: Option<Calendar>,
    states: HashMap<PlanId, ScheduleState>,
}

impl Ahead {
    /// Returns how far a plan is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn state(&mut self, context: &Context, plan: PlanId) -> Result<&ScheduleState, StoreError> {
        Ok(match self.states.entry(plan) {
            Entry::Occupied(state) => state.into_mut(),
            Entry::Vacant(place) => place.insert(context.schedules.schedule_get(plan).await?),
        })
    }

    /// Returns what an item's next backup in a plan is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn next_backup(
        &mut self,
        context: &Context,
        plan: &Plan,
        item: &Item,
        now: Timestamp,
    ) -> Result<NextBackup, StoreError> {
        let of_item = JobFilter {
            plan_id: Some(plan.id),
            item_id: Some(item.id),
            kind: Some(JobKind::Backup),
            ..JobFilter::default()
        };
        let newest = context.jobs.job_list(of_item, Page { before: None, rows_max: LIVE_ROWS_MAX }).await?;
        if let Some(job) = newest.into_iter().find(|job| job.state.name().is_live()) {
            return self.of_job(context, job, now).await;
        }
        let state = self.state(context, plan.id).await?.clone();
        let calendar = match &mut self.calendar {
            Some(calendar) => calendar,
            empty => empty.insert(context.schedules.calendar_get(now).await?),
        };
        let runs = state.paused_at.is_none() && item.vanished_at.is_none();
        Ok(match state.waiting {
            Some(waiting) if runs => NextBackup::Meets { waiting, skipped_before: state.skipped_before },
            _ => NextBackup::Planned { starts_at: planned(plan, &state, calendar, now).filter(|_| runs) },
        })
    }

    async fn of_job(&mut self, context: &Context, job: Job, now: Timestamp) -> Result<NextBackup, StoreError> {
        Ok(match job.state.clone() {
            JobState::Leased { .. } | JobState::Cancelling { .. } => {
                let attempts = context.history.attempt_list(job.id).await?;
                NextBackup::Runs { job_id: job.id, begun: attempts.last().map_or(now, |attempt| attempt.leased_at) }
            }
            JobState::Waiting { wake_at, reason } => NextBackup::Waits { job_id: job.id, wake_at, reason },
            JobState::Queued { not_before } if not_before > now => {
                NextBackup::Queued { job_id: job.id, starts_at: Some(not_before) }
            }
            _ => {
                let queue = match self.queue.take() {
                    Some(queue) if queue.is_known(job.id) => queue,
                    // It came after the queue was read: nothing would be known of its start.
                    _ => QueueRead::read(context).await?,
                };
                let place = self.queue.insert(queue).place(job.id, now).place;
                NextBackup::Queued { job_id: job.id, starts_at: place.and_then(|place| place.starts_at) }
            }
        })
    }
}

/// Returns when a plan starts next by its schedule, or when what holds that start back is over.
fn planned(plan: &Plan, state: &ScheduleState, calendar: &Calendar, now: Timestamp) -> Option<Timestamp> {
    let (_, start_at) = *next(&state.planned(plan), now, 1).first()?;
    match calendar.held(plan.tenant_id, start_at) {
        Some(held) => held.until,
        None => Some(start_at),
    }
}

impl NextBackup {
    /// Returns what is to be expected of an item of this age, when its backups are expected to take so long.
    pub(super) fn forecast(&self, age: Age, expected: Duration, now: Timestamp) -> Forecast {
        if age.overdue_by(now).is_some() {
            return Forecast::Overdue { breach_at: age.breach_at };
        }
        match self {
            // What runs has had its agent: what counts is whether it began in time.
            Self::Runs { begun, .. } => forecast(age, Some(*begun), expected, (*begun).min(now)),
            Self::Waits { wake_at, .. } => forecast(age, Some(*wake_at), expected, now),
            Self::Queued { starts_at, .. } | Self::Planned { starts_at } => forecast(age, *starts_at, expected, now),
            Self::Meets { .. } => forecast(age, None, expected, now),
        }
    }

    /// Says it.
    pub(super) fn words(&self, expected: Duration, zone: &TimeZone) -> String {
        let show = |at: Timestamp| explain::moment(at, zone);
        match self {
            Self::Runs { job_id, begun } => {
                let ends_at = begun.saturating_add(expected).unwrap_or(Timestamp::MAX);
                format!("job {job_id} runs since {}, to end about {}", show(*begun), show(ends_at))
            }
            Self::Waits { job_id, wake_at, reason } => format!("job {job_id} waits until {}: {reason}", show(*wake_at)),
            Self::Queued { job_id, .. } => format!("job {job_id} waits in the queue"),
            Self::Meets { waiting, skipped_before } => explain::waiting_words(waiting, *skipped_before, zone),
            Self::Planned { starts_at: Some(at) } => format!("its next backup is planned for {}", show(*at)),
            Self::Planned { starts_at: None } => "no backup of it is planned".to_owned(),
        }
    }
}

/// Returns how long a backup of an item in a plan is expected to take, from the newest ones; none without a history.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn expected(context: &Context, plan: PlanId, item: ItemId) -> Result<Option<Duration>, StoreError> {
    let of_item =
        JobFilter { plan_id: Some(plan), item_id: Some(item), kind: Some(JobKind::Backup), ..JobFilter::default() };
    let mut newest = context.jobs.job_durations(of_item, DURATIONS_MAX as u32).await?;
    newest.reverse();
    Ok((!newest.is_empty()).then(|| expected_duration(&newest)))
}
