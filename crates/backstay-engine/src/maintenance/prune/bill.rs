//! What a prune asks of a storage, and what that costs by a table of prices.

use super::plan::{Fate, PrunePlan};
use crate::format::index::{INDEX_BLOBS_MAX, PackNumber};
use crate::format::pack::{BlobKind, HEADER_BYTES, PackedBlob, header_entry_bytes};
use crate::maintenance::repack::{PACK_BYTES, PACKS_UNNAMED_MAX, runs};

/// Requests and bytes, without those that look after the lock. How packs fill is estimated, all else is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneWork {
    /// Objects that are written.
    pub puts: u64,
    /// Ranges that are read.
    pub gets: u64,
    /// Objects that are removed.
    pub deletes: u64,
    /// Bytes that are read.
    pub bytes_read: u64,
    /// Bytes that are written, without index files.
    pub bytes_written: u64,
}

/// Prices, in any currency.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Prices {
    /// A thousand objects written.
    pub put: f64,
    /// A thousand ranges read.
    pub get: f64,
    /// A thousand objects removed.
    pub delete: f64,
    /// A GiB read.
    pub gib_egress: f64,
    /// A GiB kept for a month.
    pub gib_month: f64,
}

impl Prices {
    /// Returns what the work costs.
    pub fn cost(&self, work: &PruneWork) -> f64 {
        let thousands = |count: u64| count as f64 / 1_000.0;
        let requests =
            self.put * thousands(work.puts) + self.get * thousands(work.gets) + self.delete * thousands(work.deletes);
        requests + self.gib_egress * gib(work.bytes_read)
    }

    /// Returns what bytes that are no longer kept save in a month.
    pub fn saved_a_month(&self, bytes: u64) -> f64 {
        self.gib_month * gib(bytes)
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

impl PrunePlan {
    /// Returns what doing it asks of the storage.
    pub fn work(&self) -> PruneWork {
        let ledger = &self.ledger;
        let mut work = PruneWork::default();
        let (mut sealed, mut blobs) = ([0u64; 2], [0u64; 2]);
        for place in (0..ledger.packs.len()).filter(|place| self.fates[*place] == Fate::Rewrite) {
            let needed = ledger.blobs(place).into_iter().filter(|(blob, _)| self.chosen.has(*blob));
            let needed: Vec<PackedBlob> = needed.map(|(_, blob)| blob).collect();
            for run in runs(&needed) {
                work.gets += 1;
                let end = run.last().map_or(0, |last| u64::from(last.offset) + u64::from(last.length));
                work.bytes_read += end - run.first().map_or(0, |first| u64::from(first.offset));
            }
            for blob in needed {
                let kind = usize::from(blob.kind == BlobKind::Tree);
                sealed[kind] += u64::from(blob.length);
                blobs[kind] += 1;
                work.bytes_written += header_entry_bytes(blob.plain_length.is_some());
            }
        }
        let packs = sealed.map(|bytes| bytes.div_ceil(PACK_BYTES as u64));
        work.puts = packs.iter().sum::<u64>();
        work.bytes_written += sealed.iter().sum::<u64>() + work.puts * HEADER_BYTES;
        let mut named = blobs.iter().sum::<u64>() + ledger.unnamed.len() as u64;
        for part in self.replaced.iter().map(|part| &ledger.parts[*part]) {
            let known = part.known.clone().map(PackNumber::Known);
            let gone = |number| matches!(self.fates[ledger.pack_of(number)], Fate::Remove | Fate::Forget);
            let stay = known.chain(part.pending.clone().map(PackNumber::Pending)).filter(|number| !gone(*number));
            named += stay.map(|number| ledger.blobs(ledger.pack_of(number)).len().max(1) as u64).sum::<u64>();
        }
        if !self.replaced.is_empty() || !ledger.unnamed.is_empty() {
            work.puts += packs.iter().sum::<u64>() / PACKS_UNNAMED_MAX as u64 + named.div_ceil(INDEX_BLOBS_MAX as u64);
        }
        work.deletes = self.replaced.len() as u64 + self.preview.packs_removed;
        work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_the_sum_of_its_parts() {
        let work = PruneWork { puts: 2_000, gets: 500, deletes: 1_000, bytes_read: 3 << 30, bytes_written: 9 };
        let prices = Prices { put: 5.0, get: 0.5, delete: 0.125, gib_egress: 0.25, gib_month: 0.5 };
        assert_eq!(prices.cost(&work), 10.0 + 0.25 + 0.125 + 0.75);
        assert_eq!((Prices::default().cost(&work), prices.saved_a_month(4 << 30)), (0.0, 2.0));
    }
}
