//! Promises about jobs and leases: one live backup an item, one job an occurrence, ends once, tokens grow, nothing is
//! rescued from the living, everything from the dead.

use std::time::Duration;

use backstay_core::domain::lease::STALL_LIMIT;
use backstay_core::domain::schedule::OverlapKey;

use super::{Broken, JobSeen, LeaseSeen, Ledger, keep};
use crate::stage::micros;
use crate::table::{Row, listed};

/// How long after its lease is over, and everything that is to work works, a job may be without its rescue: a replica
/// may wait an hour for the database, twice.
const RESCUE_WITHIN: Duration = Duration::from_secs(3 * 3_600);

const COLUMNS: &str =
    "rowid AS place, id, tenant_id, plan_id, item_id, kind, state, attempt_token, outcome, occurrence_at, created_at";

fn seen(row: &Row) -> (String, JobSeen) {
    let job = JobSeen {
        tenant_id: row.text("tenant_id"),
        plan_id: row.get("plan_id"),
        item_id: row.get("item_id"),
        kind: row.text("kind"),
        state: row.text("state"),
        token: row.number("attempt_token"),
        outcome: row.get("outcome"),
        occurrence_at: row.get("occurrence_at"),
        created_at: row.number("created_at"),
    };
    (row.text("id"), job)
}

impl Ledger {
    /// Takes in new jobs and those that moved; returns the ids of those that are new or in another state.
    pub(super) fn jobs_since(&mut self) -> Result<Vec<String>, Broken> {
        let sql = format!(
            "SELECT {COLUMNS} FROM job WHERE rowid > {} OR id IN ({})",
            self.seen_job,
            listed(self.live.keys())
        );
        let mut changed = Vec::new();
        for row in self.table.rows(sql) {
            self.seen_job = self.seen_job.max(row.number("place"));
            let (id, job) = seen(&row);
            match self.jobs.get(&id) {
                None => self.is_new(&id, &job)?,
                Some(before) if *before == job => continue,
                Some(before) => self.moved(&id, before, &job)?,
            }
            if job.is_final() {
                self.live.remove(&id);
            } else {
                self.live.insert(id.clone(), ());
            }
            self.stage().tell(|| format!("job {id} is {} at token {}", job.state, job.token));
            self.jobs.insert(id.clone(), job);
            changed.push(id);
        }
        self.one_live_an_item()?;
        Ok(changed)
    }

    fn is_new(&mut self, id: &str, job: &JobSeen) -> Result<(), Broken> {
        self.counts.jobs += 1;
        let told = self.told.get(id).map_or(0, |words| words.iter().filter(|word| *word == "enqueued").count());
        keep(told == 1, "a job in the queue was told once", || format!("job {id}: told {told} times"))?;
        if let (Some(item), Some(at)) = (&job.item_id, job.occurrence_at) {
            let other = self.occurrences.insert((item.clone(), at), id.to_owned());
            keep(other.is_none(), "one job an item and occurrence", || format!("{id} beside {other:?}"))?;
        }
        Ok(())
    }

    fn moved(&self, id: &str, before: &JobSeen, job: &JobSeen) -> Result<(), Broken> {
        keep(!before.is_final(), "a job ends once", || format!("job {id} was {before:?} and is {job:?}"))?;
        let grown = job.token - before.token;
        keep(grown == 0 || grown == 1, "a token grows by one with each lease", || {
            format!("job {id} went from {} to {}", before.token, job.token)
        })
    }

    fn one_live_an_item(&self) -> Result<(), Broken> {
        let mut items: Vec<(&str, &str)> = self
            .live
            .keys()
            .filter_map(|id| {
                let job = self.jobs.get(id).filter(|job| job.kind == "backup" && job.state != "parked")?;
                Some((job.item_id.as_deref()?, id.as_str()))
            })
            .collect();
        items.sort_unstable();
        let twice = items.windows(2).find(|pair| pair[0].0 == pair[1].0);
        keep(twice.is_none(), "at most one live backup an item", || format!("{twice:?}"))
    }

    /// Takes in all leases; a job whose lease went without a result must have been given up rightly.
    pub(super) fn leases_since(&mut self) -> Result<(), Broken> {
        let sql = "SELECT l.job_id, l.token, l.agent_id, l.progressed_at, l.disowned_at, a.expires_at \
                   FROM lease l JOIN agent a ON a.id = l.agent_id";
        let now: std::collections::HashMap<String, LeaseSeen> = self
            .table
            .rows(sql.to_owned())
            .iter()
            .map(|row| {
                let lease = LeaseSeen {
                    token: row.number("token"),
                    agent_id: row.text("agent_id"),
                    progressed_at: row.number("progressed_at"),
                    disowned_at: row.get("disowned_at"),
                    expires_at: row.number("expires_at"),
                };
                (row.text("job_id"), lease)
            })
            .collect();
        let before = std::mem::replace(&mut self.leases, now);
        let gone: Vec<(String, LeaseSeen)> = before
            .into_iter()
            .filter(|(id, lease)| self.leases.get(id).is_none_or(|now| now.token != lease.token))
            .collect();
        for (id, lease) in gone {
            let sql = format!("SELECT ending FROM attempt WHERE job_id = '{id}' AND token = {}", lease.token);
            let ending: Vec<Option<String>> = self.table.rows(sql).iter().map(|row| row.get("ending")).collect();
            let ending = match ending.as_slice() {
                [Some(ending)] => ending.clone(),
                other => {
                    return keep(false, "an attempt that is over has its end", || {
                        format!("job {id} attempt {}: {other:?}", lease.token)
                    });
                }
            };
            let now = self.stage().now().as_microsecond();
            if ending == "lost" {
                self.counts.rescued += 1;
                keep(self.over_at(&lease) <= now, "nothing is rescued from an agent that is alive and works", || {
                    format!("job {id} was taken from {lease:?} at {now}")
                })?;
            } else {
                keep(lease.expires_at > now, "only a lease that is alive ends with a result", || {
                    format!("job {id}: {lease:?} ended as {ending} at {now}")
                })?;
            }
        }
        Ok(())
    }

    /// Returns when a lease is over, as the rules say it.
    pub(super) fn over_at(&self, lease: &LeaseSeen) -> i64 {
        let stalled_at = lease.progressed_at.saturating_add(micros(STALL_LIMIT));
        lease.expires_at.min(stalled_at).min(lease.disowned_at.unwrap_or(i64::MAX))
    }

    /// Each end was told once, and nothing else was told as an end.
    pub(super) fn ends(&self, changed: &[String]) -> Result<(), Broken> {
        for id in changed {
            let job = &self.jobs[id];
            let ends = |word: &&String| matches!(word.as_str(), "succeeded" | "failed" | "damaged" | "cancelled");
            let told: Vec<&String> = self.told.get(id).into_iter().flatten().filter(ends).collect();
            if job.is_final() {
                keep(told == [&job.state], "an end is told once, and as it is", || {
                    format!("job {id} is {}: told {told:?}", job.state)
                })?;
            } else {
                keep(told.is_empty(), "what has not ended is not told as an end", || {
                    format!("job {id} is {}: told {told:?}", job.state)
                })?;
            }
            if job.kind == "backup" && job.state == "succeeded" {
                let sql = format!("SELECT count(*) AS n FROM snapshot WHERE job_id = '{id}'");
                let count = self.table.rows(sql)[0].number("n");
                keep(count == 1, "a backup that succeeded has its snapshot", || format!("job {id} has {count}"))?;
            }
        }
        Ok(())
    }

    /// Two plans of one overlap key never run together.
    pub(super) fn overlaps(&self) -> Result<(), Broken> {
        let mut runs: Vec<(&str, &str, &str)> = self
            .leases
            .keys()
            .filter_map(|id| {
                let job = self.jobs.get(id).filter(|job| job.kind == "backup")?;
                let plan = job.plan_id.as_deref()?;
                let (declared, _) = self.world.plans.iter().find(|(declared, _)| declared.id.to_string() == plan)?;
                (declared.schedule.overlap() == OverlapKey::Tenant).then_some((&*job.tenant_id, plan, id.as_str()))
            })
            .collect();
        runs.sort_unstable();
        let beside = runs.windows(2).find(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1);
        keep(beside.is_none(), "two plans of one overlap key never run together", || format!("{beside:?}"))
    }

    /// Every lost job is back in the queue in time.
    pub(super) fn rescued_in_time(&self) -> Result<(), Broken> {
        let (now, well) = (self.stage().now().as_microsecond(), self.world.weather.well_since().as_microsecond());
        let late = self.leases.iter().find(|(_, lease)| {
            let over_at = self.over_at(lease);
            over_at <= now && now - over_at.max(well) > micros(RESCUE_WITHIN)
        });
        keep(late.is_none(), "a lost job is back in the queue in time", || {
            format!("{late:?} at {now}, well since {well}")
        })
    }

    /// Nothing is left over: every job that could be done is done, or shown as parked.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn all_done(&self, within: Duration) -> Result<(), Broken> {
        let before = self.stage().now().as_microsecond() - micros(within);
        let open = self.live.keys().find(|id| {
            let job = &self.jobs[*id];
            job.state != "parked" && job.created_at < before
        });
        keep(open.is_none(), "when all is well, all due work is done in time", || {
            format!("{open:?}: {:?}", open.map(|id| &self.jobs[id]))
        })
    }
}
