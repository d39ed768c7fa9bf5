//! Counts what there is, beside the first backup, so that it can say how long it will take.
//!
//! A later backup takes its estimate from the parent and walks once only.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};

use crate::interrupt::Interrupt;
use crate::progress::EngineProgress;

/// Counts regular files and their bytes below a folder; what cannot be read is not counted.
pub(super) fn run(root: &Path, progress: &EngineProgress, interrupt: &Interrupt, done: &dyn Fn() -> bool) {
    let (mut files, mut bytes) = (0u64, 0u64);
    let mut folders = vec![root.to_path_buf()];
    // Links below the root are not followed: what a folder's list calls a folder is none.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    while let Some(folder) = folders.pop() {
        if interrupt.is_raised() || done() {
            return;
        }
        let Ok(fd) = rustix::fs::openat(CWD, &folder, flags, Mode::empty()) else { continue };
        let Ok(entries) = Dir::read_from(&fd) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            match entry.file_type() {
                FileType::Directory if !matches!(name.to_bytes(), b"." | b"..") => {
                    use std::os::unix::ffi::OsStrExt;
                    folders.push(folder.join(std::ffi::OsStr::from_bytes(name.to_bytes())));
                }
                FileType::RegularFile => {
                    if let Ok(stat) = rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
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
