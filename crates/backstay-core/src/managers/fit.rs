//! Whether plans that keep out of one another's way can keep their windows: from their schedules, and from how long their
//! backups took.

use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use crate::domain::job::JobKind;
use crate::domain::overlap::{Load, windows_fit};
use crate::domain::plan::Plan;
use crate::domain::rpo::{DURATIONS_MAX, expected_duration};
use crate::domain::schedule::{OverlapKey, next};
use crate::ports::store::{JobFilter, StoreError};

/// Plans of one tenant that are looked at.
const PLANS_MAX: usize = 20;

/// Items of a plan whose history is asked for; the others are taken to be like these.
const ITEMS_MAX: usize = 5;

/// Starts of a plan between which the shortest time is looked for: a week of every four hours.
const STARTS: usize = 42;

/// Returns warnings about a plan whose overlap key it shares with others, in words; none when all fit, and when nothing is
/// known yet of how long they take.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn warnings(context: &Context, plan: &Plan, now: Timestamp) -> Result<Vec<String>, StoreError> {
    if plan.schedule.overlap() != OverlapKey::Tenant {
        return Ok(Vec::new());
    }
    let plans = context.declarations.plan_list(Some(plan.tenant_id)).await?;
    let shares = |other: &&Plan| {
        other.retired_at.is_none() && other.schedule.overlap() == OverlapKey::Tenant && other.id != plan.id
    };
    let others = plans.iter().filter(shares).take(PLANS_MAX - 1);
    let mut loads = Vec::new();
    for plan in [plan].into_iter().chain(others) {
        loads.extend(load(context, plan, now).await?);
    }
    let of_this = format!("{} may wait ", plan.name);
    let all = windows_fit(&loads).into_iter();
    Ok(all.filter(|words| words.contains(" together need ") || words.starts_with(&of_this)).collect())
}

/// Returns what a plan's work needs; none for one that starts on request only.
async fn load(context: &Context, plan: &Plan, now: Timestamp) -> Result<Option<Load>, StoreError> {
    let state = context.schedules.schedule_get(plan.id).await?;
    let starts: Vec<Timestamp> = next(&state.planned(plan), now, STARTS).into_iter().map(|(at, _)| at).collect();
    let between = |pair: &[Timestamp]| Duration::try_from(pair[1].duration_since(pair[0])).ok();
    let Some(interval) = starts.windows(2).filter_map(between).min() else { return Ok(None) };
    let items = context.declarations.item_list(plan.source_id).await?;
    let live: Vec<_> = items.iter().filter(|item| item.vanished_at.is_none()).collect();
    let (mut expected, mut known) = (Duration::ZERO, 0u32);
    for item in live.iter().take(ITEMS_MAX) {
        // A plan that is new is expected to take as long as others of its items.
        let like = JobFilter { item_id: Some(item.id), kind: Some(JobKind::Backup), ..JobFilter::default() };
        let mut newest = context.jobs.job_durations(like, DURATIONS_MAX as u32).await?;
        if !newest.is_empty() {
            newest.reverse();
            expected += expected_duration(&newest);
            known += 1;
        }
    }
    // What never ran says nothing of how long it takes.
    if let Some(each) = expected.checked_div(known) {
        expected = each.saturating_mul(u32::try_from(live.len()).unwrap_or(u32::MAX));
    }
    Ok(Some(Load { name: plan.name.to_string(), interval, expected, start_window: plan.schedule.start_window() }))
}
