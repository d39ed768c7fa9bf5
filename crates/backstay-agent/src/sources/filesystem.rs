//! A folder on a file system that the agent can read: one item, named by its path.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use backstay_core::domain::job::Target;
use backstay_core::domain::probe::ProbeStep;
use backstay_core::ports::source::{LeftOut, Opened, ParsedSource, SettingsError, SourceError, SourceKind};
use backstay_engine::archive::exclude::{Case, Excludes, FileSystems};
use backstay_engine::size;
use serde_json::{Map, Value, json};

use super::first_look::{first_level, matched};
use super::settings::{Fields, wrong};
use super::trial::Trial;
use crate::own;

/// The settings that there are; the first is needed.
const FIELDS: &[&str] =
    &["path", "exclude", "exclude_caches", "exclude_if_present", "exclude_larger_than", "one_file_system"];

/// The source kind `filesystem`.
#[derive(Debug)]
pub struct Filesystem;

#[async_trait]
impl SourceKind for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn describe(&self) -> &'static str {
        "A folder on a file system of the agent's machine"
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["path"],
            "properties": {
                "path": { "type": "string", "description": "Absolute path of the folder" },
                "exclude": {
                    "type": "array", "items": { "type": "string" },
                    "description": "restic's patterns of what is left out, such as *.tmp or /home/*/.cache; ! keeps"
                },
                "exclude_caches": {
                    "type": "boolean", "description": "Leave out what lies in folders that a CACHEDIR.TAG marks"
                },
                "exclude_if_present": {
                    "type": "array", "items": { "type": "string" },
                    "description": "Leave out what lies beside such a file: NAME, or NAME:HEADER for how it begins"
                },
                "exclude_larger_than": {
                    "type": ["string", "integer"], "description": "Leave out larger files, such as 500k, 20M or 1G"
                },
                "one_file_system": { "type": "boolean", "description": "Stay on the folder's own file system" },
            },
        })
    }

    fn parse(&self, settings: &Value) -> Result<ParsedSource, SettingsError> {
        let (path, left_out) = (path_of(settings)?, left_out_of(settings)?);
        let mut plain = Map::from_iter([("path".to_owned(), json!(path))]);
        let LeftOut { patterns, caches, if_present, larger_than_bytes, one_file_system } = left_out;
        let said = [
            ("exclude", !patterns.is_empty(), json!(patterns)),
            ("exclude_caches", caches, json!(caches)),
            ("exclude_if_present", !if_present.is_empty(), json!(if_present)),
            ("exclude_larger_than", larger_than_bytes.is_some(), json!(larger_than_bytes.map(size::words))),
            ("one_file_system", one_file_system, json!(one_file_system)),
        ];
        plain.extend(said.into_iter().filter(|said| said.1).map(|(name, _, value)| (name.to_owned(), value)));
        Ok(ParsedSource { settings: Value::Object(plain), items: vec![path] })
    }

    async fn discover(&self, settings: &Value) -> Result<Vec<String>, SourceError> {
        let path = path_of(settings)?;
        listed(&path).map(|()| vec![path])
    }

    async fn open(&self, settings: &Value, item: &str) -> Result<Opened, SourceError> {
        listed(item)?;
        let mut left_out = left_out_of(settings)?;
        // Last, so that no pattern of the settings brings them back.
        left_out.patterns.extend(own::patterns_below(Path::new(item))?);
        Ok(Opened::Path { path: PathBuf::from(item), left_out })
    }

    async fn probe(&self, settings: &Value) -> Vec<ProbeStep> {
        let mut trial = Trial::begin();
        match path_of(settings).and_then(|path| Ok((path, left_out_of(settings)?))) {
            Err(error) => trial.attempt("settings".to_owned(), move || Err(error.into())).await,
            Ok((path, left_out)) => {
                let (root, patterns) = (PathBuf::from(&path), left_out.patterns.clone());
                trial.step(format!("folder {path}"), move || first_level(&path, &left_out)).await;
                if !patterns.is_empty() {
                    trial.step("exclude".to_owned(), move || matched(&root, patterns)).await;
                }
            }
        }
        trial.end()
    }

    fn target(&self, _: &Value, item: &str) -> Result<Target, SettingsError> {
        Ok(Target::Directory(PathBuf::from(item)))
    }
}

/// Returns the path of the settings, made plain.
fn path_of(settings: &Value) -> Result<String, SettingsError> {
    Fields::of(settings, FIELDS)?.path_needed("path")
}

/// Returns what the settings leave out, each rule judged.
fn left_out_of(settings: &Value) -> Result<LeftOut, SettingsError> {
    let fields = Fields::of(settings, FIELDS)?;
    let left_out = LeftOut {
        patterns: fields.texts("exclude")?,
        caches: fields.is_on("exclude_caches")?,
        if_present: fields.texts("exclude_if_present")?,
        larger_than_bytes: fields.size("exclude_larger_than")?,
        one_file_system: fields.is_on("one_file_system")?,
    };
    excludes_of(&left_out)?;
    Ok(left_out)
}

/// Returns the engine's rules of what is left out.
///
/// # Errors
/// Names the setting that is wrong, an entry of a list by its place from 0 on.
pub(crate) fn excludes_of(left_out: &LeftOut) -> Result<Excludes, SettingsError> {
    let mut excludes = Excludes::default();
    for (at, pattern) in left_out.patterns.iter().enumerate() {
        let field = format!("exclude.{at}");
        if pattern.trim().is_empty() {
            return Err(wrong(field, "is empty: it would leave out nothing"));
        }
        excludes.add(pattern.as_bytes(), Case::Counts).map_err(|error| wrong(field, error.to_string()))?;
    }
    if left_out.caches {
        excludes.add_caches();
    }
    for (at, text) in left_out.if_present.iter().enumerate() {
        let field = format!("exclude_if_present.{at}");
        excludes.add_if_present(text).map_err(|error| wrong(field, error.to_string()))?;
    }
    if let Some(bytes) = left_out.larger_than_bytes {
        excludes.larger_than(bytes);
    }
    if left_out.one_file_system {
        excludes.file_systems(FileSystems::RootsOwn);
    }
    Ok(excludes)
}

/// Makes sure that a folder is there and can be listed.
pub(super) fn listed(path: &str) -> Result<(), SourceError> {
    let place = path.to_owned();
    let told = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SourceError::Missing { place: place.clone() },
        io::ErrorKind::NotADirectory => SourceError::NotAFolder { place: place.clone() },
        _ => SourceError::Denied { place: place.clone(), source },
    };
    std::fs::read_dir(path).map(drop).map_err(told)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    fn check(settings: Value, expected: &str) {
        let answer =
            Filesystem.parse(&settings).map_or_else(|error| error.to_string(), |parsed| parsed.items.join(" "));
        assert_eq!(answer, expected);
    }

    #[test]
    fn settings_are_judged_by_themselves() {
        check(json!({ "path": "/home/ada/" }), "/home/ada");
        check(json!({ "path": "home" }), "settings.path: `home` is not an absolute path");
        check(json!({ "path": "/a/../b" }), "settings.path: `/a/../b` has a part `..`; write the path that is meant");
        let known =
            "`path`, `exclude`, `exclude_caches`, `exclude_if_present`, `exclude_larger_than`, `one_file_system`";
        check(json!({ "pth": "/a" }), &format!("settings.pth: is not a setting of this kind; it has {known}"));
    }

    #[test]
    fn what_is_left_out_is_judged_by_field_and_place() {
        let with = |field: &str, value: Value| json!({ "path": "/a", field: value });
        let no_pattern = "`[a` is no pattern: a `[` needs its `]`, and a backslash something to stand before";
        check(with("exclude", json!(["*.tmp", "[a"])), &format!("settings.exclude.1: {no_pattern}"));
        check(with("exclude", json!(["*.tmp", " "])), "settings.exclude.1: is empty: it would leave out nothing");
        check(with("exclude", json!([1])), "settings.exclude.0: is a text, not 1");
        check(with("exclude_caches", json!("yes")), "settings.exclude_caches: is true or false, not \"yes\"");
        let no_file = "`:x` names no file: write NAME or NAME:HEADER";
        check(
            with("exclude_if_present", json!([".nobackup", ":x"])),
            &format!("settings.exclude_if_present.1: {no_file}"),
        );
        let no_size = "settings.exclude_larger_than: \"big\" is no size; write 500k, 20M or 1G";
        check(with("exclude_larger_than", json!("big")), no_size);
    }

    /// Two ways to say the same are one in the row; what says nothing is not in it.
    #[test]
    fn settings_have_one_form() {
        let plain = |settings: Value| Filesystem.parse(&settings).unwrap().settings;
        let said = json!({
            "path": "/a/", "exclude": "*.tmp", "exclude_caches": true, "exclude_larger_than": 1 << 20,
            "exclude_if_present": [], "one_file_system": false,
        });
        let form = json!({ "path": "/a", "exclude": ["*.tmp"], "exclude_caches": true, "exclude_larger_than": "1M" });
        assert_eq!(plain(said), form);
        assert_eq!(plain(form.clone()), form);
    }

    /// Red when a folder is opened with them, or when a pattern of its settings brings them back.
    #[tokio::test]
    async fn a_folder_is_opened_without_files_with_locks() {
        let root = tempfile::tempdir().unwrap();
        let (folder, file) = (root.path().to_str().unwrap(), root.path().join("backstay.sqlite"));
        own::never_read([file.clone()]);
        let settings = json!({ "path": folder, "exclude": ["*.tmp", "!*.sqlite"] });
        let Opened::Path { left_out, .. } = Filesystem.open(&settings, folder).await.unwrap() else { panic!() };
        let excludes = excludes_of(&left_out).unwrap();
        let is_out = |name: &str| excludes.leaves_out_name(root.path().as_os_str().as_bytes(), name.as_bytes());
        assert!(is_out("backstay.sqlite") && is_out("a.tmp") && !is_out("other.sqlite"));
    }

    #[tokio::test]
    async fn what_cannot_be_read_as_a_folder_is_said() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let answer = async |item: &Path| match Filesystem.open(&json!({ "path": path(item) }), &path(item)).await {
            Ok(opened) => format!("{opened:?}"),
            Err(error) => error.to_string(),
        };
        assert!(answer(home.path()).await.starts_with("Path {"));
        assert_eq!(answer(&file).await, format!("{} is not a folder", file.display()));
        let missing = home.path().join("missing");
        assert_eq!(answer(&missing).await, format!("{} does not exist", missing.display()));
    }
}
