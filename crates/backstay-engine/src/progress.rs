//! How far the engine is: counters that it moves and anybody may read.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one run. Reading them at different moments is fine: they only grow.
#[derive(Debug, Default)]
pub struct EngineProgress {
    /// Regular files done.
    pub files_done: AtomicU64,
    /// Bytes of regular files done.
    pub bytes_done: AtomicU64,
    /// Regular files in all, plus one; zero while unknown.
    files_total: AtomicU64,
    /// Bytes in all; meaningful when `files_total` is.
    bytes_total: AtomicU64,
    /// Folders looked into before it is known how much there is: the sign of life of a long beginning.
    pub looked: AtomicU64,
    /// Packs that were sent: the sign of life of a slow line, over which no file ends for long.
    pub packs_sent: AtomicU64,
    /// Entries that could not be read.
    pub unread: AtomicU64,
    /// Whether all data is moved and only index and snapshot are missing.
    pub publishing: std::sync::atomic::AtomicBool,
}

impl EngineProgress {
    /// Tells how much there is in all.
    pub fn set_totals(&self, files: u64, bytes: u64) {
        self.bytes_total.store(bytes, Ordering::Relaxed);
        self.files_total.store(files + 1, Ordering::Release);
    }

    /// Returns files and bytes in all; none while unknown.
    pub fn totals(&self) -> Option<(u64, u64)> {
        let files = self.files_total.load(Ordering::Acquire).checked_sub(1)?;
        Some((files, self.bytes_total.load(Ordering::Relaxed)))
    }

    /// Counts files and bytes as done.
    pub fn done(&self, files: u64, bytes: u64) {
        self.files_done.fetch_add(files, Ordering::Relaxed);
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }
}
