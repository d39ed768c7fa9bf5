//! Starts what is due of many plans at once: what stands in nobody's way goes into the store in one transaction.
//!
//! ```text
//!  plans due ──look──> what each starts ──store──┬─> all of it is written
//!                                                └─> something is in the way: each half by itself, down to a few plans
//! ```
//!
//! What is left after that goes one plan after the other (`schedule`), where it is asked what it meets. Both write the
//! same jobs under the same ids.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::context::Context;
use super::schedule::{Ticked, meeting, occurrence_job, occurrence_set, skip_event};
use crate::domain::id::PlanId;
use crate::domain::overlap::Meeting;
use crate::domain::schedule::{Calendar, Due, Occurrence, OverlapKey, ScheduleState};
use crate::ports::schedule::{ScheduledItem, ScheduledPlan, Start};

/// Jobs after which a transaction takes no further plan.
const JOBS_MAX: usize = 500;

/// Starts that are not tried in halves any more: one by one they cost no more.
const PART_MIN: usize = 8;

/// Starts what it can, and returns the plans that must be worked on one by one.
pub(super) async fn start_many<'a>(
    context: &Context,
    calendar: &Calendar,
    due: &'a [ScheduledPlan],
    now: Timestamp,
    done: &mut Ticked,
) -> Vec<&'a ScheduledPlan> {
    let looked: Vec<_> = due.iter().map(|row| (row, row.state.look(&row.plan, calendar, now))).collect();
    let starting = looked.iter().filter(|(_, found)| matches!(found, Some(Due::Start(_))));
    let items = match items_of(context, starting.map(|(row, _)| row.plan.id).collect(), now).await {
        Some(items) => items,
        None => return due.iter().collect(),
    };
    let (mut starts, mut left, mut tenants) = (Vec::new(), HashSet::new(), HashSet::new());
    for (row, found) in &looked {
        let ScheduledPlan { plan, state } = row;
        let rests = |state: ScheduleState| Start { state, set: None, jobs: Vec::new(), told: Vec::new() };
        starts.push(match found {
            None => rests(state.rest(plan, now)),
            Some(Due::Hold { until, .. }) => rests(state.held(*until, now)),
            Some(Due::Skip { planned_at, skip, missed }) => {
                let told = vec![skip_event(context, plan, (*planned_at, *missed), skip, now)];
                Start { told, ..rests(state.done(plan, *planned_at, now)) }
            }
            Some(Due::Start(occurrence)) => {
                // Of the plans of one tenant that keep out of one another's way, the first one here may be alone.
                let together = plan.schedule.overlap() != OverlapKey::Tenant || tenants.insert(plan.tenant_id);
                if !together || !is_free(context, row, occurrence, now).await {
                    left.insert(plan.id);
                    continue;
                }
                let items = items.get(&plan.id).map(Vec::as_slice).unwrap_or_default();
                let set = occurrence_set(plan, occurrence, items.len(), now);
                let of = |(place, found): (u32, &ScheduledItem)| {
                    let place = set.as_ref().map(|set| (set.id, place));
                    occurrence_job(context, plan, (&found.item, found.newest_at), (occurrence, place), now)
                };
                let jobs = (0..).zip(items).map(of).collect();
                let state = ScheduleState { skipped_before: 0, ..state.done(plan, occurrence.planned_at, now) };
                Start { set, jobs, ..rests(state) }
            }
        });
    }
    let mut rest = starts.as_slice();
    while !rest.is_empty() {
        let mut jobs = 0;
        let fits = |start: &&Start| {
            jobs += start.jobs.len();
            jobs <= JOBS_MAX
        };
        // A plan with more than that goes alone.
        let (some, others) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        put(context, some, &mut left, done).await;
        rest = others;
    }
    due.iter().filter(|row| left.contains(&row.plan.id)).collect()
}

/// Returns the items of plans; none when they cannot be read together.
async fn items_of(
    context: &Context,
    plans: Vec<PlanId>,
    now: Timestamp,
) -> Option<HashMap<PlanId, Vec<ScheduledItem>>> {
    let mut by_plan: HashMap<PlanId, Vec<ScheduledItem>> = HashMap::new();
    if plans.is_empty() {
        return Some(by_plan);
    }
    // One row that cannot be read must not hold the others up: whoever goes alone says which one it is.
    for found in context.schedules.schedule_list_items(&plans, now).await.ok()? {
        by_plan.entry(found.plan_id).or_default().push(found);
    }
    Some(by_plan)
}

async fn is_free(context: &Context, row: &ScheduledPlan, occurrence: &Occurrence, now: Timestamp) -> bool {
    let met = meeting(context, row, occurrence, now).await;
    matches!(met, Ok(Meeting::Free | Meeting::SkippedForItself { .. }))
}

/// Writes starts together; where something is in the way, each half by itself. What cannot be written so is left.
async fn put(context: &Context, starts: &[Start], left: &mut HashSet<PlanId>, done: &mut Ticked) {
    let mut parts = vec![starts];
    while let Some(part) = parts.pop() {
        match context.schedules.schedule_start(part).await {
            Ok(true) => {
                done.started += part.iter().map(|start| start.jobs.len() as u64).sum::<u64>();
                done.skipped += part.iter().map(|start| start.told.len() as u64).sum::<u64>();
            }
            Ok(false) if part.len() > PART_MIN => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            Ok(false) | Err(_) => left.extend(part.iter().map(|start| start.state.plan_id)),
        }
    }
}
