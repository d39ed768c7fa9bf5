//! `backstay snapshot …`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use backstay_api::types::snapshot::{
    EntryQuery, EntryView, SnapshotQuery, SnapshotRestore, SnapshotVerify, SnapshotView,
};
use backstay_api::{Client, ClientError};

use super::args::Common;
use super::connect::{Connection, look};
use super::error::{CliError, Exit};
use super::explain::{self, Zone};
use super::human;
use super::job::{exit_of, show};
use super::screen::Screen;
use super::watch::{Watch, watch_job};
use crate::roles::installation::WithAgent;

/// What can be asked of snapshots.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List snapshots, newest first
    List {
        /// Most rows
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one snapshot
    Show {
        /// The snapshot's id, the beginning of its restic id, `latest`, or `latest:ITEM`
        id: String,
    },
    /// List a folder of a snapshot
    Ls {
        /// The snapshot's id, the beginning of its restic id, `latest`, or `latest:ITEM`
        snapshot: String,
        /// Absolute path in the snapshot
        #[arg(default_value = "/")]
        path: String,
    },
    /// Write the bytes of one file of a snapshot to standard output
    Cat(super::snapshot_cat::Cat),
    /// Find files and folders by a pattern, in the newest snapshot of each item or in more
    Find(super::snapshot_find::Find),
    /// Compare two snapshots of a repository: + added, - removed, M other bytes, M? other bytes and nothing else says so,
    /// T another kind, U other metadata
    Diff(super::snapshot_diff::Diff),
    /// Restore a snapshot, or a part of it, to a folder or to its source
    Restore {
        /// The snapshot's id, the beginning of its restic id, `latest`, or `latest:ITEM`
        snapshot: String,
        /// The folder; the tree lies below it by its absolute path, as restic restores it
        #[arg(long, value_name = "DIR", required_unless_present = "to_source")]
        target: Option<PathBuf>,
        /// Bring it back to the source that it is of: a folder to its place, a dump into a database
        #[arg(long, conflicts_with = "target")]
        to_source: bool,
        /// What it is to be called in the source, such as the name of a new database
        #[arg(long = "as", value_name = "NAME", requires = "to_source")]
        name: Option<String>,
        #[command(flatten)]
        terms: RestoreArgs,
        /// Only say what would be brought back and where to; nothing is asked for
        #[arg(long)]
        dry_run: bool,
    },
    /// Say which rules keep a snapshot, or when it goes
    Explain {
        /// The snapshot's id, the beginning of its restic id, `latest`, or `latest:ITEM`
        snapshot: String,
        #[command(flatten)]
        zone: Zone,
    },
    /// Keep a snapshot, whatever the rules say
    Pin {
        /// The snapshot's id, the beginning of its restic id, `latest`, or `latest:ITEM`
        snapshot: String,
    },
    /// Leave a snapshot to the rules again
    Unpin {
        /// The snapshot's id, the beginning of its restic id, `latest`, or `latest:ITEM`
        snapshot: String,
    },
    /// Put a snapshot under a legal hold: nothing deletes it until the hold is lifted
    Hold {
        /// The snapshot's id, the beginning of its restic id, `latest`, or `latest:ITEM`
        snapshot: String,
    },
    /// Lift a snapshot's legal hold
    Release {
        /// The snapshot's id, the beginning of its restic id, `latest`, or `latest:ITEM`
        snapshot: String,
    },
    /// Have snapshots forgotten by the next prune of their repository, whatever rule keeps them
    Forget(super::snapshot_forget::Forget),
    /// Leave a snapshot that was to be forgotten to the rules again
    Keep {
        /// The snapshot's id, the beginning of its restic id, `latest`, or `latest:ITEM`
        snapshot: String,
    },
    /// Read a sample of a snapshot back from storage and compare it with the source
    Verify {
        /// The snapshot's id, the beginning of its restic id, `latest`, or `latest:ITEM`
        snapshot: String,
        /// At least this share of the bytes, in hundredths; 100 reads everything
        #[arg(long, value_name = "PERCENT")]
        percent: Option<u8>,
    },
}

/// What is restored, and how.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RestoreArgs {
    /// Restore only what lies below this folder of the snapshot, straight to the target
    #[arg(long, value_name = "FOLDER")]
    path: Option<String>,
    /// Restore only what this pattern matches, as `/etc/hosts` or `*.conf`
    #[arg(short, long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Leave out what this pattern matches
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// How it meets what is there: fail, skip, overwrite, overwrite_if_changed, rename; fail when left out
    #[arg(long, value_name = "HOW")]
    reconciliation: Option<String>,
    /// Also make devices, setuid and setgid bits and capabilities: only for a snapshot that you trust
    #[arg(long)]
    special: bool,
    /// Read every file back at the end and compare it with the snapshot
    #[arg(long)]
    verify: bool,
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List { limit } => {
            let query = SnapshotQuery { limit: Some(limit), ..SnapshotQuery::default() };
            let list = look(common, async |client| Ok(client.snapshot_list(&query).await?)).await?;
            let rows = list.rows.iter().map(row).collect();
            let heading = ["taken", "item", "files", "size", "outcome", "restic id", "id"];
            screen.rows(&list, &heading, rows, "there is no snapshot yet");
            Ok(Exit::Done)
        }
        Verb::Show { id } => {
            let view = look(common, async |client| {
                let id = find(client, &id).await?;
                Ok(client.snapshot_show(&id).await?)
            });
            super::show::show(screen, &view.await?);
            Ok(Exit::Done)
        }
        Verb::Ls { snapshot, path } => {
            let list = look(common, async |client| {
                let id = find(client, &snapshot).await?;
                Ok({
                    let list = async |client: &Client, query: &EntryQuery| client.snapshot_entries(&id, query).await;
                    client.all(EntryQuery::of(&path), list).await?
                })
            })
            .await?;
            let rows = list.rows.iter().map(entry_row).collect();
            screen.rows(&list, &["mode", "size", "modified", "name"], rows, "the folder is empty");
            Ok(Exit::Done)
        }
        Verb::Cat(verb) => super::snapshot_cat::run(common, &verb, screen).await,
        Verb::Find(verb) => super::snapshot_find::run(common, &verb, screen).await,
        Verb::Diff(verb) => super::snapshot_diff::run(common, &verb, screen).await,
        Verb::Restore { snapshot, target, to_source, name, terms, dry_run } => {
            let target_path = target.as_deref().map(target_path).transpose()?;
            let RestoreArgs { path, include, exclude, reconciliation, special, verify: read_back } = terms;
            let body = SnapshotRestore {
                target_path,
                to_source,
                name,
                reconciliation,
                path,
                include,
                exclude,
                special,
                read_back,
            };
            if dry_run {
                return super::restore_preview::run(common, &snapshot, &body, screen).await;
            }
            ask_and_wait(common, &snapshot, screen, "restoring", async |client, id| {
                Ok(client.snapshot_restore(id, &body).await?.job_id)
            })
            .await
        }
        Verb::Explain { snapshot, zone } => {
            let said = look(common, async |client| {
                let id = find(client, &snapshot).await?;
                Ok(client.snapshot_explain(&id, &zone.of_snapshot()).await?)
            });
            explain::show(screen, &said.await?);
            Ok(Exit::Done)
        }
        Verb::Pin { snapshot } => {
            held(common, &snapshot, screen, async |client, id| client.snapshot_pin(id).await).await
        }
        Verb::Unpin { snapshot } => {
            held(common, &snapshot, screen, async |client, id| client.snapshot_unpin(id).await).await
        }
        Verb::Hold { snapshot } => {
            held(common, &snapshot, screen, async |client, id| client.snapshot_hold(id).await).await
        }
        Verb::Release { snapshot } => {
            held(common, &snapshot, screen, async |client, id| client.snapshot_release(id).await).await
        }
        Verb::Forget(verb) => super::snapshot_forget::run(common, &verb, screen).await,
        Verb::Keep { snapshot } => {
            held(common, &snapshot, screen, async |client, id| client.snapshot_keep(id).await).await
        }
        Verb::Verify { snapshot, percent } => {
            let body = SnapshotVerify { bytes_percent: percent, files_min: None };
            ask_and_wait(common, &snapshot, screen, "reading back", async |client, id| {
                Ok(client.snapshot_verify(id, &body).await?.job_id)
            })
            .await
        }
    }
}

/// Returns a folder as the wire carries it.
fn target_path(target: &Path) -> Result<String, CliError> {
    let target = std::path::absolute(target)
        .map_err(|error| CliError::from_error(Exit::Input, &error).hint("Name a folder with --target."))?;
    // The wire is JSON, which has no other text: half a name would restore to a folder that nobody meant.
    target.to_str().map(str::to_owned).ok_or_else(|| {
        CliError::new(Exit::Input, format!("the name of {} is not valid UTF-8", target.display()))
            .hint("Name another folder with --target.")
    })
}

/// Sets or lifts what keeps a snapshot, and shows it.
async fn held(
    common: &Common,
    snapshot: &str,
    screen: &Screen,
    ask: impl AsyncFnOnce(&Client, &str) -> Result<SnapshotView, ClientError>,
) -> Result<Exit, CliError> {
    let view = look(common, async |client| {
        let id = find(client, snapshot).await?;
        Ok(ask(client, &id).await?)
    });
    super::show::show(screen, &view.await?);
    Ok(Exit::Done)
}

/// Asks for a job on a snapshot and waits for its end.
async fn ask_and_wait(
    common: &Common,
    snapshot: &str,
    screen: &Screen,
    words: &str,
    ask: impl AsyncFnOnce(&backstay_api::Client, &str) -> Result<String, CliError>,
) -> Result<Exit, CliError> {
    let connection = Connection::open(common, WithAgent::Yes).await?;
    let answer = async {
        let client = &connection.client;
        let id = find(client, snapshot).await?;
        let job_id = ask(client, &id).await?;
        let mut watch = Watch::new(screen);
        let detail = watch_job(client, &job_id, words, &mut watch).await?;
        show(screen, &detail);
        Ok(exit_of(&detail.job))
    }
    .await;
    connection.close().await;
    answer
}

/// Returns the id of the snapshot that is meant: by its id, by the beginning of what restic calls it, or as the newest.
pub(super) async fn find(client: &backstay_api::Client, given: &str) -> Result<String, CliError> {
    if let Some(item) = given.strip_prefix("latest:") {
        let of_item = |row: &SnapshotView| row.item_name.as_deref() == Some(item);
        return newest(rows(client, of_item).await?, given);
    }
    if given == "latest" {
        return newest(rows(client, |_| true).await?, given);
    }
    if given.len() == 36 {
        return Ok(given.to_owned());
    }
    let found = rows(client, |row| given.len() >= 4 && row.foreign_id.starts_with(given)).await?;
    match found.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(CliError::new(Exit::NotFound, format!("there is no snapshot {given}"))
            .hint("`backstay snapshot list` shows what there is; four digits of the restic id are the least.")),
        several => Err(CliError::new(Exit::Input, format!("{} snapshots begin with {given}", several.len()))
            .hint("Write more digits.")),
    }
}

/// Returns all snapshots that are meant, the newest first.
async fn rows(
    client: &backstay_api::Client,
    is_meant: impl Fn(&SnapshotView) -> bool,
) -> Result<Vec<SnapshotView>, CliError> {
    let found = client.all(SnapshotQuery::default(), Client::snapshot_list).await?.rows;
    Ok(found.into_iter().filter(is_meant).collect())
}

/// Returns the first of these, which must be of one item: whose is meant is not guessed.
fn newest(found: Vec<SnapshotView>, given: &str) -> Result<String, CliError> {
    let items: BTreeSet<&str> = found.iter().map(|row| row.item_id.as_str()).collect();
    match (found.first(), items.len()) {
        (Some(first), 1) => Ok(first.id.clone()),
        (None, _) => Err(CliError::new(Exit::NotFound, format!("there is no snapshot {given}"))
            .hint("`backstay snapshot list` shows what there is; `latest:ITEM` names the newest of an item.")),
        (Some(_), count) => Err(CliError::new(Exit::Input, format!("there are snapshots of {count} items"))
            .hint("Name the item, as latest:/home/ada, or the snapshot's id; `backstay snapshot list` shows both.")),
    }
}

fn row(snapshot: &SnapshotView) -> Vec<String> {
    vec![
        human::instant(&snapshot.taken_at),
        snapshot.item_name.clone().unwrap_or_default(),
        human::count(snapshot.counts.files),
        human::bytes(snapshot.counts.bytes),
        snapshot.outcome.clone(),
        snapshot.foreign_id.chars().take(8).collect(),
        snapshot.id.clone(),
    ]
}

pub(super) fn entry_row(entry: &EntryView) -> Vec<String> {
    let letter = match entry.kind.as_str() {
        "dir" => 'd',
        "symlink" => 'l',
        "file" => '-',
        _ => '?',
    };
    let bits = (0..9).rev().map(|bit| match entry.mode >> bit & 1 {
        1 => ['x', 'w', 'r'][bit % 3],
        _ => '-',
    });
    let size = if entry.kind == "file" { human::bytes(entry.size_bytes) } else { String::new() };
    let mode = std::iter::once(letter).chain(bits).collect();
    vec![mode, size, human::instant(&entry.modified_at), entry.name.clone()]
}
