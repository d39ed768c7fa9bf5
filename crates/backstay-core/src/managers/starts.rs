//! Starts what is due of many plans at once: what stands in nobody's way goes into the store in one transaction.
//!
//! ```text
//!  plans due ──look──> what each starts ──store──┬─> all of it is written
//!                                                └─> something is in the way: each half by itself, down to a few plans
//! ```
//!
//! A store that has room for several transactions gets several at once, each with the plans of other tenants: these lock
//! the tenants' rows, and would wait for one another.
//!
//! What is left after that goes one plan after the other (`schedule`), where it is asked what it meets. Both write the
//! same jobs under the same ids.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use futures::future::join_all;
use jiff::Timestamp;

use super::context::Context;
use super::schedule::{Ticked, meeting, occurrence_job, occurrence_set, skip_event};
use crate::domain::id::{PlanId, TenantId};
use crate::domain::overlap::Meeting;
use crate::domain::schedule::{Calendar, Due, Occurrence, OverlapKey, ScheduleState};
use crate::ports::schedule::{ScheduledItem, ScheduledPlan, Start};

/// Jobs after which a transaction takes no further plan.
const JOBS_MAX: usize = 500;

/// Starts that are not tried in halves any more: one by one they cost no more.
const PART_MIN: usize = 8;

/// Starts that are not worth a transaction beside another one.
const LANE_MIN: usize = 16;

/// Starts what it can, and returns the plans that must be worked on one by one.
pub(super) async fn start_many<'a>(
    context: &Context,
    calendar: &Calendar,
    due: &'a [ScheduledPlan],
    now: Timestamp,
    done: &mut Ticked,
) -> Vec<&'a ScheduledPlan> {
    let width = context.schedules.schedule_start_width();
    let mut looked: Vec<_> = due.iter().map(|row| (row, row.state.look(&row.plan, calendar, now))).collect();
    if width > 1 {
        looked.sort_by_key(|(row, _)| row.plan.tenant_id);
    }
    let starting = looked.iter().filter(|(_, found)| matches!(found, Some(Due::Start(_))));
    let items = match items_of(context, starting.map(|(row, _)| row.plan.id).collect(), now).await {
        Some(items) => items,
        None => return due.iter().collect(),
    };
    let (mut starts, mut owners, mut left, mut tenants) = (Vec::new(), Vec::new(), HashSet::new(), HashSet::new());
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
        owners.push(plan.tenant_id);
    }
    let parts = apart(&owners, width).into_iter().map(|part| put_all(context, &starts[part]));
    for (also_left, put) in join_all(parts).await {
        left.extend(also_left);
        done.started += put.started;
        done.skipped += put.skipped;
    }
    due.iter().filter(|row| left.contains(&row.plan.id)).collect()
}

/// Returns where starts of these tenants, which lie side by side, are parted into so many of about the same length, none
/// shorter than [`LANE_MIN`] and no tenant's in two.
fn apart(owners: &[TenantId], parts_max: usize) -> Vec<Range<usize>> {
    let length = owners.len().div_ceil(parts_max.max(1)).max(LANE_MIN);
    let (mut parts, mut from) = (Vec::new(), 0);
    while from < owners.len() {
        let wanted = (from + length).min(owners.len());
        let is_other = |at: &usize| owners.get(*at) != owners.get(at - 1);
        let until = (wanted..owners.len()).find(is_other).unwrap_or(owners.len());
        parts.push(from..until);
        from = until;
    }
    parts
}

/// Writes starts, as many together as a transaction takes; returns what is left and what was done.
async fn put_all(context: &Context, starts: &[Start]) -> (HashSet<PlanId>, Ticked) {
    let (mut left, mut done) = (HashSet::new(), Ticked::default());
    let mut rest = starts;
    while !rest.is_empty() {
        let mut jobs = 0;
        let fits = |start: &&Start| {
            jobs += start.jobs.len();
            jobs <= JOBS_MAX
        };
        // A plan with more than that goes alone.
        let (some, others) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        put(context, some, &mut left, &mut done).await;
        rest = others;
    }
    (left, done)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_parted_between_tenants_alone() {
        let tenant = |number: u8| TenantId::new(Timestamp::UNIX_EPOCH, [number; 10]);
        let owners = |counts: &[usize]| -> Vec<TenantId> {
            (0..).zip(counts).flat_map(|(number, count)| vec![tenant(number); *count]).collect()
        };
        let check = |counts: &[usize], parts_max: usize, expected: &[usize]| {
            let parts = apart(&owners(counts), parts_max);
            assert!(parts.first().is_none_or(|part| part.start == 0));
            assert!(parts.windows(2).all(|two| two[0].end == two[1].start), "nothing is left out: {parts:?}");
            assert_eq!(parts.iter().map(|part| part.end).collect::<Vec<_>>(), expected);
        };
        check(&[1; 100], 1, &[100]);
        check(&[1; 100], 2, &[50, 100]);
        check(&[60, 40], 4, &[60, 100]);
        check(&[100], 4, &[100]);
        check(&[1; 20], 4, &[16, 20]);
        check(&[], 4, &[]);
    }
}
