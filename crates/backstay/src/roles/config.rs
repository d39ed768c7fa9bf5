//! What this process is told: `backstay.yaml`, `.env` beside it, the environment, options, each stronger than the one before.
//!
//! Every value knows who said it. Absent on purpose: what the values mean (whoever asks for one reads it), and `engine`, whose
//! verbs are restic's and ask restic's variables.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use backstay_core::domain::secret::Secret;
use backstay_declare::mistake::Mistake;
use backstay_declare::settings::{SETTINGS, Setting, Values, dotenv, dotenv_secrets, read, setting};
use secrecy::ExposeSecret as _;

use super::master_key::{KeyError, read_private};
use crate::cli::error::{CliError, Exit};
use crate::cli::paper::Paper;

/// The variable that names the file.
pub(crate) const CONFIG_VARIABLE: &str = "BACKSTAY_CONFIG";

/// Where a machine's file lies.
const CONFIG_OF_MACHINE: &str = "/etc/backstay/backstay.yaml";

/// Who said a value, the weakest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody.
    Default,
    /// A line of `backstay.yaml`.
    File(PathBuf, usize),
    /// A line of `.env`.
    DotEnv(PathBuf, usize),
    /// A variable.
    Environment(&'static str),
    /// An option.
    Option(&'static str),
}

impl Origin {
    const fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(..) => 1,
            Self::DotEnv(..) => 2,
            Self::Environment(_) => 3,
            Self::Option(_) => 4,
        }
    }

    /// Says it for a person.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::File(path, line) | Self::DotEnv(path, line) => format!("{}:{line}", path.display()),
            Self::Environment(name) => format!("environment {name}"),
            Self::Option(name) => format!("option {name}"),
        }
    }
}

/// A value with who said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// Secrets in `.env`, by the variables that references name. They are looked up here and put into no environment: the
/// programs that this process starts do not have them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beside(Arc<BTreeMap<String, Secret>>);

impl Beside {
    /// Returns a variable of this process's environment, else of `.env`.
    pub(crate) fn lookup(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name).or_else(|| self.0.get(name).map(|secret| secret.expose_secret().into()))
    }
}

/// What this process is told.
#[derive(Debug, Default)]
pub(crate) struct Config {
    values: BTreeMap<&'static str, Value>,
    /// Secrets in `.env`.
    pub(crate) beside: Beside,
    /// The file, where there is one.
    pub(crate) file: Option<PathBuf>,
    /// What is wrong with the files: which, and where.
    pub(crate) mistakes: Vec<(Paper, Vec<Mistake>)>,
}

/// Says that everybody may read a file with a secret in it.
fn open(path: &Path) -> CliError {
    CliError::from_error(Exit::Input, &KeyError::Open { path: path.to_owned() })
}

/// Says whether everybody on the machine may read a file.
fn is_open(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o007 != 0)
}

/// Returns the path that is meant by one that stands in a file of this folder.
fn joined(folder: &Path, text: &str) -> String {
    let mut path = folder.to_owned();
    for part in Path::new(text).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path.display().to_string()
}

/// What options said of settings: by key, with nothing for those that were not typed.
pub(crate) type Typed = Vec<(&'static str, Option<String>)>;

impl Config {
    /// Returns where the file lies, or would: what was named, else the user's own, else the machine's.
    ///
    /// # Errors
    /// A file that was named and is not there.
    pub(crate) fn find(named: Option<&Path>) -> Result<Option<PathBuf>, CliError> {
        let variable = std::env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        if let Some(path) = named.map(Path::to_owned).or(variable) {
            let path = std::path::absolute(&path).unwrap_or(path);
            return match path.exists() {
                true => Ok(Some(path)),
                false => Err(CliError::new(Exit::NotFound, format!("there is no file {}", path.display()))
                    .hint("`backstay config init FILE` writes one.")),
            };
        }
        Ok(Self::own().into_iter().chain([PathBuf::from(CONFIG_OF_MACHINE)]).find(|path| path.exists()))
    }

    /// Returns where the user's own file lies, or would.
    pub(crate) fn own() -> Option<PathBuf> {
        directories::BaseDirs::new().map(|base| base.config_dir().join("backstay/backstay.yaml"))
    }

    /// Reads all layers but options. What is wrong is kept: a check tells it, and everybody else refuses.
    ///
    /// # Errors
    /// A file that cannot be read, a variable that is wrong.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, CliError> {
        let mut config = Self { file: Self::find(named)?, ..Self::default() };
        if let Some(path) = config.file.clone() {
            config.layer(&path, read, Origin::File)?;
            let beside = path.with_file_name(".env");
            if beside.exists() {
                let secrets = dotenv_secrets(&Paper::read(&beside)?.text);
                if !secrets.is_empty() && is_open(&beside) {
                    return Err(open(&beside));
                }
                let secrets = secrets.into_iter().map(|(name, text)| (name, Secret::from(text)));
                config.beside = Beside(Arc::new(secrets.collect()));
                config.layer(&beside, dotenv, Origin::DotEnv)?;
            }
        }
        for row in SETTINGS {
            if let Some(text) = std::env::var(row.variable).ok().filter(|text| !text.is_empty()) {
                config.put(row, &text, Origin::Environment(row.variable))?;
            }
        }
        Ok(config)
    }

    /// Reads a file as a layer.
    fn layer(
        &mut self,
        path: &Path,
        read: fn(&str) -> (Values, Vec<Mistake>),
        origin: fn(PathBuf, usize) -> Origin,
    ) -> Result<(), CliError> {
        let paper = Paper::read(path)?;
        let (values, mistakes) = read(&paper.text);
        let has_secret = values.keys().any(|key| setting(key).is_some_and(Setting::is_secret));
        if has_secret && is_open(path) {
            return Err(open(path));
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        // Without links, a part `..` of what is written means the folder above.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        for (key, (text, at)) in values {
            // A path is meant from where it is written.
            let is_path = key == "data_dir" || key.ends_with("_file");
            let text = if is_path { joined(&folder, &text) } else { text };
            self.values.insert(key, Value { text, origin: origin(path.to_owned(), at.line) });
        }
        if !mistakes.is_empty() {
            self.mistakes.push((paper, mistakes));
        }
        Ok(())
    }

    fn put(&mut self, row: &'static Setting, text: &str, origin: Origin) -> Result<(), CliError> {
        // A switch of systemd or compose is as often 1 as true.
        let text = match (row.words().as_str(), text) {
            ("true or false", "1") => "true",
            ("true or false", "0") => "false",
            (_, text) => text,
        };
        let read = row.read(text).map_err(|wrong| {
            let heading = if row.is_secret() { "it cannot be used".to_owned() } else { wrong.message };
            CliError::new(Exit::Input, format!("{}: {heading}", origin.words())).hint(&wrong.hint)
        })?;
        self.values.insert(row.key, Value { text: read, origin });
        Ok(())
    }

    /// Takes in what was typed.
    ///
    /// # Errors
    /// A value that is wrong.
    pub(crate) fn typed(&mut self, typed: Typed) -> Result<(), CliError> {
        for (key, text) in typed {
            if let (Some(row), Some(text)) = (setting(key), text) {
                self.put(row, &text, Origin::Option(row.option))?;
            }
        }
        Ok(())
    }

    /// Returns what was said of a key; the default when nobody said it, none when there is none.
    pub(crate) fn value(&self, key: &str) -> Option<Value> {
        self.values.get(key).cloned().or_else(|| {
            let row = setting(key).filter(|row| !row.default.is_empty())?;
            Some(Value { text: row.default.to_owned(), origin: Origin::Default })
        })
    }

    /// Returns the text of a key.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.value(key).map(|value| value.text)
    }

    /// Returns the number of a key.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.text(key).and_then(|text| text.parse().ok()).expect("its shape is a number, and it has a default")
    }

    /// Says whether a key is on.
    pub(crate) fn is_on(&self, key: &str) -> bool {
        self.text(key).is_some_and(|text| text == "true")
    }

    /// Returns the stronger of a value and of the file that may hold it instead; the value, when both are said at one place.
    pub(crate) fn said_or_file(&self, key: &str) -> Option<SaidOrFile> {
        let (value, file) = (self.value(key), self.value(&format!("{key}_file")));
        match (value, file) {
            (Some(value), Some(file)) if file.origin.rank() > value.origin.rank() => {
                Some(SaidOrFile::File(file.text.into()))
            }
            (Some(value), _) => Some(SaidOrFile::Said(value)),
            (None, file) => file.map(|file| SaidOrFile::File(file.text.into())),
        }
    }

    /// Returns the values that must not be shown.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let said = SETTINGS.iter().filter(|row| row.is_secret()).filter_map(|row| self.text(row.key));
        said.map(Secret::from).chain(self.beside.0.values().cloned()).collect()
    }

    /// Returns the token for a server, when there is one.
    ///
    /// # Errors
    /// A file that cannot be read, or that everybody can.
    pub(crate) fn token(&self) -> Result<Option<Secret>, CliError> {
        match self.said_or_file("client.token") {
            None => Ok(None),
            Some(SaidOrFile::Said(value)) => Ok(Some(Secret::from(value.text))),
            Some(SaidOrFile::File(path)) => {
                let text = read_private(&path).map_err(|error| CliError::from_error(Exit::Input, &error))?;
                Ok(Some(Secret::from(text.expose_secret().trim())))
            }
        }
    }
}

/// A secret, or the file that holds it.
#[derive(Debug)]
pub(crate) enum SaidOrFile {
    /// Itself.
    Said(Value),
    /// In a file.
    File(PathBuf),
}
