//! How far plans are, in memory.

use std::time::Duration;

use async_trait::async_trait;
use backstay_core::domain::event::Event;
use backstay_core::domain::id::{MaintenanceId, PlanId, TenantId};
use backstay_core::domain::job::JobState;
use backstay_core::domain::lease::LEASE_TTL;
use backstay_core::domain::schedule::{Calendar, OverlapKey, ScheduleState, nearer};
use backstay_core::ports::schedule::{ClockLook, MaintenanceRow, ScheduleStore, ScheduledItem, ScheduledPlan, Start};
use backstay_core::ports::store::{PAGE_ROWS_MAX, Page, StoreError};
use jiff::Timestamp;

use super::declaration::{found, parent};
use super::history::page_of;
use super::{FakeStores, Rows};

impl Rows {
    fn scheduled(&self) -> impl Iterator<Item = ScheduledPlan> {
        let with_plan = |state: &ScheduleState| {
            let plan = self.plans.get(&state.plan_id)?.clone();
            Some(ScheduledPlan { plan, state: state.clone() })
        };
        self.schedules.values().filter_map(with_plan)
    }
}

#[async_trait]
impl ScheduleStore for FakeStores {
    async fn clock_read(&self) -> Result<Timestamp, StoreError> {
        Ok(self.now())
    }

    async fn clock_look(&self) -> Result<ClockLook, StoreError> {
        Ok(ClockLook { now: self.now(), back: self.read(|rows| rows.clock_back) })
    }

    async fn schedule_list_due(&self, now: Timestamp, rows_max: u32) -> Result<Vec<ScheduledPlan>, StoreError> {
        self.read(|rows| {
            let is_due = |row: &ScheduledPlan| row.state.next_due_at.is_some_and(|at| at <= now);
            let mut due: Vec<ScheduledPlan> = rows.scheduled().filter(is_due).collect();
            due.sort_by_key(|row| row.state.next_due_at);
            due.truncate(rows_max.min(PAGE_ROWS_MAX) as usize);
            Ok(due)
        })
    }

    async fn schedule_get(&self, plan: PlanId) -> Result<ScheduleState, StoreError> {
        self.read(|rows| found(rows.schedules.get(&plan), "plan", plan))
    }

    async fn schedule_put(&self, state: &ScheduleState, told: &[Event]) -> Result<bool, StoreError> {
        self.write(|rows, _| {
            let Some(row) = rows.schedules.get_mut(&state.plan_id) else { return Ok(false) };
            if row.revision != state.revision {
                return Ok(false);
            }
            *row = ScheduleState { revision: state.revision + 1, ..state.clone() };
            told.iter().for_each(|event| rows.event_append(event));
            Ok(true)
        })
    }

    async fn schedule_list_items(&self, plans: &[PlanId], now: Timestamp) -> Result<Vec<ScheduledItem>, StoreError> {
        self.read(|rows| {
            let plans = plans.iter().filter_map(|id| rows.plans.get(id));
            let items = plans.flat_map(|plan| {
                let items = rows.items.values().filter(|item| item.source_id == plan.source_id);
                items.filter(|item| item.vanished_at.is_none()).map(|item| ScheduledItem {
                    plan_id: plan.id,
                    item: item.clone(),
                    newest_at: rows
                        .newest_good(item.id, plan.repository_id, now)
                        .map(|snapshot| snapshot.proved_at(now)),
                })
            });
            Ok(items.collect())
        })
    }

    async fn schedule_start(&self, starts: &[Start]) -> Result<bool, StoreError> {
        self.write(|rows, _| {
            let mut after = rows.clone();
            for Start { state, set, jobs, told } in starts {
                if rows.schedules.get(&state.plan_id).is_none_or(|row| row.revision != state.revision) {
                    return Ok(false);
                }
                let next = ScheduleState { revision: state.revision + 1, ..state.clone() };
                after.schedules.insert(state.plan_id, next);
                if let Some(set) = set {
                    after.sets.entry(set.id).or_insert_with(|| set.clone());
                }
                for (job, event) in jobs {
                    let taken = after.jobs.contains_key(&job.id) || after.standing_in_the_way(job).is_some();
                    if taken || after.purge_permit(job.tenant_id).is_err() || after.job_permit(job).is_err() {
                        return Ok(false);
                    }
                    after.jobs.insert(job.id, job.clone());
                    after.event_append(event);
                }
                told.iter().for_each(|event| after.event_append(event));
            }
            *rows = after;
            Ok(true)
        })
    }

    async fn schedule_list_waiting(&self, tenant: TenantId) -> Result<Vec<ScheduledPlan>, StoreError> {
        let waits = |row: &ScheduledPlan| {
            let plan = &row.plan;
            row.state.waiting.is_some() && plan.tenant_id == tenant && plan.schedule.overlap() == OverlapKey::Tenant
        };
        Ok(self.read(|rows| rows.scheduled().filter(waits).collect()))
    }

    async fn schedule_look_again(&self) -> Result<u64, StoreError> {
        self.write(|rows, _| {
            let mut count = 0;
            for state in rows.schedules.values_mut().filter(|state| state.next_due_at.is_some()) {
                state.next_due_at = Some(Timestamp::UNIX_EPOCH);
                state.revision += 1;
                count += 1;
            }
            Ok(count)
        })
    }

    async fn heartbeat_latest(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.read(|rows| rows.agents.values().max().copied()))
    }

    async fn dates_bring_nearer(&self, seen: ClockLook, by: Duration) -> Result<Option<u64>, StoreError> {
        let now = seen.now;
        self.write(|rows, _| {
            if rows.clock_back != seen.back {
                return Ok(None);
            }
            rows.clock_back += by;
            let mut count = 0;
            let mut bring = |at: &mut Timestamp| {
                let before = std::mem::replace(at, nearer(*at, now, by));
                count += u64::from(before != *at);
            };
            for job in rows.jobs.values_mut() {
                match &mut job.state {
                    JobState::Queued { not_before: at } | JobState::Waiting { wake_at: at, .. } => bring(at),
                    _ => {}
                }
            }
            rows.watch.values_mut().for_each(&mut bring);
            rows.upkeep.values_mut().for_each(|row| bring(&mut row.due_at));
            rows.proofs.values_mut().for_each(|row| bring(&mut row.due_at));
            for row in rows.monitors.values_mut() {
                bring(&mut row.due_at);
                row.ended = row.ended.map(|(at, well)| (at.min(now), well));
                row.started_at = row.started_at.map(|at| at.min(now));
            }
            rows.outbox.values_mut().filter_map(|row| row.due_at.as_mut()).for_each(&mut bring);
            for row in rows.digests.values_mut() {
                bring(&mut row.due_at);
                row.from_at = nearer(row.from_at, now, by);
            }
            for lease in rows.leases.values_mut() {
                (lease.leased_at, lease.progressed_at) = (lease.leased_at.min(now), lease.progressed_at.min(now));
            }
            for expires_at in rows.agents.values_mut() {
                *expires_at = (*expires_at).min(now.saturating_add(LEASE_TTL).unwrap_or(Timestamp::MAX));
            }
            Ok(Some(count))
        })
    }

    async fn calendar_get(&self, now: Timestamp) -> Result<Calendar, StoreError> {
        let rows = self.maintenance_list(now).await?;
        Ok(Calendar::of(rows.into_iter().map(|row| row.window), now))
    }

    async fn maintenance_add(&self, row: &MaintenanceRow) -> Result<(), StoreError> {
        self.write(|rows, _| {
            if let Some(tenant) = row.window.tenant_id {
                parent(rows.tenants.contains_key(&tenant), "tenant", tenant)?;
            }
            rows.maintenance.push(row.clone());
            Ok(())
        })
    }

    async fn maintenance_page(
        &self,
        now: Timestamp,
        tenant: Option<TenantId>,
        page: Page<MaintenanceId>,
    ) -> Result<Vec<MaintenanceRow>, StoreError> {
        let is_seen = |row: &&MaintenanceRow| {
            row.window.until > now && (tenant.is_none() || row.window.tenant_id.is_none_or(|id| tenant == Some(id)))
        };
        Ok(self.read(|rows| page_of(rows.maintenance.iter().filter(is_seen), |row| row.id, page)))
    }

    async fn maintenance_remove(&self, id: MaintenanceId) -> Result<(), StoreError> {
        self.write(|rows, _| {
            let before = rows.maintenance.len();
            rows.maintenance.retain(|row| row.id != id);
            parent(rows.maintenance.len() < before, "maintenance window", id)
        })
    }
}
