//! What a run counts, from many threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_core::domain::unread::Unread;

/// Counters of a run.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) files_new: AtomicU64,
    pub(super) files_changed: AtomicU64,
    pub(super) files_unmodified: AtomicU64,
    pub(super) dirs_new: AtomicU64,
    pub(super) dirs_changed: AtomicU64,
    pub(super) dirs_unmodified: AtomicU64,
    /// Roots that the parent has not, or with other metadata.
    pub(super) roots_changed: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) data_blobs: AtomicU64,
    pub(super) tree_blobs: AtomicU64,
    pub(super) added: AtomicU64,
    pub(super) packed: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) unread: Mutex<Unread>,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Reads a counter.
pub(super) fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
