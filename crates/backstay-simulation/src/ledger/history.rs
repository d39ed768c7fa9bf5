//! Promises about what happened: the chain of events has no hole, and a snapshot is shown only when it is good.

use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::event::{Event, EventKind, chain_hash};

use super::log::{Done, Written, of};
use super::{Broken, Ledger, keep};
use crate::stage::instant;

impl Ledger {
    /// Takes in what was forgotten: it is not there any more, and of each item the newest good snapshot that is not of
    /// the future stays.
    fn forgotten_since(&mut self, written: &[Written]) -> Result<(), Broken> {
        let now = self.stage().now().as_microsecond();
        let mut gone = Vec::new();
        for row in of("snapshot", written).filter(|row| row.done == Done::Changed) {
            if row.count("forgotten_at").is_none() || !self.shown.remove(&row.text("foreign_id")) {
                continue;
            }
            self.counts.forgotten += 1;
            let (item, taken_at, foreign) = (row.text("item_id"), row.number("taken_at"), row.text("foreign_id"));
            keep(self.world.repositories.get(&foreign).is_none(), "what is told as forgotten is gone", || foreign)?;
            if row.number("good") == 1 {
                let good = self.good.entry(item.clone()).or_default();
                good.retain(|at| *at != taken_at);
                gone.push((item, taken_at));
            }
        }
        for (item, taken_at) in gone {
            let newer = self.good[&item].iter().find(|at| (taken_at..=now).contains(*at));
            keep(newer.is_some(), "the newest good snapshot is never forgotten", || {
                format!("item {item}: {taken_at} is forgotten at {now}, and of {:?} stay", self.good[&item])
            })?;
        }
        Ok(())
    }

    fn accepts(&self, item: &str) -> bool {
        let mut plans = self.world.plans.iter();
        let plan = plans.find(|(_, items)| items.iter().any(|row| row.id.to_string() == item));
        plan.is_some_and(|(plan, _)| !plan.backup.accept_unread.is_empty())
    }

    /// Takes in confirmations; each was made by the attempt that finished its job.
    pub(super) fn confirmed_since(&mut self, written: &[Written]) -> Result<(), Broken> {
        for row in of("snapshot", written).filter(|row| row.done == Done::Changed) {
            let Some(at) = row.count("confirmed_at") else { continue };
            let place = (row.text("item_id"), row.number("taken_at"));
            if self.confirmed.insert(place, at) == Some(at) {
                continue;
            }
            self.counts.confirmed += 1;
            let foreign = row.text("foreign_id");
            let by = self.world.repositories.confirmed_by(&foreign, instant(at));
            let ended = |key: &LeaseKey| {
                let id = key.job_id.to_string();
                self.jobs.get(&id).is_some_and(|seen| seen.token == key.token.0)
                    && self.endings.get(&(id, key.token.0)).cloned().flatten().as_deref() == Some("finished")
            };
            keep(by.iter().any(ended), "a confirmation is by the attempt that finished its job", || {
                format!("{foreign} was confirmed at {at} by {by:?}")
            })?;
        }
        Ok(())
    }

    /// What is shown is there, unless a prune is about to tell that it is not.
    pub(super) fn shown_is_there(&self) -> Result<(), Broken> {
        let pruned = |id: &String| self.jobs.get(id).is_some_and(|job| job.kind == "prune");
        if self.live.keys().any(pruned) {
            return Ok(());
        }
        let missing = self.shown.iter().find(|foreign| self.world.repositories.get(foreign).is_none());
        keep(missing.is_none(), "what is shown can be restored", || format!("{missing:?}"))
    }

    /// Takes in new events; each must be the next of its tenant, with the hash that chains it.
    pub(super) fn told_since(&mut self, written: &[Written]) -> Result<(), Broken> {
        for row in of("event", written) {
            keep(row.done == Done::Added, "what was told stays told", || format!("an event was {:?}", row.done))?;
            self.counts.events += 1;
            let (tenant, kind) = (row.text("tenant_id"), row.text("kind"));
            let (job, item) = (row.word("job_id"), row.word("item_id"));
            let unreadable = "rows of the simulation can be read";
            let event = Event {
                id: row.text("id").parse().expect(unreadable),
                tenant_id: tenant.parse().expect(unreadable),
                kind: EventKind::from_word(&kind).expect(unreadable),
                job_id: job.as_ref().map(|id| id.parse().expect(unreadable)),
                item_id: item.as_ref().map(|id| id.parse().expect(unreadable)),
                at: instant(row.number("happened_at")),
                message: row.text("message"),
            };
            let (sequence, hash) = (row.number("sequence"), row.text("hash"));
            let before = self.chains.get(&tenant);
            let next = before.map_or(1, |(sequence, _)| sequence + 1);
            let expected = chain_hash(&event, next, before.map(|(_, hash)| hash.as_str()));
            keep(sequence == next && hash == expected, "the chain of events has no hole", || {
                format!("event {sequence} of {tenant} after {before:?}")
            })?;
            self.chains.insert(tenant.clone(), (sequence, hash));
            self.counts.skipped += u64::from(kind == "skipped");
            let follows =
                event.message.contains(" was not started after plan ") || event.message.contains(" follows plan ");
            self.follow_ups += u64::from(kind == "skipped" && follows);
            self.told_occurrence(&kind, &event.message)?;
            if let Some(job) = job {
                self.told.entry(job).or_default().push(kind);
            }
        }
        Ok(())
    }

    /// Takes in new snapshots; each must be there, once, published by the attempt that finished its job.
    pub(super) fn snapshots_since(&mut self, written: &[Written]) -> Result<(), Broken> {
        for row in of("snapshot", written).filter(|row| row.done == Done::Added) {
            self.counts.snapshots += 1;
            let (job, item, foreign) = (row.text("job_id"), row.text("item_id"), row.text("foreign_id"));
            let doubled = [
                self.snapshots.insert(job.clone(), foreign.clone()),
                self.snapshots.insert(foreign.clone(), job.clone()),
            ];
            keep(doubled == [None, None], "a snapshot's row is not doubled", || {
                format!("{foreign} of job {job}: {doubled:?}")
            })?;
            let published = self.world.repositories.get(&foreign);
            let Some(published) = published else {
                return keep(false, "a snapshot that is shown is there", || foreign);
            };
            let ending = self.endings.get(&(job.clone(), published.by.token.0)).cloned().flatten();
            let own = published.by.job_id.to_string() == job
                && self.jobs.get(&job).is_some_and(|seen| seen.token == published.by.token.0);
            keep(
                own && ending.as_deref() == Some("finished"),
                "no snapshot of a dead attempt is shown as good",
                || {
                    format!(
                        "{foreign} was published by {:?}, whose end is {ending:?}; job {job} is {:?}",
                        published.by,
                        self.jobs.get(&job)
                    )
                },
            )?;
            self.shown.insert(foreign);
            let (is_partial, is_good) = (row.text("outcome") == "partial", row.number("good") == 1);
            let accepts = self.accepts(&item);
            keep(
                is_good == (!is_partial || accepts),
                "a snapshot that misses something is good when its plan accepts it",
                || format!("snapshot of item {item} at {}", row.number("taken_at")),
            )?;
            self.counts.accepted += u64::from(is_partial && is_good);
            if is_good {
                self.good.entry(item).or_default().push(row.number("taken_at"));
            }
        }
        self.forgotten_since(written)?;
        self.counts.orphans = (self.world.repositories.count() as u64).saturating_sub(self.counts.snapshots);
        Ok(())
    }
}
