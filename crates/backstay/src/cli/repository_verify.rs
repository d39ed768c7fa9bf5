//! `backstay repository verify`: the newest snapshot of each item of a repository is read back.

use backstay_api::Client;
use backstay_api::types::snapshot::{SnapshotQuery, SnapshotVerify, SnapshotView};

use super::args::Common;
use super::connect::Connection;
use super::error::{CliError, Exit};
use super::job::{exit_of, show_all};
use super::repository::named;
use super::screen::Screen;
use super::snapshots_of::{all, newest};
use super::watch::{Watch, watch_job};
use crate::roles::installation::WithAgent;

/// What is read back.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The repository's name or id
    repository: String,
    /// At least this share of each snapshot's bytes, in hundredths; 100 reads everything
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    percent: Option<u8>,
}

/// Asks for a verify of each, and waits for all of them. It ends as the worst of them did.
pub(super) async fn run(common: &Common, verb: &Verify, screen: &Screen) -> Result<Exit, CliError> {
    let connection = Connection::open(common, WithAgent::Yes).await?;
    let answer = verify(&connection.client, verb, screen).await;
    connection.close().await;
    answer
}

async fn verify(client: &Client, verb: &Verify, screen: &Screen) -> Result<Exit, CliError> {
    let repository = named(client, &verb.repository).await?;
    let query = SnapshotQuery { repository_id: Some(repository.id), ..SnapshotQuery::default() };
    let snapshots = newest(all(client, query).await?);
    if snapshots.is_empty() {
        // Nothing was proved: that must not look like a success.
        let heading = format!("{} has no snapshot that could be read back", repository.name);
        return Err(CliError::new(Exit::NotFound, heading).hint("`backstay plan run` makes one."));
    }
    let body = SnapshotVerify { bytes_percent: verb.percent, files_min: None };
    let mut asked: Vec<(SnapshotView, String)> = Vec::new();
    for snapshot in snapshots {
        let job_id = client.snapshot_verify(&snapshot.id, &body).await?.job_id;
        asked.push((snapshot, job_id));
    }
    let mut watch = Watch::new(screen);
    let mut details = Vec::new();
    for (at, (snapshot, job_id)) in asked.iter().enumerate() {
        let item = snapshot.item_name.as_deref().unwrap_or(&snapshot.item_id);
        let words = format!("reading back {item} ({} of {})", at + 1, asked.len());
        details.push(watch_job(client, job_id, &words, &mut watch).await?);
    }
    show_all(screen, &details);
    let exits: Vec<Exit> = details.iter().map(|detail| exit_of(&detail.job)).collect();
    Ok(worst(&exits))
}

/// Returns harm before anything else, then the first that did not go well.
fn worst(exits: &[Exit]) -> Exit {
    let harm = exits.iter().find(|exit| **exit == Exit::Damaged);
    harm.or_else(|| exits.iter().find(|exit| **exit != Exit::Done)).copied().unwrap_or(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harm_is_never_hidden_by_what_came_before_it() {
        assert_eq!(worst(&[Exit::Done, Exit::Failed, Exit::Damaged]), Exit::Damaged);
        assert_eq!(worst(&[Exit::Done, Exit::Failed]), Exit::Failed);
        assert_eq!(worst(&[Exit::Done]), Exit::Done);
    }
}
