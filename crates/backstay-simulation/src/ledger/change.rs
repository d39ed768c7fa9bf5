//! Promises across what people change: a cap holds for each lease that is given under it, no backup starts over its tenant's
//! quota, and what is pinned or held is not forgotten. Which schedules a plan had is kept here, for `schedule`.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use backstay_core::domain::plan::Plan;
use backstay_core::domain::schedule::{OverlapKey, Pause, Planned, Rhythm, Schedule, jitter_of, upcoming};
use jiff::Timestamp;
use serde_json::Value;

use super::log::{Done, Written, of};
use super::{Broken, Ledger, keep};

/// A schedule that a plan has from a moment on.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) from: Timestamp,
    schedule: Schedule,
}

impl Version {
    /// Says whether both name the same moments.
    fn names_as(&self, other: &Self) -> bool {
        let (one, other) = (&self.schedule, &other.schedule);
        (one.rhythm(), one.time_zone()) == (other.rhythm(), other.time_zone())
    }
}

/// What people declared last, and what it was before.
#[derive(Default)]
pub(super) struct Changes {
    /// The schedules of each plan, the newest last.
    pub(super) versions: HashMap<String, Vec<Version>>,
    /// The caps in force.
    caps: Value,
    /// How many snapshots each tenant may have.
    quotas: HashMap<String, i64>,
    /// The snapshots that each tenant has.
    stored: HashMap<String, BTreeSet<String>>,
    /// Since which look each tenant is at its quota, or beyond it.
    over: HashMap<String, u64>,
    /// The attempts that got their lease while their tenant was: since which look that was so.
    begun_over: HashMap<(String, i64), u64>,
}

/// Returns the schedule of a row, as far as it names moments.
fn schedule_of(text: &str) -> Schedule {
    let unreadable = "rows of the simulation can be read";
    let row: Value = serde_json::from_str(text).expect(unreadable);
    let rhythm = match (row["rhythm"]["cron"].as_str(), row["rhythm"]["every_ms"].as_u64()) {
        (Some(expression), _) => Rhythm::Cron(expression.to_owned()),
        (None, Some(interval)) => Rhythm::Every(Duration::from_millis(interval)),
        (None, None) => Rhythm::OnRequest,
    };
    let zone = row["time_zone"].as_str().expect(unreadable).to_owned();
    let jitter = Duration::from_millis(row["jitter_ms"].as_u64().expect(unreadable));
    Schedule::new(rhythm, zone, jitter, OverlapKey::Plan).expect(unreadable)
}

/// Returns the occurrences of a plan that were due until now, oldest first, each with its start: of each schedule those whose
/// start came while it held. Where two name the same moments the second one goes on with those of the first.
pub(super) fn due_until(plan: &Plan, versions: &[Version], now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let (mut due, mut rest) = (Vec::new(), versions);
    while let Some(first) = rest.first() {
        let (group, later) = rest.split_at(rest.iter().take_while(|version| version.names_as(first)).count());
        let until = later.first().map_or(now, |next| next.from);
        let (rhythm, zone) = (first.schedule.rhythm().clone(), first.schedule.time_zone().to_owned());
        let bare = Schedule::new(rhythm, zone, Duration::ZERO, OverlapKey::Plan).expect("it was one before");
        let (created_at, pause) = (plan.created_at, Pause::Running);
        let planned =
            Planned { plan_id: plan.id, tenant_id: plan.tenant_id, schedule: &bare, created_at, pause, last: None };
        // What a new schedule names up to its own moment was not missed; a plan begins with the moment of its making.
        let is_first = rest.len() == versions.len();
        let after = if is_first { minus_one(created_at) } else { first.from };
        for (planned_at, _) in upcoming(&planned, after).take_while(|(planned_at, _)| *planned_at <= until) {
            let start = (0..).zip(group).find_map(|(at, version): (usize, &Version)| {
                let ends = group.get(at + 1).map_or(until, |next| next.from);
                let start = planned_at.saturating_add(jitter_of(plan.id, version.schedule.jitter())).ok()?;
                (start <= ends).then(|| start.max(version.from))
            });
            due.extend(start.map(|start| (planned_at, start)));
        }
        rest = later;
    }
    due
}

fn minus_one(at: Timestamp) -> Timestamp {
    at.saturating_sub(Duration::from_micros(1)).unwrap_or(Timestamp::MIN)
}

impl Ledger {
    /// Takes in what was declared, and what each tenant has.
    pub(super) fn declared_since(&mut self, written: &[Written]) {
        let (now, changes) = (self.world.stage.now(), &mut self.changes);
        for row in written {
            match &*row.table {
                "plan" => {
                    let schedule = schedule_of(&row.text("schedule_json"));
                    let versions = changes.versions.entry(row.text("id")).or_default();
                    if versions.last().is_none_or(|last| last.schedule != schedule) {
                        self.counts.rescheduled += u64::from(!versions.is_empty());
                        versions.push(Version { from: now, schedule });
                    }
                }
                "queue_rules" => {
                    let text = row.text("rules_json");
                    changes.caps = serde_json::from_str(&text).expect("rows of the simulation can be read");
                }
                "quota" => {
                    let limit = row.count("quota_snapshot_count").filter(|_| row.done != Done::Gone);
                    match limit {
                        Some(limit) => changes.quotas.insert(row.text("tenant_id"), limit),
                        None => changes.quotas.remove(&row.text("tenant_id")),
                    };
                }
                "snapshot" => {
                    let stored = changes.stored.entry(row.text("tenant_id")).or_default();
                    match row.count("forgotten_at") {
                        None => stored.insert(row.text("foreign_id")),
                        Some(_) => stored.remove(&row.text("foreign_id")),
                    };
                }
                _ => {}
            }
        }
        let look = self.counts.looks;
        for tenant in self.world.tenants.iter().map(ToString::to_string) {
            let count = changes.stored.get(&tenant).map_or(0, |stored| i64::try_from(stored.len()).unwrap_or(i64::MAX));
            if changes.quotas.get(&tenant).is_some_and(|limit| count >= *limit) {
                changes.over.entry(tenant).or_insert(look);
            } else {
                changes.over.remove(&tenant);
            }
        }
    }

    /// Looks at leases that were given, by what is declared then.
    pub(super) fn given_since(&mut self, written: &[Written]) -> Result<(), Broken> {
        for row in of("lease", written).filter(|row| row.done != Done::Gone) {
            let (job_id, token) = (row.text("job_id"), row.number("token"));
            if !self.given.insert((job_id.clone(), token)) {
                continue;
            }
            self.counts.capped += self.within_caps(&job_id)?;
            let job = &self.jobs[&job_id];
            let since = self.changes.over.get(&job.tenant_id).copied().filter(|_| job.kind == "backup");
            if let Some(since) = since {
                self.changes.begun_over.insert((job_id, token), since);
                self.counts.over_quota += 1;
            }
        }
        Ok(())
    }

    /// Of what a new lease makes use of, no more run than may; returns how many caps there are.
    fn within_caps(&self, job_id: &str) -> Result<u64, Broken> {
        let sides = |id: &str| {
            let job = &self.jobs[id];
            [None, Some(&job.tenant_id), Some(&job.repository_id), Some(&job.kind)]
        };
        let mut count = 0;
        for (at, word) in ["global", "tenant", "repository", "kind"].into_iter().enumerate() {
            let Some(cap) = self.changes.caps[word].as_u64() else { continue };
            let running = self.leases.keys().filter(|id| sides(id)[at] == sides(job_id)[at]).count();
            keep(running as u64 <= cap, "a lease is given within the caps in force", || {
                format!("job {job_id}: {running} run, and the cap by {word} is {cap}")
            })?;
            count += 1;
        }
        Ok(count)
    }

    /// A backup that was leased while its tenant was at its quota, which it was ever since, did not start.
    pub(super) fn within_quota(&self, changed: &[String]) -> Result<(), Broken> {
        for id in changed {
            let job = &self.jobs[id];
            let is_done = job.state == "succeeded" && job.kind == "backup";
            let begun = self.changes.begun_over.get(&(id.clone(), job.token)).filter(|_| is_done);
            let is_over = begun.is_some() && self.changes.over.get(&job.tenant_id) == begun;
            keep(!is_over, "no backup starts over its quota", || format!("job {id}: {job:?}"))?;
        }
        Ok(())
    }

    /// What a person keeps is not forgotten.
    pub(super) fn marked_stay(&mut self, written: &[Written]) -> Result<(), Broken> {
        for row in of("snapshot", written).filter(|row| row.done == Done::Changed) {
            let marks = ["pinned_at", "held_at"].map(|mark| row.count(mark));
            self.counts.marked += u64::from(marks.iter().any(Option::is_some));
            keep(
                row.count("forgotten_at").is_none() || marks == [None; 2],
                "what is pinned or held is never forgotten",
                || format!("{} with marks {marks:?}", row.text("foreign_id")),
            )?;
        }
        Ok(())
    }
}
