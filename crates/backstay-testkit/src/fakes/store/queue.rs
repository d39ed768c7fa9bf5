//! The queue in memory.

use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::attempt::{Attempt, AttemptEnd, AttemptToken, LeaseKey};
use backstay_core::domain::checkpoint::Checkpoint;
use backstay_core::domain::event::Event;
use backstay_core::domain::evidence::Evidence;
use backstay_core::domain::exclusion::turns;
use backstay_core::domain::fairness::{Candidate, Rules, endpoint_of, host_of};
use backstay_core::domain::id::{AgentId, JobId, JobSetId, PlanId, TenantId};
use backstay_core::domain::job::{Job, JobKind, JobState, Progress, StateName, Trigger};
use backstay_core::domain::job_set::{JobSet, is_complete, members};
use backstay_core::domain::repository::RepositoryAccess;
use backstay_core::domain::schedule::OverlapKey;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::{LeaseError, Standing};
use backstay_core::ports::store::{
    AliveAgent, Claimed, Enqueued, FollowUp, JobFilter, JobStore, LostLease, PAGE_ROWS_MAX, Page, QueueLook, Rescue,
    Settlement, StoreError,
};
use jiff::Timestamp;

use super::declaration::{found, parent};
use super::history::page_of;
use super::{FakeStores, LeaseRow, Rows};

fn lost(key: LeaseKey) -> LeaseError {
    LeaseError::Lost { job_id: key.job_id, token: key.token }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// Returns the moment of the occurrence that a job is for.
fn occurrence(job: &Job) -> Option<Timestamp> {
    match job.trigger {
        Trigger::Occurrence(at) => Some(at),
        Trigger::Request | Trigger::FollowUp(_) => None,
    }
}

/// Returns the tenant whose backups this job must not run beside.
fn overlap_of(job: &Job) -> Option<TenantId> {
    (job.overlap == OverlapKey::Tenant).then_some(job.tenant_id)
}

fn is_shown(row: &Job, filter: JobFilter) -> bool {
    filter.tenant_id.is_none_or(|id| row.tenant_id == id)
        && filter.plan_id.is_none_or(|id| row.plan_id == Some(id))
        && filter.item_id.is_none_or(|id| row.item_id == Some(id))
        && filter.kind.is_none_or(|kind| row.kind() == kind)
        && filter.state.is_none_or(|state| row.state.name() == state)
        && filter.set_id.is_none_or(|id| row.set.is_some_and(|(set, _)| set == id))
}

fn is_live_backup(job: &Job) -> bool {
    job.kind() == JobKind::Backup && job.state.name().is_live()
}

impl Rows {
    /// Returns the job that keeps this one out of the queue.
    pub(super) fn standing_in_the_way(&self, job: &Job) -> Option<Enqueued> {
        let item = job.item_id?;
        let of_item = || self.jobs.values().filter(|row| row.item_id == Some(item));
        let same = |row: &&Job| row.plan_id == job.plan_id && occurrence(row) == occurrence(job);
        let known = of_item().filter(|_| occurrence(job).is_some()).find(same);
        let overlaps = of_item().find(|row| is_live_backup(job) && is_live_backup(row));
        known.map(|row| Enqueued::Known(row.id)).or_else(|| overlaps.map(|row| Enqueued::Overlaps(row.id)))
    }

    fn access_of(&self, job: &Job) -> RepositoryAccess {
        self.access.get(&job.id).copied().unwrap_or_else(|| job.kind().repository_access())
    }

    fn lease_alive(&self, key: LeaseKey, now: Timestamp) -> Result<&LeaseRow, LeaseError> {
        let lease = self.leases.get(&key.job_id).filter(|lease| lease.token == key.token);
        lease.filter(|lease| self.is_alive(lease.agent, now)).ok_or_else(|| lost(key))
    }

    /// Marks leases that their agent has had for a while and does not name.
    fn disown(&mut self, agent: AgentId, held: &[LeaseKey], ttl: Duration, now: Timestamp) {
        for (job_id, lease) in self.leases.iter_mut().filter(|(_, lease)| lease.agent == agent) {
            let named = held.contains(&LeaseKey { job_id: *job_id, token: lease.token });
            lease.disowned |= !named && later(lease.leased_at, ttl) <= now;
        }
    }

    /// Returns a job as fairness sees it.
    fn candidate(&self, job: &Job) -> Candidate {
        let reads_source = matches!(job.kind(), JobKind::Discover | JobKind::Backup | JobKind::Verify);
        let item = job.item_id.and_then(|id| self.items.get(&id)).filter(|_| reads_source);
        let source = item.and_then(|item| self.sources.get(&item.source_id));
        let storage = self.repositories.get(&job.repository_id).map(|row| &row.storage);
        Candidate {
            job_id: job.id,
            tenant_id: job.tenant_id,
            kind: job.kind(),
            access: self.access_of(job),
            repository_id: job.repository_id,
            host: source.and_then(|source| host_of(&source.settings)),
            endpoint: storage.map(|storage| endpoint_of(&storage.kind, &storage.settings)).unwrap_or_default(),
            overlap: overlap_of(job),
            breach_at: job.breach_at,
            priority: job.priority,
            created_at: match job.state {
                JobState::Queued { not_before } => not_before,
                _ => job.created_at,
            },
        }
    }

    /// Returns the queued jobs that are due, in the queue's order.
    fn due(&self, now: Timestamp) -> Vec<Candidate> {
        let due = |job: &&Job| matches!(job.state, JobState::Queued { not_before } if not_before <= now);
        let mut queued: Vec<Candidate> = self.jobs.values().filter(due).map(|job| self.candidate(job)).collect();
        queued.sort_by_key(|job| (job.breach_at, std::cmp::Reverse(job.priority), job.job_id));
        queued
    }

    /// Returns what runs, each with when it was leased.
    fn running(&self) -> Vec<(Candidate, Timestamp)> {
        let of_lease = |(id, lease): (&JobId, &LeaseRow)| {
            let job = self.candidate(self.jobs.get(id)?);
            let leased_at = lease.leased_at;
            Some((Candidate { breach_at: leased_at, priority: 0, created_at: leased_at, ..job }, leased_at))
        };
        self.leases.iter().filter_map(of_lease).collect()
    }

    fn why_over(&self, lease: &LeaseRow, stall_limit: Duration, now: Timestamp) -> Option<String> {
        if !self.is_alive(lease.agent, now) {
            return Some(format!("the heartbeat of its agent {} ended", lease.agent));
        }
        if lease.disowned {
            return Some(format!("its agent {} does not know of it", lease.agent));
        }
        let stalled = later(lease.progressed_at, stall_limit) < now;
        stalled.then(|| format!("it made no progress for {} s", stall_limit.as_secs()))
    }

    fn standing(&self, key: LeaseKey) -> Standing {
        match self.jobs.get(&key.job_id).map(|job| job.state.name()) {
            Some(StateName::Leased) => Standing::Held,
            Some(StateName::Cancelling) => Standing::Cancelling,
            _ => Standing::Lost,
        }
    }

    /// Moves a job on, if the table of moves has it.
    fn move_to(&mut self, id: JobId, state: &JobState) -> Result<&mut Job, StoreError> {
        let job = self.jobs.get_mut(&id).ok_or(StoreError::NotFound { noun: "job", key: id.to_string() })?;
        if !job.state.may_become(state.name()) {
            return Err(StoreError::Move { job_id: id, from: job.state.name(), to: state.name() });
        }
        job.state = state.clone();
        if state.name().is_final() {
            self.checkpoints.remove(&id);
        }
        Ok(job)
    }

    fn lease_end(&mut self, key: LeaseKey, now: Timestamp, ending: AttemptEnd) {
        self.leases.remove(&key.job_id);
        for attempt in self.attempts.iter_mut().filter(|attempt| attempt.key == key) {
            attempt.ended = Some((now, ending));
        }
    }

    fn claim_one(&mut self, id: JobId, agent: AgentId, now: Timestamp) -> Result<Claimed, StoreError> {
        let job = self.move_to(id, &JobState::Leased { agent_id: agent })?;
        job.attempt_token = AttemptToken(job.attempt_token.0 + 1);
        let job = job.clone();
        let access = self.access_of(&job);
        let repository = self.repositories.get_mut(&job.repository_id);
        let repository = repository.ok_or(StoreError::NotFound { noun: "repository", key: String::new() })?;
        repository.epoch.0 += i64::from(access == RepositoryAccess::Alone);
        let epoch = repository.epoch;
        let key = LeaseKey { job_id: id, token: job.attempt_token };
        let lease =
            LeaseRow { token: key.token, agent, leased_at: now, progressed_at: now, progress: None, disowned: false };
        self.leases.insert(id, lease);
        self.attempts.push(Attempt { key, agent_id: agent, leased_at: now, ended: None });
        Ok(Claimed { job, epoch, checkpoint: self.checkpoints.get(&id).cloned() })
    }

    fn enqueue(&mut self, job: &Job, enqueued: &Event, skipped: Option<&Event>) -> Result<Enqueued, StoreError> {
        if job.state.name() != StateName::Queued {
            return Err(StoreError::Move { job_id: job.id, from: job.state.name(), to: StateName::Queued });
        }
        self.purge_permit(job.tenant_id)?;
        self.job_permit(job)?;
        let same = self.jobs.get(&job.id).cloned().map(|row| Job {
            state: job.state.clone(),
            attempt_token: job.attempt_token,
            streak: job.streak,
            counts: job.counts,
            ..row
        });
        if same.as_ref() == Some(job) {
            return Ok(Enqueued::New(job.id));
        }
        if let Some(other) = self.standing_in_the_way(job) {
            skipped.into_iter().for_each(|skipped| self.event_append(skipped));
            return Ok(other);
        }
        if self.jobs.contains_key(&job.id) {
            return Err(StoreError::Taken { noun: "job", key: job.id.to_string() });
        }
        parent(self.tenants.contains_key(&job.tenant_id), "tenant", job.tenant_id)?;
        parent(self.repositories.contains_key(&job.repository_id), "repository", job.repository_id)?;
        job.item_id.map_or(Ok(()), |id| parent(self.items.contains_key(&id), "item", id))?;
        self.jobs.insert(job.id, job.clone());
        self.event_append(enqueued);
        Ok(Enqueued::New(job.id))
    }

    /// Queues what follows a job that ended just now, unless its set is not complete yet.
    fn follow_ups_put(&mut self, ended: JobId, follow_ups: &[FollowUp]) -> Result<(), StoreError> {
        let set = self.jobs.get(&ended).and_then(|job| job.set).map(|(set, _)| set);
        let is_complete = set.is_none_or(|set| {
            let of_set = self.jobs.values().filter(|job| job.set.is_some_and(|(id, _)| id == set)).cloned();
            let jobs = members(of_set.collect());
            let states: Vec<_> = jobs.iter().map(|job| (job.state.name(), job.state.outcome())).collect();
            self.sets.get(&set).is_some_and(|set| is_complete(set.wanted, &states))
        });
        for follow_up in follow_ups.iter().filter(|_| is_complete) {
            if let Some(set) = &follow_up.set {
                self.sets.entry(set.id).or_insert_with(|| set.clone());
            }
            for next in &follow_up.jobs {
                match self.enqueue(&next.job, &next.enqueued, Some(&next.skipped)) {
                    Ok(_) | Err(StoreError::Taken { noun: "job", .. } | StoreError::Retired { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            follow_up.told.iter().for_each(|told| self.event_append(told));
        }
        Ok(())
    }

    fn evidence_add(&mut self, record: &Evidence) -> Result<(), StoreError> {
        let newest = self.evidence.iter().rfind(|row| row.place.item_id == record.place.item_id);
        let next = newest.map_or((1, None), |row| (row.place.sequence + 1, Some(row.hash.clone())));
        if (record.place.sequence, record.place.previous_hash.clone()) != next {
            let key = record.place.sequence.to_string();
            return Err(StoreError::Taken { noun: "place in the chain of evidence,", key });
        }
        self.evidence.push(record.clone());
        Ok(())
    }
}

#[async_trait]
impl JobStore for FakeStores {
    async fn job_enqueue(&self, job: &Job, enqueued: &Event, skipped: Option<&Event>) -> Result<Enqueued, StoreError> {
        self.write(|rows, _| rows.enqueue(job, enqueued, skipped))
    }

    async fn set_add(&self, set: &JobSet) -> Result<(), StoreError> {
        self.write(|rows, _| {
            parent(rows.tenants.contains_key(&set.tenant_id), "tenant", set.tenant_id)?;
            rows.sets.entry(set.id).or_insert_with(|| set.clone());
            Ok(())
        })
    }

    async fn set_get(&self, id: JobSetId) -> Result<JobSet, StoreError> {
        self.read(|rows| found(rows.sets.get(&id), "job set", id))
    }

    async fn set_list(&self, tenant: Option<TenantId>, page: Page<JobSetId>) -> Result<Vec<JobSet>, StoreError> {
        let of_tenant = |row: &&JobSet| tenant.is_none_or(|id| row.tenant_id == id);
        Ok(self.read(|rows| page_of(rows.sets.values().filter(of_tenant), |row| row.id, page)))
    }

    async fn job_get(&self, id: JobId) -> Result<Job, StoreError> {
        self.read(|rows| found(rows.jobs.get(&id), "job", id))
    }

    async fn job_list(&self, filter: JobFilter, page: Page<JobId>) -> Result<Vec<Job>, StoreError> {
        let shown = |row: &&Job| is_shown(row, filter);
        Ok(self.read(|rows| page_of(rows.jobs.values().filter(shown), |row| row.id, page)))
    }

    async fn job_list_overlapping(&self, tenant: TenantId) -> Result<Vec<(PlanId, Timestamp)>, StoreError> {
        Ok(self.read(|rows| {
            let live = rows.jobs.values().filter(|job| is_live_backup(job) && overlap_of(job) == Some(tenant));
            live.filter_map(|job| Some((job.plan_id?, occurrence(job).unwrap_or(job.created_at)))).collect()
        }))
    }

    async fn job_progress_get(&self, id: JobId) -> Result<Option<Progress>, StoreError> {
        Ok(self.read(|rows| rows.leases.get(&id).and_then(|lease| lease.progress)))
    }

    async fn job_unread_get(&self, id: JobId) -> Result<Unread, StoreError> {
        Ok(self.read(|rows| rows.unread.get(&id).cloned().unwrap_or_default()))
    }

    async fn job_lease(
        &self,
        agent: AgentId,
        kinds: &[JobKind],
        held: &[LeaseKey],
        count_max: u32,
        ttl: Duration,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.write(|rows, now| {
            let has_leases = rows.leases.values().any(|lease| lease.agent == agent);
            if has_leases && !rows.is_alive(agent, now) {
                return Ok(Vec::new());
            }
            rows.agents.insert(agent, later(now, ttl));
            rows.disown(agent, held, ttl, now);
            rows.agent_kinds.insert(agent, kinds.to_vec());
            let running: Vec<Candidate> = rows.running().into_iter().map(|(job, _)| job).collect();
            let (queued, rules) = (rows.due(now), rows.rules.0.clone());
            let line = turns(&queued, &running, &rules, kinds, now).admitted;
            let first = line.into_iter().take(count_max as usize);
            let claimed = first.map(|id| rows.claim_one(id, agent, now)).collect::<Result<Vec<_>, _>>()?;
            Ok(claimed)
        })
    }

    async fn job_renew(&self, agent: AgentId, leases: &[LeaseKey], ttl: Duration) -> Result<Vec<Standing>, StoreError> {
        self.write(|rows, now| {
            if !rows.is_alive(agent, now) {
                return Ok(vec![Standing::Lost; leases.len()]);
            }
            rows.agents.insert(agent, later(now, ttl));
            let own = |key: &LeaseKey| {
                rows.leases.get(&key.job_id).is_some_and(|lease| lease.agent == agent && lease.token == key.token)
            };
            let standing = |key: &LeaseKey| if own(key) { rows.standing(*key) } else { Standing::Lost };
            Ok(leases.iter().map(standing).collect())
        })
    }

    async fn agent_retire(&self, agent: AgentId) -> Result<(), StoreError> {
        self.write(|rows, now| {
            if rows.is_alive(agent, now) {
                rows.agents.insert(agent, now);
            }
            Ok(())
        })
    }

    async fn agent_page_alive(&self, page: Page<AgentId>) -> Result<Vec<AliveAgent>, StoreError> {
        let now = self.now();
        Ok(self.read(|rows| {
            let alive = rows.agents.keys().filter(|agent| rows.is_alive(**agent, now));
            let kinds = |agent: &AgentId| rows.agent_kinds.get(agent).cloned().unwrap_or_default();
            let alive: Vec<_> = alive.map(|agent| AliveAgent { id: *agent, kinds: kinds(agent) }).collect();
            page_of(alive.iter(), |agent| agent.id, page)
        }))
    }

    async fn job_progress_put(&self, key: LeaseKey, progress: &Progress) -> Result<Standing, LeaseError> {
        self.write(|rows, now| {
            let mut lease = rows.lease_alive(key, now)?.clone();
            if lease.progress.as_ref() != Some(progress) {
                (lease.progress, lease.progressed_at, lease.disowned) = (Some(*progress), now, false);
                rows.leases.insert(key.job_id, lease);
            }
            Ok(rows.standing(key))
        })
    }

    async fn job_checkpoint_put(&self, key: LeaseKey, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        self.write(|rows, now| {
            rows.lease_alive(key, now)?;
            rows.checkpoints.insert(key.job_id, checkpoint.clone());
            Ok(())
        })
    }

    async fn job_settle(&self, key: LeaseKey, settlement: &Settlement) -> Result<(), LeaseError> {
        self.write(|rows, now| {
            rows.lease_alive(key, now)?;
            let (from, to) = (found(rows.jobs.get(&key.job_id), "job", key.job_id)?, settlement.state.name());
            if matches!(to, StateName::Leased | StateName::Cancelling) {
                return Err(StoreError::Move { job_id: key.job_id, from: from.state.name(), to }.into());
            }
            let job = rows.move_to(key.job_id, &settlement.state)?;
            (job.streak, job.counts) = (settlement.streak, settlement.counts);
            let waited = to == StateName::Waiting && settlement.streak.is_none();
            rows.lease_end(key, now, if waited { AttemptEnd::Waited } else { AttemptEnd::Finished });
            rows.unread.insert(key.job_id, settlement.unread.clone());
            if let Some(snapshot) = &settlement.snapshot {
                let more = rows.snapshot_add(snapshot)?;
                let usage = rows.usage.entry(snapshot.repository_id).or_default();
                usage.bytes = usage.bytes.saturating_add(snapshot.counts.bytes_stored);
                usage.snapshots += more;
            }
            if let Some(confirmed) = &settlement.confirmed {
                let of_job = (rows.jobs[&key.job_id].item_id, rows.jobs[&key.job_id].repository_id);
                let row = rows.snapshots.iter_mut().find(|row| row.id == confirmed.snapshot_id).filter(|row| {
                    row.is_good && row.forgotten_at.is_none() && (Some(row.item_id), row.repository_id) == of_job
                });
                let key = confirmed.snapshot_id.to_string();
                let row = row.ok_or(StoreError::NotFound { noun: "good snapshot", key })?;
                row.confirmed_at = Some(confirmed.at);
            }
            settlement.evidence.iter().try_for_each(|record| rows.evidence_add(record))?;
            let repository = rows.jobs[&key.job_id].repository_id;
            settlement.pruned.iter().for_each(|pruned| rows.pruned_put(repository, pruned, now));
            if let (Some(read), Some(proof)) = (&settlement.slice_read, rows.proofs.get_mut(&repository)) {
                proof.take(read, now);
            }
            rows.adopt(repository, &settlement.adopted)?;
            if let Some(found) = &settlement.suspicion {
                rows.suspicions.entry(found.plan_id).or_insert_with(|| found.clone());
            }
            settlement.warnings.iter().chain(&settlement.event).for_each(|event| rows.event_append(event));
            Ok(rows.follow_ups_put(key.job_id, &settlement.follow_ups)?)
        })
    }

    async fn job_list_lost(&self, stall_limit: Duration, rows_max: u32) -> Result<Vec<LostLease>, StoreError> {
        let now = self.now();
        self.read(|rows| {
            let mut over: Vec<(&JobId, &LeaseRow)> = rows.leases.iter().collect();
            over.sort_by_key(|(_, lease)| lease.progressed_at);
            let lost = over.into_iter().filter_map(|(id, lease)| {
                let reason = rows.why_over(lease, stall_limit, now)?;
                Some(LostLease { job: rows.jobs.get(id)?.clone(), reason })
            });
            Ok(lost.take(rows_max.min(PAGE_ROWS_MAX) as usize).collect())
        })
    }

    async fn job_rescue(&self, key: LeaseKey, stall_limit: Duration, rescue: &Rescue) -> Result<bool, StoreError> {
        self.write(|rows, now| {
            let lease = rows.leases.get(&key.job_id).filter(|lease| lease.token == key.token);
            if lease.and_then(|lease| rows.why_over(lease, stall_limit, now)).is_none() {
                return Ok(false);
            }
            rows.move_to(key.job_id, &rescue.state)?.streak = Some(rescue.streak);
            rows.lease_end(key, now, AttemptEnd::Lost);
            rows.event_append(&rescue.event);
            Ok(true)
        })
    }

    async fn job_wake(&self) -> Result<u64, StoreError> {
        self.write(|rows, now| {
            let mut woken = 0;
            for job in rows.jobs.values_mut() {
                if let JobState::Waiting { wake_at, .. } = job.state
                    && wake_at <= now
                {
                    job.state = JobState::Queued { not_before: wake_at };
                    woken += 1;
                }
            }
            Ok(woken)
        })
    }

    async fn job_cancel(&self, id: JobId, now: Timestamp, cancelled: &Event) -> Result<JobState, StoreError> {
        self.write(|rows, _| {
            let state = found(rows.jobs.get(&id), "job", id)?.state;
            let next = match &state {
                JobState::Cancelling { .. } | JobState::Cancelled { .. } => return Ok(state),
                JobState::Leased { agent_id } => JobState::Cancelling { agent_id: *agent_id },
                _ => JobState::Cancelled { finished_at: now },
            };
            rows.move_to(id, &next)?;
            if next.name() == StateName::Cancelled {
                rows.event_append(cancelled);
            }
            Ok(next)
        })
    }

    async fn job_lift(&self, id: JobId, now: Timestamp, lifted: &Event) -> Result<JobState, StoreError> {
        self.write(|rows, _| {
            let job = found(rows.jobs.get(&id), "job", id)?;
            let next = JobState::Queued { not_before: now };
            if job.state.name() != StateName::Parked {
                return Err(StoreError::Move { job_id: id, from: job.state.name(), to: StateName::Queued });
            }
            let of_item = |row: &&Job| row.item_id == job.item_id && is_live_backup(row);
            if job.kind() == JobKind::Backup && rows.jobs.values().any(|row| of_item(&row)) {
                return Err(StoreError::Taken { noun: "live backup of the item of job", key: id.to_string() });
            }
            rows.move_to(id, &next)?.streak = None;
            rows.event_append(lifted);
            Ok(next)
        })
    }

    async fn job_durations(&self, filter: JobFilter, rows_max: u32) -> Result<Vec<Duration>, StoreError> {
        let filter = JobFilter { state: Some(StateName::Succeeded), ..filter };
        Ok(self.read(|rows| {
            let wanted = |job: &&Job| is_shown(job, filter);
            let took = |job: &Job| {
                let key = LeaseKey { job_id: job.id, token: job.attempt_token };
                let attempt = rows.attempts.iter().find(|attempt| attempt.key == key)?;
                Duration::try_from(attempt.ended?.0.duration_since(attempt.leased_at)).ok()
            };
            rows.jobs.values().rev().filter(wanted).take(rows_max as usize).filter_map(took).collect()
        }))
    }

    async fn queue_look(&self, rows_max: u32) -> Result<QueueLook, StoreError> {
        let now = self.now();
        Ok(self.read(|rows| {
            let mut queued = rows.due(now);
            let has_more = queued.len() > rows_max as usize;
            queued.truncate(rows_max as usize);
            QueueLook { queued, has_more, running: rows.running() }
        }))
    }

    async fn queue_rules_get(&self) -> Result<(Rules, i64), StoreError> {
        Ok(self.read(|rows| rows.rules.clone()))
    }

    async fn queue_rules_put(&self, seen: i64, rules: &Rules) -> Result<bool, StoreError> {
        self.write(|rows, _| {
            let is_seen = rows.rules.1 == seen;
            if is_seen {
                rows.rules = (rules.clone(), seen + 1);
            }
            Ok(is_seen)
        })
    }
}
