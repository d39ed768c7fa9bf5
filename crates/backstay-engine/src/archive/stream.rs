//! Makes a snapshot of a stream: one file, of bytes that come from standard input or a command.
//!
//! ```text
//!  a thread that reads ──> this thread cuts ──> N workers: hash, compress, seal ──> uploaders (as for trees)
//! ```
//!
//! The reading thread stands alone, because a read that waits cannot be called back: when the run ends early, the stream
//! is told to stop and the thread is left to its last read. A stream that fails makes no snapshot.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::counters::{Counters, add};
use super::files::too_many_blobs;
use super::holes::Holes;
use super::known::KnownBlobs;
use super::options::{ArchiveOptions, Writing};
use super::packer::Packer;
use super::publish::{Archived, Rehearsed};
use super::roots::{clean, unreadable};
use super::run::parent_of;
use super::upload::Uploads;
use crate::error::EngineError;
use crate::format::chunker::{CHUNK_BYTES_MAX, HOLE, HOLE_ENDS_BLOB_BYTES, is_hole};
use crate::format::id::Id;
use crate::format::node::{Content, Metadata, NewNode};
use crate::format::pack::BlobKind;
use crate::format::time::FileTime;
use crate::format::tree::{FILE_BLOBS_MAX, TreeWriter};
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;
use crate::repository::Repository;
use crate::seen::SeenIndex;

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
    source: Source,
    stop: Box<dyn FnOnce() + Send>,
}

enum Source {
    Reader(Box<dyn Read + Send>),
    /// A regular file that has holes.
    File(File, Holes),
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

impl Stream {
    /// Returns the stream of a reader, as of standard input.
    pub fn new(reader: impl Read + Send + 'static) -> Self {
        Self { source: Source::Reader(Box::new(reader)), stop: Box::new(|| {}) }
    }

    /// Returns the stream of an open file, from where it is read next, as of standard input that was led from a file.
    /// Holes are not read.
    pub fn of_file(file: File) -> Self {
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        let source = match Holes::of(&file, bytes) {
            Some(holes) => Source::File(file, holes),
            None => Source::Reader(Box::new(file)),
        };
        Self { source, stop: Box::new(|| {}) }
    }

    /// Returns the stream of a reader that `stop` makes end soon.
    pub fn with_stop(reader: impl Read + Send + 'static, stop: impl FnOnce() + Send + 'static) -> Self {
        Self { source: Source::Reader(Box::new(reader)), stop: Box::new(stop) }
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
    let Stream { source, stop } = stream;
    let (sender, pieces) = bounded(PIECES_AHEAD);
    let (used, free) = bounded(PIECES_AHEAD);
    std::thread::spawn(move || match source {
        Source::Reader(reader) => read(reader, &sender, &free),
        Source::File(file, holes) => read_file(&file, holes, &sender, &free),
    });
    let pieces = Pieces { read: pieces, used };
    let cutter = Cutter { repository, blobs, ids, progress, hole: None, count: 0, size: 0 };
    let fed = cutter.cut_all(&pieces, name, stopped);
    if fed.is_err() {
        stop();
    }
    fed
}

/// What is read.
enum Piece {
    /// A buffer, and how many of its bytes.
    Bytes(Vec<u8>, usize),
    /// So many zeros, which were not read.
    Zeros(u64),
    End,
}

/// What is read, and the way back for buffers that were used.
struct Pieces {
    read: Receiver<io::Result<Piece>>,
    used: Sender<Vec<u8>>,
}

/// Reads pieces until the stream ends or nobody wants more. The last that it hands over is the end, or an error: a reader
/// that goes away without either has panicked.
fn read(mut reader: Box<dyn Read + Send>, pieces: &Sender<io::Result<Piece>>, free: &Receiver<Vec<u8>>) {
    loop {
        let piece = next_piece(&mut reader, PIECE_BYTES, free);
        let more = matches!(piece, Ok(Piece::Bytes(..)));
        if pieces.send(piece).is_err() || !more {
            return;
        }
    }
}

/// As [`read`], but holes are told and not read.
fn read_file(mut file: &File, mut holes: Holes, pieces: &Sender<io::Result<Piece>>, free: &Receiver<Vec<u8>>) {
    loop {
        let mut place_and_hole = || {
            let place = file.stream_position()?;
            Ok((place, holes.at(file, place)?))
        };
        let piece = match place_and_hole() {
            Err(error) => Err(error),
            Ok((place, hole)) if hole.start <= place => {
                let told = |_| Piece::Zeros(hole.end - place);
                file.seek(SeekFrom::Start(hole.end)).map(told)
            }
            Ok((place, hole)) => {
                let until_hole = usize::try_from(hole.start - place).unwrap_or(usize::MAX);
                next_piece(&mut file, PIECE_BYTES.min(until_hole), free)
            }
        };
        let more = matches!(piece, Ok(Piece::Bytes(..) | Piece::Zeros(_)));
        if pieces.send(piece).is_err() || !more {
            return;
        }
    }
}

fn next_piece(reader: &mut dyn Read, bytes_max: usize, free: &Receiver<Vec<u8>>) -> io::Result<Piece> {
    let mut piece = free.try_recv().unwrap_or_else(|_| vec![0; PIECE_BYTES]);
    loop {
        match reader.read(&mut piece[..bytes_max]) {
            Ok(0) => return Ok(Piece::End),
            Ok(bytes) => return Ok(Piece::Bytes(piece, bytes)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Cuts what comes, and hands over its blobs.
struct Cutter<'a> {
    repository: &'a Repository,
    blobs: Sender<(usize, Vec<u8>)>,
    ids: &'a Mutex<Vec<(usize, Id)>>,
    progress: &'a EngineProgress,
    /// The id of a hole's blob, once one was handed over: if it cannot be saved there is no snapshot.
    hole: Option<Id>,
    /// Blobs so far.
    count: usize,
    /// Their bytes.
    size: u64,
}

impl Cutter<'_> {
    /// Cuts all that comes, and returns how many bytes it had.
    fn cut_all(mut self, pieces: &Pieces, name: &Path, stopped: &dyn Fn() -> bool) -> Result<u64, EngineError> {
        let mut window: Vec<u8> = Vec::with_capacity(CHUNK_BYTES_MAX + CUT_BYTES);
        let mut ended = false;
        // How many bytes must be there before it is worth looking for boundaries.
        let mut enough = CUT_BYTES;
        while !ended {
            if stopped() {
                return Err(EngineError::Interrupted);
            }
            match pieces.read.recv_timeout(LOOK_EVERY) {
                Ok(Ok(Piece::Bytes(piece, bytes))) => {
                    window.extend_from_slice(&piece[..bytes]);
                    // One buffer more than there is room for is one too many.
                    let _ = pieces.used.try_send(piece);
                }
                Ok(Ok(Piece::Zeros(zeros))) => self.cut_zeros(&mut window, zeros)?,
                Ok(Ok(Piece::End)) => ended = true,
                Ok(Err(error)) => return Err(unreadable(name, error)),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Err(EngineError::Panicked { does: "reads the stream" }),
            }
            if ended || window.len() >= enough {
                self.cut(&mut window, ended)?;
                enough = window.len() + CUT_BYTES;
            }
            if self.count > FILE_BLOBS_MAX {
                return Err(unreadable(name, too_many_blobs()));
            }
        }
        self.progress.done(1, 0);
        Ok(self.size)
    }

    /// Hands over the blobs of a window that have their end in it, and leaves the rest.
    fn cut(&mut self, window: &mut Vec<u8>, ended: bool) -> Result<(), EngineError> {
        let mut begin = 0;
        while begin < window.len() {
            let rest = &window[begin..];
            let cut = self.repository.chunker().cut(rest);
            if cut == rest.len() && !ended && cut < CHUNK_BYTES_MAX {
                break;
            }
            self.hand_over(&rest[..cut])?;
            begin += cut;
        }
        window.drain(..begin);
        Ok(())
    }

    /// Cuts a window that so many zeros follow, and leaves those in it that do not fill a blob.
    fn cut_zeros(&mut self, window: &mut Vec<u8>, zeros: u64) -> Result<(), EngineError> {
        // So many of them that what lies before has its end.
        let first = zeros.min(HOLE_ENDS_BLOB_BYTES as u64);
        window.resize(window.len() + first as usize, 0);
        let mut left = zeros - first;
        if left == 0 {
            return Ok(());
        }
        self.cut(window, false)?;
        left += window.len() as u64;
        window.clear();
        while left >= HOLE.len() as u64 && self.count <= FILE_BLOBS_MAX {
            self.hand_over(HOLE)?;
            left -= HOLE.len() as u64;
        }
        // More are left only of a stream that is cut into too many blobs.
        window.resize(left.min(HOLE.len() as u64) as usize, 0);
        Ok(())
    }

    fn hand_over(&mut self, blob: &[u8]) -> Result<(), EngineError> {
        let is_hole = std::ptr::eq(blob, HOLE.as_slice()) || is_hole(blob);
        match self.hole.filter(|_| is_hole) {
            Some(id) => self.ids.lock().expect("no holder panics").push((self.count, id)),
            None => {
                self.hole = self.hole.or_else(|| is_hole.then(|| Id::of(blob)));
                if self.blobs.send((self.count, blob.to_vec())).is_err() {
                    return Err(EngineError::Panicked { does: "seals" });
                }
            }
        }
        (self.count, self.size) = (self.count + 1, self.size + blob.len() as u64);
        self.progress.done(0, blob.len() as u64);
        Ok(())
    }
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
