//! Blobs of a large file that other workers save: one file keeps all of them busy when they have nothing else to do.
//!
//! The worker that reads the file cuts it, copies a blob for whoever is free, and saves the blob itself when enough wait
//! already. At the file's end it helps with what is left, and waits for what others have in their hands.

use std::sync::{Arc, Condvar, Mutex};

use super::files::NotSaved;
use super::folder::Task;
use super::run::Worker;
use crate::error::EngineError;
use crate::format::chunker::is_hole;
use crate::format::id::Id;
use crate::format::pack::BlobKind;

/// What became of a file's blobs that were handed over.
#[derive(Debug, Default)]
pub(super) struct HandedFile {
    progress: Mutex<HandedProgress>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct HandedProgress {
    /// Blobs that nobody has saved or dropped yet.
    left: usize,
    /// Places and ids of those that were saved.
    saved: Vec<(usize, Id)>,
}

/// A blob that somebody else saves.
#[derive(Debug)]
pub(super) struct HandedBlob {
    file: Arc<HandedFile>,
    place: usize,
    plain: Vec<u8>,
}

impl HandedBlob {
    fn new(file: &Arc<HandedFile>, place: usize, plain: &[u8]) -> Self {
        file.progress.lock().expect("no holder panics").left += 1;
        Self { file: Arc::clone(file), place, plain: plain.to_vec() }
    }
}

impl Drop for HandedBlob {
    /// It is in nobody's hands any more: saved, dropped by a run that ends, or lost to a panic. Only the first is in
    /// `saved`.
    fn drop(&mut self) {
        self.file.progress.lock().expect("no holder panics").left -= 1;
        self.file.changed.notify_all();
    }
}

impl Worker<'_> {
    /// Saves a blob of a file that has others, or lets another worker do so; the file's ids get a place for it.
    pub(super) fn save_or_hand(
        &mut self,
        file: &Arc<HandedFile>,
        content: &mut Vec<Id>,
        plain: &[u8],
    ) -> Result<(), EngineError> {
        let (place, wanted) = (content.len(), self.run.handed_max());
        if self.run.queue.len() < wanted && !is_hole(plain) {
            content.push(Id([0; 32]));
            self.run.queue.push([Task::Save(HandedBlob::new(file, place, plain))]);
            return Ok(());
        }
        content.push(self.packer.save(BlobKind::Data, plain)?);
        Ok(())
    }

    /// Saves a blob that was handed over.
    pub(super) fn save_handed(&mut self, blob: &HandedBlob) {
        match self.packer.save(BlobKind::Data, &blob.plain) {
            Ok(id) => blob.file.progress.lock().expect("no holder panics").saved.push((blob.place, id)),
            Err(error) => self.run.fail(error),
        }
    }

    /// Puts the ids of a file's handed blobs at their places, when all of them are saved.
    pub(super) fn take_back(&mut self, file: &HandedFile, content: &mut [Id]) -> Result<(), NotSaved> {
        // Whoever waits helps: else workers could wait for each other's blobs that nobody takes.
        while file.progress.lock().expect("no holder panics").left > 0
            && self.run.queue.do_one(|task| matches!(task, Task::Save(_)), |task| self.work(task))
        {}
        let progress = file.progress.lock().expect("no holder panics");
        let mut progress = file.changed.wait_while(progress, |progress| progress.left > 0).expect("no holder panics");
        for (place, id) in progress.saved.drain(..) {
            content[place] = id;
        }
        if content.contains(&Id([0; 32])) {
            if !self.run.stopped() {
                self.run.fail(EngineError::Panicked { does: "reads" });
            }
            return Err(NotSaved::Stop);
        }
        Ok(())
    }
}
