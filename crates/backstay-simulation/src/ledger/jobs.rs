//! Promises about jobs and leases: one live backup an item, one job an occurrence, ends once, tokens grow, nothing is
//! rescued from the living, everything from the dead.

use std::time::Duration;

use backstay_core::domain::lease::STALL_LIMIT;
use backstay_core::domain::schedule::OverlapKey;

use super::log::{Done, Written, of};
use super::{Broken, JobSeen, LeaseSeen, Ledger, keep};
use crate::stage::micros;

/// How long after its lease is over, and everything that is to work works, a job may be without its rescue: a replica
/// may wait an hour for the database, twice.
const RESCUE_WITHIN: Duration = Duration::from_secs(3 * 3_600);

fn seen(row: &Written) -> (String, JobSeen) {
    let job = JobSeen {
        tenant_id: row.text("tenant_id"),
        plan_id: row.word("plan_id"),
        item_id: row.word("item_id"),
        repository_id: row.text("repository_id"),
        kind: row.text("kind"),
        state: row.text("state"),
        token: row.number("attempt_token"),
        outcome: row.word("outcome"),
        occurrence_at: row.count("occurrence_at"),
        follow_up_of: row.word("follow_up_of"),
        created_at: row.number("created_at"),
    };
    (row.text("id"), job)
}

impl Ledger {
    /// Takes in new jobs and those that moved; returns the ids of those that are new or in another state.
    pub(super) fn jobs_since(&mut self, written: &[Written]) -> Result<Vec<String>, Broken> {
        let mut changed = Vec::new();
        for row in of("job", written) {
            keep(row.done != Done::Gone, "no job is lost", || format!("job {} was deleted", row.text("id")))?;
            let (id, job) = seen(row);
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
        if !changed.is_empty() {
            self.one_live_an_item()?;
        }
        Ok(changed)
    }

    fn is_new(&mut self, id: &str, job: &JobSeen) -> Result<(), Broken> {
        self.counts.jobs += 1;
        let follows = u64::from(job.follow_up_of.is_some());
        self.counts.follow_ups += follows;
        self.follow_ups += follows;
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
    pub(super) fn leases_since(&mut self, written: &[Written]) -> Result<(), Broken> {
        let before = self.leases.clone();
        for row in of("lease", written) {
            let job_id = row.text("job_id");
            if row.done == Done::Gone {
                self.leases.remove(&job_id);
                continue;
            }
            let agent_id = row.text("agent_id");
            let lease = LeaseSeen {
                token: row.number("token"),
                progressed_at: row.number("progressed_at"),
                disowned_at: row.count("disowned_at"),
                expires_at: self.agents[&agent_id],
                agent_id,
            };
            self.leases.insert(job_id, lease);
        }
        self.leases.values_mut().for_each(|lease| lease.expires_at = self.agents[&lease.agent_id]);
        let gone: Vec<(String, LeaseSeen)> = before
            .into_iter()
            .filter(|(id, lease)| self.leases.get(id).is_none_or(|now| now.token != lease.token))
            .collect();
        for (id, lease) in gone {
            let Some(ending) = self.endings.get(&(id.clone(), lease.token)).cloned().flatten() else {
                return keep(false, "an attempt that is over has its end", || {
                    format!("job {id} attempt {}", lease.token)
                });
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
                let is_there = count == 1 || count == 0 && self.confirmed_one(id);
                keep(is_there, "a backup that succeeded has its snapshot", || format!("job {id} has {count}"))?;
            }
        }
        Ok(())
    }

    /// Each good end of a plan that is followed is answered once: by a job that follows it, or by a word why there is none.
    pub(super) fn followed(&mut self, changed: &[String]) -> Result<(), Broken> {
        for id in changed {
            let job = &self.jobs[id];
            let ended_well = |job: &JobSeen| {
                job.state == "succeeded" && matches!(job.outcome.as_deref(), Some("complete" | "unchanged"))
            };
            let mut plans = self.world.plans.iter().map(|(plan, _)| plan);
            let plan = plans.find(|plan| Some(plan.id.to_string()) == job.plan_id);
            let is_followed = plan.is_some_and(|plan| !plan.backup.follow_ups.is_empty());
            let before = job.follow_up_of.as_ref().map(|before| self.jobs.get(before).is_some_and(ended_well));
            keep(before != Some(false), "only a good backup is followed", || format!("{id}: {job:?}"))?;
            self.followed += u64::from(job.kind == "backup" && is_followed && ended_well(job));
        }
        let (followed, told) = (self.followed, self.follow_ups);
        keep(followed == told, "what follows a good backup is queued or told once", || {
            format!("{followed} ended well, {told} are followed")
        })
    }

    /// Says whether a job found its item as a snapshot has it whose row says so.
    fn confirmed_one(&self, job: &str) -> bool {
        self.world.repositories.confirmed_in(job).into_iter().any(|(foreign, at)| {
            let [read, made] = at.map(jiff::Timestamp::as_microsecond);
            let sql = format!(
                "SELECT count(*) AS n FROM snapshot WHERE foreign_id = '{foreign}' AND good = 1 AND confirmed_at IN ({read}, {made})"
            );
            self.table.rows(sql)[0].number("n") == 1
        })
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
