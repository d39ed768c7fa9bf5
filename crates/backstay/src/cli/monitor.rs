//! `backstay monitor …`.

use std::time::Duration;

use backstay_api::Client;
use backstay_api::types::list::{NamedQuery, PageQuery};
use backstay_api::types::monitor::{MonitorCreate, MonitorUpdate, MonitorView, PingView};

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::named::{self, find};
use super::screen::Screen;
use super::show::show;
use crate::roles::quickstart::TENANT;

/// What can be asked of monitors.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List monitors and how they stand
    List,
    /// Show one monitor
    Show {
        /// The monitor's name or id
        monitor: String,
    },
    /// Wait for the work of others, such as a cron job, to say by pings how it went; it is missed when it says nothing
    Create {
        /// Its name: the last part of its URL
        name: String,
        /// When it is expected: 'every 24h', or a cron expression such as '30 2 * * *'
        #[arg(long)]
        schedule: String,
        /// The time zone in which a cron expression is read; UTC when left out
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// How late it may be, and how long it may run after a start, such as 30m
        #[arg(long, value_name = "LENGTH", default_value = "1h", value_parser = length)]
        grace: Duration,
        /// Whose it is
        #[arg(long, default_value = TENANT)]
        tenant: String,
    },
    /// Change a monitor; what is left out stays
    Update {
        /// The monitor's name or id
        monitor: String,
        /// When it is expected
        #[arg(long)]
        schedule: Option<String>,
        /// The time zone in which a cron expression is read; UTC when left out
        #[arg(long, value_name = "ZONE", requires = "schedule")]
        time_zone: Option<String>,
        /// How late it may be, and how long it may run after a start
        #[arg(long, value_name = "LENGTH", value_parser = length)]
        grace: Option<Duration>,
    },
    /// Expect nothing of it any more; its name is free
    Retire {
        /// The monitor's name or id
        monitor: String,
    },
    /// List the pings that came for it, newest first
    Pings {
        /// The monitor's name or id
        monitor: String,
    },
}

const HEADING: [&str; 6] = ["name", "state", "expected", "grace", "ended last", "id"];

/// Reads a length of time.
fn length(text: &str) -> Result<Duration, String> {
    let told = || format!("`{text}` is not a length of time; write one such as 30m or 2h");
    let span: jiff::Span = text.parse().map_err(|_| told())?;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| told())?;
    Duration::try_from(length).map_err(|_| told())
}

fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List => {
            let list =
                look(common, async |client| Ok(named::all(client, NamedQuery::default(), Client::monitor_list).await?))
                    .await?;
            let rows = list.rows.iter().map(row).collect();
            screen.rows(&list, &HEADING, rows, "there is no monitor yet");
        }
        Verb::Show { monitor } => {
            let shown = look(common, async |client| Ok(client.monitor_show(&id_of(client, &monitor).await?).await?));
            show(screen, &shown.await?);
        }
        Verb::Create { name, schedule, time_zone, grace, tenant } => {
            let body = MonitorCreate { tenant, name, schedule, time_zone, grace_ms: ms(grace) };
            let made = look(common, async |client| Ok(client.monitor_create(&body).await?)).await?;
            screen.rows(&made, &HEADING, vec![row(&made)], "");
            let (program, tenant, name) = (common.program(), &body.tenant, &made.name);
            screen.say(&format!("make a key for the tenant's monitors, if there is none: {program} token create pings --role pinger --tenant {tenant}"));
            screen.say(&format!(
                "then let the work say how it went: curl -fsS -m 10 --retry 3 SERVER/ping/KEY/{name}/$?"
            ));
        }
        Verb::Update { monitor, schedule, time_zone, grace } => {
            let body = MonitorUpdate { schedule, time_zone, grace_ms: grace.map(ms) };
            let changed =
                look(common, async |client| Ok(client.monitor_update(&id_of(client, &monitor).await?, &body).await?));
            let changed = changed.await?;
            screen.rows(&changed, &HEADING, vec![row(&changed)], "");
        }
        Verb::Retire { monitor } => {
            look(common, async |client| Ok(client.monitor_retire(&id_of(client, &monitor).await?).await?)).await?;
            screen.say(&format!("nothing is expected of {monitor} any more"));
        }
        Verb::Pings { monitor } => {
            let list = look(common, async |client| {
                Ok({
                    let id = id_of(client, &monitor).await?;
                    let list = async |client: &Client, query: &PageQuery| client.ping_list(&id, query).await;
                    client.all(PageQuery::default(), list).await?
                })
            })
            .await?;
            let rows = list.rows.iter().map(ping).collect();
            screen.rows(&list, &["at", "said", "last line"], rows, "nothing was heard yet");
        }
    }
    Ok(Exit::Done)
}

fn row(row: &MonitorView) -> Vec<String> {
    let grace = human::duration(Duration::from_millis(row.grace_ms));
    let expected = match row.schedule.starts_with("every ") {
        true => row.schedule.clone(),
        false => format!("{} {}", row.schedule, row.time_zone),
    };
    let ended = match (&row.ended_at, row.ended_well) {
        (Some(at), Some(true)) => format!("{} well", human::instant(at)),
        (Some(at), _) => format!("{} failed", human::instant(at)),
        (None, _) => "never".to_owned(),
    };
    vec![row.name.clone(), row.state.clone(), expected, grace, ended, row.id.clone()]
}

fn ping(row: &PingView) -> Vec<String> {
    let said = row.exit_code.map_or_else(|| row.kind.clone(), |code| format!("{} ({code})", row.kind));
    let last = row.text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    vec![human::instant(&row.at), said, last.to_owned()]
}

/// Returns the id of the monitor that has this name or id.
async fn id_of(client: &Client, monitor: &str) -> Result<String, CliError> {
    Ok(find(client, ("monitor", monitor), Client::monitor_list, Client::monitor_show).await?.id)
}
