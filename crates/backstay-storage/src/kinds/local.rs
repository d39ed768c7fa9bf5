//! A folder on a file system of this machine, laid out as restic lays out a local repository.
//!
//! An object is written to a file without a name (`O_TMPFILE`), made durable, then linked to its name: a crash leaves
//! nothing half-made, and a link never replaces. Where the file system has no such files, a named one in the same
//! folder stands in. Files are 0400 and folders 0700, as restic makes them. Decision record 0004 says why not OpenDAL.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rustix::fs::{Advice, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Value, json};

use crate::credentials::StorageCredentials;
use crate::error::StorageError;
use crate::kind::{Presence, StorageKind, joined};
use crate::object::{ListedObject, ObjectKey, ObjectStorage, PutAnswer, PutOptions, ReadCache};

/// Beginning of the names of files that are being written where nameless files do not exist. restic ignores them.
const TEMPORARY_PREFIX: &str = ".backstay-tmp-";

/// Bodies from here on are written past the page cache: packs are read back days later or never, and what they would push
/// out of memory is somebody's.
const PAST_CACHE_BYTES_MIN: usize = 1 << 20;

/// What the kernel wants addresses, places and lengths of such writes to be multiples of, on every device in use.
const BLOCK_BYTES: usize = 4096;

/// Bytes of one such write: enough for a device to be busy, few enough to stay in a core's cache while they are copied.
const PIECE_BYTES: usize = 2 << 20;

/// The storage kind `local`.
#[derive(Debug)]
pub struct Local;

impl StorageKind for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn describe(&self) -> &'static str {
        "A folder on a file system of the agent's machine"
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["path"],
            "properties": { "path": { "type": "string", "description": "Absolute path of the repository's folder" } },
        })
    }

    fn parse(&self, settings: &Value) -> Result<Value, StorageError> {
        let wrong = |problem: String| StorageError::Settings { field: "path", problem };
        let fields = settings.as_object().ok_or_else(|| wrong("settings must be an object with `path`".to_owned()))?;
        if let Some(unknown) = fields.keys().find(|name| *name != "path") {
            return Err(wrong(format!("`{unknown}` is not a setting of this kind; there is only `path`")));
        }
        let path = fields.get("path").and_then(Value::as_str).unwrap_or_default();
        if !path.starts_with('/') {
            return Err(wrong(format!("`{path}` is not an absolute path")));
        }
        Ok(json!({ "path": path }))
    }

    fn below(&self, settings: &Value, path: &str) -> Value {
        json!({ "path": joined(settings["path"].as_str(), path) })
    }

    fn open(
        &self,
        settings: &Value,
        _credentials: &StorageCredentials,
        presence: Presence,
    ) -> Result<Arc<dyn ObjectStorage>, StorageError> {
        let settings = self.parse(settings)?;
        let root = PathBuf::from(settings["path"].as_str().unwrap_or_default());
        Ok(Arc::new(LocalStorage::open(root, presence)?))
    }
}

/// A folder whose files are the objects.
#[derive(Debug)]
struct LocalStorage {
    root: PathBuf,
    folder: OwnedFd,
    /// Memory for pieces, as many as there were writers at once.
    pieces: Mutex<Vec<Vec<u8>>>,
}

impl LocalStorage {
    fn open(root: PathBuf, presence: Presence) -> Result<Self, StorageError> {
        let place = root.display().to_string();
        if presence == Presence::Create {
            make_private_folders(&root).map_err(|error| told(&place, "create", "folder", error))?;
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, &root, flags, Mode::empty()) {
            Ok(folder) => Ok(Self { root, folder, pieces: Mutex::default() }),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(StorageError::Absent { place }),
            Err(error) => Err(told(&place, "open", "folder", error.into())),
        }
    }

    /// Puts what the system said in our words.
    fn told(&self, action: &'static str, key: &ObjectKey, error: io::Error) -> StorageError {
        told(&self.place(), action, key.as_str(), error)
    }

    fn open_object(&self, key: &ObjectKey) -> Result<File, StorageError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.folder, key.as_str(), flags, Mode::empty()) {
            Ok(file) => Ok(File::from(file)),
            Err(Errno::NOENT) if self.is_there() => {
                Err(StorageError::Missing { place: self.place(), key: key.to_string() })
            }
            Err(Errno::NOENT) => Err(StorageError::Absent { place: self.place() }),
            Err(error) => Err(self.told("open", key, error.into())),
        }
    }

    /// Says whether the folder is still the one that was opened: after an unmount or a removal, what is not there says
    /// nothing about the storage.
    fn is_there(&self) -> bool {
        let now = rustix::fs::stat(&self.root).map(|stat| (stat.st_dev, stat.st_ino));
        let then = rustix::fs::fstat(&self.folder).map(|stat| (stat.st_dev, stat.st_ino));
        now.is_ok() && now == then
    }

    fn put(&self, key: &ObjectKey, body: &[u8]) -> io::Result<PutAnswer> {
        let (folder, name) = key.as_str().rsplit_once('/').unwrap_or((".", key.as_str()));
        let folder = self.open_folder(folder)?;
        if rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            // Whoever put it may have died before its name was durable.
            rustix::fs::fsync(&folder)?;
            return Ok(PutAnswer::Existed);
        }
        let answer = match nameless(&folder) {
            Ok(file) => self.write_and_link(&folder, file, body, name),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                self.write_and_name(&folder, body, name)
            }
            Err(error) => Err(error.into()),
        }?;
        rustix::fs::fsync(&folder)?;
        Ok(answer)
    }

    /// Fills a nameless file, makes it durable and gives it its name, unless the name is taken.
    fn write_and_link(&self, folder: &OwnedFd, file: File, body: &[u8], name: &str) -> io::Result<PutAnswer> {
        self.fill(&file, body)?;
        let itself = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        match rustix::fs::linkat(CWD, &itself, folder, name, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => Ok(PutAnswer::Created),
            Err(Errno::EXIST) => Ok(PutAnswer::Existed),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`LocalStorage::write_and_link`], by a named file beside the object; it is removed on every way out but a crash.
    fn write_and_name(&self, folder: &OwnedFd, body: &[u8], name: &str) -> io::Result<PutAnswer> {
        let temporary = format!("{TEMPORARY_PREFIX}{:016x}", rand::random::<u64>());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(folder, &temporary, flags, Mode::RUSR)?);
        let answer = self.fill(&file, body).and_then(|()| {
            match rustix::fs::linkat(folder, &temporary, folder, name, AtFlags::empty()) {
                Ok(()) => Ok(PutAnswer::Created),
                Err(Errno::EXIST) => Ok(PutAnswer::Existed),
                Err(error) => Err(error.into()),
            }
        });
        rustix::fs::unlinkat(folder, &temporary, AtFlags::empty())?;
        answer
    }

    /// Writes a body and makes it durable.
    fn fill(&self, mut file: &File, body: &[u8]) -> io::Result<()> {
        let past_cache = if body.len() < PAST_CACHE_BYTES_MIN { 0 } else { self.write_past_cache(file, body)? };
        file.write_all(&body[past_cache..])?;
        file.sync_all()
    }

    /// Writes the whole blocks of a body past the page cache, from aligned memory; returns how many bytes were written:
    /// none where the file system takes no such writes, fewer than there are where it stops taking them.
    fn write_past_cache(&self, mut file: &File, body: &[u8]) -> io::Result<usize> {
        let flags = rustix::fs::fcntl_getfl(file)?;
        if rustix::fs::fcntl_setfl(file, flags | OFlags::DIRECT).is_err() {
            return Ok(0);
        }
        let kept = self.pieces.lock().expect("no holder panics").pop();
        let mut memory = kept.unwrap_or_else(|| vec![0; PIECE_BYTES + BLOCK_BYTES]);
        let aligned = memory.as_ptr().align_offset(BLOCK_BYTES);
        let piece = &mut memory[aligned..aligned + PIECE_BYTES];
        let whole_bytes = body.len() - body.len() % BLOCK_BYTES;
        let (mut written, mut ended) = (0, Ok(()));
        while written < whole_bytes {
            let length = PIECE_BYTES.min(whole_bytes - written);
            piece[..length].copy_from_slice(&body[written..written + length]);
            match file.write(&piece[..length]) {
                // What is left is no whole number of blocks, or nothing was taken: the rest goes as any other file does.
                Ok(taken) if taken % BLOCK_BYTES != 0 || taken == 0 => {
                    written += taken;
                    break;
                }
                Ok(taken) => written += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => break,
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        self.pieces.lock().expect("no holder panics").push(memory);
        ended?;
        rustix::fs::fcntl_setfl(file, flags)?;
        Ok(written)
    }

    /// Opens the folder of an object, and makes it and its name durable if it was not there.
    fn open_folder(&self, path: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.folder, path, flags, Mode::empty()) {
            Err(Errno::NOENT) => {}
            answer => return Ok(answer?),
        }
        let mut at = rustix::io::fcntl_dupfd_cloexec(&self.folder, 0)?;
        for part in path.split('/') {
            match rustix::fs::mkdirat(&at, part, Mode::RWXU) {
                Ok(()) => rustix::fs::fsync(&at)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            at = rustix::fs::openat(&at, part, flags, Mode::empty())?;
        }
        Ok(at)
    }

    fn list(&self, folder: &Path, key: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let below = if key.is_empty() { name.clone() } else { format!("{key}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.list(&entry.path(), &below, each)?;
            } else if kind.is_file() && !name.starts_with(TEMPORARY_PREFIX) {
                let known = match entry.metadata() {
                    // Removed since the folder was read: not there, as if it had been removed before.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    answer => answer?,
                };
                let modified_at = Timestamp::new(known.mtime(), 0).unwrap_or(Timestamp::UNIX_EPOCH);
                if let Ok(key) = ObjectKey::new(below) {
                    each(ListedObject { key, size_bytes: known.len(), modified_at });
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl ObjectStorage for LocalStorage {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    async fn object_put_with(
        &self,
        key: &ObjectKey,
        body: Bytes,
        options: PutOptions,
    ) -> Result<PutAnswer, StorageError> {
        if options.retain_until.is_some() {
            return Err(self.cannot("protect objects"));
        }
        self.put(key, &body).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if !self.is_there() => StorageError::Absent { place: self.place() },
            _ => self.told("write", key, error),
        })
    }

    async fn object_get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
        cache: ReadCache,
    ) -> Result<Bytes, StorageError> {
        let mut file = self.open_object(key)?;
        if cache == ReadCache::Bypass {
            // Objects are durable since they were put, so their pages are clean and the kernel can let them go.
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)
                .map_err(|error| self.told("read", key, error.into()))?;
        }
        let failed = |error| self.told("read", key, error);
        let Some(range) = range else {
            let size = file.metadata().map_err(failed)?.len();
            let mut body = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
            file.read_to_end(&mut body).map_err(failed)?;
            return Ok(body.into());
        };
        let wanted_bytes = range.end.saturating_sub(range.start);
        let found_bytes = file.metadata().map_err(failed)?.len().saturating_sub(range.start).min(wanted_bytes);
        if found_bytes < wanted_bytes {
            let (place, key) = (self.place(), key.to_string());
            return Err(StorageError::Short { place, key, wanted_bytes, found_bytes });
        }
        let room = usize::try_from(wanted_bytes).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        // Read to the end of a part: into memory that nobody has filled with zeros before.
        let mut body = Vec::with_capacity(room);
        file.seek(io::SeekFrom::Start(range.start)).map_err(failed)?;
        (&mut file).take(wanted_bytes).read_to_end(&mut body).map_err(failed)?;
        if body.len() < room {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(body.into())
    }

    async fn object_size(&self, key: &ObjectKey) -> Result<u64, StorageError> {
        let file = self.open_object(key)?;
        file.metadata().map(|known| known.len()).map_err(|error| self.told("stat", key, error))
    }

    async fn object_list(&self, folder: &str, each: &mut (dyn FnMut(ListedObject) + Send)) -> Result<(), StorageError> {
        let path = if folder.is_empty() { self.root.clone() } else { self.root.join(ObjectKey::new(folder)?.as_str()) };
        let listed = self.list(&path, folder, each);
        // Asked afterwards: a storage that went away while it was listed gave a shorter list.
        if !self.is_there() {
            return Err(StorageError::Absent { place: self.place() });
        }
        match listed {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => Ok(()),
            Err(source) => Err(StorageError::List { place: self.place(), folder: folder.to_owned(), source }),
            Ok(()) => Ok(()),
        }
    }

    async fn object_remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        match rustix::fs::unlinkat(&self.folder, key.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.told("remove", key, error.into())),
        }
    }
}

/// Opens a file without a name in a folder.
fn nameless(folder: &OwnedFd) -> Result<File, Errno> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(folder, ".", flags, Mode::RUSR).map(File::from)
}

/// Makes a folder and what is above it, readable by its owner alone where it is new.
fn make_private_folders(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Puts what the system said in our words.
fn told(place: &str, action: &'static str, key: &str, source: io::Error) -> StorageError {
    let (place, key) = (place.to_owned(), key.to_owned());
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StorageError::Full { place }
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StorageError::Denied { place, action, key, source }
        }
        _ => StorageError::Io { place, action, key, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: Value, expected: &str) {
        let answer = Local.parse(&settings).map_or_else(|error| error.to_string(), |settings| settings.to_string());
        assert_eq!(answer, expected);
    }

    #[test]
    fn settings_are_judged_by_themselves() {
        check(json!({ "path": "/srv/r" }), r#"{"path":"/srv/r"}"#);
        check(json!({ "path": "srv" }), "settings.path: `srv` is not an absolute path");
        check(json!({}), "settings.path: `` is not an absolute path");
        check(json!({ "pth": "/srv" }), "settings.path: `pth` is not a setting of this kind; there is only `path`");
    }

    #[test]
    fn where_there_are_no_nameless_files_a_named_one_stands_in() {
        let home = tempfile::tempdir().unwrap();
        let storage = LocalStorage::open(home.path().join("r"), Presence::Create).unwrap();
        let folder = storage.open_folder("data/ab").unwrap();
        assert_eq!(storage.write_and_name(&folder, b"one", "x").unwrap(), PutAnswer::Created);
        assert_eq!(storage.write_and_name(&folder, b"two", "x").unwrap(), PutAnswer::Existed);
        let names: Vec<_> =
            std::fs::read_dir(home.path().join("r/data/ab")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["x"]);
        assert_eq!(std::fs::read(home.path().join("r/data/ab/x")).unwrap(), b"one");
    }

    fn check_sizes(home: &Path) {
        let storage = LocalStorage::open(home.join("r"), Presence::Create).unwrap();
        let noise: Vec<u8> = (0..PIECE_BYTES * 2 + 3 * BLOCK_BYTES).map(|place| ((place * 31) >> 7) as u8).collect();
        let sizes = [0, 1, BLOCK_BYTES, PAST_CACHE_BYTES_MIN - 1, PAST_CACHE_BYTES_MIN, PAST_CACHE_BYTES_MIN + 1];
        let sizes = sizes.into_iter().chain([PIECE_BYTES, PIECE_BYTES + BLOCK_BYTES - 1, noise.len(), noise.len() - 5]);
        for size in sizes {
            let key = ObjectKey::new(format!("data/{size}")).unwrap();
            assert_eq!(storage.put(&key, &noise[..size]).unwrap(), PutAnswer::Created);
            assert!(std::fs::read(home.join("r").join(key.as_str())).unwrap() == noise[..size], "{size} bytes");
        }
        let folder = storage.open_folder("data").unwrap();
        storage.write_and_name(&folder, &noise, "named").unwrap();
        assert!(std::fs::read(home.join("r/data/named")).unwrap() == noise);
    }

    /// On a disk, and in memory, where older kernels take no writes past the cache.
    #[test]
    fn bodies_of_any_size_are_written_whole() {
        check_sizes(tempfile::tempdir().unwrap().path());
        check_sizes(tempfile::tempdir_in("/dev/shm").unwrap().path());
    }

    #[test]
    fn a_full_disk_has_a_name() {
        let full = told("/srv/r", "write", "data/x", io::ErrorKind::StorageFull.into());
        assert_eq!(full.to_string(), "/srv/r is full");
    }
}
