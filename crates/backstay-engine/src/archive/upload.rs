//! What happens to full packs: they are uploaded a few at a time, and an index file names them once they are durable.
//!
//! After a failure packs are only taken off the queue, so that no worker waits for ever; the failure ends the run.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::counters::{Counters, add};
use super::options::Writing;
use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::index::{INDEX_BLOBS_MAX, IndexFile};
use crate::format::object::FileKind;
use crate::format::pack::FinishedPack;
use crate::interrupt::Interrupt;
use crate::repository::{Repository, pack_part};

/// Packs after which an index file is written even if it names few blobs: what a crash would send again is bounded.
const INDEX_PACKS_MAX: usize = 32;

/// The queue of full packs and the index that is being filled.
pub(super) struct Uploads<'a> {
    repository: &'a Repository,
    counters: &'a Counters,
    interrupt: &'a Interrupt,
    writing: Writing,
    sender: Mutex<Option<Sender<FinishedPack>>>,
    receiver: Receiver<FinishedPack>,
    pending: Mutex<(IndexFile, usize)>,
    /// Index files and packs that were written.
    written: Mutex<(Vec<Id>, Vec<Id>)>,
    buffers: Mutex<Vec<Vec<u8>>>,
    failed: AtomicBool,
    failure: Mutex<Option<EngineError>>,
}

impl<'a> Uploads<'a> {
    /// Makes a queue that holds `uploads` packs besides those under way.
    pub(super) fn new(
        repository: &'a Repository,
        counters: &'a Counters,
        interrupt: &'a Interrupt,
        uploads: usize,
        writing: Writing,
    ) -> Self {
        let (sender, receiver) = bounded(uploads.max(1));
        Self {
            repository,
            counters,
            interrupt,
            writing,
            sender: Mutex::new(Some(sender)),
            receiver,
            pending: Mutex::default(),
            written: Mutex::default(),
            buffers: Mutex::default(),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
        }
    }

    /// Returns a buffer for a pack, used before where there is one.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.buffers.lock().expect("no holder panics").pop().unwrap_or_default()
    }

    /// Hands over a pack; waits while the queue is full.
    pub(super) fn send(&self, pack: FinishedPack) {
        let sender = self.sender.lock().expect("no holder panics").clone();
        if let Some(sender) = sender {
            // Uploaders stay until the queue is closed, so this ends.
            sender.send(pack).unwrap_or_default();
        }
    }

    /// Says that no pack will follow.
    pub(super) fn close(&self) {
        self.sender.lock().expect("no holder panics").take();
    }

    /// Uploads packs until the queue is closed.
    pub(super) fn run(&self) {
        let _draining = Draining(self);
        for pack in &self.receiver {
            if self.has_failed() || self.interrupt.is_raised() {
                continue;
            }
            if let Err(error) = self.upload(pack) {
                self.fail(error);
            }
        }
    }

    fn upload(&self, pack: FinishedPack) -> Result<(), EngineError> {
        let part = pack_part(&pack);
        let FinishedPack { id, body, blobs } = pack;
        let body = Bytes::from(body);
        if self.writing == Writing::Real {
            self.repository.pack_write(&id, body.clone(), part)?;
            self.written.lock().expect("no holder panics").1.push(id);
            add(&self.counters.stored, body.len() as u64);
        }
        if let Ok(buffer) = body.try_into_mut() {
            self.buffers.lock().expect("no holder panics").push(buffer.into());
        }
        if self.writing == Writing::Rehearsed {
            return Ok(());
        }
        let full = {
            let mut pending = self.pending.lock().expect("no holder panics");
            pending.0.push(id, &blobs);
            pending.1 += 1;
            let full = pending.0.blob_count() >= INDEX_BLOBS_MAX || pending.1 >= INDEX_PACKS_MAX;
            full.then(|| std::mem::take(&mut *pending).0)
        };
        full.map_or(Ok(()), |index| self.index_write(&index))
    }

    /// Writes an index file, and looks whether what it names is still there: to a prune, packs that no index file names
    /// are litter. Whoever slept longer than its grace between a pack and its index file would name packs that are gone,
    /// and the next backup would take their blobs for known.
    fn index_write(&self, index: &IndexFile) -> Result<(), EngineError> {
        let (id, size) = self.repository.file_write(FileKind::Index, &index.write())?;
        let mut count = 0;
        for pack in index.pack_ids().0 {
            count += u64::from(!self.repository.pack_is_there(&pack)?);
        }
        if count > 0 {
            self.repository.file_remove(FileKind::Index, &id)?;
            return Err(EngineError::Overtaken { place: self.repository.place(), count });
        }
        self.written.lock().expect("no holder panics").0.push(id);
        add(&self.counters.stored, size);
        Ok(())
    }

    /// Returns the index files and the packs that were written.
    pub(super) fn take_written(&self) -> (Vec<Id>, Vec<Id>) {
        std::mem::take(&mut *self.written.lock().expect("no holder panics"))
    }

    /// Writes the index of the packs that no index file names yet: also after an interrupt, so that the next run does
    /// not send them again.
    pub(super) fn finish(&self) -> Result<(), EngineError> {
        let (index, _) = std::mem::take(&mut *self.pending.lock().expect("no holder panics"));
        if index.is_empty() { Ok(()) } else { self.index_write(&index) }
    }

    /// Notes the first failure: the run ends with it.
    pub(super) fn fail(&self, error: EngineError) {
        self.failure.lock().expect("no holder panics").get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }

    /// Says whether the run has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Returns the failure that ends the run; none when there was none.
    pub(super) fn take_failure(&self) -> Option<EngineError> {
        self.failure.lock().expect("no holder panics").take()
    }
}

/// Takes the place of an uploader that panics: packs are only taken off the queue, so that no worker waits for ever.
struct Draining<'a>(&'a Uploads<'a>);

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(EngineError::Panicked { does: "uploads" });
            self.0.receiver.iter().for_each(drop);
        }
    }
}
