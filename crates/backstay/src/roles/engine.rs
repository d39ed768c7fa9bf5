//! One process that works on a repository by itself: which storage, which password, from options and the environment.
//!
//! Options and variables are restic's. A password is never an argument: it comes from a file, from what a command
//! prints, or from a variable.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use backstay_storage::{ObjectStorage, Presence, StorageCredentials, storage_kind};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::cli::error::{CliError, Exit};
use crate::roles::limit::LimitArgs;

/// Longest password that is read: a file that never ends must not take all memory.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;

/// Which repository, and what opens it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Access {
    /// The repository: a path, or s3:https://HOST/BUCKET/PATH [env: RESTIC_REPOSITORY]
    #[arg(short = 'r', long, visible_alias = "repository", global = true, value_name = "R")]
    pub(crate) repo: Option<String>,
    /// The hot part of the repository, whose other part is cold: a path or s3:… as above, laid out as rustic does
    /// [env: RUSTIC_REPO_HOT]
    #[arg(long, global = true, value_name = "R")]
    repo_hot: Option<String>,
    /// A file that says which repository [env: RESTIC_REPOSITORY_FILE]
    #[arg(long, global = true, value_name = "F")]
    repository_file: Option<PathBuf>,
    /// A file that holds the password [env: RESTIC_PASSWORD_FILE]
    #[arg(short = 'p', long, global = true, value_name = "F")]
    password_file: Option<PathBuf>,
    /// A command that prints the password; run without a shell [env: RESTIC_PASSWORD_COMMAND]
    #[arg(long, global = true, value_name = "CMD")]
    password_command: Option<String>,
    /// The repository has an empty password
    #[arg(long, global = true)]
    insecure_no_password: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Another repository that something comes from, and what opens it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct FromAccess {
    /// The repository that it comes from [env: RESTIC_FROM_REPOSITORY]
    #[arg(long, value_name = "R")]
    from_repo: Option<String>,
    /// A file that says which [env: RESTIC_FROM_REPOSITORY_FILE]
    #[arg(long, value_name = "F")]
    from_repository_file: Option<PathBuf>,
    /// A file that holds its password [env: RESTIC_FROM_PASSWORD_FILE]
    #[arg(long, value_name = "F")]
    from_password_file: Option<PathBuf>,
    /// A command that prints its password; run without a shell [env: RESTIC_FROM_PASSWORD_COMMAND]
    #[arg(long, value_name = "CMD", conflicts_with = "from_password_file")]
    from_password_command: Option<String>,
    /// It has an empty password
    #[arg(long)]
    from_insecure_no_password: bool,
}

impl FromAccess {
    /// Returns where it is, as it was given.
    ///
    /// # Errors
    /// [`CliError`] when nothing says it.
    pub(crate) fn location(&self) -> Result<String, CliError> {
        let file = self.from_repository_file.clone();
        let file = file.or_else(|| variable("RESTIC_FROM_REPOSITORY_FILE").map(PathBuf::from));
        match (self.from_repo.clone().filter(|repo| !repo.is_empty()), file, variable("RESTIC_FROM_REPOSITORY")) {
            (Some(repo), ..) | (None, None, Some(repo)) => Ok(repo),
            (None, Some(file), _) => {
                let text = std::fs::read_to_string(&file).map_err(|error| {
                    wrong(format!("{} cannot be read: {error}", file.display()), "Check --from-repository-file.")
                })?;
                Ok(text.trim().to_owned())
            }
            (None, None, None) => Err(wrong(
                "nothing says which repository it comes from",
                "Name it with --from-repo or RESTIC_FROM_REPOSITORY.",
            )),
        }
    }

    /// Returns its password.
    ///
    /// # Errors
    /// [`CliError`] when nothing says it, or it is empty and that was not asked for.
    pub(crate) fn password(&self) -> Result<SecretString, CliError> {
        if self.from_insecure_no_password {
            return Ok(SecretString::from(String::new()));
        }
        let file = || variable("RESTIC_FROM_PASSWORD_FILE").map(PathBuf::from);
        let password = match (&self.from_password_file, &self.from_password_command) {
            (Some(file), _) => password_in(file)?,
            (None, Some(command)) => password_from(command)?,
            (None, None) => match (variable("RESTIC_FROM_PASSWORD_COMMAND"), file()) {
                (Some(command), _) => password_from(&command)?,
                (None, Some(file)) => password_in(&file)?,
                (None, None) => variable("RESTIC_FROM_PASSWORD").map(SecretString::from).ok_or_else(|| {
                    let hint = "Name a file with --from-password-file, a command with --from-password-command, or set \
                                RESTIC_FROM_PASSWORD.";
                    wrong("nothing says the password of the repository that it comes from", hint)
                })?,
            },
        };
        not_empty(password)
    }
}

/// Returns the name of who runs this, as the system knows it.
pub(crate) fn username() -> String {
    let known = uzers::get_current_username().map(|name| name.to_string_lossy().into_owned());
    known.unwrap_or_else(crate::roles::system::username)
}

/// Returns a variable that is set to something.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn wrong(heading: impl Into<String>, hint: &str) -> CliError {
    CliError::new(Exit::Failed, heading).hint(hint)
}

impl Access {
    /// Returns where the repository is, as it was given.
    ///
    /// # Errors
    /// [`CliError`] when nothing says it.
    pub(crate) fn location(&self) -> Result<String, CliError> {
        if let Some(repo) = self.repo.clone().filter(|repo| !repo.is_empty()) {
            return Ok(repo);
        }
        let file = self.repository_file.clone().or_else(|| variable("RESTIC_REPOSITORY_FILE").map(PathBuf::from));
        match (file, variable("RESTIC_REPOSITORY")) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(&file).map_err(|error| {
                    wrong(format!("{} cannot be read: {error}", file.display()), "Check --repository-file.")
                })?;
                Ok(text.trim().to_owned())
            }
            (None, Some(repo)) => Ok(repo),
            (None, None) => Err(wrong("no repository is named", "Name it with --repo or RESTIC_REPOSITORY.")),
        }
    }

    /// Opens the storage of the repository.
    ///
    /// # Errors
    /// [`CliError`], with the exit code for a repository that is not there.
    pub(crate) fn storage(&self, presence: Presence) -> Result<Arc<dyn ObjectStorage>, CliError> {
        let region = variable("AWS_DEFAULT_REGION").or_else(|| variable("AWS_REGION"));
        let (mut kind, mut settings) = place(&self.location()?, region.clone())?;
        if let Some(hot) = self.repo_hot.clone().or_else(|| variable("RUSTIC_REPO_HOT")).filter(|hot| !hot.is_empty()) {
            let (hot_kind, hot_settings) = place(&hot, region)?;
            let part = |kind: &str, settings: Value| json!({ "kind": kind, "settings": settings });
            settings = json!({ "hot": part(hot_kind, hot_settings), "cold": part(kind, settings) });
            kind = "hot_cold";
        }
        self.opened(kind, &settings, presence)
    }

    /// Opens the storage of another repository, which shares the limits of this one.
    ///
    /// # Errors
    /// As [`Access::storage`].
    pub(crate) fn storage_of(&self, location: &str) -> Result<Arc<dyn ObjectStorage>, CliError> {
        let region = variable("AWS_DEFAULT_REGION").or_else(|| variable("AWS_REGION"));
        let (kind, settings) = place(location, region)?;
        self.opened(kind, &settings, Presence::Existing)
    }

    fn opened(&self, kind: &str, settings: &Value, presence: Presence) -> Result<Arc<dyn ObjectStorage>, CliError> {
        // A folder needs none, and looks at none.
        let credentials = if kind == "local" { StorageCredentials::none() } else { StorageCredentials::ambient() };
        let kind = storage_kind(kind).map_err(|error| CliError::from_error(Exit::Failed, &error))?;
        let opened = kind.open(settings, &credentials, presence);
        opened.map(|opened| self.limits.around(opened)).map_err(|error| crate::cli::engine::error::storage(&error))
    }

    /// Returns the file that the password is in; none when it comes from elsewhere.
    pub(crate) fn password_path(&self) -> Option<PathBuf> {
        let named = self.password_file.clone();
        let elsewhere = self.insecure_no_password
            || self.password_command.is_some()
            || variable("RESTIC_PASSWORD_COMMAND").is_some();
        named.or_else(|| variable("RESTIC_PASSWORD_FILE").map(PathBuf::from).filter(|_| !elsewhere))
    }

    /// Returns the password.
    ///
    /// # Errors
    /// [`CliError`] when nothing says it, or it is empty and that was not asked for.
    pub(crate) fn password(&self) -> Result<SecretString, CliError> {
        if self.insecure_no_password {
            return Ok(SecretString::from(String::new()));
        }
        let command = self.password_command.clone().or_else(|| variable("RESTIC_PASSWORD_COMMAND"));
        let file = self.password_file.clone().or_else(|| variable("RESTIC_PASSWORD_FILE").map(PathBuf::from));
        let given = [self.password_file.is_some(), self.password_command.is_some()];
        if given == [true, true] {
            return Err(wrong(
                "two ways to the password are given",
                "Leave --password-file or --password-command out.",
            ));
        }
        let password = match (command, file, variable("RESTIC_PASSWORD")) {
            (_, Some(file), _) if given[0] => password_in(&file)?,
            (Some(command), _, _) => password_from(&command)?,
            (None, Some(file), _) => password_in(&file)?,
            (None, None, Some(password)) => password.into(),
            (None, None, None) => {
                let hint = "Name a file with --password-file or RESTIC_PASSWORD_FILE, a command with --password-command, \
                            or set RESTIC_PASSWORD.";
                return Err(wrong("nothing says the password", hint));
            }
        };
        not_empty(password)
    }
}

/// Refuses an empty password: mostly a variable or a file that was meant to hold one.
pub(crate) fn not_empty(password: SecretString) -> Result<SecretString, CliError> {
    use secrecy::ExposeSecret;
    if password.expose_secret().is_empty() {
        return Err(wrong("the password is empty", "If it is meant to be, say so with --insecure-no-password."));
    }
    Ok(password)
}

/// Returns the password that a file holds: all of it, without blanks and line ends around it.
///
/// # Errors
/// [`CliError`] when it cannot be read.
pub(crate) fn password_in(file: &std::path::Path) -> Result<SecretString, CliError> {
    use std::io::Read;
    let failed = |error: std::io::Error| {
        wrong(format!("the password file {} cannot be read: {error}", file.display()), "Check its name and its mode.")
    };
    let mut text = zeroize_on_drop();
    let open = std::fs::File::open(file).map_err(failed)?;
    open.take(PASSWORD_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(SecretString::from(text.trim().to_owned()))
}

fn zeroize_on_drop() -> zeroize::Zeroizing<String> {
    zeroize::Zeroizing::new(String::new())
}

/// Returns the first line that a command prints. Its messages go where ours go.
fn password_from(command: &str) -> Result<SecretString, CliError> {
    let hint = "Run the command by itself and see what it prints.";
    let words = words(command).ok_or_else(|| wrong("a quote in the password command is never closed", hint))?;
    let [program, arguments @ ..] = &words[..] else { return Err(wrong("the password command is empty", hint)) };
    let ran = Command::new(program).args(arguments).stdin(Stdio::inherit()).stderr(Stdio::inherit()).output();
    let ran = ran.map_err(|error| wrong(format!("the password command {program} did not start: {error}"), hint))?;
    if !ran.status.success() {
        return Err(wrong(format!("the password command {program} ended with {}", ran.status), hint));
    }
    let text = zeroize::Zeroizing::new(ran.stdout);
    let text = std::str::from_utf8(&text).map_err(|_| wrong("the password command printed no UTF-8", hint))?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Cuts a command at blanks; `'…'` and `"…"` keep them. None when a quote is never closed. No shell looks at it.
pub(crate) fn words(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in command.chars() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Returns storage kind and settings of a repository as restic names it.
fn place(location: &str, region: Option<String>) -> Result<(&'static str, Value), CliError> {
    let hint = "Give a path, or s3:https://HOST/BUCKET/PATH.";
    if let Some(rest) = location.strip_prefix("s3:") {
        let (scheme, rest) = match rest.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
            Some(_) => return Err(wrong(format!("`{location}` is no repository on S3"), hint)),
            None => ("https", rest.trim_start_matches('/')),
        };
        let mut parts = rest.splitn(3, '/');
        let [host, bucket, prefix] = std::array::from_fn(|_| parts.next().unwrap_or_default().trim_matches('/'));
        if host.is_empty() || bucket.is_empty() {
            return Err(wrong(format!("`{location}` names no bucket"), hint));
        }
        let mut settings = json!({ "endpoint": format!("{scheme}://{host}"), "bucket": bucket, "prefix": prefix });
        if let Some(region) = region {
            settings["region"] = region.into();
        }
        return Ok(("s3", settings));
    }
    let path = match location.split_once(':') {
        Some(("local", path)) => path,
        Some((scheme @ ("sftp" | "rest" | "b2" | "azure" | "gs" | "swift" | "rclone"), _)) => {
            return Err(wrong(format!("repositories at `{scheme}:` cannot be opened by this program"), hint));
        }
        _ => location,
    };
    let path = std::path::absolute(path).map_err(|error| wrong(format!("`{location}` is no path: {error}"), hint))?;
    let path = path.to_str().ok_or_else(|| wrong("the repository's path is not valid UTF-8", hint))?;
    Ok(("local", json!({ "path": path })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_cut_into_words_without_a_shell() {
        let check = |command: &str, expected: Option<&[&str]>| {
            let expected = expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
            assert_eq!(words(command), expected, "{command}");
        };
        check("pass show  backup\n", Some(&["pass", "show", "backup"]));
        check("echo 'two words' \"it's\"", Some(&["echo", "two words", "it's"]));
        check("echo $HOME;ls ''", Some(&["echo", "$HOME;ls", ""]));
        check("echo 'open", None);
        check(" ", Some(&[]));
    }

    #[test]
    fn a_repository_is_a_path_or_a_storage_that_is_known() {
        assert_eq!(place("/a/b", None).unwrap(), ("local", json!({ "path": "/a/b" })));
        assert_eq!(place("local:/a:b", None).unwrap(), ("local", json!({ "path": "/a:b" })));
        assert_eq!(place("/a:b", None).unwrap().1, json!({ "path": "/a:b" }));
        assert!(place("sftp:host:/x", None).is_err());
        let s3 = |location: &str| place(location, Some("r".to_owned())).unwrap();
        let there = json!({ "endpoint": "https://h:9", "bucket": "b", "prefix": "p/q", "region": "r" });
        assert_eq!(s3("s3:https://h:9/b/p/q/"), ("s3", there.clone()));
        assert_eq!(s3("s3:h:9/b/p/q").1, there);
        assert_eq!(s3("s3:http://h/b").1["prefix"], "");
        assert!(place("s3:https://h", None).is_err() && place("s3:ftp://h/b", None).is_err());
    }
}
