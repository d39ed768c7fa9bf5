//! One file of a sample: blobs from storage, bytes from the source, side by side.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use backstay_core::domain::evidence::Findings;
use backstay_core::domain::sample::SampleRule;
use backstay_core::managers::job::chain;
use rustix::fs::{CWD, Mode, OFlags};

use super::{VerifyOptions, shown};
use crate::archive::walk_metadata;
use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::node::Metadata;
use crate::format::pack::BlobKind;
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;
use crate::repository::BlobReader;

/// A file with more blobs is read at so many places, spread over it, or at as many as the sample's share of the bytes asks
/// for: a terabyte in one file does not stop a proof.
const BLOBS_READ_MAX: usize = 64;

/// A file of the snapshot.
#[derive(Debug)]
pub(super) struct FileToCompare {
    /// Its path in the snapshot, from the root on, without a leading `/`.
    pub(super) path: Vec<u8>,
    /// Its bytes.
    pub(super) size: u64,
    /// Its metadata.
    pub(super) metadata: Metadata,
    /// Its blobs.
    pub(super) content: Vec<Id>,
    /// Whether harm was found already.
    pub(super) broken: bool,
}

/// Reads a file back and compares it.
pub(super) fn compare(
    blobs: &mut BlobReader<'_>,
    file: &FileToCompare,
    options: &VerifyOptions<'_>,
    findings: &mut Findings,
    progress: &EngineProgress,
    interrupt: &Interrupt,
) -> Result<(), EngineError> {
    if file.broken {
        return Ok(());
    }
    let places = places_of(blobs, file)?;
    let saved: u64 = places.last().map_or(0, |(begin, bytes, _)| begin + bytes);
    if saved != file.size {
        findings.differs(shown(&file.path), format!("its blobs have {saved} bytes, the file {}", file.size));
        return Ok(());
    }
    let original = options.source.map(|root| open_original(root, file));
    let step = places.len().div_ceil(blobs_wanted(places.len(), options.sample)).max(1);
    let (mut whole, mut same) = (true, true);
    for (at, (begin, _, id)) in places.iter().enumerate() {
        interrupt.check()?;
        if at % step != 0 && at + 1 != places.len() {
            whole = false;
            continue;
        }
        let plain = match blobs.read(BlobKind::Data, id) {
            Ok(plain) => plain,
            Err(error) if error.is_harm() => {
                findings.differs(shown(&file.path), chain(&error));
                return Ok(());
            }
            // The storage does not answer: that is no finding about the data, and the verify is tried again.
            Err(error) => return Err(error),
        };
        findings.bytes_read += plain.len() as u64;
        progress.done(0, plain.len() as u64);
        if let Some(Original::AsSaved(original)) = &original {
            same &= is_same(original, *begin, &plain);
        }
    }
    findings.files_read += 1;
    findings.files_read_in_part += u64::from(!whole);
    match original {
        None => {}
        // A source that changed while it was read is looked at again: only what stayed as it was can be compared.
        Some(Original::AsSaved(original)) if is_as_saved(&original, file) => {
            findings.files_compared += 1;
            if !same {
                let problem = "differs from the source, which has the same size and times as when it was saved";
                findings.differs(shown(&file.path), problem.to_owned());
            }
        }
        Some(_) => findings.files_changed_since += 1,
    }
    Ok(())
}

/// Returns of how many of its blobs a file is read: of all when all is asked for.
fn blobs_wanted(blobs: usize, sample: SampleRule) -> usize {
    let share = blobs.saturating_mul(usize::from(sample.bytes_percent)).div_ceil(100);
    share.max(BLOBS_READ_MAX)
}

/// Returns where each blob begins, how many bytes it has, and its id.
fn places_of(blobs: &BlobReader<'_>, file: &FileToCompare) -> Result<Vec<(u64, u64, Id)>, EngineError> {
    let mut begin = 0;
    let place = |id: &Id| {
        let bytes = blobs.find(BlobKind::Data, id)?.plain_bytes();
        let place = (begin, bytes, *id);
        begin += bytes;
        Ok(place)
    };
    file.content.iter().map(place).collect()
}

/// A file of the source.
enum Original {
    /// It is as it was when it was saved, as far as size and times say.
    AsSaved(File),
    /// It is not, or it is not there, or it cannot be read.
    Changed,
}

/// Opens the source's file, and says whether it is as it was saved. A path that does not lie below the source's root is
/// not the source's.
fn open_original(root: &Path, file: &FileToCompare) -> Original {
    let path = PathBuf::from("/").join(OsStr::from_bytes(&file.path));
    if !path.starts_with(root) {
        return Original::Changed;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, &path, flags, Mode::empty()).map(File::from) {
        Ok(original) if is_as_saved(&original, file) => Original::AsSaved(original),
        _ => Original::Changed,
    }
}

/// Says whether size, times and inode are as they were saved.
fn is_as_saved(original: &File, file: &FileToCompare) -> bool {
    let Ok(stat) = rustix::fs::fstat(original) else { return false };
    let now = walk_metadata(&stat);
    let then = &file.metadata;
    now.size == then.size && now.modified == then.modified && now.changed == then.changed && now.inode == then.inode
}

/// Says whether the source has these bytes at this place.
fn is_same(original: &File, offset: u64, wanted: &[u8]) -> bool {
    let mut found = vec![0; wanted.len()];
    match original.read_exact_at(&mut found, offset) {
        Ok(()) => found == wanted,
        Err(error) => error.kind() == io::ErrorKind::UnexpectedEof && wanted.is_empty(),
    }
}
