//! `backstay alert …`.

use backstay_api::types::alert::{AlertQuery, AlertSilence, AlertView};

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;

/// What can be asked of alerts.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List alerts that go on, newest first
    List {
        /// Those that ended as well
        #[arg(long)]
        ended: bool,
        /// Only rows older than this id
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        /// Most rows
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Say that you know: it is not told again until it gets worse or begins anew
    Acknowledge {
        /// The alert's id
        id: String,
    },
    /// Hear nothing of an alert for a time; what comes meanwhile is counted
    Silence {
        /// The alert's id
        id: String,
        /// Until when, such as 2026-12-24T18:00:00Z; a moment that is over lifts the silence
        #[arg(long, value_name = "INSTANT")]
        until: String,
        /// Why, for the others
        #[arg(long, default_value = "")]
        reason: String,
    },
}

const HEADING: [&str; 7] = ["severity", "topic", "of", "since", "told", "state", "id"];

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List { ended, before, limit } => {
            let query = AlertQuery { ended: ended.then_some(true), before, limit: Some(limit) };
            let list = look(common, async |client| Ok(client.alert_list(&query).await?)).await?;
            screen.rows(
                &list,
                &HEADING,
                list.rows.iter().map(row).collect(),
                "nothing goes on that somebody should know",
            );
        }
        Verb::Acknowledge { id } => {
            let made = look(common, async |client| Ok(client.alert_acknowledge(&id).await?)).await?;
            screen.rows(&made, &HEADING, vec![row(&made)], "");
        }
        Verb::Silence { id, until, reason } => {
            let body = AlertSilence { until, reason };
            let made = look(common, async |client| Ok(client.alert_silence(&id, &body).await?)).await?;
            screen.rows(&made, &HEADING, vec![row(&made)], "");
        }
    }
    Ok(Exit::Done)
}

fn row(row: &AlertView) -> Vec<String> {
    let held = if row.held_count > 0 { format!(", {} held back", row.held_count) } else { String::new() };
    let state = match (&row.ended_at, &row.acknowledged_by, &row.silenced_until) {
        (Some(at), _, _) => format!("ended {}", human::instant(at)),
        (None, Some(by), _) => format!("known to {by}"),
        (None, None, Some(until)) => format!("silenced until {}", human::instant(until)),
        (None, None, None) => row.message.clone(),
    };
    vec![
        row.severity.clone(),
        row.topic.clone(),
        human::shown(&row.title),
        human::instant(&row.since),
        format!("{}x{held}", row.told_count),
        human::shown(&state),
        row.id.clone(),
    ]
}
