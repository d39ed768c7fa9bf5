//! `backstay recovery sheet`: a page to print, enough to restore with plain restic on another machine.
//!
//! It says where each repository lies, where what opens it is found, and the commands. A secret is on it only when that was
//! asked for, and then the page itself must be kept like a key.

use std::io::IsTerminal as _;

use backstay_api::Client;
use backstay_api::types::list::RetiredQuery;
use backstay_api::types::repository::{RepositoryView, StorageView};
use backstay_api::types::snapshot::{SnapshotQuery, SnapshotView};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::screen::Screen;
use super::server_protect::{Copied, copied};
use super::snapshots_of::{all, newest};
use super::{human, named};
use crate::roles::config::Config;
use crate::roles::data_dir::DataDir;
use crate::roles::database_url::DatabaseUrl;
use crate::roles::home::Rows;
use crate::roles::master_key::read_private;
use crate::roles::own_database::{OwnDatabase, file_in_snapshot};
use crate::roles::system::hostname;

/// What can be had for the day when this machine is gone.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Print a page that is enough to restore with plain restic on another machine
    Sheet {
        /// As a page for a browser
        #[arg(long)]
        html: bool,
        /// With the passwords that lie in key files here: keep the page like a key then
        #[arg(long)]
        with_secrets: bool,
        /// Print secrets also where no terminal shows them
        #[arg(long, requires = "with_secrets")]
        yes: bool,
    },
}

/// A page.
#[derive(Debug, Serialize)]
struct Sheet {
    made_at: String,
    machine: String,
    parts: Vec<Part>,
}

/// A part of a page.
#[derive(Debug, Serialize)]
struct Part {
    heading: String,
    lines: Vec<Line>,
}

/// A line of a page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// For a person.
    Words(String),
    /// For a shell, to be copied as it is.
    Command(String),
}

/// What the page has of secrets.
enum Secrets {
    /// Where they are found.
    Places,
    /// Those that lie in files of this data directory.
    Shown(DataDir),
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let Verb::Sheet { html, with_secrets, yes } = verb;
    if with_secrets && !yes && !std::io::stdout().is_terminal() {
        return Err(CliError::new(Exit::Input, "secrets would go to a file or another program")
            .hint("Add --yes if that is meant, and keep what comes out like a key."));
    }
    if with_secrets && common.server().is_some() {
        // Files of this machine may have the names of that server's, and other keys in them.
        return Err(CliError::new(Exit::Input, "the secrets of a server elsewhere are not on this machine")
            .hint("Leave --with-secrets out, or run this on the server's own machine without --server."));
    }
    let secrets = if with_secrets { Secrets::Shown(common.data_dir()?) } else { Secrets::Places };
    let data = common.own_data_dir();
    let own = OwnDatabase::known(common.told(), data.as_ref());
    let lines = data.as_ref().map(|data| kept(common.told(), data)).transpose()?;
    let parts = look(common, async |client| {
        let copied = copied(client, own.as_ref()).await?;
        let mut parts = vec![before(lines, copied.as_ref())];
        parts.extend(repositories(client, data.as_ref(), &secrets, copied.as_ref()).await?);
        Ok(parts)
    })
    .await?;
    let sheet =
        Sheet { made_at: Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(), machine: hostname(), parts };
    match () {
        () if screen.json() => screen.value(&sheet),
        () if html => screen.line(&page(&sheet)),
        () => screen.line(&text(&sheet)),
    }
    Ok(Exit::Done)
}

/// Says what this machine's installation cannot be run again without.
fn kept(config: &Config, data: &DataDir) -> Result<Vec<Line>, CliError> {
    let line = |path: std::path::Display<'_>, what: &str| Line::Words(format!("  {path} ({what})"));
    let named = config.text("server.master_key_file").filter(|_| Rows::of(config) == Rows::Elsewhere);
    let master = named.map_or_else(|| data.master_key(), Into::into);
    let mut lines = vec![Line::Words(
        "To run Backstay itself again as it was, put these back where they lay, from copies kept elsewhere:".to_owned(),
    )];
    match DatabaseUrl::of(config)? {
        Some(url) => {
            lines.push(Line::Words(format!("  the database {} (rows: plans, history, sealed secrets)", url.shown())));
            lines.push(Line::Words(
                "  the setting that names it, with its password (server.database_url, or its file)".to_owned(),
            ));
        }
        None => lines.push(line(data.database().display(), "rows: plans, history, sealed secrets")),
    }
    lines.push(line(master.display(), "opens the sealed secrets; without it they are lost"));
    if Rows::of(config) == Rows::Here {
        lines.push(line(data.signing_key().display(), "signs evidence"));
    }
    lines.push(Line::Words(format!("  {}/keys (passwords of repositories in files)", data.path().display())));
    Ok(lines)
}

/// Says what must be there before anything can be restored; `kept` is what this machine's installation needs.
fn before(kept: Option<Vec<Line>>, copied: Option<&Copied>) -> Part {
    let words = |text: &str| Line::Words(text.to_owned());
    let mut lines = vec![
        words(
            "To restore, you need restic 0.14 or newer (https://restic.net), a way to each repository below, and its password.",
        ),
        words("Nothing else of Backstay is needed: not its server, not its database, not this machine."),
    ];
    if let Some(kept) = kept {
        lines.extend(kept);
    } else {
        lines.push(words("To run Backstay itself again: the database, and the file with the master key that all its servers are told of (server.master_key_file), which opens the sealed secrets."));
    }
    lines.push(match copied {
        Some(copied) => Line::Words(format!(
            "The database is in the repository {}, see there. The master key is NOT in it and must lie elsewhere: without it no sealed secret opens.",
            copied.repository.name
        )),
        None => words("NOTHING BACKS UP THE DATABASE: `backstay server protect --repository NAME` does."),
    });
    Part { heading: "Before you begin".to_owned(), lines }
}

async fn repositories(
    client: &Client,
    data: Option<&DataDir>,
    secrets: &Secrets,
    copied: Option<&Copied>,
) -> Result<Vec<Part>, CliError> {
    let repositories = named::all(client, RetiredQuery::default(), Client::repository_list).await?.rows;
    if repositories.is_empty() {
        return Err(CliError::new(Exit::NotFound, "there is no repository, so there is nothing to restore from")
            .hint("`backstay quickstart DIR` makes one."));
    }
    let mut parts = Vec::new();
    for repository in repositories {
        let query = SnapshotQuery { repository_id: Some(repository.id.clone()), ..SnapshotQuery::default() };
        let snapshots = newest(all(client, query).await?);
        let mut part = part(&repository, &snapshots, data, secrets)?;
        if let Some(copied) = copied.filter(|copied| copied.repository.id == repository.id) {
            part.lines.extend(database(copied, &snapshots, data));
        }
        parts.push(part);
    }
    Ok(parts)
}

/// Says how one repository is opened and restored from.
fn part(
    repository: &RepositoryView,
    snapshots: &[SnapshotView],
    data: Option<&DataDir>,
    secrets: &Secrets,
) -> Result<Part, CliError> {
    let mut lines = vec![Line::Words("1. Say where it is:".to_owned())];
    place(&repository.storage, &repository.credentials, &mut lines);
    lines.push(Line::Words("2. Say what opens it:".to_owned()));
    password(&repository.password_reference, data, secrets, &mut lines)?;
    lines.push(Line::Words("3. See what is there, and whether it is whole:".to_owned()));
    lines.extend(["restic snapshots", "restic check"].map(|command| Line::Command(command.to_owned())));
    lines.push(Line::Words("4. Restore the newest of each item, each to a folder of its own:".to_owned()));
    if snapshots.is_empty() {
        lines.push(Line::Words("  (it has no snapshot yet)".to_owned()));
    }
    for snapshot in snapshots {
        let id: String = snapshot.foreign_id.chars().take(8).collect();
        let item = snapshot.item_name.as_deref().unwrap_or(&snapshot.item_id);
        let size = human::bytes(snapshot.counts.bytes);
        lines.push(Line::Words(format!("  {item}, of {}, {size}:", snapshot.taken_at)));
        lines.push(Line::Command(format!("restic restore {id} --target restored-{id}")));
    }
    Ok(Part { heading: format!("Repository {}", repository.name), lines })
}

/// Says how the database that Backstay itself works on comes back.
fn database(copied: &Copied, snapshots: &[SnapshotView], data: Option<&DataDir>) -> Vec<Line> {
    let words = |text: &str| Line::Words(text.to_owned());
    let head = words("5. To run Backstay itself again, its database, which has every tenant's rows:");
    let file = file_in_snapshot(&copied.source).unwrap_or_default();
    let plain = |path: &str| path.trim_start_matches('/').to_owned();
    if !snapshots.iter().any(|row| row.item_name.as_deref().map(plain) == Some(plain(&file))) {
        return vec![head, words("  (there is no copy of it yet)")];
    }
    let name = file.rsplit('/').next().unwrap_or_default();
    let dump = format!("restic dump --tag 'plan:{}' latest {} > {}", copied.plan.name, quoted(&file), quoted(name));
    let beside = format!("with nothing called {name}-wal or {name}-shm beside it, and the keys where they lay");
    let way = match (copied.source.kind.as_str(), data) {
        ("sqlite", Some(data)) => format!("  Put it at {}, {beside}.", data.database().display()),
        ("sqlite", None) => format!("  Put it into the server's data directory, {beside}."),
        ("postgresql", _) => {
            format!("  Make an empty database, and: pg_restore --no-owner --exit-on-error --dbname=DATABASE {name}")
        }
        _ => format!("  Make an empty database, and: mariadb DATABASE < {name}"),
    };
    vec![
        head,
        Line::Command("umask 077".to_owned()),
        Line::Command(dump),
        Line::Words(way),
        words(
            "  No server and no agent of Backstay may have run for a minute. Of what was made since, only repositories know:",
        ),
        words(
            "  see that plans keep what they should (`backstay plan list`), `backstay repository adopt NAME` for each, then start it.",
        ),
    ]
}

/// Says where a repository lies, as restic wants to hear it.
fn place(storage: &StorageView, credentials: &std::collections::BTreeMap<String, String>, lines: &mut Vec<Line>) {
    let text = |name: &str| storage.settings[name].as_str().unwrap_or_default();
    match storage.kind.as_str() {
        "local" => lines.push(export("RESTIC_REPOSITORY", text("path"))),
        "s3" => {
            let place = [text("endpoint").trim_end_matches('/'), text("bucket"), text("prefix")].join("/");
            lines.push(export("RESTIC_REPOSITORY", &format!("s3:{}", place.trim_end_matches('/'))));
            let region = text("region");
            lines.push(export("AWS_DEFAULT_REGION", if region.is_empty() { "us-east-1" } else { region }));
            let found = credentials.get("read").map_or("the storage's own list of keys", String::as_str);
            lines.push(Line::Words(format!("  with a key that may read (it is kept as {found}); fill in:")));
            lines.push(Line::Words(
                "  export AWS_ACCESS_KEY_ID=____________  AWS_SECRET_ACCESS_KEY=____________".to_owned(),
            ));
        }
        "hot_cold" => {
            lines.push(Line::Words("  its cold part holds everything:".to_owned()));
            let part = |value: &serde_json::Value| StorageView {
                kind: value["kind"].as_str().unwrap_or_default().to_owned(),
                settings: value["settings"].clone(),
            };
            place(&part(&storage.settings["cold"]), credentials, lines);
        }
        kind => lines.push(Line::Words(format!("  a storage of the kind {kind}: {}", storage.settings))),
    }
}

/// Says where a repository's password is, or the password itself.
fn password(reference: &str, data: Option<&DataDir>, secrets: &Secrets, lines: &mut Vec<Line>) -> Result<(), CliError> {
    let file = reference.strip_prefix("file:");
    match (file, secrets, data) {
        (Some(file), Secrets::Shown(data), _) => {
            let path = data.path().join(file);
            let secret = read_private(&path).map_err(|error| CliError::from_error(Exit::Input, &error))?;
            lines.push(export("RESTIC_PASSWORD", secret.expose_secret().trim()));
        }
        (Some(file), Secrets::Places, Some(data)) => {
            let path = data.path().join(file);
            lines.push(export("RESTIC_PASSWORD_FILE", &path.display().to_string()));
            lines.push(Line::Words("  (on another machine: your copy of that file; without a copy elsewhere, the data is lost with this machine)".to_owned()));
        }
        (Some(file), Secrets::Places, None) => {
            lines.push(Line::Words(format!(
                "  the file {file} below the server's data directory; name your copy of it:"
            )));
            lines.push(Line::Words("  export RESTIC_PASSWORD_FILE=____________".to_owned()));
        }
        (None, ..) => {
            let place = match reference.split_once(':') {
                Some(("env", name)) => format!("the variable {name} in the environment of the server and its agents"),
                Some(("credential", name)) => format!("the credential {name} of the service"),
                _ => "sealed in the database, and no command shows it".to_owned(),
            };
            lines.push(Line::Words(format!(
                "  it is kept as {reference}: {place}. Write it here, or where you keep it:"
            )));
            lines.push(Line::Words("  export RESTIC_PASSWORD=____________".to_owned()));
        }
    }
    Ok(())
}

fn export(name: &str, value: &str) -> Line {
    Line::Command(format!("export {name}={}", quoted(value)))
}

/// Returns a text as a shell takes it for one word.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Returns the page as text: commands stand four spaces in.
fn text(sheet: &Sheet) -> String {
    let mut out = format!("RECOVERY SHEET of {}, made {}\n", human::shown(&sheet.machine), sheet.made_at);
    for part in &sheet.parts {
        out.push_str(&format!("\n{}\n{}\n", human::shown(&part.heading), "-".repeat(part.heading.chars().count())));
        for line in &part.lines {
            match line {
                Line::Words(words) => out.push_str(&format!("{}\n", human::shown(words))),
                Line::Command(command) => out.push_str(&format!("    {}\n", human::shown(command))),
            }
        }
    }
    out.trim_end().to_owned()
}

/// Returns the page for a browser, which prints it.
fn page(sheet: &Sheet) -> String {
    let title = escaped(&format!("Recovery sheet of {}", sheet.machine));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>body{{font:11pt \
         sans-serif;max-width:48em;margin:2em auto}}pre{{background:#eee;padding:.3em .6em;margin:.2em \
         0;white-space:pre-wrap;overflow-wrap:anywhere}}p{{margin:.3em 0;white-space:pre-wrap}}h2{{margin:1.2em 0 \
         .4em}}section{{break-inside:avoid}}</style></head><body>\n<h1>{title}</h1>\n<p>made {}</p>\n",
        escaped(&sheet.made_at)
    );
    for part in &sheet.parts {
        out.push_str(&format!("<section><h2>{}</h2>\n", escaped(&part.heading)));
        for line in &part.lines {
            match line {
                Line::Words(words) => out.push_str(&format!("<p>{}</p>\n", escaped(words))),
                Line::Command(command) => out.push_str(&format!("<pre>{}</pre>\n", escaped(command))),
            }
        }
        out.push_str("</section>\n");
    }
    out + "</body></html>"
}

fn escaped(text: &str) -> String {
    human::shown(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn check(kind: &str, settings: serde_json::Value, expected: &str) {
        let mut lines = Vec::new();
        place(&StorageView { kind: kind.to_owned(), settings }, &BTreeMap::new(), &mut lines);
        let command = lines.iter().find_map(|line| match line {
            Line::Command(command) => Some(command.as_str()),
            Line::Words(_) => None,
        });
        assert_eq!(command, Some(expected));
    }

    #[test]
    fn a_place_is_said_as_restic_wants_to_hear_it() {
        check("local", json!({ "path": "/srv/it's here" }), "export RESTIC_REPOSITORY='/srv/it'\\''s here'");
        let bucket = json!({ "endpoint": "https://s3.example/", "bucket": "b", "prefix": "team/web" });
        check("s3", bucket.clone(), "export RESTIC_REPOSITORY='s3:https://s3.example/b/team/web'");
        check(
            "s3",
            json!({ "endpoint": "https://s3.example", "bucket": "b" }),
            "export RESTIC_REPOSITORY='s3:https://s3.example/b'",
        );
        let parts = json!({ "hot": { "kind": "local", "settings": { "path": "/hot" } }, "cold": { "kind": "s3", "settings": bucket } });
        check("hot_cold", parts, "export RESTIC_REPOSITORY='s3:https://s3.example/b/team/web'");
    }

    #[test]
    fn what_a_page_shows_is_escaped() {
        let part = Part { heading: "a<b>".to_owned(), lines: vec![Line::Command("x & \"y\"".to_owned())] };
        let sheet = Sheet { made_at: String::new(), machine: "m".to_owned(), parts: vec![part] };
        let page = page(&sheet);
        assert!(page.contains("<h2>a&lt;b&gt;</h2>") && page.contains("<pre>x &amp; &quot;y&quot;</pre>"), "{page}");
    }
}
