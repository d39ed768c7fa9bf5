//! Makes a snapshot of a stream: one file, of bytes that come from standard input or a command.
//!
//! ```text
//!  a thread that reads ──> this thread cuts ──> N workers: hash, compress, seal ──> uploaders (as for trees)
//! ```
//!
//! The reading thread stands alone, because a read that waits cannot be called back: when the run ends early, the stream
//! is told to stop and the thread is left to its last read. A stream that fails makes no snapshot.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::counters::{Counters, add};
use super::known::KnownBlobs;
use super::options::{ArchiveOptions, Writing};
use super::packer::Packer;
use super::publish::{Archived, Rehearsed};
use super::roots::{clean, unreadable};
use super::run::parent_of;
use super::seen::SeenIndex;
use super::upload::Uploads;
use crate::error::EngineError;
use crate::format::chunker::{CHUNK_BYTES_MAX, is_hole};
use crate::format::id::Id;
use crate::format::node::{Content, Metadata, NewNode};
use crate::format::pack::BlobKind;
use crate::format::time::FileTime;
use crate::format::tree::TreeWriter;
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;
use crate::repository::Repository;

/// Bytes of one read: enough that handing them over costs nothing.
const PIECE_BYTES: usize = 1 << 20;

/// Pieces that are read ahead.
const PIECES_AHEAD: usize = 4;

/// Bytes that are looked through for boundaries at once: each blob that is not whole yet is looked through again.
const CUT_BYTES: usize = 4 << 20;

/// How often a run that waits for its stream looks whether it should end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Bytes from outside, read once to their end.
pub struct Stream {
    reader: Box<dyn Read + Send>,
    stop: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

impl Stream {
    /// Returns the stream of a reader, as of standard input.
    pub fn new(reader: impl Read + Send + 'static) -> Self {
        Self { reader: Box::new(reader), stop: Box::new(|| {}) }
    }

    /// Returns the stream of a reader that `stop` makes end soon.
    pub fn with_stop(reader: impl Read + Send + 'static, stop: impl FnOnce() + Send + 'static) -> Self {
        Self { reader: Box::new(reader), stop: Box::new(stop) }
    }
}

/// Reads a stream into a repository as the file `name`, which is taken from `/` on. Roots and excludes of the options say
/// nothing here.
///
/// # Errors
/// [`EngineError::Source`] when the stream fails, and what ends any archive.
pub fn archive_stream<'a>(
    repository: &'a Repository,
    options: &'a ArchiveOptions,
    name: &Path,
    stream: Stream,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Archived<'a>, EngineError> {
    run(repository, options, name, stream, progress, interrupt, Writing::Real)
}

/// Does all that [`archive_stream`] does but writing.
///
/// # Errors
/// As [`archive_stream`].
pub fn rehearse_stream(
    repository: &Repository,
    options: &ArchiveOptions,
    name: &Path,
    stream: Stream,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<Rehearsed, EngineError> {
    run(repository, options, name, stream, progress, interrupt, Writing::Rehearsed).map(Archived::leave)
}

fn run<'a>(
    repository: &'a Repository,
    options: &'a ArchiveOptions,
    name: &Path,
    stream: Stream,
    progress: &EngineProgress,
    interrupt: &Interrupt,
    writing: Writing,
) -> Result<Archived<'a>, EngineError> {
    let path = clean(&[b"/", name.as_os_str().as_bytes()].concat());
    if path == b"/" {
        return Err(unreadable(name, io::Error::new(io::ErrorKind::InvalidInput, "it names no file")));
    }
    let index = repository.index_load(interrupt)?;
    let parent = options.parent.and_then(|id| parent_of(repository, &id, interrupt));
    let counters = Counters::default();
    let mut seen = SeenIndex::new(&index, interrupt);
    let known = KnownBlobs::new(&index);
    let uploads = &Uploads::new(repository, &counters, (interrupt, progress), options, writing);
    let packer = || Packer::new(repository, &known, uploads, &counters, options.recheck);
    let tree = std::thread::scope(|scope| {
        let _closing = Closing(uploads);
        let uploaders: Vec<_> = (0..options.uploads.max(1)).map(|_| scope.spawn(|| uploads.run())).collect();
        let (sender, blobs) = bounded::<(usize, Vec<u8>)>(1);
        let ids = Mutex::new(Vec::new());
        let saved = std::thread::scope(|scope| {
            for _ in 0..options.workers.max(1) {
                let (blobs, ids, packer) = (blobs.clone(), &ids, packer());
                scope.spawn(move || seal(&blobs, packer, ids, uploads));
            }
            drop(blobs);
            feed(repository, stream, name, sender, &ids, progress, &|| interrupt.is_raised() || uploads.has_failed())
        });
        let mut ids = ids.into_inner().unwrap_or_default();
        ids.sort_unstable_by_key(|(place, _)| *place);
        let ids: Vec<Id> = ids.into_iter().map(|(_, id)| id).collect();
        let mut packer = packer();
        let tree = saved.and_then(|size| save_trees(&mut packer, &path, size, &ids, options));
        let tree = tree.map_err(|error| uploads.fail(error)).ok();
        packer.finish();
        uploads.close();
        for uploader in uploaders {
            if uploader.join().is_err() {
                uploads.fail(EngineError::Panicked { does: "uploads" });
            }
        }
        tree
    });
    progress.publishing.store(true, std::sync::atomic::Ordering::Relaxed);
    let indexed = uploads.finish();
    if let Some(error) = uploads.take_failure() {
        return Err(error);
    }
    indexed?;
    seen.add_own(uploads.take_written());
    interrupt.check()?;
    let tree = tree.ok_or(EngineError::Interrupted)?;
    add(&counters.files_new, 1);
    let paths = vec![String::from_utf8_lossy(&path).into_owned()];
    Ok(Archived::new(repository, options, paths, tree, parent, counters, seen))
}

/// Closes the queue of packs, also when this thread panics: uploaders wait for it.
struct Closing<'a>(&'a Uploads<'a>);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Saves blobs as they come.
fn seal(
    blobs: &Receiver<(usize, Vec<u8>)>,
    mut packer: Packer<'_>,
    ids: &Mutex<Vec<(usize, Id)>>,
    uploads: &Uploads<'_>,
) {
    for (place, blob) in blobs {
        if uploads.has_failed() {
            continue;
        }
        let saved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| packer.save(BlobKind::Data, &blob)));
        match saved {
            Ok(Ok(id)) => ids.lock().expect("no holder panics").push((place, id)),
            Ok(Err(error)) => uploads.fail(error),
            Err(_) => uploads.fail(EngineError::Panicked { does: "seals" }),
        }
    }
    packer.finish();
}

/// Reads a stream to its end, cuts it and hands over its blobs; returns how many bytes it had.
fn feed(
    repository: &Repository,
    stream: Stream,
    name: &Path,
    blobs: Sender<(usize, Vec<u8>)>,
    ids: &Mutex<Vec<(usize, Id)>>,
    progress: &EngineProgress,
    stopped: &dyn Fn() -> bool,
) -> Result<u64, EngineError> {
    let Stream { reader, stop } = stream;
    let (sender, pieces) = bounded(PIECES_AHEAD);
    let (used, free) = bounded(PIECES_AHEAD);
    std::thread::spawn(move || read(reader, &sender, &free));
    let pieces = Pieces { read: pieces, used };
    let fed = cut(repository, &pieces, name, &blobs, ids, progress, stopped);
    if fed.is_err() {
        stop();
    }
    fed
}

/// Bytes that were read: a buffer, and how many of its bytes; none at the end.
type Piece = io::Result<Option<(Vec<u8>, usize)>>;

/// What is read, and the way back for buffers that were used.
struct Pieces {
    read: Receiver<Piece>,
    used: Sender<Vec<u8>>,
}

/// Reads pieces until the stream ends or nobody wants more. The last that it hands over is none, or an error: a reader
/// that goes away without either has panicked.
fn read(mut reader: Box<dyn Read + Send>, pieces: &Sender<Piece>, free: &Receiver<Vec<u8>>) {
    loop {
        let mut piece = free.try_recv().unwrap_or_else(|_| vec![0; PIECE_BYTES]);
        let answer = match reader.read(&mut piece) {
            Ok(0) => Ok(None),
            Ok(bytes) => Ok(Some((piece, bytes))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let more = matches!(answer, Ok(Some(_)));
        if pieces.send(answer).is_err() || !more {
            return;
        }
    }
}

fn cut(
    repository: &Repository,
    pieces: &Pieces,
    name: &Path,
    blobs: &Sender<(usize, Vec<u8>)>,
    ids: &Mutex<Vec<(usize, Id)>>,
    progress: &EngineProgress,
    stopped: &dyn Fn() -> bool,
) -> Result<u64, EngineError> {
    let mut window: Vec<u8> = Vec::with_capacity(CHUNK_BYTES_MAX + CUT_BYTES);
    let (mut ended, mut size, mut count) = (false, 0u64, 0usize);
    // How many bytes must be there before it is worth looking for boundaries.
    let mut enough = CUT_BYTES;
    let mut hole = None;
    while !ended {
        if stopped() {
            return Err(EngineError::Interrupted);
        }
        match pieces.read.recv_timeout(LOOK_EVERY) {
            Ok(Ok(Some((piece, bytes)))) => {
                window.extend_from_slice(&piece[..bytes]);
                // One buffer more than there is room for is one too many.
                let _ = pieces.used.try_send(piece);
            }
            Ok(Ok(None)) => ended = true,
            Ok(Err(error)) => return Err(unreadable(name, error)),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Err(EngineError::Panicked { does: "reads the stream" }),
        }
        if !ended && window.len() < enough {
            continue;
        }
        let mut begin = 0;
        while begin < window.len() {
            let rest = &window[begin..];
            let cut = repository.chunker().cut(rest);
            if cut == rest.len() && !ended && cut < CHUNK_BYTES_MAX {
                break;
            }
            match hole.filter(|_| is_hole(&rest[..cut])) {
                // The first blob of zeros was handed over; if it cannot be saved there is no snapshot.
                Some(id) => ids.lock().expect("no holder panics").push((count, id)),
                None => {
                    hole = hole.or_else(|| is_hole(&rest[..cut]).then(|| Id::of(&rest[..cut])));
                    if blobs.send((count, rest[..cut].to_vec())).is_err() {
                        return Err(EngineError::Panicked { does: "seals" });
                    }
                }
            }
            (begin, count, size) = (begin + cut, count + 1, size + cut as u64);
            progress.done(0, cut as u64);
        }
        window.drain(..begin);
        enough = window.len() + CUT_BYTES;
    }
    progress.done(1, 0);
    Ok(size)
}

/// Writes the trees of a snapshot that holds one file, with the moment of the backup as its times, as restic does.
fn save_trees(
    packer: &mut Packer<'_>,
    path: &[u8],
    size: u64,
    blobs: &[Id],
    options: &ArchiveOptions,
) -> Result<Id, EngineError> {
    let at = options.started_at;
    let nanoseconds = at.as_nanosecond().rem_euclid(1_000_000_000);
    let seconds = at.as_nanosecond().div_euclid(1_000_000_000);
    let time =
        FileTime { seconds: i64::try_from(seconds).unwrap_or(0), nanoseconds: u32::try_from(nanoseconds).unwrap_or(0) };
    let plain = Metadata { modified: time, accessed: time, changed: time, ..Metadata::default() };
    let mut tree = None;
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).rev() {
        let (mode, content) = match tree {
            None => (0o644, Content::File(blobs)),
            Some(tree) => (0o755, Content::Dir(tree)),
        };
        let metadata = Metadata { mode, size, ..plain };
        let mut writer = TreeWriter::new(Vec::new());
        writer.push(&NewNode { name, metadata: &metadata, user: "", group: "", extended_attributes: &[], content });
        tree = Some(packer.save(BlobKind::Tree, &writer.finish())?);
    }
    packer.count_bytes(size);
    Ok(tree.expect("a path that is not `/` has a name"))
}
