//! Which occurrences may start beside which jobs.
//!
//! An occurrence that meets its own plan's work is skipped and told. One that meets another plan of the same overlap
//! key waits in the order of coming until its start window ends, then is skipped and told. Who was skipped so keeps its
//! place the next time, however short the window: nobody starves. [`windows_fit`] warns before it comes to that.

use std::time::Duration;

use jiff::Timestamp;

use super::id::{PlanId, TenantId};
use super::schedule::OverlapKey;

/// What must not run at the same time: two of the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Work of one plan.
    Plan(PlanId),
    /// Work of all plans of a tenant that say so.
    Tenant(TenantId),
}

/// Returns the key of a plan's work.
pub const fn key_of(plan: PlanId, tenant: TenantId, overlap: OverlapKey) -> Key {
    match overlap {
        OverlapKey::Plan => Key::Plan(plan),
        OverlapKey::Tenant => Key::Tenant(tenant),
    }
}

/// An occurrence that wants to start, or whose jobs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimant {
    /// Its plan.
    pub plan_id: PlanId,
    /// What it must not run beside.
    pub key: Key,
    /// Its name.
    pub planned_at: Timestamp,
    /// Since when it could start: the order of coming.
    pub not_before: Timestamp,
    /// When its start window ends.
    pub start_by: Timestamp,
    /// How many occurrences of the plan before it, in a row, were skipped for other plans: as of the moment when it is
    /// asked what it meets, not of when it came, for an older one may be skipped while it waits.
    pub skipped_before: u32,
}

/// What an occurrence meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    /// Nothing: it starts.
    Free,
    /// Work of another plan: it waits.
    Waits {
        /// The plan that it waits for.
        plan_id: PlanId,
        /// When it is skipped; none when it waits as long as it takes, because it was skipped before.
        until: Option<Timestamp>,
    },
    /// Its own plan still works, or waits, at an older occurrence: it is skipped.
    SkippedForItself {
        /// The older one.
        planned_at: Timestamp,
    },
    /// Its window ended while another plan worked: it is skipped.
    SkippedForAnother {
        /// The plan that worked.
        plan_id: PlanId,
    },
}

/// Says what an occurrence meets: `running` are those with jobs that have begun, `waiting` all that want to start.
pub fn meet(claimant: &Claimant, running: &[Claimant], waiting: &[Claimant], now: Timestamp) -> Meeting {
    let older = |other: &&Claimant| other.plan_id == claimant.plan_id && other.planned_at < claimant.planned_at;
    if let Some(own) = running.iter().chain(waiting).find(older) {
        return Meeting::SkippedForItself { planned_at: own.planned_at };
    }
    let mine = |other: &&Claimant| other.key == claimant.key && other.plan_id != claimant.plan_id;
    // Nothing overtakes what it overlaps: who came earlier goes first, even while both wait.
    let ahead =
        waiting.iter().filter(mine).filter(|other| order(other) < order(claimant)).min_by_key(|other| order(other));
    let Some(other) = running.iter().find(mine).or(ahead) else { return Meeting::Free };
    if claimant.skipped_before > 0 {
        return Meeting::Waits { plan_id: other.plan_id, until: None };
    }
    if now >= claimant.start_by {
        return Meeting::SkippedForAnother { plan_id: other.plan_id };
    }
    Meeting::Waits { plan_id: other.plan_id, until: Some(claimant.start_by) }
}

fn order(claimant: &Claimant) -> (Timestamp, Timestamp, PlanId) {
    (claimant.not_before, claimant.planned_at, claimant.plan_id)
}

/// A plan of one overlap key, with what its work is expected to need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Its name, for the warning.
    pub name: String,
    /// The shortest time between two of its occurrences.
    pub interval: Duration,
    /// How long one of them is expected to work.
    pub expected: Duration,
    /// Its start window.
    pub start_window: Duration,
}

/// Returns warnings, in words, about plans of one overlap key that cannot keep their windows; none when they fit.
pub fn windows_fit(loads: &[Load]) -> Vec<String> {
    let mut warnings = Vec::new();
    let share: f64 = loads.iter().map(|load| load.expected.as_secs_f64() / load.interval.as_secs_f64().max(1.0)).sum();
    if loads.len() > 1 && share > 1.0 {
        let names: Vec<&str> = loads.iter().map(|load| load.name.as_str()).collect();
        let (hours, names) = (share * 24.0, names.join(", "));
        warnings.push(format!("{names} together need {hours:.1} hours of work in each 24 and may not overlap"));
    }
    for (place, load) in loads.iter().enumerate() {
        // At worst it comes just after each of the others has come once.
        let others = loads.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, other)| other);
        let wait: Duration = others.map(|other| other.expected).sum();
        if wait > load.start_window {
            let (name, wait, window) = (&load.name, minutes(wait), minutes(load.start_window));
            warnings.push(format!(
                "{name} may wait {wait} min for plans that it may not overlap; its start window is {window} min"
            ));
        }
    }
    warnings
}

const fn minutes(length: Duration) -> u64 {
    length.as_secs().div_ceil(60)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_000_000_000 + minute * 60).unwrap()
    }

    fn plan(number: u8) -> PlanId {
        PlanId::new(Timestamp::UNIX_EPOCH, [number; 10])
    }

    /// `1@0+60`: plan 1 came at minute 0 and its window ends at minute 60; `!` at its end: it was skipped before.
    fn claimant(text: &str) -> Claimant {
        let (text, skipped_before) = text.strip_suffix('!').map_or((text, 0), |text| (text, 1));
        let (number, rest) = text.split_once('@').unwrap();
        let (minute, window) = rest.split_once('+').unwrap();
        let (minute, window): (i64, i64) = (minute.parse().unwrap(), window.parse().unwrap());
        let key = Key::Tenant(TenantId::new(Timestamp::UNIX_EPOCH, [9; 10]));
        let plan_id = plan(number.parse().unwrap());
        let (planned_at, start_by) = (at(minute), at(minute + window));
        Claimant { plan_id, key, planned_at, not_before: planned_at, start_by, skipped_before }
    }

    fn check(text: &str, running: &str, waiting: &str, now: i64, expected: &str) {
        let all = |text: &str| text.split_whitespace().map(claimant).collect::<Vec<_>>();
        let name = |id: PlanId| (0..9).find(|number| plan(*number) == id).unwrap();
        let answer = match meet(&claimant(text), &all(running), &all(waiting), at(now)) {
            Meeting::Free => "free".to_owned(),
            Meeting::Waits { plan_id, until: None } => format!("waits for {}", name(plan_id)),
            Meeting::Waits { plan_id, until: Some(_) } => format!("waits for {} in its window", name(plan_id)),
            Meeting::SkippedForItself { .. } => "own".to_owned(),
            Meeting::SkippedForAnother { plan_id } => format!("skipped for {}", name(plan_id)),
        };
        assert_eq!(answer, expected, "{text} beside {running} and {waiting} at {now}");
    }

    #[test]
    fn what_an_occurrence_meets() {
        check("1@0+60", "", "", 0, "free");
        check("1@60+60", "1@0+60", "", 60, "own");
        check("1@60+60", "", "1@0+90", 60, "own");
        check("1@10+60", "2@0+60", "", 10, "waits for 2 in its window");
        check("1@10+60", "2@0+60", "", 70, "skipped for 2");
        check("1@10+60!", "2@0+60", "", 500, "waits for 2");
        check("1@10+60", "", "2@5+60", 10, "waits for 2 in its window");
        check("1@10+60", "", "2@15+60", 20, "free");
        check("1@10+60", "", "1@10+60 2@15+60", 20, "free");
    }

    #[test]
    fn keys_are_by_plan_or_tenant() {
        let tenant = TenantId::new(Timestamp::UNIX_EPOCH, [9; 10]);
        assert_eq!(key_of(plan(1), tenant, OverlapKey::Tenant), key_of(plan(2), tenant, OverlapKey::Tenant));
        assert_ne!(key_of(plan(1), tenant, OverlapKey::Plan), key_of(plan(2), tenant, OverlapKey::Plan));
        let beside = Claimant { key: key_of(plan(2), tenant, OverlapKey::Plan), ..claimant("2@0+60") };
        assert_eq!(meet(&claimant("1@10+60"), &[beside], &[], at(10)), Meeting::Free);
    }

    fn fit(loads: &str) -> String {
        let minutes = |text: &str| Duration::from_secs(text.parse::<u64>().unwrap() * 60);
        let read = |text: &str| {
            let parts: Vec<&str> = text.split('/').collect();
            let (interval, expected, start_window) = (minutes(parts[1]), minutes(parts[2]), minutes(parts[3]));
            Load { name: parts[0].to_owned(), interval, expected, start_window }
        };
        windows_fit(&loads.split_whitespace().map(read).collect::<Vec<_>>()).join("; ")
    }

    #[test]
    fn windows_that_cannot_fit_are_told_before() {
        assert_eq!(fit("a/60/20/60 b/1440/60/60"), "");
        assert_eq!(fit("a/60/90/60"), "");
        assert_eq!(
            fit("a/60/20/60 b/1440/90/60"),
            "a may wait 90 min for plans that it may not overlap; its start window is 60 min"
        );
        assert_eq!(
            fit("a/60/45/200 b/120/60/200"),
            "a, b together need 30.0 hours of work in each 24 and may not overlap"
        );
    }

    prop_compose! {
        fn any_plan()(interval in 30i64..2_000, offset in 0i64..500, length in 1i64..600, window in 1i64..300) -> [i64; 4] {
            [interval, offset, length, window]
        }
    }

    /// 30 days, minute by minute: plans of one key never run together, and none is skipped for others twice in a row.
    /// A plan is its interval, offset, length of work and start window, in minutes.
    fn thirty_days(plans: &[[i64; 4]]) {
        let mut running: Option<(Claimant, i64)> = None;
        let mut waiting: Vec<Claimant> = Vec::new();
        let mut skips: BTreeMap<PlanId, u32> = BTreeMap::new();
        let mut runs = vec![0; plans.len()];
        for minute in 0..30 * 1_440 {
            running = running.filter(|(_, until)| *until > minute);
            for (number, [interval, offset, _, window]) in plans.iter().enumerate() {
                if (minute - offset) % interval == 0 && minute >= *offset {
                    waiting.push(claimant(&format!("{number}@{minute}+{window}")));
                }
            }
            for came in waiting.clone() {
                let others: Vec<Claimant> = running.iter().map(|(claimant, _)| *claimant).collect();
                let skipped_before = skips.get(&came.plan_id).copied().unwrap_or(0);
                match meet(&Claimant { skipped_before, ..came }, &others, &waiting, at(minute)) {
                    Meeting::Waits { .. } => continue,
                    Meeting::Free => {
                        assert!(running.is_none(), "two of one key run: {plans:?}");
                        let number = (0..plans.len()).find(|number| plan(*number as u8) == came.plan_id).unwrap();
                        running = Some((came, minute + plans[number][2]));
                        runs[number] += 1;
                        skips.insert(came.plan_id, 0);
                    }
                    Meeting::SkippedForItself { .. } => {}
                    Meeting::SkippedForAnother { .. } => {
                        let count = skips.entry(came.plan_id).or_default();
                        *count += 1;
                        assert!(*count < 2, "one starves: {plans:?}");
                    }
                }
                waiting.retain(|other| *other != came);
            }
            assert!(running.is_some() || waiting.is_empty(), "one waits beside an idle key: {plans:?}");
        }
        // Each plan's turn comes: at worst one skip, then the line of all others, then its own work.
        let line: i64 = plans.iter().map(|plan| plan[2]).sum();
        for (runs, [interval, offset, _, _]) in runs.iter().zip(plans) {
            let fair = (30 * 1_440 - offset) / (3 * interval + 2 * line);
            assert!(*runs >= fair, "{runs} runs, {fair} would be fair: {plans:?}");
        }
    }

    #[test]
    fn one_that_came_while_an_older_one_was_skipped_keeps_the_place() {
        thirty_days(&[[30, 0, 410, 1], [68, 0, 1, 204]]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn nobody_starves_in_thirty_days(plans in prop::collection::vec(any_plan(), 1..6)) {
            thirty_days(&plans);
        }
    }
}
