//! Puts jobs back whose leases ended without a word, and wakes those whose waiting is over.

use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use crate::domain::attempt::LeaseKey;
use crate::domain::disposition::Disposition;
use crate::domain::event::EventKind;
use crate::domain::job::{FailureClass, JobState, StateName};
use crate::domain::retry::{AfterFailure, Streak, after_attempt};
use crate::ports::store::{LostLease, Rescue, StoreError};

/// Most lost leases in one turn of the loop: a bound on its length, the next turn takes the rest.
const RESCUE_ROWS_MAX: u32 = 100;

/// What one turn did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rescued {
    /// Jobs that lost their lease.
    pub lost: u64,
    /// Waiting jobs that are queued again.
    pub woken: u64,
}

/// Looks for lost leases and finished waits, and moves their jobs on. Safe to repeat and to run twice at once.
///
/// # Errors
/// [`StoreError`]; what was moved stays moved.
pub async fn rescue(context: &Context, stall_limit: Duration) -> Result<Rescued, StoreError> {
    let (mut done, mut first) = (Rescued::default(), Ok(()));
    match context.jobs.job_wake().await {
        Ok(woken) => done.woken = woken,
        Err(error) => first = Err(error),
    }
    let lost = context.jobs.job_list_lost(stall_limit, RESCUE_ROWS_MAX).await?;
    if lost.is_empty() {
        return first.map(|()| done);
    }
    // When a job is due is compared by the store's clock.
    let now = context.schedules.clock_read().await?;
    for lost in lost {
        // One that cannot be moved must not hold up the others.
        match rescue_one(context, stall_limit, &lost, now).await {
            Ok(moved) => done.lost += u64::from(moved),
            Err(error) => first = first.and(Err(error)),
        }
    }
    first.map(|()| done)
}

/// Moves one lost job on; false when somebody else did.
async fn rescue_one(
    context: &Context,
    stall_limit: Duration,
    lost: &LostLease,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let LostLease { job, reason } = lost;
    let streak = Streak::after(job.streak, FailureClass::AgentLost);
    let kind = job.kind().word();
    let (state, event, words) = match job.state.name() {
        StateName::Leased => match after_attempt(job.id, Disposition::Retry { after: Duration::ZERO }, streak) {
            AfterFailure::Wait(delay) => {
                let not_before = now.saturating_add(delay).unwrap_or(now);
                let words = format!("{kind} is back in the queue: {reason}");
                (JobState::Queued { not_before }, EventKind::Rescued, words)
            }
            AfterFailure::Park | AfterFailure::Fail => {
                let message = format!("lost {} times, the last time because {reason}", streak.count);
                let state = JobState::Parked { class: FailureClass::AgentLost, message: message.clone() };
                (state, EventKind::Parked, format!("{kind} is parked: {message}"))
            }
        },
        StateName::Cancelling => {
            (JobState::Cancelled { finished_at: now }, EventKind::Cancelled, format!("{kind} was cancelled: {reason}"))
        }
        _ => return Ok(false),
    };
    let event = context.event(event, (job.tenant_id, Some(job.id), job.item_id), now, words);
    let lease = LeaseKey { job_id: job.id, token: job.attempt_token };
    context.jobs.job_rescue(lease, stall_limit, &Rescue { state, streak, event }).await
}
