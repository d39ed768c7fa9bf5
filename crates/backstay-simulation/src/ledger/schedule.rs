//! Promises about occurrences: each is started, skipped and told, counted as missed by the one in whose place it stands,
//! or held; never two runs for one downtime, never silently lost.

use std::time::Duration;

use jiff::Timestamp;

use super::change::due_until;
use super::{Broken, Ledger, keep};
use crate::stage::micros;

/// How long after its moment, and after all is well, an occurrence may be undecided: two replicas may each wait an hour
/// for the database.
const DECIDED_WITHIN: Duration = Duration::from_secs(6 * 3_600);

/// What was told of an occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Told {
    /// Jobs that were enqueued for it.
    started: u32,
    /// Times that it, or an item of it, was skipped.
    skipped: u32,
    /// How many older ones it stands for, as it was told.
    missed: u32,
}

impl Ledger {
    /// Takes in what an event says of an occurrence, in the words that a person reads.
    pub(super) fn told_occurrence(&mut self, kind: &str, message: &str) -> Result<(), Broken> {
        let Some((plan, planned_at)) = named(message) else { return Ok(()) };
        let newest = self.newest.entry(plan.clone()).or_insert(planned_at);
        // Others may still tell of the newest one; of an older one nobody does any more.
        let is_late = planned_at < *newest;
        *newest = planned_at.max(*newest);
        let told = self.occurrences_told.entry((plan, planned_at)).or_default();
        let is_known = told.started + told.skipped > 0;
        match kind {
            "enqueued" => {
                told.started += 1;
                told.missed = told.missed.max(missed(message));
            }
            "skipped" => {
                told.skipped += 1;
                told.missed = told.missed.max(missed(message));
            }
            _ => {}
        }
        keep(!is_late || is_known, "what was missed is made up for once", || message.to_owned())
    }

    /// No occurrence was lost without a word.
    pub(super) fn accounted(&self) -> Result<(), Broken> {
        let now = self.stage().now();
        let well = self.world.weather.well_since();
        let undecided_from = now.as_microsecond() - micros(DECIDED_WITHIN);
        for (plan, _) in &self.world.plans {
            let sql =
                format!("SELECT last_planned_at, waiting_planned_at FROM plan_schedule WHERE plan_id = '{}'", plan.id);
            let state = &self.table.rows(sql)[0];
            let last: i64 = state.get::<Option<i64>>("last_planned_at").unwrap_or(i64::MIN);
            let waiting: Option<i64> = state.get("waiting_planned_at");
            let versions = &self.changes.versions[&plan.id.to_string()];
            let (mut passed_over, mut untold) = (0, None);
            for (planned_at, starts_at) in due_until(plan, versions, now) {
                let key = (plan.name.to_string(), planned_at.as_second());
                match self.occurrences_told.get(&key) {
                    Some(told) => {
                        keep(told.missed == passed_over, "what is passed over is counted, and told", || {
                            format!(
                                "{} of plan {}: {told:?}, and {passed_over} were passed over",
                                planned_at, plan.name
                            )
                        })?;
                        (passed_over, untold) = (0, None);
                    }
                    None => {
                        let at = planned_at.as_microsecond();
                        let may_wait = waiting == Some(at) || starts_at.max(well).as_microsecond() > undecided_from;
                        keep(at <= last || may_wait, "an occurrence is started, or skipped and told, or held", || {
                            format!("{planned_at} of plan {} at {now}, well since {well}", plan.name)
                        })?;
                        passed_over += 1;
                        untold = Some(at);
                    }
                }
            }
            // Passed over, decided, and nobody told: `last` is beyond them, and no later one counts them. A change of the
            // schedule decides nothing: what was due before it waits.
            let told_last = self.newest.get(&plan.name.to_string()).copied().unwrap_or(i64::MIN);
            let is_told = last <= told_last.saturating_mul(1_000_000);
            let is_change = versions.iter().any(|version| version.from.as_microsecond() == last);
            let waits = untold.is_none_or(|at| at > last || waiting == Some(at));
            keep(is_told || is_change && waits, "what is decided is told", || {
                format!("plan {}: decided up to {last}, told up to {told_last}, {untold:?} is not", plan.name)
            })?;
        }
        Ok(())
    }
}

/// Returns the plan and the second of the occurrence that a message is about.
fn named(message: &str) -> Option<(String, i64)> {
    let word_after = |text: &str, before: &str| {
        let (_, rest) = text.split_once(before)?;
        let end = rest.find([',', ' ']).unwrap_or(rest.len());
        Some(rest[..end].trim_end_matches(':').to_owned())
    };
    let (plan, at) = if message.contains(" was not started at ") {
        (word_after(message, "plan ")?, word_after(message, " was not started at ")?)
    } else {
        (word_after(message, "by plan ")?, word_after(message, "planned for ")?)
    };
    let at: Timestamp = at.parse().ok()?;
    Some((plan, at.as_second()))
}

/// Returns how many older ones a message says it stands for.
fn missed(message: &str) -> u32 {
    let count = message.split_once("in the place of ").and_then(|(_, rest)| rest.split(' ').next());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}
