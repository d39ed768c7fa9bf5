//! Names of rows, for a shell that asks how a line goes on.
//!
//! Only a server that is there already is asked, and only for a moment. Absent on purpose: errors, which are no names, and
//! values of secrets, which no answer of the API has.

use std::ffi::OsString;
use std::time::Duration;

use backstay_api::types::alert::AlertQuery;
use backstay_api::types::evidence::EvidenceQuery;
use backstay_api::types::job::JobQuery;
use backstay_api::types::list::{NamedQuery, PageQuery, Paged, RetiredQuery, Rows};
use backstay_api::types::snapshot::SnapshotQuery;
use backstay_api::{Client, ClientError};
use clap::{CommandFactory as _, FromArgMatches as _};
use clap_complete::CompletionCandidate;

use super::args::{Args, Common};
use super::connect::running;
use super::human;

/// Longest that somebody who pressed Tab waits for names; beyond it they type them.
const ASK_TIME_MAX: Duration = Duration::from_millis(800);

/// Newest rows of what only grows: nobody looks through more in a terminal.
const ROWS_MAX: u32 = 50;

/// Digits of a restic id that tell snapshots apart.
const DIGITS: usize = 8;

/// Whose names are wanted; those with `Id` where the verb takes ids alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Plan,
    Template,
    Monitor,
    Repository,
    RepositoryId,
    Storage,
    Source,
    SourceId,
    Secret,
    Tenant,
    TenantId,
    Channel,
    TokenId,
    AlertId,
    MaintenanceId,
    EvidenceId,
    Job,
    JobSet,
    Snapshot,
}

/// Returns the names that a server knows; none when there is none, or it does not answer at once.
pub(super) fn candidates(what: What) -> Vec<CompletionCandidate> {
    let asked = || {
        let client = running(&common()?)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let rows = runtime.block_on(async { tokio::time::timeout(ASK_TIME_MAX, rows(&client, what)).await });
        runtime.shutdown_background();
        rows.ok()?.ok()
    };
    asked().unwrap_or_default().into_iter().map(|(value, help)| candidate(value, &help)).collect()
}

/// Returns the options that were typed so far, and what files and the environment say.
fn common() -> Option<Common> {
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let mut common = typed(words)?;
    common.load(Vec::new()).ok()?;
    Some(common)
}

/// Reads the options of a line of which more is to come.
fn typed(words: impl Iterator<Item = OsString>) -> Option<Common> {
    let matches = Args::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    Common::from_arg_matches(&matches).ok()
}

fn candidate(value: String, help: &str) -> CompletionCandidate {
    let help = (!help.is_empty()).then(|| human::shown(help).into());
    CompletionCandidate::new(value).help(help)
}

/// Returns the first page of a list: more names than that are no help, and there is no time to wait for them.
async fn all<T, Q: Paged>(
    client: &Client,
    mut query: Q,
    list: impl AsyncFn(&Client, &Q) -> Result<Rows<T>, ClientError>,
) -> Result<Rows<T>, ClientError> {
    *query.limit() = Some(Q::ROWS_MAX);
    list(client, &query).await
}

/// Asks for names, each with what tells it apart.
async fn rows(client: &Client, what: What) -> Result<Vec<(String, String)>, ClientError> {
    let page = PageQuery { before: None, limit: Some(ROWS_MAX) };
    let named = |name: String| (name, String::new());
    macro_rules! rows {
        ($list:expr, $row:ident => $candidate:expr) => {
            $list.await?.rows.into_iter().map(|$row| $candidate).collect()
        };
    }
    Ok(match what {
        What::Plan => rows!(all(client, RetiredQuery::default(), Client::plan_list), row => named(row.name)),
        What::Template => rows!(all(client, NamedQuery::default(), Client::template_list), row => named(row.name)),
        What::Monitor => rows!(all(client, NamedQuery::default(), Client::monitor_list), row => (row.name, row.state)),
        What::Repository => {
            rows!(all(client, RetiredQuery::default(), Client::repository_list), row => named(row.name))
        }
        What::RepositoryId => {
            rows!(all(client, RetiredQuery::default(), Client::repository_list), row => (row.id, row.name))
        }
        What::Storage => rows!(all(client, RetiredQuery::default(), Client::storage_list), row => (row.name, row.kind)),
        What::Source => rows!(all(client, RetiredQuery::default(), Client::source_list), row => (row.name, row.kind)),
        What::SourceId => rows!(all(client, RetiredQuery::default(), Client::source_list), row => (row.id, row.name)),
        What::Secret => rows!(all(client, NamedQuery::default(), Client::secret_list), row => named(row.name)),
        What::Tenant => rows!(all(client, NamedQuery::default(), Client::tenant_list), row => named(row.name)),
        What::TenantId => rows!(all(client, NamedQuery::default(), Client::tenant_list), row => (row.id, row.name)),
        What::Channel => rows!(all(client, NamedQuery::default(), Client::channel_list), row => (row.name, row.kind)),
        What::TokenId => rows!(client.token_list(&page), row => (row.id, row.name)),
        What::MaintenanceId => {
            rows!(all(client, PageQuery::default(), Client::maintenance_list), row => (row.id, row.name))
        }
        What::AlertId => {
            let query = AlertQuery { limit: Some(ROWS_MAX), ..AlertQuery::default() };
            rows!(client.alert_list(&query), row => (row.id, format!("{}: {}", row.topic, row.title)))
        }
        What::EvidenceId => {
            let query = EvidenceQuery { limit: Some(ROWS_MAX), ..EvidenceQuery::default() };
            rows!(client.evidence_list(&query), row => (row.id, format!("{}: {}", row.item_name, row.verdict)))
        }
        What::Job => {
            let query = JobQuery { limit: Some(ROWS_MAX), ..JobQuery::default() };
            rows!(client.job_list(&query), row => {
                let words = [&row.kind, row.item_name.as_deref().unwrap_or_default(), &row.state].join(" ");
                (row.id, words)
            })
        }
        What::JobSet => rows!(client.job_set_list(&page), row => (row.id, row.name)),
        What::Snapshot => {
            let query = SnapshotQuery { limit: Some(ROWS_MAX), ..SnapshotQuery::default() };
            rows!(client.snapshot_list(&query), row => {
                let words = format!("{} {}", human::instant(&row.taken_at), row.item_name.unwrap_or_default());
                (row.foreign_id.chars().take(DIGITS).collect(), words)
            })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_a_line_that_is_not_whole() {
        let config = |line: &str| {
            let common = typed(line.split(' ').map(OsString::from)).unwrap();
            common.config.map(|path| path.display().to_string())
        };
        for line in [
            "backstay --config x plan show ",
            "backstay plan show --config x ",
            "backstay plan --config=x show ho",
            "backstay --config x plan",
            "backstay --config x no-such-verb --wrong ",
        ] {
            assert_eq!(config(line).as_deref(), Some("x"), "{line}");
        }
        assert_eq!(config("backstay plan show "), None);
    }
}
