//! `backstay support-bundle`: a folder of text files that helps somebody else to see what is wrong, without a secret in it.
//!
//! Settings and answers of the API have no secrets, but for the addresses of webhooks, which are left out. Beyond that each
//! text is gone through for the secrets that this machine knows: an error of another system may repeat one.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use backstay_api::types::event::EventQuery;
use backstay_api::types::job::JobQuery;
use backstay_api::types::list::{NamedQuery, PageQuery, RetiredQuery};
use backstay_api::{Client, ClientError};
use backstay_core::domain::secret::Secret;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::{Value, json};

use super::args::Common;
use super::connect::Connection;
use super::error::{CliError, Exit};
use super::named;
use super::screen::Screen;
use super::{config, doctor};
use crate::roles::database_url::DatabaseUrl;
use crate::roles::installation::WithAgent;
use crate::roles::system::hostname;

/// Newest events and jobs that are taken.
const ROWS_MAX: u32 = 500;

/// Jobs that did not go well whose whole story is taken.
const STORIES_MAX: usize = 20;

/// Shortest text that is looked for as a secret: a shorter one stands in words.
const SECRET_BYTES_MIN: usize = 6;

/// Largest file that is looked into for a secret.
const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;

/// What stands where a secret was.
const HIDDEN: &str = "(a secret)";

/// Where it goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Verb {
    /// The folder to make; backstay-support- and the moment when left out
    dir: Option<PathBuf>,
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let named = || PathBuf::from(Timestamp::now().strftime("backstay-support-%Y%m%d-%H%M%S").to_string());
    let dir = verb.dir.unwrap_or_else(named);
    let made = DirBuilder::new().mode(0o700).create(&dir);
    made.map_err(|error| told(&dir, &error))?;
    let bundle = Bundle { dir, secrets: known_secrets(common) };
    let mut files = vec![bundle.write("README.txt", &readme())?];
    files.push(bundle.write(
        "version.json",
        &document(&json!({
            "version": env!("CARGO_PKG_VERSION"), "machine": hostname(), "made_at": Timestamp::now().to_string(),
            "system": rustix::system::uname().release().to_string_lossy(), "architecture": std::env::consts::ARCH,
        })),
    )?);
    files.push(bundle.write("configuration.json", &document(&config::document(common.told())))?);
    files.push(bundle.write("doctor.json", &document(&doctor::report(common).await))?);
    match Connection::open(common, WithAgent::No).await {
        Ok(connection) => {
            for (name, answer) in asked(&connection.client).await {
                let text = answer.unwrap_or_else(|error| document(&json!({ "error": error.to_string() })));
                files.push(bundle.write(name, &text)?);
            }
            connection.close().await;
        }
        // The reason stands in the doctor's findings, and what lies here helps all the same.
        Err(error) => screen.say(&format!("no server could be asked: {}", error.line())),
    }
    let rows = files.iter().map(|file| vec![file.display().to_string()]).collect();
    screen.rows(&files, &["file"], rows, "");
    screen.say("Look through it before you give it away: it has names of hosts, folders, plans and tenants.");
    Ok(Exit::Done)
}

/// A folder that is written to.
struct Bundle {
    dir: PathBuf,
    secrets: Vec<Secret>,
}

impl Bundle {
    /// Writes a file without the secrets that are known, and returns its path.
    fn write(&self, name: &str, text: &str) -> Result<PathBuf, CliError> {
        let path = self.dir.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(without(text, &self.secrets).as_bytes()));
        written.map_err(|error| told(&path, &error))?;
        Ok(path)
    }
}

fn told(path: &Path, error: &std::io::Error) -> CliError {
    let hint = match error.kind() {
        std::io::ErrorKind::AlreadyExists => "Name a folder that is not there yet.",
        _ => "Name a folder where you may write.",
    };
    CliError::from_error(Exit::Failed, error).under(format!("{} cannot be written", path.display())).hint(hint)
}

/// Returns a text in which each secret is replaced, also where it is written as JSON writes it.
fn without(text: &str, secrets: &[Secret]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().map(|secret| secret.expose_secret()) {
        let quoted = Value::from(secret).to_string();
        text = text.replace(secret, HIDDEN).replace(quoted.trim_matches('"'), HIDDEN);
    }
    text
}

/// Returns the secrets that this machine knows: of its settings, and those in files of its data directory.
fn known_secrets(common: &Common) -> Vec<Secret> {
    let config = common.told();
    let mut found: Vec<Secret> = config.secrets().into_iter().chain(config.token().ok().flatten()).collect();
    if let Ok(Some(url)) = DatabaseUrl::of(config) {
        found.extend(url.passwords());
        found.push(Secret::from(url.expose()));
    }
    found.extend(config.text("server.master_key_file").iter().flat_map(|path| lines(Path::new(path))));
    if let Ok(data) = common.data_dir() {
        found.extend(data.server_file_read().map(|server| Secret::from(server.token)));
        let mut folders = vec![data.path().join("keys")];
        let mut files = vec![data.master_key(), data.signing_key()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        found.extend(files.iter().flat_map(|path| lines(path)));
    }
    found.retain(|secret| secret.expose_secret().len() >= SECRET_BYTES_MIN);
    found
}

/// Returns the lines of a file that holds secrets; none of one that is none of text.
fn lines(path: &Path) -> Vec<Secret> {
    let is_small = std::fs::metadata(path).is_ok_and(|file| file.len() <= SECRET_FILE_BYTES_MAX);
    let text = if is_small { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    let text = zeroize::Zeroizing::new(text);
    // Lines of a certificate are no secrets, and its first and last stand in many texts.
    text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).map(Secret::from).collect()
}

/// Asks a server for what helps.
async fn asked(client: &Client) -> Vec<(&'static str, Result<String, ClientError>)> {
    let jobs = JobQuery { limit: Some(ROWS_MAX), ..JobQuery::default() };
    let retired = RetiredQuery::all;
    vec![
        (
            "tenants.json",
            named::all(client, NamedQuery::default(), Client::tenant_list).await.map(|rows| document(&rows)),
        ),
        ("repositories.json", named::all(client, retired(), Client::repository_list).await.map(|rows| document(&rows))),
        ("storages.json", named::all(client, retired(), Client::storage_list).await.map(|rows| document(&rows))),
        ("sources.json", named::all(client, retired(), Client::source_list).await.map(|rows| document(&rows))),
        ("plans.json", named::all(client, retired(), Client::plan_list).await.map(|rows| document(&rows))),
        ("channels.json", channels(client).await),
        ("agents.json", client.all(PageQuery::default(), Client::agent_list).await.map(|rows| document(&rows))),
        ("alerts.json", client.alert_list(&Default::default()).await.map(|rows| document(&rows))),
        ("caps.json", client.caps_show().await.map(|caps| document(&caps))),
        ("quotas.json", client.all(PageQuery::default(), Client::quota_list).await.map(|rows| document(&rows))),
        ("jobs.json", client.job_list(&jobs).await.map(|rows| document(&rows))),
        ("stories.json", stories(client).await),
        ("events.json", events(client).await),
        ("metrics.txt", client.metrics().await),
    ]
}

/// Returns channels without their addresses: that of a webhook often is its secret.
async fn channels(client: &Client) -> Result<String, ClientError> {
    let mut rows = named::all(client, NamedQuery::default(), Client::channel_list).await?.rows;
    for row in &mut rows {
        if let Some(url) = row.settings.get_mut("url") {
            *url = HIDDEN.into();
        }
    }
    Ok(document(&rows))
}

/// Returns what is stored of the newest jobs that did not go well.
async fn stories(client: &Client) -> Result<String, ClientError> {
    let mut stories = Vec::new();
    for state in ["failed", "damaged", "parked", "waiting"] {
        let query = JobQuery { state: Some(state.to_owned()), limit: Some(ROWS_MAX), ..JobQuery::default() };
        for job in client.job_list(&query).await?.rows.into_iter().take(STORIES_MAX / 4) {
            let log = client.job_log(&job.id).await?;
            stories.push(json!({ "job": job, "log": log }));
        }
    }
    Ok(document(&stories))
}

/// Returns each tenant's newest events.
async fn events(client: &Client) -> Result<String, ClientError> {
    let mut all = serde_json::Map::new();
    for tenant in named::all(client, NamedQuery::default(), Client::tenant_list).await?.rows {
        let query = EventQuery { tenant: Some(tenant.name.clone()), limit: Some(ROWS_MAX), ..EventQuery::default() };
        let newest = client.event_list(&query).await?.rows;
        all.insert(tenant.name.clone(), serde_json::to_value(newest).expect("views are JSON"));
    }
    Ok(document(&all))
}

fn document(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("views are JSON") + "\n"
}

fn readme() -> String {
    "What `backstay support-bundle` found. Passwords, keys, tokens and addresses of webhooks are left out.\n\
     Names of hosts, folders, plans, tenants and files that could not be read are in it.\n\n\
     doctor.json         what is not well, and what to do\n\
     configuration.json  settings, and who said each\n\
     jobs.json           the newest jobs; stories.json tells those that did not go well in the order of time\n\
     events.json         the newest events of each tenant\n\
     metrics.txt         figures, as monitoring sees them\n\
     others              what is declared\n"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_secret_is_taken_out_wherever_it_stands() {
        let secrets = [Secret::from("hunter\"22"), Secret::from("bk_token")];
        let text = format!("a hunter\"22 b {} c bk_token", document(&json!({ "x": "hunter\"22" })));
        let left = without(&text, &secrets);
        assert!(!left.contains("hunter") && !left.contains("bk_token") && left.matches(HIDDEN).count() == 3, "{left}");
    }
}
