//! Reading all files of a kind: snapshots, or the index.
//!
//! Files are fetched ahead; opening and parsing them, which is most of the work for an index of millions of blobs, is
//! shared out among threads; whoever asked gets them one by one, in the order of their names.

use backstay_storage::ReadCache;
use bytes::Bytes;
use futures::StreamExt;
use futures::channel::oneshot;

use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::index::IndexFile;
use crate::format::object::FileKind;
use crate::interrupt::Interrupt;
use crate::repository::Repository;

/// Files that are fetched or opened at once: an index file has some megabytes.
const FILES_AHEAD: usize = 8;

/// A file that was fetched, and where what it says is wanted.
type Fetched<T> = (Id, Bytes, oneshot::Sender<Result<T, EngineError>>);

impl Repository {
    /// Hands each of these index files to `each`, in their order, or why it cannot be had.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`]; what `each` returns.
    pub(crate) fn each_index_file(
        &self,
        ids: &[Id],
        interrupt: &Interrupt,
        each: impl FnMut(&Id, Result<IndexFile, EngineError>) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let read =
            |id: &Id, plain: Vec<u8>| IndexFile::read(&plain).map_err(|source| self.told(FileKind::Index, id, source));
        self.each_read(FileKind::Index, ids, interrupt, read, each)
    }

    /// Reads an index file once more, past what keeps copies: from where it lies.
    ///
    /// # Errors
    /// [`EngineError::Format`], [`EngineError::Storage`], [`EngineError::Interrupted`].
    pub(crate) fn index_file_read_again(&self, id: &Id, interrupt: &Interrupt) -> Result<IndexFile, EngineError> {
        let (kind, key) = (FileKind::Index, FileKind::Index.key(id));
        let sealed = interrupt.block_on(self.storage().object_get(&key, None, ReadCache::Bypass))??;
        let plain = self.unseal(kind, id, sealed)?;
        IndexFile::read(&plain).map_err(|source| self.told(kind, id, source))
    }

    /// Hands the plain bytes of each of these files to `each`, in their order, or why it cannot be had.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`]; what `each` returns.
    pub(crate) fn each_file(
        &self,
        kind: FileKind,
        ids: &[Id],
        interrupt: &Interrupt,
        each: impl FnMut(&Id, Result<Vec<u8>, EngineError>) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        self.each_read(kind, ids, interrupt, |_, plain| Ok(plain), each)
    }

    /// Hands what `read` makes of each of these files to `each`. While one is looked at the next ones are fetched, and
    /// read by other threads.
    fn each_read<T: Send>(
        &self,
        kind: FileKind,
        ids: &[Id],
        interrupt: &Interrupt,
        read: impl Fn(&Id, Vec<u8>) -> Result<T, EngineError> + Sync,
        mut each: impl FnMut(&Id, Result<T, EngineError>) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let opened = |id: &Id, sealed: Bytes| {
            // Nobody waits for the rest any more.
            if interrupt.is_raised() {
                return Err(EngineError::Interrupted);
            }
            read(id, self.unseal(kind, id, sealed)?)
        };
        let opened = &opened;
        std::thread::scope(|scope| {
            let (wanted, fetched) = crossbeam_channel::unbounded::<Fetched<T>>();
            let threads = if ids.len() > 1 { reader_count().min(ids.len()) } else { 0 };
            for _ in 0..threads {
                let fetched = fetched.clone();
                // Whoever gave up does not listen.
                scope.spawn(move || {
                    fetched.iter().for_each(|(id, sealed, answer)| drop(answer.send(opened(&id, sealed))))
                });
            }
            let wanted = &wanted;
            let files = futures::stream::iter(ids).map(|id| async move {
                let sealed = self.sealed(kind, id).await?;
                if threads == 0 {
                    return opened(id, sealed);
                }
                let (answer, answered) = oneshot::channel();
                wanted.send((*id, sealed, answer)).expect("a receiver lives as long as this function");
                answered.await.expect("a reader answers or panics")
            });
            let mut files = std::pin::pin!(files.buffered(FILES_AHEAD));
            for id in ids {
                let file = interrupt.block_on(files.next())?.expect("there is one for each id");
                interrupt.check()?;
                each(id, file)?;
            }
            Ok(())
        })
    }
}

fn reader_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(FILES_AHEAD)
}
