//! A database of SQLite in one file: a copy by SQLite's own online backup, from one moment, while others write.
//!
//! The copy is checked by SQLite before a byte of it is saved. The tool `sqlite3` does both.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backstay_core::domain::job::{Reconciliation, Target};
use backstay_core::domain::probe::ProbeStep;
use backstay_core::ports::source::{
    Opened, ParsedSource, SettingsError, SourceError, SourceKind, SourceStream, StreamReader, StreamSink, WayBack,
};
use backstay_engine::archive::command::CommandReader;
use backstay_engine::process::Stopper;
use serde_json::{Map, Value, json};

use super::private::PrivateFolder;
use super::run::{closed, tool};
use super::settings::{Fields, plain_path};
use super::trial::Trial;

/// The settings that there are; the first is needed.
const FIELDS: &[&str] = &["path", "copy_folder"];

/// How long a lock of somebody else is waited for, in milliseconds: longer than any sound transaction.
const BUSY_MS: u32 = 60_000;

/// How long a lock of somebody else is waited for by a test, in milliseconds: a person waits with it.
const TRIAL_BUSY_MS: u32 = 5_000;

/// What lies beside a database and belongs to it.
const BESIDE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// The source kind `sqlite`.
#[derive(Debug)]
pub struct Sqlite;

#[async_trait]
impl SourceKind for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn describe(&self) -> &'static str {
        "A database of SQLite, copied as it is at one moment; needs the program sqlite3"
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["path"],
            "properties": {
                "path": { "type": "string", "description": "Absolute path of the database" },
                "copy_folder": {
                    "type": "string",
                    "description": "Where the copy is made and checked, with room for it; the folder for temporary files when left out"
                },
            },
        })
    }

    fn parse(&self, settings: &Value) -> Result<ParsedSource, SettingsError> {
        let fields = Fields::of(settings, FIELDS)?;
        let path = fields.path_needed("path")?;
        let mut plain = Map::from_iter([("path".to_owned(), json!(path))]);
        if let Some(folder) = fields.text("copy_folder")? {
            plain.insert("copy_folder".to_owned(), json!(plain_path("copy_folder", folder)?));
        }
        Ok(ParsedSource { settings: Value::Object(plain), items: vec![path] })
    }

    async fn discover(&self, settings: &Value) -> Result<Vec<String>, SourceError> {
        let path = Fields::of(settings, FIELDS)?.path_needed("path")?;
        there(&path).map(|()| vec![path])
    }

    async fn open(&self, settings: &Value, item: &str) -> Result<Opened, SourceError> {
        tool("sqlite3", "sqlite3")?;
        there(item)?;
        let folder = Fields::of(settings, FIELDS)?.text("copy_folder")?.map_or_else(std::env::temp_dir, PathBuf::from);
        let path = PathBuf::from(item);
        let database = path.clone();
        let begin = move || {
            let stopping = Stopping::default();
            let stop = stopping.clone();
            let folder = PrivateFolder::make(&folder)?;
            let copy = CopyReader { database, folder, stopping, file: None };
            Ok(StreamReader { reader: Box::new(copy), stop: Box::new(move || stop.stop()) })
        };
        Ok(Opened::Stream(SourceStream { path, begin: Box::new(begin) }))
    }

    fn sink(&self, settings: &Value, _: &str, way: &WayBack) -> Result<Box<dyn StreamSink>, SourceError> {
        tool("sqlite3", "sqlite3")?;
        let path = match &way.name {
            Some(name) => plain_path("name", name)?,
            None => Fields::of(settings, FIELDS)?.path_needed("path")?,
        };
        if way.reconciliation == Reconciliation::Fail && Path::new(&path).exists() {
            return Err(SourceError::InTheWay { place: path });
        }
        Ok(Box::new(Returning::begin(PathBuf::from(path))?))
    }

    async fn probe(&self, settings: &Value) -> Vec<ProbeStep> {
        let mut trial = Trial::begin();
        trial.program("sqlite3", "sqlite3").await;
        let fields = Fields::of(settings, FIELDS);
        let said = fields.and_then(|fields| Ok((fields.path_needed("path")?, fields.text("copy_folder")?)));
        match said {
            Err(error) => trial.attempt("settings".to_owned(), move || Err(error.into())).await,
            Ok((path, folder)) => {
                let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
                trial.attempt(format!("database {path}"), move || asked(&path)).await;
                let step = format!("copies to {}", folder.display());
                trial.attempt(step, move || copy_folder(&folder)).await;
            }
        }
        trial.end()
    }

    fn target(&self, _: &Value, _: &str) -> Result<Target, SettingsError> {
        Ok(Target::Source { name: None })
    }
}

/// Makes sure that a file is there. It is never opened here: where this process works on that very database, closing a file of it
/// would let go of all locks that the process has on it, and the next one to look would take its log away.
fn there(path: &str) -> Result<(), SourceError> {
    let told = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SourceError::Missing { place: path.to_owned() },
        _ => SourceError::Denied { place: path.to_owned(), source },
    };
    fs::metadata(path).map(drop).map_err(told)
}

/// Has SQLite look into a database, as a backup does before it copies.
fn asked(path: &str) -> Result<String, SourceError> {
    there(path)?;
    let told = |source| SourceError::Failed { what: "SQLite cannot read it".to_owned(), source };
    let folder = PrivateFolder::make(&std::env::temp_dir()).map_err(told)?;
    let busy = format!(".timeout {TRIAL_BUSY_MS}");
    let mut words = vec![&*busy, "SELECT count(*) FROM sqlite_schema"];
    if named(Path::new(path), "-wal").exists() {
        words.insert(0, ".dbconfig no_ckpt_on_close on");
    }
    let text = Stopping::default().run(sqlite3(Path::new(path), folder.path(), &words)).map_err(told)?;
    let count = text.lines().last().unwrap_or_default().trim().to_owned();
    Ok(format!("{count} tables, indexes, views and triggers"))
}

/// Makes sure that a copy can be made in a folder.
fn copy_folder(folder: &Path) -> Result<String, SourceError> {
    let told = |source| SourceError::Failed { what: "no copy can be made there".to_owned(), source };
    PrivateFolder::make(folder).map(|_| "it can be written".to_owned()).map_err(told)
}

/// Returns what has SQLite open a file that is there, and never make one.
fn uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut text = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => text.push(char::from(*byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text + "?mode=rw"
}

/// Returns a run of `sqlite3` on a database, without the user's own settings.
fn sqlite3(database: &Path, folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("sqlite3");
    command.args(["-batch", "-bail", "-init", "/dev/null"]).arg(uri(database)).args(words).current_dir(folder);
    command
}

/// Ends whatever runs, and keeps what comes after it from beginning.
#[derive(Debug, Clone, Default)]
struct Stopping(Arc<Mutex<(bool, Option<Stopper>)>>);

impl Stopping {
    fn stop(&self) {
        let stopper = {
            let mut state = self.0.lock().expect("no holder panics");
            state.0 = true;
            state.1.take()
        };
        if let Some(stopper) = stopper {
            stopper.stop();
        }
    }

    /// Runs a command to its end and returns what it wrote.
    fn run(&self, command: Command) -> io::Result<String> {
        let mut reader = {
            let mut state = self.0.lock().expect("no holder panics");
            if state.0 {
                return Err(io::Error::other("it was asked to stop"));
            }
            let reader = CommandReader::start(closed(command), None)?;
            state.1 = Some(reader.process.stopper());
            reader
        };
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    }

    /// Has SQLite look through a database.
    fn check(&self, database: &Path, folder: &Path) -> io::Result<()> {
        let said = self.run(sqlite3(database, folder, &["PRAGMA integrity_check(1)"]))?;
        match said.trim() {
            "ok" => Ok(()),
            harm => Err(io::Error::other(format!("SQLite's integrity_check says: {harm}"))),
        }
    }
}

/// A copy that is made and checked by its first read.
struct CopyReader {
    database: PathBuf,
    folder: PrivateFolder,
    stopping: Stopping,
    file: Option<File>,
}

impl CopyReader {
    fn make(&self) -> io::Result<File> {
        let (folder, busy) = (self.folder.path(), format!(".timeout {BUSY_MS}"));
        // In a transaction that has begun to read, writers do not make the copy begin anew again and again.
        let mut words = vec![&*busy, "BEGIN", "SELECT count(*) FROM sqlite_schema", ".backup main copy"];
        if named(&self.database, "-wal").exists() {
            // Its log is somebody's: whoever looks, and takes itself for the last one, must not end it.
            words.insert(0, ".dbconfig no_ckpt_on_close on");
        }
        self.stopping.run(sqlite3(&self.database, folder, &words))?;
        let copy = folder.join("copy");
        self.stopping.check(&copy, folder)?;
        File::open(copy)
    }
}

impl Read for CopyReader {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.read(piece),
            None => {
                let file = self.make()?;
                self.file.insert(file).read(piece)
            }
        }
    }
}

/// A database that comes back: written beside its place, checked, and put there by a rename. What was there is put aside with
/// what belongs to it, and stays.
struct Returning {
    place: PathBuf,
    beside: PathBuf,
    file: File,
    stopping: Stopping,
    is_done: bool,
}

impl Returning {
    fn begin(place: PathBuf) -> Result<Self, SourceError> {
        let beside = named(&place, &format!(".backstay-{}", std::process::id()));
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let what = format!("{} cannot be written", beside.display());
        let file = opened.map_err(|source| SourceError::Failed { what, source })?;
        Ok(Self { place, beside, file, stopping: Stopping::default(), is_done: false })
    }

    /// Puts what is there aside, under a name that nothing has.
    fn put_aside(&self) -> io::Result<()> {
        let free = |number: &u32| !named(&self.place, &format!(".before-{number}")).exists();
        let number = (1..).find(free).expect("there are enough numbers");
        for ending in BESIDE {
            let aside = named(&self.place, &format!(".before-{number}{ending}"));
            match fs::rename(named(&self.place, ending), aside) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                answer => answer?,
            }
        }
        Ok(())
    }

    /// Gives it the mode and the owner of what was there.
    fn as_before(&self) -> io::Result<()> {
        use std::os::unix::fs::{MetadataExt, fchown};
        let Ok(before) = fs::metadata(&self.place) else { return Ok(()) };
        self.file.set_permissions(before.permissions())?;
        fchown(&self.file, Some(before.uid()), Some(before.gid()))
    }
}

/// Returns a path with an ending.
fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

impl Write for Returning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl StreamSink for Returning {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let folder = self.place.parent().unwrap_or(Path::new("/")).to_owned();
        self.stopping.check(&self.beside, &folder)?;
        self.as_before()?;
        self.file.sync_all()?;
        self.put_aside()?;
        fs::rename(&self.beside, &self.place)?;
        self.is_done = true;
        File::open(folder)?.sync_all()
    }

    fn stopper(&self) -> Box<dyn FnOnce() + Send> {
        let stopping = self.stopping.clone();
        Box::new(move || stopping.stop())
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        // With what SQLite made beside it when it looked; what is not there is as it should be.
        for ending in if self.is_done { &BESIDE[1..] } else { &BESIDE[..] } {
            fs::remove_file(named(&self.beside, ending)).unwrap_or_default();
        }
    }
}
