//! A folder for one job that nobody else may look into: copies, and files that hand a password to a program.
//!
//! It goes with its value. What a process that was killed left is found by its lock, which the kernel let go of, and is taken
//! away by the next one.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use backstay_core::ports::source::StreamReader;

/// What the names of these folders begin with.
const PREFIX: &str = "backstay-job-";

/// Longest password: more is another file by mistake.
const PASSWORD_BYTES_MAX: u64 = 4 << 10;

/// A folder with the mode 0700 that is removed with all that is in it.
#[derive(Debug)]
pub(crate) struct PrivateFolder {
    path: PathBuf,
    /// Its lock, for as long as it is used.
    _lock: File,
}

impl PrivateFolder {
    /// Makes one below a folder.
    pub(crate) fn make(below: &Path) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // A folder without its lock looks like one that was left: between both, no other job of this process sweeps.
        static MAKING: Mutex<()> = Mutex::new(());
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        sweep(below);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = below.join(format!("{PREFIX}{}-{number}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::open(&path)?;
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only its owner may read.
    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?.write_all(text.as_bytes())?;
        Ok(path)
    }

    /// Keeps it for as long as a stream is read.
    pub(super) fn kept_for(self, stream: StreamReader) -> StreamReader {
        let StreamReader { reader, stop } = stream;
        StreamReader { reader: Box::new(Kept { reader, _folder: self }), stop }
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), error = %error, "a job's private folder could not be removed");
        }
    }
}

/// Takes away what processes that are gone left.
fn sweep(below: &Path) {
    let left = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(PREFIX)
            && File::open(path).is_ok_and(|folder| !matches!(folder.try_lock(), Err(TryLockError::WouldBlock)))
    };
    let entries = fs::read_dir(below).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in entries.filter(left) {
        // One that cannot be removed is somebody else's, or is tried again by the next job.
        fs::remove_dir_all(path).unwrap_or_default();
    }
}

/// A reader with the folder that it needs.
struct Kept {
    reader: Box<dyn Read + Send>,
    _folder: PrivateFolder,
}

impl Read for Kept {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        self.reader.read(piece)
    }
}

/// Reads a password: the first line of a file that not everybody may read.
pub(super) fn password(path: &str) -> io::Result<String> {
    let told = |error: io::Error| io::Error::new(error.kind(), format!("the password file {path}: {error}"));
    let file = File::open(path).map_err(told)?;
    if file.metadata().map_err(told)?.permissions().mode() & 0o007 != 0 {
        return Err(io::Error::other(format!("the password file {path} may be used by everybody: chmod o= {path}")));
    }
    let mut text = String::new();
    file.take(PASSWORD_BYTES_MAX).read_to_string(&mut text).map_err(told)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(io::Error::other(format!("the password file {path} is empty")));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_private_and_goes_with_its_value() {
        let home = tempfile::tempdir().unwrap();
        let folder = PrivateFolder::make(home.path()).unwrap();
        let file = folder.write("a", "secret").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(folder.path()), mode(&file)), (0o700, 0o600));
        // What nobody holds any more goes; what somebody holds stays.
        let left = home.path().join("backstay-job-1-1");
        fs::create_dir(&left).unwrap();
        let other = PrivateFolder::make(home.path()).unwrap();
        assert!(!left.exists() && folder.path().exists());
        drop((folder, other));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_password_that_everybody_may_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("password");
        fs::write(&path, "hunter2\nrest\n").unwrap();
        let name = path.to_str().unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        assert!(password(name).unwrap_err().to_string().contains("chmod o= "));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(password(name).unwrap(), "hunter2");
        fs::write(&path, "\n").unwrap();
        assert!(password(name).unwrap_err().to_string().ends_with("is empty"));
    }
}
