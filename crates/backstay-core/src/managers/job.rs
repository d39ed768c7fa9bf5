//! The port `Jobs` over the stores: what an agent in the same process talks to, and what HTTP stands before.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::adopt;
use super::anomaly;
use super::context::Context;
use super::follow_up;
use super::lease::job_in_hand;
use super::missing;
use super::request::short;
use super::saved;
use crate::domain::adoption::Adoption;
use crate::domain::attempt::{AttemptEnd, LeaseKey};
use crate::domain::checkpoint::Checkpoint;
use crate::domain::digest::size_words;
use crate::domain::event::{Event, EventKind};
use crate::domain::evidence::{self, Evidence, Findings, Place, Verdict};
use crate::domain::id::{AgentId, EvidenceId};
use crate::domain::job::{
    Failure, FailureClass, Instruction, Job, JobCounts, JobState, Leased, Outcome, Progress, PruneCounts, StateName,
};
use crate::domain::lease::LEASE_BATCH_MAX;
use crate::domain::proof::SliceRead;
use crate::domain::retry::{AfterFailure, Streak, after_attempt};
use crate::domain::unread::Unread;
use crate::ports::job::{JobResult, Jobs, LeaseError, LeaseRequest, Standing};
use crate::ports::store::{Pruned, Settlement, StoreError, StoredAfter};

/// How often a settlement is decided anew when the rows that it rests on moved: each try means that somebody else
/// got on.
const SETTLE_TRIES: u32 = 8;

/// The manager that fulfils the port `Jobs`.
#[derive(Clone)]
pub struct JobManager {
    context: Context,
    ttl: Duration,
}

impl JobManager {
    /// Makes a manager whose leases hold for `ttl` after each renewal.
    pub fn new(context: Context, ttl: Duration) -> Self {
        Self { context, ttl }
    }

    /// Ends a lease whose job cannot even be handed over: what it needs is not there.
    async fn refuse(&self, lease: LeaseKey, error: &LeaseError) -> Result<(), LeaseError> {
        let class = match error {
            LeaseError::Secret { .. } => FailureClass::Password,
            LeaseError::Quota { .. } => FailureClass::Quota,
            LeaseError::Lost { .. } | LeaseError::Store(_) => FailureClass::Internal,
        };
        let failure = Failure { class, message: chain(error), disposition: error.disposition() };
        self.job_finish(lease, &JobResult::Failed(failure)).await.map(drop)
    }

    /// Returns the rows that a result writes.
    async fn settlement(&self, job: &Job, result: &JobResult) -> Result<Settlement, StoreError> {
        // When it began, and when its next attempt is due, is of the store's clock too.
        let now = self.context.schedules.clock_read().await?;
        let succeeded = |outcome| JobState::Succeeded { outcome, finished_at: now };
        let mut rows = Settlement {
            state: succeeded(Outcome::Complete),
            streak: None,
            counts: JobCounts::default(),
            unread: Unread::default(),
            snapshot: None,
            confirmed: None,
            evidence: None,
            pruned: None,
            slice_read: None,
            adopted: Adoption::default(),
            warnings: Vec::new(),
            suspicion: None,
            event: None,
            follow_ups: Vec::new(),
        };
        match result {
            JobResult::BackedUp { outcome, snapshot, counts, unread, warning } => {
                rows.state = succeeded(*outcome);
                let is_good = saved::is_good(&self.context, job, *outcome, unread).await?;
                rows.snapshot = saved::snapshot_row(&self.context, (job, now), (snapshot, *outcome, is_good), *counts);
                rows.warnings.extend(saved::wrong_clock(job, snapshot, now).map(|words| self.warned(job, now, &words)));
                (rows.counts, rows.unread) = (*counts, unread.clone());
                rows.warnings.extend(warning.as_ref().map(|words| self.warned(job, now, words)));
                let found = anomaly::look(&self.context, job, *counts, now).await?;
                rows.warnings.extend(found.events);
                rows.suspicion = found.suspicion;
            }
            JobResult::Confirmed { snapshot, counts, warning } => {
                rows.state = succeeded(Outcome::Unchanged);
                rows.confirmed = Some(saved::confirmation(&self.context, (job, now), snapshot).await?);
                rows.counts = *counts;
                rows.warnings.extend(warning.as_ref().map(|words| self.warned(job, now, words)));
            }
            JobResult::Restored { outcome, counts, unread } => {
                rows.state = succeeded(*outcome);
                (rows.counts, rows.unread) = (*counts, unread.clone());
            }
            JobResult::Verified { findings, counts } => {
                if findings.verdict() == Verdict::Damaged {
                    let message = damage(findings);
                    rows.state = JobState::Damaged { message, finished_at: now };
                }
                rows.evidence = self.evidence_row(job, findings).await?;
                rows.slice_read = slice_read(job, findings);
                rows.counts = *counts;
            }
            JobResult::Pruned { forgotten, missing, counts } => {
                let mut forgotten = forgotten.clone();
                if let Some(gone) = missing::look(&self.context, job, missing).await? {
                    rows.warnings.push(self.warned(job, now, &gone.words));
                    forgotten.extend(gone.forgotten);
                }
                let has_pending = counts.bytes_pending > 0 || counts.packs_waiting > 0;
                let stored = counts.bytes_left.map_or(StoredAfter::Less(counts.bytes_freed), StoredAfter::Is);
                rows.event = Some(self.prune_event(job, now, forgotten.len(), counts));
                rows.pruned = Some(Pruned { forgotten, has_pending, stored });
                return Ok(rows);
            }
            JobResult::Discovered { found, unread } => {
                if !unread.is_empty() {
                    rows.state = succeeded(Outcome::Partial);
                }
                rows.adopted = adopt::adoption(&self.context, job, found).await?;
                rows.event = Some(adopt::told(&self.context, (job, now), found.len(), unread, &rows.adopted));
                rows.counts = JobCounts { unread: unread.count, ..JobCounts::default() };
                rows.unread = unread.clone();
                return Ok(rows);
            }
            JobResult::Failed(failure) => {
                let streak = Streak::after(job.streak, failure.class);
                rows.state = state_after(job, failure, streak, now);
                rows.streak = Some(streak);
                rows.counts = job.counts;
            }
            JobResult::Cancelled => rows.state = JobState::Cancelled { finished_at: now },
        }
        rows.event = self.event_of(job, now, &rows);
        rows.follow_ups = follow_up::after(&self.context, job, &rows.state, now).await?;
        Ok(rows)
    }

    /// Returns how an attempt ended; none while it runs.
    async fn ended(&self, lease: LeaseKey) -> Result<Option<AttemptEnd>, StoreError> {
        let attempts = self.context.history.attempt_list(lease.job_id).await?;
        let attempt = attempts.into_iter().find(|attempt| attempt.key == lease);
        Ok(attempt.and_then(|attempt| attempt.ended).map(|(_, end)| end))
    }

    /// Returns the state that this very result led to when it was handed in before: its answer was lost on the way. None
    /// when the lease ended in another way, or with another result.
    async fn repeated(&self, lease: LeaseKey, result: &JobResult) -> Result<Option<JobState>, LeaseError> {
        let job = self.context.jobs.job_get(lease.job_id).await?;
        if job.attempt_token != lease.token || self.ended(lease).await? != Some(AttemptEnd::Finished) {
            return Ok(None);
        }
        let same = match (result, &job.state) {
            (JobResult::BackedUp { outcome, snapshot, counts, .. }, JobState::Succeeded { outcome: known, .. }) => {
                let made = saved::made_by(&self.context, &job).await?;
                outcome == known
                    && *counts == job.counts
                    && made.is_some_and(|row| row.foreign_id == snapshot.foreign_id)
            }
            (JobResult::Confirmed { counts, .. }, JobState::Succeeded { outcome: Outcome::Unchanged, .. }) => {
                *counts == job.counts && saved::made_by(&self.context, &job).await?.is_none()
            }
            (JobResult::Restored { outcome, counts, .. }, JobState::Succeeded { outcome: known, .. }) => {
                outcome == known && *counts == job.counts
            }
            (JobResult::Verified { findings, counts }, JobState::Succeeded { .. }) => {
                findings.verdict() == Verdict::Proved && *counts == job.counts
            }
            (JobResult::Verified { findings, counts }, JobState::Damaged { message, .. }) => {
                *message == damage(findings) && *counts == job.counts
            }
            (JobResult::Pruned { .. } | JobResult::Discovered { .. }, JobState::Succeeded { .. }) => true,
            (
                JobResult::Failed(failure),
                JobState::Failed { class, message, .. } | JobState::Parked { class, message },
            ) => (failure.class, &failure.message) == (*class, message),
            (JobResult::Failed(failure), JobState::Waiting { reason, .. }) => failure.message == *reason,
            (JobResult::Failed(_) | JobResult::Cancelled, JobState::Cancelled { .. }) => true,
            _ => false,
        };
        Ok(same.then_some(job.state))
    }

    /// Returns the signed record of a verify, chained to the item's newest; none for a job on no snapshot.
    async fn evidence_row(&self, job: &Job, findings: &Findings) -> Result<Option<Evidence>, StoreError> {
        let Instruction::Verify { snapshot_id, .. } = job.instruction else { return Ok(None) };
        let snapshot = self.context.history.snapshot_get(snapshot_id).await?;
        let item = self.context.declarations.item_get(snapshot.item_id).await?;
        let newest = self.context.history.evidence_newest(item.id).await?;
        let now = self.context.now();
        let place = Place {
            id: EvidenceId::new(now, self.context.ten()),
            tenant_id: job.tenant_id,
            item_id: item.id,
            item_name: item.name,
            snapshot_id,
            snapshot_foreign_id: snapshot.foreign_id,
            job_id: job.id,
            sequence: newest.as_ref().map_or(1, |record| record.place.sequence + 1),
            previous_hash: newest.map(|record| record.hash),
        };
        Ok(Some(seal(&self.context, place, findings)))
    }

    /// Returns what is told about something that went wrong beside a job's work.
    fn warned(&self, job: &Job, now: Timestamp, words: &str) -> Event {
        let about = (job.tenant_id, Some(job.id), job.item_id);
        self.context.event(EventKind::Warned, about, now, words.to_owned())
    }

    /// Returns what is told about a prune.
    fn prune_event(&self, job: &Job, now: Timestamp, forgotten: usize, counts: &PruneCounts) -> Event {
        let pending = match counts.bytes_pending {
            0 => String::new(),
            bytes => format!(", {} follow after the grace", size_words(bytes)),
        };
        let waiting = match counts.packs_waiting {
            0 => String::new(),
            packs => format!(", {packs} packs wait for the end of their grace"),
        };
        let words = format!(
            "prune complete: {forgotten} snapshots forgotten, {} freed, {} rewritten{pending}{waiting}",
            size_words(counts.bytes_freed),
            size_words(counts.bytes_rewritten)
        );
        self.context.event(EventKind::Succeeded, (job.tenant_id, Some(job.id), None), now, words)
    }

    /// Returns what is told about a settlement; nothing about a job that only waits.
    fn event_of(&self, job: &Job, now: Timestamp, rows: &Settlement) -> Option<Event> {
        let kind = job.kind().word();
        let (event, words) = match &rows.state {
            JobState::Succeeded { outcome, .. } => {
                let unread = match rows.unread.count {
                    0 => String::new(),
                    count if rows.snapshot.as_ref().is_some_and(|row| row.is_good) => {
                        format!(", {count} entries could not be read, which its plan accepts")
                    }
                    count => format!(", {count} entries could not be read"),
                };
                let made = match (&rows.snapshot, &rows.confirmed) {
                    (Some(row), _) => format!(", snapshot {}", short(&row.foreign_id)),
                    (None, Some(_)) => ", its newest snapshot is confirmed".to_owned(),
                    (None, None) => String::new(),
                };
                (EventKind::Succeeded, format!("{kind} {}{made}{unread}", outcome.word()))
            }
            JobState::Failed { message, .. } => (EventKind::Failed, format!("{kind} failed: {message}")),
            JobState::Damaged { message, .. } => (EventKind::Damaged, format!("{kind} found harm: {message}")),
            JobState::Cancelled { .. } => (EventKind::Cancelled, format!("{kind} was cancelled")),
            JobState::Parked { message, .. } => (EventKind::Parked, format!("{kind} is parked: {message}")),
            JobState::Queued { .. } | JobState::Leased { .. } => return None,
            JobState::Waiting { .. } | JobState::Cancelling { .. } => return None,
        };
        let about = (job.tenant_id, Some(job.id), job.item_id);
        Some(self.context.event(event, about, now, words))
    }
}

#[async_trait]
impl Jobs for JobManager {
    async fn job_lease(&self, request: &LeaseRequest) -> Result<Vec<Job<Leased>>, LeaseError> {
        let count_max = request.count_max.min(LEASE_BATCH_MAX);
        let LeaseRequest { agent_id, kinds, held, .. } = request;
        let claimed = self.context.jobs.job_lease(*agent_id, kinds, held, count_max, self.ttl).await?;
        let (mut in_hand, mut refused) = (Vec::with_capacity(claimed.len()), Ok(()));
        for row in claimed {
            let lease = LeaseKey { job_id: row.job.id, token: row.job.attempt_token };
            match job_in_hand(&self.context, row, request.agent_id, self.ttl).await {
                Ok(job) => in_hand.push(job),
                // One that cannot be ended must not take those along that are in hand already.
                Err(error) => refused = refused.and(self.refuse(lease, &error).await),
            }
        }
        if in_hand.is_empty() { refused.map(|()| in_hand) } else { Ok(in_hand) }
    }

    async fn job_renew(&self, agent_id: AgentId, leases: &[LeaseKey]) -> Result<Vec<Standing>, LeaseError> {
        Ok(self.context.jobs.job_renew(agent_id, leases, self.ttl).await?)
    }

    async fn job_progress(&self, lease: LeaseKey, progress: &Progress) -> Result<Standing, LeaseError> {
        self.context.jobs.job_progress_put(lease, progress).await
    }

    async fn job_checkpoint(&self, lease: LeaseKey, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        self.context.jobs.job_checkpoint_put(lease, checkpoint).await
    }

    async fn job_wait(&self, lease: LeaseKey, delay: Duration, reason: &str) -> Result<(), LeaseError> {
        let job = self.context.jobs.job_get(lease.job_id).await?;
        if job.state.name() == StateName::Cancelling {
            return self.job_finish(lease, &JobResult::Cancelled).await.map(drop);
        }
        let now = self.context.schedules.clock_read().await?;
        let wake_at = now.saturating_add(delay).unwrap_or(now);
        let rows = Settlement {
            state: JobState::Waiting { wake_at, reason: reason.to_owned() },
            // It came to where another system works: the row of failures ends as with a success.
            streak: None,
            counts: job.counts,
            unread: Unread::default(),
            snapshot: None,
            confirmed: None,
            evidence: None,
            pruned: None,
            slice_read: None,
            adopted: Adoption::default(),
            warnings: Vec::new(),
            suspicion: None,
            event: None,
            follow_ups: Vec::new(),
        };
        match self.context.jobs.job_settle(lease, &rows).await {
            // Its answer was lost on the way, and it is told again.
            Err(LeaseError::Lost { .. }) if self.ended(lease).await? == Some(AttemptEnd::Waited) => Ok(()),
            answer => answer,
        }
    }

    async fn job_finish(&self, lease: LeaseKey, result: &JobResult) -> Result<JobState, LeaseError> {
        let mut tries_left = SETTLE_TRIES;
        loop {
            let job = self.context.jobs.job_get(lease.job_id).await?;
            if job.attempt_token != lease.token {
                return Err(LeaseError::Lost { job_id: lease.job_id, token: lease.token });
            }
            let rows = self.settlement(&job, result).await?;
            tries_left -= 1;
            match self.context.jobs.job_settle(lease, &rows).await {
                Ok(()) => return Ok(rows.state),
                // Between the look and the write a wish to cancel arrived, or another job took the record's place in
                // the chain: what is to be written is decided anew.
                Err(LeaseError::Store(StoreError::Move { .. } | StoreError::Taken { .. })) if tries_left > 0 => {}
                Err(lost @ LeaseError::Lost { .. }) => return self.repeated(lease, result).await?.ok_or(lost),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Returns the state that a failure leads to; how long it waits is counted by the store's clock, which ends the wait.
fn state_after(job: &Job, failure: &Failure, streak: Streak, now: Timestamp) -> JobState {
    let Failure { class, message, disposition } = failure.clone();
    if job.state.name() == StateName::Cancelling {
        return JobState::Cancelled { finished_at: now };
    }
    match after_attempt(job.id, disposition, streak) {
        AfterFailure::Fail => JobState::Failed { class, message, finished_at: now },
        AfterFailure::Park => JobState::Parked { class, message },
        AfterFailure::Wait(delay) => {
            let wake_at = now.saturating_add(delay).unwrap_or(now);
            JobState::Waiting { wake_at, reason: message }
        }
    }
}

/// Returns what a verify came to that was told to read a slice, and did read that one.
fn slice_read(job: &Job, findings: &Findings) -> Option<SliceRead> {
    let Instruction::Verify { slice: Some(told), .. } = job.instruction else { return None };
    let read = findings.slice.as_ref().filter(|read| (read.repository_id, read.slice) == (job.repository_id, told))?;
    let is_proved = findings.verdict() == Verdict::Proved;
    Some(SliceRead { slice: told, is_proved, drill: read.drill.rate() })
}

/// Hashes and signs a record.
fn seal(context: &Context, place: Place, findings: &Findings) -> Evidence {
    let created_at = context.now();
    let document = evidence::document(&place, findings, created_at);
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    Evidence {
        place,
        verdict: findings.verdict(),
        hash: evidence::hash(&document),
        public_key: hex(&context.signer.public_key()),
        signature: hex(&context.signer.sign(document.as_bytes())),
        document,
        created_at,
    }
}

/// Says in one line what a verify found.
fn damage(findings: &Findings) -> String {
    let first = findings.differences.first();
    let first = first.map_or_else(String::new, |difference| format!(": {}: {}", difference.place, difference.problem));
    format!("{} things are not as they were saved{first}", findings.difference_count)
}

/// Returns an error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
