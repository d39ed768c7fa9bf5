//! Holes of regular files: what a file system says holds nothing but zeros need not be read.
//!
//! A hole that is none would be data lost in silence, and there was a file system that told of holes where data had just
//! been written (OpenZFS, issue 15526). So they are believed where this has worked for long, and elsewhere all is read;
//! decision record 0058 says why.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use rustix::fs::{FileType, SeekFrom};
use rustix::io::Errno;

use crate::format::chunker::CHUNK_BYTES_MIN;

/// A file with less is read: looking for holes would take longer.
const FILE_BYTES_MIN: u64 = 4 * CHUNK_BYTES_MIN as u64;

/// What `stat(2)` counts in.
const BLOCK_BYTES: u64 = 512;

/// File systems whose holes are believed, by their magic numbers (`statfs(2)`): ext4, XFS, tmpfs.
const BELIEVED: [u64; 3] = [0xEF53, 0x5846_5342, 0x0102_1994];

/// Where there is no hole.
const NOWHERE: Range<u64> = u64::MAX..u64::MAX;

/// Holes that are too short to spare a blob and may follow each other; a file that has more is read to its end.
const SHORT_MAX: u32 = 1_000;

/// The holes of a file, one after the other.
#[derive(Debug)]
pub(super) struct Holes {
    /// The first one that does not end before the last place that was asked about.
    next: Range<u64>,
    /// Where it was asked from.
    asked: u64,
}

impl Holes {
    /// Returns none when a file of so many bytes is small, or is not believed to have any.
    pub(super) fn of(file: impl AsFd, bytes: u64) -> Option<Self> {
        if bytes < FILE_BYTES_MIN {
            return None;
        }
        let stat = rustix::fs::fstat(&file).ok()?;
        let held_bytes = u64::try_from(stat.st_blocks).ok()? * BLOCK_BYTES;
        let can_have = FileType::from_raw_mode(stat.st_mode).is_file() && held_bytes < bytes;
        let is_believed = can_have && BELIEVED.contains(&(rustix::fs::fstatfs(&file).ok()?.f_type as u64));
        is_believed.then_some(Self { next: 0..0, asked: 0 })
    }

    /// Returns the hole at a place or the next one behind it; one beyond all bytes when there is none. What is read next
    /// of the file is at that place.
    ///
    /// # Errors
    /// Those of `lseek`.
    pub(super) fn at(&mut self, file: impl AsFd, place: u64) -> io::Result<Range<u64>> {
        // Who comes to a hole asks again: what lies before it may have taken an hour to read.
        if self.next.end <= place || (self.next.start <= place && self.asked < self.next.start) {
            (self.next, self.asked) = (look(&file, place)?, place);
            rustix::fs::seek(&file, SeekFrom::Start(place))?;
        }
        Ok(self.next.clone())
    }

    /// Returns how many blobs of a hole begin where these bytes do, which were read already and lie in it.
    pub(super) fn blobs_within(&self, read: Range<u64>) -> usize {
        let is_within = self.next.start <= read.start && read.end <= self.next.end && self.next != NOWHERE;
        let zeros = if is_within { self.next.end - read.start } else { 0 };
        usize::try_from(zeros / CHUNK_BYTES_MIN as u64).unwrap_or(usize::MAX)
    }
}

/// Returns the first hole at a place or behind it that spares a blob.
fn look(file: impl AsFd, place: u64) -> io::Result<Range<u64>> {
    let seek = |to| rustix::fs::seek(&file, to);
    // Before it is asked where data begins: what somebody appends meanwhile is no hole.
    let bytes = seek(SeekFrom::End(0))?;
    let mut from = place;
    for _ in 0..SHORT_MAX {
        let begin = match seek(SeekFrom::Hole(from)) {
            Err(Errno::NXIO) => break,
            found => found?,
        };
        let end = match seek(SeekFrom::Data(begin)) {
            Err(Errno::NXIO) => bytes,
            found => found?,
        };
        if begin >= end {
            break;
        }
        if end - begin >= CHUNK_BYTES_MIN as u64 {
            return Ok(begin..end);
        }
        from = end;
    }
    Ok(NOWHERE)
}
