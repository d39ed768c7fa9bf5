//! Reading files: open, read, cut, save, and put the blobs' ids in the folder's entry.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::attributes::Bearer;
use super::counters::add;
use super::folder::{Entry, FileContent, Folder, Opened, Origin, Saved};
use super::handed::HandedFile;
use super::holes::Holes;
use super::run::Worker;
use crate::error::EngineError;
use crate::format::chunker::{CHUNK_BYTES_MAX, HOLE, HOLE_ENDS_BLOB_BYTES};
use crate::format::id::Id;
use crate::format::node::ExtendedAttribute;
use crate::format::pack::BlobKind;
use crate::format::tree::FILE_BLOBS_MAX;
use crate::system::{System, SystemCall};

/// Bytes that are read ahead of the cut: the largest blob, so that a full buffer always holds a whole one. Most are far
/// smaller, so little is left over and moved to the beginning when more is read.
pub(super) const READ_BYTES: usize = CHUNK_BYTES_MAX;

/// Why a file was not saved.
pub(super) enum NotSaved {
    /// It could not be read. What was there when its folder was listed and is not there any more is unread too: it may
    /// have got another name, so a state without it need never have been.
    Unread(io::Error),
    /// The run ends.
    Stop,
}

impl Worker<'_> {
    /// Reads a batch of files of one folder.
    pub(super) fn read_batch(&mut self, folder: &Arc<Folder>, batch: &[usize]) {
        let opened = match folder.open(&self.run.options.system) {
            Ok(opened) => opened,
            Err(error) => {
                for place in batch {
                    self.run.unread(&folder.path_of(folder.name_of(&folder.entries()[*place])), &error.into());
                }
                return;
            }
        };
        for place in batch {
            let entry = &folder.entries()[*place];
            let name = folder.name_of(entry);
            let read = match self.run.links.take(entry) {
                Some((saved, attributes)) => {
                    self.count_file(entry, &saved);
                    Ok((saved, attributes))
                }
                None => self.read_file(folder, &opened, entry).inspect(|(saved, attributes)| {
                    self.run.links.keep(entry, saved, attributes);
                }),
            };
            match read {
                Ok((saved, attributes)) => {
                    entry.attributes_set(attributes);
                    entry.saved.set(saved).expect("a file is read once");
                }
                Err(NotSaved::Unread(error)) => match &folder.origin {
                    Origin::Told(places) => {
                        let place = &places[name];
                        self.run.root_failed(place.path(), place.is_named(), error);
                    }
                    _ => self.run.unread(&folder.path_of(name), &error),
                },
                Err(NotSaved::Stop) => return,
            }
        }
    }

    /// Reads one file into blobs.
    fn read_file(
        &mut self,
        folder: &Folder,
        opened: &Opened,
        entry: &Entry,
    ) -> Result<(Saved, Box<[ExtendedAttribute]>), NotSaved> {
        let (system, name) = (&self.run.options.system, folder.name_of(entry));
        let file = match opened {
            Opened::Folder(fd) => open_file(system, fd, Path::new(OsStr::from_bytes(name))),
            Opened::Told => open_file(system, CWD, &folder.path_of(name)),
        }?;
        let attributes = self.attributes_from(folder, name, &Bearer::Open(&file));
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = self.read_open(folder, &file, name, entry.metadata.size, &mut buffer);
        self.buffer = buffer;
        let (content, size) = read?;
        self.run.progress.done(1, 0);
        add(&self.run.counters.bytes, size);
        Ok((Saved::File(FileContent::new(content, size, entry.metadata.size)), attributes))
    }

    /// Reads an open file that should have `listed_bytes` into blobs; returns their ids and how many bytes it had.
    fn read_open(
        &mut self,
        folder: &Folder,
        file: &OwnedFd,
        name: &[u8],
        listed_bytes: u64,
        buffer: &mut [u8],
    ) -> Result<(Vec<Id>, u64), NotSaved> {
        let (system, handed) = (&self.run.options.system, Arc::<HandedFile>::default());
        let mut content: Vec<Id> = Vec::new();
        let (mut filled, mut ended, mut size) = (0, false, 0u64);
        let mut holes = Holes::of(file, listed_bytes);
        loop {
            if self.run.stopped() {
                return Err(NotSaved::Stop);
            }
            if let Some(holes) = &holes {
                let blobs = holes.blobs_within(size..size + filled as u64);
                if !folder.has_room_for(content.len().saturating_add(blobs)) {
                    return Err(NotSaved::Unread(too_many_blobs()));
                }
                if blobs > 0 {
                    let id = self.packer.save(BlobKind::Data, HOLE).map_err(|error| self.stop(error))?;
                    content.extend(std::iter::repeat_n(id, blobs));
                    (size, filled) = (size + (blobs * HOLE.len()) as u64, 0);
                    rustix::fs::seek(file, SeekFrom::Start(size)).map_err(|error| NotSaved::Unread(error.into()))?;
                    self.run.progress.done(0, (blobs * HOLE.len()) as u64);
                }
            }
            while !ended && filled < buffer.len() {
                let mut room = buffer.len() - filled;
                if let Some(holes) = &mut holes {
                    let place = size + filled as u64;
                    let hole = holes.at(file, place).map_err(NotSaved::Unread)?;
                    if hole.start <= place {
                        let zeros = room.min(HOLE_ENDS_BLOB_BYTES).min(bytes_of(hole.end - place));
                        buffer[filled..filled + zeros].fill(0);
                        filled += zeros;
                        let next = SeekFrom::Start(place + zeros as u64);
                        rustix::fs::seek(file, next).map_err(|error| NotSaved::Unread(error.into()))?;
                        if place + (zeros as u64) < hole.end {
                            // Once the blob that reaches into it has its end, blobs of zeros follow.
                            break;
                        }
                        continue;
                    }
                    room = room.min(bytes_of(hole.start - place));
                }
                let room = system.room(SystemCall::Read, name, room);
                let read = room.and_then(|room| rustix::io::read(file, &mut buffer[filled..filled + room]));
                match read {
                    Ok(0) => ended = true,
                    Ok(count) => {
                        filled += count;
                        // Less than asked for, and as much as there should be, is the end: small files, which are
                        // most, are not asked a second time. A file that grows since then had this state.
                        ended = filled < buffer.len() && size + filled as u64 == listed_bytes;
                    }
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(NotSaved::Unread(error.into())),
                }
            }
            let mut begin = 0;
            while begin < filled {
                let rest = &buffer[begin..filled];
                let cut = self.run.repository.chunker().cut(rest);
                if cut == rest.len() && !ended && cut < CHUNK_BYTES_MAX {
                    // No boundary yet: what follows decides.
                    break;
                }
                let is_last = ended && cut == rest.len();
                let saved = match is_last {
                    true => self.packer.save(BlobKind::Data, rest).map(|id| content.push(id)),
                    false => self.save_or_hand(&handed, &mut content, &rest[..cut]),
                };
                saved.map_err(|error| self.stop(error))?;
                begin += cut;
                size += cut as u64;
                self.run.progress.done(0, cut as u64);
            }
            buffer.copy_within(begin..filled, 0);
            filled -= begin;
            if ended && filled == 0 {
                break;
            }
        }
        self.take_back(&handed, &mut content)?;
        if folder.take_room_for(content.len()) { Ok((content, size)) } else { Err(NotSaved::Unread(too_many_blobs())) }
    }

    /// Counts a file that was read under another name.
    fn count_file(&self, entry: &Entry, saved: &Saved) {
        if let Saved::File(content) = saved {
            let bytes = content.bytes(entry.metadata.size);
            self.run.progress.done(1, bytes);
            add(&self.run.counters.bytes, bytes);
        }
    }

    /// Ends the run with a failure.
    fn stop(&self, error: EngineError) -> NotSaved {
        self.run.fail(error);
        NotSaved::Stop
    }
}

/// Returns the error of a file whose list of blobs nobody could read back.
pub(super) fn too_many_blobs() -> io::Error {
    let problem = format!(
        "with it, files of one folder are cut into more than {FILE_BLOBS_MAX} blobs, whose list cannot be read back: move \
         it to a folder of its own, or leave it out"
    );
    io::Error::new(io::ErrorKind::FileTooLarge, problem)
}

/// Returns a number of bytes as one of this machine's memory, or as much as it can say.
fn bytes_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Opens a regular file: never follows a link, never waits for a FIFO's other end.
fn open_file(system: &System, folder: impl AsFd, name: &Path) -> Result<OwnedFd, NotSaved> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Reading must not change the time of last access; only a file's owner may ask for that.
    let failed = |error: Errno| NotSaved::Unread(error.into());
    let named = name.as_os_str().as_bytes();
    system.before(SystemCall::Open, named).map_err(failed)?;
    let opened = match rustix::fs::openat(&folder, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(&folder, name, flags, Mode::empty()),
        answer => answer,
    };
    let file = match opened {
        Ok(file) => file,
        Err(Errno::NOENT) => return Err(NotSaved::Unread(vanished())),
        Err(Errno::LOOP) => return Err(NotSaved::Unread(replaced())),
        Err(error) => return Err(failed(error)),
    };
    let stat = system.before(SystemCall::Stat, named).and_then(|()| rustix::fs::fstat(&file)).map_err(failed)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(file),
        _ => Err(NotSaved::Unread(replaced())),
    }
}

/// A name that is nothing any more: a file that was renamed is looked for in vain under both names, so this is told.
pub(super) fn vanished() -> io::Error {
    io::Error::other("vanished, or got another name, after its folder was listed")
}

/// A name that is something else than it was when its folder was listed: it was never missing, so leaving it out would
/// save a state that never was.
fn replaced() -> io::Error {
    io::Error::other("was replaced by something that is no file while it was read; the next backup saves it")
}
