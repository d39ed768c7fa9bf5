//! rustic, by its own library: a second judge beside restic, and another writer of the same format.
//!
//! It comes without a way to storages, so `Folder` is one: plain files, none of our storages' code. It takes no locks
//! and caches nothing here.

use std::any::Any;
use std::fs;
use std::os::unix::fs::FileExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustic_core::jiff::Span;
use rustic_core::repofile::{SnapshotFile, SnapshotId};
use rustic_core::{
    BackupOptions, BytesList, CheckOptions, ConfigOptions, Credentials, ErrorKind, FileType, Id, KeyOptions,
    LimitOption, LocalDestination, LsOptions, OpenStatus, ParentOptions, PathList, PruneOptions, ReadBackend,
    Repository, RepositoryBackends, RepositoryOptions, RestoreOptions, RusticError, RusticResult, SnapshotOptions,
    WriteBackend,
};

use super::house::{HOST, PASSWORD, below};

/// As often as rustic may begin a check anew; see `is_still_in_use`.
const CHECKS_MAX: usize = 20;

/// A folder that rustic reads and writes.
#[derive(Debug, Clone)]
struct Folder(PathBuf);

fn failed(error: std::io::Error) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Backend, "the folder did not do it", error)
}

impl Folder {
    fn path(&self, kind: FileType, id: &Id) -> PathBuf {
        let name = id.to_hex().to_string();
        match kind {
            FileType::Config => self.0.join("config"),
            FileType::Pack => self.0.join("data").join(&name[..2]).join(name),
            kind => self.0.join(kind.dirname()).join(name),
        }
    }
}

fn files(folder: &Path, found: &mut Vec<(PathBuf, u64)>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => files(&entry.path(), found)?,
            false => found.push((entry.path(), entry.metadata()?.len())),
        }
    }
    Ok(())
}

impl ReadBackend for Folder {
    fn location(&self) -> String {
        self.0.display().to_string()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        if kind == FileType::Config {
            let size = fs::metadata(self.0.join("config")).map(|known| known.len() as u32);
            return Ok(size.map(|size| (Id::default(), size)).into_iter().collect());
        }
        let (folder, mut found) = (self.0.join(kind.dirname()), Vec::new());
        if folder.is_dir() {
            files(&folder, &mut found).map_err(failed)?;
        }
        found
            .into_iter()
            .map(|(path, size)| Ok((path.file_name().unwrap().to_str().unwrap().parse()?, size as u32)))
            .collect()
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        fs::read(self.path(kind, id)).map(Bytes::from).map_err(failed)
    }

    fn read_partial(&self, kind: FileType, id: &Id, _: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        let mut bytes = vec![0; length as usize];
        let read = |file: fs::File| file.read_exact_at(&mut bytes, offset.into());
        fs::File::open(self.path(kind, id)).and_then(read).map_err(failed)?;
        Ok(bytes.into())
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.path(kind, id).display().to_string()
    }
}

impl WriteBackend for Folder {
    fn create(&self) -> RusticResult<()> {
        fs::create_dir_all(&self.0).map_err(failed)
    }

    fn write_bytes(&self, kind: FileType, id: &Id, _: bool, content: BytesList) -> RusticResult<()> {
        let path = self.path(kind, id);
        fs::create_dir_all(path.parent().unwrap()).map_err(failed)?;
        fs::write(path, content.into_vec().concat()).map_err(failed)
    }

    fn remove(&self, kind: FileType, id: &Id, _: bool) -> RusticResult<()> {
        fs::remove_file(self.path(kind, id)).map_err(failed)
    }
}

/// Whether rustic panicked because a thread of its own was not over yet.
///
/// Its `GlobalIndex::into_index` gives threads that nobody joins 100 ms to let go of the index, which on a busy machine
/// is too little. Nothing was judged then, and a check only reads, so it may run again.
fn is_still_in_use(why: &(dyn Any + Send)) -> bool {
    why.downcast_ref::<String>().is_some_and(|why| why.starts_with("index still in use"))
}

/// What a prune of rustic does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phases {
    /// Marks and removes at once.
    Both,
    /// Marks.
    Mark,
    /// Marks, and removes what was marked before.
    Finish,
}

/// rustic on the repository of a house.
pub(crate) struct Rustic {
    home: PathBuf,
    hot: bool,
}

impl Rustic {
    /// Works on `HOME/repository`.
    pub(crate) fn at(home: &Path) -> Self {
        Self { home: home.to_path_buf(), hot: false }
    }

    /// Works on `HOME/repository` as the cold part and `HOME/hot` as the hot one.
    pub(crate) fn hot_cold(home: &Path) -> Self {
        Self { home: home.to_path_buf(), hot: true }
    }

    fn there(&self) -> Repository<()> {
        let folder = |name| Arc::new(Folder(self.home.join(name))) as Arc<dyn WriteBackend>;
        let backends = RepositoryBackends::new(folder("repository"), self.hot.then(|| folder("hot")));
        Repository::new(&RepositoryOptions::default().no_cache(true), &backends).unwrap()
    }

    /// Makes a repository.
    pub(crate) fn init(&self) {
        let key = KeyOptions::default().hostname(HOST.to_owned());
        self.there().init(&Credentials::password(PASSWORD), &key, &ConfigOptions::default()).unwrap();
    }

    pub(crate) fn try_open(&self) -> RusticResult<Repository<OpenStatus>> {
        self.there().open(&Credentials::password(PASSWORD))
    }

    pub(crate) fn open(&self) -> Repository<OpenStatus> {
        self.try_open().unwrap()
    }

    /// Backs up a tree; on top of the newest snapshot of its own choice, unless all is to be read.
    pub(crate) fn backup(&self, tree: &Path, force: bool) -> SnapshotFile {
        let snapshot = SnapshotOptions::default().host(HOST.to_owned()).to_snapshot().unwrap();
        let options = BackupOptions::default().parent_opts(ParentOptions::default().force(force));
        let source: PathList = [tree].into_iter().collect();
        self.open().to_indexed_ids().unwrap().backup(&options, &source, snapshot).unwrap()
    }

    /// Reads and checks everything.
    pub(crate) fn check(&self) {
        let judge = || self.open().check(CheckOptions::default().read_data(true)).unwrap();
        let found = (0..CHECKS_MAX).find_map(|_| match panic::catch_unwind(AssertUnwindSafe(judge)) {
            Ok(found) => Some(found),
            Err(why) if is_still_in_use(why.as_ref()) => None,
            Err(why) => panic::resume_unwind(why),
        });
        let found = found.expect("rustic waits for its threads");
        assert!(found.0.is_empty(), "{found:#?}");
    }

    /// Restores a snapshot and returns where the tree lies.
    pub(crate) fn restore(&self, tree: &Path, snapshot: &str) -> PathBuf {
        let target = self.home.join(format!("rustic-{}", &snapshot[..8]));
        let repository = self.open().to_indexed().unwrap();
        let root = repository.node_from_snapshot_path(snapshot, |_| true).unwrap();
        let listed = repository.ls(&root, &LsOptions::default()).unwrap();
        let options = RestoreOptions::default().numeric_id(true);
        let there = LocalDestination::new(target.to_str().unwrap(), true, false).unwrap();
        let plan = repository.prepare_restore(&options, listed.clone(), &there, false).unwrap();
        repository.restore(plan, &options, listed, &there).unwrap();
        below(&target, tree)
    }

    /// Returns the paths of a snapshot, without the first `/`.
    pub(crate) fn paths(&self, snapshot: &str) -> Vec<PathBuf> {
        let repository = self.open().to_indexed().unwrap();
        let root = repository.node_from_snapshot_path(snapshot, |_| true).unwrap();
        let listed = repository.ls(&root, &LsOptions::default()).unwrap();
        listed.map(|entry| entry.unwrap().0).collect()
    }

    /// Removes a snapshot.
    pub(crate) fn forget(&self, snapshot: &str) {
        self.open().delete_snapshots(&[SnapshotId::from(snapshot.parse::<Id>().unwrap())]).unwrap();
    }

    /// Removes what no snapshot needs and leaves nothing unused behind.
    pub(crate) fn prune(&self, how: Phases) {
        let limit = |text: &str| text.parse::<LimitOption>().unwrap();
        let options = PruneOptions::default().max_unused(limit("0B")).max_repack(limit("unlimited"));
        let options = match how {
            Phases::Both => options.instant_delete(true),
            Phases::Mark => options,
            Phases::Finish => options.keep_delete(Span::new()),
        };
        let repository = self.open();
        let plan = repository.prune_plan(&options).unwrap();
        repository.prune(&options, plan).unwrap();
    }
}
