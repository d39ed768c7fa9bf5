//! What happens to full packs: they are uploaded a few at a time, and an index file names them once they are durable.
//!
//! After a failure packs are only taken off the queue, so that no worker waits for ever; the failure ends the run.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use backstay_storage::Pace;
use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};
use jiff::Timestamp;

use super::counters::{Counters, add};
use super::crew::{Crew, HELP_AFTER};
use super::options::{ArchiveOptions, Writing};
use crate::error::EngineError;
use crate::format::chunker::CHUNK_BYTES_MAX;
use crate::format::id::Id;
use crate::format::index::{INDEX_BLOBS_MAX, IndexFile};
use crate::format::object::FileKind;
use crate::format::pack::{FinishedPack, PackedBlob};
use crate::interrupt::Interrupt;
use crate::lock::STALE_AFTER;
use crate::progress::EngineProgress;
use crate::repository::{Repository, pack_part};

/// Packs after which the first index file of a run is written: a run that dies young leaves something too. Each further
/// one may name twice as many.
const INDEX_PACKS_FIRST: usize = 2;

/// Packs after which an index file is written even if it names few blobs: what a crash would send again is bounded.
const INDEX_PACKS_MAX: usize = 32;

/// Packs that wait for an uploader at the most: the next one is made meanwhile.
const PACKS_WAITING_MAX: usize = 1;

/// Bytes that a new buffer for a pack has room for: a pack that is nearly full, one more blob of the largest, and a header.
/// Room costs no memory before it is filled; growing would copy, and leave holes between what is held.
const PACK_ROOM_BYTES: usize = (16 << 20) + CHUNK_BYTES_MAX + (1 << 20);

/// Bytes of a buffer that is used again at most: of a usual pack, with room for its last blob.
const BUFFER_BYTES_MAX: usize = 32 << 20;

/// A pack waits so long for its index file at most: over a slow line the same bound, in time. One small object a minute
/// costs nothing beside the packs.
const INDEX_EVERY: Duration = Duration::from_secs(60);

/// From the last sign of life before a pack until after its index file, each pack is believed to be there unseen for so
/// long only. A lock counts as dead after three times as long, and a prune of ours lets litter lie for a day.
const BELIEVED_FOR: Duration = Duration::from_secs(10 * 60);
const _: () = assert!(BELIEVED_FOR.as_secs() * 3 <= STALE_AFTER.as_secs());

/// A moment by two clocks: one never jumps, and may stand still while the machine sleeps; the other may jump.
#[derive(Debug, Clone, Copy)]
struct Moment {
    steady: Duration,
    wall: Timestamp,
}

impl Moment {
    fn now(pace: &dyn Pace) -> Self {
        Self { steady: pace.elapsed(), wall: pace.now() }
    }

    /// Returns the moment that is further back, by each clock.
    fn earlier(self, other: Self) -> Self {
        Self { steady: self.steady.min(other.steady), wall: self.wall.min(other.wall) }
    }

    /// Returns the time since then, by the clock that says more. A clock that went back says nothing, so it says a lot.
    fn age(self, pace: &dyn Pace) -> Duration {
        let now = Self::now(pace);
        let by_wall = Duration::try_from(now.wall.duration_since(self.wall)).unwrap_or(Duration::MAX);
        now.steady.saturating_sub(self.steady).max(by_wall)
    }
}

/// What the next index file will name.
#[derive(Debug, Default)]
struct Pending {
    index: IndexFile,
    /// Packs in it, in the order in which they became durable.
    packs: Vec<Id>,
    /// The last sign of life before the first of them was begun; none while there is none.
    since: Option<Moment>,
}

impl Pending {
    fn push(&mut self, id: Id, blobs: &[PackedBlob], since: Moment) {
        self.index.push(id, blobs);
        self.packs.push(id);
        self.since = Some(self.since.map_or(since, |known| known.earlier(since)));
    }
}

/// The queue of full packs and the index that is being filled.
pub(super) struct Uploads<'a> {
    repository: &'a Repository,
    counters: &'a Counters,
    interrupt: &'a Interrupt,
    progress: &'a EngineProgress,
    writing: Writing,
    sender: Mutex<Option<Sender<FinishedPack>>>,
    receiver: Receiver<FinishedPack>,
    crew: Crew,
    pace: &'a dyn Pace,
    pending: Mutex<Pending>,
    /// Packs that the next index file names at most.
    index_packs: AtomicUsize,
    /// When this run was last seen at work.
    alive: Mutex<Moment>,
    /// Index files and packs that were written.
    written: Mutex<(Vec<Id>, Vec<Id>)>,
    buffers: Mutex<Vec<Vec<u8>>>,
    failed: AtomicBool,
    failure: Mutex<Option<EngineError>>,
}

impl<'a> Uploads<'a> {
    /// Makes a queue that holds a few packs, besides those under way.
    pub(super) fn new(
        repository: &'a Repository,
        counters: &'a Counters,
        (interrupt, progress): (&'a Interrupt, &'a EngineProgress),
        options: &'a ArchiveOptions,
        writing: Writing,
    ) -> Self {
        let (sender, receiver) = bounded(PACKS_WAITING_MAX);
        let pace = &*options.pace;
        Self {
            repository,
            counters,
            interrupt,
            progress,
            writing,
            sender: Mutex::new(Some(sender)),
            receiver,
            crew: Crew::new(options.uploads, pace.elapsed()),
            pace,
            pending: Mutex::default(),
            index_packs: AtomicUsize::new(INDEX_PACKS_FIRST),
            alive: Mutex::new(Moment::now(pace)),
            written: Mutex::default(),
            buffers: Mutex::default(),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
        }
    }

    /// Returns a buffer for a pack, used before where there is one.
    pub(super) fn buffer(&self) -> Vec<u8> {
        let used = self.buffers.lock().expect("no holder panics").pop();
        used.unwrap_or_else(|| Vec::with_capacity(PACK_ROOM_BYTES))
    }

    /// Hands over a pack; waits while the queue is full.
    pub(super) fn send(&self, pack: FinishedPack) {
        let sender = self.sender.lock().expect("no holder panics").clone();
        if let Some(sender) = sender {
            let mut pack = pack;
            // Uploaders stay until the queue is closed, so this ends.
            while let Err(SendTimeoutError::Timeout(waits)) = sender.send_timeout(pack, HELP_AFTER) {
                self.crew.help(self.pace.elapsed());
                pack = waits;
            }
        }
    }

    /// Says that no pack will follow.
    pub(super) fn close(&self) {
        self.sender.lock().expect("no holder panics").take();
        self.crew.end();
    }

    fn is_closed(&self) -> bool {
        self.sender.lock().expect("no holder panics").is_none() && self.receiver.is_empty()
    }

    /// Uploads packs until the queue is closed, once there are so many that this uploader is needed.
    pub(super) fn run(&self) {
        self.crew.enter();
        let _draining = Draining(self);
        loop {
            let done = match self.receiver.recv_timeout(INDEX_EVERY) {
                Ok(_) | Err(RecvTimeoutError::Timeout) if self.has_failed() || self.interrupt.is_raised() => Ok(()),
                Ok(pack) => self.upload(pack),
                // Nothing comes: what is there is named all the same.
                Err(RecvTimeoutError::Timeout) => self.index_if_due(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Err(error) = done {
                self.fail(error);
            }
        }
    }

    fn upload(&self, pack: FinishedPack) -> Result<(), EngineError> {
        let now = Moment::now(self.pace);
        let since = std::mem::replace(&mut *self.alive.lock().expect("no holder panics"), now).earlier(now);
        let part = pack_part(&pack);
        let FinishedPack { id, body, blobs } = pack;
        let body = Bytes::from(body);
        if self.writing == Writing::Real {
            self.repository.pack_write(&id, body.clone(), part, self.interrupt)?;
            // Over a slow line nothing is read for long, while all that was read is sent.
            add(&self.progress.packs_sent, 1);
            self.written.lock().expect("no holder panics").1.push(id);
            add(&self.counters.stored, body.len() as u64);
        }
        self.crew.uploaded(body.len() as u64);
        // Room for the tree of a wide folder is not kept.
        if let Ok(buffer) = body.try_into_mut()
            && buffer.capacity() <= BUFFER_BYTES_MAX
        {
            self.buffers.lock().expect("no holder panics").push(buffer.into());
        }
        if self.writing == Writing::Rehearsed {
            return Ok(());
        }
        self.pending.lock().expect("no holder panics").push(id, &blobs, since);
        self.index_if_due()
    }

    /// Writes an index file when there is enough to name, or something has waited for long. Once no pack will follow, what
    /// is there waits for the others under way: [`Uploads::finish`] names them together.
    fn index_if_due(&self) -> Result<(), EngineError> {
        let due = {
            let mut pending = self.pending.lock().expect("no holder panics");
            let packs = self.index_packs.load(Ordering::Relaxed);
            let is_due = pending.index.blob_count() >= INDEX_BLOBS_MAX
                || pending.packs.len() >= packs && !self.is_closed()
                || pending.since.is_some_and(|since| since.age(self.pace) >= INDEX_EVERY);
            if is_due {
                self.index_packs.store((packs * 2).min(INDEX_PACKS_MAX), Ordering::Relaxed);
            }
            is_due.then(|| std::mem::take(&mut *pending))
        };
        due.map_or(Ok(()), |pending| self.index_write(&pending))
    }

    /// Writes an index file, and looks whether what it names is still there: to a prune, packs that no index file names
    /// are litter. Whoever slept longer than its grace between a pack and its index file would name packs that are gone,
    /// and the next backup would take their blobs for known.
    ///
    /// Usually that is one question: whoever takes packs for litter and removes them has listed them, and so also the
    /// oldest, which was there before the others. After a long time, or when our lock may be lost, each is asked for: a
    /// removal may be under way.
    ///
    /// After an interrupt a storage that does not answer is given up. It is asked before too then, so that an index file
    /// is not written at all unless its packs were there a moment ago.
    fn index_write(&self, pending: &Pending) -> Result<(), EngineError> {
        let Pending { index, packs, since } = pending;
        let overtaken = |count| EngineError::Overtaken { place: self.repository.place(), count };
        if self.interrupt.is_raised() {
            match self.count_gone(packs)? {
                0 => {}
                count => return Err(overtaken(count)),
            }
        }
        let (id, size) = self.repository.file_write(FileKind::Index, &index.write(), self.interrupt)?;
        let is_old = since.is_some_and(|since| since.age(self.pace) >= BELIEVED_FOR);
        let asked = if is_old || self.interrupt.is_raised() { packs.len() } else { 1 };
        let gone = self.count_gone(&packs[..asked.min(packs.len())]);
        if !matches!(gone, Ok(0)) {
            self.repository.file_remove(FileKind::Index, &id, self.interrupt)?;
            return Err(overtaken(gone?));
        }
        self.written.lock().expect("no holder panics").0.push(id);
        add(&self.counters.stored, size);
        Ok(())
    }

    /// Counts the packs that are not in the storage.
    fn count_gone(&self, packs: &[Id]) -> Result<u64, EngineError> {
        let mut count = 0;
        for pack in packs {
            count += u64::from(!self.repository.pack_is_there(pack, self.interrupt)?);
        }
        Ok(count)
    }

    /// Returns the index files and the packs that were written.
    pub(super) fn take_written(&self) -> (Vec<Id>, Vec<Id>) {
        std::mem::take(&mut *self.written.lock().expect("no holder panics"))
    }

    /// Writes the index of the packs that no index file names yet: also after an interrupt, so that the next run does
    /// not send them again.
    pub(super) fn finish(&self) -> Result<(), EngineError> {
        let pending = std::mem::take(&mut *self.pending.lock().expect("no holder panics"));
        if pending.packs.is_empty() { Ok(()) } else { self.index_write(&pending) }
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
