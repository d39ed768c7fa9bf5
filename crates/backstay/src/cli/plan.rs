//! `backstay plan …`.

use std::time::Duration;

use backstay_api::Client;
use backstay_api::types::list::RetiredQuery;
use backstay_api::types::plan::{PlanCreate, PlanScheduleView, PlanUpdate, PlanView, ScheduleView};

use backstay_api::types::retention::RetentionView;

use super::args::Common;
use super::connect::{Connection, look};
use super::error::{CliError, Exit};
use super::explain::{self, Zone};
use super::human;
use super::job::exit_of;
use super::retire;
use super::screen::Screen;
use super::show::show;
use super::watch::{Watch, watch_job};
use crate::roles::installation::WithAgent;
use crate::roles::quickstart::TENANT;

/// When a plan's items are backed up.
#[derive(Debug, clap::Args)]
pub(crate) struct When {
    /// When: a cron expression of five fields
    #[arg(long, conflicts_with = "every")]
    cron: Option<String>,
    /// When: an interval such as 6h or 1d12h
    #[arg(long)]
    every: Option<String>,
    /// Time zone of the cron expression; UTC when left out
    #[arg(long)]
    time_zone: Option<String>,
    /// Longest delay that spreads the load, such as 10m
    #[arg(long)]
    jitter: Option<String>,
    /// What it never runs beside: plan (its own work) or tenant (all such plans of the tenant)
    #[arg(long)]
    overlap: Option<String>,
    /// How long after its moment an occurrence may still start on time, such as 2h; an hour when left out
    #[arg(long)]
    start_window: Option<String>,
    /// What becomes of what was missed: once or never
    #[arg(long)]
    catch_up: Option<String>,
}

impl When {
    /// Returns the schedule with what was given in the place of what was there; none when nothing was given.
    fn over(self, was: ScheduleView) -> Result<Option<ScheduleView>, CliError> {
        let Self { cron, every, time_zone, jitter, overlap, start_window, catch_up } = self;
        let given = [&cron, &every, &time_zone, &jitter, &overlap, &start_window, &catch_up];
        if given.iter().all(|given| given.is_none()) {
            return Ok(None);
        }
        let every_ms = every.map(|text| length_ms("--every", &text)).transpose()?;
        let rhythm = match (cron, every_ms) {
            (None, None) => (was.cron, was.every_ms),
            given => given,
        };
        Ok(Some(ScheduleView {
            cron: rhythm.0,
            every_ms: rhythm.1,
            time_zone: time_zone.or(was.time_zone),
            jitter_ms: jitter.map_or(Ok(was.jitter_ms), |text| length_ms("--jitter", &text))?,
            overlap: overlap.or(was.overlap),
            start_window_ms: match start_window {
                Some(text) => Some(length_ms("--start-window", &text)?),
                None => was.start_window_ms,
            },
            catch_up: catch_up.or(was.catch_up),
        }))
    }
}

/// Which snapshots a plan keeps.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Keep {
    /// Keep the newest so many snapshots of each item; unlimited for all, 0 to drop the rule
    #[arg(long, value_name = "N", value_parser = count)]
    keep_last: Option<i64>,
    /// Keep the newest of each of so many hours
    #[arg(long, value_name = "N", value_parser = count)]
    keep_hourly: Option<i64>,
    /// Keep the newest of each of so many days
    #[arg(long, value_name = "N", value_parser = count)]
    keep_daily: Option<i64>,
    /// Keep the newest of each of so many weeks
    #[arg(long, value_name = "N", value_parser = count)]
    keep_weekly: Option<i64>,
    /// Keep the newest of each of so many months
    #[arg(long, value_name = "N", value_parser = count)]
    keep_monthly: Option<i64>,
    /// Keep the newest of each of so many years
    #[arg(long, value_name = "N", value_parser = count)]
    keep_yearly: Option<i64>,
    /// Keep all that are younger than this, such as 30d or 1y6m, counted from the newest
    #[arg(long, value_name = "TIME")]
    keep_within: Option<String>,
    /// Never keep fewer than so many
    #[arg(long, value_name = "N")]
    keep_minimum: Option<u32>,
}

/// Reads a count as restic's options have it.
fn count(text: &str) -> Result<i64, String> {
    match text {
        "unlimited" => Ok(-1),
        text => text.parse::<u32>().map(i64::from).map_err(|_| format!("`{text}` is no count; write 7 or unlimited")),
    }
}

impl Keep {
    /// Returns the rules with what was given in the place of what was there; none when nothing was given.
    fn over(self, was: RetentionView) -> Option<RetentionView> {
        let given = RetentionView {
            keep_last: self.keep_last.or(was.keep_last),
            keep_hourly: self.keep_hourly.or(was.keep_hourly),
            keep_daily: self.keep_daily.or(was.keep_daily),
            keep_weekly: self.keep_weekly.or(was.keep_weekly),
            keep_monthly: self.keep_monthly.or(was.keep_monthly),
            keep_yearly: self.keep_yearly.or(was.keep_yearly),
            keep_within: self.keep_within.or_else(|| was.keep_within.clone()),
            minimum: self.keep_minimum.or(was.minimum),
            ..was.clone()
        };
        (given != was).then_some(given)
    }
}

/// Reads a length of time such as `90m`.
fn length_ms(option: &str, text: &str) -> Result<u64, CliError> {
    let wrong = || {
        CliError::new(Exit::Input, format!("{option} `{text}` is not a length of time"))
            .hint("Write one such as 6h, 90m or 1d12h.")
    };
    let span: jiff::Span = text.trim().parse().map_err(|_| wrong())?;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    u64::try_from(length.as_millis()).map_err(|_| wrong())
}

/// What can be asked of plans.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List all plans
    List {
        /// With those that were retired
        #[arg(long)]
        retired: bool,
    },
    /// Show one plan
    Show {
        /// The plan's id
        id: String,
    },
    /// Change what is given of a plan
    Update {
        /// The plan's id
        id: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        /// Id of the repository where the next snapshots lie
        #[arg(long, value_name = "ID")]
        repository: Option<String>,
        /// How old the newest snapshot may be, in hours
        #[arg(long, value_name = "HOURS")]
        rpo_hours: Option<u64>,
        #[command(flatten)]
        when: When,
        #[command(flatten)]
        keep: Keep,
    },
    /// Show which snapshots a plan keeps, by which rules, and which go with the next prune
    Retention {
        /// The plan's name or id
        plan: String,
    },
    /// Say what a plan does now, what holds it back, and what the next month looks like
    Explain {
        /// The plan's name or id
        plan: String,
        #[command(flatten)]
        zone: Zone,
    },
    /// Show how far a plan's schedule is, and what comes next
    Schedule {
        /// The plan's name or id
        plan: String,
    },
    /// Hold a plan back: its occurrences are skipped and told
    Pause {
        /// The plan's name or id
        plan: String,
    },
    /// Let a plan go on
    Resume {
        /// The plan's name or id
        plan: String,
    },
    /// Retire a plan: nothing new is made of it, and what it made stays
    Retire {
        /// The plan's name or id
        plan: String,
        /// Do it; without this nothing is done, and what stays is said
        #[arg(long)]
        yes: bool,
    },
    /// Declare a plan
    Create {
        /// Its name
        name: String,
        /// Id of the source
        #[arg(long, value_name = "ID")]
        source: String,
        /// Id of the repository
        #[arg(long, value_name = "ID")]
        repository: String,
        /// How old the newest snapshot may be, in hours
        #[arg(long, value_name = "HOURS", default_value_t = 24)]
        rpo_hours: u64,
        #[command(flatten)]
        when: When,
        #[command(flatten)]
        keep: Keep,
        /// Whose it is
        #[arg(long, default_value = TENANT)]
        tenant: String,
    },
    /// Back up a plan's items now
    Run {
        /// The plan's name or id
        plan: String,
        /// Wait until the backup has ended, and exit as it went; without a running server this is always so
        #[arg(long)]
        wait: bool,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List { retired } => {
            let list = look(common, async |client| Ok(client.plan_list_by(&RetiredQuery { retired }).await?)).await?;
            let row = |row: &PlanView| {
                let rpo = human::duration(Duration::from_millis(row.rpo_ms));
                let when = row.schedule.cron.clone().or_else(|| {
                    let every = row.schedule.every_ms.map(Duration::from_millis);
                    every.map(|every| format!("every {}", human::duration(every)))
                });
                vec![
                    retire::marked(&row.name, row.retired_at.as_deref()),
                    when.unwrap_or_else(|| "on request".to_owned()),
                    rpo,
                    row.id.clone(),
                ]
            };
            let rows = list.rows.iter().map(row).collect();
            screen.rows(&list, &["name", "when", "rpo", "id"], rows, "there is no plan yet");
            Ok(Exit::Done)
        }
        Verb::Show { id } => {
            show(screen, &look(common, async |client| Ok(client.plan_show(&id).await?)).await?);
            Ok(Exit::Done)
        }
        Verb::Update { id, name, repository, rpo_hours, when, keep } => {
            let rpo_ms = rpo_hours.map(|hours| hours.saturating_mul(3_600_000));
            let changed = look(common, async |client| {
                let was = client.plan_show(&id).await?;
                let (schedule, retention) = (when.over(was.schedule)?, keep.over(was.retention));
                let body = PlanUpdate { name, repository_id: repository, schedule, rpo_ms, retention };
                Ok(client.plan_update(&id, &body).await?)
            });
            show(screen, &changed.await?);
            Ok(Exit::Done)
        }
        Verb::Retention { plan } => {
            let list =
                look(common, async |client| Ok(client.plan_retention(&id_of(client, &plan).await?).await?)).await?;
            let rows = list.rows.iter().flat_map(|item| {
                item.snapshots.iter().map(|row| {
                    let why = if row.is_kept { row.reasons.join("; ") } else { "no rule keeps it".to_owned() };
                    let fate = if row.is_kept { "stays" } else { "goes" };
                    vec![
                        human::instant(&row.taken_at),
                        item.item_name.clone(),
                        fate.to_owned(),
                        why,
                        row.snapshot_id.clone(),
                    ]
                })
            });
            let rows = rows.collect();
            screen.rows(&list, &["taken", "item", "", "why", "id"], rows, "the plan has no snapshot yet");
            Ok(Exit::Done)
        }
        Verb::Explain { plan, zone } => {
            let said = look(common, async |client| {
                Ok(client.plan_explain(&id_of(client, &plan).await?, &zone.query()).await?)
            });
            explain::show(screen, &said.await?);
            Ok(Exit::Done)
        }
        Verb::Schedule { plan } => {
            let view = look(common, async |client| Ok(client.plan_schedule(&id_of(client, &plan).await?).await?));
            schedule_show(screen, &view.await?);
            Ok(Exit::Done)
        }
        Verb::Pause { plan } => {
            let view = look(common, async |client| Ok(client.plan_pause(&id_of(client, &plan).await?).await?));
            schedule_show(screen, &view.await?);
            Ok(Exit::Done)
        }
        Verb::Resume { plan } => {
            let view = look(common, async |client| Ok(client.plan_resume(&id_of(client, &plan).await?).await?));
            schedule_show(screen, &view.await?);
            Ok(Exit::Done)
        }
        Verb::Retire { plan, yes } => {
            return retire::run(common, retire::Noun::Plan, &plan, yes, screen).await;
        }
        Verb::Create { name, source, repository, rpo_hours, when, keep, tenant } => {
            let schedule = when.over(ScheduleView::default())?.unwrap_or_default();
            let rpo_ms = rpo_hours.saturating_mul(3_600_000);
            let retention = keep.over(RetentionView::default()).unwrap_or_default();
            let (source_id, repository_id) = (source, repository);
            let body = PlanCreate { tenant, name, source_id, repository_id, schedule, rpo_ms, retention };
            let made = look(common, async |client| Ok(client.plan_create(&body).await?)).await?;
            screen.rows(&made, &["name", "id"], vec![vec![made.name.clone(), made.id.clone()]], "");
            Ok(Exit::Done)
        }
        Verb::Run { plan, wait } => {
            let connection = Connection::open(common, WithAgent::Yes).await?;
            let answer = run_plan(&connection, &plan, wait, screen).await;
            connection.close().await;
            answer
        }
    }
}

/// Returns the id of the plan that has this name or id.
async fn id_of(client: &Client, plan: &str) -> Result<String, CliError> {
    let plans = client.plan_list().await?.rows;
    let found = plans.into_iter().find(|row| row.name == plan || row.id == plan).map(|row| row.id);
    found.ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("there is no plan {plan}"))
            .hint("`backstay plan list` shows what there is.")
    })
}

/// Prints how far a plan is: what holds it back, then what comes next.
fn schedule_show(screen: &Screen, view: &PlanScheduleView) {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut add = |fact: &str, value: String| rows.push(vec![fact.to_owned(), value]);
    if let Some(at) = &view.paused_at {
        add("paused", format!("since {}; `backstay plan resume` lets it go on", human::instant(at)));
    }
    if let Some(reason) = &view.held {
        add("held", reason.clone());
    }
    if let Some(at) = &view.waiting_planned_at {
        let until = view.waiting_until.as_deref().map_or_else(|| "as long as it takes".to_owned(), human::instant);
        add("waits", format!("the one of {} for another plan's work, until {until}", human::instant(at)));
    }
    add("last", view.last_planned_at.as_deref().map_or_else(|| "none yet".to_owned(), human::instant));
    for next in &view.next {
        add("next", human::instant(&next.start_at));
    }
    if view.next.is_empty() {
        add("next", "on request only".to_owned());
    }
    screen.rows(view, &["fact", "value"], rows, "");
}

async fn run_plan(connection: &Connection, plan: &str, wait: bool, screen: &Screen) -> Result<Exit, CliError> {
    let client = &connection.client;
    let requested = client.plan_request(&id_of(client, plan).await?).await?;
    if !wait && !connection.is_own() {
        let rows = requested.items.iter();
        let rows = rows.map(|row| vec![row.item_name.clone(), row.answer.clone(), row.job_id.clone()]).collect();
        screen.rows(&requested, &["item", "answer", "job"], rows, "the plan's source has no item");
        return Ok(Exit::Done);
    }
    let mut watch = Watch::new(screen);
    let mut exit = Exit::Done;
    let mut details = Vec::new();
    for item in &requested.items {
        let detail = watch_job(client, &item.job_id, &format!("backing up {}", item.item_name), &mut watch).await?;
        if exit == Exit::Done {
            exit = exit_of(&detail.job);
        }
        details.push(detail);
    }
    super::job::show_all(screen, &details);
    Ok(exit)
}
