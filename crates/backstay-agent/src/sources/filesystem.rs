//! A folder on a file system that the agent can read: one item, named by its path.

use std::io;
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use backstay_core::domain::job::Target;
use backstay_core::ports::source::{Opened, ParsedSource, SettingsError, SourceError, SourceKind};
use serde_json::{Value, json};

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
            "properties": { "path": { "type": "string", "description": "Absolute path of the folder" } },
        })
    }

    fn parse(&self, settings: &Value) -> Result<ParsedSource, SettingsError> {
        let path = path_of(settings)?;
        Ok(ParsedSource { settings: json!({ "path": path }), items: vec![path] })
    }

    async fn discover(&self, settings: &Value) -> Result<Vec<String>, SourceError> {
        let path = path_of(settings)?;
        opened(&path).map(|_| vec![path])
    }

    async fn open(&self, _: &Value, item: &str) -> Result<Opened, SourceError> {
        opened(item)
    }

    fn target(&self, _: &Value, item: &str) -> Result<Target, SettingsError> {
        Ok(Target::Directory(PathBuf::from(item)))
    }
}

/// Returns the path of the settings, made plain.
fn path_of(settings: &Value) -> Result<String, SettingsError> {
    let wrong = |problem: String| SettingsError { field: "path".to_owned(), problem };
    let fields = settings.as_object().ok_or_else(|| wrong("settings must be an object with `path`".to_owned()))?;
    if let Some(unknown) = fields.keys().find(|name| *name != "path") {
        let problem = "is not a setting of this kind; there is only `path`".to_owned();
        return Err(SettingsError { field: unknown.clone(), problem });
    }
    let path = fields.get("path").and_then(Value::as_str).unwrap_or_default();
    let given = Path::new(path);
    if !given.is_absolute() {
        return Err(wrong(format!("`{path}` is not an absolute path")));
    }
    if given.components().any(|part| part == Component::ParentDir) || path.contains('\0') {
        return Err(wrong(format!("`{path}` has a part `..`; write the path that is meant")));
    }
    let plain: PathBuf = given.components().collect();
    Ok(plain.to_str().unwrap_or(path).to_owned())
}

/// Makes sure that a folder is there and can be listed.
fn opened(path: &str) -> Result<Opened, SourceError> {
    let place = path.to_owned();
    let told = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SourceError::Missing { place: place.clone() },
        io::ErrorKind::NotADirectory => SourceError::NotAFolder { place: place.clone() },
        _ => SourceError::Denied { place: place.clone(), source },
    };
    std::fs::read_dir(path).map_err(told)?;
    Ok(Opened::Path(PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
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
        check(json!({ "pth": "/a" }), "settings.pth: is not a setting of this kind; there is only `path`");
    }

    #[tokio::test]
    async fn what_cannot_be_read_as_a_folder_is_said() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let answer = async |item: &Path| match Filesystem.open(&Value::Null, &path(item)).await {
            Ok(opened) => format!("{opened:?}"),
            Err(error) => error.to_string(),
        };
        assert!(answer(home.path()).await.starts_with("Path("));
        assert_eq!(answer(&file).await, format!("{} is not a folder", file.display()));
        let missing = home.path().join("missing");
        assert_eq!(answer(&missing).await, format!("{} does not exist", missing.display()));
    }
}
