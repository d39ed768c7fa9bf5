//! Counts what there is, beside the first backup, so that it can say how long it will take.
//!
//! A later backup takes its estimate from the parent and walks once only.

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};

use super::options::ArchiveOptions;
use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;

/// Counts regular files and their bytes below the roots; what cannot be read is not counted, nor what patterns leave out.
pub(super) fn run(options: &ArchiveOptions, progress: &EngineProgress, interrupt: &Interrupt, done: &dyn Fn() -> bool) {
    let (mut files, mut bytes) = (0u64, 0u64);
    let mut folders = options.roots.clone();
    // Links below the root are not followed: what a folder's list calls a folder is none.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    while let Some(folder) = folders.pop() {
        if interrupt.is_raised() || done() {
            return;
        }
        let Ok(fd) = rustix::fs::openat(CWD, &folder, flags, Mode::empty()) else { continue };
        let Ok(entries) = Dir::read_from(&fd) else { continue };
        let scope = options.excludes.within(|| {
            use std::os::unix::ffi::OsStringExt;
            std::path::absolute(&folder).map_or_else(|_| Vec::new(), |path| path.into_os_string().into_vec())
        });
        for entry in entries.flatten() {
            let name = entry.file_name();
            if scope.as_ref().is_some_and(|scope| scope.leaves_out_name(name.to_bytes())) {
                continue;
            }
            match entry.file_type() {
                FileType::Directory if !matches!(name.to_bytes(), b"." | b"..") => {
                    use std::os::unix::ffi::OsStrExt;
                    folders.push(folder.join(std::ffi::OsStr::from_bytes(name.to_bytes())));
                }
                FileType::RegularFile => {
                    if let Ok(stat) = rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW)
                        && !scope.as_ref().is_some_and(|scope| scope.leaves_out(&stat))
                    {
                        files += 1;
                        bytes += u64::try_from(stat.st_size).unwrap_or(0);
                    }
                }
                _ => {}
            }
        }
    }
    progress.set_totals(files, bytes);
}
