//! What lies in the target, read: parts that are right already before the restore, and all of them after it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{Advice, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::options::RestoreOptions;
use super::plan::{Action, Part, RestorePlan, state};
use super::stage::is_staged;
use super::target::Target;
use crate::error::EngineError;
use crate::format::id::Id;
use crate::format::node::NodeKind;
use crate::interrupt::Interrupt;
use crate::system::SystemCall;

/// Largest blob that is read to compare; restic's are at most 8 MiB. A longer one is fetched again.
const BLOB_BYTES_MAX: u64 = 64 << 20;

/// Drops the parts that are in place already, of files that are replaced, and returns how many bytes they have. A file
/// that has other names is only spared when all of it is right: it is made anew otherwise, and the other names stay. So
/// is each where what is in work is kept apart.
pub(super) fn spare(
    plan: &mut RestorePlan,
    target: &Target,
    options: &RestoreOptions<'_>,
    interrupt: &Interrupt,
) -> Result<u64, EngineError> {
    let (workers, staged) = (options.workers, is_staged(options));
    let overwritten = |part: &Part| plan.entry(part.entry).action == Action::Overwrite;
    if !plan.parts.iter().any(overwritten) {
        return Ok(0);
    }
    let right = Mutex::new(Vec::new());
    each_file(plan, workers, interrupt, |parts, first| {
        let entry = plan.entry(parts[0].entry);
        if entry.action != Action::Overwrite {
            return;
        }
        let Some((file, others)) = open(target, &plan.path(parts[0].entry)) else { return };
        let good: Vec<usize> = right_parts(plan, target, &file, parts, interrupt).map(|place| first + place).collect();
        let whole = good.len() == parts.len() && file.metadata().is_ok_and(|known| known.len() == entry.size);
        if !good.is_empty() && (whole || !others && !staged) {
            entry.set(if whole { state::KEPT | state::MATCHED } else { state::KEPT });
            entry.parts_left.fetch_sub(good.len() as u32, Ordering::AcqRel);
            right.lock().expect("no holder panics").extend(good);
        }
    })?;
    let mut right = right.into_inner().expect("no holder panics");
    right.sort_unstable();
    let bytes = right.iter().map(|place| plan.parts[*place].plain_bytes(&plan.packs)).sum();
    let (mut place, mut right) = (0, right.into_iter().peekable());
    plan.parts.retain(|_| {
        let spared = right.next_if_eq(&place).is_some();
        place += 1;
        !spared
    });
    Ok(bytes)
}

/// Reads all files of a plan back, names those that differ from the snapshot, and returns how many were read. The parts
/// must be those of a plan that was made to be verified, with nothing spared.
pub(super) fn read_back(
    plan: &mut RestorePlan,
    target: &Target,
    workers: usize,
    interrupt: &Interrupt,
) -> Result<u64, EngineError> {
    plan.parts.sort_unstable_by_key(|part| (part.entry, part.at));
    let wrong = Mutex::new(Vec::new());
    let read = AtomicUsize::new(0);
    let judge = |index: u32, parts: &[Part]| {
        let entry = plan.entry(index);
        if entry.has(state::FAILED) {
            return;
        }
        let words = match open(target, &plan.path(index)) {
            None => Some("cannot be read back".to_owned()),
            Some((file, _)) => {
                drop_cache(&file);
                let good = right_parts(plan, target, &file, parts, interrupt).count();
                let size = file.metadata().map_or(u64::MAX, |known| known.len());
                let differs = good != parts.len() || size != entry.size;
                differs
                    .then(|| format!("differs from the snapshot when it is read back: {good} of {} blobs", parts.len()))
            }
        };
        read.fetch_add(1, Ordering::Relaxed);
        wrong.lock().expect("no holder panics").extend(words.map(|words| (index, words)));
    };
    each_file(plan, workers, interrupt, |parts, _| judge(parts[0].entry, parts))?;
    for (index, entry) in (0..).zip(&plan.entries) {
        if entry.kind == NodeKind::File && entry.is_restored() && entry.size == 0 {
            interrupt.check()?;
            judge(index, &[]);
        }
    }
    let mut wrong = wrong.into_inner().expect("no holder panics");
    wrong.sort_unstable();
    for (index, words) in wrong {
        plan.entry(index).set(state::FAILED);
        plan.fail(index, words);
    }
    Ok(read.into_inner() as u64)
}

/// Hands the parts of each file, with the place of the first, to `each`, on several threads.
fn each_file(
    plan: &RestorePlan,
    workers: usize,
    interrupt: &Interrupt,
    each: impl Fn(&[Part], usize) + Sync,
) -> Result<(), EngineError> {
    let cursor = Mutex::new(0);
    let next = || {
        let mut cursor = cursor.lock().expect("no holder panics");
        let first = *cursor;
        let entry = plan.parts.get(first)?.entry;
        let count = plan.parts[first..].iter().take_while(|part| part.entry == entry).count();
        *cursor = first + count;
        Some((&plan.parts[first..first + count], first))
    };
    std::thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            scope.spawn(|| {
                while !interrupt.is_raised()
                    && let Some((parts, first)) = next()
                {
                    each(parts, first);
                }
            });
        }
    });
    interrupt.check()
}

/// Opens a regular file to read it, and says whether its inode has other names.
fn open(target: &Target, path: &[u8]) -> Option<(File, bool)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = match target.at(path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => target.at(path, flags, Mode::empty()),
        opened => opened,
    };
    let opened = opened.ok()?;
    let stat = rustix::fs::fstat(&opened).ok()?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    regular.then(|| (File::from(opened), stat.st_nlink > 1))
}

/// Asks the system to forget what it holds of a file in memory, so that the disk is read.
fn drop_cache(file: &File) {
    // A file system that cannot do either is read as it is.
    let _ = rustix::fs::fdatasync(file);
    let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
}

/// Returns the places of the parts that a file has right.
fn right_parts<'a>(
    plan: &'a RestorePlan,
    target: &'a Target,
    file: &'a File,
    parts: &'a [Part],
    interrupt: &'a Interrupt,
) -> impl Iterator<Item = usize> + 'a {
    let mut buffer = Vec::new();
    parts.iter().enumerate().filter_map(move |(place, part)| {
        let bytes = part.plain_bytes(&plan.packs);
        if bytes > BLOB_BYTES_MAX || interrupt.check().is_err() {
            return None;
        }
        buffer.resize(bytes as usize, 0);
        target.system().before(SystemCall::Read, plan.name(plan.entry(part.entry))).ok()?;
        file.read_exact_at(&mut buffer, part.at).ok()?;
        (Id::of(&buffer) == part.id).then_some(place)
    })
}
