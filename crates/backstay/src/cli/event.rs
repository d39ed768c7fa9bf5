//! `backstay event …`.

use std::time::Duration;

use backstay_api::Client;
use backstay_api::types::event::{EventQuery, EventStreamQuery, EventView};

use super::args::Common;
use super::change::{facts, whole};
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;
use super::signal::Signals;
use crate::roles::quickstart::TENANT;

/// What can be asked of events.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List a tenant's newest events, in the order of time
    List {
        /// Whose
        #[arg(long, default_value = TENANT)]
        tenant: String,
        /// Only those before this number: the first one of a list asks for what came before it
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
        /// Most rows
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Check a tenant's whole chain of events, and name the first place at which something is wrong
    Verify {
        /// Whose
        #[arg(long, default_value = TENANT)]
        tenant: String,
    },
    /// Print a tenant's events as they happen, until a signal
    Follow {
        /// Whose
        #[arg(long, default_value = TENANT)]
        tenant: String,
        /// Only those after this number; all when left out
        #[arg(long, value_name = "NUMBER")]
        after: Option<i64>,
    },
}

/// Pause before a stream that the server ended is taken up again: a server that is going down is not asked in a loop.
const COME_AGAIN_AFTER: Duration = Duration::from_millis(500);

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List { tenant, before, limit } => {
            let before = before.map(|before| before.to_string());
            let query = EventQuery { tenant: Some(tenant), before, limit: Some(limit) };
            let list = look(common, async |client| Ok(client.all(query, Client::event_list).await?)).await?;
            // Read from above to below, as they happened.
            let rows = list.rows.iter().rev().map(row).collect();
            screen.rows(&list, &["number", "at", "kind", "what happened"], rows, "there is no event yet");
        }
        Verb::Verify { tenant } => verify(common, tenant, screen).await?,
        Verb::Follow { tenant, after } => {
            let query = EventStreamQuery { tenant: Some(tenant), ..EventStreamQuery::default() };
            let mut signals = Signals::listen();
            look(common, async |client| {
                tokio::select! {
                    answer = follow(client, &query, after, screen) => answer,
                    () = signals.next() => Ok(()),
                }
            })
            .await?;
        }
    }
    Ok(Exit::Done)
}

async fn verify(common: &Common, tenant: String, screen: &Screen) -> Result<(), CliError> {
    let found = look(common, async |client| {
        let ask = async |from_sequence| {
            client.event_verify(&EventStreamQuery { tenant: Some(tenant.clone()), from_sequence }).await
        };
        Ok(whole(ask).await?)
    })
    .await?;
    if let (Some(place), Some(problem)) = (found.broken_sequence, &found.problem) {
        let heading = format!("the events of {tenant} are broken at number {place}: {problem}");
        return Err(CliError::new(Exit::Damaged, heading).hint(
            "Compare with a copy of the database from before; what comes after this number is proved by nothing.",
        ));
    }
    facts(&found, screen);
    screen.say("\nplaces and hashes are right; keep the last hash elsewhere: it shows when newer events are gone");
    Ok(())
}

/// Prints events as they happen. The server ends each stream after a while, or dies; it is taken up where it was.
async fn follow(
    client: &Client,
    query: &EventStreamQuery,
    mut after: Option<i64>,
    screen: &Screen,
) -> Result<(), CliError> {
    loop {
        let mut stream = client.event_stream(query, after).await?;
        // A connection that broke, as when a replica died, is taken up again like one that the server ended; when nobody
        // answers then, that is the end.
        while let Ok(Some(event)) = stream.next().await {
            after = Some(event.sequence);
            if screen.json() {
                screen.line(&serde_json::to_string(&event).expect("views are JSON"));
            } else {
                let cells: Vec<String> = row(&event).iter().map(|cell| human::shown(cell).to_string()).collect();
                screen.line(&cells.join("  "));
            }
        }
        tokio::time::sleep(COME_AGAIN_AFTER).await;
    }
}

fn row(row: &EventView) -> Vec<String> {
    vec![row.sequence.to_string(), human::instant(&row.at), row.kind.clone(), row.message.clone()]
}
