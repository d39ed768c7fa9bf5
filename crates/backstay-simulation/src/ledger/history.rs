//! Promises about what happened: the chain of events has no hole, and a snapshot is shown only when it is good.

use backstay_core::domain::event::{Event, EventKind, chain_hash};

use super::{Broken, Ledger, keep};
use crate::stage::instant;

impl Ledger {
    /// Takes in new events; each must be the next of its tenant, with the hash that chains it.
    pub(super) fn told_since(&mut self) -> Result<(), Broken> {
        let sql = format!(
            "SELECT rowid AS place, id, tenant_id, sequence, kind, job_id, item_id, happened_at, message, hash FROM event \
             WHERE rowid > {} ORDER BY rowid",
            self.seen_event
        );
        for row in self.table.rows(sql) {
            self.seen_event = row.number("place");
            self.counts.events += 1;
            let (tenant, kind) = (row.text("tenant_id"), row.text("kind"));
            let (job, item): (Option<String>, Option<String>) = (row.get("job_id"), row.get("item_id"));
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
            self.told_occurrence(&kind, &event.message)?;
            if let Some(job) = job {
                self.told.entry(job).or_default().push(kind);
            }
        }
        Ok(())
    }

    /// Takes in new snapshots; each must be there, once, published by the attempt that finished its job.
    pub(super) fn snapshots_since(&mut self) -> Result<(), Broken> {
        let sql = format!(
            "SELECT rowid AS place, job_id, item_id, foreign_id, taken_at, outcome FROM snapshot WHERE rowid > {} ORDER BY rowid",
            self.seen_snapshot
        );
        for row in self.table.rows(sql) {
            self.seen_snapshot = row.number("place");
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
            let sql = format!("SELECT ending FROM attempt WHERE job_id = '{job}' AND token = {}", published.by.token.0);
            let ending: Option<String> = self.table.rows(sql).first().and_then(|row| row.get("ending"));
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
            if row.text("outcome") != "partial" {
                self.good.entry(item).or_default().push(row.number("taken_at"));
            }
        }
        self.counts.orphans = (self.world.repositories.count() as u64).saturating_sub(self.counts.snapshots);
        Ok(())
    }
}
