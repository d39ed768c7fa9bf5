//! `backstay plan …`.

use std::time::Duration;

use backstay_api::types::plan::{PlanCreate, PlanUpdate, PlanView, ScheduleView};

use super::args::Common;
use super::connect::{Connection, look};
use super::error::{CliError, Exit};
use super::human;
use super::job::exit_of;
use super::screen::Screen;
use super::show::show;
use super::watch::{Watch, watch_job};
use crate::roles::installation::WithAgent;
use crate::roles::quickstart::TENANT;

/// What can be asked of plans.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List all plans
    List,
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
        /// When: a cron expression of five fields
        #[arg(long)]
        cron: Option<String>,
        /// Time zone of the cron expression
        #[arg(long, requires = "cron")]
        time_zone: Option<String>,
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
        /// When: a cron expression of five fields
        #[arg(long)]
        cron: Option<String>,
        /// Time zone of the cron expression
        #[arg(long, requires = "cron")]
        time_zone: Option<String>,
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
        Verb::List => {
            let list = look(common, async |client| Ok(client.plan_list().await?)).await?;
            let row = |row: &PlanView| {
                let rpo = human::duration(Duration::from_millis(row.rpo_ms));
                let when = row.schedule.cron.clone().or_else(|| {
                    let every = row.schedule.every_ms.map(Duration::from_millis);
                    every.map(|every| format!("every {}", human::duration(every)))
                });
                vec![row.name.clone(), when.unwrap_or_else(|| "on request".to_owned()), rpo, row.id.clone()]
            };
            let rows = list.rows.iter().map(row).collect();
            screen.rows(&list, &["name", "when", "rpo", "id"], rows, "there is no plan yet");
            Ok(Exit::Done)
        }
        Verb::Show { id } => {
            show(screen, &look(common, async |client| Ok(client.plan_show(&id).await?)).await?);
            Ok(Exit::Done)
        }
        Verb::Update { id, name, repository, rpo_hours, cron, time_zone } => {
            let schedule = cron.map(|cron| ScheduleView { cron: Some(cron), time_zone, ..ScheduleView::default() });
            let rpo_ms = rpo_hours.map(|hours| hours.saturating_mul(3_600_000));
            let body = PlanUpdate { name, repository_id: repository, schedule, rpo_ms };
            show(screen, &look(common, async |client| Ok(client.plan_update(&id, &body).await?)).await?);
            Ok(Exit::Done)
        }
        Verb::Create { name, source, repository, rpo_hours, cron, time_zone, tenant } => {
            let schedule = ScheduleView { cron, time_zone, ..ScheduleView::default() };
            let rpo_ms = rpo_hours.saturating_mul(3_600_000);
            let body = PlanCreate { tenant, name, source_id: source, repository_id: repository, schedule, rpo_ms };
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

async fn run_plan(connection: &Connection, plan: &str, wait: bool, screen: &Screen) -> Result<Exit, CliError> {
    let client = &connection.client;
    let plans = client.plan_list().await?.rows;
    let found = plans.iter().find(|row| row.name == plan || row.id == plan);
    let found = found.ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("there is no plan {plan}"))
            .hint("`backstay plan list` shows what there is.")
    })?;
    let requested = client.plan_request(&found.id).await?;
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
