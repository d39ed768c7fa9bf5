//! The data directory: where an installation on one machine keeps everything.
//!
//! ```text
//!  D/lock               held by the one process that works in D; its process id
//!  D/server.json        where that process listens, and the token that opens it (0600)
//!  D/port               the port of 127.0.0.1 that `backstay up` takes again
//!  D/backstay.sqlite    rows, unless settings name a server for them
//!  D/signing.key        signs evidence
//!  D/master.key         seals the secrets that rows keep
//!  D/keys/NAME.key      recovery keys: keep copies elsewhere
//!  D/repositories/NAME  repositories in the restic format
//! ```
//!
//! All of it is private to its owner. The lock is the kernel's: it ends with its process, however that ends.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::home::Rows;

/// Longest wait for the lock. Whoever only looks whether somebody works here holds it for a moment; a process that works
/// holds it for seconds at least.
const LOCK_TIME_MAX: Duration = Duration::from_millis(200);

/// How often the lock is tried.
const LOCK_TRY_EVERY: Duration = Duration::from_millis(10);

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    /// Nothing says where it is.
    #[error("no place for the data directory is known: neither --data-dir, BACKSTAY_DATA_DIR nor HOME is set")]
    Unknown,
    /// Its path is no text. Rows and requests carry paths in it as text: half of a name would name another place.
    #[error("the path of the data directory {} is not valid UTF-8", path.display())]
    NotUtf8 {
        /// Where it is.
        path: PathBuf,
    },
    /// There is no installation in it.
    #[error("there is no installation in {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Another process works in it.
    #[error("another backstay process{} is working in {}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
        /// The other process, where it could be read.
        pid: Option<u32>,
    },
    /// Something in it could not be read or written.
    #[error("{} cannot be read or written", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A data directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(PathBuf);

/// Where the process that works in a data directory listens.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ServerFile {
    pub(crate) url: String,
    pub(crate) token: String,
}

/// The right to work in a data directory, as long as it lives.
#[derive(Debug)]
pub(crate) struct DataDirLock {
    _file: File,
    server_file: PathBuf,
}

impl Drop for DataDirLock {
    fn drop(&mut self) {
        // A stale file is no harm: whoever reads it looks at the lock first.
        let _ = std::fs::remove_file(&self.server_file);
    }
}

impl DataDir {
    /// Returns the data directory that is meant: the given one, or `backstay` in the user's own data folder (XDG).
    ///
    /// # Errors
    /// [`DataDirError::Unknown`], [`DataDirError::NotUtf8`], [`DataDirError::Io`].
    pub(crate) fn find(given: Option<&Path>) -> Result<Self, DataDirError> {
        let own = || directories::BaseDirs::new().map(|base| base.data_dir().join("backstay"));
        let path = given.map(Path::to_owned).or_else(own).ok_or(DataDirError::Unknown)?;
        let path = std::path::absolute(&path).map_err(|source| DataDirError::Io { path, source })?;
        if path.to_str().is_none() {
            return Err(DataDirError::NotUtf8 { path });
        }
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("backstay.sqlite")
    }

    /// Returns the database with what SQLite puts beside it.
    pub(crate) fn database_files(&self) -> Vec<PathBuf> {
        let name = |end| self.0.join(format!("backstay.sqlite{end}"));
        ["", "-wal", "-shm", "-journal"].map(name).into()
    }

    /// Returns what opens repositories, sealed rows or the server itself: no plan reads it.
    pub(crate) fn secret_places(&self) -> [PathBuf; 4] {
        [self.master_key(), self.signing_key(), self.0.join("keys"), self.0.join("server.json")]
    }

    pub(crate) fn signing_key(&self) -> PathBuf {
        self.0.join("signing.key")
    }

    pub(crate) fn master_key(&self) -> PathBuf {
        self.0.join("master.key")
    }

    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        self.0.join("repositories").join(name)
    }

    /// Returns a recovery key's reference and its path.
    pub(crate) fn recovery_key(&self, name: &str) -> (String, PathBuf) {
        let relative = format!("keys/{name}.key");
        (format!("file:{relative}"), self.0.join(relative))
    }

    /// Says whether an installation is there: its rows, or that it worked here while they lie on a server.
    ///
    /// # Errors
    /// [`DataDirError::Missing`]; [`DataDirError::Io`] when that cannot be seen.
    pub(crate) fn must_exist(&self, rows: Rows) -> Result<(), DataDirError> {
        let path = match rows {
            Rows::Here => self.database(),
            Rows::Elsewhere => self.0.join("lock"),
        };
        match path.metadata() {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(DataDirError::Missing { path: self.0.clone() })
            }
            Err(source) => Err(DataDirError::Io { path, source }),
        }
    }

    /// Returns the port that `backstay up` had before; none when it had none, or when nobody can read which.
    pub(crate) fn port_read(&self) -> Option<u16> {
        std::fs::read_to_string(self.0.join("port")).ok()?.trim().parse().ok()
    }

    /// Keeps the port that `backstay up` takes again.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub(crate) fn port_write(&self, port: u16) -> Result<(), DataDirError> {
        let path = self.0.join("port");
        write_private(&path, format!("{port}\n").as_bytes()).map_err(|source| DataDirError::Io { path, source })
    }

    /// Makes the directory if it is not there, and takes the right to work in it.
    ///
    /// # Errors
    /// [`DataDirError::Busy`], [`DataDirError::Io`].
    pub(crate) fn lock(&self) -> Result<DataDirLock, DataDirError> {
        for folder in [self.0.clone(), self.0.join("keys"), self.0.join("repositories")] {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|source| DataDirError::Io { path: folder, source })?;
        }
        let path = self.0.join("lock");
        let told = |source| DataDirError::Io { path: path.clone(), source };
        let opened = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(told)?;
        let began = Instant::now();
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                // Nothing else of this process runs yet that a sleeping thread could hold up.
                Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < LOCK_TIME_MAX => {
                    std::thread::sleep(LOCK_TRY_EVERY);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let pid = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
                    return Err(DataDirError::Busy { path: self.0.clone(), pid });
                }
                Err(error) => return Err(told(error.into())),
            }
        }
        file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(told)?;
        let server_file = self.0.join("server.json");
        // What a process that crashed left says where nobody listens any more.
        let _ = std::fs::remove_file(&server_file);
        Ok(DataDirLock { _file: file, server_file })
    }

    /// Tells other processes where this one listens.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub(crate) fn server_file_write(&self, server: &ServerFile) -> Result<(), DataDirError> {
        let path = self.0.join("server.json");
        let text = serde_json::to_vec(server).expect("strings are JSON");
        write_private(&path, &text).map_err(|source| DataDirError::Io { path, source })
    }

    /// Returns where the process that works here listens; none when there is none, or it does not listen yet.
    pub(crate) fn server_file_read(&self) -> Option<ServerFile> {
        let lock = File::open(self.0.join("lock")).ok()?;
        // If the lock can be had, nobody works here, and the file is left over.
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
            return None;
        }
        serde_json::from_slice(&std::fs::read(self.0.join("server.json")).ok()?).ok()
    }
}

/// Replaces a file by one that only its owner can read.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_process_at_a_time_works_in_it() {
        let home = tempfile::tempdir().unwrap();
        let data = DataDir::find(Some(&home.path().join("d"))).unwrap();
        for rows in [Rows::Here, Rows::Elsewhere] {
            assert!(matches!(data.must_exist(rows), Err(DataDirError::Missing { .. })));
        }
        let lock = data.lock().unwrap();
        let busy = data.lock().unwrap_err().to_string();
        assert!(busy.contains(&format!("(process {})", std::process::id())), "{busy}");
        data.server_file_write(&ServerFile { url: "http://x".to_owned(), token: "t".to_owned() }).unwrap();
        assert_eq!(data.server_file_read().unwrap().url, "http://x");
        drop(lock);
        assert!(data.server_file_read().is_none());
        // Left by a process that crashed: whoever has the lock next does not answer there.
        write_private(&data.path().join("server.json"), br#"{"url":"http://gone","token":"t"}"#).unwrap();
        let _lock = data.lock().unwrap();
        assert!(data.server_file_read().is_none());
    }

    #[test]
    fn a_look_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let data = DataDir::find(Some(&home.path().join("d"))).unwrap();
        drop(data.lock().unwrap());
        let look = File::open(data.path().join("lock")).unwrap();
        rustix::fs::flock(&look, FlockOperation::NonBlockingLockShared).unwrap();
        let looking = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            drop(look);
        });
        data.lock().unwrap();
        looking.join().unwrap();
    }

    /// Red when what cannot be seen is told to be gone: a name that no folder can have stands for one nobody may look at.
    #[test]
    fn what_cannot_be_seen_is_not_called_gone() {
        let data = DataDir::find(Some(Path::new(&format!("/tmp/{}", "d".repeat(300))))).unwrap();
        for rows in [Rows::Here, Rows::Elsewhere] {
            assert!(matches!(data.must_exist(rows), Err(DataDirError::Io { .. })));
        }
    }

    #[test]
    fn a_port_is_kept_and_nonsense_is_none() {
        let home = tempfile::tempdir().unwrap();
        let data = DataDir::find(Some(home.path())).unwrap();
        assert_eq!(data.port_read(), None);
        data.port_write(7_411).unwrap();
        assert_eq!(data.port_read(), Some(7_411));
        std::fs::write(home.path().join("port"), "70000").unwrap();
        assert_eq!(data.port_read(), None);
    }

    #[test]
    fn a_path_that_is_no_text_is_refused() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(OsStr::from_bytes(b"/tmp/d\xff"));
        assert!(matches!(DataDir::find(Some(path)), Err(DataDirError::NotUtf8 { .. })));
    }

    #[test]
    fn all_of_it_is_private() {
        let home = tempfile::tempdir().unwrap();
        let data = DataDir::find(Some(&home.path().join("d"))).unwrap();
        let _lock = data.lock().unwrap();
        data.server_file_write(&ServerFile { url: String::new(), token: String::new() }).unwrap();
        for (name, mode) in
            [("", 0o700), ("keys", 0o700), ("repositories", 0o700), ("lock", 0o600), ("server.json", 0o600)]
        {
            let found = std::fs::metadata(data.path().join(name)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{name}");
        }
    }
}
